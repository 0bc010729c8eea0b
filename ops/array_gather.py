"""Reading elements at computed places: gather, gather_nd, boolean_mask, where.

Indices must be in range; there are no negative ones, as in TensorFlow on a CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import reshape, shape, sum_to, zeros_like
from .array_join import concat
from .array_module import array_module
from .array_scatter import ScatterNd, add_rows, coordinates
from .array_shape import transpose
from .convert import to_tensor
from .cuda.recording import unseen
from .errors import InvalidArgumentError
from .indexed_slices import IndexedSlices
from .primitive import Primitive
from .shape_rules import axis_of, broadcast
from .static_args import static_int
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["boolean_mask", "gather", "gather_nd", "where"]

_INDICES = {"Tindices": (dtypes.int16, dtypes.int32, dtypes.int64)}


# -- gather -----------------------------------------------------------------------------------


def gather(
    params: Any,
    indices: Any,
    validate_indices: Any = None,
    axis: Any = None,
    batch_dims: int = 0,
    name: str | None = None,
) -> Tensor:
    """Slices of `params` along `axis` at `indices`: shape ``params.shape[:axis] +
    indices.shape[batch_dims:] + params.shape[axis + 1:]``.

    Args:
        params: tensor.
        indices: integers in [0, params.shape[axis]).
        validate_indices: ignored; indices are always checked.
        axis: axis to look along; `batch_dims` by default.
        batch_dims: number of leading axes that `params` and `indices` share.
        name: ignored.

    >>> import headrace as hr
    >>> hr.gather([10, 20, 30], [2, 0]).numpy().tolist()
    [30, 10]

    Raises:
        InvalidArgumentError: an index is out of range.
    """
    if hasattr(params, "_gather"):
        return params._gather(indices, axis, batch_dims)
    if batch_dims or axis is not None:
        batch_dims = static_int(batch_dims, "GatherV2", "batch_dims")
        axis = batch_dims if axis is None else static_int(axis, "GatherV2", "axis")
        if batch_dims < 0:
            indices = to_tensor(indices, None)
            if indices.shape.rank is None:
                raise ValueError("gather: a negative batch_dims needs indices of a known rank")
            batch_dims += indices.shape.rank
        return GatherV2(params, indices, axis=axis, batch_dims=batch_dims)
    return GatherV2(params, indices, axis=0, batch_dims=0)


def check_indices(indices: Any, size: int, op: str) -> None:
    """Raise InvalidArgumentError, naming the first culprit, unless all are in [0, size)."""
    if not indices.size or unseen(indices):
        return
    # Seen as unsigned, negative indices are large ones: one pass finds both kinds.
    seen = (
        indices.view(_UNSIGNED[indices.dtype.itemsize])
        if indices.flags.c_contiguous
        else indices
    )
    if int(seen.max()) < size and (seen is not indices or int(indices.min()) >= 0):
        return
    bad = np.unravel_index(int(((indices < 0) | (indices >= size)).argmax()), indices.shape)
    place = ",".join(str(int(i)) for i in bad)
    raise InvalidArgumentError(
        f"indices{f'[{place}]' if place else ''} = {int(indices[bad])} is not in [0, "
        f"{size}) [Op:{op}]",
        op=op,
    )


_UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def _gather_impl(params: Any, indices: Any, *, axis: int, batch_dims: int) -> Any:
    dims = params.shape
    if axis < 0:
        axis += len(dims)
    size = dims[axis]
    check_indices(indices, size, "GatherV2")
    if not batch_dims:
        if type(params) is StringArray:
            return params.map_offsets(lambda a: a.take(indices, axis, mode="clip"))
        if type(params) is np.ndarray:
            return params.take(indices, axis, mode="clip")  # checked above; clip skips a copy
        return params.take(indices, axis)
    lead = dims[:batch_dims]
    if indices.shape[:batch_dims] != lead or axis < batch_dims:
        raise ValueError("GatherV2: batch dimensions differ")
    if isinstance(params, StringArray):
        return params.map_offsets(lambda a: _gather_batched(a, indices, axis, batch_dims))
    return _gather_batched(params, indices, axis, batch_dims)


def _gather_batched(params: Any, indices: Any, axis: int, batch_dims: int) -> Any:
    """Rows of the array seen as [batch * middle * size, rest], at computed row numbers."""
    xp = array_module(params, indices)
    dims = params.shape
    batch = _product(dims[:batch_dims])
    middle, rest = _product(dims[batch_dims:axis]), _product(dims[axis + 1 :])
    count = _product(indices.shape[batch_dims:])
    start = xp.arange(batch * middle).reshape(batch, middle, 1) * dims[axis]
    rows = start + indices.reshape(batch, 1, count)
    out = params.reshape(batch * middle * dims[axis], rest).take(rows.reshape(-1), 0)
    return out.reshape(dims[:axis] + indices.shape[batch_dims:] + dims[axis + 1 :])


def _product(sizes: Any) -> int:
    n = 1
    for s in sizes:
        n *= s
    return n


def _gather_shape(params: Any, indices: Any, *, axis: int, batch_dims: int) -> TensorSpec:
    p, i = params.shape.dims, indices.shape.dims
    if p is not None:
        if not p:
            raise InvalidArgumentError(
                "params must be at least 1 dimensional [Op:GatherV2]", op="GatherV2"
            )
        axis = axis_of(axis, len(p), "GatherV2")
    if p is None or i is None or axis < 0:
        return TensorSpec(None, params.dtype)
    if not batch_dims <= min(axis, len(i)):
        raise InvalidArgumentError(
            f"batch_dims ({batch_dims}) must be less than or equal to axis ({axis}) and "
            "rank of indices "
            f"({len(i)}) [Op:GatherV2]",
            op="GatherV2",
        )
    lead = []
    for n, (a, b) in enumerate(zip(p[:batch_dims], i[:batch_dims], strict=True)):
        if a is not None and b is not None and a != b:
            raise InvalidArgumentError(
                f"params.shape[{n}]: {a} should be equal to indices.shape[{n}]: {b} "
                "[Op:GatherV2]",
                op="GatherV2",
            )
        lead.append(b if a is None else a)
    return TensorSpec(
        (*lead, *p[batch_dims:axis], *i[batch_dims:], *p[axis + 1 :]), params.dtype
    )


def _gather_vjp(op: Any, g: Any) -> Any:
    params, indices = op.inputs
    axis, batch_dims = op.attrs["axis"], op.attrs["batch_dims"]
    rank = params.shape.rank
    axis = axis if axis >= 0 or rank is None else axis + rank
    if axis == 0:
        rows = shape(params)[1:]
        values = reshape(g, concat([[-1], rows], 0))
        return IndexedSlices(values, reshape(indices, [-1]), shape(params)), None
    return _GatherGrad(g, params, indices, axis=axis, batch_dims=batch_dims), None


def _gather_batch(ctx: Any, params: Any, indices: Any, *, axis: int, batch_dims: int) -> Any:
    on_params, on_indices = ctx.batched
    rank = ctx.element_shapes[0].rank
    axis = axis_of(axis, rank, "GatherV2") if axis < 0 else axis
    if on_params and not on_indices and not batch_dims:
        return GatherV2(params, indices, axis=axis + 1, batch_dims=0)
    if on_indices and not on_params and not batch_dims:
        out = GatherV2(params, indices, axis=axis, batch_dims=0)
        if axis == 0:
            return out
        rank = ctx.out_specs[0].shape.rank
        return transpose(out, [axis, *(i for i in range(rank + 1) if i != axis)])
    params, indices = batch_rules.all_batched(ctx, (params, indices))
    return GatherV2(params, indices, axis=axis + 1, batch_dims=batch_dims + 1)


GatherV2 = Primitive(
    "GatherV2",
    "params: Tparams, indices: Tindices",
    impl=_gather_impl,
    shape=_gather_shape,
    vjp=_gather_vjp,
    batch=_gather_batch,
    types=_INDICES,
    defaults={"batch_dims": 0},
)


def _gather_grad_impl(g: Any, params: Any, indices: Any, *, axis: int, batch_dims: int) -> Any:
    dims = params.shape
    batch = _product(dims[:batch_dims])
    middle, rest = _product(dims[batch_dims:axis]), _product(dims[axis + 1 :])
    count = _product(indices.shape[batch_dims:])
    xp = array_module(g)
    start = xp.arange(batch * middle).reshape(batch, middle, 1) * dims[axis]
    rows = (start + indices.reshape(batch, 1, count)).reshape(-1)
    out = xp.zeros((batch * middle * dims[axis], rest), g.dtype)
    add_rows(out, rows, g.reshape(len(rows), rest))
    return out.reshape(dims)


def _gather_grad_batch(
    ctx: Any, g: Any, params: Any, indices: Any, *, axis: int, batch_dims: int
) -> Any:
    args = batch_rules.all_batched(ctx, (g, params, indices))
    return _GatherGrad(*args, axis=axis + 1, batch_dims=batch_dims + 1)


_GatherGrad = Primitive(
    "_GatherGrad",
    "g: T, params: T, indices: Tindices",
    impl=_gather_grad_impl,
    shape=lambda g, params, indices, *, axis, batch_dims: TensorSpec(params.shape, g.dtype),
    vjp=lambda op, gg: (GatherV2(gg, op.inputs[2], **op.attrs), None, None),
    batch=_gather_grad_batch,
)


# -- gather_nd --------------------------------------------------------------------------------


def gather_nd(
    params: Any, indices: Any, batch_dims: int = 0, name: str | None = None
) -> Tensor:
    """Elements or slices of `params` at coordinates: the last axis of `indices` holds up to
    rank-many indices.

    Raises:
        InvalidArgumentError: a coordinate is out of range.
    """
    return GatherNd(
        params, indices, batch_dims=static_int(batch_dims, "GatherNd", "batch_dims")
    )


def _gather_nd_impl(params: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    key = coordinates(indices, params.shape, batch_dims, "GatherNd", "param")
    if key:
        return params[key]
    target = (*indices.shape[:-1], *params.shape)
    if isinstance(params, StringArray):
        return params.map_offsets(lambda a: np.broadcast_to(a, target))
    return array_module(params).broadcast_to(params, target)


def _gather_nd_shape(params: Any, indices: Any, *, batch_dims: int = 0) -> TensorSpec:
    p, i = params.shape.dims, indices.shape.dims
    if i == ():
        raise InvalidArgumentError(
            "indices must be at least a vector [Op:GatherNd]", op="GatherNd"
        )
    if p is None or i is None or i[-1] is None:
        return TensorSpec(None, params.dtype)
    if i[-1] > len(p) - batch_dims:
        raise InvalidArgumentError(
            f"index innermost dimension length must be <= params rank; saw: {i[-1]} vs. "
            f"{len(p) - batch_dims} "
            f"[Op:GatherNd]",
            op="GatherNd",
        )
    return TensorSpec((*i[:-1], *p[batch_dims + i[-1] :]), params.dtype)


def _gather_nd_vjp(op: Any, g: Any) -> Any:
    params, indices = op.inputs
    n = op.attrs.get("batch_dims", 0)
    return ScatterNd(indices, g, shape(params)[n:], batch_dims=n), None


def _gather_nd_batch(ctx: Any, params: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    if not ctx.batched[0] and not batch_dims:
        return GatherNd(params, indices, batch_dims=0)
    params, indices = batch_rules.all_batched(ctx, (params, indices))
    return GatherNd(params, indices, batch_dims=batch_dims + 1)


GatherNd = Primitive(
    "GatherNd",
    "params: Tparams, indices: Tindices",
    impl=_gather_nd_impl,
    shape=_gather_nd_shape,
    vjp=_gather_nd_vjp,
    batch=_gather_nd_batch,
    types=_INDICES,
)


# -- boolean_mask -----------------------------------------------------------------------------


def boolean_mask(
    tensor: Any, mask: Any, axis: Any = None, name: str = "boolean_mask"
) -> Tensor:
    """The elements (or slices) of `tensor` where `mask` is True, along one axis in place of the
    mask's axes, which start at `axis`.

    Raises:
        ValueError: `mask` is a scalar, or its shape does not fit.
    """
    axis = 0 if axis is None else static_int(axis, "boolean_mask", "axis")
    tensor, mask = to_tensor(tensor, None), to_tensor(mask, dtypes.bool)
    rank = tensor.shape.rank
    if mask.shape.rank == 0:
        raise ValueError("mask cannot be scalar.")
    if mask.shape.rank is None:
        raise ValueError(
            "Number of mask dimensions must be specified, even if some dimensions are None."
        )
    if axis < 0 and rank is not None:
        axis += rank
    if not tensor.shape[axis : axis + mask.shape.rank].is_compatible_with(mask.shape):
        raise ValueError(
            f"Shapes {tensor.shape[axis : axis + mask.shape.rank]} and {mask.shape} are "
            "incompatible"
        )
    return _BooleanMask(tensor, mask, axis=axis)


def _mask_key(mask: Any, axis: int) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, mask)


def _mask_shape(x: Any, mask: Any, *, axis: int) -> TensorSpec:
    dims = x.shape.dims
    if dims is None or mask.shape.rank is None:
        return TensorSpec(None, x.dtype)
    return TensorSpec((*dims[:axis], None, *dims[axis + mask.shape.rank :]), x.dtype)


def _mask_grad_impl(g: Any, x: Any, mask: Any, *, axis: int) -> Any:
    out = array_module(g).zeros(x.shape, g.dtype)
    out[_mask_key(mask, axis)] = g
    return out


_BooleanMask = Primitive(
    "_BooleanMask",
    "tensor: T, mask: bool",
    impl=lambda x, mask, *, axis: x[_mask_key(mask, axis)],
    shape=_mask_shape,
    vjp=lambda op, g: (_BooleanMaskGrad(g, *op.inputs, **op.attrs), None),
)
_BooleanMaskGrad = Primitive(
    "_BooleanMaskGrad", "g: T, tensor: T, mask: bool", impl=_mask_grad_impl,
    shape=lambda g, x, mask, *, axis: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (_BooleanMask(gg, op.inputs[2], **op.attrs), None, None),
)  # fmt: skip


# -- where ------------------------------------------------------------------------------------


def where(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Tensor:
    """`x` where `condition` holds, else `y`, all three broadcast; without `x` and `y` the int64
    coordinates, [count, rank], of the elements that are not zero.

    Raises:
        ValueError: only one of `x` and `y` is given.
    """
    if x is None and y is None:
        return Where(condition)
    if x is None or y is None:
        raise ValueError("x and y must both be non-None or both be None.")
    return SelectV2(condition, x, y)


def _where_impl(c: Any) -> Any:
    if isinstance(c, StringArray):
        c = c.lengths
    return array_module(c).argwhere(c).astype(np.int64, copy=False)


Where = Primitive(
    "Where",
    "condition: T",
    impl=_where_impl,
    shape=lambda c: TensorSpec([None, c.shape.rank], dtypes.int64),
    vjp=lambda op, g: (None,),
)


def _select_impl(c: Any, x: Any, y: Any) -> Any:
    if isinstance(x, StringArray):
        data, shift = merged_buffers(x, y)
        return StringArray(
            data, np.where(c, x.starts, y.starts + shift), np.where(c, x.ends, y.ends + shift)
        )
    return array_module(c, x, y).where(c, x, y)


def merged_buffers(x: StringArray, y: StringArray) -> tuple[Any, int]:
    """A buffer for the elements of both, and what to add to offsets of the second."""
    if x.data is y.data:
        return x.data, 0
    return np.concatenate([x.data, y.data]), x.data.size


def _select_shape(c: Any, x: Any, y: Any) -> TensorSpec:
    return TensorSpec(
        broadcast(broadcast(c.shape, x.shape, "SelectV2"), y.shape, "SelectV2"), x.dtype
    )


def _select_vjp(op: Any, g: Any) -> Any:
    c, x, y = op.inputs
    zero = zeros_like(g)
    return None, sum_to(SelectV2(c, g, zero), x), sum_to(SelectV2(c, zero, g), y)


SelectV2 = Primitive(
    "SelectV2",
    "condition: bool, t: T, e: T",
    impl=_select_impl,
    shape=_select_shape,
    vjp=_select_vjp,
    batch=batch_rules.elementwise,
    elementwise="where(a, b, c)",
)
