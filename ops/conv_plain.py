"""Convolutions in NumPy's words: what runs at once, on any array library, in any float dtype.

Data is [n, *space, channels], filters are [*kernel, channels / groups, filters], for any number
of space axes.  Windows are laid out as rows of a matrix (im2col), a few samples at a time so
that the rows stay small, and the work is left to matrix products.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import blas
from .array_module import array_module
from .windows import Windows

__all__ = ["forward", "forward_depthwise", "grad_filter", "grad_filter_depthwise",
           "grad_input", "grad_input_depthwise"]  # fmt: skip

_ROWS_BYTES = 8 << 20  # the matrix of windows of a few samples


def forward(x: Any, w: Any, at: Windows) -> Any:
    """[n, *out, filters]."""
    groups = x.shape[-1] // w.shape[-2] if w.shape[-2] else 1
    if groups > 1:
        return _by_groups(lambda a, b: forward(a, b, at), groups, x, w)
    xp = array_module(x)
    rows = math.prod(at.out)
    matrix = w.reshape((-1, w.shape[-1]))
    if at.plain:
        out = _product(xp.ascontiguousarray(x).reshape((-1, x.shape[-1])), matrix)
        return out.reshape((x.shape[0], *at.out, w.shape[-1]))
    out = xp.empty((x.shape[0], *at.out, w.shape[-1]), x.dtype)
    windows = at.view(at.pad(x))
    for part in _parts(x, at):
        columns = windows[part].reshape((-1, matrix.shape[0]))
        out[part] = _product(columns, matrix).reshape((-1, *at.out, w.shape[-1]))
    if not rows:
        return xp.zeros(out.shape, x.dtype)
    return out


def grad_input(shape: tuple[int, ...], w: Any, g: Any, at: Windows) -> Any:
    """[n, *space, channels] = `shape`, for output gradients `g`."""
    groups = shape[-1] // w.shape[-2] if w.shape[-2] else 1
    if groups > 1:
        one = (*shape[:-1], w.shape[-2])
        return _by_groups(lambda b, c: grad_input(one, b, c, at), groups, w, g)
    xp = array_module(g)
    matrix = w.reshape((-1, w.shape[-1])).T
    if at.plain:
        return _product(xp.ascontiguousarray(g).reshape((-1, g.shape[-1])), matrix).reshape(
            shape
        )
    padded = xp.zeros(at.padded_shape(shape), g.dtype)
    for part in _parts(padded, at):
        columns = _product(g[part].reshape((-1, g.shape[-1])), matrix)
        columns = columns.reshape((-1, *at.out, *at.kernel, shape[-1]))
        target = padded[part]
        r = len(at.size)
        for tap, where in at.taps():
            target[where] += columns[(slice(None),) * (r + 1) + tap]
    return padded[at.inside()] if at.padded else padded


def grad_filter(x: Any, shape: tuple[int, ...], g: Any, at: Windows) -> Any:
    """[*kernel, channels / groups, filters] = `shape`."""
    groups = x.shape[-1] // shape[-2] if shape[-2] else 1
    if groups > 1:
        one = (*shape[:-1], shape[-1] // groups)
        return _by_groups(lambda a, c: grad_filter(a, one, c, at), groups, x, g)
    xp = array_module(x)
    if at.plain:
        left = xp.ascontiguousarray(x).reshape((-1, x.shape[-1])).T
        return _product(left, xp.ascontiguousarray(g).reshape((-1, shape[-1]))).reshape(shape)
    out = xp.zeros((math.prod(shape[:-1]), shape[-1]), x.dtype)
    windows = at.view(at.pad(x))
    for part in _parts(x, at):
        columns = windows[part].reshape((-1, out.shape[0]))
        out += _product(columns.T, g[part].reshape((-1, shape[-1])))
    return out.reshape(shape)


def _parts(x: Any, at: Windows) -> list[slice]:
    """Samples by as many as fit."""
    one = math.prod(at.out) * math.prod(at.kernel) * x.shape[-1] * x.dtype.itemsize
    step = max(1, _ROWS_BYTES // max(one, 1))
    return [slice(i, i + step) for i in range(0, x.shape[0], step)]


def _product(a: Any, b: Any) -> Any:
    if type(a) is np.ndarray and a.dtype.kind == "f":
        return blas.gemm(a, b)
    return blas.matrix_product(a, b)


def _by_groups(call: Any, groups: int, first: Any, second: Any) -> Any:
    """`call` for each group of the channels of both, its results side by side."""
    xp = array_module(first)
    parts = zip(
        xp.split(first, groups, axis=-1), xp.split(second, groups, axis=-1), strict=True
    )
    return xp.concatenate([call(a, b) for a, b in parts], axis=-1)


# -- depthwise --------------------------------------------------------------------------------
# Filters are [*kernel, channels, multiplier]; output channel c * multiplier + m comes from
# channel c.


def forward_depthwise(x: Any, w: Any, at: Windows) -> Any:
    """[n, *out, channels * multiplier]."""
    xp = array_module(x)
    multiplier = w.shape[-1]
    padded = at.pad(x)
    out = xp.zeros((x.shape[0], *at.out, x.shape[-1], multiplier), x.dtype)
    for tap, where in at.taps():
        out += padded[where][..., None] * w[tap]
    return out.reshape((*out.shape[:-2], out.shape[-2] * out.shape[-1]))


def grad_input_depthwise(shape: tuple[int, ...], w: Any, g: Any, at: Windows) -> Any:
    """[n, *space, channels] = `shape`."""
    xp = array_module(g)
    g = g.reshape((*g.shape[:-1], shape[-1], w.shape[-1]))
    padded = xp.zeros(at.padded_shape(shape), g.dtype)
    for tap, where in at.taps():
        padded[where] += (g * w[tap]).sum(axis=-1)
    return padded[at.inside()] if at.padded else padded


def grad_filter_depthwise(x: Any, shape: tuple[int, ...], g: Any, at: Windows) -> Any:
    """[*kernel, channels, multiplier] = `shape`."""
    xp = array_module(x)
    g = g.reshape((*g.shape[:-1], *shape[-2:]))
    padded = at.pad(x)
    out = xp.empty(shape, x.dtype)
    axes = tuple(range(len(at.size) + 1))
    for tap, where in at.taps():
        out[tap] = (padded[where][..., None] * g).sum(axis=axes)
    return out
