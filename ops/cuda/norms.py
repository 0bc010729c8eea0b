"""Batch normalization as fused chains: one pass for the statistics, one for the results.

Sums over the rows are of differences from the first row, so that a large mean does not swallow
the variance.  Layer normalization needs nothing here: where a graph has it, it is one fused
chain, whose rows stay in registers.
"""

from __future__ import annotations

import functools
from typing import Any

from ..dtypes import DType, as_dtype, float32
from ..graph.fused import Program
from ..graph.loops import Step
from . import loops
from .device import current

__all__ = ["batch_norm", "batch_norm_grad"]


def _program(inputs: list[DType], steps: list[Step], outputs: list[int], name: str) -> Program:
    return Program(inputs, [False] * len(inputs), [], [], steps, outputs, name, least=1)


def _total(ref: int, dtype: DType) -> Step:
    return Step("reduce", (ref,), dtype, "sum", "lead", False)


def _wide(dtype: DType) -> DType:
    return float32 if dtype.size == 2 else dtype


@functools.cache
def _sums(dtype: DType) -> Program:
    """x, first row -> sums of the differences and of their squares."""
    wide = _wide(dtype)
    steps = [
        Step("cast", (0,), wide),
        Step("map", (2, 1), wide, "a - b"),
        Step("map", (3,), wide, "a * a"),
        _total(3, wide),
        _total(4, wide),
    ]
    return _program([dtype, wide], steps, [5, 6], "BatchNormSums")


@functools.cache
def _scaled(dtype: DType) -> Program:
    """x, factor, offset -> x * factor + offset."""
    wide = _wide(dtype)
    steps = [
        Step("cast", (0,), wide),
        Step("map", (3, 1, 2), wide, "a * b + c"),
        Step("cast", (4,), dtype),
    ]
    return _program([dtype, wide, wide], steps, [5], "BatchNorm")


@functools.cache
def _grad_sums(dtype: DType) -> Program:
    """g, x, mean -> sums of g and of g * (x - mean)."""
    wide = _wide(dtype)
    steps = [
        Step("cast", (0,), wide),
        Step("cast", (1,), wide),
        Step("map", (3, 4, 2), wide, "a * (b - c)"),
        _total(3, wide),
        _total(5, wide),
    ]
    return _program([dtype, dtype, wide], steps, [6, 7], "BatchNormGradSums")


@functools.cache
def _grad(dtype: DType) -> Program:
    """g, x, and per column: factors of g and x, and what is added."""
    wide = _wide(dtype)
    steps = [
        Step("cast", (0,), wide),
        Step("cast", (1,), wide),
        Step("map", (5, 2, 6, 3, 4), wide, "a * b + c * d + e"),
        Step("cast", (7,), dtype),
    ]
    return _program([dtype, dtype, wide, wide, wide], steps, [8], "BatchNormGrad")


def _takes(x: Any) -> bool:
    dtype = as_dtype(x.dtype)
    return dtype.is_floating and x.ndim > 1 and x.size > 0 and x.shape[-1] > 1


def batch_norm(x: Any, scale: Any, offset: Any, epsilon: float) -> Any:
    """The results, of the dtype of `x`, and means and variances of its channels, of that of
    `scale`; NotImplemented for what no kernel takes.

    Args:
        x: [..., channels].
        scale, offset: [channels], float32 for 16-bit `x`.
        epsilon: added to the variance.
    """
    if not _takes(x) or as_dtype(scale.dtype) is not _wide(as_dtype(x.dtype)):
        return NotImplemented
    xp, dtype, wide = current().xp, as_dtype(x.dtype), scale.dtype
    rows = x.reshape((-1, x.shape[-1]))
    shift = rows[0].astype(wide)
    found = loops.run(_sums(dtype), (rows, shift))
    if found is None:
        return NotImplemented
    count = wide.type(rows.shape[0])
    mean = found[0] / count
    variance = xp.maximum(found[1] / count - mean * mean, wide.type(0))
    mean = mean + shift
    factor = scale / xp.sqrt(variance + wide.type(epsilon))
    done = loops.run(_scaled(dtype), (rows, factor, offset - mean * factor))
    assert done is not None
    return done[0].reshape(x.shape), mean, variance


def batch_norm_grad(
    g: Any, x: Any, scale: Any, mean: Any, variance: Any, epsilon: float
) -> Any:
    """Gradients of x, scale and offset, from that of the results; NotImplemented for what no
    kernel takes."""
    if not _takes(x) or as_dtype(scale.dtype) is not _wide(as_dtype(x.dtype)):
        return NotImplemented
    xp, dtype, wide = current().xp, as_dtype(x.dtype), scale.dtype
    rows, slopes = (a.reshape((-1, x.shape[-1])) for a in (x, g))
    found = loops.run(_grad_sums(dtype), (slopes, rows, mean))
    if found is None:
        return NotImplemented
    count = wide.type(rows.shape[0])
    inverse = wide.type(1) / xp.sqrt(variance + wide.type(epsilon))
    doffset, dscale = found[0], found[1] * inverse
    factor = scale * inverse
    # dx = factor * (g - doffset / n - (x - mean) * dscale * inverse / n)
    of_x = -factor * inverse * dscale / count
    added = -factor * doffset / count - of_x * mean
    done = loops.run(_grad(dtype), (slopes, rows, factor, of_x, added))
    assert done is not None
    return done[0].reshape(x.shape), dscale, doffset
