"""CSV files as record batches, with tf.data's semantics at pyarrow's speed.

The file is cut into chunks of whole records, and pyarrow parses a chunk at a time.  What it
refuses, and what it would take differently from tf.data (stray quotes, hexadecimal numbers), is
read by `csv_records` instead, so values and errors never depend on which of the two did it.

Columns of the batches are called "0", "1", ...; each is of the dtype declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.errors import InvalidArgumentError
from .csv_chunks import TextChunks
from .csv_records import CsvFormat, Record, records, row_of

__all__ = ["CsvReader", "RecordError"]

_FIRST_BYTES, _MOST_BYTES = 1 << 14, 1 << 20
_DIALECT = (b"0x", b"0X")


class RecordError(InvalidArgumentError):
    """A record that cannot be read; its reader goes on behind it."""


class CsvReader:
    """Deals out the records of a CSV file.

    Args:
        path: of the file.
        form: its layout.
        compression: ``""``, ``"GZIP"`` or ``"ZLIB"``.
        position: byte offset and line number to begin at.
        used: indices of the components wanted; None for all.  Fields of the others are split
            off, not converted.
    """

    def __init__(
        self,
        path: str,
        form: CsvFormat,
        compression: str = "",
        position: Sequence[int] = (0, 1),
        used: Sequence[int] | None = None,
    ):
        self._path = path
        self._form = form
        self._used = list(range(len(form.columns))) if used is None else list(used)
        offset, self._line = position
        self._chunks = TextChunks(path, compression, offset)
        self._bytes = _FIRST_BYTES
        self._bad: tuple[Record, str] | None = None
        if form.header and offset == 0:
            try:
                self._skip_header()
            except BaseException:
                self.close()
                raise

    @property
    def position(self) -> list[int]:
        """Byte offset and line number of the next batch."""
        return [self._chunks.offset, self._line]

    def close(self) -> None:
        """Close the file."""
        self._chunks.close()

    def read(self) -> Any:
        """The next RecordBatch, or None at the end.

        Raises:
            RecordError: the next record cannot be read.
        """
        if self._bad is not None:
            self._raise_bad()
        size = self._bytes
        while True:
            self._chunks.fill(size)
            data = self._chunks.data
            if not data:
                return None
            cut = len(data) if self._chunks.at_end and len(data) <= size else self._cut(size)
            if cut:
                batch = self._parse(data, cut)
                if batch is not None:
                    self._bytes = min(4 * self._bytes, _MOST_BYTES)
                    self._use(cut, batch.num_rows)
                    return batch
                if (batch := self._read_exactly(bytes(data[:cut]))) is not None:
                    return batch
            if self._bad is not None:
                self._raise_bad()
            size = max(2 * size, len(data) + 1)

    # -- chunks ---------------------------------------------------------------------------

    def _use(self, size_bytes: int, num_rows: int | None = None) -> None:
        """Step over a number of bytes, which hold `num_rows` records if that is known."""
        data = self._chunks.data
        if num_rows is None or 34 in data or 13 in data or data[size_bytes - 1] != 10:
            num_rows = data.count(b"\n", 0, size_bytes)
        self._line += num_rows
        self._chunks.advance(size_bytes)

    def _skip_header(self) -> None:
        size = _FIRST_BYTES
        while True:
            self._chunks.fill(size)
            if not self._chunks.data:
                raise InvalidArgumentError(
                    f"{self._path}: Can't read header of file: it is empty"
                )
            first = next(records(bytes(self._chunks.data), self._form))
            if first.complete or self._chunks.at_end:
                break
            size *= 2
        if first.error is not None:
            self._bad = first, "Can't read header of file"
        else:
            self._use(first.end)

    def _cut(self, size: int) -> int:
        """Where the last record ends that is complete in the first `size` bytes; 0 if none."""
        data = self._chunks.data
        if not self._form.quotes or data.find(b'"', 0, size) < 0:
            cut = data.rfind(b"\n", 0, size) + 1
            # Lines ending in \r only: a \n might follow the last byte.
            return cut or data.rfind(b"\r", 0, min(size, len(data) - 1)) + 1
        array = np.frombuffer(data, np.uint8, min(size, len(data)))
        ends = np.flatnonzero(array == 10)
        outside = np.searchsorted(np.flatnonzero(array == 34), ends) % 2 == 0
        ends = ends[outside]
        return int(ends[-1]) + 1 if len(ends) else 0

    # -- pyarrow --------------------------------------------------------------------------

    def _parse(self, data: bytearray, size_bytes: int) -> Any:
        """The first bytes as a RecordBatch, or None if they have to be read exactly."""
        import pyarrow as pa
        from pyarrow import csv

        form = self._form
        quoted = form.quotes and data.find(b'"', 0, size_bytes) >= 0
        if quoted and not _well_quoted(data[:size_bytes], form.delimiter):
            return None
        # One byte is found much faster than two.
        if (b"x" in data or b"X" in data) and any(text in data for text in _DIALECT):
            return None
        if form.select is None and not form.exclude:
            num_fields = len(form.columns)
        else:
            num_fields = len(next(records(bytes(data[:size_bytes]), form)).fields)
        wanted = form.wanted(num_fields)
        if len(wanted) != len(form.columns):
            return None
        used = self._used or [0]  # a table without columns would have no rows
        kinds = {str(wanted[k]): _ARROW[form.columns[k].dtype.name] for k in used}
        empty = [""] if not form.na_value else ["", form.na_value.decode("utf-8", "replace")]
        try:
            table = csv.read_csv(
                pa.BufferReader(pa.py_buffer(data).slice(0, size_bytes)),
                csv.ReadOptions(
                    use_threads=False, block_size=size_bytes,
                    column_names=[str(k) for k in range(num_fields)],
                ),
                csv.ParseOptions(
                    delimiter=form.delimiter.decode("latin-1"),
                    quote_char='"' if quoted else False,
                    newlines_in_values=quoted, ignore_empty_lines=False,
                ),
                csv.ConvertOptions(
                    check_utf8=False, include_columns=list(kinds),
                    column_types={k: pa.type_for_alias(v) for k, v in kinds.items()},
                    null_values=empty, strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )  # fmt: skip
        except (pa.ArrowInvalid, pa.ArrowKeyError):
            return None
        arrays = []
        for k, column in zip(used, table.columns, strict=True):
            array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
            if array.null_count:
                if num_fields > 1 and _has_empty_line(data, size_bytes):
                    return None  # pyarrow made it a row of nulls; it lacks fields
                default = form.columns[k].default
                if default is None:
                    return None
                array = array.fill_null(pa.scalar(default, array.type))
            arrays.append(array)
        if not arrays:
            return None
        return self._named(arrays, table.num_rows)

    def _named(self, arrays: list[Any], num_rows: int) -> Any:
        import pyarrow as pa

        batch = pa.RecordBatch.from_arrays(arrays, [str(k) for k in self._used or [0]])
        return batch if self._used else batch.select([])

    # -- one by one -----------------------------------------------------------------------

    def _read_exactly(self, data: bytes) -> Any:
        """The records of a chunk up to the first bad one, which the next `read` tells."""
        import pyarrow as pa

        form = self._form
        whole = self._chunks.at_end and len(data) == len(self._chunks.data)
        rows, used = [], 0
        for record in records(data, form):
            if not record.complete and not whole:
                break
            values, error = row_of(record, form)
            if error is not None:
                self._bad = record, error
                break
            rows.append(values)
            used = record.end
        if not rows:
            return None
        self._bytes = _FIRST_BYTES if self._bad is not None else self._bytes
        kinds = [pa.type_for_alias(_ARROW[c.dtype.name]) for c in form.columns]
        arrays = [
            _array([row[k] for row in rows], form.columns[k].dtype, kinds[k])
            for k in self._used or [0]
        ]
        self._use(used)
        return self._named(arrays, len(rows))

    def _raise_bad(self) -> None:
        assert self._bad is not None
        record, error = self._bad
        self._bad = None
        line, offset = self._line, self._chunks.offset
        self._use(record.end - record.start)
        raise RecordError(f"{error} [{self._path}, line {line}, byte {offset}]")


_ARROW = {
    "int32": "int32", "int64": "int64", "float32": "float32", "float64": "float64",
    "string": "binary",
}  # fmt: skip


def _array(values: list[Any], dtype: Any, kind: Any) -> Any:
    import pyarrow as pa

    if dtype is dtypes.string:
        return pa.array(values, kind)
    with np.errstate(over="ignore"):
        return pa.array(np.array(values).astype(dtype.np_dtype), kind)


def _has_empty_line(data: bytearray, size_bytes: int) -> bool:
    """Whether a line of the first bytes has nothing in it (or might, inside quotes)."""
    return data[0] in b"\n\r" or any(
        data.find(ends, 0, size_bytes) >= 0 for ends in (b"\n\n", b"\n\r", b"\r\r")
    )


def _well_quoted(data: bytes | bytearray, delimiter: bytes) -> bool:
    """Whether quotes stand only around fields and, doubled, inside quoted ones.

    Of the quotes in order, every even one opens a field or is the second of a doubled pair,
    every odd one closes a field or is the first of such a pair.
    """
    array = np.frombuffer(data, np.uint8)
    at = np.flatnonzero(array == 34)
    if len(at) % 2:
        return False
    breaks = np.zeros(256, bool)
    breaks[[10, 13, delimiter[0]]] = True
    opening, closing = at[::2], at[1::2]
    before = (opening == 0) | breaks[array[opening - 1]]
    before[1:] |= opening[1:] - 1 == closing[:-1]
    following = np.minimum(closing + 1, len(array) - 1)
    after = (closing == len(array) - 1) | breaks[array[following]]
    after[:-1] |= opening[1:] - 1 == closing[:-1]
    return bool(before.all() and after.all())
