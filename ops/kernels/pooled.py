"""Convolution, bias, relu and max pooling over 2 x 2 by compiled kernels, in float32.

The convolution's result is never written: pooled numbers are, and per number a byte that says
which of its four was the largest (4: relu made it 0).  Gradients begin with the gradient of the
pooled result and those bytes.  Where there are no kernels, the answer is None.

3x3 windows over enough channels go through Winograd's form, few channels through a direct one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import llvm
from ..windows import Windows
from . import calls, memory, pooled_code, winograd_code
from .build import host_width, kernel, vector_width
from .convolution import (
    block_step,
    is_for_winograd,
    suits_winograd,
    tiles_for,
    transformed_filters,
)

__all__ = ["forward", "grad_filter", "grad_input", "wanted"]

_MOST_TAPS = 96  # of the direct form


def wanted(w: tuple[int, ...], at: Windows) -> bool:
    """Whether a convolution with filters of shape `w` is one for these kernels, which may not
    be there yet."""
    width = host_width()
    return llvm.enabled() and (_is_direct(w, at, width) or is_for_winograd(w, at, width))


def _is_direct(w: tuple[int, ...], at: Windows, width: int) -> bool:
    return (
        at.strides == (1, 1)
        and at.dilations == (1, 1)
        and w[0] * w[1] * w[2] <= _MOST_TAPS
        and w[3] % (2 * width) == 0
        and at.out[1] >= 4
        and at.out[0] >= 2
    )


def _direct(w: tuple[int, ...], at: Windows) -> bool:
    return kernel("pooled_forward") is not None and _is_direct(w, at, vector_width())


def _suits(w: tuple[int, ...], at: Windows) -> bool:
    return _direct(w, at) or (
        kernel("winograd_pool_forward") is not None and suits_winograd(w, at)
    )


def _covers(at: Windows, *arrays: Any) -> bool:
    return min(at.out) >= 2 and all(
        type(a) is np.ndarray and a.dtype == np.float32 and a.size for a in arrays
    )


def forward(x: Any, w: Any, bias: Any, at: Windows) -> Any:
    """The pooled result [n, *out / 2, filters] and its index in uint8, or None."""
    if not _covers(at, x, w) or not _suits(w.shape, at):
        return None
    x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
    filters = w.shape[3]
    shape = (x.shape[0], at.out[0] // 2, at.out[1] // 2, filters)
    out, index = memory.empty(shape), memory.empty(shape, np.uint8)
    added = np.zeros(filters + vector_width(), np.float32)
    added[:filters] = bias
    run = _forward_direct if _direct(w.shape, at) else _forward_winograd
    run(x, w, added, at, out, index)
    return out, index


def grad_filter(x: Any, shape: tuple[int, ...], g: Any, index: Any, at: Windows) -> Any:
    """Gradients of the filters and the bias, or None."""
    if not _covers(at, x, g) or not _suits(shape, at):
        return None
    x, g, index = (np.ascontiguousarray(a) for a in (x, g, index))
    if _direct(shape, at):
        return _filter_direct(x, shape, g, index, at)
    return _filter_winograd(x, shape, g, index, at)


# -- few channels -----------------------------------------------------------------------------


def _direct_parameters(x: np.ndarray, shape: tuple[int, ...], at: Windows, **more: Any) -> Any:
    padded = at.pad(x)
    row = padded.shape[2] * shape[2]
    taps = np.arange(shape[0])[:, None] * row + np.arange(shape[1] * shape[2])
    at_once = pooled_code.taps_of(vector_width())
    offsets = np.zeros(-(-taps.size // at_once) * at_once, np.int64)
    offsets[: taps.size] = taps.reshape(-1) * 4
    kept = (padded, offsets)
    found = calls.parameters(
        pooled_code.PARAMETERS, x=padded, offsets=offsets, height=padded.shape[1],
        width=padded.shape[2], channels=shape[2], tap_rows=shape[0],
        row_taps=shape[1] * shape[2], taps=taps.size, pool_height=at.out[0] // 2,
        pool_width=at.out[1] // 2, filters=shape[3], **more,
    )  # fmt: skip
    return found, kept


def _forward_direct(
    x: Any, w: Any, added: Any, at: Windows, out: np.ndarray, index: np.ndarray
) -> None:
    run = kernel("pooled_forward")
    assert run
    panel = 2 * vector_width()
    filters = w.shape[3]
    panels = w.reshape((-1, filters // panel, panel)).transpose(1, 0, 2)
    packed = memory.empty(panels.shape)
    packed[...] = panels
    parameters, kept = _direct_parameters(
        x, w.shape, at, w=packed, bias=added, out=out, index=index
    )
    where = memory.address(parameters)

    def part(first: int, last: int) -> None:
        run(where, first, last, 0)

    work = 4 * out.size * w[..., 0].size
    calls.spread(part, calls.cuts(len(x), 1, work, 4))
    del kept  # until here


def _filter_direct(x: Any, shape: tuple[int, ...], g: Any, index: Any, at: Windows) -> Any:
    run = kernel("pooled_gradient")
    assert run
    panel, taps = 2 * vector_width(), math.prod(shape[:3])
    at_once = pooled_code.taps_of(vector_width())
    groups = -(-taps // at_once)
    parameters, kept = _direct_parameters(x, shape, at, g=g, index=index)
    where = memory.address(parameters)
    cuts = calls.cuts(len(x), 1, 4 * g.size * taps, 1)
    totals = [memory.zeros((shape[3] // panel, groups, at_once + 1, panel))
              for _ in cuts]  # fmt: skip

    def part(first: int, last: int, total: np.ndarray) -> None:
        run(where, first, last, 0, memory.address(total))

    calls.spread(part, [(*cut, total) for cut, total in zip(cuts, totals, strict=True)])
    del kept  # until here
    total = totals[0]
    for more in totals[1:]:
        total += more
    of_taps = total[:, :, :-1].reshape((-1, groups * at_once, panel))[:, :taps]
    return (
        np.ascontiguousarray(of_taps.transpose(1, 0, 2)).reshape(shape),
        total[:, 0, -1].reshape(-1),
    )


# -- Winograd ---------------------------------------------------------------------------------


def _tiling(
    x_shape: tuple[int, ...], filters: int, at: Windows, wide: int, **more: Any
) -> tuple[Any, int, int]:
    """Parameters, tiles, and bytes of scratch; `wide` numbers in a row of the right operand."""
    n, height, width, channels = x_shape
    tall, across = at.out[0] // 2, at.out[1] // 2
    tiles_y, tiles_x = -(-tall // 2), -(-across // 2)
    tiles = n * tiles_y * tiles_x
    left = more.pop("left", channels)
    rows = tiles_for(left, wide, tiles)
    v_step, o_step = block_step(rows * left), block_step(rows * wide)
    parameters = calls.parameters(
        winograd_code.PARAMETERS, height=height, width=width, channels=channels,
        out_height=tall, out_width=across, filters=filters, pad_y=at.before[0],
        pad_x=at.before[1], tiles_y=tiles_y, tiles_x=tiles_x, rows=rows, v_step=v_step,
        o_step=o_step, **more,
    )  # fmt: skip
    return parameters, tiles, 36 * (v_step + o_step)


def _rows_of(parameters: Any) -> int:
    return int(parameters[winograd_code.PARAMETERS.index("rows")])


def _forward_winograd(
    x: Any, w: Any, added: Any, at: Windows, out: np.ndarray, index: np.ndarray
) -> None:
    run = kernel("winograd_pool_forward")
    assert run
    channels, filters = w.shape[2:]
    panels = -(-filters // (2 * vector_width()))
    u, u_step = transformed_filters(w)
    zeros = np.zeros(channels + vector_width(), np.float32)
    dump = np.empty(filters + vector_width(), np.float32)
    parameters, tiles, size = _tiling(
        x.shape, filters, at, panels * 2 * vector_width(), x=x, u=u, out=out, index=index,
        u_step=u_step, bias=added, zeros=zeros, dump=dump, panels=panels,
    )  # fmt: skip
    where = memory.address(parameters)

    def part(first: int, last: int) -> None:
        run(where, first, last, memory.scratch(size))

    work = tiles * 36 * channels * filters
    calls.spread(part, calls.cuts(tiles, _rows_of(parameters), work, 4))


def _filter_winograd(x: Any, shape: tuple[int, ...], g: Any, index: Any, at: Windows) -> Any:
    run = kernel("winograd_pool_gradient")
    assert run
    channels, filters = shape[2:]
    panel = 2 * vector_width()
    panels = -(-filters // panel)
    zeros = np.zeros(max(channels, filters) + vector_width(), np.float32)
    parameters, tiles, size = _tiling(
        x.shape, filters, at, panels * panel, x=x, out=g, index=index, zeros=zeros,
        panels=panels,
    )  # fmt: skip
    where = memory.address(parameters)
    work = tiles * 36 * channels * filters
    cuts = calls.cuts(tiles, _rows_of(parameters), work, 1)
    stride = panels * panel
    found = [memory.zeros((9 * channels + 1, stride)) for _ in cuts]

    def part(first: int, last: int, target: np.ndarray) -> None:
        sums = memory.zeros((36, panels, channels, panel))
        run(where, first, last, memory.scratch(size), memory.address(sums),
            memory.address(target))  # fmt: skip

    calls.spread(part, [(*cut, f) for cut, f in zip(cuts, found, strict=True)])
    total = found[0]
    for more in found[1:]:
        total += more
    return total[:-1, :filters].reshape(shape), total[-1, :filters].copy()


def grad_input(shape: tuple[int, ...], w: Any, g: Any, index: Any, at: Windows) -> Any:
    """The gradient of the data, [n, *space, channels] = `shape`, or None."""
    run = kernel("winograd_pool_input")
    if run is None or not _covers(at, g, w) or not suits_winograd(w.shape, at):
        return None
    g, index = np.ascontiguousarray(g), np.ascontiguousarray(index)
    channels, filters = w.shape[2:]
    panels = -(-channels // (2 * vector_width()))
    u, u_step = transformed_filters(np.ascontiguousarray(w.transpose(0, 1, 3, 2)))
    zeros = np.zeros(filters + vector_width(), np.float32)
    dump = np.zeros(channels + vector_width(), np.float32)
    out = memory.empty(shape)
    parameters, tiles, size = _tiling(
        shape, filters, at, panels * 2 * vector_width(), x=out, u=u, out=g, index=index,
        u_step=u_step, zeros=zeros, dump=dump, panels=panels, left=filters,
    )  # fmt: skip
    where = memory.address(parameters)
    per_image = tiles // shape[0]

    def part(first: int, last: int) -> None:
        out[first:last] = 0
        run(where, first * per_image, last * per_image, memory.scratch(size))

    work = tiles * 36 * channels * filters
    calls.spread(part, calls.cuts(shape[0], 1, work, 2))
    return out
