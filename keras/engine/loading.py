"""Loading a model: no weight may be larger than its file could fill.

A config of a few bytes can ask for terabytes; the file that comes with it holds every weight.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

from ...ops.errors import DataLossError

__all__ = ["check_size", "sizes_of_file"]

_ALWAYS = 1 << 24  # elements; what a layer makes and does not save is small


class _Limit(threading.local):
    elements: int | None = None


_limit = _Limit()


@contextlib.contextmanager
def sizes_of_file(size_bytes: int) -> Iterator[None]:
    """In the block, refuse weights of more elements than a file of this size has bytes."""
    before, _limit.elements = _limit.elements, max(size_bytes, _ALWAYS)
    try:
        yield
    finally:
        _limit.elements = before


def check_size(shape: tuple[Any, ...], layer: str) -> None:
    """Look at the shape of a weight that `layer` asks for.

    Raises:
        DataLossError: a model is being loaded, and its file is too small for it.
    """
    most = _limit.elements
    if most is not None and math.prod(shape) > most:
        raise DataLossError(
            f"layer {layer!r} asks for a weight of the shape {shape}, which is more than the "
            "model's file can hold: its config is damaged, or made to exhaust the memory"
        )
