"""Repeating a tensor's elements: broadcast_to, tile, repeat; the algebra of broadcast shapes.

Sizes (`shape`, `multiples`, `repeats`) are inputs, so that they may be computed; ``batch_dims``
counts leading axes that a rule leaves alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import (
    UnbatchableShape,
    reshape,
    sum_to,
)
from .array_module import array_module, brought
from .atomic_updates import update_at
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .shape_rules import axis_of, broadcast
from .static_args import known_ints, shape_input, static_int
from .string_array import StringArray
from .tensor import Tensor
from .tensor_shape import TensorShape, as_shape
from .tensor_spec import TensorSpec

__all__ = [
    "broadcast_dynamic_shape", "broadcast_static_shape", "broadcast_to", "repeat", "tile",
]  # fmt: skip


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
        raise ValueError(
            f"Rank of input ({len(own)}) must be no greater than rank of output shape "
            f"({len(dims)})."
        )
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
            f"Rank of input ({len(own)}) must be no greater than rank of output shape "
            f"({len(dims)}). "
            f"[Op:BroadcastTo]",
            op="BroadcastTo",
        )
    out = [own[i - lead] if d == -1 and i >= lead else d for i, d in enumerate(dims)]
    for have, want in zip(own, out[lead:], strict=True):
        if have not in (None, 1) and want is not None and have != want:
            raise InvalidArgumentError(
                f"Incompatible shapes: {list(own)} vs. {dims} [Op:BroadcastTo]",
                op="BroadcastTo",
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
                f"Incompatible shapes: {a.tolist()} vs. {b.tolist()} [Op:BroadcastArgs]",
                op="BroadcastArgs",
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
        return TensorSpec(
            None if dims is None else dims[:batch_dims] + (None,) * (len(dims) - batch_dims),
            x.dtype,
        )
    times = known.reshape(-1).tolist()
    if dims is None:
        return TensorSpec([None] * (len(times) + batch_dims), x.dtype)
    if len(times) != len(dims) - batch_dims:
        raise InvalidArgumentError(
            f"Expected multiples argument to be a vector of length {len(dims) - batch_dims} "
            "but got length "
            f"{len(times)} [Op:Tile]",
            op="Tile",
        )
    if any(t < 0 for t in times):
        raise InvalidArgumentError(
            f"Expected multiples to be >= 0, got {times} [Op:Tile]", op="Tile"
        )
    own = dims[batch_dims:]
    return TensorSpec(
        (
            *dims[:batch_dims],
            *(None if d is None else d * t for d, t in zip(own, times, strict=True)),
        ),
        x.dtype,
    )


def _tile_vjp(op: Any, g: Any) -> Any:
    return _TileGrad(g, *op.inputs, **op.attrs), None


Tile = Primitive(
    "Tile",
    "input: T, multiples: Tmultiples",
    impl=_tile_impl,
    shape=_tile_shape,
    vjp=_tile_vjp,
    batch=_sizes_batch,
)


def _tile_grad_impl(g: Any, x: Any, multiples: Any, *, batch_dims: int = 0) -> Any:
    lead = x.shape[:batch_dims]
    split = [
        n for pair in zip(multiples.tolist(), x.shape[batch_dims:], strict=True) for n in pair
    ]
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


# -- repeat -----------------------------------------------------------------------------------


def repeat(input: Any, repeats: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """`input` with each element along `axis` repeated; flattened first where `axis` is None.

    Args:
        input: tensor.
        repeats: how often: one number, or one per element along the axis.
        axis: the axis.
        name: ignored.

    Raises:
        InvalidArgumentError: `repeats` does not fit, or is negative.
    """
    x = to_tensor(input, None)
    if axis is None:
        x, axis = reshape(x, [-1]), 0
    axis = static_int(axis, "repeat", "axis")
    if x.shape.rank is not None:
        axis = axis_of(axis, x.shape.rank, "repeat")
    times = known_ints(repeats, "repeat", "repeats")
    return _Repeat(
        x,
        shape_input(repeats),
        axis=axis,
        count=times[0] if times is not None and len(times) == 1 else None,
    )


def _repeat_impl(x: Any, repeats: Any, *, axis: int, count: int | None) -> Any:
    n = x.shape[axis]
    times = (
        np.broadcast_to(repeats.reshape(-1), (n,)) if repeats.size == 1 else repeats.reshape(-1)
    )
    if len(times) != n or (n and int(times.min()) < 0):
        raise InvalidArgumentError(
            f"repeat: repeats must hold one number >= 0 per element of axis {axis} (size "
            f"{n}), got "
            f"{repeats.tolist()}",
            op="repeat",
        )
    if isinstance(x, StringArray):
        return x.map_offsets(lambda a: np.repeat(a, times, axis))
    xp = array_module(x)
    if count is not None or xp is np:
        return xp.repeat(x, times if count is None else count, axis)
    return x.take(brought(np.repeat(np.arange(x.shape[axis]), times), x), axis)


def _repeat_shape(x: Any, repeats: Any, *, axis: int, count: int | None) -> TensorSpec:
    dims = x.shape.dims
    if dims is None:
        return TensorSpec(None, x.dtype)
    at = axis_of(axis, len(dims), "repeat")
    known = constant_value(repeats)
    total = None
    if count is not None:
        total = None if dims[at] is None else dims[at] * count
    elif known is not None:
        total = int(known.sum())
    return TensorSpec((*dims[:at], total, *dims[at + 1 :]), x.dtype)


def _repeat_grad_impl(g: Any, x: Any, repeats: Any, *, axis: int, count: int | None) -> Any:
    n = x.shape[axis]
    if count is not None:
        dims = x.shape
        return g.reshape((*dims[: axis + 1], count, *dims[axis + 1 :])).sum(
            axis=axis + 1, dtype=g.dtype
        )
    xp = array_module(g)
    out = xp.zeros((n, *(d for i, d in enumerate(x.shape) if i != axis)), g.dtype)
    rows = np.repeat(np.arange(n), repeats.reshape(-1))
    update_at("add", out, brought(rows, g), xp.moveaxis(g, axis, 0))
    return xp.moveaxis(out, 0, axis)


def _repeat_batch(ctx: Any, x: Any, repeats: Any, *, axis: int, count: int | None) -> Any:
    if ctx.batched[1]:
        raise UnbatchableShape("repeat")
    return _Repeat(x, repeats, axis=axis + 1, count=count)


_Repeat = Primitive(
    "_Repeat", "input: T, repeats: I", impl=_repeat_impl, shape=_repeat_shape,
    vjp=lambda op, g: (_RepeatGrad(g, *op.inputs, **op.attrs), None), batch=_repeat_batch,
)  # fmt: skip
_RepeatGrad = Primitive(
    "_RepeatGrad", "g: T, input: T, repeats: I", impl=_repeat_grad_impl,
    shape=lambda g, x, repeats, *, axis, count: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (_Repeat(gg, op.inputs[2], **op.attrs), None, None),
)  # fmt: skip
