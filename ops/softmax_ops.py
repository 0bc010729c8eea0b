"""Softmax and its logarithm along an axis.

Every pass over the array after the first works in place on an array made here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_module import array_module
from .array_shape import transpose
from .convert import to_tensor
from .elementwise import exp
from .errors import InvalidArgumentError
from .primitive import Primitive
from .reductions import reduce_sum
from .shape_rules import FLOATS, axis_of, same
from .static_args import static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["log_softmax", "softmax"]


def softmax(logits: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """exp(x) / sum(exp(x)) along `axis`, the last one by default.

    Raises:
        InvalidArgumentError: there is no such axis.
    """
    return _along(Softmax, logits, axis)


def log_softmax(logits: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """log(softmax(x)) along `axis`, the last one by default, without overflow."""
    return _along(LogSoftmax, logits, axis)


def _along(primitive: Primitive, logits: Any, axis: Any) -> Tensor:
    """The primitive, which works on the last axis, on another one."""
    if axis is None or (type(axis) is int and axis == -1):
        return primitive(logits)
    x = to_tensor(logits, None)
    rank = x.shape.rank
    axis = axis_of(static_int(axis, primitive.name, "axis"), rank, primitive.name, "dim")
    if axis == rank - 1:
        return primitive(x)
    perm = list(range(rank))
    perm[axis], perm[-1] = perm[-1], perm[axis]
    return transpose(primitive(transpose(x, perm)), perm)


def _softmax_shape(x: Any, *more: Any) -> TensorSpec:
    if x.shape.rank == 0:
        raise InvalidArgumentError(
            f"logits must have >= 1 dimension, got {x.shape} [Op:Softmax]", op="Softmax"
        )
    return TensorSpec(x.shape, x.dtype)


def last_max(xp: Any, x: Any) -> Any:
    """The maximum along the last axis, kept with size 1; -inf of no elements."""
    size = x.shape[-1]
    if not size:
        return xp.full((*x.shape[:-1], 1), -np.inf, x.dtype)
    if size <= 32 and xp is np and x.size >= 8 * size:
        # Rows as short as that cost NumPy more to begin with than to go through: go down the
        # columns instead.
        columns = np.ascontiguousarray(x.reshape((-1, size)).T)
        return np.maximum.reduce(columns, 0).reshape((*x.shape[:-1], 1))
    return xp.max(x, axis=-1, keepdims=True)


def last_sum(x: Any) -> Any:
    """The sum along the last axis, kept with size 1."""
    if type(x) is np.ndarray:
        return np.add.reduce(x, -1, None, None, True)
    return x.sum(axis=-1, keepdims=True)


def _softmax_impl(x: Any) -> Any:
    if x.dtype.itemsize == 2:
        return _softmax_impl(x.astype(np.float32)).astype(x.dtype)
    xp = array_module(x)
    y = x - last_max(xp, x)
    xp.exp(y, out=y)
    y /= last_sum(y)
    return y


def _softmax_vjp(op: Any, g: Any) -> Any:
    return (SoftmaxGrad(g, op.outputs[0]),)


Softmax = Primitive(
    "Softmax",
    "logits: T",
    impl=_softmax_impl,
    shape=_softmax_shape,
    vjp=_softmax_vjp,
    batch=batch_rules.unary,
    types={"T": FLOATS},
    check_first=False,
)


def _softmax_grad_impl(g: Any, y: Any) -> Any:
    if g.dtype.itemsize == 2:
        return _softmax_grad_impl(g.astype(np.float32), y.astype(np.float32)).astype(g.dtype)
    out = g * y
    array_module(g).subtract(g, last_sum(out), out=out)
    out *= y
    return out


def _softmax_grad_vjp(op: Any, gg: Any) -> Any:
    g, y = op.inputs
    weighted = reduce_sum(g * y, -1, True)
    along = reduce_sum(gg * y, -1, True)
    return SoftmaxGrad(gg, y), gg * (g - weighted) - g * along


SoftmaxGrad = Primitive(
    "_SoftmaxGrad",
    "g: T, softmax: T",
    impl=_softmax_grad_impl,
    shape=same,
    vjp=_softmax_grad_vjp,
    batch=lambda ctx, *xs: ctx.primitive(*batch_rules.all_batched(ctx, xs)),
)


def _log_softmax_impl(x: Any) -> Any:
    if x.dtype.itemsize == 2:
        return _log_softmax_impl(x.astype(np.float32)).astype(x.dtype)
    xp = array_module(x)
    y = x - last_max(xp, x)
    y -= xp.log(last_sum(xp.exp(y)))
    return y


def _log_softmax_vjp(op: Any, g: Any) -> Any:
    return (g - exp(op.outputs[0]) * reduce_sum(g, -1, True),)


LogSoftmax = Primitive(
    "LogSoftmax",
    "logits: T",
    impl=_log_softmax_impl,
    shape=_softmax_shape,
    vjp=_log_softmax_vjp,
    batch=batch_rules.unary,
    types={"T": FLOATS},
)
