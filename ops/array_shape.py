"""Operations that change a tensor's shape or the order of its elements: transpose, expand_dims,
squeeze, broadcast_to, tile, reverse, roll, and the algebra of broadcast shapes.

Axes and permutations are attributes; sizes (`shape`, `multiples`, `shift`) are inputs, so that
they may be computed.  ``batch_dims`` counts leading axes that a rule leaves alone.  Results are
views where NumPy gives one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import UnbatchableShape, reshape, shape, sum_to
from .array_module import array_module
from .convert import to_tensor
from .elementwise import conj
from .errors import InvalidArgumentError, UnimplementedError
from .graph.graph import constant_value
from .primitive import Primitive
from .shape_rules import axis_of
from .static_args import shape_input, static_int, static_ints
from .string_array import StringArray
from .tensor import Tensor
from .tensor_shape import TensorShape, as_shape
from .tensor_spec import TensorSpec

__all__ = [
    "broadcast_dynamic_shape", "broadcast_static_shape", "broadcast_to", "ensure_shape", "expand_dims",
    "identity_n", "reverse", "roll", "shape_n", "squeeze", "tile", "transpose", "unravel_index",
]  # fmt: skip


# -- transpose --------------------------------------------------------------------------------


def transpose(a: Any, perm: Any = None, conjugate: bool = False, name: str = "transpose") -> Tensor:
    """`a` with its axes in the order `perm`; reversed by default.

    Args:
        a: tensor.
        perm: a permutation of the axes.
        conjugate: conjugate complex elements too.
        name: ignored.

    >>> import headrace as hr
    >>> hr.transpose([[1, 2], [3, 4]]).numpy().tolist()
    [[1, 3], [2, 4]]
    """
    out = Transpose(a, perm=None if perm is None else static_ints(perm, "Transpose", "perm"))
    if conjugate and out.dtype.is_complex:
        return conj(out)
    return out


def _transpose_shape(x: Any, *, perm: tuple[int, ...] | None) -> TensorSpec:
    rank = x.shape.rank
    if rank is None:
        return TensorSpec(None if perm is None else [None] * len(perm), x.dtype)
    if perm is None:
        return TensorSpec(x.shape.dims[::-1], x.dtype)
    if len(perm) != rank:
        raise InvalidArgumentError(
            f"transpose expects a vector of size {rank}. But input(1) is a vector of size {len(perm)} "
            f"[Op:Transpose]", op="Transpose")  # fmt: skip
    order = [axis_of(p, rank, "Transpose", "perm") for p in perm]
    if sorted(order) != list(range(rank)):
        missing = next(i for i in range(rank) if i not in order)
        raise InvalidArgumentError(f"{missing} is missing from perm, got {list(perm)} [Op:Transpose]", op="Transpose")
    return TensorSpec([x.shape.dims[p] for p in order], x.dtype)


def _transpose_impl(x: Any, *, perm: tuple[int, ...] | None) -> Any:
    return x.transpose() if perm is None else x.transpose(perm)


def _transpose_vjp(op: Any, g: Any) -> Any:
    perm = op.attrs["perm"]
    if perm is None:
        return (transpose(g),)
    rank = len(perm)
    back = [0] * rank
    for i, p in enumerate(perm):
        back[p % rank] = i
    return (Transpose(g, perm=tuple(back)),)


def _transpose_batch(ctx: Any, x: Any, *, perm: tuple[int, ...] | None) -> Any:
    rank = ctx.element_shapes[0].rank
    if perm is None:
        if rank is None:
            raise UnimplementedError("primitive Transpose: the rank is unknown", op="Transpose")
        perm = tuple(range(rank))[::-1]
    return Transpose(x, perm=(0, *(p % len(perm) + 1 for p in perm)))


Transpose = Primitive(
    "Transpose", "x: T", impl=_transpose_impl, shape=_transpose_shape, vjp=_transpose_vjp, batch=_transpose_batch
)


# -- axes of size one -------------------------------------------------------------------------


def expand_dims(input: Any, axis: Any, name: str | None = None) -> Tensor:
    """`input` with an axis of size 1 put in at `axis`.

    Raises:
        InvalidArgumentError: `axis` is not in [-rank - 1, rank].
    """
    return ExpandDims(input, axis=static_int(axis, "ExpandDims", "axis"))


def _expand_dims_impl(x: Any, *, axis: int) -> Any:
    dims = x.shape
    at = axis + len(dims) + 1 if axis < 0 else axis
    if not 0 <= at <= len(dims):
        raise _expand_error(axis, len(dims))
    return x.reshape((*dims[:at], 1, *dims[at:]))


def _expand_error(axis: int, rank: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"Tried to expand dim index {axis} for tensor with {rank} dimensions. axis must be in "
        f"[{-rank - 1}, {rank}] [Op:ExpandDims]", op="ExpandDims")  # fmt: skip


def _expand_dims_shape(x: Any, *, axis: int) -> TensorSpec:
    dims = x.shape.dims
    if dims is None:
        return TensorSpec(None, x.dtype)
    at = axis + len(dims) + 1 if axis < 0 else axis
    if not 0 <= at <= len(dims):
        raise _expand_error(axis, len(dims))
    return TensorSpec((*dims[:at], 1, *dims[at:]), x.dtype)


ExpandDims = Primitive(
    "ExpandDims", "input: T", impl=_expand_dims_impl, shape=_expand_dims_shape,
    vjp=lambda op, g: (reshape(g, shape(op.inputs[0])),), batch=batch_rules.shift_axis(),
)  # fmt: skip


def squeeze(input: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """`input` without its axes of size 1; only those of `axis` if given.

    Raises:
        InvalidArgumentError: an axis of `axis` has another size.
    """
    return Squeeze(input, axis=() if axis is None else static_ints(axis, "Squeeze", "axis"))


def _squeezed(dims: tuple[int | None, ...], axis: tuple[int, ...]) -> tuple[int | None, ...]:
    rank = len(dims)
    for a in axis:
        if not -rank <= a < rank:
            raise InvalidArgumentError(
                f"Tried to squeeze dim index {a} for tensor with {rank} dimensions. [Op:Squeeze]", op="Squeeze"
            )
    drop = {a % rank for a in axis}
    for a in drop:
        if dims[a] not in (1, None):
            raise InvalidArgumentError(
                f"Can not squeeze dim[{a}], expected a dimension of 1, got {dims[a]} [Op:Squeeze]", op="Squeeze"
            )
    return tuple(d for i, d in enumerate(dims) if i not in drop)


def _squeeze_impl(x: Any, *, axis: tuple[int, ...]) -> Any:
    dims = tuple(d for d in x.shape if d != 1) if not axis else _squeezed(x.shape, axis)
    return x.reshape(dims)


def _squeeze_shape(x: Any, *, axis: tuple[int, ...]) -> TensorSpec:
    dims = x.shape.dims
    if dims is None or (not axis and None in dims):
        return TensorSpec(None, x.dtype)
    return TensorSpec(tuple(d for d in dims if d != 1) if not axis else _squeezed(dims, axis), x.dtype)


def _squeeze_batch(ctx: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    dims = ctx.element_shapes[0].dims
    if not axis:
        if dims is None or None in dims:
            raise UnimplementedError("primitive Squeeze: sizes are unknown; pass axis", op="Squeeze")
        axis = tuple(i for i, d in enumerate(dims) if d == 1)
        if not axis:
            return x
    return Squeeze(x, axis=tuple(a + 1 if a >= 0 else a for a in axis))


Squeeze = Primitive(
    "Squeeze", "input: T", impl=_squeeze_impl, shape=_squeeze_shape,
    vjp=lambda op, g: (reshape(g, shape(op.inputs[0])),), batch=_squeeze_batch,
)  # fmt: skip


# -- broadcasting -----------------------------------------------------------------------------


def broadcast_to(input: Any, shape: Any, name: str | None = None) -> Tensor:
    """`input` repeated along axes of size 1 and new leading axes, to `shape`.

    Raises:
        InvalidArgumentError: the shapes do not fit.
    """
    return BroadcastTo(input, shape_input(shape), batch_dims=0)


def _broadcast_to_impl(x: Any, shape: Any, *, batch_dims: int = 0) -> Any:
    dims = shape.tolist()
    own = x.shape[batch_dims:]
    lead = len(dims) - len(own)
    if lead < 0:
        raise ValueError(f"Rank of input ({len(own)}) must be no greater than rank of output shape ({len(dims)}).")
    dims = [own[i - lead] if d == -1 and i >= lead else d for i, d in enumerate(dims)]
    target = (*x.shape[:batch_dims], *dims)
    spread = (*x.shape[:batch_dims], *(1,) * lead, *own)
    if isinstance(x, StringArray):
        return x.map_offsets(lambda a: np.broadcast_to(a.reshape(spread), target))
    return array_module(x).broadcast_to(x.reshape(spread) if lead and batch_dims else x, target)


def _broadcast_to_shape(x: Any, shape: Any, *, batch_dims: int = 0) -> TensorSpec:
    head = x.shape[:batch_dims] if batch_dims else TensorShape.of(())
    known = constant_value(shape)
    if known is None:
        n = shape.shape[0] if shape.shape.rank == 1 else None
        return TensorSpec(head.concatenate([None] * n if n is not None else None), x.dtype)
    dims = known.tolist()
    own = x.shape.dims
    if own is None:
        return TensorSpec(head.concatenate([None if d == -1 else d for d in dims]), x.dtype)
    own = own[batch_dims:]
    lead = len(dims) - len(own)
    if lead < 0:
        raise InvalidArgumentError(
            f"Rank of input ({len(own)}) must be no greater than rank of output shape ({len(dims)}). "
            f"[Op:BroadcastTo]", op="BroadcastTo")  # fmt: skip
    out = [own[i - lead] if d == -1 and i >= lead else d for i, d in enumerate(dims)]
    for have, want in zip(own, out[lead:], strict=True):
        if have not in (None, 1) and want is not None and have != want:
            raise InvalidArgumentError(
                f"Incompatible shapes: {list(own)} vs. {dims} [Op:BroadcastTo]", op="BroadcastTo"
            )
    return TensorSpec(head.concatenate(out), x.dtype)


def _sizes_batch(ctx: Any, x: Any, sizes: Any, *, batch_dims: int = 0) -> Any:
    if ctx.batched[1]:
        raise UnbatchableShape(ctx.primitive.name)
    return ctx.primitive(x, sizes, batch_dims=batch_dims + 1)


def _broadcast_to_vjp(op: Any, g: Any) -> Any:
    return sum_to(g, op.inputs[0]), None


BroadcastTo = Primitive(
    "BroadcastTo", "input: T, shape: Tidx", impl=_broadcast_to_impl, shape=_broadcast_to_shape,
    vjp=_broadcast_to_vjp, batch=_sizes_batch,
)  # fmt: skip


def broadcast_static_shape(shape_x: Any, shape_y: Any) -> TensorShape:
    """The shape two shapes broadcast to.

    Raises:
        ValueError: they do not fit.
    """
    from .shape_rules import broadcast

    x, y = as_shape(shape_x), as_shape(shape_y)
    try:
        return broadcast(x, y, "broadcast_static_shape")
    except InvalidArgumentError:
        raise ValueError(f"Incompatible shapes for broadcasting: {x} and {y}") from None


def broadcast_dynamic_shape(shape_x: Any, shape_y: Any) -> Tensor:
    """The shape, as an integer vector, of two shape vectors broadcast against each other."""
    return BroadcastArgs(shape_x, shape_y)


def _broadcast_args_impl(s0: Any, s1: Any) -> Any:
    return np.array(np.broadcast_shapes(tuple(s0.tolist()), tuple(s1.tolist())), s0.dtype)


def _broadcast_args_shape(s0: Any, s1: Any) -> TensorSpec:
    a, b = constant_value(s0), constant_value(s1)
    if a is not None and b is not None:
        try:
            np.broadcast_shapes(tuple(a.tolist()), tuple(b.tolist()))
        except ValueError:
            raise InvalidArgumentError(
                f"Incompatible shapes: {a.tolist()} vs. {b.tolist()} [Op:BroadcastArgs]", op="BroadcastArgs"
            ) from None
    m, n = s0.shape, s1.shape
    if m.rank != 1 or n.rank != 1 or m[0] is None or n[0] is None:
        return TensorSpec([None], s0.dtype)
    return TensorSpec([max(m[0], n[0])], s0.dtype)


BroadcastArgs = Primitive(
    "BroadcastArgs", "s0: T, s1: T", impl=_broadcast_args_impl, shape=_broadcast_args_shape,
    vjp=lambda op, g: (None, None),
)  # fmt: skip


# -- tile -------------------------------------------------------------------------------------


def tile(input: Any, multiples: Any, name: str | None = None) -> Tensor:
    """`input` repeated ``multiples[i]`` times along axis i.

    Raises:
        InvalidArgumentError: `multiples` has not one entry per axis, or a negative one.
    """
    return Tile(input, shape_input(multiples), batch_dims=0)


def _tile_impl(x: Any, multiples: Any, *, batch_dims: int = 0) -> Any:
    times = multiples.tolist()
    if len(times) != x.ndim - batch_dims or any(t < 0 for t in times):
        raise ValueError(f"Tile: wrong multiples {times} for an input of shape {x.shape}")
    times = (1,) * batch_dims + tuple(times)
    if isinstance(x, StringArray):
        return x.map_offsets(lambda a: np.tile(a, times))
    return array_module(x).tile(x, times)


def _tile_shape(x: Any, multiples: Any, *, batch_dims: int = 0) -> TensorSpec:
    known = constant_value(multiples)
    dims = x.shape.dims
    if known is None:
        return TensorSpec(None if dims is None else dims[:batch_dims] + (None,) * (len(dims) - batch_dims), x.dtype)
    times = known.reshape(-1).tolist()
    if dims is None:
        return TensorSpec([None] * (len(times) + batch_dims), x.dtype)
    if len(times) != len(dims) - batch_dims:
        raise InvalidArgumentError(
            f"Expected multiples argument to be a vector of length {len(dims) - batch_dims} but got length "
            f"{len(times)} [Op:Tile]", op="Tile")  # fmt: skip
    if any(t < 0 for t in times):
        raise InvalidArgumentError(f"Expected multiples to be >= 0, got {times} [Op:Tile]", op="Tile")
    own = dims[batch_dims:]
    return TensorSpec(
        (*dims[:batch_dims], *(None if d is None else d * t for d, t in zip(own, times, strict=True))), x.dtype
    )


def _tile_vjp(op: Any, g: Any) -> Any:
    return _TileGrad(g, *op.inputs, **op.attrs), None


Tile = Primitive(
    "Tile", "input: T, multiples: Tmultiples", impl=_tile_impl, shape=_tile_shape, vjp=_tile_vjp, batch=_sizes_batch
)


def _tile_grad_impl(g: Any, x: Any, multiples: Any, *, batch_dims: int = 0) -> Any:
    lead = x.shape[:batch_dims]
    split = [n for pair in zip(multiples.tolist(), x.shape[batch_dims:], strict=True) for n in pair]
    axes = tuple(range(batch_dims, batch_dims + len(split), 2))
    return g.reshape((*lead, *split)).sum(axis=axes, dtype=g.dtype)


def _tile_grad_batch(ctx: Any, g: Any, x: Any, multiples: Any, *, batch_dims: int = 0) -> Any:
    if ctx.batched[2]:
        raise UnbatchableShape("Tile")
    ctx.batched = ctx.batched[:2]
    g, x = batch_rules.all_batched(ctx, (g, x))
    return _TileGrad(g, x, multiples, batch_dims=batch_dims + 1)


_TileGrad = Primitive(
    "_TileGrad", "g: T, input: T, multiples: Tmultiples", impl=_tile_grad_impl,
    shape=lambda g, x, multiples, *, batch_dims=0: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (Tile(gg, op.inputs[2], **op.attrs), None, None), batch=_tile_grad_batch,
)  # fmt: skip


# -- the order of elements --------------------------------------------------------------------


def reverse(tensor: Any, axis: Any, name: str | None = None) -> Tensor:
    """`tensor` with its elements in reverse order along each axis of `axis`."""
    return ReverseV2(tensor, axis=static_ints(axis, "ReverseV2", "axis"))


def _reverse_key(x: Any, axis: tuple[int, ...]) -> tuple[slice, ...]:
    key = [slice(None)] * len(x.shape)
    for a in axis:
        if key[a] != slice(None):
            raise ValueError(f"axis {a} specified more than once")
        key[a] = slice(None, None, -1)
    return tuple(key)


def _reverse_shape(x: Any, *, axis: tuple[int, ...]) -> TensorSpec:
    if x.shape.rank is not None:
        found = [axis_of(a, x.shape.rank, "ReverseV2") for a in axis]
        if len(set(found)) != len(found):
            raise InvalidArgumentError(f"axis {found} specified more than once. [Op:ReverseV2]", op="ReverseV2")
    return TensorSpec(x.shape, x.dtype)


ReverseV2 = Primitive(
    "ReverseV2", "tensor: T", impl=lambda x, *, axis: x[(*_reverse_key(x, axis), ...)], shape=_reverse_shape,
    vjp=lambda op, g: (ReverseV2(g, **op.attrs),), batch=batch_rules.shift_axis(),
)  # fmt: skip


def roll(input: Any, shift: Any, axis: Any, name: str | None = None) -> Tensor:
    """`input` with its elements moved cyclically by `shift` places along `axis`."""
    return Roll(input, shape_input(shift), axis=static_ints(axis, "Roll", "axis"))


def _roll_impl(x: Any, shift: Any, *, axis: tuple[int, ...]) -> Any:
    by = tuple(shift.reshape(-1).tolist())
    if len(by) != len(axis):
        raise ValueError("shift and axis must have the same size")
    if isinstance(x, StringArray):
        return x.map_offsets(lambda a: np.roll(a, by, axis))
    return array_module(x).roll(x, by, axis)


def _roll_shape(x: Any, shift: Any, *, axis: tuple[int, ...]) -> TensorSpec:
    if x.shape.rank is not None:
        if x.shape.rank == 0:
            raise InvalidArgumentError("input must be 1-D or higher [Op:Roll]", op="Roll")
        for a in axis:
            axis_of(a, x.shape.rank, "Roll")
    count = 1 if shift.shape.rank == 0 else shift.shape[0] if shift.shape.rank == 1 else None
    if count is not None and count != len(axis):
        raise InvalidArgumentError(
            f"shift and axis must have the same size, got {count} and {len(axis)} [Op:Roll]", op="Roll"
        )
    return TensorSpec(x.shape, x.dtype)


def _roll_batch(ctx: Any, x: Any, shift: Any, *, axis: tuple[int, ...]) -> Any:
    if ctx.batched[1]:
        raise UnimplementedError("primitive Roll: shift differs from element to element", op="Roll")
    return Roll(x, shift, axis=tuple(a + 1 if a >= 0 else a for a in axis))


Roll = Primitive(
    "Roll", "input: T, shift: Tshift", impl=_roll_impl, shape=_roll_shape,
    vjp=lambda op, g: (Roll(g, -op.inputs[1], **op.attrs), None), batch=_roll_batch,
)  # fmt: skip


# -- checks and lists -------------------------------------------------------------------------


def ensure_shape(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """`x`, known to have `shape` from here on.

    Raises:
        InvalidArgumentError: it has not.
    """
    return EnsureShape(x, shape=as_shape(shape))


def _ensure_impl(x: Any, *, shape: TensorShape, batch_dims: int = 0) -> Any:
    if not shape.is_compatible_with(x.shape[batch_dims:]):
        raise InvalidArgumentError(
            f"Shape of tensor x {list(x.shape[batch_dims:])} is not compatible with expected shape "
            f"{shape} [Op:EnsureShape]", op="EnsureShape")  # fmt: skip
    return x


def _ensure_shape_rule(x: Any, *, shape: TensorShape, batch_dims: int = 0) -> TensorSpec:
    own = x.shape[batch_dims:] if batch_dims else x.shape
    try:
        merged = own.merge_with(shape)
    except ValueError:
        raise InvalidArgumentError(
            f"Shape of tensor x {own} is not compatible with expected shape {shape} [Op:EnsureShape]",
            op="EnsureShape",
        ) from None
    return TensorSpec(x.shape[:batch_dims].concatenate(merged) if batch_dims else merged, x.dtype)


def _ensure_batch(ctx: Any, x: Any, *, shape: TensorShape, batch_dims: int = 0) -> Any:
    return EnsureShape(x, shape=shape, batch_dims=batch_dims + 1)


EnsureShape = Primitive(
    "EnsureShape", "input: T", impl=_ensure_impl, shape=_ensure_shape_rule, vjp=lambda op, g: (g,),
    batch=_ensure_batch,
)  # fmt: skip


def shape_n(input: Any, out_type: Any = "int32", name: str | None = None) -> list[Tensor]:
    """The shapes of several tensors."""
    return [shape(x, out_type) for x in input]


def identity_n(input: Any, name: str | None = None) -> list[Tensor]:
    """The tensors of a list, each as by `identity`."""
    return [to_tensor(x, None) for x in input]


def unravel_index(indices: Any, dims: Any, name: str | None = None) -> Tensor:
    """Coordinates, [rank, ...], of flat `indices` into an array of shape `dims`."""
    return UnravelIndex(indices, dims)


def _unravel_impl(indices: Any, dims: Any) -> Any:
    sizes = tuple(dims.tolist())
    total = int(np.prod(sizes, dtype=np.int64))
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= total):
        raise InvalidArgumentError("index is out of bound as with dims [Op:UnravelIndex]", op="UnravelIndex")
    found = np.array(np.unravel_index(indices.reshape(-1), sizes)).astype(indices.dtype)
    return found.reshape((len(sizes), *indices.shape))


UnravelIndex = Primitive(
    "UnravelIndex", "indices: Tidx, dims: Tidx", impl=_unravel_impl,
    shape=lambda indices, dims: TensorSpec(dims.shape.concatenate(indices.shape), indices.dtype),
    vjp=lambda op, g: (None, None),
)  # fmt: skip
