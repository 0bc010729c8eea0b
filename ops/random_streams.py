"""Streams of random words, one per output, for distributions that take any number of them.

Output i of a call reads groups of four words from the counter ``first + skip * i`` on, so it
depends on no other output; all outputs that still need numbers are served at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .philox import normals, philox, uniform_floats

__all__ = ["Buffer", "Streams", "normal_buffer", "uniform_buffer"]

_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_MASK64 = (1 << 64) - 1


class Streams:
    """The streams of `n` outputs.

    Args:
        key, counter: of the generator, as `philox.key_and_counter` gives them.
        starts: uint64 [n], groups that each stream lies behind the counter.
    """

    def __init__(self, key: int, counter: tuple[int, int], starts: np.ndarray):
        self.key = (key & 0xFFFFFFFF, key >> 32)
        self.high = counter[1]
        with np.errstate(over="ignore"):
            self.next = starts.astype(np.uint64) + np.uint64(counter[0] & _MASK64)
        self.carry = self.next < starts.astype(np.uint64)

    def groups(self, who: np.ndarray) -> np.ndarray:
        """The next four words of each output in `who`: uint32 [len(who), 4]."""
        c = self.next[who]
        h = np.uint64(self.high) + self.carry[who].astype(np.uint64)
        self.next[who] = c + np.uint64(1)
        self.carry[who] |= self.next[who] == 0
        return philox(c & _LOW, c >> _32, h & _LOW, h >> _32, self.key)


class Buffer:
    """Numbers made of a group of words, handed out last first.

    Args:
        streams: where the words come from.
        n: outputs.
        convert: words (flat) to numbers.
        size: numbers per group.
    """

    def __init__(self, streams: Streams, n: int, convert: Callable[[Any], Any], size: int):
        self.streams, self.convert, self.size = streams, convert, size
        self.values = np.empty((n, size), convert(np.zeros(4, np.uint32)).dtype)
        self.left = np.zeros(n, np.int8)

    def take(self, who: np.ndarray) -> np.ndarray:
        """One number for each output in `who`."""
        empty = who[self.left[who] == 0]
        if len(empty):
            words = self.streams.groups(empty)
            self.values[empty] = self.convert(words.reshape(-1)).reshape(-1, self.size)
            self.left[empty] = self.size
        self.left[who] -= 1
        return self.values[who, self.left[who]]


def uniform_buffer(streams: Streams, n: int, dtype: Any = np.float64) -> Buffer:
    """Numbers in [0, 1)."""
    dtype = np.dtype(dtype)
    return Buffer(streams, n, lambda w: uniform_floats(w, dtype), 16 // max(dtype.itemsize, 4))


def normal_buffer(streams: Streams, n: int) -> Buffer:
    """Standard normal doubles."""
    return Buffer(streams, n, lambda w: normals(w, np.dtype(np.float64)), 2)
