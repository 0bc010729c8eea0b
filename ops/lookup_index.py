"""KeyIndex: which row a key has; an open-addressing hash table for many keys at once.

Keys are int64 or byte strings.  Each has a 64-bit *tag*, which is the key itself or its
fingerprint, and lies in the first free slot at or after the place its tag says (linear
probing).  Finding a block of keys takes as many steps over shrinking vectors as the longest
run of taken slots; a compiled kernel (`io/lookup_kernel.py`, which announces itself through
`use_kernels`) does the same key by key.  Nothing here locks: tables that change do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .lookup_fingerprint import fingerprint64
from .quiet import quietly
from .string_array import StringArray
from .string_compare import equal

__all__ = ["KeyIndex", "tags_of", "use_kernels"]

_FREE, _GONE = 0, -1  # what a slot holds besides row + 1
_SMALLEST = 16

# find(slots, keys, stored keys) -> rows and tags; place(slots, keys, tags, count) -> as
# `_placed`; fingerprints(strings) -> uint64 [n].
_kernels: dict[str, Callable[..., Any]] = {}


def use_kernels(**kernels: Callable[..., Any]) -> None:
    """Let compiled functions serve for ``fingerprints``, ``find`` and ``place``; each may
    return None for what it cannot do (yet)."""
    _kernels.update(kernels)


def tags_of(keys: Any) -> np.ndarray:
    """int64 [n]: fingerprints of a vector of strings; integers as they are."""
    if not isinstance(keys, StringArray):
        return np.ascontiguousarray(keys, np.int64)
    kernel = _kernels.get("fingerprints")
    found = kernel(keys) if kernel is not None else None
    return (fingerprint64(keys) if found is None else found).view(np.int64)


class KeyIndex:
    """Rows of distinct keys, counted from 0 in the order of arrival.

    Args:
        strings: the keys are strings; else they are int64.

    Attributes:
        keys: the key of every row, in a buffer with room to grow.
        count: rows given out, those of removed keys included.
        alive: bool [count or more]: rows whose key has not been removed.
        removed: how many rows' keys have been removed.
    """

    def __init__(self, strings: bool):
        self.strings = strings
        self.keys: Any = StringArray.empty(0) if strings else np.empty(0, np.int64)
        # tag, row + 1; for strings also where the key's bytes begin and end, so that a lookup
        # touches two places in memory and no more.
        self._slots = np.zeros((_SMALLEST, 4 if strings else 2), np.int64)
        self._tags = np.empty(0, np.int64)
        self.alive = np.empty(0, bool)
        self.count = 0
        self.removed = 0

    def __len__(self) -> int:
        return self.count - self.removed

    def find(self, keys: Any) -> np.ndarray:
        """int64 [n]: the row of each key of a vector, -1 where it has none."""
        return self.find_tagged(keys)[0]

    def find_tagged(self, keys: Any) -> tuple[np.ndarray, np.ndarray]:
        """The rows as `find` gives them, and the keys' tags, which it needed."""
        kernel = _kernels.get("find")
        found = kernel(self._slots, keys, self.keys) if kernel is not None else None
        if found is not None:
            return found
        tags = tags_of(keys)
        at = self._find_slots(keys, tags)
        return np.where(at < 0, -1, self._slots[at, 1] - 1), tags

    def add(self, keys: Any) -> np.ndarray:
        """int64 [n]: the row of each key; unknown keys get new rows."""
        rows, tags = self.find_tagged(keys)
        new = np.flatnonzero(rows < 0)
        if new.size:
            self._reserve(new.size)
            if new.size < len(rows):
                keys, tags = keys[new], tags[new]
            rows[new] = self._place(keys, tags)
        return rows

    def remove(self, keys: Any) -> None:
        """Forget keys; unknown ones are ignored.  Their rows are not given out again."""
        at = self._find_slots(keys, tags_of(keys))
        at = np.unique(at[at >= 0])
        self.alive[self._slots[at, 1] - 1] = False
        self._slots[at, 1] = _GONE
        self.removed += at.size

    def compact(self) -> np.ndarray:
        """Renumber the rows so that no removed ones are left; the old rows, in order."""
        kept = np.flatnonzero(self.alive[: self.count])
        self.keys = self.keys[kept]
        if self.strings:
            self.keys = self.keys.compact()
        self._tags = self._tags[kept]
        self.alive = np.ones(kept.size, bool)
        self.count, self.removed = kept.size, 0
        self._rebuild(kept.size)
        return kept

    # -- slots ----------------------------------------------------------------------------

    def _start(self, tags: np.ndarray) -> np.ndarray:
        """The first slot to look at: the tag's top bits after mixing, as the kernel does."""
        mixed = quietly(np.multiply, tags.view(np.uint64), np.uint64(0x9E3779B97F4A7C15))
        bits = len(self._slots).bit_length() - 1
        return (mixed >> np.uint64(64 - bits)).astype(np.int64)

    def _find_slots(self, keys: Any, tags: np.ndarray) -> np.ndarray:
        """int64 [n]: the slot that holds each key, -1 where none does."""
        found = np.full(len(tags), -1, np.int64)
        left = np.arange(len(tags))
        at = self._start(tags)
        mask = len(self._slots) - 1
        while left.size:
            held = self._slots[at, 1]
            same = (held > 0) & (self._slots[at, 0] == tags[left])
            if self.strings:
                hits = np.flatnonzero(same)
                same[hits] = equal(self.keys[held[hits] - 1], keys[left[hits]])
            found[left[same]] = at[same]
            go_on = ~same & (held != _FREE)
            left, at = left[go_on], (at[go_on] + 1) & mask
        return found

    def _place(self, keys: Any, tags: np.ndarray) -> np.ndarray:
        """Rows for keys that have none; equal ones among them get the same row."""
        kernel = _kernels.get("place")
        placed = kernel(self._slots, keys, tags, self.count) if kernel is not None else None
        rows, new, places = self._placed(keys, tags) if placed is None else placed
        end = self.count + new.size
        self._append(*((keys, tags) if new.size == len(tags) else (keys[new], tags[new])))
        if self.strings:
            self._slots[places, 2] = self.keys.starts[end - new.size : end]
            self._slots[places, 3] = self.keys.ends[end - new.size : end]
        return rows

    def _placed(self, keys: Any, tags: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows as `_place`, which keys they are new for, and those keys' slots."""
        rows = np.full(len(tags), -1, np.int64)
        left = np.arange(len(tags))
        at = self._start(tags)
        slots, mask = self._slots, len(self._slots) - 1
        taken: list[np.ndarray] = []
        while left.size:
            free = (slots[at, 1] == _FREE) | (slots[at, 1] == _GONE)
            # Until its row is known a slot holds the key's number k as -2 - k.  Of several keys
            # at one free slot the first takes it: written backwards, it is the last.
            slots[at[free][::-1], 1] = -2 - left[free][::-1]
            winner = slots[at, 1] == -2 - left
            slots[at[winner], 0] = tags[left[winner]]
            taken.append(at[winner])
            # A slot of an earlier call holds another key, one of this call maybe the same.
            twin = ~winner & (slots[at, 1] < _GONE) & (slots[at, 0] == tags[left])
            other = -2 - slots[at, 1]
            if self.strings:
                hits = np.flatnonzero(twin)
                twin[hits] = equal(keys[other[hits]], keys[left[hits]])
            rows[left[twin]] = -2 - other[twin]
            go_on = ~winner & ~twin
            left, at = left[go_on], (at[go_on] + 1) & mask
        places = np.concatenate(taken)
        owner = -2 - slots[places, 1]
        places, new = places[np.argsort(owner)], np.sort(owner)
        rows[new] = self.count + np.arange(new.size)
        twins = np.flatnonzero(rows < -1)
        rows[twins] = rows[-2 - rows[twins]]
        slots[places, 1] = rows[new] + 1
        return rows, new, places

    def _append(self, keys: Any, tags: np.ndarray) -> None:
        n, end = self.count, self.count + len(tags)
        self._tags = grown(self._tags, end)
        self._tags[n:end] = tags
        self.alive = grown(self.alive, end)
        self.alive[n:end] = True
        self.keys = grown(self.keys, end)
        self.keys = put(self.keys, slice(n, end), keys)
        self.count = end

    def _reserve(self, extra: int) -> None:
        """Slots for `extra` more keys with at most half of them taken (by removed ones too)."""
        if 2 * (self.count + extra) > len(self._slots):
            self._rebuild(self.count + extra)

    def _rebuild(self, keys: int) -> None:
        size = max(_SMALLEST, 1 << int(2 * keys).bit_length())
        self._slots = np.zeros((size, self._slots.shape[1]), np.int64)
        rows = np.flatnonzero(self.alive[: self.count])
        left, at = rows, self._start(self._tags[rows])
        while left.size:
            free = self._slots[at, 1] == _FREE
            self._slots[at[free], 1] = left[free] + 1
            placed = self._slots[at, 1] == left + 1
            self._slots[at[placed], 0] = self._tags[left[placed]]
            if self.strings:
                self._slots[at[placed], 2] = self.keys.starts[left[placed]]
                self._slots[at[placed], 3] = self.keys.ends[left[placed]]
            left, at = left[~placed], (at[~placed] + 1) & (size - 1)


# -- columns that grow ------------------------------------------------------------------------


def grown(column: Any, size: int) -> Any:
    """`column` with room for at least `size` rows; what is beyond the old ones is undefined."""
    have = len(column)
    if size <= have:
        return column
    room = max(size, 2 * have, _SMALLEST)
    if isinstance(column, StringArray):
        starts, ends = (np.zeros((room, *column.shape[1:]), np.int64) for _ in range(2))
        starts[:have], ends[:have] = column.starts, column.ends
        return StringArray(column.data, starts, ends)
    out = np.empty((room, *column.shape[1:]), column.dtype)
    out[:have] = column
    return out


def put(column: Any, rows: Any, values: Any) -> Any:
    """`column` with `values` in `rows`; the last of several values for one row stays.

    Strings go behind the buffer's last byte in use, which doubles when it is full and is
    compacted when most of it is no longer used.
    """
    if not isinstance(column, StringArray):
        column[rows] = values
        return column
    values = _packed(values)
    used = int(column.ends.max(initial=0))
    size = used + values.data.size
    data = column.data
    if size > data.size or not data.flags.writeable:
        if used > 4 * column.size_bytes + (1 << 16):
            column = column.compact()
            used = int(column.ends.max(initial=0))
            size = used + values.data.size
        data = np.empty(max(size, 2 * used, 64), np.uint8)
        data[:used] = column.data[:used]
    data[used:size] = values.data[: values.data.size]
    column.starts[rows], column.ends[rows] = values.starts + used, values.ends + used
    return StringArray(data, column.starts, column.ends)


def _packed(values: StringArray) -> StringArray:
    """The strings one behind the other, from the buffer's first byte on."""
    starts, ends = values.starts, values.ends
    if len(starts) and starts.ndim == 1 and np.array_equal(starts[1:], ends[:-1]):
        first, last = int(starts[0]), int(ends[-1])
        return StringArray(values.data[first:last], starts - first, ends - first)
    return values.compact()
