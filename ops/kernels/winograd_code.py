"""The code of Winograd's convolution F(4x4, 3x3): 36 products for 16 outputs instead of 144.

Tiles of 6 x 6 inputs become 36 numbers each, filters too; per position a matrix product over
channels; 36 numbers become 4 x 4 outputs.  Tiles are done in blocks that stay in the cache.
Tiles reach over borders: what lies outside is read from zeros and written to a place that is
never read.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks" (2015), with the
points 0, 1, -1, 2, -2.  The filter gradient is the transpose of the same formulas:
G' (sum over tiles of (B' d B) * (A e A')) G for inputs d and output gradients e.

Parameters of the kernels, in this order (sizes in elements, addresses in bytes): `PARAMETERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .code import Code, Value
from .products import rows_of

__all__ = ["PARAMETERS", "Vectors", "both", "named", "of_filters", "of_gradients",
           "of_outputs", "places", "tile", "whole_rows", "write_winograd"]  # fmt: skip

PARAMETERS = (
    "x", "u", "out", "bias", "zeros", "dump", "height", "width", "channels", "out_height",
    "out_width", "filters", "pad_y", "pad_x", "tiles_y", "tiles_x", "rows", "v_step", "o_step",
    "first_panel", "panels", "floor", "index",
    "u_step",
)  # fmt: skip

Vectors = Sequence[Value]


def _input(d: Vectors) -> list[Value]:
    """B' d, 6 to 6."""
    a, b, c, e = d[4] - 4.0 * d[2], d[3] - 4.0 * d[1], d[4] - d[2], 2.0 * (d[3] - d[1])
    return [
        4.0 * d[0] - 5.0 * d[2] + d[4],
        a + b,
        a - b,
        c + e,
        c - e,
        4.0 * d[1] - 5.0 * d[3] + d[5],
    ]


def _filter(g: Vectors) -> list[Value]:
    """G g, 3 to 6."""
    ends, near = g[0] + g[2], g[1]
    far = (1 / 24) * g[0] + (1 / 6) * g[2]
    return [
        0.25 * g[0],
        (-1 / 6) * (ends + near),
        (-1 / 6) * (ends - near),
        far + (1 / 12) * near,
        far - (1 / 12) * near,
        g[2],
    ]


def of_outputs(m: Vectors) -> list[Value]:
    """A' m, 6 to 4."""
    a, b, c, d = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return [m[0] + a + c, b + 2.0 * d, a + 4.0 * c, b + 8.0 * d + m[5]]


def of_gradients(e: Vectors) -> list[Value]:
    """A e, 4 to 6."""
    a, b = e[0] + e[2], e[1] + e[3]
    c, d = e[0] + 4.0 * e[2], 2.0 * e[1] + 8.0 * e[3]
    return [e[0], a + b, a - b, c + d, c - d, e[3]]


def of_filters(m: Vectors) -> list[Value]:
    """G' m, 6 to 3."""
    near, far = m[1] + m[2], m[3] + m[4]
    turn, swing = m[2] - m[1], m[3] - m[4]
    return [
        0.25 * m[0] - (1 / 6) * near + (1 / 24) * far,
        (1 / 6) * turn + (1 / 12) * swing,
        (1 / 6) * (far - near) + m[5],
    ]


def both(call: Callable[[Vectors], list[Value]], rows: list[list[Value]]) -> list[list[Value]]:
    """A one-dimensional transform along columns, then along rows."""
    columns = [call([row[j] for row in rows]) for j in range(len(rows[0]))]
    return [call([column[i] for column in columns]) for i in range(len(columns[0]))]


def write_winograd(code: Code) -> None:
    """``winograd_filter``, ``winograd_forward`` and ``winograd_gradient``."""
    _write_filter(code)
    _write_input(code)
    _write_forward(code)
    _write_gradient(code)


def named(code: Code, address: Value) -> dict[str, Value]:
    """The parameters that stand at an address."""
    return dict(zip(PARAMETERS, code.parameters(address, len(PARAMETERS)), strict=True))


def _write_filter(code: Code) -> None:
    """``winograd_filter(w, u, channels, filters, u_step, first, last)``.

    Filters [3, 3, channels, filters] become 36 right operands [panels, channels, P], for
    channels from first to last; the operands lie `u_step` bytes apart.
    """
    width, line = code.width, 4 * code.width
    panel_width = 2 * width
    with code.function(
        "winograd_filter", "w", "u", "channels", "filters", "step", "first", "last"
    ) as (w, u, channels, filters, step, first, last):
        with code.loop(first, last) as c, code.loop(0, filters, width) as f:
            at = w + (c * filters + f) * 4
            one = channels * filters * 4
            g = [[code.load(at + (i * 3 + j) * one) for j in range(3)] for i in range(3)]
            found = both(_filter, g)
            target = u + ((f // panel_width * channels + c) * panel_width
                          + f % panel_width) * 4  # fmt: skip
            for i in range(6):
                for j in range(6):
                    code.store(target + (i * 6 + j) * step, found[i][j])
            # The other half of a last panel that is not full.
            with code.when((f + width).same(filters) & (f % panel_width).same(0)):
                for i in range(36):
                    code.store(target + i * step + line, code.of(0.0, code.vector))


def whole_rows(code: Code, p: dict[str, Value], tiles: Value) -> Value:
    """Rows of a block's operands that so many tiles need: whole ones of `product`."""
    height = rows_of(code.width)
    return code.least(p["rows"], (tiles + (height - 1)) // height * height)


def tile(code: Code, p: dict[str, Value], t: Value) -> tuple[Value, Value, Value]:
    """Image, row and column (in tiles) of a tile."""
    per_image = p["tiles_y"] * p["tiles_x"]
    rest = t % per_image
    return t // per_image, rest // p["tiles_x"], rest % p["tiles_x"]


def places(
    code: Code,
    slots: Value,
    size: int,
    base: Value,
    top: Value,
    side: Value,
    tall: Value,
    wide: Value,
    pixel_bytes: Value,
    outside: Value,
    exists: Value,
) -> None:
    """Writes the addresses of the size x size pixels from (top, side), `outside` where there
    are none."""
    zero = code.of(0, "i64")
    step = wide * pixel_bytes
    corner = base + top * step + side * pixel_bytes
    whole = (top >= zero) & (side >= zero) & exists
    whole = whole & (top + (size - 1) < tall) & (side + (size - 1) < wide)

    def all_places() -> Iterator[tuple[int, int, Value, Value]]:
        for i in range(size):
            row = corner + step * i
            for j in range(size):
                yield i, j, slots + (i * size + j) * 8, row + pixel_bytes * j

    with code.when(whole):
        for _, _, slot, at in all_places():
            code.store(slot, at)
    with code.when(code.opposite(whole)):
        columns = [(side + j >= zero) & (side + j < wide) & exists for j in range(size)]
        rows = [(top + i >= zero) & (top + i < tall) for i in range(size)]
        for i, j, slot, at in all_places():
            code.store(slot, code.select(rows[i] & columns[j], at, outside, "i64"))


def _write_input(code: Code) -> None:
    """``winograd_input(parameters, first, last, target)``: tiles from `first`, transformed to
    36 left operands; tiles from `last` on are zeros."""
    width, line = code.width, 4 * code.width
    with code.function(
        "winograd_input", "parameters", "first", "last", "target", private=True
    ) as (parameters, first, last, target):
        p = named(code, parameters)
        channels, rows = p["channels"], p["rows"]
        slots = code.array(36)
        with code.loop(0, whole_rows(code, p, last - first)) as t:
            image, y, x = tile(code, p, first + t)
            base = p["x"] + image * p["height"] * p["width"] * channels * 4
            places(
                code, slots, 6, base, y * 4 - p["pad_y"], x * 4 - p["pad_x"],
                p["height"], p["width"], channels * 4, p["zeros"], first + t < last,
            )  # fmt: skip
            with code.loop(0, channels, width) as c:
                d = [
                    [code.load(code.load(slots + (i * 6 + j) * 8, "i64") + c * 4)
                     for j in range(6)]
                    for i in range(6)
                ]  # fmt: skip
                found = both(_input, d)
                place = target + c * rows * 4 + t * line
                for i in range(6):
                    for j in range(6):
                        code.store(place + p["v_step"] * (i * 6 + j), found[i][j])


def _write_forward(code: Code) -> None:
    """``winograd_forward(parameters, first, last, scratch)``: tiles from first to last."""
    width, line = code.width, 4 * code.width
    panel_width = 2 * width
    with code.function("winograd_forward", "parameters", "first", "last", "scratch") as (
        parameters,
        first,
        last,
        scratch,
    ):
        p = named(code, parameters)
        rows, filters, channels = p["rows"], p["filters"], p["channels"]
        products = scratch + p["v_step"] * 36
        slots = code.array(16)
        lowest = code.splat(code.load(parameters + 8 * PARAMETERS.index("floor"), "float"))
        step = channels * 2 * line
        with code.loop(first, last, rows) as start:
            live = whole_rows(code, p, last - start)
            code.call("winograd_input", parameters, start, last, scratch)
            with code.loop(0, 36) as i:
                code.call(
                    "product",
                    scratch + i * p["v_step"],
                    p["u"] + i * p["u_step"],
                    products + i * p["o_step"],
                    live,
                    channels,
                    p["panels"],
                    rows * line,
                    step,
                )
            with code.loop(0, code.least(last - start, rows)) as t:
                image, y, x = tile(code, p, start + t)
                base = p["out"] + image * p["out_height"] * p["out_width"] * filters * 4
                places(
                    code, slots, 4, base, y * 4, x * 4, p["out_height"], p["out_width"],
                    filters * 4, p["dump"], start + t < last,
                )  # fmt: skip
                with code.loop(0, filters, width) as f:
                    at = products + ((f // panel_width * live + t) * panel_width
                                     + f % panel_width) * 4  # fmt: skip
                    m = [
                        [code.load(at + p["o_step"] * (i * 6 + j)) for j in range(6)]
                        for i in range(6)
                    ]
                    bias = code.load(p["bias"] + f * 4)
                    for i, row in enumerate(both(of_outputs, m)):
                        for j, value in enumerate(row):
                            value = value + bias
                            value = code.select(value < lowest, lowest, value, code.vector)
                            there = code.load(slots + (i * 4 + j) * 8, "i64")
                            code.store(there + f * 4, value)


def _write_gradient(code: Code) -> None:
    """``winograd_gradient(parameters, first, last, scratch, sums, target)``.

    The filter gradient of tiles from first to last, for the filters of some panels: [3, 3,
    channels, panels * P].
    `out` holds the output's gradients; `sums` is zero at the start.
    """
    width, line = code.width, 4 * code.width
    panel_width = 2 * width
    with code.function(
        "winograd_gradient", "parameters", "first", "last", "scratch", "sums", "target"
    ) as (parameters, first, last, scratch, sums, target):
        p = named(code, parameters)
        rows, filters, channels = p["rows"], p["filters"], p["channels"]
        panels = p["panels"]
        right = scratch + p["v_step"] * 36
        slots = code.array(16)
        offset = p["first_panel"] * panel_width
        count = code.least(panels * panel_width, filters - offset)
        sum_step = panels * channels * 2 * line
        with code.loop(first, last, rows) as start:
            code.call("winograd_input", parameters, start, last, scratch)
            with code.loop(0, rows) as t:
                image, y, x = tile(code, p, start + t)
                base = p["out"] + image * p["out_height"] * p["out_width"] * filters * 4
                places(
                    code, slots, 4, base, y * 4, x * 4, p["out_height"], p["out_width"],
                    filters * 4, p["zeros"], start + t < last,
                )  # fmt: skip
                with code.loop(0, count, width) as f:
                    e = [
                        [code.load(code.load(slots + (i * 4 + j) * 8, "i64")
                                   + (offset + f) * 4) for j in range(4)]
                        for i in range(4)
                    ]  # fmt: skip
                    at = right + ((f // panel_width * rows + t) * panel_width
                                  + f % panel_width) * 4  # fmt: skip
                    for i, row in enumerate(both(of_gradients, e)):
                        for j, value in enumerate(row):
                            code.store(at + p["o_step"] * (i * 6 + j), value)
            with code.loop(0, 36) as i:
                code.call(
                    "gradient_product",
                    scratch + i * p["v_step"],
                    right + i * p["o_step"],
                    sums + i * sum_step,
                    rows,
                    code.least(last - start, rows),
                    channels // width,
                    panels,
                    rows * line,
                )
        stride = panels * panel_width
        with code.loop(0, channels) as c, code.loop(0, count, width) as f:
            at = sums + ((f // panel_width * channels + c) * panel_width
                         + f % panel_width) * 4  # fmt: skip
            m = [[code.load(at + sum_step * (i * 6 + j)) for j in range(6)] for i in range(6)]
            for i, row in enumerate(both(of_filters, m)):
                for j, value in enumerate(row):
                    place = ((i * 3 + j) * channels + c) * stride + f
                    code.store(target + place * 4, value)
