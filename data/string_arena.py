"""StringArena: strings that come and go in any order, in one piece of memory.

Bytes are appended; when the end is reached, the strings that are still there move to the front,
a megabyte at a time, so that nothing is held twice.  The arena is half as large again as what
lives in it (at least 16 MiB larger): then strings move once or twice in their lives.  It is
asked for at once where the number of rows is known: memory that is not touched costs nothing.
What is taken out is a copy, as the arena is written over.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..ops.string_array import StringArray
from .autotune import default_ram_budget

__all__ = ["StringArena"]

_SLACK_BYTES = 16 << 20
_MOVED_BYTES = 1 << 20  # strings moved at a time


class StringArena:
    """Strings by row number; rows may be arrays of strings of one shape.

    Args:
        like: strings of the shape that is to be kept.
    """

    def __init__(self, like: StringArray):
        shape = (0, *like.shape[1:])
        self._starts, self._ends = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._arena = np.empty(0, np.uint8)
        self._used = self._top = 0
        self._limit = 0  # where to see whether strings should move
        self._top_row = 0

    def fits(self, column: Any) -> bool:
        """Whether `column` can be put here."""
        return isinstance(column, StringArray) and column.shape[1:] == self._starts.shape[1:]

    def grow(self, size: int) -> None:
        """Have room for rows below `size`."""
        for name in ("_starts", "_ends"):
            old = getattr(self, name)
            new = np.zeros((size, *old.shape[1:]), np.int64)
            new[: len(old)] = old
            setattr(self, name, new)

    def put(self, rows: np.ndarray, column: StringArray) -> None:
        """Write `column` as rows number `rows`."""
        if not column.size:
            return
        low, high = int(column.starts.min()), int(column.ends.max())
        if not column.size_bytes <= high - low <= 1.25 * column.size_bytes + 1024:
            column = column.compact()
            low, high = 0, column.data.size
        high = max(low, high)
        size = high - low
        self._top_row = max(self._top_row, int(rows.max()) + 1)
        if self._used + size > self._limit:
            self._make_room(size, len(rows))
        self._arena[self._used : self._used + size] = column.data[low:high]
        self._starts[rows] = column.starts + (self._used - low)
        self._ends[rows] = column.ends + (self._used - low)
        self._used += size
        self._top = max(self._top, self._used)

    def _make_room(self, size: int, rows: int) -> None:
        """Have room for `size` more bytes, of so many rows."""
        starts, ends = self._starts.reshape(-1), self._ends.reshape(-1)
        live = np.flatnonzero(ends > starts)
        live = live[np.argsort(starts[live])]
        total = int((ends[live] - starts[live]).sum())
        self._limit = total + size + max(total // 2, _SLACK_BYTES)
        if self._limit <= self._arena.size:
            few_died = self._used - total <= max(total // 4, _SLACK_BYTES // 2)
            if few_died or self._move(live, self._arena):
                return
        wanted = total + size
        if not total:  # the first rows tell how long rows are
            whole = size * len(self._starts) // rows
            wanted = whole if whole <= 2 * default_ram_budget() else size
        elif self._used == self._top:
            wanted *= 2
        arena = np.empty(wanted + max(wanted // 2, _SLACK_BYTES), np.uint8)
        self._top = 0
        self._move(live, arena)
        self._arena = arena
        self._limit = min(max(self._limit, self._used + size), arena.size)

    def _move(self, live: np.ndarray, to: np.ndarray) -> bool:
        """Move the strings number `live`, sorted by where they start, to the front of `to`.

        False if they cannot be moved within their arena, because some share their bytes.
        """
        starts, ends = self._starts.reshape(-1), self._ends.reshape(-1)
        after = np.cumsum(ends[live] - starts[live])
        total = int(after[-1]) if len(after) else 0
        cuts = np.searchsorted(after, np.arange(_MOVED_BYTES, total, _MOVED_BYTES), "right")
        bounds = np.unique([0, *cuts.tolist(), len(live)]).tolist()
        if to is self._arena:
            inner = np.array(bounds[1:-1], np.int64)
            if (after[inner - 1] > starts[live[inner]]).any():
                return False
        at = 0
        for first, last in itertools.pairwise(bounds):
            part = live[first:last]
            moved = StringArray(self._arena, starts[part], ends[part]).compact()
            size = moved.data.size
            to[at : at + size] = moved.data
            starts[part], ends[part] = moved.starts + at, moved.ends + at
            at += size
        self._used = at
        self._top = max(self._top, at)
        return True

    def get(self, rows: np.ndarray) -> StringArray:
        """Take out rows number `rows`."""
        taken = StringArray(self._arena, self._starts[rows], self._ends[rows]).compact()
        self._starts[rows] = self._ends[rows] = 0
        return taken

    def live(self) -> StringArray:
        """A copy of all strings; those that were taken out are empty."""
        rows = slice(0, self._top_row)
        return StringArray(self._arena, self._starts[rows], self._ends[rows]).compact()

    @property
    def nbytes(self) -> int:
        """Memory that has been touched, in bytes."""
        return self._top + 2 * self._starts[: self._top_row].nbytes
