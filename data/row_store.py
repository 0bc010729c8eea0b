"""RowStore: a buffer of rows that are written and read in any order, as `shuffle` needs it.

Rows have numbers; a row that has been read is dead until it is written again.  Dense columns
live in one array and strings in one arena of bytes, so nothing is allocated per row; rows of
varying shape live in a list.  A column moves on to the more general kind when a block comes
that does not fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.string_array import StringArray
from .block import Block
from .columns import column_from_rows, column_rows
from .structure import Structure

__all__ = ["RowStore"]

_AT_ONCE_BYTES = 64 << 20


class RowStore:
    """Rows by number.

    Args:
        structure: of the blocks.
        capacity: row numbers are below it; memory is taken as rows come.
    """

    def __init__(self, structure: Structure, capacity: int):
        self._structure = structure
        self._capacity = capacity
        self._size = 0
        self._columns: list[Any] = []

    def put(self, rows: np.ndarray, block: Block) -> None:
        """Write the rows of `block` as rows number `rows`."""
        if not self._columns:
            self._columns = [_store_for(c) for c in block.columns]
        highest = int(rows.max()) + 1 if len(rows) else 0
        if highest > self._size:
            row_bytes = max(1, block.nbytes // max(1, block.num_rows))
            # Memory that is not touched costs nothing, and growing would copy.
            at_once = _AT_ONCE_BYTES // row_bytes
            self._size = min(self._capacity, max(highest, 2 * self._size, at_once))
            for store in self._columns:
                store.grow(self._size)
        for i, column in enumerate(block.columns):
            if not self._columns[i].fits(column):
                self._columns[i] = _Rows.of(self._columns[i], self._size)
            self._columns[i].put(rows, column)

    def get(self, rows: np.ndarray) -> Block:
        """Take out rows number `rows`, in that order."""
        columns = [store.get(rows) for store in self._columns]
        return Block(columns, len(rows), self._structure)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return sum(store.nbytes for store in self._columns)


def _store_for(column: Any) -> Any:
    if isinstance(column, np.ndarray):
        return _Dense(column)
    if isinstance(column, StringArray):
        return _Strings(column)
    return _Rows()


class _Dense:
    def __init__(self, like: np.ndarray):
        self._array = np.empty((0, *like.shape[1:]), like.dtype)

    def fits(self, column: Any) -> bool:
        mine = self._array
        return (
            isinstance(column, np.ndarray)
            and column.dtype == mine.dtype
            and column.shape[1:] == mine.shape[1:]
        )

    def grow(self, size: int) -> None:
        old = self._array
        self._array = np.empty((size, *old.shape[1:]), old.dtype)
        self._array[: len(old)] = old

    def put(self, rows: np.ndarray, column: np.ndarray) -> None:
        self._array[rows] = column

    def get(self, rows: np.ndarray) -> np.ndarray:
        return self._array.take(rows, axis=0)

    def live_rows(self) -> list[Any]:
        return column_rows(self._array.copy())

    @property
    def nbytes(self) -> int:
        return self._array.nbytes


class _Strings:
    """Bytes are appended to an arena; when it is full, the live ones move to a new arena.

    What `get` returned keeps its arena alive, so an arena is never written over.
    """

    def __init__(self, like: StringArray):
        shape = (0, *like.shape[1:])
        self._starts, self._ends = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._arena = np.empty(1 << 16, np.uint8)
        self._used = 0

    def fits(self, column: Any) -> bool:
        return isinstance(column, StringArray) and column.shape[1:] == self._starts.shape[1:]

    def grow(self, size: int) -> None:
        for name in ("_starts", "_ends"):
            old = getattr(self, name)
            new = np.zeros((size, *old.shape[1:]), np.int64)
            new[: len(old)] = old
            setattr(self, name, new)

    def put(self, rows: np.ndarray, column: StringArray) -> None:
        if not column.size:
            return
        low, high = int(column.starts.min()), int(column.ends.max())
        if high - low > 1.25 * column.size_bytes + 1024:
            column = column.compact()
            low, high = 0, column.data.size
        high = max(low, high)
        size = high - low
        if self._used + size > self._arena.size:
            live = StringArray(self._arena, self._starts, self._ends).compact()
            self._used = live.data.size
            self._arena = np.empty(2 * (self._used + size) + (1 << 16), np.uint8)
            self._arena[: self._used] = live.data
            self._starts, self._ends = live.starts.copy(), live.ends.copy()
        self._arena[self._used : self._used + size] = column.data[low:high]
        self._starts[rows] = column.starts + (self._used - low)
        self._ends[rows] = column.ends + (self._used - low)
        self._used += size

    def get(self, rows: np.ndarray) -> StringArray:
        taken = StringArray(self._arena, self._starts[rows], self._ends[rows])
        self._starts[rows] = self._ends[rows] = 0
        return taken

    def live_rows(self) -> list[Any]:
        live = StringArray(self._arena, self._starts.copy(), self._ends.copy())
        return column_rows(live)

    @property
    def nbytes(self) -> int:
        return self._arena.nbytes + 2 * self._starts.nbytes


class _Rows:
    def __init__(self) -> None:
        self._items: list[Any] = []

    @classmethod
    def of(cls, store: Any, size: int) -> _Rows:
        new = cls()
        new._items = store.live_rows()
        new.grow(size)
        return new

    def fits(self, column: Any) -> bool:
        return True

    def grow(self, size: int) -> None:
        self._items.extend([None] * (size - len(self._items)))

    def put(self, rows: np.ndarray, column: Any) -> None:
        for number, item in zip(rows.tolist(), column_rows(column), strict=True):
            self._items[number] = item

    def get(self, rows: np.ndarray) -> Any:
        numbers = rows.tolist()
        taken = [self._items[i] for i in numbers]
        for i in numbers:
            self._items[i] = None
        return column_from_rows(taken)

    @property
    def nbytes(self) -> int:
        return sum(getattr(item, "nbytes", 64) for item in self._items if item is not None)
