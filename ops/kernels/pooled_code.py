"""The code of convolution, bias, relu and max pooling over 2 x 2 in one pass, for few channels.

Only the pooled result is kept, and per number which of its window's four was the largest: 0 to
3, or 4 if relu made it 0, so that nothing goes back.  The gradient takes what it needs from
those.  `winner` and `spread` are what other kernels of pooled convolutions share.

Data has its padding already, so a row of a window is one piece of memory.  Parameters of the
kernels, in this order (sizes in elements, addresses in bytes): `PARAMETERS`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .code import Code, Value

__all__ = ["PARAMETERS", "spread", "taps_of", "winner", "write_pooled"]

PARAMETERS = (
    "x", "w", "bias", "out", "index", "g", "offsets", "height", "width", "channels",
    "tap_rows", "row_taps", "taps", "pool_height", "pool_width", "filters",
)  # fmt: skip
NOBODY = 4


def taps_of(width: int) -> int:
    """Taps whose gradients stay in registers."""
    return 9 if width == 16 else 5


def _pixels_of(width: int) -> int:
    """Pooled pixels whose numbers stay in registers."""
    return 2 if width == 16 else 1


def winner(code: Code, values: Sequence[Value]) -> tuple[Value, Value]:
    """The largest of four vectors after relu, and which was the first of its size."""
    best, index = values[0], code.of(0, code.bytes)
    for k in range(1, 4):
        # A NaN is taken, and nothing is larger than it: it stays.
        more = (values[k] > best) | values[k].unlike(values[k])
        best = code.select(more, values[k], best, code.vector)
        index = code.select(more, k, index, code.bytes)
    index = code.select(best > 0.0, index, NOBODY, code.bytes)
    return code.select(best < 0.0, 0.0, best, code.vector), index


def spread(code: Code, g: Value, index: Value) -> list[Value]:
    """The gradients of four vectors from that of their largest."""
    return [code.select(index.same(k), g, 0.0, code.vector) for k in range(4)]


def write_pooled(code: Code) -> None:
    """``pooled_forward`` and ``pooled_gradient``."""
    _write_forward(code)
    _write_gradient(code)


def _named(code: Code, address: Value) -> dict[str, Value]:
    return dict(zip(PARAMETERS, code.parameters(address, len(PARAMETERS)), strict=True))


def _write_forward(code: Code) -> None:
    """``pooled_forward(parameters, first, last, unused)``: images from first to last, a
    panel of 2 W filters at a time.

    Weights [panels, taps, 2 W].
    """
    width, line = code.width, 4 * code.width
    pixels = _pixels_of(width)
    with code.function("pooled_forward", "parameters", "first", "last", "unused") as (
        parameters,
        first,
        last,
        _,
    ):
        p = _named(code, parameters)
        pixel, row_bytes = p["channels"] * 4, p["width"] * p["channels"] * 4
        with (
            code.loop(first, last) as image,
            code.loop(0, p["pool_height"]) as row,
            code.loop(0, p["pool_width"], pixels) as start,
            code.loop(0, p["filters"], 2 * width) as f,
        ):
            # The last ones overlap those before where their number is odd.
            column = code.least(start, p["pool_width"] - pixels)
            base = p["x"] + (image * p["height"] + row * 2) * row_bytes + column * 2 * pixel
            sums = [
                [[code.variable(code.load(p["bias"] + (f + v * width) * 4), code.vector)
                  for v in range(2)] for _ in range(2 * pixels)]
                for _ in range(2)
            ]  # fmt: skip
            weights = code.variable(p["w"] + f * p["taps"] * 4)
            with code.loop(0, p["tap_rows"]) as y:
                corner = base + y * row_bytes
                with code.loop(0, p["row_taps"]) as j:
                    at = weights.get()
                    columns = [code.load(at + v * line) for v in range(2)]
                    weights.set(at + 2 * line)
                    for i in range(2):
                        for k in range(2 * pixels):
                            place = corner + row_bytes * i + pixel * k + j * 4
                            factor = code.splat(code.load(place, "float"))
                            for v in range(2):
                                total = sums[i][k][v]
                                total.set(code.fma(factor, columns[v], total.get()))
            place = (image * p["pool_height"] + row) * p["pool_width"] + column
            for q in range(pixels):
                for v in range(2):
                    four = [sums[i][2 * q + k][v].get() for i in range(2) for k in range(2)]
                    best, index = winner(code, four)
                    at = (place + q) * p["filters"] + f + v * width
                    code.store(p["out"] + at * 4, best)
                    code.store(p["index"] + at, index)


def _write_gradient(code: Code) -> None:
    """``pooled_gradient(parameters, first, last, unused, total)``: adds to `total` [filters /
    2 W, groups of `taps_of` taps, one more, 2 W] the gradients of the weights, and behind them
    that of the bias, from images from first to last.

    `offsets` holds the places of all taps in the data, in bytes from a window's corner, filled
    up to whole groups.
    """
    width, line, at_once = code.width, 4 * code.width, taps_of(code.width)
    with code.function("pooled_gradient", "parameters", "first", "last", "unused", "total") as (
        parameters,
        first,
        last,
        _,
        total,
    ):
        p = _named(code, parameters)
        pixel, row_bytes = p["channels"] * 4, p["width"] * p["channels"] * 4
        groups = (p["taps"] + (at_once - 1)) // at_once
        with (
            code.loop(first, last) as image,
            code.loop(0, p["pool_height"]) as row,
            code.loop(0, p["filters"], 2 * width) as f,
            code.loop(0, groups) as group,
        ):
            target = total + (f // (2 * width) * groups + group) * ((at_once + 1) * 2 * line)
            sums = [
                [code.variable(code.load(target + (j * 2 + v) * line), code.vector)
                 for v in range(2)]
                for j in range(at_once + 1)
            ]  # fmt: skip
            offsets = [
                code.load(p["offsets"] + (group * at_once + j) * 8, "i64")
                for j in range(at_once)
            ]
            base = p["x"] + (image * p["height"] + row * 2) * row_bytes
            start = (image * p["pool_height"] + row) * p["pool_width"]
            with code.loop(0, p["pool_width"]) as column:
                corner = base + column * 2 * pixel
                place = (start + column) * p["filters"] + f
                parts = []
                for v in range(2):
                    at = place + v * width
                    g, index = (
                        code.load(p["g"] + at * 4),
                        code.load(p["index"] + at, code.bytes),
                    )
                    parts.append(spread(code, g, index))
                    kept = code.select(index < NOBODY, g, 0.0, code.vector)
                    sums[at_once][v].set(sums[at_once][v].get() + kept)
                for k in range(4):
                    there = corner + row_bytes * (k // 2) + pixel * (k % 2)
                    for j in range(at_once):
                        factor = code.splat(code.load(there + offsets[j], "float"))
                        for v in range(2):
                            sums[j][v].set(code.fma(factor, parts[v][k], sums[j][v].get()))
            for j in range(at_once + 1):
                for v in range(2):
                    code.store(target + (j * 2 + v) * line, sums[j][v].get())
