"""Strings made of pieces: many strings joined from runs of others in one copy of bytes.

The helpers of reduce_join, unsorted_segment_join, ngrams and the Unicode functions: index
arithmetic finds the pieces of every result, one gather writes them behind each other, and the
results are stretches of that buffer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array_basics import reshape
from .convert import to_tensor
from .ragged_tensor import RaggedTensor
from .string_array import StringArray

__all__ = ["joined_runs", "ragged_strings", "runs", "with_extra"]


def runs(lengths: np.ndarray) -> np.ndarray:
    """0, 1, ... within each run of the given lengths."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - lengths, lengths)


def with_extra(x: StringArray, *extra: bytes) -> StringArray:
    """The elements of `x` as a vector, and `extra` behind them."""
    return StringArray.concatenate([x.ravel(), StringArray.from_values(list(extra))])


def joined_runs(
    x: StringArray, places: np.ndarray, lengths: np.ndarray, separator: bytes
) -> StringArray:
    """Strings [len(lengths)]: the next `lengths[i]` of ``x[places]`` with separators between.

    Args:
        x: a vector.
        places: which elements, run after run.
        lengths: how many elements each result has.
        separator: put between them.
    """
    lengths = np.asarray(lengths, np.int64)
    if not separator:
        pieces, counts = x[places], lengths
    else:
        # A separator follows each element but the last of its run.
        pool = with_extra(x, separator)
        counts = np.maximum(2 * lengths - 1, 0)
        within = runs(counts)
        order = np.full(len(within), x.size, np.int64)
        order[within % 2 == 0] = places
        pieces = pool[order]
    pieces = pieces.compact()
    ends = np.concatenate([[0], pieces.ends])[np.cumsum(counts)]
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    return StringArray(pieces.data, starts.astype(np.int64), ends.astype(np.int64))


def ragged_strings(input: Any, split: Any) -> Any:
    """What `split` makes of strings of any shape: one ragged axis more.

    Args:
        input: string tensor, plain or ragged.
        split: gives ``(splits, *values)`` for a vector of strings.

    Returns:
        One result per entry of values, in a tuple; plain vectors for a scalar.
    """
    if isinstance(input, RaggedTensor):
        inner = ragged_strings(input.flat_values, split)
        return tuple(input.with_flat_values(v) for v in inner)
    x = to_tensor(input, None)
    rank = x.shape.rank
    if rank is None:
        raise ValueError("Rank of `input` must be statically known.")
    splits, *values = split(x if rank == 1 else reshape(x, [-1]))
    if rank == 0:
        return tuple(values)
    found = [RaggedTensor.from_row_splits(v, splits, validate=False) for v in values]
    for axis in range(rank - 1, 0, -1):
        size = x.shape[axis]
        if size is None:
            raise ValueError(f"the inner sizes of `input` must be known, got shape {x.shape}")
        found = [RaggedTensor.from_uniform_row_length(f, size) for f in found]
    return tuple(found)
