"""Operations of `hr.sparse` on the places of elements: order, parts, axes and joining.

"Canonical order" means row-major order of the coordinates, which `reorder` establishes and the
other operations keep.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import zeros_like
from .array_gather import boolean_mask, gather
from .array_index import getitem
from .array_join import concat as dense_concat
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .sparse_tensor import SparseTensor, flat_places, int64_vector
from .static_args import static_int
from .tensor_spec import TensorSpec

__all__ = [
    "concat", "expand_dims", "reorder", "reset_shape", "reshape", "retain", "slice", "split",
    "transpose",
]  # fmt: skip

_slice = slice


# -- order and places -------------------------------------------------------------------------


def reorder(sp_input: SparseTensor, name: str | None = None) -> SparseTensor:
    """`sp_input` with its elements in canonical order."""
    order = _SparseOrder(sp_input.indices)
    out = SparseTensor(
        gather(sp_input.indices, order), gather(sp_input.values, order), sp_input.dense_shape
    )
    out._static_shape = sp_input._static_shape
    return out


_SparseOrder = Primitive(
    "_SparseOrder",
    "indices: I",
    impl=lambda i: np.lexsort(i.T[::-1]) if i.shape[1] else np.arange(len(i)),
    shape=lambda i: TensorSpec(i.shape[:1], dtypes.int64),
)


def retain(sp_input: SparseTensor, to_retain: Any) -> SparseTensor:
    """`sp_input` with only the elements for which `to_retain` is True."""
    keep = to_tensor(to_retain, dtypes.bool)
    out = SparseTensor(
        boolean_mask(sp_input.indices, keep),
        boolean_mask(sp_input.values, keep),
        sp_input.dense_shape,
    )
    out._static_shape = sp_input._static_shape
    return out


def slice(
    sp_input: SparseTensor, start: Any, size: Any, name: str | None = None
) -> SparseTensor:
    """The part of `sp_input` that starts at `start` and has at most `size`."""
    indices, keep, dims = _SparseSlice(
        sp_input.indices, sp_input.dense_shape, int64_vector(start), int64_vector(size)
    )
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


def split(
    sp_input: SparseTensor, num_split: int, axis: int, name: str | None = None
) -> list[SparseTensor]:
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
        parts.append(
            slice(sp_input, begin, [size if a == axis else d for a, d in enumerate(dims)])
        )
        start += size
    return parts


def reshape(sp_input: SparseTensor, shape: Any, name: str | None = None) -> SparseTensor:
    """`sp_input` with the same elements, in row-major order, in another dense shape."""
    indices, dims = _SparseReshape(sp_input.indices, sp_input.dense_shape, int64_vector(shape))
    return SparseTensor(indices, sp_input.values, dims)


def _sparse_reshape_impl(indices: Any, old: Any, new: Any) -> Any:
    dims, total = new.tolist(), int(np.prod(old))
    if -1 in dims:
        known = int(np.prod([d for d in dims if d != -1], dtype=np.int64))
        dims[dims.index(-1)] = total // known if known else 0
    if int(np.prod(dims, dtype=np.int64)) != total:
        raise InvalidArgumentError(
            f"Input to reshape is a tensor with {total} dense values, but the requested "
            "shape has "
            f"{int(np.prod(dims, dtype=np.int64))} [Op:SparseReshape]",
            op="SparseReshape",
        )
    flat = flat_places(indices, tuple(old.tolist()), "SparseReshape", False)
    places = (
        np.stack(np.unravel_index(flat, dims), axis=1)
        if len(dims)
        else np.zeros((len(flat), 0), np.int64)
    )
    return places.astype(np.int64), np.array(dims, np.int64)


_SparseReshape = Primitive(
    "SparseReshape",
    "input_indices: I, input_shape: I, new_shape: I",
    impl=_sparse_reshape_impl,
    shape=lambda i, old, new: (
        TensorSpec(
            [i.shape[0] if i.shape.rank else None, new.shape[0] if new.shape.rank else None],
            i.dtype,
        ),
        TensorSpec(new.shape, new.dtype),
    ),
)


def transpose(
    sp_input: SparseTensor, perm: Any = None, name: str | None = None
) -> SparseTensor:
    """`sp_input` with its axes in the order `perm`, reversed by default, in canonical order."""
    rank = sp_input.shape.rank
    if rank is None:
        raise ValueError("hr.sparse.transpose needs a known rank")
    order = list(range(rank))[::-1] if perm is None else [int(p) for p in np.asarray(perm)]
    return reorder(
        SparseTensor(
            gather(sp_input.indices, order, axis=1),
            sp_input.values,
            gather(sp_input.dense_shape, order),
        )
    )


def expand_dims(
    sp_input: SparseTensor, axis: Any = None, name: str | None = None
) -> SparseTensor:
    """`sp_input` with an axis of size 1 put in at `axis`, the last by default."""
    rank = sp_input.shape.rank
    at = -1 if axis is None else static_int(axis, "sparse.expand_dims", "axis")
    at = at + rank + 1 if at < 0 else at
    i, d = sp_input.indices, sp_input.dense_shape
    all_ = _slice(None)
    zero = (
        zeros_like(getitem(i, (all_, _slice(0, 1))))
        if rank
        else to_tensor(np.zeros((1, 1), np.int64), None)
    )
    return SparseTensor(
        dense_concat(
            [getitem(i, (all_, _slice(0, at))), zero, getitem(i, (all_, _slice(at, None)))], 1
        ),
        sp_input.values,
        dense_concat(
            [getitem(d, _slice(0, at)), np.ones(1, np.int64), getitem(d, _slice(at, None))], 0
        ),
    )


def reset_shape(sp_input: SparseTensor, new_shape: Any = None) -> SparseTensor:
    """`sp_input` with `new_shape`, or the smallest that holds its elements."""
    if new_shape is not None:
        return SparseTensor(sp_input.indices, sp_input.values, int64_vector(new_shape))
    return SparseTensor(sp_input.indices, sp_input.values, _BoundingShape(sp_input.indices))


_BoundingShape = Primitive(
    "_BoundingShape", "indices: I",
    impl=lambda i: i.max(axis=0) + 1 if len(i) else np.zeros(i.shape[1], np.int64),
    shape=lambda i: TensorSpec(i.shape[1:], i.dtype),
)  # fmt: skip


def concat(
    axis: Any, sp_inputs: Any, expand_nonconcat_dims: bool = False, name: str | None = None
) -> SparseTensor:
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
            f"Input shapes must match: expected {shapes[0].tolist()} but got "
            f"{shapes[i].tolist()} at position {i} "
            f"(axis {axis}) [Op:SparseConcat]",
            op="SparseConcat",
        )
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
