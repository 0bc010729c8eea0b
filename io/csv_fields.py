"""Columns of CSV text by the kernels of `csv_kernel`.

Kernels convert records up to the first that is not plainly right; `csv_reader` reads that one
by itself.  Strings are views of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops.string_array import StringArray
from . import buffers, jit
from .csv_chunks import CHUNK_BYTES, SLACK_BYTES, TextChunks
from .csv_records import CsvFormat

__all__ = ["CsvRows", "FieldParser", "Parsed"]

# As in `csv_kernel`, which would import numba.
_HAS_QUOTES, _HAS_RETURNS, _HAS_ESCAPES, _IS_WRONG, _FACTS = range(5)
_KINDS = {"int32": 0, "int64": 1, "float32": 2, "float64": 3, "string": 4}
_STRING = 4
_KERNELS = ("csv_index", "csv_rows", "csv_unescape")
_MOST_BYTES = 1 << 30  # positions times two are 32 bits wide
_INDEX_BYTES = 4 * (CHUNK_BYTES + 2 * SLACK_BYTES)


@dataclass(frozen=True)
class CsvRows:
    """Some records.

    Attributes:
        columns: an array (or `StringArray`) for every component wanted.
        num_rows: of each.
    """

    columns: list[Any]
    num_rows: int

    def __getitem__(self, rows: slice) -> CsvRows:
        """The records of a slice."""
        num_rows = len(range(*rows.indices(self.num_rows)))
        return CsvRows([column[rows] for column in self.columns], num_rows)


@dataclass(frozen=True)
class Parsed:
    """What became of some text.

    Attributes:
        rows: the records, or None if there is none.
        size_bytes: of their text.
        lines: line feeds in it.
        wrong: whether the next record has to be read by itself; else it is incomplete.
    """

    rows: CsvRows | None
    size_bytes: int
    lines: int
    wrong: bool


class FieldParser:
    """Converts text of one format.

    Args:
        form: the layout.
        used: indices of the components wanted.

    Attributes:
        front: what the text's buffers have to begin with: the defaults of strings.
    """

    def __init__(self, form: CsvFormat, used: Sequence[int]):
        self._form = form
        self._used = list(used)
        self._na = np.frombuffer(form.na_value or b"\0", np.uint8)
        self._possible = form.delimiter not in b'\n\r"' and b'"' not in form.na_value
        rows, front = [], b""
        for k in used:
            column = form.columns[k]
            default, end = 0, 0
            if column.default is not None and column.dtype.name == "string":
                default = len(front)
                front += column.default
                end = len(front)
            elif column.default is not None:
                value = np.array(column.default, column.dtype.np_dtype)
                wide = np.int64 if column.dtype.is_integer else np.float64
                default = int(value.astype(wide).view(np.int64))
            kind = _KINDS[column.dtype.name]
            rows.append([0, kind, column.default is not None, default, end, 0, 0])
        self._table = np.array(rows, np.int64).reshape(len(rows), 7)
        self.front = front

    def kernels(self) -> Any:
        """The kernels, or None if there are none (yet) or the format is not for them."""
        return jit.kernels(*_KERNELS) if self._possible else None

    def parse(self, kernels: Any, text: TextChunks, size_bytes: int, final: bool) -> Parsed:
        """The records that are complete in the first `size_bytes` bytes.

        Args:
            final: whether the file ends there.
        """
        csv_index, csv_rows, csv_unescape = kernels
        form, buffer = self._form, text.buffer
        low, high = text.low, text.low + size_bytes
        if size_bytes > _MOST_BYTES:
            return Parsed(None, 0, 0, True)
        stop = high
        if high == text.high and buffer[high - 1] != 10:
            # Ends the last record; or else keeps a carriage return from being a record's end
            # before it is known what follows.
            buffer[high] = 10
            stop += final
        room = 4 * (size_bytes + 2 * SLACK_BYTES)
        memory = buffers.take(room) if room == _INDEX_BYTES else np.empty(room, np.uint8)
        index = memory.view(np.uint32)
        facts = np.zeros(_FACTS, np.int64)
        data, index_at, facts_at = map(jit.address, (buffer, index, facts))
        count = csv_index(
            data, low, stop, form.delimiter[0], int(form.quotes), index_at, facts_at
        )
        width = self._width(index[:count])
        wanted = form.wanted(width)
        if not width or len(wanted) != len(form.columns):
            return Parsed(None, 0, 0, bool(width or facts[_IS_WRONG]))
        table, columns = self._table.copy(), []
        for row, k in zip(table, self._used, strict=True):
            column, at = self._room(form.columns[k].dtype, buffer, count // width)
            columns.append(column)
            row[0], row[5:] = wanted[k], at
        num_rows = csv_rows(
            data, index_at, count, width, low, facts_at, jit.address(self._na),
            len(form.na_value), jit.address(table), len(table),
        )  # fmt: skip
        wrong = bool(facts[_IS_WRONG])
        if not num_rows:
            return Parsed(None, 0, 0, wrong)
        end = min((int(index[num_rows * width - 1]) >> 1) + 1, high)
        lines = num_rows
        if facts[_HAS_QUOTES] or facts[_HAS_RETURNS] or end == high:
            lines = int(np.count_nonzero(buffer[low:end] == 10))
        if facts[_HAS_ESCAPES]:
            for row in table[table[:, 1] == _STRING]:
                csv_unescape(data, int(row[5]), int(row[6]), num_rows, len(self.front))
        rows = CsvRows(columns, count // width)[:num_rows]
        return Parsed(rows, end - low, lines, wrong)

    def _width(self, index: np.ndarray) -> int:
        """The number of fields of records: those of the first, if not all are wanted."""
        form = self._form
        if form.select is None and not form.exclude:
            return len(form.columns)
        for part in (index[:4096], index):
            ends = np.flatnonzero(part & 1)
            if len(ends):
                return int(ends[0]) + 1
        return 0

    def _room(self, dtype: Any, buffer: np.ndarray, rows: int) -> tuple[Any, tuple[int, int]]:
        """A column of `rows` values to be filled, and where."""
        if dtype.name == "string":
            starts, ends = np.empty(rows, np.int64), np.empty(rows, np.int64)
            return StringArray(buffer, starts, ends), (jit.address(starts), jit.address(ends))
        values = np.empty(rows, dtype.np_dtype)
        return values, (jit.address(values), 0)
