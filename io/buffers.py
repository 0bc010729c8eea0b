"""Recycled byte buffers for file chunks.

A fresh 2 MiB buffer costs 512 page faults, about as long as filling it from the page cache.
`take` hands out a `uint8` array whose memory comes back by itself once the array and all its
views (a StringArray's, a parsed column's) are gone; views keep it alive through NumPy's
``base``.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

__all__ = ["take"]

_MOST_KEPT = 8
_lock = threading.RLock()  # reentrant: __del__ may run inside `take`
_free: dict[int, list[np.ndarray]] = {}


class _Owner:
    """Keeps a buffer out of the pool for as long as arrays over it live."""

    __slots__ = ("__array_interface__", "_memory")

    def __init__(self, memory: np.ndarray):
        self._memory = memory
        self.__array_interface__: Any = memory.__array_interface__

    def __del__(self) -> None:
        give_back(self._memory)


def take(size_bytes: int) -> np.ndarray:
    """A `uint8` array of `size_bytes`, contents undefined."""
    with _lock:
        kept = _free.get(size_bytes)
        memory = kept.pop() if kept else None
    if memory is None:
        memory = np.empty(size_bytes, np.uint8)
    return np.asarray(_Owner(memory))


def give_back(memory: np.ndarray) -> None:
    """Keep `memory` for a later `take`, unless enough is kept already."""
    with _lock:
        kept = _free.setdefault(memory.size, [])
        if len(kept) < _MOST_KEPT and (len(_free) <= 4 or kept):
            kept.append(memory)
        elif not kept:
            del _free[memory.size]
