"""Batch rules that many primitives share.

A rule gets tensors of which some carry a leading block axis (``ctx.batched``), and gives the
result with a leading block axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .block_axis import broadcast_to_block, expand_dims_at_1
from .errors import UnimplementedError

__all__ = [
    "aligned",
    "all_aligned",
    "all_batched",
    "elementwise",
    "rank_of",
    "same_shaped",
    "shift_axis",
    "unary",
]


def unary(ctx: Any, x: Any, **attrs: Any) -> Any:
    """An elementwise function of one input: the block axis is one more axis."""
    return ctx.primitive.call_flat((x,), attrs)


def elementwise(ctx: Any, *args: Any, **attrs: Any) -> Any:
    """An elementwise function of several inputs that broadcast against each other."""
    return ctx.primitive.call_flat(aligned(ctx, args), attrs)


def aligned(ctx: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with axes of size 1 put behind the block axis, so that they broadcast as the
    elements do."""
    ranks = [s.rank for s in ctx.element_shapes]
    if None in ranks:
        raise UnimplementedError(
            f"primitive {ctx.primitive.name}: the batch rule needs inputs of known rank",
            op=ctx.primitive.name,
        )
    rank = max(ranks)
    return tuple(
        expand_dims_at_1(a, rank - r) if batched and r < rank else a
        for a, batched, r in zip(args, ctx.batched, ranks, strict=True)
    )


def all_batched(ctx: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs, those without a block axis repeated (as a view) along one."""
    like = next(a for a, b in zip(args, ctx.batched, strict=True) if b)
    return tuple(
        a if b else broadcast_to_block(a, like) for a, b in zip(args, ctx.batched, strict=True)
    )


def all_aligned(ctx: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """`all_batched`, and behind the block axis as `aligned`."""
    ranks = [s.rank for s in ctx.element_shapes]
    if None in ranks:
        raise UnimplementedError(
            f"primitive {ctx.primitive.name}: the batch rule needs inputs of known rank",
            op=ctx.primitive.name,
        )
    rank = max(ranks)
    return tuple(
        expand_dims_at_1(a, rank - r) if r < rank else a
        for a, r in zip(all_batched(ctx, args), ranks, strict=True)
    )


def same_shaped(ctx: Any, *args: Any, **attrs: Any) -> Any:
    """An elementwise function of several inputs of one shape, which do not broadcast."""
    return ctx.primitive.call_flat(all_batched(ctx, args), attrs)


def rank_of(ctx: Any, position: int = 0) -> int:
    """Rank of an input's elements.

    Raises:
        UnimplementedError: it is not known.
    """
    rank = ctx.element_shapes[position].rank
    if rank is None:
        raise UnimplementedError(
            f"primitive {ctx.primitive.name}: the batch rule needs inputs of known rank",
            op=ctx.primitive.name,
        )
    return rank


def shift_axis(name: str = "axis") -> Callable[..., Any]:
    """A rule for one-input primitives with an axis attribute (an int or tuple, counted from
    the front): the axis moves up by one."""

    def rule(ctx: Any, x: Any, **attrs: Any) -> Any:
        axis = attrs[name]
        attrs = {**attrs, name: _shift(axis)}
        return ctx.primitive.call_flat((x,), attrs)

    return rule


def _shift(axis: Any) -> Any:
    if isinstance(axis, tuple):
        return tuple(_shift(a) for a in axis)
    return axis + 1 if axis >= 0 else axis
