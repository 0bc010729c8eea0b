"""Columns as buffers: a JSON description and the raw bytes, exactly as they are in memory.

Arrow's IPC format has one schema per file, while columns of one component may change from
block to block (rows of one shape, then of several); here each column describes itself.

| description | column | buffers |
|---|---|---|
| ``["d", dtype, shape]`` | dense array | its bytes |
| ``["s", shape]`` | strings | int64 lengths, the bytes |
| ``["r", values]`` | `RaggedColumn` | int64 splits, those of the values |
| ``["p", indices, values, splits, shapes]`` | `SparseColumn` | those of its parts |
| ``["l", items]`` | `ListColumn` | those of the items |
| ``["c", spec, parts]`` | an item: composite tensor | those of its parts |
| ``["n"]`` | an item: None | |
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.composite import Composite
from ...ops.dtypes import as_dtype
from ...ops.string_array import StringArray
from ...ops.tensor import Tensor
from ..columns import ListColumn, RaggedColumn, SparseColumn
from .spec_json import spec_from_json, spec_to_json

__all__ = ["decode_column", "encode_column"]


def encode_column(column: Any, buffers: list[np.ndarray]) -> list[Any]:
    """The description of `column`; its bytes are appended to `buffers` as uint8 vectors."""
    if isinstance(column, Tensor):
        column = column._value
    if isinstance(column, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(column)
        buffers.append(array.reshape(-1).view(np.uint8))
        return ["d", as_dtype(array.dtype).name, list(np.shape(column))]
    if isinstance(column, StringArray):
        flat = column.ravel().compact()
        buffers.append(np.ascontiguousarray(flat.ends - flat.starts).view(np.uint8))
        buffers.append(np.ascontiguousarray(flat.data))
        return ["s", list(column.shape)]
    if isinstance(column, RaggedColumn):
        splits = column.splits - column.splits[0]
        buffers.append(splits.view(np.uint8))
        return ["r", encode_column(column.flat_values, buffers)]
    if isinstance(column, SparseColumn):
        part = slice(column.splits[0], column.splits[-1])
        parts = (column.indices[part], column.values[part], column.splits - column.splits[0],
                 column.dense_shapes)  # fmt: skip
        return ["p", *(encode_column(p, buffers) for p in parts)]
    if isinstance(column, ListColumn):
        return ["l", [encode_column(item, buffers) for item in column.items]]
    if isinstance(column, Composite):
        parts = [encode_column(p, buffers) for p in column._components()]
        return ["c", spec_to_json(column._type_spec), parts]
    if column is None:
        return ["n"]
    raise TypeError(f"a {type(column).__name__} cannot be written to a file: {column!r}")


def decode_column(description: list[Any], buffers: Any) -> Any:
    """The column of a description; `buffers` is an iterator over uint8 vectors."""
    kind, *args = description
    if kind == "d":
        dtype = as_dtype(args[0]).np_dtype
        return next(buffers).view(dtype).reshape(args[1])
    if kind == "s":
        lengths, data = next(buffers).view(np.int64), next(buffers)
        ends = np.cumsum(lengths)
        return StringArray(data, ends - lengths, ends).reshape(tuple(args[0]))
    if kind == "r":
        splits = next(buffers).view(np.int64)
        return RaggedColumn(decode_column(args[0], buffers), splits)
    if kind == "p":
        indices, values, splits, shapes = (decode_column(a, buffers) for a in args)
        return SparseColumn(indices, values, splits, shapes)
    if kind == "l":
        return ListColumn([decode_column(item, buffers) for item in args[0]])
    if kind == "c":
        parts = [Tensor.of(decode_column(p, buffers)) for p in args[1]]
        return spec_from_json(args[0]).from_components(parts)
    if kind == "n":
        return None
    raise ValueError(f"unknown kind of column {kind!r}")
