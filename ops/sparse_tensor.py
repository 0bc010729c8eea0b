"""SparseTensor: a tensor given by its non-zero elements, its spec, and the way from and to
plain tensors.

The other operations on it stand in `sparse_ops.py` and `sparse_layout.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import shape as shape_of, sum_to, zeros_like
from .array_broadcast import broadcast_to
from .array_gather import gather_nd, where
from .array_module import array_module
from .array_scatter import tensor_scatter_nd_update
from .composite import Composite, CompositeSpec
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .string_array import StringArray
from .tensor import Tensor, is_symbolic
from .tensor_shape import TensorShape, as_shape
from .tensor_spec import TensorSpec

__all__ = ["SparseTensor", "SparseTensorSpec", "from_dense", "to_dense"]


class SparseTensor(Composite):
    """The tensor of shape `dense_shape` with ``values[i]`` at ``indices[i]`` and zero (or "")
    elsewhere.

    Attributes:
        indices: int64 [count, rank].
        values: [count].
        dense_shape: int64 [rank].

    >>> s = SparseTensor([[0, 1]], [5], [2, 2])
    >>> s.shape
    TensorShape([2, 2])

    Raises:
        ValueError: the parts do not fit each other.
    """

    __slots__ = ("__weakref__", "_static_shape", "dense_shape", "indices", "values")
    _handles_operators = True

    def __init__(self, indices: Any, values: Any, dense_shape: Any):
        self.indices = int64_vector(indices)
        self.values = to_tensor(values, None)
        self.dense_shape = int64_vector(dense_shape)
        i, v, d = self.indices.shape, self.values.shape, self.dense_shape.shape
        if not (
            i.is_compatible_with([None, None])
            and v.is_compatible_with([None])
            and d.is_compatible_with([None])
        ):
            raise ValueError(
                "SparseTensor: indices must be [count, rank], values [count] and "
                "dense_shape [rank], "
                f"got shapes {i}, {v} and {d}"
            )
        if i.rank and (not i[:1].is_compatible_with(v) or not i[1:].is_compatible_with(d)):
            raise ValueError(
                f"SparseTensor: Dimensions {i[0]} and {v[0] if v.rank else None} (number of "
                "elements), and "
                f"{i[1]} and {d[0] if d.rank else None} (rank) must be compatible"
            )
        known = constant_value(self.dense_shape)
        if known is not None:
            self._static_shape = TensorShape([None if n < 0 else n for n in known.tolist()])
        else:
            n = d[0] if d.rank else None
            self._static_shape = TensorShape([None] * n if n is not None else None)

    @classmethod
    def from_value(cls, value: Any) -> SparseTensor:
        """A copy of `value`, anything with the three attributes."""
        return cls(value.indices, value.values, value.dense_shape)

    @property
    def dtype(self) -> DType:
        """The elements' type."""
        return self.values.dtype

    @property
    def shape(self) -> TensorShape:
        """The dense shape as far as it is known."""
        return self._static_shape

    def get_shape(self) -> TensorShape:
        """The dense shape, as TensorFlow's older spelling."""
        return self.shape

    def set_shape(self, shape: Any) -> None:
        """Add what `shape` knows to the static shape."""
        self._static_shape = self._static_shape.merge_with(shape)

    @property
    def rank(self) -> int | None:
        """Number of axes."""
        return self.shape.rank

    def with_values(self, new_values: Any) -> SparseTensor:
        """This tensor with other values at the same places."""
        return self._like(to_tensor(new_values, None))

    def _with_values(self, values: Any) -> SparseTensor:
        return self._like(values)

    def _like(self, values: Any) -> SparseTensor:
        out = SparseTensor(self.indices, values, self.dense_shape)
        out._static_shape = self._static_shape
        return out

    def _components(self) -> tuple[Tensor, ...]:
        return self.indices, self.values, self.dense_shape

    @property
    def _type_spec(self) -> SparseTensorSpec:
        return SparseTensorSpec(self.shape, self.dtype)

    def __getitem__(self, key: Any) -> SparseTensor:
        raise TypeError("SparseTensor has no indexing; use hr.sparse.slice")

    def _binary(self, other: Any, fn: Any) -> SparseTensor:
        if isinstance(other, SparseTensor):
            raise TypeError("SparseTensor: operators take a dense tensor")
        other = to_tensor(other, None if isinstance(other, Tensor) else self.dtype)
        if other.shape.rank:
            target = self.shape.as_list() if self.shape.is_fully_defined() else self.dense_shape
            other = gather_nd(broadcast_to(other, target), self.indices)
        return self._like(fn(self.values, other))

    def __mul__(self, other: Any) -> SparseTensor:
        return self._binary(other, lambda a, b: a * b)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> SparseTensor:
        return self._binary(other, lambda a, b: a / b)

    def __repr__(self) -> str:
        return (
            f"SparseTensor(indices={self.indices}, values={self.values}, "
            f"dense_shape={self.dense_shape})"
        )


def int64_vector(value: Any) -> Tensor:
    if isinstance(value, TensorShape):
        value = [-1 if d is None else d for d in value]
    if isinstance(value, Tensor):
        if value.dtype is not dtypes.int64:
            raise ValueError(
                f"SparseTensor: indices and dense_shape must be int64, got {value.dtype.name}"
            )
        return value
    return (
        to_tensor(np.asarray(value, np.int64), None)
        if not _has_tensor(value)
        else to_tensor(value, dtypes.int64)
    )


def _has_tensor(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(
        isinstance(v, Tensor) or _has_tensor(v) for v in value
    )


class SparseTensorSpec(CompositeSpec):
    """Shape and dtype of a `SparseTensor`.

    >>> SparseTensorSpec([None, 3], "int32")
    SparseTensorSpec(TensorShape([None, 3]), hr.int32)
    """

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: Any = None, dtype: Any = dtypes.float32):
        self.shape = as_shape(shape)
        self.dtype = as_dtype(dtype)

    @property
    def value_type(self) -> type:
        """`SparseTensor`."""
        return SparseTensor

    def component_specs(self) -> tuple[TensorSpec, ...]:
        """Specs of indices, values and dense shape."""
        return (
            TensorSpec([None, self.shape.rank], dtypes.int64),
            TensorSpec([None], self.dtype),
            TensorSpec([self.shape.rank], dtypes.int64),
        )

    def from_components(self, parts: list[Any]) -> SparseTensor:
        """The sparse tensor made of `parts`."""
        out = SparseTensor(*parts)
        if out.shape.is_compatible_with(self.shape):
            out.set_shape(self.shape)
        return out

    def is_compatible_with(self, value: Any) -> bool:
        """Whether a sparse tensor or spec has this dtype and a compatible shape."""
        spec = (
            value if isinstance(value, SparseTensorSpec) else getattr(value, "_type_spec", None)
        )
        return (
            isinstance(spec, SparseTensorSpec)
            and spec.dtype is self.dtype
            and self.shape.is_compatible_with(spec.shape)
        )

    def most_specific_common_supertype(self, others: Any) -> SparseTensorSpec | None:
        """The narrowest spec that describes this and all `others`, or None."""
        shape = self.shape
        for other in others:
            if not isinstance(other, SparseTensorSpec) or other.dtype is not self.dtype:
                return None
            shape = shape.most_general(other.shape)
        return SparseTensorSpec(shape, self.dtype)

    def _key(self) -> tuple[Any, ...]:
        return self.shape, self.dtype

    def __repr__(self) -> str:
        return f"SparseTensorSpec({self.shape!r}, {self.dtype!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return SparseTensorSpec, (self.shape, self.dtype)


# -- dense and sparse -------------------------------------------------------------------------


def from_dense(tensor: Any, name: str | None = None) -> SparseTensor:
    """The elements of `tensor` that are not zero (not empty)."""
    tensor = to_tensor(tensor, None)
    indices = where(tensor)
    out = SparseTensor(indices, gather_nd(tensor, indices), shape_of(tensor, dtypes.int64))
    out.set_shape(tensor.shape)
    return out


def to_dense(
    sp_input: Any,
    default_value: Any = None,
    validate_indices: bool = True,
    name: str | None = None,
) -> Tensor:
    """`sp_input` as a plain tensor with `default_value` where it has no element.

    Raises:
        InvalidArgumentError: indices are out of order, repeated or out of bounds.
    """
    values = sp_input.values
    if default_value is None:
        default_value = (
            "" if values.dtype is dtypes.string else np.zeros((), values.dtype.np_dtype)
        )
    out = SparseToDense(
        sp_input.indices,
        sp_input.dense_shape,
        values,
        default_value,
        validate_indices=validate_indices,
    )
    if is_symbolic(out) and out.shape.is_compatible_with(sp_input.shape):
        out.set_shape(sp_input.shape)
    return out


def _to_dense_impl(
    indices: Any, shape: Any, values: Any, default: Any, *, validate_indices: bool
) -> Any:
    dims = tuple(shape.tolist())
    at = flat_places(indices, dims, "SparseToDense", validate_indices)
    if isinstance(values, StringArray):
        data = np.concatenate([values.data, default.data])
        starts = np.full(dims, default.starts.item() + values.data.size)
        ends = np.full(dims, default.ends.item() + values.data.size)
        starts.reshape(-1)[at], ends.reshape(-1)[at] = values.starts, values.ends
        return StringArray(data, starts, ends)
    xp = array_module(values)
    out = xp.full(dims, default.reshape(()), values.dtype)
    out.reshape(-1)[xp.asarray(at)] = values
    return out


def _to_dense_shape(
    indices: Any, shape: Any, values: Any, default: Any, *, validate_indices: bool
) -> TensorSpec:
    known = constant_value(shape)
    if known is not None:
        return TensorSpec(known.tolist(), values.dtype)
    n = shape.shape[0] if shape.shape.rank == 1 else None
    return TensorSpec([None] * n if n is not None else None, values.dtype)


def _to_dense_vjp(op: Any, g: Any) -> Any:
    indices, _, values, default = op.inputs
    g = to_tensor(g, None)
    rest = tensor_scatter_nd_update(g, indices, zeros_like(values))
    return None, None, gather_nd(g, indices), sum_to(rest, default)


SparseToDense = Primitive(
    "SparseToDense",
    "sparse_indices: Tindices, output_shape: Tindices, sparse_values: T, default_value: T",
    impl=_to_dense_impl, shape=_to_dense_shape, vjp=_to_dense_vjp,
)  # fmt: skip


def flat_places(indices: Any, dims: tuple[int, ...], op: str, validate: bool) -> np.ndarray:
    """Row-major positions of the coordinates.

    Raises:
        InvalidArgumentError: a coordinate is out of bounds, or (if `validate`) not in order.
    """
    outside = (indices < 0) | (indices >= np.array(dims, np.int64))
    if outside.any():
        i = int(outside.any(axis=1).argmax())
        raise InvalidArgumentError(
            f"indices[{i}] = {indices[i].tolist()} is out of bounds: need 0 <= index < "
            f"{list(dims)} [Op:{op}]",
            op=op,
        )
    strides = np.ones(len(dims), np.int64)
    for axis in range(len(dims) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(dims[axis + 1], 1)
    flat = indices @ strides
    if validate and len(flat) > 1:
        step = np.diff(flat)
        if (step <= 0).any():
            i = int((step <= 0).argmax()) + 1
            what = "is repeated" if step[i - 1] == 0 else "is out of order"
            raise InvalidArgumentError(
                f"indices[{i}] = {indices[i].tolist()} {what}. Many sparse ops require "
                "sorted indices. Use "
                f"`hr.sparse.reorder` to create a correctly ordered copy. [Op:{op}]",
                op=op,
            )
    return flat
