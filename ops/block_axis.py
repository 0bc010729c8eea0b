"""The block axis: the two rearrangements that batch rules need to line their inputs up."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array_module import array_module
from .primitive import Primitive, get_primitive
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["broadcast_to_block", "expand_dims_at_1"]


def expand_dims_at_1(x: Any, count: int) -> Tensor:
    """[n, ...] as [n, 1 (count times), ...]; what alignment of blocks needs."""
    return _ExpandBlock(x, count=count)


def _expand_block_impl(x: Any, *, count: int) -> Any:
    return x.reshape(x.shape[:1] + (1,) * count + x.shape[1:])


_ExpandBlock = Primitive(
    "_ExpandBlock",
    "x: T",
    impl=_expand_block_impl,
    shape=lambda x, *, count: TensorSpec(
        x.shape[:1].concatenate([1] * count).concatenate(x.shape[1:]), x.dtype
    ),
    vjp=lambda op, g: (_SqueezeBlock(g, count=op.attrs["count"]),),
)

_SqueezeBlock = Primitive(
    "_SqueezeBlock",
    "x: T",
    impl=lambda x, *, count: x.reshape(x.shape[:1] + x.shape[1 + count :]),
    shape=lambda x, *, count: TensorSpec(
        x.shape[:1].concatenate(x.shape[1 + count :]), x.dtype
    ),
    vjp=lambda op, g: (_ExpandBlock(g, count=op.attrs["count"]),),
)


def broadcast_to_block(x: Any, like: Any) -> Tensor:
    """[...] as [n, ...], a view, with n the leading size of `like`."""
    return _BroadcastBlock(x, like)


def _broadcast_block_impl(x: Any, like: Any) -> Any:
    n = like.shape[0]
    if isinstance(x, StringArray):
        return x.map_offsets(lambda a: np.broadcast_to(a, (n, *a.shape)))
    return array_module(x).broadcast_to(x, (n, *x.shape))


_BroadcastBlock = Primitive(
    "_BroadcastBlock",
    "x: T, like: L",
    impl=_broadcast_block_impl,
    shape=lambda x, like: TensorSpec(like.shape[:1].concatenate(x.shape), x.dtype),
    vjp=lambda op, g: (get_primitive("_SumTo").call_flat((g, op.inputs[0]), {}), None),
)
