"""CSV records one by one, exactly as tf.data's CsvDataset reads them (RFC 4180, strictly).

This is the slow and exact reading, in Python, for chunks that pyarrow's parser refuses or would
take differently: it says which record is wrong and why, and reads on behind it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..ops import dtypes

__all__ = ["CsvColumn", "CsvFormat", "Record", "field_value", "records"]

_INT = re.compile(rb"[ \t\r\n\v\f]*([+-]?[0-9]+)[ \t\r\n\v\f]*\Z")
_FLOAT = re.compile(
    rb"\s*([+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
    rb"|inf(?:inity)?|nan))(?:\([^)]*\))?\s*\Z",
    re.I,
)
_HEX = re.compile(rb"\s*([+-]?0x[0-9a-f]+\.?[0-9a-f]*(?:p[+-]?[0-9]+)?)\s*\Z", re.I)
_BREAK = re.compile(rb"[\r\n]")
_LIMITS = {"int32": 1 << 31, "int64": 1 << 63}


@dataclass(frozen=True)
class CsvColumn:
    """One component of the elements.

    Attributes:
        dtype: float32, float64, int32, int64 or string.
        default: the value of an empty field (bytes for strings), or None if it is required.
    """

    dtype: Any
    default: Any = None


@dataclass(frozen=True)
class CsvFormat:
    """How files are laid out, and what is wanted of them.

    Attributes:
        columns: the components, in order.
        header: whether the first record of each file is left out.
        delimiter: the byte between fields.
        quotes: whether double quotes enclose fields.
        na_value: what counts as empty, besides nothing.
        select: indices of the fields wanted, increasing; None for all (but `exclude`).
        exclude: indices of fields to leave out.
    """

    columns: tuple[CsvColumn, ...]
    header: bool = False
    delimiter: bytes = b","
    quotes: bool = True
    na_value: bytes = b""
    select: tuple[int, ...] | None = None
    exclude: tuple[int, ...] = ()

    def wanted(self, num_fields: int) -> list[int]:
        """The fields of a record of `num_fields` that become components."""
        if self.select is not None:
            return [k for k in self.select if k < num_fields]
        return [k for k in range(num_fields) if k not in self.exclude]


class Record:
    """One record.

    Attributes:
        fields: its fields, unquoted.
        error: what is wrong with its quotes, or None.
        wrong_field: the field where that is.
        start, end: where it lies in the data, its line end included.
        complete: False if the data end inside of it.
    """

    __slots__ = ("complete", "end", "error", "fields", "start", "wrong_field")

    def __init__(self, fields: list[bytes], start: int, end: int, complete: bool,
                 error: str | None = None, wrong_field: int = 0):  # fmt: skip
        self.fields = fields
        self.start = start
        self.end = end
        self.complete = complete
        self.error = error
        self.wrong_field = wrong_field


def records(data: bytes, form: CsvFormat) -> Iterator[Record]:
    """The records of `data`, which begins with one."""
    position = 0
    while position < len(data):
        record = _record(data, position, form)
        yield record
        position = record.end


def _record(data: bytes, start: int, form: CsvFormat) -> Record:
    found = _BREAK.search(data, start)
    end = found.start() if found else len(data)
    if not form.quotes or data.find(b'"', start, end) < 0:
        after, complete = _line_end(data, end)
        return Record(data[start:end].split(form.delimiter), start, after, complete)
    fields: list[bytes] = []
    error: str | None = None
    bad = 0
    position = start
    while True:
        if data[position : position + 1] == b'"':
            field, position, wrong = _quoted(data, position + 1, form.delimiter)
            if position < 0:
                bad = bad if error else len(fields)
                return Record(fields, start, len(data), False, error or wrong, bad)
        else:
            field, position, wrong = _unquoted(data, position, form.delimiter)
        if error is None and wrong is not None:
            error, bad = wrong, len(fields)
        fields.append(field)
        if data[position : position + 1] != form.delimiter:
            after, complete = _line_end(data, position)
            return Record(fields, start, after, complete, error, bad)
        position += 1


def _line_end(data: bytes, position: int) -> tuple[int, bool]:
    """Behind the line end at `position`, and whether that is known to be all of it."""
    if position >= len(data):
        return len(data), False
    if data[position : position + 2] == b"\r\n":
        return position + 2, True
    return position + 1, data[position : position + 1] == b"\n" or position + 1 < len(data)


def _unquoted(data: bytes, start: int, delimiter: bytes) -> tuple[bytes, int, str | None]:
    found = re.compile(b"[\r\n" + re.escape(delimiter) + b"]").search(data, start)
    end = found.start() if found else len(data)
    field = data[start:end]
    wrong = "Unquoted fields cannot have quotes inside" if b'"' in field else None
    return field, end, wrong


def _quoted(data: bytes, start: int, delimiter: bytes) -> tuple[bytes, int, str | None]:
    parts, position, wrong = [], start, None
    while True:
        quote = data.find(b'"', position)
        if quote < 0:
            text = "Reached end of file without closing quoted field in record"
            return b"", -1, text
        parts.append(data[position:quote])
        following = data[quote + 1 : quote + 2]
        if following == b'"':
            parts.append(b'"')
            position = quote + 2
        elif following in (b"", b"\r", b"\n", delimiter):
            return b"".join(parts), quote + 1, wrong
        else:
            wrong = "Quote inside a string has to be escaped by another quote"
            position = quote + 1


def row_of(
    record: Record, form: CsvFormat, used: Sequence[int]
) -> tuple[list[Any], str | None]:
    """The values of a record (None for components not `used`), and the first thing that is
    wrong with it."""
    count = len(form.columns)
    wanted = form.wanted(len(record.fields))
    values: list[Any] = []
    for at, (k, column) in enumerate(zip(wanted, form.columns, strict=False)):
        if record.error is not None and record.wrong_field <= k:
            return values, record.error
        value, error = None, None
        if at in used:
            value, error = field_value(record.fields[k], column, at, form.na_value)
        if error is not None:
            return values, error
        values.append(value)
    if len(wanted) > count and not (record.error and record.wrong_field <= wanted[count]):
        return values, f"Expect {count} fields but have more in record"
    if record.error is not None:
        return values, record.error
    if len(wanted) < count:
        return values, f"Expect {count} fields but have {len(wanted)} in record"
    return values, None


def field_value(
    field: bytes, column: CsvColumn, index: int, na_value: bytes
) -> tuple[Any, str | None]:
    """The value of a field, or what is wrong with it."""
    if not field or field == na_value:
        if column.default is None:
            return None, f"Field {index} is required but missing in record!"
        return column.default, None
    if column.dtype is dtypes.string:
        return field, None
    value = _number(field, column.dtype)
    if value is None:
        name = {"float32": "float", "float64": "double"}.get(column.dtype.name)
        text = field.decode("utf-8", "backslashreplace")
        return (
            None,
            f"Field {index} in record is not a valid {name or column.dtype.name}: {text}",
        )
    return value, None


def _number(field: bytes, dtype: Any) -> Any:
    if dtype.is_integer:
        found = _INT.match(field)
        if found is None:
            return None
        value = int(found[1])
        limit = _LIMITS[dtype.name]
        return value if -limit <= value < limit else None
    if found := _FLOAT.match(field):
        value = float(found[1])
        return _for_float32(found[1], value) if dtype is dtypes.float32 else value
    if found := _HEX.match(field):
        return float.fromhex(found[1].decode())
    return None


def _for_float32(text: bytes, nearest: float) -> float:
    """A double that the conversion to float32 rounds as it should round `text`.

    Rounding to a double first is wrong where that lies between two float32s.
    """
    size = abs(nearest)
    if not 1e-46 < size < 3.5e38:
        return nearest
    _, exponent = math.frexp(size)
    halves = math.ldexp(size, 25 - max(exponent, -125))  # in halves of a float32's last place
    exact = Fraction(text.decode())
    if halves % 2 != 1 or exact == Fraction(nearest):
        return nearest
    return math.nextafter(nearest, math.inf if exact > Fraction(nearest) else -math.inf)
