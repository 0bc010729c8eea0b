"""RowStore: a buffer of rows that are written and read in any order, as `shuffle` needs it.

Rows have numbers; a row that has been read is dead until it is written again.  Dense columns
live in one array, strings of about one size in slots of an array, other strings in one arena of
bytes, so nothing is allocated per row; rows of varying shape live in a list.  A column moves on
to the more general kind when a block comes that does not fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..io import buffers, jit
from ..ops.string_array import StringArray
from .autotune import default_ram_budget
from .block import Block
from .columns import column_from_rows, column_rows
from .string_arena import StringArena
from .structure import Structure

__all__ = ["RowStore"]

_AT_ONCE_BYTES = 64 << 20  # asked for where all that may come would not fit into memory
_LINE, _MOST_SLOT_BYTES = 64, 1 << 16


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
            # Memory that is not touched costs nothing; growing holds everything twice.
            whole = self._capacity * row_bytes <= 2 * default_ram_budget()
            at_once = self._capacity if whole else _AT_ONCE_BYTES // row_bytes
            self._size = min(self._capacity, max(highest, 2 * self._size, at_once))
            for store in self._columns:
                store.grow(self._size)
        for i, column in enumerate(block.columns):
            while not self._columns[i].fits(column):
                self._columns[i] = _more_general(self._columns[i], self._size)
            self._columns[i].put(rows, column)

    def get(self, rows: np.ndarray) -> Block:
        """Take out rows number `rows`, in that order."""
        columns = [store.get(rows) for store in self._columns]
        return Block(columns, len(rows), self._structure)

    @property
    def nbytes(self) -> int:
        """Memory that has been touched, in bytes."""
        return sum(store.nbytes for store in self._columns)


def _store_for(column: Any) -> Any:
    if isinstance(column, np.ndarray):
        return _Dense(column)
    if isinstance(column, StringArray):
        return _Slots(column) if _Slots.suit(column) else StringArena(column)
    return _Rows()


def _more_general(store: Any, size: int) -> Any:
    if isinstance(store, StringArena):
        return _Rows.of(column_rows(store.live()), size)
    return store.more_general(size)


class _Dense:
    def __init__(self, like: np.ndarray):
        self._array = np.empty((0, *like.shape[1:]), like.dtype)
        self._top = 0  # rows from there on have never been written

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
        self._array[: self._top] = old[: self._top]

    def put(self, rows: np.ndarray, column: np.ndarray) -> None:
        self._top = max(self._top, int(rows.max(initial=-1)) + 1)
        self._array[rows] = column

    def get(self, rows: np.ndarray) -> np.ndarray:
        return self._array.take(rows, axis=0)

    def more_general(self, size: int) -> _Rows:
        return _Rows.of(column_rows(self._array[: self._top].copy()), size)

    @property
    def nbytes(self) -> int:
        return self._array[: self._top].nbytes


class _Slots:
    """Strings of about one size, each in a slot of its own.

    They are copied out when they are read, one behind the other as they will be used, so a slot
    can be written over, and what comes next need not jump about in memory.
    """

    def __init__(self, like: StringArray):
        longest = int(like.lengths.max()) if like.size else 0
        self._width = max(-(-longest // _LINE), 1) * _LINE
        self._sizes = np.zeros(0, np.int64)
        self._slots = np.empty(0, f"V{self._width}")
        self._top = 0  # slots from there on have never been written

    @classmethod
    def suit(cls, column: StringArray) -> bool:
        """Whether slots for such strings would be filled by half."""
        if column.ndim != 1 or not column.size:
            return False
        width = int(column.lengths.max()) + _LINE
        return width <= _MOST_SLOT_BYTES and width * column.size <= 2 * column.size_bytes

    def fits(self, column: Any) -> bool:
        return (
            isinstance(column, StringArray)
            and column.ndim == 1
            and (not column.size or int(column.lengths.max()) <= self._width)
        )

    def grow(self, size: int) -> None:
        for name in ("_sizes", "_slots"):
            old = getattr(self, name)
            new = np.zeros(size, old.dtype) if name == "_sizes" else np.empty(size, old.dtype)
            new[: self._top] = old[: self._top]
            setattr(self, name, new)

    def put(self, rows: np.ndarray, column: StringArray) -> None:
        if not column.size:
            return
        self._top = max(self._top, int(rows.max()) + 1)
        data, width = np.ascontiguousarray(column.data), self._width
        put_strings = jit.kernel("put_strings")
        if put_strings is not None:
            at = [np.ascontiguousarray(x, np.int64) for x in (column.starts, column.ends, rows)]
            starts, ends, places = map(jit.address, at)
            put_strings(
                jit.address(data), starts, ends, len(rows), jit.address(self._slots), width,
                jit.address(self._sizes), places,
            )  # fmt: skip
            return
        self._sizes[rows] = column.lengths
        # What lies behind a string comes along, but for the last ones the buffer ends too soon.
        whole = column.starts <= data.size - width
        if whole.all():
            places = data.size - width + 1
            windows: Any = np.ndarray((places,), self._slots.dtype, data, 0, (1,))
            self._slots[rows] = windows[column.starts]
            return
        self.put(rows[whole], column[whole])
        raw = self._slots.view(np.uint8).reshape(-1, width)
        short = np.flatnonzero(~whole).tolist()
        for row, i in zip(rows[~whole].tolist(), short, strict=True):
            part = data[column.starts[i] : column.ends[i]]
            raw[row, : len(part)] = part

    def get(self, rows: np.ndarray) -> StringArray:
        n, width = len(rows), self._width
        room = buffers.take(1 << max(n * width - 1, 0).bit_length())
        get_strings = jit.kernel("get_strings")
        if get_strings is not None:
            rows = np.ascontiguousarray(rows, np.int64)
            bounds = np.zeros(n + 1, np.int64)
            size = get_strings(
                jit.address(self._slots), width, jit.address(self._sizes), jit.address(rows),
                n, jit.address(room), jit.address(bounds) + 8,
            )  # fmt: skip
            return StringArray(room[:size], bounds[:-1], bounds[1:])
        self._slots.take(rows, out=room[: n * width].view(self._slots.dtype), mode="clip")
        starts = np.arange(n) * width
        ends = starts + self._sizes[rows]
        self._sizes[rows] = 0
        return StringArray(room[: n * width], starts, ends)

    def more_general(self, size: int) -> StringArena:
        starts = np.arange(self._top) * self._width
        slots = self._slots[: self._top].view(np.uint8)
        live = StringArray(slots, starts, starts + self._sizes[: self._top])
        new = StringArena(live)
        new.grow(size)
        new.put(np.arange(self._top), live.compact())
        return new

    @property
    def nbytes(self) -> int:
        return self._slots[: self._top].nbytes + self._sizes[: self._top].nbytes


class _Rows:
    def __init__(self) -> None:
        self._items: list[Any] = []

    @classmethod
    def of(cls, items: list[Any], size: int) -> _Rows:
        new = cls()
        new._items = items
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
