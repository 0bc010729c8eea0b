"""Batches of rows that differ in shape, as ragged tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.ragged_tensor import RaggedTensor, RaggedTensorSpec
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TensorSpec
from .columns import ListColumn, as_ragged, column_from_rows, column_rows

__all__ = ["group_ragged", "ragged_spec", "stack_ragged"]


def ragged_spec(spec: Any, splits_dtype: Any) -> Any:
    """The spec of a component whose batches are to be ragged: itself if its shape is known.

    Raises:
        ValueError: not even its rank is known.
    """
    if not isinstance(spec, TensorSpec) or spec.shape.is_fully_defined():
        return spec
    if spec.shape.rank is None:
        raise ValueError(f"ragged_batch needs components of known rank, got {spec!r}")
    return RaggedTensorSpec(spec.shape, spec.dtype, spec.shape.rank - 1, splits_dtype)


def group_ragged(column: Any, size: int, spec: RaggedTensorSpec) -> Any | None:
    """Every `size` rows as one ragged tensor of the given spec, or None if they do not fit."""
    groups = len(column) // size
    ragged = as_ragged(column)
    if ragged is None and isinstance(column, ListColumn):
        tight = column_from_rows(column.items)
        ragged = as_ragged(tight)
    if ragged is not None and spec.ragged_rank == 1:
        splits = ragged.splits.astype(spec.row_splits_dtype.np_dtype, copy=False)
        values, out = ragged.values, []
        for g in range(groups):
            part = splits[g * size : (g + 1) * size + 1]
            inner = Tensor.of(values[part[0] : part[-1]])
            out.append(RaggedTensor(inner, Tensor.of(part - part[0])))
        return ListColumn(out)
    rows = [_as_tensor(row, spec) for row in column_rows(column)]
    return ListColumn([stack_ragged(rows[g * size : (g + 1) * size]) for g in range(groups)])


def _as_tensor(row: Any, spec: RaggedTensorSpec) -> Any:
    """A dense row as a ragged tensor with one level less than its batch."""
    if not isinstance(row, (np.ndarray, StringArray)):
        return row
    return RaggedTensor.from_tensor(
        Tensor.of(row), ragged_rank=spec.ragged_rank - 1, row_splits_dtype=spec.row_splits_dtype
    )


def stack_ragged(rows: list[RaggedTensor]) -> RaggedTensor:
    """Ragged tensors of one rank under a new leading axis."""
    counts = [len(row.row_splits._value) - 1 for row in rows]
    kind = rows[0].row_splits._value.dtype
    nested = [np.cumsum([0, *counts], dtype=kind)]
    for level in range(rows[0].ragged_rank):
        parts, offset = [np.zeros(1, kind)], 0
        for row in rows:
            splits = row.nested_row_splits[level]._value
            parts.append(splits[1:] + offset)
            offset += splits[-1]
        nested.append(np.concatenate(parts))
    flats = [row.flat_values._value for row in rows]
    join = StringArray.concatenate if isinstance(flats[0], StringArray) else np.concatenate
    return RaggedTensor.from_nested_row_splits(
        Tensor.of(join(flats)), [Tensor.of(s) for s in nested], validate=False
    )
