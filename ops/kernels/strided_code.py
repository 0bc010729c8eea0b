"""The code of 3x3 convolutions of stride 2 in Winograd's manner: 81 products for 16 outputs
instead of 144.

Along an axis, four outputs take 9 inputs.  The five of even place meet the outer two taps:
F(4, 2) with the points 0, 1, -1, 2 and infinity.  The four of odd place meet the middle tap,
one each.  So 9 inputs become 9 numbers, 3 taps become 6 (the middle tap's is used four times),
and 9 products become 4 outputs.  Along both axes: 81 positions, of 36 right operands.

The gradients are the transposes of the same formulas, as in `winograd_code`, whose parameters
these kernels take.
"""

from __future__ import annotations

from collections.abc import Sequence

from .code import Code, Value
from .winograd_code import PARAMETERS, Vectors, both, named, places, tile, whole_rows

__all__ = ["POSITIONS", "RIGHTS", "write_strided"]

POSITIONS, RIGHTS = 81, 36

Matrix = Sequence[Sequence[float]]

# F(4, 2): of the even inputs, of the outer taps, of the products.
_EVEN = ((2, -1, -2, 1, 0), (0, -2, -1, 1, 0), (0, 2, -3, 1, 0), (0, -1, 0, 1, 0),
         (0, 2, -1, -2, 1))  # fmt: skip
_OUTER = ((1 / 2, 0), (-1 / 2, -1 / 2), (-1 / 6, 1 / 6), (1 / 6, 1 / 3), (0, 1))
_BACK = ((1, 1, 1, 1, 0), (0, 1, -1, 2, 0), (0, 1, 1, 4, 0), (0, 1, -1, 8, 1))


def _unit(place: int, size: int) -> tuple[int, ...]:
    return tuple(int(i == place) for i in range(size))


_INPUT: Matrix = [
    *([row[i // 2] if i % 2 == 0 else 0 for i in range(9)] for row in _EVEN),
    *(_unit(2 * i + 1, 9) for i in range(4)),
]
_FILTER: Matrix = [*([first, 0, last] for first, last in _OUTER), [0, 1, 0]]
_OUTPUT: Matrix = [[*row, *_unit(i, 4)] for i, row in enumerate(_BACK)]


def _turned(matrix: Matrix) -> Matrix:
    return list(zip(*matrix, strict=True))


def _applied(matrix: Matrix, code: Code, rows: list[list[Value]]) -> list[list[Value]]:
    """A matrix from the left, and its transpose from the right."""

    def one(vectors: Vectors) -> list[Value]:
        return [_combined(code, row, vectors) for row in matrix]

    return both(one, rows)


def _combined(code: Code, factors: Sequence[float], vectors: Vectors) -> Value:
    total: Value | None = None
    for factor, v in zip(factors, vectors, strict=True):
        if factor == 0:
            continue
        if total is None:
            total = v if factor == 1 else factor * v
        elif abs(factor) == 1:
            total = total + v if factor > 0 else total - v
        else:
            total = code.fma(v, code.of(factor, code.vector), total)
    assert total is not None
    return total


def write_strided(code: Code) -> None:
    """``strided_filter``, ``strided_forward``, ``strided_gradient`` and ``strided_input``."""
    _write_filter(code)
    _write_transform(code)
    _write_gradients(code)
    _write_forward(code)
    _write_gradient(code)
    _write_input_gradient(code)


def _right(i: int) -> int:
    """Which right operand belongs to a position."""
    return min(i // 9, 5) * 6 + min(i % 9, 5)


def _products(
    code: Code, p: dict[str, Value], left: Value, out: Value, live: Value, deep: Value
) -> None:
    """All positions' products with the filters."""
    line = 4 * code.width
    for i in range(POSITIONS):
        code.call(
            "product", left + p["v_step"] * i, p["u"] + p["u_step"] * _right(i),
            out + p["o_step"] * i, live, deep, p["panels"], p["rows"] * line, deep * 2 * line,
        )  # fmt: skip


def _write_filter(code: Code) -> None:
    """``strided_filter(w, u, channels, filters, u_step, first, last)``: like
    ``winograd_filter``."""
    width, line = code.width, 4 * code.width
    panel_width = 2 * width
    with code.function(
        "strided_filter", "w", "u", "channels", "filters", "step", "first", "last"
    ) as (w, u, channels, filters, step, first, last):
        with code.loop(first, last) as c, code.loop(0, filters, width) as f:
            at = w + (c * filters + f) * 4
            one = channels * filters * 4
            g = [[code.load(at + one * (i * 3 + j)) for j in range(3)] for i in range(3)]
            found = _applied(_FILTER, code, g)
            target = u + ((f // panel_width * channels + c) * panel_width
                          + f % panel_width) * 4  # fmt: skip
            for i in range(RIGHTS):
                code.store(target + step * i, found[i // 6][i % 6])
            with code.when((f + width).same(filters) & (f % panel_width).same(0)):
                for i in range(RIGHTS):
                    code.store(target + step * i + line, code.of(0.0, code.vector))


def _input_places(
    code: Code, p: dict[str, Value], slots: Value, t: Value, exists: Value, outside: Value
) -> None:
    image, y, x = tile(code, p, t)
    base = p["x"] + image * p["height"] * p["width"] * p["channels"] * 4
    places(
        code, slots, 9, base, y * 8 - p["pad_y"], x * 8 - p["pad_x"], p["height"], p["width"],
        p["channels"] * 4, outside, exists,
    )  # fmt: skip


def _output_places(
    code: Code, p: dict[str, Value], slots: Value, t: Value, exists: Value, outside: Value
) -> None:
    image, y, x = tile(code, p, t)
    base = p["out"] + image * p["out_height"] * p["out_width"] * p["filters"] * 4
    places(
        code, slots, 4, base, y * 4, x * 4, p["out_height"], p["out_width"],
        p["filters"] * 4, outside, exists,
    )  # fmt: skip


def _write_transform(code: Code) -> None:
    """``strided_transform(parameters, first, last, target)``: tiles of inputs as left
    operands."""
    width, line = code.width, 4 * code.width
    with code.function(
        "strided_transform", "parameters", "first", "last", "target", private=True
    ) as (parameters, first, last, target):
        p = named(code, parameters)
        slots = code.array(81)
        with code.loop(0, whole_rows(code, p, last - first)) as t:
            _input_places(code, p, slots, first + t, first + t < last, p["zeros"])
            with code.loop(0, p["channels"], width) as c:
                d = [
                    [code.load(code.load(slots + (i * 9 + j) * 8, "i64") + c * 4)
                     for j in range(9)]
                    for i in range(9)
                ]  # fmt: skip
                place = target + c * p["rows"] * 4 + t * line
                for i, row in enumerate(_applied(_INPUT, code, d)):
                    for j, value in enumerate(row):
                        code.store(place + p["v_step"] * (i * 9 + j), value)


def _write_gradients(code: Code) -> None:
    """``strided_left`` and ``strided_right(parameters, first, last, target)``: tiles of output
    gradients as operands of either side."""
    width, line = code.width, 4 * code.width
    panel_width = 2 * width
    for side in ("left", "right"):
        with code.function(
            f"strided_{side}", "parameters", "first", "last", "target", private=True
        ) as (parameters, first, last, target):
            p = named(code, parameters)
            rows = p["rows"]
            slots = code.array(16)
            offset = p["first_panel"] * panel_width
            count = p["filters"]
            step = p["v_step"] if side == "left" else p["o_step"]
            if side == "right":
                count = code.least(p["panels"] * panel_width, count - offset)
            with code.loop(0, whole_rows(code, p, last - first)) as t:
                _output_places(code, p, slots, first + t, first + t < last, p["zeros"])
                with code.loop(0, count, width) as f:
                    e = [
                        [code.load(code.load(slots + (i * 4 + j) * 8, "i64")
                                   + (offset + f) * 4) for j in range(4)]
                        for i in range(4)
                    ]  # fmt: skip
                    if side == "left":
                        place = target + f * rows * 4 + t * line
                    else:
                        place = target + ((f // panel_width * rows + t) * panel_width
                                          + f % panel_width) * 4  # fmt: skip
                    for i, row in enumerate(_applied(_turned(_OUTPUT), code, e)):
                        for j, value in enumerate(row):
                            code.store(place + step * (i * 9 + j), value)


def _write_forward(code: Code) -> None:
    """``strided_forward(parameters, first, last, scratch)``: tiles from first to last."""
    width = code.width
    panel_width = 2 * width
    with code.function("strided_forward", "parameters", "first", "last", "scratch") as (
        parameters,
        first,
        last,
        scratch,
    ):
        p = named(code, parameters)
        products = scratch + p["v_step"] * POSITIONS
        slots = code.array(16)
        lowest = code.splat(code.load(parameters + 8 * PARAMETERS.index("floor"), "float"))
        with code.loop(first, last, p["rows"]) as start:
            live = whole_rows(code, p, last - start)
            code.call("strided_transform", parameters, start, last, scratch)
            _products(code, p, scratch, products, live, p["channels"])
            with code.loop(0, code.least(last - start, p["rows"])) as t:
                _output_places(code, p, slots, start + t, start + t < last, p["dump"])
                with code.loop(0, p["filters"], width) as f:
                    at = products + ((f // panel_width * live + t) * panel_width
                                     + f % panel_width) * 4  # fmt: skip
                    m = [
                        [code.load(at + p["o_step"] * (i * 9 + j)) for j in range(9)]
                        for i in range(9)
                    ]
                    bias = code.load(p["bias"] + f * 4)
                    for i, row in enumerate(_applied(_OUTPUT, code, m)):
                        for j, value in enumerate(row):
                            value = value + bias
                            value = code.select(value < lowest, lowest, value, code.vector)
                            there = code.load(slots + (i * 4 + j) * 8, "i64")
                            code.store(there + f * 4, value)


def _write_gradient(code: Code) -> None:
    """``strided_gradient(parameters, first, last, scratch, sums, target)``: like
    ``winograd_gradient``."""
    width, line = code.width, 4 * code.width
    panel_width = 2 * width
    with code.function(
        "strided_gradient", "parameters", "first", "last", "scratch", "sums", "target"
    ) as (parameters, first, last, scratch, sums, target):
        p = named(code, parameters)
        rows, channels, panels = p["rows"], p["channels"], p["panels"]
        right = scratch + p["v_step"] * POSITIONS
        sum_step = panels * channels * 2 * line
        with code.loop(first, last, rows) as start:
            code.call("strided_transform", parameters, start, last, scratch)
            code.call("strided_right", parameters, start, last, right)
            for i in range(POSITIONS):
                code.call(
                    "gradient_product", scratch + p["v_step"] * i, right + p["o_step"] * i,
                    sums + sum_step * _right(i), rows, code.least(last - start, rows),
                    channels // width, panels, rows * line,
                )  # fmt: skip
        stride = panels * panel_width
        count = code.least(stride, p["filters"] - p["first_panel"] * panel_width)
        with code.loop(0, channels) as c, code.loop(0, count, width) as f:
            at = sums + ((f // panel_width * channels + c) * panel_width
                         + f % panel_width) * 4  # fmt: skip
            m = [[code.load(at + sum_step * (i * 6 + j)) for j in range(6)] for i in range(6)]
            for i, row in enumerate(_applied(_turned(_FILTER), code, m)):
                for j, value in enumerate(row):
                    place = ((i * 3 + j) * channels + c) * stride + f
                    code.store(target + place * 4, value)


def _write_input_gradient(code: Code) -> None:
    """``strided_input(parameters, first, last, scratch)``: like ``winograd_pool_input``."""
    width = code.width
    panel_width = 2 * width
    with code.function("strided_input", "parameters", "first", "last", "scratch") as (
        parameters,
        first,
        last,
        scratch,
    ):
        p = named(code, parameters)
        products = scratch + p["v_step"] * POSITIONS
        slots = code.array(81)
        with code.loop(first, last, p["rows"]) as start:
            live = whole_rows(code, p, last - start)
            code.call("strided_left", parameters, start, last, scratch)
            _products(code, p, scratch, products, live, p["filters"])
            with code.loop(0, code.least(last - start, p["rows"])) as t:
                _input_places(code, p, slots, start + t, start + t < last, p["dump"])
                with code.loop(0, p["channels"], width) as c:
                    at = products + ((c // panel_width * live + t) * panel_width
                                     + c % panel_width) * 4  # fmt: skip
                    m = [
                        [code.load(at + p["o_step"] * (i * 9 + j)) for j in range(9)]
                        for i in range(9)
                    ]
                    for i, row in enumerate(_applied(_turned(_INPUT), code, m)):
                        for j, value in enumerate(row):
                            there = code.load(slots + (i * 9 + j) * 8, "i64") + c * 4
                            code.store(there, code.load(there) + value)
