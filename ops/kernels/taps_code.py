"""The code of convolution by taps: any window, stride and dilation.

Blocks of output pixels are packed as rows of a matrix and multiplied while they are in the
cache.  There are two ways to pack:

* by taps, positions of the window: (dy, dx) is added to an output pixel's place times the
  strides, and a run of channels, a multiple of the vector's width, is copied from there, or
  from zeros where the place lies outside;
* by moves, for few channels: a vector is copied from a place relative to the window's corner
  to a place in the row.  It may copy more than it should; what comes later overwrites that, or
  it lies behind the row's end, where nothing is read.  The data has its padding around it.

The input gradient of a strided convolution is one call per phase of the stride, each with the
taps that meet it, so no product is wasted on zeros.

Parameters of both kernels, in this order (sizes in elements, addresses in bytes):
`PARAMETERS`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .code import Code, Value, Variable

__all__ = ["PARAMETERS", "write_taps"]

PARAMETERS = (
    "x", "w", "out", "bias", "zeros", "taps", "tap_count", "moves", "move_count", "k",
    "height", "width", "channels", "out_height", "out_width", "filters", "stride_y", "stride_x",
    "out_image", "out_row", "out_pixel", "rows", "floor",
)  # fmt: skip


def write_taps(code: Code) -> None:
    """``tap_forward(parameters, first, last, scratch)`` and ``tap_gradient`` likewise."""
    _write_pack(code)
    _write_forward(code)
    _write_gradient(code)


def _named(code: Code, address: Value) -> dict[str, Value]:
    return dict(zip(PARAMETERS, code.parameters(address, len(PARAMETERS)), strict=True))


def block_step(code: Code, p: dict[str, Value]) -> Value:
    """Bytes from one block of a left operand to the next: a row more than it has, for moves
    that write too far."""
    return (p["rows"] + 1) * (4 * code.width)


@contextlib.contextmanager
def _pixels(
    code: Code, p: dict[str, Value], first: Value, start: Value | int, stop: Value
) -> Iterator[tuple[Value, Value, Value, Value]]:
    """A loop over t in [start, stop) with image, row and column of output pixel first + t;
    counting them costs less than dividing."""
    per_image = p["out_height"] * p["out_width"]
    begin = first + start
    rest = begin % per_image
    image = code.variable(begin // per_image)
    row, column = code.variable(rest // p["out_width"]), code.variable(rest % p["out_width"])
    with code.loop(start, stop) as t:
        yield t, image.get(), row.get(), column.get()
        _carry(code, column, row, p["out_width"])
        _carry(code, row, image, p["out_height"], step=0)


def _carry(code: Code, low: Variable, high: Variable, limit: Value, step: int = 1) -> None:
    """Adds `step` to `low`; at the limit it begins again and `high` goes up."""
    value = low.get() + step
    full = value.same(limit)
    low.set(code.select(full, 0, value, "i64"))
    high.set(code.select(full, high.get() + 1, high.get(), "i64"))


def _write_pack(code: Code) -> None:
    """``pack(parameters, first, count, target)``: rows of windows as a left operand; rows from
    `count` to the parameter `rows` keep what they have, but numbers."""
    line = 4 * code.width
    with code.function("pack", "parameters", "first", "count", "target", private=True) as (
        parameters,
        first,
        count,
        target,
    ):
        p = _named(code, parameters)
        channels = p["channels"]
        step = block_step(code, p)
        zero = code.of(0, "i64")
        with (
            code.when(p["move_count"].same(0)),
            _pixels(code, p, first, 0, count) as (t, image, row, column),
        ):
            top, side = row * p["stride_y"], column * p["stride_x"]
            source = p["x"] + image * p["height"] * p["width"] * channels * 4
            place = code.variable(target + t * line)
            with code.loop(0, p["tap_count"]) as tap:
                y = top + code.load(p["taps"] + tap * 16, "i64")
                x = side + code.load(p["taps"] + tap * 16 + 8, "i64")
                inside = (y >= zero) & (y < p["height"]) & (x >= zero) & (x < p["width"])
                there = source + (y * p["width"] + x) * channels * 4
                at = code.select(inside, there, p["zeros"], "i64")
                with code.loop(0, channels, code.width) as c:
                    code.store(place.get(), code.load(at + c * 4))
                    place.set(place.get() + step)
        with (
            code.when(p["move_count"] > 0),
            _pixels(code, p, first, 0, count) as (t, image, row, column),
        ):
            y = image * p["height"] + row * p["stride_y"]
            source = p["x"] + (y * p["width"] + column * p["stride_x"]) * channels * 4
            place = code.variable(target + t * line)
            with code.loop(0, p["move_count"]) as move:
                start = code.load(p["moves"] + move * 16, "i64")
                end = code.load(p["moves"] + move * 16 + 8, "i64")
                code.store(place.get() + end, code.load(source + start))


def _write_forward(code: Code) -> None:
    """Rows [first, last) of output pixels: pack, multiply, add the bias, floor, store."""
    width, line = code.width, 4 * code.width
    with code.function("tap_forward", "parameters", "first", "last", "scratch") as (
        parameters,
        first,
        last,
        scratch,
    ):
        p = _named(code, parameters)
        rows, filters, k = p["rows"], p["filters"], p["k"]
        panels = (filters + (2 * width - 1)) // (2 * width)
        step = block_step(code, p)
        result = scratch + (k + (width - 1)) // width * step + line
        floor = code.load(parameters + 8 * PARAMETERS.index("floor"), "float")
        lowest = code.splat(floor)
        whole = filters // width * width
        with code.loop(first, last, rows) as start:
            count = code.least(last - start, rows)
            code.call("pack", parameters, start, count, scratch)
            code.call("product", scratch, p["w"], result, rows, k, panels, step, k * 2 * line)
            with _pixels(code, p, start, 0, count) as (t, image, row, column):
                place = image * p["out_image"] + row * p["out_row"] + column * p["out_pixel"]
                target = p["out"] + place * 4
                source = result + t * 2 * line
                with code.loop(0, whole, width) as f:
                    at = source + _panel_offset(code, f, rows)
                    value = code.load(at) + code.load(p["bias"] + f * 4)
                    value = code.select(value < lowest, lowest, value, code.vector)
                    code.store(target + f * 4, value)
                with code.loop(whole, filters) as f:
                    at = source + _panel_offset(code, f, rows)
                    one = code.load(at, "float") + code.load(p["bias"] + f * 4, "float")
                    one = code.select(one < floor, floor, one, "float")
                    code.store(target + f * 4, one)


def _panel_offset(code: Code, f: Value, rows: Value) -> Value:
    """Bytes from a row's number 0 to its number f in a result [panels, rows, P]."""
    panel_width = 2 * code.width
    return (f // panel_width * rows * panel_width + f % panel_width) * 4


def _write_gradient(code: Code) -> None:
    """Adds what rows [first, last) of output pixels give to the filter gradient `total`, of
    layout [panels, k rounded up to W, P]; `out` holds the output's gradients, without gaps.
    """
    width, line = code.width, 4 * code.width
    with code.function("tap_gradient", "parameters", "first", "last", "scratch", "total") as (
        parameters,
        first,
        last,
        scratch,
        total,
    ):
        p = _named(code, parameters)
        rows, filters = p["rows"], p["filters"]
        blocks = (p["k"] + (width - 1)) // width
        panels = (filters + (2 * width - 1)) // (2 * width)
        step = block_step(code, p)
        right = scratch + blocks * step + line
        whole = filters // width * width
        with code.loop(first, last, rows) as start:
            count = code.least(last - start, rows)
            code.call("pack", parameters, start, count, scratch)
            # Gradients of as many filters as a panel has are a right operand as they are.
            given = p["out"] + start * filters * 4
            with code.when(filters.unlike(2 * width)), code.loop(0, count) as t:
                source = given + t * filters * 4
                target = right + t * 2 * line
                with code.loop(0, whole, width) as f:
                    at = target + _panel_offset(code, f, rows)
                    code.store(at, code.load(source + f * 4))
                with code.loop(whole, filters) as f:
                    at = target + _panel_offset(code, f, rows)
                    code.store(at, code.load(source + f * 4, "float"))
            operand = code.select(filters.same(2 * width), given, right, "i64")
            code.call(
                "gradient_product", scratch, operand, total, rows, count, blocks, panels, step
            )
