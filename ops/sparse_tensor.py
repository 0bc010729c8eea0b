"""SparseTensor: a tensor given by its non-zero elements, and the operations of `hr.sparse`.

A sparse tensor is three plain tensors, so every operation on it is one on them; most are
primitives here and one line of construction.  "Canonical order" means row-major order of the
coordinates, which `reorder` establishes and most operations keep.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import reshape as _reshape, zeros_like
from .array_gather import gather, gather_nd
from .array_scatter import add_rows
from .composite import Composite, CompositeSpec
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .static_args import static_int
from .string_array import StringArray
from .tensor import Tensor, is_symbolic
from .tensor_shape import TensorShape, as_shape
from .tensor_spec import TensorSpec

__all__ = [
    "SparseTensor", "SparseTensorSpec", "concat", "expand_dims", "eye", "fill_empty_rows", "from_dense",
    "map_values", "mask", "reduce_sum", "reorder", "reset_shape", "reshape", "retain", "slice",
    "sparse_dense_matmul", "split", "to_dense", "to_indicator", "transpose",
]  # fmt: skip

_slice = slice


class SparseTensor(Composite):
    """The tensor of shape `dense_shape` with ``values[i]`` at ``indices[i]`` and zero (or "")
    elsewhere.

    Attributes:
        indices: int64 [count, rank].
        values: [count].
        dense_shape: int64 [rank].

    >>> s = SparseTensor([[0, 1]], [5], [2, 2])
    >>> to_dense(s).numpy().tolist()
    [[0, 5], [0, 0]]

    Raises:
        ValueError: the parts do not fit each other.
    """

    __slots__ = ("__weakref__", "_static_shape", "dense_shape", "indices", "values")
    _handles_operators = True

    def __init__(self, indices: Any, values: Any, dense_shape: Any):
        self.indices = _int64(indices)
        self.values = to_tensor(values, None)
        self.dense_shape = _int64(dense_shape)
        i, v, d = self.indices.shape, self.values.shape, self.dense_shape.shape
        if not (i.is_compatible_with([None, None]) and v.is_compatible_with([None]) and d.is_compatible_with([None])):
            raise ValueError(
                f"SparseTensor: indices must be [count, rank], values [count] and dense_shape [rank], "
                f"got shapes {i}, {v} and {d}"
            )
        if i.rank and (not i[:1].is_compatible_with(v) or not i[1:].is_compatible_with(d)):
            raise ValueError(
                f"SparseTensor: Dimensions {i[0]} and {v[0] if v.rank else None} (number of elements), and "
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

    def _concat(self, values: Any, axis: int) -> SparseTensor:
        return concat(axis, values)

    def __getitem__(self, key: Any) -> SparseTensor:
        raise TypeError("SparseTensor has no indexing; use hr.sparse.slice")

    def _binary(self, other: Any, fn: Any) -> SparseTensor:
        if isinstance(other, SparseTensor):
            raise TypeError("SparseTensor: operators take a dense tensor; use hr.sparse.add for two sparse ones")
        other = to_tensor(other, None if isinstance(other, Tensor) else self.dtype)
        if other.shape.rank:
            target = self.shape.as_list() if self.shape.is_fully_defined() else self.dense_shape
            from .array_shape import broadcast_to

            other = gather_nd(broadcast_to(other, target), self.indices)
        return self._like(fn(self.values, other))

    def __mul__(self, other: Any) -> SparseTensor:
        return self._binary(other, lambda a, b: a * b)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> SparseTensor:
        return self._binary(other, lambda a, b: a / b)

    def __repr__(self) -> str:
        return f"SparseTensor(indices={self.indices}, values={self.values}, dense_shape={self.dense_shape})"


def _int64(value: Any) -> Tensor:
    if isinstance(value, TensorShape):
        value = [-1 if d is None else d for d in value]
    if isinstance(value, Tensor):
        if value.dtype is not dtypes.int64:
            raise ValueError(f"SparseTensor: indices and dense_shape must be int64, got {value.dtype.name}")
        return value
    return to_tensor(np.asarray(value, np.int64), None) if not _has_tensor(value) else to_tensor(value, dtypes.int64)


def _has_tensor(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) or _has_tensor(v) for v in value)


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
        spec = value if isinstance(value, SparseTensorSpec) else getattr(value, "_type_spec", None)
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
    from .array_basics import shape
    from .array_gather import where

    tensor = to_tensor(tensor, None)
    indices = where(tensor)
    out = SparseTensor(indices, gather_nd(tensor, indices), shape(tensor, dtypes.int64))
    out.set_shape(tensor.shape)
    return out


def to_dense(
    sp_input: Any, default_value: Any = None, validate_indices: bool = True, name: str | None = None
) -> Tensor:
    """`sp_input` as a plain tensor with `default_value` where it has no element.

    Raises:
        InvalidArgumentError: indices are out of order, repeated or out of bounds.
    """
    values = sp_input.values
    if default_value is None:
        default_value = "" if values.dtype is dtypes.string else np.zeros((), values.dtype.np_dtype)
    out = SparseToDense(
        sp_input.indices, sp_input.dense_shape, values, default_value, validate_indices=validate_indices
    )
    if is_symbolic(out) and out.shape.is_compatible_with(sp_input.shape):
        out.set_shape(sp_input.shape)
    return out


def _flat_places(indices: Any, dims: tuple[int, ...], op: str, validate: bool) -> np.ndarray:
    """Row-major positions of the coordinates.

    Raises:
        InvalidArgumentError: a coordinate is out of bounds, or (if `validate`) not in order.
    """
    outside = (indices < 0) | (indices >= np.array(dims, np.int64))
    if outside.any():
        i = int(outside.any(axis=1).argmax())
        raise InvalidArgumentError(
            f"indices[{i}] = {indices[i].tolist()} is out of bounds: need 0 <= index < {list(dims)} [Op:{op}]", op=op
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
                f"indices[{i}] = {indices[i].tolist()} {what}. Many sparse ops require sorted indices. Use "
                f"`hr.sparse.reorder` to create a correctly ordered copy. [Op:{op}]", op=op)  # fmt: skip
    return flat


def _to_dense_impl(indices: Any, shape: Any, values: Any, default: Any, *, validate_indices: bool) -> Any:
    dims = tuple(shape.tolist())
    at = _flat_places(indices, dims, "SparseToDense", validate_indices)
    if isinstance(values, StringArray):
        data = np.concatenate([values.data, default.data])
        starts = np.full(dims, default.starts.item() + values.data.size)
        ends = np.full(dims, default.ends.item() + values.data.size)
        starts.reshape(-1)[at], ends.reshape(-1)[at] = values.starts, values.ends
        return StringArray(data, starts, ends)
    out = np.full(dims, default.reshape(()), values.dtype)
    out.reshape(-1)[at] = values
    return out


def _to_dense_shape(indices: Any, shape: Any, values: Any, default: Any, *, validate_indices: bool) -> TensorSpec:
    known = constant_value(shape)
    if known is not None:
        return TensorSpec(known.tolist(), values.dtype)
    n = shape.shape[0] if shape.shape.rank == 1 else None
    return TensorSpec([None] * n if n is not None else None, values.dtype)


def _to_dense_vjp(op: Any, g: Any) -> Any:
    from .array_basics import sum_to
    from .array_scatter import tensor_scatter_nd_update

    indices, _, values, default = op.inputs
    g = to_tensor(g, None)
    rest = tensor_scatter_nd_update(g, indices, zeros_like(values))
    return None, None, gather_nd(g, indices), sum_to(rest, default)


SparseToDense = Primitive(
    "SparseToDense",
    "sparse_indices: Tindices, output_shape: Tindices, sparse_values: T, default_value: T",
    impl=_to_dense_impl, shape=_to_dense_shape, vjp=_to_dense_vjp,
)  # fmt: skip


# -- order and places -------------------------------------------------------------------------


def reorder(sp_input: SparseTensor, name: str | None = None) -> SparseTensor:
    """`sp_input` with its elements in canonical order."""
    order = _SparseOrder(sp_input.indices)
    out = SparseTensor(gather(sp_input.indices, order), gather(sp_input.values, order), sp_input.dense_shape)
    out._static_shape = sp_input._static_shape
    return out


_SparseOrder = Primitive(
    "_SparseOrder", "indices: I", impl=lambda i: np.lexsort(i.T[::-1]) if i.shape[1] else np.arange(len(i)),
    shape=lambda i: TensorSpec(i.shape[:1], dtypes.int64),
)  # fmt: skip


def retain(sp_input: SparseTensor, to_retain: Any) -> SparseTensor:
    """`sp_input` with only the elements for which `to_retain` is True."""
    from .array_gather import boolean_mask

    keep = to_tensor(to_retain, dtypes.bool)
    out = SparseTensor(boolean_mask(sp_input.indices, keep), boolean_mask(sp_input.values, keep), sp_input.dense_shape)
    out._static_shape = sp_input._static_shape
    return out


def slice(sp_input: SparseTensor, start: Any, size: Any, name: str | None = None) -> SparseTensor:
    """The part of `sp_input` that starts at `start` and has at most `size`."""
    indices, keep, dims = _SparseSlice(sp_input.indices, sp_input.dense_shape, _int64(start), _int64(size))
    return SparseTensor(indices, gather(sp_input.values, keep), dims)


def _sparse_slice_impl(indices: Any, shape: Any, start: Any, size: Any) -> Any:
    keep = np.flatnonzero(((indices >= start) & (indices < start + size)).all(axis=1))
    return indices[keep] - start, keep, np.maximum(np.minimum(size, shape - start), 0)


_SparseSlice = Primitive(
    "_SparseSlice", "indices: I, shape: I, start: I, size: I", impl=_sparse_slice_impl,
    shape=lambda i, s, a, n: (
        TensorSpec([None, i.shape[1] if i.shape.rank else None], i.dtype),
        TensorSpec([None], dtypes.int64), TensorSpec(s.shape, s.dtype)),
)  # fmt: skip


def split(sp_input: SparseTensor, num_split: int, axis: int, name: str | None = None) -> list[SparseTensor]:
    """`sp_input` cut into `num_split` parts along `axis`; the first ones are one larger where
    the size does not divide."""
    dims = constant_value(sp_input.dense_shape)
    if dims is None:
        raise ValueError("hr.sparse.split needs a dense_shape that is known")
    dims = dims.tolist()
    axis = static_int(axis, "SparseSplit", "axis") % len(dims)
    part, more = divmod(dims[axis], num_split)
    parts, start = [], 0
    for i in range(num_split):
        size = part + (i < more)
        begin = [start if a == axis else 0 for a in range(len(dims))]
        parts.append(slice(sp_input, begin, [size if a == axis else d for a, d in enumerate(dims)]))
        start += size
    return parts


def reshape(sp_input: SparseTensor, shape: Any, name: str | None = None) -> SparseTensor:
    """`sp_input` with the same elements, in row-major order, in another dense shape."""
    indices, dims = _SparseReshape(sp_input.indices, sp_input.dense_shape, _int64(shape))
    return SparseTensor(indices, sp_input.values, dims)


def _sparse_reshape_impl(indices: Any, old: Any, new: Any) -> Any:
    dims, total = new.tolist(), int(np.prod(old))
    if -1 in dims:
        known = int(np.prod([d for d in dims if d != -1], dtype=np.int64))
        dims[dims.index(-1)] = total // known if known else 0
    if int(np.prod(dims, dtype=np.int64)) != total:
        raise InvalidArgumentError(
            f"Input to reshape is a tensor with {total} dense values, but the requested shape has "
            f"{int(np.prod(dims, dtype=np.int64))} [Op:SparseReshape]", op="SparseReshape")  # fmt: skip
    flat = _flat_places(indices, tuple(old.tolist()), "SparseReshape", False)
    places = np.stack(np.unravel_index(flat, dims), axis=1) if len(dims) else np.zeros((len(flat), 0), np.int64)
    return places.astype(np.int64), np.array(dims, np.int64)


_SparseReshape = Primitive(
    "SparseReshape", "input_indices: I, input_shape: I, new_shape: I", impl=_sparse_reshape_impl,
    shape=lambda i, old, new: (
        TensorSpec([i.shape[0] if i.shape.rank else None, new.shape[0] if new.shape.rank else None], i.dtype),
        TensorSpec(new.shape, new.dtype)),
)  # fmt: skip


def transpose(sp_input: SparseTensor, perm: Any = None, name: str | None = None) -> SparseTensor:
    """`sp_input` with its axes in the order `perm`, reversed by default, in canonical order."""
    rank = sp_input.shape.rank
    if rank is None:
        raise ValueError("hr.sparse.transpose needs a known rank")
    order = list(range(rank))[::-1] if perm is None else [int(p) for p in np.asarray(perm)]
    return reorder(
        SparseTensor(gather(sp_input.indices, order, axis=1), sp_input.values, gather(sp_input.dense_shape, order))
    )


def expand_dims(sp_input: SparseTensor, axis: Any = None, name: str | None = None) -> SparseTensor:
    """`sp_input` with an axis of size 1 put in at `axis`, the last by default."""
    from .array_index import getitem
    from .array_join import concat as dense_concat

    rank = sp_input.shape.rank
    at = -1 if axis is None else static_int(axis, "sparse.expand_dims", "axis")
    at = at + rank + 1 if at < 0 else at
    i, d = sp_input.indices, sp_input.dense_shape
    all_ = _slice(None)
    zero = zeros_like(getitem(i, (all_, _slice(0, 1)))) if rank else to_tensor(np.zeros((1, 1), np.int64), None)
    return SparseTensor(
        dense_concat([getitem(i, (all_, _slice(0, at))), zero, getitem(i, (all_, _slice(at, None)))], 1),
        sp_input.values,
        dense_concat([getitem(d, _slice(0, at)), np.ones(1, np.int64), getitem(d, _slice(at, None))], 0),
    )


def reset_shape(sp_input: SparseTensor, new_shape: Any = None) -> SparseTensor:
    """`sp_input` with `new_shape`, or the smallest that holds its elements."""
    if new_shape is not None:
        return SparseTensor(sp_input.indices, sp_input.values, _int64(new_shape))
    return SparseTensor(sp_input.indices, sp_input.values, _BoundingShape(sp_input.indices))


_BoundingShape = Primitive(
    "_BoundingShape", "indices: I",
    impl=lambda i: i.max(axis=0) + 1 if len(i) else np.zeros(i.shape[1], np.int64),
    shape=lambda i: TensorSpec(i.shape[1:], i.dtype),
)  # fmt: skip


def concat(axis: Any, sp_inputs: Any, expand_nonconcat_dims: bool = False, name: str | None = None) -> SparseTensor:
    """Sparse tensors joined along `axis`, in canonical order.

    Raises:
        InvalidArgumentError: shapes differ elsewhere and `expand_nonconcat_dims` is False.
    """
    sp_inputs = list(sp_inputs)
    axis = static_int(axis, "SparseConcat", "axis")
    rank = sp_inputs[0].shape.rank
    if rank is None:
        raise ValueError("hr.sparse.concat needs a known rank")
    axis = axis + rank if axis < 0 else axis
    from .array_join import concat as dense_concat

    n = len(sp_inputs)
    flat = [s.indices for s in sp_inputs] + [s.dense_shape for s in sp_inputs]
    indices, dims = _SparseConcat(flat, count=n, axis=axis, expand=bool(expand_nonconcat_dims))
    return reorder(SparseTensor(indices, dense_concat([s.values for s in sp_inputs], 0), dims))


def _sparse_concat_impl(*parts: Any, count: int, axis: int, expand: bool) -> Any:
    indices, shapes = parts[:count], np.stack(parts[count:])
    out = shapes.max(axis=0)
    others = np.delete(shapes, axis, axis=1)
    if not expand and (others != others[0]).any():
        i = int((others != others[0]).any(axis=1).argmax())
        raise InvalidArgumentError(
            f"Input shapes must match: expected {shapes[0].tolist()} but got {shapes[i].tolist()} at position {i} "
            f"(axis {axis}) [Op:SparseConcat]", op="SparseConcat")  # fmt: skip
    starts = np.cumsum(shapes[:, axis]) - shapes[:, axis]
    out[axis] = shapes[:, axis].sum()
    moved = []
    for i, start in zip(indices, starts, strict=True):
        i = i.copy()
        i[:, axis] += start
        moved.append(i)
    return np.concatenate(moved), out


_SparseConcat = Primitive(
    "_SparseConcat", "parts: N * I", impl=_sparse_concat_impl,
    shape=lambda *parts, count, axis, expand: (
        TensorSpec([None, parts[0].shape[1] if parts[0].shape.rank else None], dtypes.int64),
        TensorSpec(parts[count].shape, dtypes.int64)),
)  # fmt: skip


# -- values -----------------------------------------------------------------------------------


def map_values(op: Any, *args: Any, **kwargs: Any) -> SparseTensor:
    """`op` applied to the values of the sparse tensors among its arguments."""
    found = [a for a in (*args, *kwargs.values()) if isinstance(a, SparseTensor)]
    if not found:
        raise ValueError("No SparseTensor in argument list of map_values")
    plain = [a.values if isinstance(a, SparseTensor) else a for a in args]
    named = {k: a.values if isinstance(a, SparseTensor) else a for k, a in kwargs.items()}
    return found[0].with_values(op(*plain, **named))


def mask(a: Any, mask_indices: Any, name: str | None = None) -> Any:
    """Elements of the `IndexedSlices` `a` whose indices are not in `mask_indices`."""
    from .array_gather import boolean_mask
    from .indexed_slices import IndexedSlices

    hidden = to_tensor(mask_indices, None)
    keep = to_tensor(~np.isin(a.indices.numpy(), hidden.numpy()), None)
    return IndexedSlices(boolean_mask(a.values, keep), boolean_mask(a.indices, keep), a.dense_shape)


def reduce_sum(
    sp_input: SparseTensor, axis: Any = None, keepdims: bool | None = None, output_is_sparse: bool = False,
    name: str | None = None,
) -> Any:  # fmt: skip
    """Sums of `sp_input` along `axis`, as a dense tensor unless `output_is_sparse`."""
    from .reductions import reduce_sum as dense_sum

    out = dense_sum(to_dense(reorder(sp_input)), axis=axis, keepdims=bool(keepdims))
    return from_dense(out) if output_is_sparse else out


def eye(num_rows: Any, num_columns: Any = None, dtype: Any = dtypes.float32, name: str | None = None) -> SparseTensor:
    """The identity matrix, sparse."""
    rows = static_int(num_rows, "sparse.eye", "num_rows")
    columns = rows if num_columns is None else static_int(num_columns, "sparse.eye", "num_columns")
    n = np.arange(min(rows, columns), dtype=np.int64)
    return SparseTensor(np.stack([n, n], axis=1), np.ones(len(n), as_dtype(dtype).np_dtype), [rows, columns])


def to_indicator(sp_input: SparseTensor, vocab_size: int, name: str | None = None) -> Tensor:
    """Booleans in which the values of each row of `sp_input` are marked along the last axis."""
    dims = _reshape(sp_input.dense_shape, [-1])
    return _Indicator(sp_input.indices, sp_input.values, dims, vocab_size=static_int(vocab_size, "to_indicator", "vocab_size"))


def _indicator_impl(indices: Any, values: Any, shape: Any, *, vocab_size: int) -> Any:
    out = np.zeros((*shape.tolist()[:-1], vocab_size), bool)
    if values.size and (int(values.min()) < 0 or int(values.max()) >= vocab_size):
        raise InvalidArgumentError(f"to_indicator: values must be in [0, {vocab_size})", op="to_indicator")
    out[(*indices.T[:-1], values)] = True
    return out


_Indicator = Primitive(
    "_Indicator", "indices: I, values: V, shape: S", impl=_indicator_impl,
    shape=lambda i, v, s, *, vocab_size: TensorSpec(
        [*(None,) * (s.shape[0] - 1), vocab_size] if s.shape.rank == 1 and s.shape[0] else None, dtypes.bool),
)  # fmt: skip


def fill_empty_rows(sp_input: SparseTensor, default_value: Any, name: str | None = None) -> Any:
    """`sp_input` with `default_value` in the first column of each row that has no element, and
    a vector that says which rows those were."""
    default = to_tensor(default_value, None if isinstance(default_value, Tensor) else sp_input.dtype)
    indices, source, empty = _FillEmptyRows(sp_input.indices, sp_input.dense_shape)
    from .array_join import concat as dense_concat

    values = gather(dense_concat([sp_input.values, _reshape(default, [1])], 0), source)
    out = SparseTensor(indices, values, sp_input.dense_shape)
    out._static_shape = sp_input._static_shape
    return out, empty


def _fill_rows_impl(indices: Any, shape: Any) -> Any:
    rows, rank = int(shape[0]), indices.shape[1]
    empty = np.ones(rows, bool)
    empty[indices[:, 0]] = False
    new = np.zeros((int(empty.sum()), rank), np.int64)
    new[:, 0] = np.flatnonzero(empty)
    joined = np.concatenate([indices, new])
    source = np.concatenate([np.arange(len(indices)), np.full(len(new), len(indices))])
    order = np.argsort(joined[:, 0], kind="stable")
    return joined[order], source[order], empty


_FillEmptyRows = Primitive(
    "_FillEmptyRows", "indices: I, shape: I", impl=_fill_rows_impl,
    shape=lambda i, s: (
        TensorSpec([None, i.shape[1] if i.shape.rank else None], i.dtype), TensorSpec([None], dtypes.int64),
        TensorSpec([None], dtypes.bool)),
)  # fmt: skip


# -- products ---------------------------------------------------------------------------------


def sparse_dense_matmul(
    sp_a: Any, b: Any, adjoint_a: bool = False, adjoint_b: bool = False, name: str | None = None
) -> Tensor:
    """The matrix product of a sparse and a dense matrix (in either order).

    Raises:
        InvalidArgumentError: the sizes do not fit.
    """
    if isinstance(b, SparseTensor) and not isinstance(sp_a, SparseTensor):
        from .array_shape import transpose as dense_transpose

        return dense_transpose(sparse_dense_matmul(b, sp_a, not adjoint_b, not adjoint_a))
    if adjoint_b:
        from .array_shape import transpose as dense_transpose

        b = dense_transpose(b, conjugate=True)
    return SparseTensorDenseMatMul(sp_a.indices, sp_a.values, sp_a.dense_shape, b, adjoint_a=adjoint_a)


def _matmul_impl(indices: Any, values: Any, shape: Any, b: Any, *, adjoint_a: bool) -> Any:
    rows, columns = (indices[:, 1], indices[:, 0]) if adjoint_a else (indices[:, 0], indices[:, 1])
    m, k = shape.tolist()[::-1] if adjoint_a else shape.tolist()
    if b.shape[0] != k:
        raise InvalidArgumentError(
            f"Cannot multiply A and B because inner dimension does not match: {k} vs. {b.shape[0]}. Did you forget "
            f"a transpose? [Op:SparseTensorDenseMatMul]", op="SparseTensorDenseMatMul")  # fmt: skip
    for found, size, what in ((rows, m, "row"), (columns, k, "column")):
        if len(found) and (int(found.min()) < 0 or int(found.max()) >= size):
            raise InvalidArgumentError(
                f"{what} index from A is out of bounds (>= {size}) [Op:SparseTensorDenseMatMul]",
                op="SparseTensorDenseMatMul")  # fmt: skip
    out = np.zeros((m, b.shape[1]), values.dtype)
    terms = b[columns]
    terms *= (values.conj() if adjoint_a else values)[:, None]
    add_rows(out, rows, terms)
    return out


def _matmul_shape(indices: Any, values: Any, shape: Any, b: Any, *, adjoint_a: bool) -> TensorSpec:
    known = constant_value(shape)
    if b.shape.rank not in (2, None):
        raise InvalidArgumentError(
            f"Tensor 'b' is not a matrix, got shape {b.shape} [Op:SparseTensorDenseMatMul]", op="SparseTensorDenseMatMul"
        )
    m = None if known is None else known.tolist()[1 if adjoint_a else 0]
    return TensorSpec([m, b.shape[1] if b.shape.rank else None], values.dtype)


def _matmul_vjp(op: Any, g: Any) -> Any:
    indices, values, shape, b = op.inputs
    adjoint = op.attrs["adjoint_a"]
    g = to_tensor(g, None)
    to_b = SparseTensorDenseMatMul(indices, values, shape, g, adjoint_a=not adjoint)
    from .array_index import getitem
    from .reductions import reduce_sum as dense_sum

    rows, columns = getitem(indices, (_slice(None), 0)), getitem(indices, (_slice(None), 1))
    if adjoint:
        rows, columns = columns, rows
    to_values = dense_sum(gather(g, rows) * gather(b, columns), axis=1)
    return None, to_values, None, to_b


SparseTensorDenseMatMul = Primitive(
    "SparseTensorDenseMatMul", "a_indices: Tindices, a_values: T, a_shape: S, b: T", impl=_matmul_impl,
    shape=_matmul_shape, vjp=_matmul_vjp,
)  # fmt: skip

