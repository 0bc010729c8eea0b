"""Shelf: large arrays that are used again once nobody holds them any more.

A fresh array of a hundred kilobytes or more comes from the system page by page, and the first
touch of each costs as much as computing it.  Work that makes arrays of the same few sizes over
and over, such as images row by row, takes them from a shelf: it keeps the last ones it gave
out, and gives one out again when its reference count says that no array, view or tensor shares
its memory.  Memory that nobody holds and that fits nothing that is asked for is let go.
"""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np

__all__ = ["LINE", "Pool", "Shelf", "empty", "is_sole", "keeps"]

_LEAST_BYTES = 128 << 10  # below, the allocator keeps the memory itself
_MOST_BYTES = 64 << 20  # of an array from the process's pool
LINE = 64  # bytes of a line of the cache
_STALE = 8  # takes after which memory that nobody holds is not kept for others


class Shelf:
    """The memory of the last `places` arrays given out; any thread may take from it."""

    def __init__(self, places: int = 6):
        self._places = places
        self._buffers: list[np.ndarray] = []
        self._taken: list[int] = []  # when each was last given out
        self._takes = 0
        # Reentrant: what the collector frees on this thread may ask for an array itself.
        self._lock = threading.RLock()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array with any content, that nothing else shares."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if size < _LEAST_BYTES or not _COUNTS_HOLD:
            return np.empty(shape, kind)
        with self._lock:
            buffer = self._free(size)
        return buffer[:size].view(kind).reshape(shape)

    def _free(self, size: int) -> np.ndarray:
        """A buffer of at least `size` bytes; the lock is held."""
        self._takes += 1
        stale = []
        for k in range(len(self._buffers)):
            if _holders(self._buffers, k) == _NONE_ELSE:
                found = self._buffers[k]
                if size <= found.size <= 2 * size:
                    self._taken[k] = self._takes
                    return found
                if self._takes - self._taken[k] > _STALE:
                    stale.append(k)
        for k in reversed(stale):
            del self._buffers[k], self._taken[k]
        if len(self._buffers) >= self._places:
            oldest = self._taken.index(min(self._taken))
            del self._buffers[oldest], self._taken[oldest]
        step = 1 << (size.bit_length() - 3)  # arrays of about one size can share a buffer
        made = np.empty(-(-size // step) * step, np.uint8)
        self._buffers.append(made)
        self._taken.append(self._takes)
        return made


def _holders(items: list[Any], k: int) -> int:
    found = items[k]
    return sys.getrefcount(found)


# How often an object that only a list holds is counted; interpreters differ by one.
_NONE_ELSE = _holders([object()], 0)
# Without a global lock counts are kept apart by thread, and prove nothing.
_COUNTS_HOLD = getattr(sys, "_is_gil_enabled", lambda: True)()


class Pool:
    """Memory for all the arrays that a long computation makes, in classes of size.

    A step of training makes some hundred arrays and makes them again in the next one.  So
    memory that nobody holds is kept until `_IDLE_TAKES` others were given out, or until more
    than `most_idle` bytes of it lie idle.
    """

    def __init__(self, most_idle: int):
        self._most_idle = most_idle
        self._classes: dict[int, tuple[list[np.ndarray], list[int]]] = {}
        self._takes = 0
        self._made = 0  # bytes, since idle memory was last looked for
        self._swept = 0
        self._lock = threading.RLock()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array with any content, that nothing else shares; it begins a cache line."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if not _COUNTS_HOLD:
            return np.empty(shape, kind)
        with self._lock:
            buffer = self._take(size)
        start = -buffer.__array_interface__["data"][0] % LINE
        return buffer[start : start + size].view(kind).reshape(shape)

    def _take(self, size: int) -> np.ndarray:
        self._takes += 1
        step = 1 << max(size.bit_length() - 3, 0)
        rounded = -(-size // step) * step
        buffers, taken = self._classes.setdefault(rounded, ([], []))
        for k in range(len(buffers)):
            if _holders(buffers, k) == _NONE_ELSE:
                taken[k] = self._takes
                return buffers[k]
        self._made += rounded
        if self._takes - self._swept > _IDLE_TAKES or self._made > self._most_idle // 2:
            self._sweep()
        made = np.empty(rounded + LINE, np.uint8)
        buffers.append(made)
        taken.append(self._takes)
        return made

    def _sweep(self) -> None:
        """Let go of what has been idle for long, and of what is too much."""
        self._swept, self._made = self._takes, 0
        idle = [
            (taken[k], size, k)
            for size, (buffers, taken) in self._classes.items()
            for k in range(len(buffers))
            if _holders(buffers, k) == _NONE_ELSE
        ]
        idle.sort(reverse=True)
        kept = 0
        gone = []
        for last, size, k in idle:
            kept += size
            if kept > self._most_idle or self._takes - last > _IDLE_TAKES:
                gone.append((size, k))
        for size, k in sorted(gone, reverse=True):
            del self._classes[size][0][k], self._classes[size][1][k]


_IDLE_TAKES = 2048
_shared = Pool(most_idle=256 << 20)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Like `np.empty`, from the process's pool where it is large enough."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return _shared.empty(shape, dtype) if keeps(size) else np.empty(shape, dtype)


def keeps(size: int) -> bool:
    """Whether `empty` takes arrays of so many bytes from the pool."""
    return _LEAST_BYTES <= size <= _MOST_BYTES


def is_sole(array: np.ndarray) -> bool:
    """Whether `array` came from a shelf and no other array shares its memory."""
    views = _views(array)  # before a name here holds the buffer, too
    buffer = array.base
    if type(buffer) is not np.ndarray or buffer.dtype != np.uint8 or buffer.base is not None:
        return False
    return _COUNTS_HOLD and buffer.nbytes >= _LEAST_BYTES and views <= _ONE_VIEW


def _views(array: Any) -> int:
    return sys.getrefcount(array.base)


def _one_view() -> int:
    buffers = [np.empty(8, np.uint8)]
    return _views(buffers[0][:4].view(np.float32).reshape(1))


_ONE_VIEW = _one_view()
