"""Memory for kernels: arrays that begin a cache line, and scratch by thread."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from .. import recycling

__all__ = ["address", "empty", "scratch", "zeros"]

_LINE = recycling.LINE
_own = threading.local()


def address(array: np.ndarray) -> int:
    """Where the array's first element is; the caller keeps the array alive."""
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """An array that begins a cache line.

    NumPy's own begin 16 bytes behind one where they are large, and every load of a vector then
    touches two.  Large ones come from the process's pool: the pages of fresh memory cost as
    much as what a kernel computes in them.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if recycling.keeps(size):
        return recycling.empty(shape, dtype)
    raw = np.empty(size + _LINE, np.uint8)
    start = -address(raw) % _LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    """The same in float32, filled with zeros."""
    size = math.prod(shape) * 4
    raw = np.zeros(size + _LINE, np.uint8)
    start = -address(raw) % _LINE
    return raw[start : start + size].view(np.float32).reshape(shape)


def scratch(size: int) -> int:
    """The address of `size` bytes that are this thread's until it asks again."""
    buffer = getattr(_own, "buffer", None)
    if buffer is None or buffer.size < size + _LINE:
        _own.buffer = None  # given back before the larger one is taken
        buffer = _own.buffer = np.empty(size + _LINE, np.uint8)
    start = address(buffer)
    return start + -start % _LINE
