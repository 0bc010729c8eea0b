"""Reductions and running sums, with their forms that skip NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import api as hr
from .. import backend
from .op import operations
from .values import as_tensor, axes_of, dtype_name, floating

op = operations("numpy")
_SUMMED = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32",
           "uint16": "uint32"}  # fmt: skip


def _axes(x: Any, axis: Any) -> list[int]:
    return axes_of(axis, len(x.shape))


@op()
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum along `axis`; small integers are summed in 32 bits."""
    x = as_tensor(x)
    x = hr.cast(x, _SUMMED.get(dtype_name(x), dtype_name(x)))
    return hr.reduce_sum(x, axis=axis, keepdims=keepdims)


@op()
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """The product along `axis`; small integers are multiplied in 32 bits."""
    x = as_tensor(x)
    found = dtype or _SUMMED.get(dtype_name(x), dtype_name(x))
    # hr has no products of unsigned integers of 32 bits.
    wide = hr.cast(x, "int64" if found == "uint32" else found)
    return hr.cast(hr.reduce_prod(wide, axis=axis, keepdims=keepdims), found)


def _fraction(x: Any) -> Any:
    x = as_tensor(x)
    return x if x.dtype.is_floating or x.dtype.is_complex else hr.cast(x, backend.floatx())


@op()
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean along `axis`, a float."""
    return hr.reduce_mean(_fraction(x), axis=axis, keepdims=keepdims)


def _in_float32(function: Callable[..., Any], x: Any) -> Any:
    """Halves are summed as float32."""
    dtype = dtype_name(x)
    if dtype in ("float16", "bfloat16"):
        return hr.cast(function(hr.cast(x, "float32")), dtype)
    return function(x)


@op()
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance along `axis`, a float."""

    def compute(x: Any) -> Any:
        return hr.reduce_variance(x, axis=axis, keepdims=keepdims)

    return _in_float32(compute, _fraction(x))


@op()
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The standard deviation along `axis`, a float."""

    def compute(x: Any) -> Any:
        return hr.reduce_std(x, axis=axis, keepdims=keepdims)

    return _in_float32(compute, _fraction(x))


def _extreme(function: Callable[..., Any], pair: Callable[..., Any]) -> Any:
    def compute(x: Any, axis: Any, keepdims: bool, initial: Any) -> Any:
        x = as_tensor(x)
        dtype = dtype_name(x)
        if dtype == "bool":
            x = hr.cast(x, "int32")
        found = function(x, axis=axis, keepdims=keepdims)
        if initial is not None:
            found = pair(found, hr.cast(initial, found.dtype))
        return hr.cast(found, dtype)

    return compute


_max = _extreme(hr.reduce_max, hr.maximum)
_min = _extreme(hr.reduce_min, hr.minimum)


@op()
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The largest along `axis`, at least `initial`."""
    return _max(x, axis, keepdims, initial)


@op()
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest along `axis`, at most `initial`."""
    return _min(x, axis, keepdims, initial)


@op()
def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest along `axis`."""
    return _max(x, axis, keepdims, None)


@op()
def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest along `axis`."""
    return _min(x, axis, keepdims, None)


@op()
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest less the smallest along `axis`."""
    x = as_tensor(x)
    return _max(x, axis, keepdims, None) - _min(x, axis, keepdims, None)


@op()
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether all hold along `axis`."""
    return hr.reduce_all(as_tensor(x, "bool"), axis=axis, keepdims=keepdims)


@op()
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether any holds along `axis`."""
    return hr.reduce_any(as_tensor(x, "bool"), axis=axis, keepdims=keepdims)


@op()
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """How many are not 0 along `axis`, int32."""
    nonzero = hr.cast(hr.not_equal(as_tensor(x, None), hr.zeros_like(as_tensor(x))), "int32")
    return hr.reduce_sum(nonzero, axis=axis)


@op(named=("weights",))
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """The mean along `axis`, weighted.

    Raises:
        ValueError: `weights` has neither the shape of `x` nor the length of `axis`.
    """
    if weights is None:
        return mean(x, axis=axis)
    x, weights = floating(x, weights)
    if len(weights.shape) != len(x.shape):
        if axis is None or isinstance(axis, (list, tuple)) or len(weights.shape) != 1:
            raise ValueError(
                "weights must have the shape of x, or one axis as long as x's `axis`. "
                f"Received: x.shape={x.shape}, weights.shape={weights.shape}, axis={axis}"
            )
        shape = [1] * len(x.shape)
        shape[axis] = -1
        weights = hr.reshape(weights, shape)
    weights = hr.broadcast_to(weights, hr.shape(x))
    total = hr.reduce_sum(weights, axis=axis)
    return hr.divide_no_nan(hr.reduce_sum(x * weights, axis=axis), total)


def _argument(function: Callable[..., Any], x: Any, axis: Any, keepdims: bool) -> Any:
    x = as_tensor(x)
    if dtype_name(x) == "bool":
        x = hr.cast(x, "uint8")
    rank = len(x.shape)
    if axis is None:
        found = function(hr.reshape(x, [-1]), axis=0, output_type="int32")
        return hr.reshape(found, [1] * rank) if keepdims else found
    found = function(x, axis=axis, output_type="int32")
    return hr.expand_dims(found, axis) if keepdims else found


@op()
def argmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Where the largest is along `axis`, int32; the first of equals."""
    return _argument(hr.argmax, x, axis, keepdims)


@op()
def argmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Where the smallest is along `axis`, int32; the first of equals."""
    return _argument(hr.argmin, x, axis, keepdims)


def _running(function: Callable[..., Any], x: Any, axis: Any, dtype: Any) -> Any:
    x = as_tensor(x)
    if dtype is not None:
        x = hr.cast(x, dtype)
    elif dtype_name(x) == "bool":
        x = hr.cast(x, "int32")
    if axis is None:
        x, axis = hr.reshape(x, [-1]), 0
    return function(x, axis=axis)


@op()
def cumsum(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Sums of the first one, two, three... along `axis`."""
    return _running(hr.cumsum, x, axis, dtype)


@op()
def cumprod(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Products of the first one, two, three... along `axis`."""
    return _running(hr.cumprod, x, axis, dtype)


# -- without NaN ------------------------------------------------------------------------------


def _filled(x: Any, value: Any) -> Any:
    """`x` with `value` for NaN."""
    x = as_tensor(x)
    if not x.dtype.is_floating:
        return x
    return hr.where(hr.is_nan(x), hr.cast(value, x.dtype), x)


def _missing(x: Any, axis: Any, keepdims: bool) -> Any:
    """Where all are NaN along `axis`."""
    return hr.reduce_all(hr.is_nan(x), axis=axis, keepdims=keepdims)


@op()
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum of what is no NaN."""
    return sum(_filled(x, 0), axis, keepdims)


@op()
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The product of what is no NaN."""
    return prod(_filled(x, 1), axis, keepdims)


@op()
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest of what is no NaN; NaN where there is none."""
    x = as_tensor(x)
    if not x.dtype.is_floating:
        return _max(x, axis, keepdims, None)
    found = hr.reduce_max(_filled(x, -float("inf")), axis=axis, keepdims=keepdims)
    return hr.where(_missing(x, axis, keepdims), hr.cast(float("nan"), x.dtype), found)


@op()
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest of what is no NaN; NaN where there is none."""
    x = as_tensor(x)
    if not x.dtype.is_floating:
        return _min(x, axis, keepdims, None)
    found = hr.reduce_min(_filled(x, float("inf")), axis=axis, keepdims=keepdims)
    return hr.where(_missing(x, axis, keepdims), hr.cast(float("nan"), x.dtype), found)


def _nan_argument(function: Any, worst: float, x: Any, axis: Any, keepdims: bool) -> Any:
    x = as_tensor(x)
    if not x.dtype.is_floating:
        return function(x, axis, keepdims)
    found = function(_filled(x, worst), axis, keepdims)
    return hr.where(_missing(x, axis, keepdims), hr.constant(-1, "int32"), found)


@op()
def nanargmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Where the largest is of what is no NaN; -1 where there is none."""
    return _nan_argument(argmax, -float("inf"), x, axis, keepdims)


@op()
def nanargmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Where the smallest is of what is no NaN; -1 where there is none."""
    return _nan_argument(argmin, float("inf"), x, axis, keepdims)


def _count(x: Any, axis: Any, keepdims: bool) -> Any:
    numbers = hr.cast(hr.logical_not(hr.is_nan(x)), x.dtype)
    return hr.reduce_sum(numbers, axis=axis, keepdims=keepdims)


@op()
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean of what is no NaN."""
    x = _fraction(x)
    total = hr.reduce_sum(_filled(x, 0), axis=axis, keepdims=keepdims)
    return total / _count(x, axis, keepdims)


@op()
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance of what is no NaN."""
    x = _fraction(x)

    def compute(x: Any) -> Any:
        count = _count(x, axis, True)
        middle = hr.reduce_sum(_filled(x, 0), axis=axis, keepdims=True) / count
        squares = hr.reduce_sum(_filled(hr.square(x - middle), 0), axis=axis, keepdims=keepdims)
        return squares / _count(x, axis, keepdims)

    return _in_float32(compute, x)


@op()
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The standard deviation of what is no NaN."""
    return hr.sqrt(nanvar(x, axis, keepdims))


@op()
def nancumsum(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running sums; NaN counts as 0."""
    return cumsum(_filled(x, 0), axis, dtype)


@op()
def nancumprod(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running products; NaN counts as 1."""
    return cumprod(_filled(x, 1), axis, dtype)


@op()
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral of `y` along `axis` by the trapezoidal rule.

    Args:
        y: values.
        x: where they are; `dx` apart if None.
        dx: distance of neighbours.
        axis: axis of `y`.
    """
    if x is None:
        (y,) = floating(y)
        width: Any = hr.cast(dx, y.dtype)
    else:
        y, x = floating(y, x)
        width = _after(x, len(x.shape) - 1 if len(x.shape) == 1 else axis)
        if len(x.shape) == 1:
            shape = [1] * len(y.shape)
            shape[axis] = -1
            width = hr.reshape(width, shape)
    heights = (_part(y, axis, 1, None) + _part(y, axis, None, -1)) / hr.cast(2, y.dtype)
    return hr.reduce_sum(heights * width, axis=axis)


def _part(x: Any, axis: int, start: Any, stop: Any) -> Any:
    index = [slice(None)] * len(x.shape)
    index[axis] = slice(start, stop)
    return x[tuple(index)]


def _after(x: Any, axis: int) -> Any:
    """Each element's successor less it."""
    return _part(x, axis, 1, None) - _part(x, axis, None, -1)


def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Each element's successor less it, `n` times."""
    a = as_tensor(a)
    for _ in range(n):
        if dtype_name(a) == "bool":
            a = hr.not_equal(_part(a, axis, 1, None), _part(a, axis, None, -1))
        else:
            a = _after(a, axis)
    return a


__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "average", "count_nonzero", "cumprod",
    "cumsum", "diff", "max", "mean", "min", "nanargmax", "nanargmin", "nancumprod",
    "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "prod",
    "ptp", "std", "sum", "trapezoid", "var",
]  # fmt: skip
