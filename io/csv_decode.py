"""decode_csv: CSV records in string tensors as columns, by the rules of `csv_records`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.convert import convert_to_tensor
from ..ops.errors import InvalidArgumentError
from ..ops.primitive import Primitive
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TensorSpec
from .csv_records import CsvColumn, CsvFormat, Record, field_value, records

__all__ = ["decode_csv"]

_KINDS = (dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int64, dtypes.string)


def decode_csv(
    records: Any,
    record_defaults: Any,
    field_delim: str = ",",
    use_quote_delim: bool = True,
    na_value: str = "",
    select_cols: Any = None,
    name: str | None = None,
) -> list[Tensor]:
    """The fields of CSV records (RFC 4180), a tensor of the shape of `records` each.

    Args:
        records: strings of any shape, one record each.
        record_defaults: per field a value for where it is empty, or an empty list (or tensor)
            for one that is required; their dtypes, of float32, float64, int32, int64 and
            string, are those of the results.
        field_delim: the byte between fields.
        use_quote_delim: whether double quotes enclose fields.
        na_value: what counts as empty, besides nothing.
        select_cols: increasing indices of the fields wanted; `record_defaults` is for those.
        name: ignored.

    Raises:
        InvalidArgumentError: a record does not fit; the text names it.
        ValueError: `select_cols` does not increase, or does not fit `record_defaults`.

    >>> [c.numpy().tolist() for c in decode_csv(["1,a", "2,b"], [[0], [""]])]
    [[1, 2], [b'a', b'b']]
    """
    columns = []
    for k, default in enumerate(record_defaults):
        value = convert_to_tensor(default)
        if value.dtype not in _KINDS:
            raise TypeError(f"record_defaults[{k}] has unsupported dtype {value.dtype.name}")
        if value.shape.rank not in (0, 1) or value._value.size > 1:
            raise ValueError(
                f"record_defaults[{k}] must be a scalar or a list of at most one value, got "
                f"shape {value.shape}"
            )
        only = value._value.reshape(-1)
        columns.append(CsvColumn(value.dtype, only[0].item() if only.size else None))
    chosen = None
    if select_cols is not None:
        chosen = tuple(int(c) for c in select_cols)
        if any(b <= a for a, b in itertools.pairwise(chosen)):
            raise ValueError("select_cols is not strictly increasing.")
        if chosen and chosen[0] < 0:
            raise ValueError("select_cols contains negative values.")
        if len(chosen) != len(columns):
            raise ValueError("Length of select_cols and record_defaults do not match.")
    if len(field_delim.encode()) != 1 or field_delim in '"\n\r':
        raise InvalidArgumentError(
            f"field_delim should be only 1 char, no quote or line end, got {field_delim!r}"
        )
    form = CsvFormat(
        tuple(columns), delimiter=field_delim.encode(), quotes=bool(use_quote_delim),
        na_value=na_value.encode(), select=chosen,
    )  # fmt: skip
    return list(_DecodeCSV(records, form=form))


def _decode_impl(x: StringArray, *, form: CsvFormat) -> Any:
    columns: list[list[Any]] = [[] for _ in form.columns]
    for k, text in enumerate(x.numpy().reshape(-1).tolist()):
        found = list(records(text, form)) or [Record([b""], 0, 0, True)]
        error = _add(columns, found, form)
        if error:
            raise InvalidArgumentError(f"{error} {k} [Op:DecodeCSV]", op="DecodeCSV")
    return tuple(
        _column(values, c.dtype, x.shape)
        for values, c in zip(columns, form.columns, strict=True)
    )


def _column(values: list[Any], dtype: Any, shape: tuple[int, ...]) -> Any:
    if dtype is dtypes.string:
        return StringArray.from_values(np.array([*values, None], object)[:-1]).reshape(shape)
    return np.array(values, dtype.np_dtype).reshape(shape)


def _add(columns: list[list[Any]], found: list[Record], form: CsvFormat) -> str | None:
    """Add one record's values; what is wrong with it, if anything."""
    record = found[0]
    if record.error is not None:
        return f"{record.error} in record"
    if len(found) > 1:
        return "A line end outside of quotes in record"
    wanted = form.wanted(len(record.fields))
    if len(wanted) != len(columns):
        many = "more" if len(wanted) > len(columns) else str(len(wanted))
        return f"Expect {len(columns)} fields but have {many} in record"
    for k, (at, column) in enumerate(zip(wanted, form.columns, strict=True)):
        value, error = field_value(record.fields[at], column, k, form.na_value)
        if error is not None:
            return (
                error.replace("record!", "record").replace("in record is", "is") + " at record"
            )
        columns[k].append(value)
    return None


_DecodeCSV = Primitive(
    "_DecodeCSV",
    "records: string",
    impl=_decode_impl,
    shape=lambda x, *, form: tuple(TensorSpec(x.shape, c.dtype) for c in form.columns),
    batch=lambda ctx, x, **attrs: ctx.primitive.call_flat((x,), attrs),
)
