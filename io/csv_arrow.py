"""CSV text parsed by pyarrow: what is used while there are no kernels.

pyarrow is stricter here and laxer there than tf.data; what it refuses, and what it would take
differently (stray quotes, hexadecimal numbers, empty lines), `csv_reader` reads exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops.string_array import StringArray
from .csv_fields import CsvRows
from .csv_records import CsvFormat, records

__all__ = ["complete_bytes", "parse_with_pyarrow"]

_DIALECT = (b"0x", b"0X")
_ARROW = {
    "int32": "int32", "int64": "int64", "float32": "float32", "float64": "float64",
    "string": "binary",
}  # fmt: skip


def complete_bytes(data: bytes, quotes: bool) -> int:
    """Where the last record ends that is known to be complete; 0 if there is none."""
    if not quotes or b'"' not in data:
        # Lines ending in \r only: a \n might follow the last byte.
        return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, len(data) - 1) + 1
    array = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(array == 10)
    outside = np.searchsorted(np.flatnonzero(array == 34), ends) % 2 == 0
    ends = ends[outside]
    return int(ends[-1]) + 1 if len(ends) else 0


def parse_with_pyarrow(data: bytes, form: CsvFormat, used: Sequence[int]) -> CsvRows | None:
    """The records of `data`, or None if they have to be read exactly."""
    import pyarrow as pa
    from pyarrow import csv

    quoted = form.quotes and b'"' in data
    if quoted and not _well_quoted(data, form.delimiter):
        return None
    # One byte is found much faster than two.
    if (b"x" in data or b"X" in data) and any(text in data for text in _DIALECT):
        return None
    if form.select is None and not form.exclude:
        num_fields = len(form.columns)
    else:
        num_fields = len(next(records(data, form)).fields)
    wanted = form.wanted(num_fields)
    if len(wanted) != len(form.columns):
        return None
    some = used or [0]  # a table without columns would have no rows
    kinds = {str(wanted[k]): _ARROW[form.columns[k].dtype.name] for k in some}
    empty = [""] if not form.na_value else ["", form.na_value.decode("utf-8", "replace")]
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(
                use_threads=False, block_size=len(data),
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
    columns: list[Any] = []
    for k, column in zip(used, table.columns, strict=bool(used)):
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if array.null_count:
            if num_fields > 1 and _has_empty_line(data):
                return None  # pyarrow made it a row of nulls; it lacks fields
            default = form.columns[k].default
            if default is None:
                return None
            array = array.fill_null(pa.scalar(default, array.type))
        if form.columns[k].dtype.name == "string":
            columns.append(StringArray.from_arrow(array))
        else:
            columns.append(array.to_numpy(zero_copy_only=False))
    return CsvRows(columns, table.num_rows)


def _has_empty_line(data: bytes) -> bool:
    """Whether a line has nothing in it (or might, inside quotes)."""
    return data[0] in b"\n\r" or any(ends in data for ends in (b"\n\n", b"\n\r", b"\r\r"))


def _well_quoted(data: bytes, delimiter: bytes) -> bool:
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
