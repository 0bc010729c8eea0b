"""Convolution of two space axes by compiled kernels, in float32.

3x3 windows over enough channels go through Winograd's form (those of stride 2: `strided`),
everything else through `taps`.  Winograd's form has an error of some 1e-5 of the largest result
where `taps` has 1e-6, and a NaN or infinity spreads over its tile; ``HEADRACE_WINOGRAD=0``
turns it off.

Each function answers None where there is no machine code (yet), or where a call is outside what
the kernels do; the plain form then runs.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from .. import workers
from ..windows import Windows
from . import calls, memory, strided, taps_code, winograd_code
from .build import kernel, vector_width
from .products import rows_of

__all__ = ["block_step", "forward", "grad_filter", "grad_input", "is_for_winograd",
           "suits_winograd", "tiles_for", "transformed_filters"]  # fmt: skip

_BLOCK_BYTES = 384 << 10  # of packed rows, which stay in the second cache
_SUMS_BYTES = 5 << 20  # of a part's sums in Winograd's filter gradient
_LOWEST = -float("inf")


def forward(x: Any, w: Any, at: Windows, bias: Any = None, relu: bool = False) -> Any:
    """[n, *out, filters], with `bias` added, negative numbers made 0 if `relu`; or None."""
    if not _covers(x, w, at) or x.shape[-1] != w.shape[-2]:
        return None
    x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
    floor = 0.0 if relu else _LOWEST
    pads = at.before
    if suits_winograd(w.shape, at):
        return _winograd(x, w, at.out, pads, bias, floor)
    found = strided.forward(x, w, at, bias, floor)
    if found is not None:
        return found
    run = kernel("tap_forward")
    if run is None:
        return None
    out = memory.empty((x.shape[0], *at.out, w.shape[-1]))
    matrix = w.reshape((-1, w.shape[-1]))
    joined = at.kernel[1] if at.dilations[1] == 1 else 0
    _tap_forward(
        run, x, matrix, _offsets(at), out, at.out, (0, 0), (1, 1), at.strides, bias, floor,
        joined,
    )  # fmt: skip
    return out


def _offsets(at: Windows) -> list[tuple[int, int]]:
    """The taps of a window, relative to the place of its output pixel times the strides."""
    return [
        (i * at.dilations[0] - at.before[0], j * at.dilations[1] - at.before[1])
        for i in range(at.kernel[0])
        for j in range(at.kernel[1])
    ]


def grad_input(shape: tuple[int, ...], w: Any, g: Any, at: Windows) -> Any:
    """[n, *space, channels] = `shape`, or None."""
    if not _covers(g, w, at) or g.shape[-1] != w.shape[-1] or shape[-1] != w.shape[-2]:
        return None
    g = np.ascontiguousarray(g)
    turned = w.shape[:2] + (w.shape[3], w.shape[2])
    extent = [(k - 1) * d for k, d in zip(at.kernel, at.dilations, strict=True)]
    pads = tuple(e - b for e, b in zip(extent, at.before, strict=True))
    if suits_winograd(turned, at, shape[1:-1]):
        back = np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))
        return _winograd(g, back, shape[1:-1], pads, None, _LOWEST)
    found = strided.grad_input(shape, w, g, at)
    if found is not None:
        return found
    run = kernel("tap_forward")
    if run is None:
        return None
    out = memory.empty(shape)
    for phase_y in range(min(at.strides[0], shape[1])):
        rows = _phase(phase_y, at, 0)
        for phase_x in range(min(at.strides[1], shape[2])):
            columns = _phase(phase_x, at, 1)
            taps = [(dy, dx) for _, dy in rows for _, dx in columns]
            count = [
                -(-(n - p) // s)
                for n, p, s in zip(shape[1:3], (phase_y, phase_x), at.strides, strict=True)
            ]
            if not taps:
                out[:, phase_y :: at.strides[0], phase_x :: at.strides[1]] = 0
                continue
            chosen = w[np.ix_([i for i, _ in rows], [j for j, _ in columns])]
            matrix = chosen.transpose(0, 1, 3, 2).reshape((-1, shape[-1]))
            _tap_forward(
                run, g, matrix, taps, out, count, (phase_y, phase_x), at.strides, (1, 1), None,
                _LOWEST,
            )  # fmt: skip
    return out


def _phase(phase: int, at: Windows, axis: int) -> list[tuple[int, int]]:
    """For input places s * i + phase: the taps k that meet them, and the offset of the output
    place from i."""
    found = []
    for k in range(at.kernel[axis]):
        place = phase + at.before[axis] - k * at.dilations[axis]
        if place % at.strides[axis] == 0:
            found.append((k, place // at.strides[axis]))
    return found


def grad_filter(x: Any, shape: tuple[int, ...], g: Any, at: Windows) -> Any:
    """[*kernel, channels, filters] = `shape`, or None."""
    if not _covers(x, g, at) or x.shape[-1] != shape[-2]:
        return None
    x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
    if suits_winograd(shape, at):
        return _winograd_gradient(x, shape, g, at)
    found = strided.grad_filter(x, shape, g, at)
    if found is not None:
        return found
    run = kernel("tap_gradient")
    if run is None:
        return None
    width = vector_width()
    k, filters = shape[0] * shape[1] * shape[2], shape[3]
    blocks, panels = -(-k // width), -(-filters // (2 * width))
    pixels = g.shape[0] * g.shape[1] * g.shape[2]
    rows = _rows_for(4 * (blocks * width + panels * 2 * width), pixels)
    joined = at.kernel[1] if at.dilations[1] == 1 else 0
    packing = _packing(x, _offsets(at), at.out, at.strides, rows, joined)
    parameters = calls.parameters(
        taps_code.PARAMETERS, **packing, out=g, k=k, out_height=g.shape[1],
        out_width=g.shape[2], filters=filters, stride_y=at.strides[0], stride_x=at.strides[1],
        out_image=g.shape[1] * g.shape[2] * filters, out_row=g.shape[2] * filters,
        out_pixel=filters, rows=rows,
    )  # fmt: skip
    size = 4 * ((rows + 1) * blocks * width + width + rows * panels * 2 * width)
    cuts = calls.cuts(pixels, rows, pixels * k * filters, 1)
    # Every part has sums of its own, so there are as many parts as threads.
    sums = [memory.zeros((panels, blocks * width, 2 * width)) for _ in cuts]
    where = memory.address(parameters)

    def part(first: int, last: int, total: np.ndarray) -> None:
        run(where, first, last, memory.scratch(size), memory.address(total))

    calls.spread(part, [(*cut, total) for cut, total in zip(cuts, sums, strict=True)])
    total = sums[0]
    for more in sums[1:]:
        total += more
    flat = total.transpose(1, 0, 2).reshape((blocks * width, -1))
    return np.ascontiguousarray(flat[:k, :filters]).reshape(shape)


# -- taps -------------------------------------------------------------------------------------


def _tap_forward(
    run: Any,
    x: np.ndarray,
    matrix: np.ndarray,
    taps: list[tuple[int, int]],
    out: np.ndarray,
    space: Any,
    start: tuple[int, int],
    steps: tuple[int, ...],
    strides: tuple[int, ...],
    bias: Any,
    floor: float,
    joined: int = 0,
) -> None:
    """Writes the products of the windows of `x` with `matrix` [taps * channels, filters] into
    every `steps`-th pixel of `out` from `start` on: `space` pixels."""
    width = vector_width()
    k, filters = matrix.shape
    panels = -(-filters // (2 * width))
    packed = memory.zeros((panels, k, 2 * width))
    whole = filters // (2 * width)
    for i in range(whole):
        packed[i] = matrix[:, i * 2 * width : (i + 1) * 2 * width]
    if whole < panels:
        packed[whole, :, : filters - whole * 2 * width] = matrix[:, whole * 2 * width :]
    added = np.zeros(filters + width, np.float32)
    if bias is not None:
        added[:filters] = bias
    blocks = -(-k // width)
    pixels = x.shape[0] * space[0] * space[1]
    rows = _rows_for(4 * blocks * width, pixels)
    row = out.shape[2] * filters
    packing = _packing(x, taps, space, strides, rows, joined)
    parameters = calls.parameters(
        taps_code.PARAMETERS, **packing, w=packed, bias=added, k=k,
        out=memory.address(out) + 4 * (start[0] * row + start[1] * filters),
        out_height=space[0], out_width=space[1], filters=filters, stride_y=strides[0],
        stride_x=strides[1], out_image=out.shape[1] * row, out_row=steps[0] * row,
        out_pixel=steps[1] * filters, rows=rows, floor=calls.float_bits(floor),
    )  # fmt: skip
    size = 4 * ((rows + 1) * blocks * width + width + rows * panels * 2 * width)
    where = memory.address(parameters)

    def part(first: int, last: int) -> None:
        run(where, first, last, memory.scratch(size))

    calls.spread(part, calls.cuts(pixels, rows, pixels * k * filters, 4))


def _packing(
    x: np.ndarray, taps: list[tuple[int, int]], space: Any, strides: Any, rows: int, joined: int
) -> dict[str, Any]:
    """The parameters that say how the windows of `space` output pixels are packed.

    So many taps as `joined` follow each other in a row of the data.
    """
    width, channels = vector_width(), x.shape[3]
    if channels % width == 0:
        return {
            "x": x, "zeros": np.zeros(channels, np.float32), "tap_count": len(taps),
            "taps": np.array(taps, np.int64), "height": x.shape[1], "width": x.shape[2],
            "channels": channels,
        }  # fmt: skip
    low = [min(0, min(t[i] for t in taps)) for i in range(2)]
    n, tall, wide, _ = x.shape
    high = [
        max(0, (space[i] - 1) * strides[i] + max(t[i] for t in taps) + 1 - x.shape[i + 1])
        for i in range(2)
    ]
    shape = (n, tall - low[0] + high[0], wide - low[1] + high[1], channels)
    flat = np.zeros(math.prod(shape) + 2 * width, np.float32)
    padded = flat[: math.prod(shape)].reshape(shape)
    padded[:, -low[0] : tall - low[0], -low[1] : wide - low[1]] = x
    moves = []
    length = (joined or 1) * channels
    step = (rows + 1) * 4 * width
    for i, (dy, dx) in enumerate(taps[:: joined or 1]):
        source = ((dy - low[0]) * shape[2] + dx - low[1]) * channels
        for done in range(0, length, width):
            block, lane = divmod(i * length + done, width)
            moves.append((4 * (source + done), block * step + lane * 4))
            if lane + min(width, length - done) > width:
                moves.append((4 * (source + done + width - lane), (block + 1) * step))
    return {
        "x": padded, "moves": np.array(moves, np.int64), "move_count": len(moves),
        "height": shape[1], "width": shape[2], "channels": channels,
    }  # fmt: skip


def _rows_for(row_bytes: int, rows: int) -> int:
    """Rows of a block that stays in the cache."""
    height = rows_of(vector_width())
    found = max(1, _BLOCK_BYTES // max(row_bytes, 1) // height) * height
    return min(found, 12 * height, -(-rows // height) * height)


# -- Winograd ---------------------------------------------------------------------------------


def suits_winograd(w: tuple[int, ...], at: Windows, out: Any = None) -> bool:
    """Whether a call is one for Winograd's form, and that form is there."""
    return kernel("winograd_gradient") is not None and is_for_winograd(
        w, at, vector_width(), out
    )


def is_for_winograd(w: tuple[int, ...], at: Windows, width: int, out: Any = None) -> bool:
    """Whether a call with filters of shape `w` is one for Winograd's form, with vectors of
    `width` floats.

    Args:
        out: sizes of the output if these are not those of `at`.
    """
    if (
        at.kernel != (3, 3)
        or at.strides != (1, 1)
        or at.dilations != (1, 1)
        or w[2] % width
        or w[3] % width
        or w[2] < 16
        or os.environ.get("HEADRACE_WINOGRAD") == "0"
    ):
        return False
    tall, wide = at.out if out is None else out
    # Where tiles lie outside for the most part, nothing is gained.
    return 36 * -(-tall // 4) * -(-wide // 4) <= 7 * tall * wide


def _winograd(
    x: np.ndarray, w: np.ndarray, space: Any, pads: Any, bias: Any, floor: float
) -> np.ndarray:
    width = vector_width()
    channels, filters = w.shape[2:]
    n, (tall, wide) = x.shape[0], space
    panels = -(-filters // (2 * width))
    u, u_step = transformed_filters(w)
    run = kernel("winograd_forward")
    assert run
    out = memory.empty((n, tall, wide, filters))
    tiles_y, tiles_x = -(-tall // 4), -(-wide // 4)
    tiles = n * tiles_y * tiles_x
    rows = tiles_for(channels, panels * 2 * width, tiles)
    v_step, o_step = block_step(rows * channels), block_step(rows * panels * 2 * width)
    added = np.zeros(filters + width, np.float32)
    if bias is not None:
        added[:filters] = bias
    zeros = np.zeros(channels + width, np.float32)
    dump = np.empty(filters + width, np.float32)
    parameters = calls.parameters(
        winograd_code.PARAMETERS, x=x, u=u, out=out, bias=added, zeros=zeros, dump=dump,
        height=x.shape[1], width=x.shape[2], channels=channels, out_height=tall, out_width=wide,
        filters=filters, pad_y=pads[0], pad_x=pads[1], tiles_y=tiles_y, tiles_x=tiles_x,
        rows=rows, v_step=v_step, o_step=o_step, u_step=u_step, panels=panels,
        floor=calls.float_bits(floor),
    )  # fmt: skip
    where = memory.address(parameters)

    def part(first: int, last: int) -> None:
        run(where, first, last, memory.scratch(36 * (v_step + o_step)))

    calls.spread(part, calls.cuts(tiles, rows, tiles * 36 * channels * filters, 4))
    return out


def transformed_filters(w: np.ndarray) -> tuple[np.ndarray, int]:
    """Filters as 36 right operands, and the bytes from one of them to the next."""
    run = kernel("winograd_filter")
    assert run
    channels, filters = w.shape[2:]
    panel = 2 * vector_width()
    step = block_step(-(-filters // panel) * channels * panel)
    u = memory.empty((36 * step // 4,))

    def part(first: int, last: int) -> None:
        run(memory.address(w), memory.address(u), channels, filters, step, first, last)

    calls.spread(part, calls.cuts(channels, 1, channels * filters * 36, 1))
    return u, step


def _winograd_gradient(
    x: np.ndarray, shape: tuple[int, ...], g: np.ndarray, at: Windows
) -> np.ndarray:
    width = vector_width()
    channels, filters = shape[2:]
    tall, wide = g.shape[1:3]
    all_panels = -(-filters // (2 * width))
    tiles_y, tiles_x = -(-tall // 4), -(-wide // 4)
    tiles = g.shape[0] * tiles_y * tiles_x
    run = kernel("winograd_gradient")
    assert run
    zeros = np.zeros(max(channels, filters) + width, np.float32)
    panel_bytes = 36 * channels * 2 * width * 4
    # Many channels: parts differ in their filters, so that their sums stay small; few: in their
    # tiles, so that no input is transformed twice.
    panels = min(max(1, _SUMS_BYTES // panel_bytes), all_panels)
    groups = [(p, min(panels, all_panels - p)) for p in range(0, all_panels, panels)]
    threads = workers.count()
    ways = 1 if len(groups) >= threads else threads
    rows = tiles_for(channels, panels * 2 * width, tiles)
    work = tiles * 36 * channels * filters
    cuts = calls.cuts(tiles, rows, work, 1) if ways > 1 else [(0, tiles)]
    v_step = block_step(rows * channels)
    parts = []
    kept = []  # parameters live until all parts have run
    for first_panel, count in groups:
        o_step = block_step(rows * count * 2 * width)
        parameters = calls.parameters(
            winograd_code.PARAMETERS, x=x, out=g, zeros=zeros, height=x.shape[1],
            width=x.shape[2], channels=channels, out_height=tall, out_width=wide,
            filters=filters, pad_y=at.before[0], pad_x=at.before[1], tiles_y=tiles_y,
            tiles_x=tiles_x, rows=rows, v_step=v_step, o_step=o_step, first_panel=first_panel,
            panels=count,
        )  # fmt: skip
        kept.append(parameters)
        size = 36 * (v_step + o_step)
        for first, last in cuts:
            found = memory.empty((3, 3, channels, count * 2 * width))
            parts.append((memory.address(parameters), first, last, size, count, found))

    def part(
        where: int, first: int, last: int, size: int, count: int, found: np.ndarray
    ) -> None:
        sums = memory.zeros((36, count, channels, 2 * width))
        run(where, first, last, memory.scratch(size), memory.address(sums),
            memory.address(found))  # fmt: skip

    calls.spread(part, parts)
    out = memory.empty(shape)
    for i, (first_panel, count) in enumerate(groups):
        begin = first_panel * 2 * width
        end = min(begin + count * 2 * width, filters)
        mine = [p[-1] for p in parts[i * len(cuts) : (i + 1) * len(cuts)]]
        target = out[..., begin:end]
        target[...] = mine[0][..., : end - begin]
        for more in mine[1:]:
            target += more[..., : end - begin]
    return out


def tiles_for(channels: int, filters: int, tiles: int) -> int:
    """Tiles of a block: those of few channels stay in the second cache; with many, it matters
    more that the transformed filters are read seldom."""
    height = rows_of(vector_width())
    blocks = 3 if channels + filters < 128 else 2 if channels + filters <= 256 else 5
    return min(blocks * height, -(-tiles // height) * height)


def block_step(floats: int) -> int:
    """Bytes from one position's block to the next: not a multiple of a page, so that the 36
    positions of one place fall into different sets of the cache."""
    size = floats * 4
    return size + 64 * 5 if size % 4096 < 320 or size % 4096 > 3776 else size


def _covers(x: Any, w: Any, at: Windows) -> bool:
    return (
        type(x) is np.ndarray
        and type(w) is np.ndarray
        and x.dtype == np.float32
        and len(at.size) == 2
        and x.size > 0
        and w.size > 0
        and min(at.out) > 0
    )
