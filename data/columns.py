"""Columns: n elements of one component, held together.

A column is one of

- `numpy.ndarray` of shape [n, ...]: elements of one shape;
- `StringArray` of shape [n, ...]: byte strings of one shape;
- `RaggedColumn`: elements that differ in their first axis only;
- `SparseColumn`: sparse tensors of one rank, kept as their parts;
- `ListColumn`: anything else (elements of any shapes, ragged tensors, datasets, ...).

All of them know ``len(c)``, ``c[i]`` (a row), ``c[a:b]`` and ``c[indices]`` (columns), and
`nbytes`.  A *row* is a raw value: an array, a NumPy scalar, a `StringArray`, or an object.
The kind may change from block to block of one stream: code that cares dispatches on it.

Columns are immutable by convention; slices share memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..io.tfrecord import RecordChunk
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor

__all__ = [
    "ListColumn",
    "RaggedColumn",
    "SparseColumn",
    "as_ragged",
    "column_from_rows",
    "column_nbytes",
    "concat_columns",
    "group_rows",
    "row_shape",
    "ungroup_rows",
]


class RaggedColumn:
    """Elements of shapes [m_0, ...], [m_1, ...], ... that agree in all axes but the first.

    Attributes:
        values: array or `StringArray` of shape [sum of m, ...].
        splits: int64 array of shape [n + 1]; element i is ``values[splits[i]:splits[i+1]]``.
    """

    __slots__ = ("splits", "values")

    def __init__(self, values: Any, splits: np.ndarray):
        self.values = values
        self.splits = splits

    def __len__(self) -> int:
        return len(self.splits) - 1

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, (int, np.integer)):
            i = range(len(self))[key]
            return self.values[self.splits[i] : self.splits[i + 1]]
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return RaggedColumn(self.values, self.splits[start : max(stop, start) + 1])
            key = np.arange(start, stop, step)
        key = np.asarray(key)
        if key.dtype == bool:
            key = np.flatnonzero(key)
        starts = self.splits[:-1][key]
        lengths = self.splits[1:][key] - starts
        splits = np.zeros(len(key) + 1, np.int64)
        np.cumsum(lengths, out=splits[1:])
        where = np.arange(splits[-1]) + np.repeat(starts - splits[:-1], lengths)
        return RaggedColumn(self.values[where], splits)

    @property
    def lengths(self) -> np.ndarray:
        """int64 sizes of the elements' first axes."""
        return np.diff(self.splits)

    @property
    def flat_values(self) -> Any:
        """The values in use: those between the first and the last split."""
        return self.values[self.splits[0] : self.splits[-1]]

    @property
    def nbytes(self) -> int:
        """Memory held by the rows of this column."""
        return self.flat_values.nbytes + self.splits.nbytes


class SparseColumn:
    """Sparse tensors of one rank r.

    Attributes:
        indices: int64 array [entries, r] of coordinates inside each element.
        values: array or `StringArray` [entries].
        splits: int64 array [n + 1] of the entries of each element.
        dense_shapes: int64 array [n, r].
    """

    __slots__ = ("dense_shapes", "indices", "splits", "values")

    def __init__(
        self, indices: np.ndarray, values: Any, splits: np.ndarray, dense_shapes: np.ndarray
    ):
        self.indices = indices
        self.values = values
        self.splits = splits
        self.dense_shapes = dense_shapes

    def __len__(self) -> int:
        return len(self.splits) - 1

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, (int, np.integer)):
            i = range(len(self))[key]
            part = slice(self.splits[i], self.splits[i + 1])
            return sparse_tensor(self.indices[part], self.values[part], self.dense_shapes[i])
        if isinstance(key, slice) and key.step in (None, 1):
            start, stop, _ = key.indices(len(self))
            splits = self.splits[start : max(stop, start) + 1]
            return SparseColumn(self.indices, self.values, splits, self.dense_shapes[key])
        index = RaggedColumn(self.indices, self.splits)[key]
        values = RaggedColumn(self.values, self.splits)[key]
        return SparseColumn(index.values, values.values, index.splits, self.dense_shapes[key])

    @property
    def nbytes(self) -> int:
        """Memory held by the rows of this column."""
        part = slice(self.splits[0], self.splits[-1])
        return self.indices[part].nbytes + self.values[part].nbytes + self.dense_shapes.nbytes

    def batched(self, size: int) -> SparseColumn:
        """Groups of `size` rows as sparse tensors of rank r + 1, what ``Dataset.batch`` makes.

        The dense shape of a group is `size` followed by the largest of its elements' shapes.
        """
        n, rank = self.dense_shapes.shape
        base = self.splits[0]
        lengths = np.diff(self.splits)
        row = np.repeat(np.arange(n) % size, lengths)
        indices = np.concatenate([row[:, None], self.indices[base : self.splits[-1]]], axis=1)
        shapes = np.empty((n // size, rank + 1), np.int64)
        shapes[:, 0] = size
        shapes[:, 1:] = self.dense_shapes.reshape(n // size, size, rank).max(axis=1)
        values = self.values[base : self.splits[-1]]
        return SparseColumn(indices, values, self.splits[::size] - base, shapes)


def sparse_tensor(indices: np.ndarray, values: Any, dense_shape: np.ndarray) -> Any:
    """A `SparseTensor` of raw parts."""
    from ..ops.sparse_tensor import SparseTensor

    return SparseTensor(*map(Tensor.of, (indices, values, dense_shape)))


class ListColumn:
    """Rows of any kind, in a Python list."""

    __slots__ = ("items",)

    def __init__(self, items: list[Any]):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, (int, np.integer)):
            return self.items[key]
        if isinstance(key, slice):
            return ListColumn(self.items[key])
        key = np.asarray(key)
        if key.dtype == bool:
            key = np.flatnonzero(key)
        items = self.items
        return ListColumn([items[i] for i in key.tolist()])

    @property
    def nbytes(self) -> int:
        """Memory held by array rows; other objects count 64 bytes each."""
        return sum(getattr(item, "nbytes", 64) for item in self.items)


def column_nbytes(column: Any) -> int:
    """Memory in bytes that the rows of `column` hold."""
    return int(column.nbytes)


def row_shape(row: Any) -> tuple[int, ...] | None:
    """The shape of an array row, else None."""
    return tuple(row.shape) if isinstance(row, (np.ndarray, np.generic, StringArray)) else None


def column_from_rows(rows: Sequence[Any]) -> Any:
    """The tightest column that holds `rows` (raw values)."""
    if not rows:
        return ListColumn([])
    first = rows[0]
    if isinstance(first, (np.ndarray, np.generic)) and first.dtype != object:
        dtype, shape = first.dtype, first.shape
        if all(isinstance(r, (np.ndarray, np.generic)) and r.dtype == dtype for r in rows):
            if all(r.shape == shape for r in rows):
                return np.array(rows, dtype) if not shape else np.stack(rows)
            if shape and all(r.shape[1:] == shape[1:] and r.shape for r in rows):
                return RaggedColumn(np.concatenate(rows), _splits_of(rows))
    elif isinstance(first, StringArray):
        shape = first.shape
        if all(isinstance(r, StringArray) for r in rows):
            if all(r.shape == shape for r in rows):
                return StringArray.stack(rows)
            if shape and all(r.shape[1:] == shape[1:] and r.shape for r in rows):
                return RaggedColumn(StringArray.concatenate(rows), _splits_of(rows))
    return ListColumn(list(rows))


def _splits_of(rows: Iterable[Any]) -> np.ndarray:
    return np.cumsum([0, *(len(r) for r in rows)], dtype=np.int64)


# Up to here `bytes.join` copies without giving up the GIL.
_SMALL_BYTES = 1 << 20


def concat_columns(columns: Sequence[Any]) -> Any:
    """The rows of all `columns`, one after the other, in the tightest kind that takes them."""
    columns = [c for c in columns if len(c)] or list(columns[:1])
    first = columns[0]
    if len(columns) == 1:
        return first
    if type(first) is np.ndarray:
        dtype, tail = first.dtype, first.shape[1:]
        for c in columns:
            if type(c) is not np.ndarray or c.dtype != dtype or c.shape[1:] != tail:
                break
        else:
            return _join_arrays(columns)
    kinds = {StringArray if isinstance(c, StringArray) else type(c) for c in columns}
    if kinds == {StringArray}:
        if all(c.shape[1:] == first.shape[1:] for c in columns):
            if all(isinstance(c, RecordChunk) for c in columns):
                return RecordChunk.join(columns)
            return StringArray.concatenate(columns)
    elif kinds == {SparseColumn}:
        if all(c.dense_shapes.shape[1] == first.dense_shapes.shape[1] for c in columns):
            return _concat_sparse(columns)
    elif kinds == {ListColumn}:
        return ListColumn([item for c in columns for item in c.items])
    ragged = [as_ragged(c) for c in columns]
    fitting = [r for r in ragged if r is not None]
    if len(fitting) == len(columns):
        values = [r.flat_values for r in fitting]
        tails = {v.shape[1:] for v in values}
        if len({type(v) for v in values}) == len(tails) == len({v.dtype for v in values}) == 1:
            lengths = np.concatenate([r.lengths for r in fitting])
            splits = np.zeros(len(lengths) + 1, np.int64)
            np.cumsum(lengths, out=splits[1:])
            joined = (
                np.concatenate(values)
                if isinstance(values[0], np.ndarray)
                else StringArray.concatenate(values)
            )
            return RaggedColumn(joined, splits)
    return ListColumn([row for c in columns for row in column_rows(c)])


def _join_arrays(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers of one dtype and shape of rows, one array after the other.

    A small copy keeps the GIL: `np.concatenate` gives it up for some kilobytes, and to get it
    back from a worker takes longer than the copy.
    """
    first, size_bytes = arrays[0], 0
    for array in arrays:
        size_bytes += array.nbytes if array.flags.c_contiguous else _SMALL_BYTES
    if 0 < size_bytes < _SMALL_BYTES and first.dtype.isbuiltin == 1:
        joined = np.frombuffer(bytearray().join(arrays), first.dtype)
        return joined if first.ndim == 1 else joined.reshape((-1, *first.shape[1:]))
    return np.concatenate(arrays)


def as_ragged(column: Any) -> RaggedColumn | None:
    """`column` as a `RaggedColumn`, or None if its rows are no arrays of one axis or more."""
    if isinstance(column, RaggedColumn):
        return column
    if isinstance(column, (np.ndarray, StringArray)) and column.ndim >= 2:
        n, m = column.shape[:2]
        splits = np.arange(n + 1, dtype=np.int64) * m
        return RaggedColumn(column.reshape((n * m, *column.shape[2:])), splits)
    return None


def _concat_sparse(columns: Sequence[SparseColumn]) -> SparseColumn:
    parts = [slice(c.splits[0], c.splits[-1]) for c in columns]
    values = [c.values[p] for c, p in zip(columns, parts, strict=True)]
    splits = np.zeros(sum(map(len, columns)) + 1, np.int64)
    np.cumsum(np.concatenate([np.diff(c.splits) for c in columns]), out=splits[1:])
    return SparseColumn(
        np.concatenate([c.indices[p] for c, p in zip(columns, parts, strict=True)]),
        np.concatenate(values)
        if isinstance(values[0], np.ndarray)
        else StringArray.concatenate(values),
        splits,
        np.concatenate([c.dense_shapes for c in columns]),
    )


def column_rows(column: Any) -> list[Any]:
    """All rows of `column` as raw values; scalars come as 0-d arrays or `StringArray`s."""
    if isinstance(column, ListColumn):
        return column.items
    if isinstance(column, np.ndarray):
        return [column[i, ...] for i in range(len(column))]
    return [column[i] for i in range(len(column))]


def group_rows(column: Any, size: int) -> Any | None:
    """Every `size` rows stacked to one, or None if some group's rows differ in shape.

    ``len(column)`` must be a multiple of `size`.  Zero-copy for dense and string columns.
    """
    groups = len(column) // size
    if isinstance(column, (np.ndarray, StringArray)):
        return column.reshape((groups, size, *column.shape[1:]))
    if isinstance(column, RaggedColumn):
        lengths = column.lengths.reshape(groups, size)
        if not (lengths == lengths[:, :1]).all():
            return None
        values, tail = column.flat_values, column.values.shape[1:]
        widths = lengths[:, 0]
        if groups and (widths == widths[0]).all():
            return values.reshape((groups, size, int(widths[0]), *tail))
        starts = column.splits[::size] - column.splits[0]
        rows = [
            values[starts[g] : starts[g + 1]].reshape((size, int(widths[g]), *tail))
            for g in range(groups)
        ]
        return column_from_rows(rows)
    if isinstance(column, SparseColumn):
        return column.batched(size)
    rows = []
    for g in range(groups):
        stacked = stack_rows(column.items[g * size : (g + 1) * size])
        if stacked is None:
            return None
        rows.append(stacked)
    return column_from_rows(rows)


def stack_rows(rows: list[Any]) -> Any | None:
    """`rows` with a new leading axis, or None if they differ in shape."""
    stacked = column_from_rows(rows)
    if isinstance(stacked, (np.ndarray, StringArray)):
        return stacked
    return None if isinstance(stacked, RaggedColumn) else batch_objects(rows)


def batch_objects(rows: list[Any]) -> Any | None:
    """Sparse tensors joined under a new leading axis."""
    kinds = {type(r).__name__ for r in rows}
    if kinds == {"SparseTensor"}:
        return sparse_column(rows).batched(len(rows))[0]
    return None


def sparse_column(rows: list[Any]) -> SparseColumn:
    """`SparseTensor`s of one rank as a column."""
    indices = [np.asarray(r.indices) for r in rows]
    values = [getattr(r.values, "_value", r.values) for r in rows]
    shapes = np.stack([np.asarray(r.dense_shape, np.int64) for r in rows])
    joined = (
        StringArray.concatenate(values)
        if isinstance(values[0], StringArray)
        else np.concatenate(values)
    )
    return SparseColumn(np.concatenate(indices), joined, _splits_of(indices), shapes)


def ungroup_rows(column: Any) -> tuple[Any, np.ndarray]:
    """The inverse of grouping: rows of the rows, and how many each row had.

    Raises:
        ValueError: a row is a scalar or has no axis to split.
    """
    if isinstance(column, (np.ndarray, StringArray)):
        if column.ndim < 2:
            raise ValueError("Cannot unbatch an input with scalar components.")
        n, m = column.shape[:2]
        return column.reshape((n * m, *column.shape[2:])), np.full(n, m, np.int64)
    if isinstance(column, RaggedColumn):
        return column.flat_values, column.lengths
    rows: list[Any] = []
    counts = []
    parts: Any = column.items if isinstance(column, ListColumn) else column_rows(column)
    for row in parts:
        inner = unstack_row(row)
        counts.append(len(inner))
        rows.append(inner)
    return concat_columns(rows), np.array(counts, np.int64)


def unstack_row(row: Any) -> Any:
    """The sub-elements of one row as a column."""
    if isinstance(row, (np.ndarray, StringArray)):
        if not row.ndim:
            raise ValueError("Cannot unbatch an input with scalar components.")
        return row
    if type(row).__name__ == "SparseTensor":
        indices = np.asarray(row.indices)
        shape = np.asarray(row.dense_shape, np.int64)
        order = np.argsort(indices[:, 0], kind="stable")
        splits = np.searchsorted(indices[order, 0], np.arange(shape[0] + 1)).astype(np.int64)
        values = getattr(row.values, "_value", row.values)
        shapes = np.repeat(shape[None, 1:], shape[0], axis=0)
        return SparseColumn(indices[order, 1:], values[order], splits, shapes)
    splits = np.asarray(row.row_splits._value, np.int64)
    if row.ragged_rank == 1:
        return RaggedColumn(row.values._value, splits)
    return ListColumn([row[i] for i in range(len(splits) - 1)])
