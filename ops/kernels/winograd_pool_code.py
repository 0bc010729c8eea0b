"""The code of Winograd's convolution with bias, relu and max pooling over 2 x 2 in the same
pass, and of its gradients.

A tile of 4 x 4 outputs holds four whole windows of the pooling, so the outputs themselves are
never written; what is kept, and what gradients are taken from, says `pooled_code`.  The input
gradient is the forward form's transpose, tile by tile, so that tiles are over outputs and no
place without a window is multiplied: B (U * (A e A')) B' for output gradients e.

Parameters are `winograd_code.PARAMETERS`; `out_height` and `out_width` are the pooled sizes.
"""

from __future__ import annotations

from .code import Code, Value
from .pooled_code import NOBODY, spread, winner
from .winograd_code import (
    Vectors,
    both,
    named,
    of_filters,
    of_gradients,
    of_outputs,
    places,
    tile,
    whole_rows,
)

__all__ = ["write_winograd_pool"]


def write_winograd_pool(code: Code) -> None:
    """``winograd_pool_forward``, ``winograd_pool_gradient`` and ``winograd_pool_input``."""
    _write_forward(code)
    _write_gradient(code)
    _write_input_gradient(code)


def _of_inputs_back(m: Vectors) -> list[Value]:
    """B m, 6 to 6."""
    near, far = m[1] + m[2], m[3] + m[4]
    turn, swing = m[1] - m[2], m[3] - m[4]
    return [
        4.0 * m[0],
        4.0 * m[5] - 4.0 * turn - 2.0 * swing,
        -5.0 * m[0] - 4.0 * near - far,
        turn + 2.0 * swing - 5.0 * m[5],
        m[0] + near + far,
        m[5],
    ]


def _pooled_places(
    code: Code, p: dict[str, Value], slots: Value, t: Value, exists: Value, outside: Value
) -> None:
    """The addresses of the 2 x 2 pooled pixels of a tile, and behind them those of their
    indices."""
    image, y, x = tile(code, p, t)
    first = image * p["out_height"] * p["out_width"] * p["filters"]
    for at, base, size in ((slots, p["out"], 4), (slots + 32, p["index"], 1)):
        places(
            code, at, 2, base + first * size, y * 2, x * 2, p["out_height"], p["out_width"],
            p["filters"] * size, outside, exists,
        )  # fmt: skip


def _write_forward(code: Code) -> None:
    """``winograd_pool_forward(parameters, first, last, scratch)``: tiles from first to last."""
    width, line = code.width, 4 * code.width
    panel_width = 2 * width
    with code.function("winograd_pool_forward", "parameters", "first", "last", "scratch") as (
        parameters,
        first,
        last,
        scratch,
    ):
        p = named(code, parameters)
        rows, filters, channels = p["rows"], p["filters"], p["channels"]
        products = scratch + p["v_step"] * 36
        slots = code.array(8)
        step = channels * 2 * line
        with code.loop(first, last, rows) as start:
            live = whole_rows(code, p, last - start)
            code.call("winograd_input", parameters, start, last, scratch)
            with code.loop(0, 36) as i:
                code.call(
                    "product", scratch + i * p["v_step"], p["u"] + i * p["u_step"],
                    products + i * p["o_step"], live, channels, p["panels"], rows * line, step,
                )  # fmt: skip
            with code.loop(0, code.least(last - start, rows)) as t:
                _pooled_places(code, p, slots, start + t, start + t < last, p["dump"])
                with code.loop(0, filters, width) as f:
                    at = products + ((f // panel_width * live + t) * panel_width
                                     + f % panel_width) * 4  # fmt: skip
                    m = [
                        [code.load(at + p["o_step"] * (i * 6 + j)) for j in range(6)]
                        for i in range(6)
                    ]
                    bias = code.load(p["bias"] + f * 4)
                    found = [[v + bias for v in row] for row in both(of_outputs, m)]
                    for k in range(4):
                        i, j = k // 2 * 2, k % 2 * 2
                        best, index = winner(
                            code, [*found[i][j : j + 2], *found[i + 1][j : j + 2]]
                        )
                        code.store(code.load(slots + k * 8, "i64") + f * 4, best)
                        code.store(code.load(slots + (k + 4) * 8, "i64") + f, index)


def _gradients(code: Code, slots: Value, f: Value) -> tuple[list[list[Value]], Value]:
    """4 x 4 output gradients of a tile, and their sum."""
    e: list[list[Value]] = [[] for _ in range(4)]
    total: Value | None = None
    for k in range(4):
        g = code.load(code.load(slots + k * 8, "i64") + f * 4)
        index = code.load(code.load(slots + (k + 4) * 8, "i64") + f, code.bytes)
        four = spread(code, g, index)
        e[k // 2 * 2] += four[:2]
        e[k // 2 * 2 + 1] += four[2:]
        kept = code.select(index < NOBODY, g, 0.0, code.vector)
        total = kept if total is None else total + kept
    assert total is not None
    return e, total


def _write_gradient(code: Code) -> None:
    """``winograd_pool_gradient(parameters, first, last, scratch, sums, target)``.

    The filter gradient of tiles from first to last: [3, 3, channels, panels * P], and behind it
    the bias gradient [panels * P], zero at the start.  `out` holds the pooled output's
    gradients; `sums` is zero at the start.
    """
    width, line = code.width, 4 * code.width
    panel_width = 2 * width
    with code.function(
        "winograd_pool_gradient", "parameters", "first", "last", "scratch", "sums", "target"
    ) as (parameters, first, last, scratch, sums, target):
        p = named(code, parameters)
        rows, filters, channels = p["rows"], p["filters"], p["channels"]
        panels = p["panels"]
        right = scratch + p["v_step"] * 36
        slots = code.array(8)
        sum_step = panels * channels * 2 * line
        stride = panels * panel_width
        of_bias = target + channels * stride * (9 * 4)
        with code.loop(first, last, rows) as start:
            code.call("winograd_input", parameters, start, last, scratch)
            with code.loop(0, rows) as t:
                _pooled_places(code, p, slots, start + t, start + t < last, p["zeros"])
                with code.loop(0, filters, width) as f:
                    e, total = _gradients(code, slots, f)
                    code.store(of_bias + f * 4, code.load(of_bias + f * 4) + total)
                    at = right + ((f // panel_width * rows + t) * panel_width
                                  + f % panel_width) * 4  # fmt: skip
                    for i, row in enumerate(both(of_gradients, e)):
                        for j, value in enumerate(row):
                            code.store(at + p["o_step"] * (i * 6 + j), value)
            with code.loop(0, 36) as i:
                code.call(
                    "gradient_product", scratch + i * p["v_step"], right + i * p["o_step"],
                    sums + i * sum_step, rows, code.least(last - start, rows),
                    channels // width, panels, rows * line,
                )  # fmt: skip
        with code.loop(0, channels) as c, code.loop(0, filters, width) as f:
            at = sums + ((f // panel_width * channels + c) * panel_width
                         + f % panel_width) * 4  # fmt: skip
            m = [[code.load(at + sum_step * (i * 6 + j)) for j in range(6)] for i in range(6)]
            for i, row in enumerate(both(of_filters, m)):
                for j, value in enumerate(row):
                    place = ((i * 3 + j) * channels + c) * stride + f
                    code.store(target + place * 4, value)


def _write_input_gradient(code: Code) -> None:
    """``winograd_pool_input(parameters, first, last, scratch)``: adds to `x` what tiles from
    first to last give to its gradient.

    `u` holds the filters as right operands [panels of channels, filters, P]; tiles of one image
    overlap, so one call has all of them.
    """
    width, line = code.width, 4 * code.width
    panel_width = 2 * width
    with code.function("winograd_pool_input", "parameters", "first", "last", "scratch") as (
        parameters,
        first,
        last,
        scratch,
    ):
        p = named(code, parameters)
        rows, filters, channels = p["rows"], p["filters"], p["channels"]
        products = scratch + p["v_step"] * 36
        slots, targets = code.array(8), code.array(36)
        step = filters * 2 * line
        with code.loop(first, last, rows) as start:
            live = whole_rows(code, p, last - start)
            with code.loop(0, live) as t:
                _pooled_places(code, p, slots, start + t, start + t < last, p["zeros"])
                with code.loop(0, filters, width) as f:
                    e, _ = _gradients(code, slots, f)
                    place = scratch + f * rows * 4 + t * line
                    for i, row in enumerate(both(of_gradients, e)):
                        for j, value in enumerate(row):
                            code.store(place + p["v_step"] * (i * 6 + j), value)
            with code.loop(0, 36) as i:
                code.call(
                    "product", scratch + i * p["v_step"], p["u"] + i * p["u_step"],
                    products + i * p["o_step"], live, filters, p["panels"], rows * line, step,
                )  # fmt: skip
            with code.loop(0, code.least(last - start, rows)) as t:
                image, y, x = tile(code, p, start + t)
                base = p["x"] + image * p["height"] * p["width"] * channels * 4
                places(
                    code, targets, 6, base, y * 4 - p["pad_y"], x * 4 - p["pad_x"],
                    p["height"], p["width"], channels * 4, p["dump"], start + t < last,
                )  # fmt: skip
                with code.loop(0, channels, width) as c:
                    at = products + ((c // panel_width * live + t) * panel_width
                                     + c % panel_width) * 4  # fmt: skip
                    m = [
                        [code.load(at + p["o_step"] * (i * 6 + j)) for j in range(6)]
                        for i in range(6)
                    ]
                    for i, row in enumerate(both(_of_inputs_back, m)):
                        for j, value in enumerate(row):
                            there = code.load(targets + (i * 6 + j) * 8, "i64") + c * 4
                            code.store(there, code.load(there) + value)
