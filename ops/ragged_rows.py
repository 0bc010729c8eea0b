"""Rows of a ragged tensor: indexing, gathering and joining them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import dtypes
from .array_basics import cast, reshape
from .array_gather import gather
from .array_index import getitem
from .array_join import concat, stack
from .array_shape import transpose
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .ragged_kernels import RowIndices, RowSlices
from .ragged_making import RaggedMaking
from .sequences import range as numbers
from .static_args import static_int

__all__ = ["RaggedRows"]


class RaggedRows(RaggedMaking):
    """The row access of `RaggedTensor`."""

    __slots__ = ()
    row_splits: Any
    values: Any
    _uniform: int | None

    def __getitem__(self, key: Any) -> Any:
        """Rows, by integers and ranges; a tuple goes on into the rows."""
        keys = key if isinstance(key, tuple) else (key,)
        if not keys:
            return self
        if keys[0] is Ellipsis:
            if len(keys) == 1:
                return self
            rank = self.shape.rank
            keys = (*(slice(None),) * (rank - len(keys) + 1), *keys[1:])
        first, rest = keys[0], keys[1:]
        if isinstance(first, slice):
            rows = self if first == slice(None) else self._rows(first)
            return rows._inner(rest) if rest else rows
        if first is None:
            raise ValueError(
                "RaggedTensor: a new axis is not supported; use hr.ragged.constant or "
                "from_row_lengths"
            )
        splits = self.row_splits
        try:
            start, stop = getitem(splits[:-1], first), getitem(splits[1:], first)
        except InvalidArgumentError:
            raise InvalidArgumentError(
                f"slice index {first} of dimension 0 out of bounds. [Op:StridedSlice]"
            ) from None
        a, b = constant_value(start), constant_value(stop)
        part = slice(start, stop) if a is None or b is None else slice(int(a), int(b))
        row = self.values[part]
        if isinstance(row, RaggedRows) or not rest:
            return row[rest] if rest else row
        return getitem(row, rest)

    def _rows(self, key: slice) -> Any:
        starts, limits = getitem(self.row_splits[:-1], key), getitem(self.row_splits[1:], key)
        places, splits = RowIndices(starts, limits)
        return type(self)(gather(self.values, places), splits, self._uniform)

    def _inner(self, keys: tuple[Any, ...]) -> Any:
        """A key for the axes behind the first."""
        first, rest = keys[0], keys[1:]
        if isinstance(first, slice):
            out = self
            if first != slice(None):
                places, splits = RowSlices(
                    self.row_splits, start=first.start, stop=first.stop, step=first.step
                )
                n = self._uniform
                uniform = None if n is None else len(range(*first.indices(n)))
                out = type(self)(gather(self.values, places), splits, uniform)
            if not rest:
                return out
            values = (
                out.values[(slice(None), *rest)]
                if isinstance(out.values, RaggedRows)
                else getitem(out.values, (slice(None), *rest))
            )
            return out.with_values(values)
        index = static_int(first, "RaggedTensor", "index")
        if self._uniform is None:
            raise ValueError("Cannot index into an inner ragged dimension.")
        n = self._uniform
        if not -n <= index < n:
            raise InvalidArgumentError(
                f"slice index {index} of dimension 1 out of bounds. [Op:StridedSlice]"
            )
        values = gather(self.values, self.row_splits[:-1] + (index % n))
        return values[(slice(None), *rest)] if rest else values

    def __iter__(self) -> Iterator[Any]:
        n = constant_value(self.row_splits)
        if n is None:
            raise TypeError("A symbolic RaggedTensor cannot be iterated over")
        return (self[i] for i in range(len(n) - 1))

    def __len__(self) -> int:
        n = self.shape[0]
        if n is None:
            raise TypeError("The number of rows is not known while tracing")
        return n

    def _gather(self, indices: Any, axis: Any, batch_dims: int) -> Any:
        if axis not in (None, 0) or batch_dims:
            raise ValueError("gather of a RaggedTensor: only axis=0, batch_dims=0 is supported")
        indices = to_tensor(indices, None)
        if indices.shape.rank == 0:
            return self[indices]
        places, splits = RowIndices(
            gather(self.row_splits[:-1], indices), gather(self.row_splits[1:], indices)
        )
        out = type(self)(gather(self.values, places), splits, self._uniform)
        if indices.shape.rank not in (1, None):
            raise ValueError("gather of a RaggedTensor: indices must be a scalar or a vector")
        return out

    def _concat(self, values: Any, axis: int) -> Any:
        parts = [_as_ragged(v, self) for v in values]
        if axis == 0:
            kind = self.row_splits.dtype
            inner = concat([p.values for p in parts], 0)
            return self.from_row_lengths(
                inner, concat([cast(p.row_lengths(), kind) for p in parts], 0), validate=False
            )
        if axis == 1:
            stacked = self._concat(parts, 0)
            # Row i of the result is row i of each part in turn.
            n, k = self.nrows(dtypes.int64), len(parts)
            order = reshape(transpose(reshape(numbers(n * k), [k, -1])), [-1])
            mixed = stacked._gather(order, 0, 0)
            return type(self)(mixed.values, mixed.row_splits[::k])
        return self.with_values(concat([p.values for p in parts], axis - 1))

    def _stack(self, values: Any, axis: int) -> Any:
        parts = [_as_ragged(v, self) for v in values]
        if axis != 0:
            raise ValueError("stack of RaggedTensors: only axis=0 is supported")
        lengths = stack([p.nrows() for p in parts])
        return self.from_row_lengths(self._concat(parts, 0), lengths, validate=False)


def _as_ragged(value: Any, like: RaggedRows) -> Any:
    if isinstance(value, RaggedRows):
        return value
    return like.from_tensor(
        value, ragged_rank=like.ragged_rank, row_splits_dtype=like.row_splits.dtype
    )
