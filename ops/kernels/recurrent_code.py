"""The code of LSTM over whole sequences: all steps of some rows of a batch in one call.

A row's inputs, its state and a one stand beside each other, so that the products with both
weights and the bias are one product.  Its result stays in registers for the gates: a block is
`HEIGHT` rows x the four gates of as many units as a vector has floats.  The gradients of all
weights are added up step by step, while a step's numbers are in the cache.

Parameters of the kernels, in this order (addresses and distances in bytes, sizes in elements):
`PARAMETERS`.
"""

from __future__ import annotations

from .code import Code, Value
from .vector_math import sigmoid, tanh

__all__ = ["HEIGHT", "PARAMETERS", "write_recurrent"]

PARAMETERS = (
    "x", "x_row", "x_step", "features", "units", "inner", "line", "w", "h0", "c0", "gates",
    "memory", "out", "step_rows", "steps", "g", "g_row", "g_step", "dh", "dc", "of_sums",
    "z_line", "total_line",
)  # fmt: skip
HEIGHT = 6
_GATES = 4
_DEEP = 8  # rows of a block of the weights' gradients


def write_recurrent(code: Code) -> None:
    """``lstm_forward`` and ``lstm_backward``."""
    _write_forward(code)
    _write_backward(code)


def _named(code: Code, address: Value) -> dict[str, Value]:
    return dict(zip(PARAMETERS, code.parameters(address, len(PARAMETERS)), strict=True))


def _copy(code: Code, source: Value, target: Value, count: Value) -> None:
    """`count` floats."""
    whole = count // code.width * code.width
    with code.loop(0, whole, code.width) as i:
        code.store(target + i * 4, code.load(source + i * 4))
    with code.loop(whole, count) as i:
        code.store(target + i * 4, code.load(source + i * 4, "float"))


def _clear(code: Code, target: Value, floats: Value) -> None:
    with code.loop(0, floats) as i:
        code.store(target + i * 4, code.of(0.0, "float"))


def _begin(code: Code, p: dict[str, Value], rows: Value, target: Value) -> None:
    """Left operands of `rows` rows: zeros, and the one that the bias is multiplied with."""
    _clear(code, target, rows * p["line"] // 4)
    with code.loop(0, rows) as r:
        place = target + r * p["line"] + (p["features"] + p["units"]) * 4
        code.store(place, code.of(1.0, "float"))


def _write_forward(code: Code) -> None:
    """``lstm_forward(parameters, first, last, scratch)``: rows from first to last.

    Weights [units / W, inner, 4 W]; scratch: two left operands.
    """
    width, line = code.width, 4 * code.width
    with code.function("lstm_forward", "parameters", "first", "last", "scratch") as (
        parameters,
        first,
        last,
        scratch,
    ):
        p = _named(code, parameters)
        features, units, inner = p["features"], p["units"], p["inner"]
        rows = (last - first + (HEIGHT - 1)) // HEIGHT * HEIGHT
        other = scratch + rows * p["line"]
        _begin(code, p, rows, scratch)
        _begin(code, p, rows, other)
        with code.loop(first, last) as row:
            place = scratch + (row - first) * p["line"] + features * 4
            _copy(code, p["h0"] + row * units * 4, place, units)
        with code.loop(0, p["steps"]) as t:
            odd = (t % 2).same(1)
            source = code.select(odd, other, scratch, "i64")
            target = code.select(odd, scratch, other, "i64")
            with code.loop(first, last) as row:
                at = p["x"] + row * p["x_row"] + t * p["x_step"]
                _copy(code, at, source + (row - first) * p["line"], features)
            before = code.select(
                t > 0, p["memory"] + (t - 1) * p["step_rows"] * units * 4, p["c0"], "i64"
            )
            with code.loop(0, units, width) as u, code.loop(0, rows, HEIGHT) as block:
                sums = [
                    [code.variable(0.0, code.vector) for _ in range(_GATES)]
                    for _ in range(HEIGHT)
                ]
                left = [source + (block + r) * p["line"] for r in range(HEIGHT)]
                weights = p["w"] + u * inner * _GATES * 4
                with code.loop(0, inner) as k:
                    at = weights + k * (_GATES * line)
                    columns = [code.load(at + v * line) for v in range(_GATES)]
                    for r in range(HEIGHT):
                        factor = code.splat(code.load(left[r] + k * 4, "float"))
                        for v in range(_GATES):
                            sums[r][v].set(code.fma(factor, columns[v], sums[r][v].get()))
                for r in range(HEIGHT):
                    row = first + block + r
                    with code.when(row < last):
                        i, f, g, o = (s.get() for s in sums[r])
                        i, f, o = (sigmoid(code, z) for z in (i, f, o))
                        g = tanh(code, g)
                        place = (row * units + u) * 4
                        c = f * code.load(before + place) + i * g
                        h = o * tanh(code, c)
                        there = t * p["step_rows"] * units * 4
                        code.store(p["memory"] + there + place, c)
                        code.store(p["out"] + there + place, h)
                        code.store(target + (block + r) * p["line"] + (features + u) * 4, h)
                        gates = p["gates"] + (there + row * units * 4) * _GATES + u * 4
                        for v, value in enumerate((i, f, g, o)):
                            code.store(gates + v * units * 4, value)


def _write_backward(code: Code) -> None:
    """``lstm_backward(parameters, first, last, scratch, total)``: rows from first to last, from
    the last step to the first.

    `dh` and `dc` [rows, units] are read and written.  Adds to `total` [inner, 4 units], whose
    rows lie `total_line` apart, the gradients of the weights.  Weights [units / 4 W, 4 units,
    4 W], filled up with zeros; scratch: the sums' gradients, rows `z_line` apart, and a left
    operand.
    """
    width, line = code.width, 4 * code.width
    with code.function("lstm_backward", "parameters", "first", "last", "scratch", "total") as (
        parameters,
        first,
        last,
        scratch,
        total,
    ):
        p = _named(code, parameters)
        features, units, inner = p["features"], p["units"], p["inner"]
        rows = (last - first + (HEIGHT - 1)) // HEIGHT * HEIGHT
        left = scratch + rows * p["z_line"]
        _clear(code, scratch, rows * p["z_line"] // 4)
        _begin(code, p, rows, left)
        state = units * p["step_rows"] * 4
        with code.loop(0, p["steps"]) as s:
            t = p["steps"] - 1 - s
            start = t.same(0)
            memory = code.select(start, p["c0"], p["memory"] + (t - 1) * state, "i64")
            states = code.select(start, p["h0"], p["out"] + (t - 1) * state, "i64")
            with code.loop(first, last) as row:
                z = scratch + (row - first) * p["z_line"]
                gates = p["gates"] + t * state * _GATES + row * units * (_GATES * 4)
                above = p["g"] + row * p["g_row"] + t * p["g_step"]
                kept = p["of_sums"] + t * state * _GATES + row * units * (_GATES * 4)
                with code.loop(0, units, width) as u:
                    place = row * units * 4 + u * 4
                    i, f, g, o = (
                        code.load(gates + v * units * 4 + u * 4) for v in range(_GATES)
                    )
                    dh = code.load(above + u * 4) + code.load(p["dh"] + place)
                    squashed = tanh(code, code.load(p["memory"] + t * state + place))
                    dc = code.load(p["dc"] + place) + dh * o * (1.0 - squashed * squashed)
                    found = (
                        dc * g * i * (1.0 - i),
                        dc * code.load(memory + place) * f * (1.0 - f),
                        dc * i * (1.0 - g * g),
                        dh * squashed * o * (1.0 - o),
                    )
                    code.store(p["dc"] + place, dc * f)
                    for v, value in enumerate(found):
                        code.store(z + (units * v + u) * 4, value)
                    with code.when(p["of_sums"].unlike(0)):
                        for v, value in enumerate(found):
                            code.store(kept + (units * v + u) * 4, value)
                at = left + (row - first) * p["line"]
                _copy(code, p["x"] + row * p["x_row"] + t * p["x_step"], at, features)
                _copy(code, states + row * units * 4, at + features * 4, units)
            # Through the product to the state before.
            with code.loop(0, units, 4 * width) as u, code.loop(0, rows, HEIGHT) as block:
                sums = [
                    [code.variable(0.0, code.vector) for _ in range(4)] for _ in range(HEIGHT)
                ]
                z_rows = [scratch + (block + r) * p["z_line"] for r in range(HEIGHT)]
                with code.loop(0, units * _GATES) as k:
                    at = p["w"] + (u * units * _GATES + k * (4 * width)) * 4
                    columns = [code.load(at + v * line) for v in range(4)]
                    for r in range(HEIGHT):
                        factor = code.splat(code.load(z_rows[r] + k * 4, "float"))
                        for v in range(4):
                            sums[r][v].set(code.fma(factor, columns[v], sums[r][v].get()))
                for v in range(4):
                    with code.when(u + v * width < units):
                        for r in range(HEIGHT):
                            row = first + block + r
                            with code.when(row < last):
                                at = p["dh"] + (row * units + u + v * width) * 4
                                code.store(at, sums[r][v].get())
            # The weights' gradients.
            with (
                code.loop(0, units * _GATES, 2 * width) as column,
                code.loop(0, inner, _DEEP) as deep,
            ):
                target = total + deep * p["total_line"] + column * 4
                sums = [
                    [
                        code.variable(
                            code.load(target + p["total_line"] * r + v * line), code.vector
                        )
                        for v in range(2)
                    ]
                    for r in range(_DEEP)
                ]
                with code.loop(0, last - first) as r:
                    z = scratch + r * p["z_line"] + column * 4
                    columns = [code.load(z + v * line) for v in range(2)]
                    at = left + r * p["line"] + deep * 4
                    for d in range(_DEEP):
                        factor = code.splat(code.load(at + d * 4, "float"))
                        for v in range(2):
                            sums[d][v].set(code.fma(factor, columns[v], sums[d][v].get()))
                for r in range(_DEEP):
                    for v in range(2):
                        code.store(target + p["total_line"] * r + v * line, sums[r][v].get())
