"""Batch normalization by compiled kernels, in float32; None where there is none.

Forward: one pass for the statistics, one for the result; backward likewise.  The variance comes
from the squares of distances to the first row, which is as far from the mean as any other: no
digits are lost as they would be with distances to zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import calls, memory
from .build import kernel
from .elementary_code import NORM

__all__ = ["batch_norm", "batch_norm_grad"]


def batch_norm(x: Any, scale: Any, offset: Any, epsilon: float) -> Any:
    """Result, means and variances, or None."""
    sums, apply = kernel("norm_sums"), kernel("norm_apply")
    if sums is None or apply is None or not _covers(x):
        return None
    x = np.ascontiguousarray(x)
    channels = x.shape[-1]
    rows = x.size // channels
    first = x.reshape(-1)[:channels]
    one, two = _summed(sums, rows, x=x, mean=first, channels=channels)
    one /= rows
    mean = (first + one).astype(np.float32)
    variance = np.maximum(two / rows - one * one, 0).astype(np.float32)
    factor = scale / np.sqrt(variance + np.float32(epsilon))
    out = memory.empty(x.shape)
    _applied(apply, rows, x=x, mean=mean, a=factor, b=offset, out=out, channels=channels)
    return out, mean, variance


def batch_norm_grad(
    g: Any, x: Any, scale: Any, mean: Any, variance: Any, epsilon: float
) -> Any:
    """Gradients of x, scale and offset, or None."""
    sums, apply = kernel("norm_gradient_sums"), kernel("norm_gradient_apply")
    if sums is None or apply is None or not _covers(x) or not _covers(g):
        return None
    x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
    channels = x.shape[-1]
    rows = x.size // channels
    mean = np.ascontiguousarray(mean)
    doffset, along = _summed(sums, rows, x=x, g=g, mean=mean, channels=channels)
    inverse = 1 / np.sqrt(variance.astype(np.float64) + epsilon)
    dscale = along * inverse
    # dx = scale * inverse * (g - mean(g) - (x - mean) * inverse * mean(g * normalized))
    c = scale * inverse
    a = -c * inverse * dscale / rows
    b = -c * doffset / rows
    a, b, c = (v.astype(np.float32) for v in (a, b, c))
    out = memory.empty(x.shape)
    _applied(apply, rows, x=x, g=g, mean=mean, a=a, b=b, c=c, out=out, channels=channels)
    return out, dscale.astype(np.float32), doffset.astype(np.float32)


def _covers(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype == np.float32 and x.size > 0


def _summed(run: Any, rows: int, **given: Any) -> tuple[np.ndarray, np.ndarray]:
    """The two sums per channel, float64."""
    where = calls.parameters(NORM, **given)
    address = memory.address(where)
    channels = given["channels"]
    cuts = calls.cuts(rows, 32, 4 * rows * channels, 4)
    found = np.zeros((len(cuts), 2, channels))

    def part(first: int, last: int, target: int) -> None:
        run(address, first, last, target)

    calls.spread(part, [(*c, memory.address(found[i])) for i, c in enumerate(cuts)])
    one, two = found.sum(axis=0)
    return one, two


def _applied(run: Any, rows: int, **given: Any) -> None:
    where = calls.parameters(
        NORM, **{k: np.ascontiguousarray(v, np.float32) if isinstance(v, np.ndarray) else v
                 for k, v in given.items()}
    )  # fmt: skip
    address = memory.address(where)

    def part(first: int, last: int) -> None:
        run(address, first, last, 0)

    calls.spread(part, calls.cuts(rows, 1, 4 * rows * given["channels"], 4))
