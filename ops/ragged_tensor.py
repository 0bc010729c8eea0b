"""RaggedTensor: rows of different lengths, its spec and its arithmetic.

Row i is ``values[row_splits[i]:row_splits[i + 1]]``; values may be ragged themselves.  The
parts are plain tensors: flat values, then the splits of each level from the outside in.  The
class is put together from `ragged_making.py`, `ragged_rows.py` and what stands here; the
operations of `hr.ragged` stand in `ragged_ops.py`.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast, reshape, shape as shape_of, size
from .array_broadcast import repeat, tile
from .array_gather import gather
from .array_join import concat, stack
from .composite import CompositeSpec
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .math_ops import maximum
from .ragged_kernels import RaggedPlaces, RaggedToDense, RowIds
from .ragged_making import ragged_or_tensor
from .ragged_rows import RaggedRows
from .reductions import reduce_max
from .sparse_tensor import SparseTensor
from .static_args import known_ints
from .string_array import StringArray
from .tensor import Tensor, is_symbolic
from .tensor_shape import TensorShape, as_shape
from .tensor_spec import TensorSpec

__all__ = ["RaggedTensor", "RaggedTensorSpec", "map_flat_values"]


class RaggedTensor(RaggedRows):
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

    # -- reading --------------------------------------------------------------------------

    @property
    def dtype(self) -> DType:
        """The elements' type."""
        return self.values.dtype

    @property
    def shape(self) -> TensorShape:
        """The shape, with None for the ragged axes."""
        n = self.row_splits.shape[0] if self.row_splits.shape.rank else None
        return TensorShape([None if n is None else n - 1, self._uniform]).concatenate(
            self.values.shape[1:]
        )

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
        return (
            None
            if self._uniform is None
            else Tensor.of(np.array(self._uniform, self.row_splits.dtype.np_dtype))
        )

    def nrows(self, out_type: Any = None, name: str | None = None) -> Tensor:
        """Number of rows, a scalar of the splits' dtype."""
        n = size(self.row_splits, out_type or self.row_splits.dtype)
        return n - Tensor.of(np.array(1, n.dtype.np_dtype))

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
            raise ValueError(
                f"row_lengths: axis must be in [1, ragged_rank] = [1, {self.ragged_rank}], "
                f"got {axis}"
            )
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

    def bounding_shape(
        self, axis: Any = None, name: str | None = None, out_type: Any = None
    ) -> Tensor:
        """Sizes of the smallest box that holds the tensor, or some of them."""
        kind = as_dtype(out_type) if out_type is not None else self.row_splits.dtype
        sizes = [cast(self.nrows(), kind)]
        for lengths in self.nested_row_lengths():
            sizes.append(cast(_largest(lengths), kind))
        inner = shape_of(self.flat_values, kind)[1:]
        out = concat([stack(sizes), inner], 0)
        return out if axis is None else gather(out, axis)

    # -- changing -------------------------------------------------------------------------

    def with_values(self, new_values: Any) -> RaggedTensor:
        """These rows with other values."""
        return RaggedTensor(ragged_or_tensor(new_values), self.row_splits, self._uniform)

    def _with_values(self, values: Any) -> RaggedTensor:
        return self.with_values(values)

    def with_flat_values(self, new_values: Any) -> RaggedTensor:
        """These rows with other innermost values."""
        if isinstance(self.values, RaggedTensor):
            return self.with_values(self.values.with_flat_values(new_values))
        return self.with_values(new_values)

    def with_row_splits_dtype(self, dtype: Any) -> RaggedTensor:
        """This tensor with splits of another integer dtype."""
        values = (
            self.values.with_row_splits_dtype(dtype)
            if isinstance(self.values, RaggedTensor)
            else self.values
        )
        return RaggedTensor(values, cast(self.row_splits, dtype), self._uniform)

    def merge_dims(self, outer_axis: int, inner_axis: int) -> Any:
        """This tensor with the axes from `outer_axis` to `inner_axis` merged into one."""
        out: Any = self
        for _ in range(inner_axis - outer_axis):
            out = _merged(out, outer_axis)
        return out

    # -- converting -----------------------------------------------------------------------

    def to_tensor(
        self, default_value: Any = None, name: str | None = None, shape: Any = None
    ) -> Tensor:
        """A plain tensor in which short rows are filled up with `default_value` (0 or "").

        Args:
            default_value: scalar, or a value that broadcasts to one element of the flat values.
            name: ignored.
            shape: sizes to pad or cut to; None leaves an axis as it is.
        """
        dims = (
            []
            if shape is None
            else [None if d in (None, -1) else int(d) for d in _shape_list(shape)]
        )
        dtype = self.dtype
        if default_value is None:
            default_value = "" if dtype is dtypes.string else np.zeros((), dtype.np_dtype)
        default = to_tensor(default_value, None if isinstance(default_value, Tensor) else dtype)
        values = self.values
        if isinstance(values, RaggedTensor):
            values = values.to_tensor(default, shape=[None, *dims[2:]])
        width = dims[1] if len(dims) > 1 and dims[1] is not None else self._uniform
        return RaggedToDense(
            values, self.row_splits, default, nrows=dims[0] if dims else None, width=width
        )

    def to_sparse(self, name: str | None = None) -> Any:
        """A `SparseTensor` with the same elements."""
        places = RaggedPlaces([cast(s, dtypes.int64) for s in self.nested_row_splits])
        flat = self.flat_values
        dense = self.bounding_shape(out_type=dtypes.int64)
        if flat.shape.rank not in (1, None):
            inner = flat.shape.as_list()[1:]
            if None in inner:
                raise ValueError("to_sparse needs flat values whose inner sizes are known")
            size = int(np.prod(inner))
            grid = np.stack(np.unravel_index(np.arange(size), inner), axis=1).astype(np.int64)
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
        return [
            items[a:b] for a, b in zip(splits[:-1].tolist(), splits[1:].tolist(), strict=True)
        ]

    def numpy(self) -> np.ndarray:
        """An array of rows, an object array unless all rows have one length."""
        splits = self.row_splits.numpy()
        values = self.values.numpy()
        rows = [
            values[a:b] for a, b in zip(splits[:-1].tolist(), splits[1:].tolist(), strict=True)
        ]
        if (
            len({len(r) for r in rows}) <= 1
            and rows
            and not (rows[0].dtype == object and isinstance(self.values, RaggedTensor))
        ):
            return np.stack(rows)
        out = np.empty(len(rows), object)
        for i, r in enumerate(rows):
            out[i] = r
        return out

    # -- composite ------------------------------------------------------------------------

    def _components(self) -> tuple[Tensor, ...]:
        return (self.flat_values, *self.nested_row_splits)

    @property
    def _type_spec(self) -> RaggedTensorSpec:
        return RaggedTensorSpec(
            self.shape,
            self.dtype,
            self.ragged_rank,
            self.row_splits.dtype,
            self.flat_values.shape,
        )

    def __repr__(self) -> str:
        if any(is_symbolic(t) for t in self._components()):
            return f"hr.RaggedTensor(values={self.values}, row_splits={self.row_splits})"
        return f"<hr.RaggedTensor {self.to_list()}>"

    __str__ = __repr__
    __hash__ = None  # type: ignore[assignment]


# -- arithmetic -------------------------------------------------------------------------------


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
                    "Inputs must have identical ragged splits; the rows of the ragged "
                    "tensors have different lengths"
                )

    def flat(a: Any) -> Any:
        return a.flat_values if isinstance(a, RaggedTensor) else a

    return first.with_flat_values(
        op(*map(flat, args), **{k: flat(v) for k, v in kwargs.items()})
    )


def _add_operators() -> None:
    for name in ("neg", "abs", "invert"):
        one = getattr(operator, name)
        setattr(
            RaggedTensor,
            f"__{name}__",
            lambda self, one=one: self.with_flat_values(one(self.flat_values)),
        )


_add_operators()  # those of two tensors are `ragged_dispatch`'s


class RaggedTensorSpec(CompositeSpec):
    """Shape, dtype, number of ragged levels and splits' dtype of a `RaggedTensor`.

    >>> RaggedTensorSpec([None, None], "int32")
    RaggedTensorSpec(TensorShape([None, None]), hr.int32, 1, hr.int64)
    """

    __slots__ = ("_flat_shape", "dtype", "ragged_rank", "row_splits_dtype", "shape")

    def __init__(
        self,
        shape: Any = None,
        dtype: Any = dtypes.float32,
        ragged_rank: int | None = None,
        row_splits_dtype: Any = dtypes.int64,
        flat_values_spec: Any = None,
    ):
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
            raise ValueError(
                f"Argument `ragged_rank` ({ragged_rank}) must be less than rank ({rank})."
            )
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
        for level in range(self.ragged_rank, 0, -1):
            out = RaggedTensor(out, parts[level], None if dims is None else dims[level])
        return out

    def is_compatible_with(self, value: Any) -> bool:
        """Whether a ragged tensor or spec has this dtype, levels and a compatible shape."""
        spec = (
            value if isinstance(value, RaggedTensorSpec) else getattr(value, "_type_spec", None)
        )
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
        return (
            f"RaggedTensorSpec({self.shape!r}, {self.dtype!r}, {self.ragged_rank!r}, "
            f"{self.row_splits_dtype!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return RaggedTensorSpec, (
            self.shape,
            self.dtype,
            self.ragged_rank,
            self.row_splits_dtype,
        )


# -- helpers ----------------------------------------------------------------------------------


def _largest(lengths: Tensor) -> Tensor:
    return maximum(reduce_max(concat([lengths, np.zeros(1, lengths.dtype.np_dtype)], 0)), 0)


def _shape_list(shape: Any) -> Any:
    if isinstance(shape, TensorShape):
        return [] if shape.rank is None else shape.as_list()
    if isinstance(shape, (list, tuple)) and any(d is None for d in shape):
        return list(shape)
    return known_ints(shape, "to_tensor", "shape")


def _merged(x: Any, axis: int) -> Any:
    """`x` with the axes `axis` and the next one merged."""
    if not isinstance(x, RaggedTensor):
        dims = [-1 if d is None else d for d in x.shape]
        return reshape(x, [*dims[:axis], -1, *dims[axis + 2 :]])
    values = x.values
    if axis == 0:
        return values
    if axis > 1:
        return x.with_values(_merged(values, axis - 1))
    if isinstance(values, RaggedTensor):
        return RaggedTensor(values.values, gather(values.row_splits, x.row_splits))
    width = shape_of(values, x.row_splits.dtype)[1]
    return RaggedTensor(_merged(values, 0), x.row_splits * width)
