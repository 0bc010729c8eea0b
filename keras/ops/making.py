"""Tensors made of numbers: ranges, grids, constants, windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops import api as hr
from ...ops.special_more import bessel_i0
from .. import backend
from ..promotion import result_type
from .values import as_tensor, dtype_name, weak_dtype


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Numbers from `start` to before `stop` (from 0 to before `start` if `stop` is None)."""
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    if dtype is None:
        dtype = result_type(*map(weak_dtype, (start, stop, step)))
    found = "float32" if dtype in ("float16", "bfloat16") else dtype
    wide = found if found in ("float32", "float64", "int32", "int64") else "int32"
    values = [as_tensor(v, wide) for v in (start, stop, step)]
    return hr.cast(hr.range(*values), dtype)


def _spaced_dtype(start: Any, stop: Any, dtype: Any) -> str:
    return dtype or result_type(weak_dtype(start), weak_dtype(stop), float)


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` numbers at equal distances from `start` to `stop`.

    Args:
        start, stop: the ends, scalars or tensors.
        num: how many.
        endpoint: whether `stop` is the last one.
        retstep: return the distance, too.
        dtype: of the result.
        axis: where the numbers lie in the result.

    Raises:
        ValueError: `num` is negative.
    """
    if num < 0:
        raise ValueError(f"`num` must be a non-negative integer. Received: num={num}")
    dtype = _spaced_dtype(start, stop, dtype)
    wide = "float64" if dtype == "float64" else "float32"
    first, last = as_tensor(start, wide), as_tensor(stop, wide)
    steps = num - 1 if endpoint else num
    distance = (last - first) / hr.cast(steps, wide) if steps > 0 else (last - first) * math.nan
    rank = max(len(first.shape), len(last.shape))
    at = hr.reshape(hr.range(num, dtype=wide), [-1] + [1] * rank)
    values = first + at * (distance if steps > 0 else hr.zeros_like(distance))
    if endpoint and num > 1:  # the last is exact
        end = hr.broadcast_to(hr.expand_dims(last, 0), hr.shape(values[-1:]))
        values = hr.concat([values[:-1], end], axis=0)
    if axis != 0:
        order = list(range(1, rank + 1))
        order.insert(axis if axis >= 0 else rank + 1 + axis, 0)
        values = hr.transpose(values, order)
    if dtype.startswith(("int", "uint")):
        values = hr.floor(values)
    values = hr.cast(values, dtype)
    return (values, hr.cast(distance, dtype)) if retstep else values


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`base` to the powers of `linspace`."""
    dtype = _spaced_dtype(start, stop, dtype)
    powers = linspace(start, stop, num, endpoint, dtype=_wide(dtype), axis=axis)
    return hr.cast(hr.pow(hr.cast(base, powers.dtype), powers), dtype)


def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` numbers with equal quotients of neighbours from `start` to `stop`."""
    dtype = _spaced_dtype(start, stop, dtype)
    first, last = as_tensor(start, _wide(dtype)), as_tensor(stop, _wide(dtype))
    sign = hr.sign(first)
    logs = linspace(hr.log(hr.abs(first)), hr.log(hr.abs(last)), num, endpoint, axis=axis)
    return hr.cast(sign * hr.exp(logs), dtype)


def _wide(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


def zeros(shape: Any, dtype: Any = None) -> Any:
    """Zeros in `shape`."""
    return hr.zeros(shape, dtype=dtype or backend.floatx())


def ones(shape: Any, dtype: Any = None) -> Any:
    """Ones in `shape`."""
    return hr.ones(shape, dtype=dtype or backend.floatx())


def empty(shape: Any, dtype: Any = None) -> Any:
    """Zeros in `shape`: tensors have no uninitialised values."""
    return zeros(shape, dtype)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones on the diagonal `k` of ``[N, M]`` zeros (``[N, N]`` if `M` is None)."""
    return hr.constant(np.eye(N, M, k), dtype=dtype or backend.floatx())


def identity(n: int, dtype: Any = None) -> Any:
    """Ones on the diagonal of ``[n, n]`` zeros."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones on the diagonal `k` and below."""
    return hr.constant(np.tri(N, M, k), dtype=dtype or backend.floatx())


def _cosines(x: Any, *factors: float) -> Any:
    """``f0 - f1 cos(t) + f2 cos(2t)`` at `x` places of a period; 1 at a single one."""
    x = as_tensor(x, "int32")
    places = hr.range(x, dtype=backend.floatx())
    last = hr.cast(hr.maximum(x - 1, 1), places.dtype)
    turn = 2 * math.pi * places / last
    window = factors[0] - factors[1] * hr.cos(turn)
    if len(factors) > 2:
        window += factors[2] * hr.cos(2 * turn)
    return hr.where(hr.equal(x, 1), hr.ones_like(window), window)


def hanning(x: Any) -> Any:
    """The Hann window of `x` points."""
    return _cosines(x, 0.5, 0.5)


def hamming(x: Any) -> Any:
    """The Hamming window of `x` points."""
    return _cosines(x, 0.54, 0.46)


def blackman(x: Any) -> Any:
    """The Blackman window of `x` points."""
    return _cosines(x, 0.42, 0.5, 0.08)


def bartlett(x: Any) -> Any:
    """The Bartlett (triangular) window of `x` points."""
    x = as_tensor(x, "int32")
    places = hr.range(x, dtype=backend.floatx())
    last = hr.cast(hr.maximum(x - 1, 1), places.dtype)
    share = 2 * places / last
    window = hr.where(share <= 1, share, 2 - share)
    return hr.where(hr.equal(x, 1), hr.ones_like(window), window)


def kaiser(x: Any, beta: Any) -> Any:
    """The Kaiser window of `x` points."""
    x = as_tensor(x, "int32")
    places = hr.range(x, dtype=backend.floatx())
    beta = as_tensor(beta, dtype_name(places))
    last = hr.cast(hr.maximum(x - 1, 1), places.dtype)
    inside = hr.maximum(1 - hr.square(2 * places / last - 1), 0)
    window = bessel_i0(beta * hr.sqrt(inside)) / bessel_i0(beta)
    return hr.where(hr.equal(x, 1), hr.ones_like(window), window)


__all__ = [
    "arange", "bartlett", "blackman", "empty", "eye", "geomspace", "hamming", "hanning",
    "identity", "kaiser", "linspace", "logspace", "ones", "tri", "zeros",
]  # fmt: skip
