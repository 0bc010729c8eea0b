"""RaggedTensor: rows of different lengths, and the operations of `hr.ragged`.

Row i is ``values[row_splits[i]:row_splits[i + 1]]``; values may be ragged themselves.  The
parts are plain tensors: flat values, then the splits of each level from the outside in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast
from .array_gather import gather
from .array_index import getitem
from .array_join import concat, stack
from .composite import Composite, CompositeSpec
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .ragged_kernels import (
    LengthsToSplits,
    RaggedToDense,
    RowIds,
    RowIndices,
    RowSlices,
    SplitsOfIds,
)
from .static_args import known_ints, static_int
from .string_array import StringArray
from .tensor import Tensor, is_symbolic
from .tensor_shape import TensorShape, as_shape
from .tensor_spec import TensorSpec

__all__ = [
    "RaggedTensor", "RaggedTensorSpec", "boolean_mask", "constant", "map_flat_values", "range",
    "row_splits_to_segment_ids", "segment_ids_to_row_splits",
]  # fmt: skip


class RaggedTensor(Composite):
    """Rows of different lengths.  Make one with `hr.ragged.constant` or a ``from_...`` method.

    Attributes:
        values: the rows one after the other: a tensor, or another ragged tensor.
        row_splits: int64 or int32 [nrows + 1]: where each row starts and the last ends.

    >>> RaggedTensor.from_row_lengths([1, 2, 3], [1, 2])
    <hr.RaggedTensor [[1], [2, 3]]>
    """

    __slots__ = ("__weakref__", "_uniform", "row_splits", "values")
    _handles_operators = True
    __array_priority__ = 100

    def __init__(self, values: Any, row_splits: Any, uniform_row_length: int | None = None):
        self.values = values if isinstance(values, RaggedTensor) else to_tensor(values, None)
        self.row_splits = row_splits
        self._uniform = uniform_row_length

    # -- making ---------------------------------------------------------------------------

    @classmethod
    def from_row_splits(cls, values: Any, row_splits: Any, name: str | None = None, validate: bool = True) -> RaggedTensor:
        """Rows ``values[row_splits[i]:row_splits[i + 1]]``.

        Raises:
            InvalidArgumentError: the splits do not start at 0, fall, or do not end at the
                number of values.
        """
        values, splits = _values(values), _integers(row_splits, "row_splits")
        if splits.shape.rank not in (1, None):
            raise ValueError(f"Shape {splits.shape} must have rank 1: row_splits must be a vector")
        if splits.shape.rank and splits.shape[0] == 0:
            raise ValueError("row_splits tensor may not be empty.")
        known = constant_value(splits)
        if validate and known is not None:
            _check(known[0] == 0, "from_row_splits", f"row_splits must start with 0, got {known[0]}")
            _check(bool((known[1:] >= known[:-1]).all()), "from_row_splits",
                   f"row_splits must not decrease, got {known.tolist()}")  # fmt: skip
            n = _nvals(values)
            _check(n is None or known[-1] == n, "from_row_splits",
                   f"row_splits must end with the number of values, {n}, got {known[-1]}")  # fmt: skip
        return cls(values, splits)

    @classmethod
    def from_row_lengths(cls, values: Any, row_lengths: Any, name: str | None = None, validate: bool = True) -> RaggedTensor:
        """Rows of the lengths `row_lengths`."""
        lengths = _integers(row_lengths, "row_lengths")
        known = constant_value(lengths)
        if validate and known is not None:
            _check(bool((known >= 0).all()), "from_row_lengths", f"row_lengths must be >= 0, got {known.tolist()}")
        return cls.from_row_splits(values, LengthsToSplits(lengths), validate=validate)

    @classmethod
    def from_value_rowids(cls, values: Any, value_rowids: Any, nrows: Any = None, name: str | None = None,
                          validate: bool = True) -> RaggedTensor:  # fmt: skip
        """Value k belongs to row ``value_rowids[k]``; the row ids must not decrease."""
        values, ids = _values(values), _integers(value_rowids, "value_rowids")
        count = None if nrows is None else static_int(nrows, "from_value_rowids", "nrows")
        known = constant_value(ids)
        if validate and known is not None:
            _check(bool((known[1:] >= known[:-1]).all()), "from_value_rowids",
                   f"value_rowids must not decrease, got {known.tolist()}")  # fmt: skip
            _check(not len(known) or known[0] >= 0, "from_value_rowids", "value_rowids must be >= 0")
            _check(not len(known) or count is None or known[-1] < count, "from_value_rowids",
                   f"value_rowids must be < nrows ({count}), got {known[-1:].tolist()}")  # fmt: skip
        return cls.from_row_splits(values, SplitsOfIds(ids, nrows=count), validate=validate)

    @classmethod
    def from_row_starts(cls, values: Any, row_starts: Any, name: str | None = None, validate: bool = True) -> RaggedTensor:
        """Row i starts at ``row_starts[i]`` and ends where the next one starts."""
        values, starts = _values(values), _integers(row_starts, "row_starts")
        end = cast(_row_count(values), starts.dtype)
        return cls.from_row_splits(values, concat([starts, stack([end])], 0), validate=validate)

    @classmethod
    def from_row_limits(cls, values: Any, row_limits: Any, name: str | None = None, validate: bool = True) -> RaggedTensor:
        """Row i ends before ``row_limits[i]`` and starts where the last one ended."""
        limits = _integers(row_limits, "row_limits")
        return cls.from_row_splits(values, concat([np.zeros(1, limits.dtype.np_dtype), limits], 0), validate=validate)

    @classmethod
    def from_uniform_row_length(cls, values: Any, uniform_row_length: Any, nrows: Any = None, validate: bool = True,
                                name: str | None = None) -> RaggedTensor:  # fmt: skip
        """Rows of one length, kept as a ragged level."""
        values = _values(values)
        length = static_int(uniform_row_length, "from_uniform_row_length", "uniform_row_length")
        if length < 0:
            raise ValueError(f"uniform_row_length must be greater than or equal to 0, got {length}")
        if nrows is not None:
            splits = _scaled(np.arange(static_int(nrows, "from_uniform_row_length", "nrows") + 1), length)
        else:
            n = _nvals(values)
            if n is None:
                raise ValueError("from_uniform_row_length needs nrows where the number of values is unknown")
            if length == 0:
                raise ValueError("nrows must be specified when uniform_row_length is 0")
            splits = _scaled(np.arange(n // length + 1), length)
        out = cls.from_row_splits(values, splits, validate=validate)
        out._uniform = length
        return out

    @classmethod
    def from_nested_row_splits(cls, flat_values: Any, nested_row_splits: Any, name: str | None = None,
                               validate: bool = True) -> RaggedTensor:  # fmt: skip
        """Several ragged levels, the outermost splits first."""
        out = flat_values
        for splits in reversed(list(nested_row_splits)):
            out = cls.from_row_splits(out, splits, validate=validate)
        return out

    @classmethod
    def from_nested_row_lengths(cls, flat_values: Any, nested_row_lengths: Any, name: str | None = None,
                                validate: bool = True) -> RaggedTensor:  # fmt: skip
        """Several ragged levels, the outermost lengths first."""
        out = flat_values
        for lengths in reversed(list(nested_row_lengths)):
            out = cls.from_row_lengths(out, lengths, validate=validate)
        return out

    @classmethod
    def from_nested_value_rowids(cls, flat_values: Any, nested_value_rowids: Any, nested_nrows: Any = None,
                                 name: str | None = None, validate: bool = True) -> RaggedTensor:  # fmt: skip
        """Several ragged levels, the outermost row ids first."""
        ids = list(nested_value_rowids)
        counts = [None] * len(ids) if nested_nrows is None else list(nested_nrows)
        out = flat_values
        for some, count in zip(reversed(ids), reversed(counts), strict=True):
            out = cls.from_value_rowids(out, some, count, validate=validate)
        return out

    @classmethod
    def from_tensor(cls, tensor: Any, lengths: Any = None, padding: Any = None, ragged_rank: int = 1,
                    name: str | None = None, row_splits_dtype: Any = dtypes.int64) -> RaggedTensor:  # fmt: skip
        """A plain tensor as a ragged one.

        Args:
            tensor: at least ``ragged_rank + 1`` axes.
            lengths: length of each row; all of it by default.
            padding: instead of `lengths`, a value whose runs at the ends of rows are cut off.
            ragged_rank: number of ragged levels.
            name: ignored.
            row_splits_dtype: int64 or int32.
        """
        from .array_basics import reshape

        tensor = to_tensor(tensor, None)
        kind = as_dtype(row_splits_dtype)
        if lengths is not None and padding is not None:
            raise ValueError("Specify argument `lengths` or `padding`, but not both.")
        dims = tensor.shape
        if dims.rank is None or dims.rank <= ragged_rank or ragged_rank < 1 or None in dims[: ragged_rank + 1].dims:
            raise ValueError(f"from_tensor: needs known sizes and ragged_rank in [1, rank), got shape {dims}, ragged_rank={ragged_rank}")
        if isinstance(lengths, (list, tuple)) and lengths and isinstance(lengths[0], (list, tuple, np.ndarray, Tensor)):
            if ragged_rank not in (1, len(lengths)):
                raise ValueError("If `lengths` is a tuple of row_lengths, argument `ragged_rank` must be len(lengths)")
            if len(lengths) > 1:
                inner = reshape(tensor, [dims[0] * dims[1], *dims.dims[2:]])
                outer = cls.from_row_lengths(np.arange(dims[0] * dims[1]).reshape(-1), [dims[1]] * dims[0])
                keep = gather(outer.flat_values, _row_places(dims[0], dims[1], lengths[0]))
                rest = cls.from_tensor(gather(inner, keep), lengths=lengths[1:] if len(lengths) > 2 else lengths[1],
                                       row_splits_dtype=kind)  # fmt: skip
                return cls.from_row_lengths(rest, cast(lengths[0], kind))
            lengths = lengths[0]
        if ragged_rank > 1:
            inner = reshape(tensor, [dims[0] * dims[1], *dims.dims[2:]])
            rest = cls.from_tensor(inner, lengths, padding, ragged_rank - 1, row_splits_dtype=kind)
            return cls(rest, to_tensor(_scaled(np.arange(dims[0] + 1), dims[1]).astype(kind.np_dtype), None), dims[1])
        rows, width = dims[0], dims[1]
        flat = reshape(tensor, [rows * width, *dims.dims[2:]])
        if padding is not None:
            from .ragged_kernels import PaddedLengths

            lengths = PaddedLengths(tensor, to_tensor(padding, tensor.dtype))
        if lengths is None:
            return cls(flat, to_tensor(_scaled(np.arange(rows + 1), width).astype(kind.np_dtype), None))
        lengths = _integers(lengths, "lengths")
        starts = to_tensor((np.arange(rows) * width).astype(lengths.dtype.np_dtype), None)
        capped = gather_min(lengths, width)
        places, splits = RowIndices(starts, starts + capped)
        return cls(gather(flat, places), cast(splits, kind))

    @classmethod
    def from_sparse(cls, st_input: Any, name: str | None = None, row_splits_dtype: Any = dtypes.int64) -> RaggedTensor:
        """A matrix-shaped sparse tensor whose rows have no gaps, as a ragged one."""
        rows, columns = getitem(st_input.indices, (slice(None), 0)), getitem(st_input.indices, (slice(None), 1))
        count = constant_value(st_input.dense_shape)
        n = None if count is None else int(count[0])
        splits = SplitsOfIds(rows, nrows=n)
        known = constant_value(columns)
        if known is not None:
            own = constant_value(splits)
            want = np.arange(len(known)) - np.repeat(own[:-1], np.diff(own))
            _check(bool((known == want).all()), "from_sparse", "SparseTensor is not right-ragged")
        return cls(st_input.values, cast(splits, as_dtype(row_splits_dtype)))

    # -- reading --------------------------------------------------------------------------

    @property
    def dtype(self) -> DType:
        """The elements' type."""
        return self.values.dtype

    @property
    def shape(self) -> TensorShape:
        """The shape, with None for the ragged axes."""
        n = self.row_splits.shape[0] if self.row_splits.shape.rank else None
        return TensorShape([None if n is None else n - 1, self._uniform]).concatenate(self.values.shape[1:])

    def get_shape(self) -> TensorShape:
        """The shape, as TensorFlow's older spelling."""
        return self.shape

    @property
    def ragged_rank(self) -> int:
        """Number of ragged levels."""
        return 1 + (self.values.ragged_rank if isinstance(self.values, RaggedTensor) else 0)

    @property
    def flat_values(self) -> Tensor:
        """The innermost values, a plain tensor."""
        values = self.values
        while isinstance(values, RaggedTensor):
            values = values.values
        return values

    @property
    def nested_row_splits(self) -> tuple[Tensor, ...]:
        """The splits of each level, the outermost first."""
        inner = self.values.nested_row_splits if isinstance(self.values, RaggedTensor) else ()
        return (self.row_splits, *inner)

    @property
    def uniform_row_length(self) -> Any:
        """The one length of all rows if it is known to be one, else None."""
        return None if self._uniform is None else Tensor.of(np.array(self._uniform, self.row_splits.dtype.np_dtype))

    def nrows(self, out_type: Any = None, name: str | None = None) -> Tensor:
        """Number of rows, a scalar of the splits' dtype."""
        from .array_basics import size

        n = size(self.row_splits, out_type or self.row_splits.dtype)
        return n - Tensor.of(np.array(1, n.dtype.np_dtype))

    def nvals(self, out_type: Any = None, name: str | None = None) -> Tensor:
        """Number of values of the outermost level."""
        return cast(_row_count(self.values), out_type or self.row_splits.dtype)

    def row_starts(self, name: str | None = None) -> Tensor:
        """Where each row starts."""
        return self.row_splits[:-1]

    def row_limits(self, name: str | None = None) -> Tensor:
        """Where each row ends."""
        return self.row_splits[1:]

    def row_lengths(self, axis: int = 1, name: str | None = None) -> Any:
        """Length of each row; with a larger `axis` that of the deeper rows, ragged."""
        if axis == 1:
            return self.row_splits[1:] - self.row_splits[:-1]
        if axis < 1 or not isinstance(self.values, RaggedTensor):
            raise ValueError(f"row_lengths: axis must be in [1, ragged_rank] = [1, {self.ragged_rank}], got {axis}")
        return self.with_values(self.values.row_lengths(axis - 1))

    def nested_row_lengths(self, name: str | None = None) -> tuple[Tensor, ...]:
        """The lengths of each level, the outermost first."""
        return tuple(s[1:] - s[:-1] for s in self.nested_row_splits)

    def value_rowids(self, name: str | None = None) -> Tensor:
        """The row of each value."""
        return RowIds(self.row_splits)

    def nested_value_rowids(self, name: str | None = None) -> tuple[Tensor, ...]:
        """The rows of each level's values, the outermost first."""
        return tuple(RowIds(s) for s in self.nested_row_splits)

    def bounding_shape(self, axis: Any = None, name: str | None = None, out_type: Any = None) -> Tensor:
        """Sizes of the smallest box that holds the tensor, or some of them."""
        from .array_basics import shape

        kind = as_dtype(out_type) if out_type is not None else self.row_splits.dtype
        sizes = [cast(self.nrows(), kind)]
        for lengths in self.nested_row_lengths():
            sizes.append(cast(_largest(lengths), kind))
        inner = shape(self.flat_values, kind)[1:]
        out = concat([stack(sizes), inner], 0)
        return out if axis is None else gather(out, axis)

    # -- changing -------------------------------------------------------------------------

    def with_values(self, new_values: Any) -> RaggedTensor:
        """These rows with other values."""
        return RaggedTensor(_values(new_values), self.row_splits, self._uniform)

    def _with_values(self, values: Any) -> RaggedTensor:
        return self.with_values(values)

    def with_flat_values(self, new_values: Any) -> RaggedTensor:
        """These rows with other innermost values."""
        if isinstance(self.values, RaggedTensor):
            return self.with_values(self.values.with_flat_values(new_values))
        return self.with_values(new_values)

    def with_row_splits_dtype(self, dtype: Any) -> RaggedTensor:
        """This tensor with splits of another integer dtype."""
        values = self.values.with_row_splits_dtype(dtype) if isinstance(self.values, RaggedTensor) else self.values
        return RaggedTensor(values, cast(self.row_splits, dtype), self._uniform)

    def merge_dims(self, outer_axis: int, inner_axis: int) -> Any:
        """This tensor with the axes from `outer_axis` to `inner_axis` merged into one."""
        if outer_axis == inner_axis:
            return self
        if outer_axis > 0:
            return self.with_values(_merged(self.values, outer_axis - 1, inner_axis - 1))
        return _merged(self.values, 0, inner_axis - 1)

    # -- converting -----------------------------------------------------------------------

    def to_tensor(self, default_value: Any = None, name: str | None = None, shape: Any = None) -> Tensor:
        """A plain tensor in which short rows are filled up with `default_value` (0 or "").

        Args:
            default_value: scalar, or a value that broadcasts to one element of the flat values.
            name: ignored.
            shape: sizes to pad or cut to; None leaves an axis as it is.
        """
        dims = [] if shape is None else [None if d in (None, -1) else int(d) for d in _shape_list(shape)]
        dtype = self.dtype
        if default_value is None:
            default_value = "" if dtype is dtypes.string else np.zeros((), dtype.np_dtype)
        default = to_tensor(default_value, None if isinstance(default_value, Tensor) else dtype)
        values = self.values
        if isinstance(values, RaggedTensor):
            values = values.to_tensor(default, shape=[None, *dims[2:]])
        width = dims[1] if len(dims) > 1 and dims[1] is not None else self._uniform
        return RaggedToDense(values, self.row_splits, default, nrows=dims[0] if dims else None, width=width)

    def to_sparse(self, name: str | None = None) -> Any:
        """A `SparseTensor` with the same elements."""
        from .ragged_kernels import RaggedPlaces
        from .sparse_tensor import SparseTensor

        places = RaggedPlaces([cast(s, dtypes.int64) for s in self.nested_row_splits])
        flat = self.flat_values
        dense = self.bounding_shape(out_type=dtypes.int64)
        if flat.shape.rank not in (1, None):
            inner = flat.shape.as_list()[1:]
            if None in inner:
                raise ValueError("to_sparse needs flat values whose inner sizes are known")
            size = int(np.prod(inner))
            grid = np.stack(np.unravel_index(np.arange(size), inner), axis=1).astype(np.int64)
            from .array_basics import reshape
            from .array_shape import tile
            from .array_sort import repeat

            count = flat.shape[0]
            if count is None:
                raise ValueError("to_sparse needs flat values whose inner sizes are known")
            places = concat([repeat(places, size, axis=0), tile(grid, [count, 1])], 1)
            flat = reshape(flat, [-1])
        return SparseTensor(places, flat, dense)

    def to_list(self) -> list[Any]:
        """Nested Python lists."""
        splits = constant_value(self.row_splits)
        if splits is None:
            raise ValueError("to_list() is only possible when the tensor has a value")
        if isinstance(self.values, RaggedTensor):
            items: Any = self.values.to_list()
        else:
            raw = constant_value(self.values)
            items = raw.numpy().tolist() if isinstance(raw, StringArray) else raw.tolist()
        return [items[a:b] for a, b in zip(splits[:-1].tolist(), splits[1:].tolist(), strict=True)]

    def numpy(self) -> np.ndarray:
        """An array of rows, an object array unless all rows have one length."""
        splits = self.row_splits.numpy()
        values = self.values.numpy()
        rows = [values[a:b] for a, b in zip(splits[:-1].tolist(), splits[1:].tolist(), strict=True)]
        if len({len(r) for r in rows}) <= 1 and rows and not (rows[0].dtype == object and isinstance(self.values, RaggedTensor)):
            return np.stack(rows)
        out = np.empty(len(rows), object)
        for i, r in enumerate(rows):
            out[i] = r
        return out

    # -- indexing -------------------------------------------------------------------------

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
            raise ValueError("RaggedTensor: a new axis is not supported; use hr.ragged.constant or from_row_lengths")
        splits = self.row_splits
        try:
            start, stop = getitem(splits[:-1], first), getitem(splits[1:], first)
        except InvalidArgumentError:
            raise InvalidArgumentError(f"slice index {first} of dimension 0 out of bounds. [Op:StridedSlice]") from None
        a, b = constant_value(start), constant_value(stop)
        part = slice(start, stop) if a is None or b is None else slice(int(a), int(b))
        row = self.values[part]
        if isinstance(row, RaggedTensor) or not rest:
            return row[rest] if rest else row
        return getitem(row, rest)

    def _rows(self, key: slice) -> RaggedTensor:
        starts, limits = getitem(self.row_splits[:-1], key), getitem(self.row_splits[1:], key)
        places, splits = RowIndices(starts, limits)
        return RaggedTensor(gather(self.values, places), splits, self._uniform)

    def _inner(self, keys: tuple[Any, ...]) -> Any:
        """A key for the axes behind the first."""
        first, rest = keys[0], keys[1:]
        if isinstance(first, slice):
            out = self
            if first != slice(None):
                places, splits = RowSlices(self.row_splits, start=first.start, stop=first.stop, step=first.step)
                out = RaggedTensor(gather(self.values, places), splits)
            if not rest:
                return out
            values = out.values[(slice(None), *rest)] if isinstance(out.values, RaggedTensor) else getitem(
                out.values, (slice(None), *rest))  # fmt: skip
            return out.with_values(values)
        index = static_int(first, "RaggedTensor", "index")
        if self._uniform is None:
            raise ValueError("Cannot index into an inner ragged dimension.")
        n = self._uniform
        if not -n <= index < n:
            raise InvalidArgumentError(f"slice index {index} of dimension 1 out of bounds. [Op:StridedSlice]")
        values = gather(self.values, self.row_splits[:-1] + (index % n))
        return values[(slice(None), *rest)] if rest else values

    def __iter__(self) -> Iterator[Any]:
        n = constant_value(self.row_splits)
        if n is None:
            raise TypeError("A symbolic RaggedTensor cannot be iterated over")
        return (self[i] for i in _range(len(n) - 1))

    def __len__(self) -> int:
        n = self.shape[0]
        if n is None:
            raise TypeError("The number of rows is not known while tracing")
        return n

    def _gather(self, indices: Any, axis: Any, batch_dims: int) -> RaggedTensor:
        if axis not in (None, 0) or batch_dims:
            raise ValueError("gather of a RaggedTensor: only axis=0, batch_dims=0 is supported")
        indices = to_tensor(indices, None)
        if indices.shape.rank == 0:
            return self[indices]
        places, splits = RowIndices(gather(self.row_splits[:-1], indices), gather(self.row_splits[1:], indices))
        out = RaggedTensor(gather(self.values, places), splits, self._uniform)
        if indices.shape.rank not in (1, None):
            raise ValueError("gather of a RaggedTensor: indices must be a scalar or a vector")
        return out

    def _concat(self, values: Any, axis: int) -> RaggedTensor:
        parts = [_as_ragged(v, self) for v in values]
        if axis == 0:
            kind = self.row_splits.dtype
            inner = concat([p.values for p in parts], 0)
            return RaggedTensor.from_row_lengths(inner, concat([cast(p.row_lengths(), kind) for p in parts], 0), validate=False)
        if axis == 1:
            stacked = self._concat(parts, 0)
            # Row i of the result is row i of each part in turn.
            n, k = self.nrows(dtypes.int64), len(parts)
            from .array_basics import reshape
            from .array_shape import transpose
            from .sequences import range as range_

            order = reshape(transpose(reshape(range_(n * k), [k, -1])), [-1])
            mixed = stacked._gather(order, 0, 0)
            return RaggedTensor(mixed.values, mixed.row_splits[::k])
        return self.with_values(concat([p.values for p in parts], axis - 1))

    def _stack(self, values: Any, axis: int) -> RaggedTensor:
        parts = [_as_ragged(v, self) for v in values]
        if axis != 0:
            raise ValueError("stack of RaggedTensors: only axis=0 is supported")
        lengths = stack([p.nrows() for p in parts])
        return RaggedTensor.from_row_lengths(self._concat(parts, 0), lengths, validate=False)

    # -- composite ------------------------------------------------------------------------

    def _components(self) -> tuple[Tensor, ...]:
        return (self.flat_values, *self.nested_row_splits)

    @property
    def _type_spec(self) -> RaggedTensorSpec:
        return RaggedTensorSpec(
            self.shape, self.dtype, self.ragged_rank, self.row_splits.dtype, self.flat_values.shape
        )

    def __repr__(self) -> str:
        if any(is_symbolic(t) for t in self._components()):
            return f"hr.RaggedTensor(values={self.values}, row_splits={self.row_splits})"
        return f"<hr.RaggedTensor {self.to_list()}>"

    __str__ = __repr__
    __hash__ = None  # type: ignore[assignment]


_range = range


def _operator(name: str, fn: Callable[[Any, Any], Any]) -> None:
    setattr(RaggedTensor, f"__{name}__", lambda self, other: map_flat_values(fn, self, other))


def _reflected(name: str, fn: Callable[[Any, Any], Any]) -> None:
    setattr(RaggedTensor, f"__r{name}__", lambda self, other: map_flat_values(lambda a, b: fn(b, a), self, other))


def _add_operators() -> None:
    import operator

    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
        _operator(name, getattr(operator, name))
        _reflected(name, getattr(operator, name))
    for name in ("and", "or", "xor"):
        _operator(name, getattr(operator, f"__{name}__"))
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        _operator(name, getattr(operator, name))
    for name in ("neg", "abs", "invert"):
        one = getattr(operator, name)
        setattr(RaggedTensor, f"__{name}__", lambda self, one=one: self.with_flat_values(one(self.flat_values)))


_add_operators()


class RaggedTensorSpec(CompositeSpec):
    """Shape, dtype, number of ragged levels and splits' dtype of a `RaggedTensor`.

    >>> RaggedTensorSpec([None, None], "int32")
    RaggedTensorSpec(TensorShape([None, None]), hr.int32, 1, hr.int64)
    """

    __slots__ = ("_flat_shape", "dtype", "ragged_rank", "row_splits_dtype", "shape")

    def __init__(self, shape: Any = None, dtype: Any = dtypes.float32, ragged_rank: int | None = None,
                 row_splits_dtype: Any = dtypes.int64, flat_values_spec: Any = None):  # fmt: skip
        self.shape = as_shape(shape)
        self.dtype = as_dtype(dtype)
        self.row_splits_dtype = as_dtype(row_splits_dtype)
        rank = self.shape.rank
        if ragged_rank is None:
            if rank is None:
                raise ValueError("Must specify ragged_rank or a shape with a known rank.")
            ragged_rank = rank - 1
        self.ragged_rank = int(ragged_rank)
        if rank is not None and self.ragged_rank >= max(rank, 1):
            raise ValueError(f"Argument `ragged_rank` ({ragged_rank}) must be less than rank ({rank}).")
        self._flat_shape = getattr(flat_values_spec, "shape", flat_values_spec)

    @property
    def value_type(self) -> type:
        """`RaggedTensor`, or `Tensor` without ragged levels."""
        return RaggedTensor if self.ragged_rank else Tensor

    @property
    def flat_values_spec(self) -> TensorSpec:
        """Spec of the innermost values."""
        inner = self.shape[self.ragged_rank + 1 :]
        return TensorSpec(TensorShape([None]).concatenate(inner), self.dtype)

    def component_specs(self) -> tuple[TensorSpec, ...]:
        """Specs of the flat values and of each level's splits."""
        if not self.ragged_rank:
            return (TensorSpec(self.shape, self.dtype),)
        n = self.shape[0] if self.shape.rank else None
        outer = TensorSpec([None if n is None else n + 1], self.row_splits_dtype)
        rest = TensorSpec([None], self.row_splits_dtype)
        return (self.flat_values_spec, outer, *(rest,) * (self.ragged_rank - 1))

    def from_components(self, parts: list[Any]) -> Any:
        """The ragged tensor made of `parts`."""
        out = parts[0]
        dims = self.shape.dims
        for level in _range(self.ragged_rank, 0, -1):
            out = RaggedTensor(out, parts[level], None if dims is None else dims[level])
        return out

    def is_compatible_with(self, value: Any) -> bool:
        """Whether a ragged tensor or spec has this dtype, levels and a compatible shape."""
        spec = value if isinstance(value, RaggedTensorSpec) else getattr(value, "_type_spec", None)
        return (
            isinstance(spec, RaggedTensorSpec)
            and spec.dtype is self.dtype
            and spec.ragged_rank == self.ragged_rank
            and spec.row_splits_dtype is self.row_splits_dtype
            and self.shape.is_compatible_with(spec.shape)
        )

    def most_specific_common_supertype(self, others: Any) -> RaggedTensorSpec | None:
        """The narrowest spec that describes this and all `others`, or None."""
        shape = self.shape
        for other in others:
            if not isinstance(other, RaggedTensorSpec) or (
                (other.dtype, other.ragged_rank, other.row_splits_dtype)
                != (self.dtype, self.ragged_rank, self.row_splits_dtype)
            ):
                return None
            shape = shape.most_general(other.shape)
        return RaggedTensorSpec(shape, self.dtype, self.ragged_rank, self.row_splits_dtype)

    @classmethod
    def from_value(cls, value: RaggedTensor) -> RaggedTensorSpec:
        """The spec of `value`."""
        return value._type_spec

    def _key(self) -> tuple[Any, ...]:
        return self.shape, self.dtype, self.ragged_rank, self.row_splits_dtype

    def __repr__(self) -> str:
        return f"RaggedTensorSpec({self.shape!r}, {self.dtype!r}, {self.ragged_rank!r}, {self.row_splits_dtype!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RaggedTensorSpec, (self.shape, self.dtype, self.ragged_rank, self.row_splits_dtype)


# -- helpers ----------------------------------------------------------------------------------


def _values(value: Any) -> Any:
    return value if isinstance(value, RaggedTensor) else to_tensor(value, None)


def _integers(value: Any, what: str) -> Tensor:
    """A vector of splits, lengths...: int64 unless given as int32."""
    if not isinstance(value, Tensor):
        given = to_tensor(value, None) if _holds_tensor(value) else None
        if given is None:
            array = np.asarray(value)
            if array.dtype != np.int32:
                array = array.astype(np.int64) if array.size == 0 or array.dtype.kind in "iu" else array
            given = to_tensor(array, None)
        value = given
    if value.dtype not in (dtypes.int32, dtypes.int64):
        raise ValueError(f"{what} must have dtype int32 or int64, got {value.dtype.name}")
    return value


def _holds_tensor(value: Any) -> bool:
    return getattr(value, "_is_headrace_value", False) or (
        isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value)
    )


def _check(ok: Any, method: str, text: str) -> None:
    if not ok:
        raise InvalidArgumentError(f"Arguments to {method} do not form a valid RaggedTensor: {text}", op=method)


def _nvals(values: Any) -> int | None:
    shape = values.shape
    if shape.rank == 0:
        raise ValueError("RaggedTensor: values must have at least one axis, got a scalar")
    return shape[0] if shape.rank else None


def _row_count(values: Any) -> Tensor:
    from .array_basics import shape

    return values.nrows() if isinstance(values, RaggedTensor) else shape(values, dtypes.int64)[0]


def _scaled(steps: np.ndarray, by: int) -> np.ndarray:
    return (steps * by).astype(np.int64)


def _row_places(rows: int, width: int, lengths: Any) -> Tensor:
    starts = np.arange(rows) * width
    return RowIndices(starts, starts + np.asarray(lengths))[0]


def gather_min(lengths: Tensor, width: int) -> Tensor:
    """`lengths` cut off at `width` and at 0."""
    from .math_ops import maximum, minimum

    return maximum(minimum(lengths, width), 0)


def _largest(lengths: Tensor) -> Tensor:
    from .math_ops import maximum
    from .reductions import reduce_max

    return maximum(reduce_max(concat([lengths, np.zeros(1, lengths.dtype.np_dtype)], 0)), 0)


def _shape_list(shape: Any) -> Any:
    if isinstance(shape, TensorShape):
        return [] if shape.rank is None else shape.as_list()
    if isinstance(shape, (list, tuple)) and any(d is None for d in shape):
        return list(shape)
    return known_ints(shape, "to_tensor", "shape")


def _merged(values: Any, outer: int, inner: int) -> Any:
    if inner <= 0 and outer <= 0:
        return values
    if isinstance(values, RaggedTensor):
        return values.merge_dims(outer, inner)
    from .array_basics import reshape

    dims = [-1 if d is None else d for d in values.shape]
    return reshape(values, dims[:outer] + [-1] + dims[inner + 1 :])


def _as_ragged(value: Any, like: RaggedTensor) -> RaggedTensor:
    if isinstance(value, RaggedTensor):
        return value
    return RaggedTensor.from_tensor(value, ragged_rank=like.ragged_rank, row_splits_dtype=like.row_splits.dtype)


# -- hr.ragged --------------------------------------------------------------------------------


def constant(
    pylist: Any, dtype: Any = None, ragged_rank: int | None = None, inner_shape: Any = None,
    name: str | None = None, row_splits_dtype: Any = dtypes.int64,
) -> Any:  # fmt: skip
    """Nested lists of different lengths as a ragged tensor.

    Args:
        pylist: nested lists.
        dtype: of the elements.
        ragged_rank: number of ragged levels; all but the innermost by default.
        inner_shape: shape of each element of the flat values.
        name: ignored.
        row_splits_dtype: int64 or int32.

    >>> constant([[1, 2], [3]]).row_splits.numpy().tolist()
    [0, 2, 3]

    Raises:
        ValueError: lists and elements stand at the same depth, or the arguments do not fit.
    """
    pylist = _plain(pylist)
    scalar_depth, depth = _depths(pylist)
    if scalar_depth is not None and depth > scalar_depth:
        raise ValueError(f"Invalid pylist={pylist}: empty list nesting is greater than scalar value nesting.")
    inner = () if inner_shape is None else tuple(int(d) for d in np.atleast_1d(inner_shape))
    if inner_shape is not None and ragged_rank is None:
        ragged_rank = max(0, depth - 1 - len(inner))
    elif ragged_rank is None:
        ragged_rank = max(0, depth - 1)
    if depth == 0:
        if ragged_rank:
            raise ValueError(f"Invalid pylist={pylist}: incompatible with ragged_rank={ragged_rank}")
        return to_tensor(pylist, None if dtype is None else as_dtype(dtype))
    if ragged_rank and ragged_rank >= depth:
        raise ValueError(f"Invalid pylist={pylist}: incompatible with ragged_rank={ragged_rank}")
    all_splits = []
    flat = pylist
    for _ in _range(ragged_rank):
        lengths = []
        nested: list[Any] = []
        for row in flat:
            if not isinstance(row, (list, tuple)):
                raise ValueError("All scalar values must have the same nesting depth")
            lengths.append(len(row))
            nested.extend(row)
        all_splits.append(np.concatenate([[0], np.cumsum(lengths)]).astype(as_dtype(row_splits_dtype).np_dtype))
        flat = nested
    want = None if dtype is None else as_dtype(dtype)
    if not flat:
        rest = inner or (0,) * 0
        empty: Any = StringArray.empty((0, *rest)) if want is dtypes.string else np.zeros(
            (0, *rest), (want or dtypes.float32).np_dtype)  # fmt: skip
        values = Tensor.of(empty)
    else:
        values = to_tensor(list(flat), want)
        if inner_shape is not None:
            from .array_basics import reshape

            values = reshape(values, (-1, *inner))
    out: Any = values
    for splits in reversed(all_splits):
        out = RaggedTensor(out, Tensor.of(splits))
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _depths(value: Any) -> tuple[int | None, int]:
    """Depth of the scalars (None where there are none) and of the deepest list."""
    if not isinstance(value, list):
        return 0, 0
    scalar: int | None = None
    deepest = 1
    for item in value:
        s, d = _depths(item)
        if s is not None:
            if scalar is not None and scalar != s + 1:
                raise ValueError("All scalar values must have the same nesting depth")
            scalar = s + 1
        deepest = max(deepest, d + 1)
    return scalar, deepest


def map_flat_values(op: Any, *args: Any, **kwargs: Any) -> Any:
    """`op` applied to the innermost values of the ragged tensors among its arguments.

    Raises:
        InvalidArgumentError: their rows have different lengths.
    """
    found = [a for a in (*args, *kwargs.values()) if isinstance(a, RaggedTensor)]
    if not found:
        return op(*args, **kwargs)
    first = found[0]
    for other in found[1:]:
        for a, b in zip(first.nested_row_splits, other.nested_row_splits, strict=False):
            x, y = constant_value(a), constant_value(b)
            if x is not None and y is not None and not np.array_equal(x, y):
                raise InvalidArgumentError(
                    "Inputs must have identical ragged splits; the rows of the ragged tensors have different lengths"
                )

    def flat(a: Any) -> Any:
        return a.flat_values if isinstance(a, RaggedTensor) else a

    return first.with_flat_values(op(*map(flat, args), **{k: flat(v) for k, v in kwargs.items()}))


def range(starts: Any, limits: Any = None, deltas: Any = 1, dtype: Any = None, name: str | None = None,
          row_splits_dtype: Any = dtypes.int64) -> RaggedTensor:  # fmt: skip
    """Row i counts from ``starts[i]`` to ``limits[i]`` in steps of ``deltas[i]``."""
    from .ragged_kernels import RaggedRange

    if limits is None:
        starts, limits = 0, starts
    limits = to_tensor(limits, None if dtype is None else as_dtype(dtype))
    starts = cast(starts, limits.dtype) if not isinstance(starts, float) else to_tensor(starts, None)
    values, splits = RaggedRange(starts, cast(limits, starts.dtype), cast(deltas, starts.dtype))
    return RaggedTensor(values, cast(splits, row_splits_dtype))


def row_splits_to_segment_ids(splits: Any, name: str | None = None, out_type: Any = None) -> Tensor:
    """The row of each value, from row splits."""
    out = RowIds(_integers(splits, "splits"))
    return out if out_type is None else cast(out, out_type)


def segment_ids_to_row_splits(segment_ids: Any, num_segments: Any = None, out_type: Any = None,
                              name: str | None = None) -> Tensor:  # fmt: skip
    """Row splits from the row of each value."""
    count = None if num_segments is None else static_int(num_segments, "segment_ids_to_row_splits", "num_segments")
    out = SplitsOfIds(_integers(segment_ids, "segment_ids"), nrows=count)
    return out if out_type is None else cast(out, out_type)


def boolean_mask(data: Any, mask: Any, name: str | None = None) -> RaggedTensor:
    """`data` (ragged, or plain with a mask of at least two axes) where `mask` is True, with the
    rows kept.

    Raises:
        InvalidArgumentError: rows of `data` and `mask` have different lengths.
    """
    from .array_gather import boolean_mask as dense_mask
    from .ragged_kernels import MaskedLengths

    if not isinstance(mask, RaggedTensor):
        mask = _values(mask if not isinstance(mask, (list, tuple)) else constant(mask, dtypes.bool))
    if not isinstance(mask, RaggedTensor):
        if mask.shape.rank == 1:
            return data._gather(getitem(_where(mask), (slice(None), 0)), 0, 0) if isinstance(
                data, RaggedTensor) else dense_mask(data, mask)  # fmt: skip
        mask = RaggedTensor.from_tensor(mask, ragged_rank=mask.shape.rank - 1)
    if not isinstance(data, RaggedTensor):
        data = _values(data if not isinstance(data, (list, tuple)) else constant(data))
        if not isinstance(data, RaggedTensor):
            data = RaggedTensor.from_tensor(data, ragged_rank=mask.ragged_rank)
    inner = boolean_mask(data.values, mask.values) if isinstance(mask.values, RaggedTensor) else None
    if inner is not None:
        return data.with_values(inner)
    lengths = MaskedLengths(mask.values, mask.row_splits)
    kept = data.values._gather(getitem(_where(mask.values), (slice(None), 0)), 0, 0) if isinstance(
        data.values, RaggedTensor) else dense_mask(data.values, mask.values)  # fmt: skip
    return RaggedTensor.from_row_lengths(kept, cast(lengths, data.row_splits.dtype), validate=False)


def _where(mask: Any) -> Tensor:
    from .array_gather import where

    return where(mask)
