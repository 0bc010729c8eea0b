"""Scans along one axis: cumulative sums, products and log-sum-exps."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import cast
from .array_module import array_module
from .binary_primitives import masked
from .comparison import logical_not
from .convert import to_tensor
from .division import divide_no_nan
from .elementwise import exp, log
from .primitive import Primitive
from .shape_rules import FLOATS, NUMERIC, axis_of
from .static_args import static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["cumprod", "cumsum", "cumulative_logsumexp"]


def _shape(x: Any, *, axis: int, exclusive: bool, reverse: bool) -> TensorSpec:
    if x.shape.rank is not None:
        axis_of(axis, x.shape.rank, "Cumsum")
    return TensorSpec(x.shape, x.dtype)


def _scan(
    x: Any, accumulate: Any, start: Any, axis: int, exclusive: bool, reverse: bool
) -> Any:
    if reverse:
        x = array_module(x).flip(x, axis)
    y = accumulate(x, axis)
    if exclusive:
        y = array_module(x).roll(y, 1, axis)
        first: list[Any] = [slice(None)] * y.ndim
        first[axis] = slice(0, 1)
        y[tuple(first)] = start
    return array_module(x).flip(y, axis) if reverse else y


def _widened(method: str) -> Any:
    def accumulate(x: Any, axis: int) -> Any:
        if x.dtype.itemsize == 2 and x.dtype.kind not in "iu":
            return getattr(array_module(x), method)(x.astype(np.float32), axis).astype(x.dtype)
        return getattr(array_module(x), method)(x, axis, dtype=x.dtype)

    return accumulate


_cumsum, _cumprod = _widened("cumsum"), _widened("cumprod")


def cumprod_along(x: Any, axis: int, *, exclusive: bool, reverse: bool) -> Tensor:
    """`cumprod` of a tensor along an axis counted from the front."""
    return Cumprod(x, axis=axis, exclusive=exclusive, reverse=reverse)


def _call(
    primitive: Primitive, value: Any, axis: Any, exclusive: bool, reverse: bool
) -> Tensor:
    x = to_tensor(value, None)
    axis = static_int(axis, primitive.name, "axis")
    if x.shape.rank is not None:
        axis = axis_of(axis, x.shape.rank, primitive.name)
    return primitive(x, axis=axis, exclusive=bool(exclusive), reverse=bool(reverse))


def cumsum(
    x: Any,
    axis: Any = 0,
    exclusive: bool = False,
    reverse: bool = False,
    name: str | None = None,
) -> Tensor:
    """Sums of all elements up to each one along `axis`.

    Args:
        x: numbers.
        axis: the axis.
        exclusive: leave the element itself out.
        reverse: start from the end.

    >>> cumsum([1, 2, 3], exclusive=True).numpy()
    array([0, 1, 3], dtype=int32)
    """
    return _call(Cumsum, x, axis, exclusive, reverse)


def _cumsum_vjp(op: Any, g: Any) -> Any:
    return (Cumsum(g, **{**op.attrs, "reverse": not op.attrs["reverse"]}),)


Cumsum = Primitive(
    "Cumsum",
    "x: T",
    impl=lambda x, *, axis, exclusive, reverse: _scan(x, _cumsum, 0, axis, exclusive, reverse),
    shape=_shape,
    vjp=_cumsum_vjp,
    batch=batch_rules.shift_axis(),
    types={"T": NUMERIC},
)


def cumprod(
    x: Any,
    axis: Any = 0,
    exclusive: bool = False,
    reverse: bool = False,
    name: str | None = None,
) -> Tensor:
    """Products of all elements up to each one along `axis`; arguments as for `cumsum`."""
    return _call(Cumprod, x, axis, exclusive, reverse)


def _cumprod_vjp(op: Any, g: Any) -> Any:
    x = op.inputs[0]
    back = {**op.attrs, "reverse": not op.attrs["reverse"]}
    return (divide_no_nan(Cumsum(op.outputs[0] * g, **back), x),)


Cumprod = Primitive(
    "Cumprod",
    "x: T",
    impl=lambda x, *, axis, exclusive, reverse: _scan(x, _cumprod, 1, axis, exclusive, reverse),
    shape=_shape,
    vjp=_cumprod_vjp,
    batch=batch_rules.shift_axis(),
    types={"T": NUMERIC},
)


def cumulative_logsumexp(
    x: Any,
    axis: Any = 0,
    exclusive: bool = False,
    reverse: bool = False,
    name: str | None = None,
) -> Tensor:
    """log of the cumulative sums of exp(x), without overflow; arguments as for `cumsum`."""
    return _call(CumulativeLogsumexp, x, axis, exclusive, reverse)


def _logaddexp(x: Any, axis: int) -> Any:
    xp = array_module(x)
    if xp is not np:
        return _doubling(xp, x, axis)
    if x.dtype.itemsize == 2:
        return np.logaddexp.accumulate(x.astype(np.float32), axis).astype(x.dtype)
    return np.logaddexp.accumulate(x, axis)


def _doubling(xp: Any, x: Any, axis: int) -> Any:
    """The scan in log2(n) steps over all elements (Hillis and Steele, 1986)."""
    out = xp.moveaxis(x, axis, -1).astype(np.float32 if x.dtype.itemsize == 2 else x.dtype)
    step = 1
    while step < out.shape[-1]:
        joined = xp.logaddexp(out[..., step:], out[..., :-step])
        out = xp.concatenate([out[..., :step], joined], axis=-1)
        step *= 2
    return xp.moveaxis(out, -1, axis).astype(x.dtype)


def _cumulative_logsumexp_vjp(op: Any, g: Any) -> Any:
    # d y_j / d x_i = exp(x_i - y_j); positive and negative parts are summed in log space.
    x, y = op.inputs[0], op.outputs[0]
    back = {**op.attrs, "reverse": not op.attrs["reverse"]}
    positive = exp(CumulativeLogsumexp(_log_or_lowest(g) - y, **back) + x)
    negative = exp(CumulativeLogsumexp(_log_or_lowest(-g) - y, **back) + x)
    return (positive - negative,)


def _log_or_lowest(g: Any) -> Tensor:
    """log(g) where g > 0, else the lowest number (not -inf, whose derivatives are NaN)."""
    some = g > 0
    rest = cast(logical_not(some), g.dtype)
    return log(masked(g, some) + rest) + rest * g.dtype.np_dtype.type(g.dtype.min)


CumulativeLogsumexp = Primitive(
    "CumulativeLogsumexp",
    "x: T",
    impl=lambda x, *, axis, exclusive, reverse: _scan(
        x, _logaddexp, -np.inf, axis, exclusive, reverse
    ),
    shape=_shape,
    vjp=_cumulative_logsumexp_vjp,
    batch=batch_rules.shift_axis(),
    types={"T": FLOATS},
)
