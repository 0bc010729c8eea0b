"""Pooling: maximum and average over windows, forward and back, on [n, *space, channels].

A thread makes one element.  The ways back gather: an input asks the windows that it is in, so
that nothing is added in an order that depends on chance.  Of several largest elements the first
of a window, row by row, is its maximum, as in TensorFlow.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..dtypes import DType, as_dtype
from ..graph.loops import start_of
from ..windows import Windows
from .device import Kernel, current
from .prelude import PRELUDE, can_hold, storage_type
from .scalar_text import literal

__all__ = ["average", "average_grad", "maximum", "maximum_grad", "source"]

_HEAD = r"""
typedef %(T)s T;
typedef Wide<T>::type W;
// Windows: sizes, strides, distances of their positions, padding before.
#define K0 %(k0)d
#define K1 %(k1)d
#define K2 %(k2)d
#define S0 %(s0)d
#define S1 %(s1)d
#define S2 %(s2)d
#define D0 %(d0)d
#define D1 %(d1)d
#define D2 %(d2)d

struct Geometry { int i0, i1, i2, o0, o1, o2, b0, b1, b2, channels; };
#define GEOMETRY const int i0, const int i1, const int i2, const int o0, const int o1, \
    const int o2, const int b0, const int b1, const int b2, const int channels
#define TAKE_GEOMETRY const Geometry g = {i0, i1, i2, o0, o1, o2, b0, b1, b2, channels};

struct Place { i64 n; int x0, x1, x2, c; };
__device__ __forceinline__ Place place_of(i64 at, int n0, int n1, int n2, int channels) {
    Place p;
    p.c = (int)(at %% channels); at /= channels;
    p.x2 = (int)(at %% n2); at /= n2;
    p.x1 = (int)(at %% n1); at /= n1;
    p.x0 = (int)(at %% n0);
    p.n = at / n0;
    return p;
}
__device__ __forceinline__ i64 index_of(
        i64 n, int x0, int x1, int x2, int c, int n0, int n1, int n2, int channels) {
    return (((n * n0 + x0) * n1 + x1) * n2 + x2) * channels + c;
}
#define EVERY_POSITION \
    _Pragma("unroll") for (int k0 = 0; k0 < K0; k0++) \
    _Pragma("unroll") for (int k1 = 0; k1 < K1; k1++) \
    _Pragma("unroll") for (int k2 = 0; k2 < K2; k2++)
#define INPUT_INSIDE \
    const int y0 = w0 * S0 - g.b0 + k0 * D0; \
    const int y1 = w1 * S1 - g.b1 + k1 * D1; \
    const int y2 = w2 * S2 - g.b2 + k2 * D2; \
    const bool inside = (unsigned)y0 < (unsigned)g.i0 && (unsigned)y1 < (unsigned)g.i1 \
        && (unsigned)y2 < (unsigned)g.i2;

__device__ __forceinline__ int inside_count(Geometry g, int w0, int w1, int w2) {
    int count = 0;
    EVERY_POSITION { INPUT_INSIDE count += inside; }
    return count;
}
"""
_BACK = r"""// Windows that an input is in: those w with w * S - b + k * D equal to its place.
#define EVERY_WINDOW \
    EVERY_POSITION { \
        const int m0 = p.x0 + g.b0 - k0 * D0; \
        const int m1 = p.x1 + g.b1 - k1 * D1; \
        const int m2 = p.x2 + g.b2 - k2 * D2; \
        if (m0 < 0 || m1 < 0 || m2 < 0 || m0 %% S0 || m1 %% S1 || m2 %% S2) continue; \
        const int w0 = m0 / S0, w1 = m1 / S1, w2 = m2 / S2; \
        if (w0 >= g.o0 || w1 >= g.o1 || w2 >= g.o2) continue; \
        const i64 at_out = index_of(p.n, w0, w1, w2, p.c, g.o0, g.o1, g.o2, g.channels);

// Whether no earlier position of the window holds its maximum.
__device__ __forceinline__ bool is_first(
        const T* x, Geometry g, Place p, W best, int w0, int w1, int w2, int position) {
    _Pragma("unroll 1") for (int k0 = 0; k0 < K0; k0++)
    _Pragma("unroll 1") for (int k1 = 0; k1 < K1; k1++)
    _Pragma("unroll 1") for (int k2 = 0; k2 < K2; k2++) {
        if ((k0 * K1 + k1) * K2 + k2 >= position) continue;
        INPUT_INSIDE
        if (inside && widen(x[index_of(
                p.n, y0, y1, y2, p.c, g.i0, g.i1, g.i2, g.channels)]) == best) return false;
    }
    return true;
}
"""
_KERNELS = {
    "maximum": r"""extern "C" __global__ void __launch_bounds__(256) maximum(
        const T* __restrict__ x, T* __restrict__ out, GEOMETRY, const i64 count) {
    TAKE_GEOMETRY
    for (i64 at = (i64)blockIdx.x * 256 + threadIdx.x; at < count; at += (i64)gridDim.x * 256) {
        const Place p = place_of(at, g.o0, g.o1, g.o2, g.channels);
        const int w0 = p.x0, w1 = p.x1, w2 = p.x2;
        W best = %(least)s;
        EVERY_POSITION {
            INPUT_INSIDE
            if (inside) best = max_of<W>(best, widen(
                x[index_of(p.n, y0, y1, y2, p.c, g.i0, g.i1, g.i2, g.channels)]));
        }
        out[at] = narrow<T>(best);
    }
}
""",
    "average": r"""extern "C" __global__ void __launch_bounds__(256) average(
        const T* __restrict__ x, T* __restrict__ out, GEOMETRY, const i64 count) {
    TAKE_GEOMETRY
    for (i64 at = (i64)blockIdx.x * 256 + threadIdx.x; at < count; at += (i64)gridDim.x * 256) {
        const Place p = place_of(at, g.o0, g.o1, g.o2, g.channels);
        const int w0 = p.x0, w1 = p.x1, w2 = p.x2;
        W sum = 0;
        EVERY_POSITION {
            INPUT_INSIDE
            if (inside) sum += widen(
                x[index_of(p.n, y0, y1, y2, p.c, g.i0, g.i1, g.i2, g.channels)]);
        }
        out[at] = narrow<T>(sum / (W)inside_count(g, w0, w1, w2));
    }
}
""",
    "maximum_grad": r"""extern "C" __global__ void __launch_bounds__(256) maximum_grad(
        const T* __restrict__ x, const T* __restrict__ y, const T* __restrict__ grad,
        T* __restrict__ out, GEOMETRY, const i64 count) {
    TAKE_GEOMETRY
    for (i64 at = (i64)blockIdx.x * 256 + threadIdx.x; at < count; at += (i64)gridDim.x * 256) {
        const Place p = place_of(at, g.i0, g.i1, g.i2, g.channels);
        const W mine = widen(x[at]);
        W sum = 0;
        EVERY_WINDOW
            if (mine == widen(y[at_out])
                && is_first(x, g, p, mine, w0, w1, w2, (k0 * K1 + k1) * K2 + k2))
                sum += widen(grad[at_out]);
        }
        out[at] = narrow<T>(sum);
    }
}
""",
    "average_grad": r"""extern "C" __global__ void __launch_bounds__(256) average_grad(
        const T* __restrict__ grad, T* __restrict__ out, GEOMETRY, const i64 count) {
    TAKE_GEOMETRY
    for (i64 at = (i64)blockIdx.x * 256 + threadIdx.x; at < count; at += (i64)gridDim.x * 256) {
        const Place p = place_of(at, g.i0, g.i1, g.i2, g.channels);
        W sum = 0;
        EVERY_WINDOW
            sum += widen(grad[at_out]) / (W)inside_count(g, w0, w1, w2);
        }
        out[at] = narrow<T>(sum);
    }
}
""",
}


@functools.cache
def source(name: str, dtype: DType, kernel: Any, strides: Any, dilations: Any) -> str:
    """The source of a kernel for windows of three space axes."""
    least = literal(start_of("max", dtype), dtype)
    numbers = {
        f"{name}{i}": v[i]
        for name, v in (("k", kernel), ("s", strides), ("d", dilations))
        for i in range(3)
    }
    text = _HEAD + (_BACK if name.endswith("grad") else "") + _KERNELS[name]
    return PRELUDE + text % {"T": storage_type(dtype), "least": least, **numbers}


def maximum(x: Any, at: Windows) -> Any:
    """The largest element of each window; NotImplemented for what no kernel takes."""
    return _run("maximum", (x,), (x.shape[0], *at.out, x.shape[-1]), at)


def average(x: Any, at: Windows) -> Any:
    """The mean of each window's elements, padding left out."""
    return _run("average", (x,), (x.shape[0], *at.out, x.shape[-1]), at)


def maximum_grad(x: Any, y: Any, g: Any, at: Windows) -> Any:
    """`g` at the place of each window's maximum, summed where windows overlap."""
    return _run("maximum_grad", (x, y, g), x.shape, at)


def average_grad(shape: tuple[int, ...], g: Any, at: Windows) -> Any:
    """The share of `g` of each element of an array of `shape`."""
    return _run("average_grad", (g,), shape, at)


def _run(name: str, arrays: tuple[Any, ...], shape: tuple[int, ...], at: Windows) -> Any:
    dtype = as_dtype(arrays[0].dtype)
    if not can_hold(dtype) or dtype.is_bool or len(at.size) > 3 or math.prod(at.kernel) > 4096:
        return NotImplemented
    device = current()
    xp = device.xp
    out = xp.empty(shape, dtype.np_dtype)
    if not out.size:
        return out
    text = source(name, dtype, _3(at.kernel), _3(at.strides), _3(at.dilations))
    sizes = (*_3(at.size), *_3(at.out), *_3(at.before, 0), shape[-1])
    blocks = min(-(-out.size // 256), device.processors * 16)
    given = [xp.ascontiguousarray(a) for a in arrays]
    geometry = [np.int32(n) for n in sizes]
    args = [*given, out, *geometry, np.int64(out.size)]
    device.launch(Kernel(text, name), blocks, 256, args)
    return out


def _3(values: tuple[int, ...], fill: int = 1) -> tuple[int, ...]:
    """One entry for each of three space axes."""
    return (fill,) * (3 - len(values)) + tuple(values)
