"""What becomes of a block in a stage that applies a function: of a map, a filter, or both."""

from __future__ import annotations

import numpy as np

from .block import Block
from .caught import Caught
from .functions import UserFunction
from .structure import Structure

__all__ = ["apply_function"]


def apply_function(
    kind: str, function: UserFunction, block: Block, first: int, structure: Structure
) -> tuple[Block, int, Caught | None]:
    """The elements that come of `block`, how many of its rows they are of, and what is wrong
    with the row behind those.

    Args:
        kind: "map", "filter", or "map_filter" for a function that gives result and mask.
        function: what to apply.
        block: the elements.
        first: position of the first among all elements the function gets.
        structure: of the results.
    """
    if kind == "filter":
        mask, error = function.run_mask(block, first)
        done = len(mask)
        return block[:done].mask(mask), done, error
    results, error = function.run_block(block, first)
    done = results.num_rows
    if kind == "map":
        return results, done, error
    *columns, keep = results.columns or [np.zeros(0, bool)]
    return Block(columns, done, structure).mask(np.asarray(keep)), done, error
