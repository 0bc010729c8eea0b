"""Batch rules of operations whose inputs have a batch axis of their own.

`folded` puts the block axis of the inputs that have such an axis into it; where an input that
has none (a filter) carries the block axis, `looped` runs element by element inside one call.
`uneven` is for results whose sizes depend on values: these are not stacked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .array_basics import reshape, shape
from .array_join import concat
from .array_module import array_module, beside, is_on_device, together
from .context import placing
from .errors import UnimplementedError
from .primitive import Primitive
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["folded", "looped", "merge_block", "split_block", "uneven"]


def looped(ctx: Any, *tensors: Any, **attrs: Any) -> Any:
    """The primitive run for each element of the block, results stacked."""
    specs = tuple(
        TensorSpec(TensorShape([None]).concatenate(s.shape), s.dtype) for s in ctx.out_specs
    )
    own = {"primitive": ctx.primitive, "batched": ctx.batched, "specs": specs}
    return _Looped.call_flat(tensors, own | {"attrs": tuple(attrs.items())})


def _looped_impl(
    *arrays: Any, primitive: Primitive, batched: Any, attrs: Any, specs: Any
) -> Any:
    xp = array_module(*arrays)
    given = dict(attrs)

    def call(*row: Any) -> Any:
        if any(map(is_on_device, row)):
            return placing.run(primitive, row, given)
        return primitive.host(*row, **given)

    n = next(a.shape[0] for a, b in zip(arrays, batched, strict=True) if b)
    rows: list[Any] = [
        call(*[a[k] if b else a for a, b in zip(arrays, batched, strict=True)])
        for k in range(n)
    ]
    if not n:
        return tuple(
            xp.empty((0, *(d or 0 for d in s.shape.dims[1:])), s.dtype.np_dtype) for s in specs
        )
    if type(rows[0]) is tuple:
        return tuple(_stacked(column) for column in zip(*rows, strict=True))
    return (_stacked(rows),)


def _stacked(rows: Any) -> Any:
    rows = together(*rows)
    with beside(*rows):
        return array_module(*rows).stack(rows)


_Looped = Primitive(
    "_Looped",
    "values: N * T",
    impl=_looped_impl,
    shape=lambda *tensors, specs, **_: specs,
)


def uneven(ctx: Any, *tensors: Any, **attrs: Any) -> Any:
    """`looped` where the call's results have known sizes; otherwise it runs row by row, as a
    row part of `Dataset.map` or in `map_fn`.

    Raises:
        UnimplementedError: a result's size is not known.
    """
    if all(s.shape.is_fully_defined() for s in ctx.out_specs):
        return looped(ctx, *tensors, **attrs)
    name = ctx.primitive.name
    raise UnimplementedError(
        f"primitive {name} has results whose sizes differ from row to row", op=name
    )


def merge_block(x: Any) -> Any:
    """[block, n, ...] as [block * n, ...]."""
    sizes = shape(x)
    return reshape(x, concat([sizes[:1] * sizes[1:2], sizes[2:]], 0))


def split_block(x: Any, like: Any) -> Any:
    """[block * n, ...] as [block, n, ...] with the block and the n of `like`."""
    return reshape(x, concat([shape(like)[:2], shape(x)[1:]], 0))


def folded(*data: int) -> Callable[..., Any]:
    """The rule for a primitive whose inputs at `data`, and whose outputs, have a batch axis."""

    def rule(ctx: Any, *tensors: Any, **attrs: Any) -> Any:
        if any(b != (i in data) for i, b in enumerate(ctx.batched)):
            return looped(ctx, *tensors, **attrs)
        like = tensors[data[0]]
        args = tuple(merge_block(t) if i in data else t for i, t in enumerate(tensors))
        out = ctx.primitive.call_flat(args, attrs)
        if type(out) in (tuple, list):
            return tuple(split_block(o, like) for o in out)
        return split_block(out, like)

    return rule
