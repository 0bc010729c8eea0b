"""Pooling in NumPy's words: one pass over the output per position inside the window.

Data is [n, *space, channels].  Of several largest elements in a window the first, row by row,
counts as the maximum, as in TensorFlow.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .array_module import array_module
from .windows import Windows

__all__ = ["average", "average_grad", "maximum", "maximum_grad", "maximum_pick",
           "maximum_position"]  # fmt: skip


def _least(dtype: np.dtype) -> Any:
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def _unlike(dtype: np.dtype) -> Any:
    """What no element equals: a window of infinities does not take its padding for one."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else np.nan


def maximum(x: Any, at: Windows) -> Any:
    """The largest element of each window."""
    xp = array_module(x)
    padded = at.pad(x, _least(x.dtype))
    out = None
    for _, where in at.taps():
        out = padded[where].copy() if out is None else xp.maximum(out, padded[where], out=out)
    return out


def maximum_position(x: Any, at: Windows) -> Any:
    """Which of the window's positions holds its maximum, int64."""
    xp = array_module(x)
    padded = at.pad(x, _least(x.dtype))
    best: Any = None
    for k, (_, where) in enumerate(at.taps()):
        value = padded[where]
        if best is None:
            best, found = value.copy(), xp.zeros(value.shape, np.int64)
            continue
        more = value > best
        found[more] = k
        xp.maximum(best, value, out=best)
    return found


def maximum_grad(x: Any, y: Any, g: Any, at: Windows) -> Any:
    """`g` at the place of each window's maximum, summed where windows overlap."""
    xp = array_module(x)
    padded = at.pad(x, _unlike(x.dtype))
    out = xp.zeros(padded.shape, g.dtype)
    free = xp.ones(y.shape, bool)
    for _, where in at.taps():
        here = (padded[where] == y) & free
        out[where] += g * here
        free &= ~here
    return out[at.inside()] if at.padded else out


def maximum_pick(x: Any, y: Any, gg: Any, at: Windows) -> Any:
    """Of [n, *space, channels] `gg` what stands where each window's maximum is."""
    xp = array_module(x)
    padded, source = at.pad(x, _unlike(x.dtype)), at.pad(gg)
    out = xp.zeros(y.shape, gg.dtype)
    free = xp.ones(y.shape, bool)
    for _, where in at.taps():
        here = (padded[where] == y) & free
        out += source[where] * here
        free &= ~here
    return out


def counts(at: Windows, dtype: Any, xp: Any) -> Any:
    """How many elements each window has, without padding: [*out, 1], or one number."""
    if not at.padded:
        return xp.asarray(math.prod(at.kernel), dtype)
    out = xp.ones((), dtype)
    for i in range(len(at.size)):
        start = xp.arange(at.out[i]) * at.strides[i] - at.before[i]
        line = xp.minimum(start + at.kernel[i], at.size[i]) - xp.maximum(start, 0)
        out = out[..., None] * line.astype(dtype)
    return out[..., None]


def average(x: Any, at: Windows) -> Any:
    """The mean of each window's elements, padding left out."""
    xp = array_module(x)
    padded = at.pad(x)
    out = None
    for _, where in at.taps():
        if out is None:
            out = padded[where].copy()
        else:
            out += padded[where]
    out /= counts(at, x.dtype, xp)
    return out


def average_grad(shape: tuple[int, ...], g: Any, at: Windows) -> Any:
    """[n, *space, channels] = `shape`."""
    xp = array_module(g)
    share = g / counts(at, g.dtype, xp)
    out = xp.zeros(at.padded_shape(shape), g.dtype)
    for _, where in at.taps():
        out[where] += share
    return out[at.inside()] if at.padded else out
