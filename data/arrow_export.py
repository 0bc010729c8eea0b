"""Columns to Arrow arrays, by the table of `arrow_specs`; memory is shared where possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ops import nest
from ..ops.string_array import StringArray
from .arrow_specs import arrow_schema, arrow_type, is_list, named
from .columns import ListColumn, RaggedColumn, SparseColumn, column_rows

__all__ = ["columns_to_arrow", "to_arrow", "varying_type"]


def columns_to_arrow(columns: Sequence[Any], spec: Any, num_rows: int) -> Any:
    """A RecordBatch of `arrow_schema(spec)` from columns in flat order."""
    import pyarrow as pa

    schema = arrow_schema(spec)
    flat = iter(range(len(columns)))
    where = nest.pack_sequence_as(spec, list(flat))
    arrays = [
        _build(part, field.type, columns, num_rows)
        for field, (_, part) in zip(schema, named(where), strict=True)
    ]
    if not arrays:
        raise TypeError("elements without components have no Arrow form")
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _build(where: Any, kind: Any, columns: Sequence[Any], n: int) -> Any:
    import pyarrow as pa

    if isinstance(where, (Mapping, tuple)):
        parts = [
            _build(part, field.type, columns, n)
            for field, (_, part) in zip(kind, named(where), strict=True)
        ]
        return pa.StructArray.from_arrays(parts, fields=list(kind))
    return to_arrow(columns[where], kind)


def to_arrow(column: Any, kind: Any = None) -> Any:
    """A column as a pyarrow Array, of the type given or that of its kind.

    Raises:
        TypeError: it holds objects Arrow has no type for.
    """
    import pyarrow as pa

    if isinstance(column, (np.ndarray, StringArray)) and _takes_dense(column, kind):
        flat = column.reshape((-1,)) if column.ndim != 1 else column
        if isinstance(flat, StringArray):
            array = flat.to_arrow()
        else:
            array = pa.array(np.ascontiguousarray(flat))
        return _wrap(array, column.shape, kind)
    if isinstance(column, RaggedColumn) and (kind is None or not _nested_lists(kind)):
        inner = to_arrow(column.flat_values, None if kind is None else kind.value_type)
        offsets = pa.array(column.splits - column.splits[0], pa.int64())
        return pa.LargeListArray.from_arrays(offsets, inner, type=kind)
    if kind is not None and not isinstance(column, SparseColumn):
        return pa.array([_python(row) for row in column_rows(column)], kind)
    raise TypeError(f"A {type(column).__name__} has no Arrow form; batch or densify it first.")


def varying_type(column: Any, spec: Any) -> Any:
    """The type that only `spec` knows for rows kept as objects; None for other columns."""
    return arrow_type(spec, "rows") if isinstance(column, ListColumn) else None


def _takes_dense(column: Any, kind: Any) -> bool:
    """Whether `kind` is one fixed-size or outermost varying list around the dense rows."""
    return kind is None or not is_list(kind) or not _nested_lists(kind)


def _nested_lists(kind: Any) -> bool:
    return is_list(kind) and is_list(kind.value_type)


def _wrap(array: Any, shape: tuple[int, ...], kind: Any) -> Any:
    import pyarrow as pa

    kinds = []
    level = kind
    for _ in shape[1:]:
        kinds.append(level)
        level = None if level is None else level.value_type
    for axis in range(len(shape) - 1, 0, -1):
        size, level = shape[axis], kinds[axis - 1]
        if level is not None and is_list(level):
            rows = int(np.prod(shape[:axis]))
            offsets = pa.array(np.arange(rows + 1, dtype=np.int64) * size)
            array = pa.LargeListArray.from_arrays(offsets, array, type=level)
        elif level is None:
            array = pa.FixedSizeListArray.from_arrays(array, size)
        else:
            array = pa.FixedSizeListArray.from_arrays(array, type=level)
    return array


def _python(row: Any) -> Any:
    if hasattr(row, "to_list"):
        return row.to_list()
    return row.tolist()
