"""Max pooling of two space axes by compiled kernels, in float32; None where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..windows import Windows
from . import calls, memory
from .build import kernel
from .elementary_code import POOL

__all__ = ["maximum", "maximum_grad"]


def _parameters(x: np.ndarray, at: Windows, **more: Any) -> np.ndarray:
    return calls.parameters(
        POOL, x=x, height=at.size[0], width=at.size[1], channels=x.shape[-1],
        out_height=at.out[0], out_width=at.out[1], size_y=at.kernel[0], size_x=at.kernel[1],
        stride_y=at.strides[0], stride_x=at.strides[1], pad_y=at.before[0], pad_x=at.before[1],
        **more,
    )  # fmt: skip


def _covers(x: Any, at: Windows) -> bool:
    return (
        type(x) is np.ndarray
        and x.dtype == np.float32
        and len(at.size) == 2
        and at.dilations == (1, 1)
        and x.size > 0
        and min(at.out) > 0
    )


def maximum(x: Any, at: Windows) -> Any:
    """The largest element of each window, or None."""
    run = kernel("pool_forward") if _covers(x, at) else None
    if run is None:
        return None
    x = np.ascontiguousarray(x)
    out = memory.empty((x.shape[0], *at.out, x.shape[-1]))
    where = _parameters(x, at, out=out)
    _over_images(run, where, x, at)
    return out


def maximum_grad(x: Any, y: Any, g: Any, at: Windows) -> Any:
    """The gradient of `maximum`, or None."""
    covered = all(
        s == k and o * s >= n
        for s, k, o, n in zip(at.strides, at.kernel, at.out, at.size, strict=True)
    )
    name = "pool_gradient_apart" if covered else "pool_gradient"
    run = kernel(name) if _covers(x, at) and g.dtype == np.float32 else None
    if run is None:
        return None
    x, y, g = np.ascontiguousarray(x), np.ascontiguousarray(y), np.ascontiguousarray(g)
    out = memory.empty(x.shape)
    where = _parameters(x, at, y=y, g=g, out=out)
    _over_images(run, where, x, at)
    return out


def _over_images(run: Any, where: np.ndarray, x: np.ndarray, at: Windows) -> None:
    address = memory.address(where)

    def part(first: int, last: int) -> None:
        run(address, first, last, 0)

    calls.spread(part, calls.cuts(x.shape[0], 1, 4 * x.size, 4))
