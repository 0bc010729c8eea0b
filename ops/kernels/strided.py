"""3x3 convolutions of stride 2 over many channels by compiled kernels, in float32; None where
there is none, or a call is not one for them.  ``HEADRACE_WINOGRAD=0`` turns them off, too."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .. import workers
from ..windows import Windows
from . import calls, memory, winograd_code
from .build import kernel, vector_width
from .products import rows_of
from .strided_code import POSITIONS, RIGHTS

__all__ = ["forward", "grad_filter", "grad_input"]

_SUMS_BYTES = 10 << 20


def _suits(w: tuple[int, ...], at: Windows) -> bool:
    width = vector_width()
    tall, wide = at.out
    return (
        at.kernel == (3, 3)
        and at.strides == (2, 2)
        and at.dilations == (1, 1)
        and w[2] % width == 0
        and w[3] % width == 0
        and w[2] >= 32
        # Where tiles lie outside for the most part, nothing is gained.
        and POSITIONS * -(-tall // 4) * -(-wide // 4) <= 7 * tall * wide
        and os.environ.get("HEADRACE_WINOGRAD") != "0"
    )


def _step(floats: int) -> int:
    """See `convolution.block_step`."""
    size = floats * 4
    return size + 64 * 5 if size % 4096 < 320 or size % 4096 > 3776 else size


def _filters(w: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Right operands, the bytes from one to the next, and their panels."""
    run = kernel("strided_filter")
    assert run
    channels, filters = w.shape[2:]
    panel = 2 * vector_width()
    panels = -(-filters // panel)
    step = _step(panels * channels * panel)
    u = memory.empty((RIGHTS * step // 4,))

    def part(first: int, last: int) -> None:
        run(memory.address(w), memory.address(u), channels, filters, step, first, last)

    calls.spread(part, calls.cuts(channels, 1, channels * filters * RIGHTS, 1))
    return u, step, panels


def _tiling(
    shape: tuple[int, ...], filters: int, at: Windows, left: int, right: int, **more: Any
) -> tuple[np.ndarray, int, int, int]:
    """Parameters, tiles, tiles of a block and bytes of scratch, for operands of `left` and
    `right` numbers in a row."""
    n, height, width, channels = shape
    tall, wide = at.out
    tiles_y, tiles_x = -(-tall // 4), -(-wide // 4)
    tiles = n * tiles_y * tiles_x
    block = rows_of(vector_width())
    rows = min(block * (1 if left + right <= 512 else 2), -(-tiles // block) * block)
    v_step, o_step = _step(rows * left), _step(rows * right)
    parameters = calls.parameters(
        winograd_code.PARAMETERS, height=height, width=width, channels=channels,
        out_height=tall, out_width=wide, filters=filters, pad_y=at.before[0],
        pad_x=at.before[1], tiles_y=tiles_y, tiles_x=tiles_x, rows=rows, v_step=v_step,
        o_step=o_step, **more,
    )  # fmt: skip
    return parameters, tiles, rows, POSITIONS * (v_step + o_step)


def forward(x: np.ndarray, w: np.ndarray, at: Windows, bias: Any, floor: float) -> Any:
    """[n, *out, filters], with `bias` (or None) added, nothing below `floor`; or None."""
    run = kernel("strided_forward")
    if run is None or not _suits(w.shape, at):
        return None
    channels, filters = w.shape[2:]
    u, u_step, panels = _filters(w)
    out = memory.empty((x.shape[0], *at.out, filters))
    added = np.zeros(filters + vector_width(), np.float32)
    if bias is not None:
        added[:filters] = bias
    zeros = np.zeros(channels + vector_width(), np.float32)
    dump = np.empty(filters + vector_width(), np.float32)
    parameters, tiles, rows, size = _tiling(
        x.shape, filters, at, channels, panels * 2 * vector_width(), x=x, u=u, u_step=u_step,
        out=out, zeros=zeros, dump=dump, panels=panels, bias=added,
        floor=calls.float_bits(floor),
    )  # fmt: skip
    where = memory.address(parameters)

    def part(first: int, last: int) -> None:
        run(where, first, last, memory.scratch(size))

    calls.spread(part, calls.cuts(tiles, rows, tiles * POSITIONS * channels * filters, 4))
    return out


def grad_input(shape: tuple[int, ...], w: np.ndarray, g: np.ndarray, at: Windows) -> Any:
    """[n, *space, channels] = `shape`, or None."""
    run = kernel("strided_input")
    if run is None or not _suits(w.shape, at):
        return None
    channels, filters = w.shape[2:]
    u, u_step, panels = _filters(np.ascontiguousarray(w.transpose(0, 1, 3, 2)))
    out = memory.empty(shape)
    zeros = np.zeros(filters + vector_width(), np.float32)
    dump = np.zeros(channels + vector_width(), np.float32)
    parameters, tiles, _, size = _tiling(
        shape, filters, at, filters, panels * 2 * vector_width(), x=out, u=u, u_step=u_step,
        out=g, zeros=zeros, dump=dump, panels=panels,
    )  # fmt: skip
    where = memory.address(parameters)
    per_image = tiles // shape[0]

    def part(first: int, last: int) -> None:
        out[first:last] = 0
        run(where, first * per_image, last * per_image, memory.scratch(size))

    # Tiles of an image overlap: one part has all of them.
    work = tiles * POSITIONS * channels * filters
    calls.spread(part, calls.cuts(shape[0], 1, work, 2))
    return out


def grad_filter(x: np.ndarray, shape: tuple[int, ...], g: np.ndarray, at: Windows) -> Any:
    """[3, 3, channels, filters] = `shape`, or None."""
    run = kernel("strided_gradient")
    if run is None or not _suits(shape, at):
        return None
    channels, filters = shape[2:]
    panel = 2 * vector_width()
    all_panels = -(-filters // panel)
    zeros = np.zeros(max(channels, filters) + vector_width(), np.float32)
    panels = min(max(1, _SUMS_BYTES // (RIGHTS * channels * panel * 4)), all_panels)
    groups = [(p, min(panels, all_panels - p)) for p in range(0, all_panels, panels)]
    # Parts differ in their filters where these make several groups, else in their tiles.
    ways = 1 if len(groups) >= workers.count() else workers.count()
    parts, kept = [], []
    for first_panel, count in groups:
        parameters, tiles, rows, size = _tiling(
            x.shape, filters, at, channels, count * panel, x=x, out=g, zeros=zeros,
            first_panel=first_panel, panels=count,
        )  # fmt: skip
        kept.append(parameters)
        work = tiles * POSITIONS * channels * filters
        for first, last in calls.cuts(tiles, rows, work, 1) if ways > 1 else [(0, tiles)]:
            found = memory.empty((3, 3, channels, count * panel))
            parts.append((memory.address(parameters), first, last, size, count, found))

    def part(
        where: int, first: int, last: int, size: int, count: int, found: np.ndarray
    ) -> None:
        sums = memory.zeros((RIGHTS, count, channels, panel))
        run(where, first, last, memory.scratch(size), memory.address(sums),
            memory.address(found))  # fmt: skip

    calls.spread(part, parts)
    out = memory.empty(shape)
    each = len(parts) // len(groups)
    for i, (first_panel, count) in enumerate(groups):
        begin = first_panel * panel
        end = min(begin + count * panel, filters)
        mine = [p[-1] for p in parts[i * each : (i + 1) * each]]
        out[..., begin:end] = mine[0][..., : end - begin]
        for more in mine[1:]:
            out[..., begin:end] += more[..., : end - begin]
    return out
