"""CSV files as columns, with tf.data's semantics at the speed of compiled kernels.

Text is converted by `csv_fields` (or, while there are no kernels, by `csv_arrow`), up to the
first record that is not plainly right.  That one is read by `csv_records`, so values and errors
never depend on which of them did it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.errors import InvalidArgumentError
from ..ops.string_array import StringArray
from . import jit
from .csv_arrow import complete_bytes, parse_with_pyarrow
from .csv_chunks import CHUNK_BYTES, TextChunks
from .csv_fields import CsvRows, FieldParser, Parsed
from .csv_records import CsvFormat, Record, records, row_of

__all__ = ["CsvReader", "RecordError"]

_FIRST_BYTES, _MOST_BYTES = 1 << 14, CHUNK_BYTES
_MOST_EXACT = 1 << 10


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
        used = range(len(form.columns)) if used is None else used
        offset, line = position
        parser = FieldParser(form, used)
        self._begin(path, form, used, parser, line)
        self._chunks = TextChunks(path, compression, offset, parser.front)
        if form.header and offset == 0:
            try:
                self._skip_header()
            except BaseException:
                self.close()
                raise

    def _begin(
        self, path: str, form: CsvFormat, used: Sequence[int], parser: FieldParser, line: int
    ) -> None:
        self._path, self._form, self._used = path, form, used
        self._parser, self._line = parser, line
        self._bytes = _FIRST_BYTES
        self._exact = 1  # records to read one by one when the next comes that has to be
        self._wrong = False  # whether the next one has to be
        self._bad: tuple[Record, str] | None = None  # what the next `read` is to tell

    @property
    def position(self) -> list[int]:
        """Byte offset and line number of the next batch."""
        return [self._chunks.offset, self._line]

    @property
    def left_bytes(self) -> int:
        """Bytes in memory that are not used up."""
        return self._chunks.kept

    def close(self) -> None:
        """Close the file."""
        self._chunks.close()

    def read(self) -> CsvRows | None:
        """The next records, at least one; None at the end.

        Raises:
            RecordError: the next record cannot be read.
            DataLossError: the compressed data is damaged; the records before came first.
        """
        chunks, size = self._chunks, self._bytes
        while True:
            if self._bad is not None:
                self._raise_bad()
            chunks.fill(size)
            whole = chunks.at_end and chunks.kept <= size
            size = min(size, chunks.kept)
            if not size:
                chunks.check()
                return None
            if not self._wrong:
                parsed = self._parse(size, whole and chunks.final)
                self._wrong = parsed.wrong
                if parsed.rows is not None:
                    self._exact = 1
                    self._bytes = _FIRST_BYTES if parsed.wrong else min(4 * size, _MOST_BYTES)
                    self._use(parsed.size_bytes, parsed.lines)
                    return parsed.rows
            if self._wrong or (whole and chunks.final):
                rows = self._read_exactly(size, whole and chunks.final)
                if rows is not None:
                    return rows
            if self._bad is None:
                if whole:
                    chunks.check()
                    return None  # a part of a file that ends within a record
                size = max(2 * size, chunks.kept + 1)

    @property
    def cuts(self) -> bool:
        """Whether `next_part` can be used: its kernel is there."""
        return jit.kernel("csv_cut") is not None

    def next_part(self) -> CsvReader | None:
        """A reader of a stretch of the file that ends with a record, as far as quotes tell.

        None at the end, and where no such stretch can be told.  The stretch is in memory, and
        left out here.
        """
        cut = jit.kernel("csv_cut")
        self._chunks.fill(_MOST_BYTES)
        text = self._chunks
        if self._bad is not None or cut is None or not text.kept:
            return None
        lines = np.zeros(1, np.int64)
        end = cut(
            jit.address(text.buffer), text.low, text.high, int(self._form.quotes),
            jit.address(lines),
        )  # fmt: skip
        size, line = end - text.low, self._line + int(lines[0])
        if text.final:
            size, line = text.kept, self._line + int(np.count_nonzero(text.view() == 10))
        if not size:
            return None
        part = object.__new__(CsvReader)
        part._begin(self._path, self._form, self._used, self._parser, self._line)
        part._bytes = size
        part._wrong, self._wrong = self._wrong, False
        part._chunks = text.split(size)
        self._line = line
        return part

    # -- text -----------------------------------------------------------------------------

    def _parse(self, size_bytes: int, final: bool) -> Parsed:
        """What is plainly right of the first bytes."""
        kernels = self._parser.kernels()
        if kernels is not None:
            return self._parser.parse(kernels, self._chunks, size_bytes, final)
        data = self._chunks.view(size_bytes).tobytes()
        cut = len(data) if final else complete_bytes(data, self._form.quotes)
        rows = parse_with_pyarrow(data[:cut], self._form, self._used) if cut else None
        if rows is None:
            return Parsed(None, 0, 0, bool(cut))
        return Parsed(rows, cut, data.count(b"\n", 0, cut), False)

    def _use(self, size_bytes: int, lines: int) -> None:
        self._line += lines
        self._chunks.advance(size_bytes)

    def _skip_header(self) -> None:
        size, chunks = _FIRST_BYTES, self._chunks
        while True:
            chunks.fill(size)
            if not chunks.kept:
                chunks.check()
                raise InvalidArgumentError(
                    f"{self._path}: Can't read header of file: it is empty"
                )
            data = chunks.view().tobytes()
            first = next(records(data, self._form))
            if first.complete or chunks.at_end:
                break
            size *= 2
        if first.error is not None:
            self._bad = first, "Can't read header of file"
        else:
            self._use(first.end, data.count(b"\n", 0, first.end))

    # -- one by one -----------------------------------------------------------------------

    def _read_exactly(self, size_bytes: int, final: bool) -> CsvRows | None:
        """Some records up to the first bad one, which the next `read` tells."""
        form, data = self._form, self._chunks.view(size_bytes).tobytes()
        rows: list[list[Any]] = []
        end = 0
        for record in itertools.islice(records(data, form), self._exact):
            if not record.complete and not final:
                break
            values, error = row_of(record, form, self._used)
            if error is not None:
                self._bad = record, error
                break
            rows.append(values)
            end = record.end
        if self._bad is None and not rows:
            return None  # incomplete
        self._wrong = False
        self._exact = min(2 * self._exact, _MOST_EXACT)
        self._bytes = _FIRST_BYTES
        if not rows:
            return None
        columns = [_array([row[k] for row in rows], form.columns[k].dtype) for k in self._used]
        self._use(end, data.count(b"\n", 0, end))
        return CsvRows(columns, len(rows))

    def _raise_bad(self) -> None:
        assert self._bad is not None
        record, error = self._bad
        self._bad = None
        line, offset = self._line, self._chunks.offset
        size = record.end - record.start
        self._use(size, int(np.count_nonzero(self._chunks.view(size) == 10)))
        raise RecordError(f"{error} [{self._path}, line {line}, byte {offset}]")


def _array(values: list[Any], dtype: Any) -> Any:
    if dtype is dtypes.string:
        return StringArray.from_values(values)
    with np.errstate(over="ignore"):
        return np.array(values).astype(dtype.np_dtype)
