"""The code of GRU over whole sequences, with the reset gate behind the product: like
`recurrent_code`, whose parameters these kernels take.

The candidate has two sums, as the reset gate stands between them: one with the inputs, one with
the state.  So a left operand is the inputs and a one, filled up to whole blocks of the weights'
gradients (`state_at` numbers), then the state and a one.
"""

from __future__ import annotations

from .code import Code, Value
from .recurrent_code import (
    add_to_state,
    add_to_weights,
    clear,
    copy_floats,
    height_of,
    multiply,
    named,
    whole_blocks,
    zeros,
)
from .vector_math import sigmoid, tanh

__all__ = ["write_gru"]

_GATES = 3


def write_gru(code: Code) -> None:
    """``gru_forward`` and ``gru_backward``."""
    _write_forward(code)
    _write_backward(code)


def _begin(code: Code, p: dict[str, Value], rows: Value, target: Value) -> None:
    """Left operands of `rows` rows: zeros, and the two ones."""
    clear(code, target, rows * p["line"] // 4)
    with code.loop(0, rows) as r:
        place = target + r * p["line"]
        code.store(place + p["features"] * 4, code.of(1.0, "float"))
        code.store(place + (p["state_at"] + p["units"]) * 4, code.of(1.0, "float"))


def _write_forward(code: Code) -> None:
    """``gru_forward(parameters, first, last, scratch)``: rows from first to last.

    Weights [units / W, features + 1 + units + 1, 3 W]; scratch: two left operands.
    """
    width, line, height = code.width, 4 * code.width, height_of(code.width)
    with code.function("gru_forward", "parameters", "first", "last", "scratch") as (
        parameters,
        first,
        last,
        scratch,
    ):
        p = named(code, parameters)
        features, units, state_at = p["features"], p["units"], p["state_at"]
        rows = whole_blocks(code, last - first)
        other = scratch + rows * p["line"]
        _begin(code, p, rows, scratch)
        _begin(code, p, rows, other)
        with code.loop(first, last) as row:
            place = scratch + (row - first) * p["line"] + state_at * 4
            copy_floats(code, p["h0"] + row * units * 4, place, units)
        with code.loop(0, p["steps"]) as t:
            odd = (t % 2).same(1)
            source = code.select(odd, other, scratch, "i64")
            target = code.select(odd, scratch, other, "i64")
            with code.loop(first, last) as row:
                at = p["x"] + row * p["x_row"] + t * p["x_step"]
                copy_floats(code, at, source + (row - first) * p["line"], features)
            with code.loop(0, units, width) as u, code.loop(0, rows, height) as block:
                sums = zeros(code)
                left = [source + (block + r) * p["line"] for r in range(height)]
                inner = features + units + 2
                weights = p["w"] + u * inner * (_GATES * 4)
                multiply(code, sums, left, weights, features + 1, (0, 1, 2))
                states = [at + state_at * 4 for at in left]
                weights = weights + (features + 1) * (_GATES * line)
                multiply(code, sums, states, weights, units + 1, (0, 1, 3))
                for r in range(height):
                    row = first + block + r
                    with code.when(row < last):
                        z, reset, ahead, behind = (s.get() for s in sums[r])
                        z, reset = sigmoid(code, z), sigmoid(code, reset)
                        g = tanh(code, code.fma(reset, behind, ahead))
                        h = code.load(states[r] + u * 4)
                        new = z * h + (1.0 - z) * g
                        place = (row * units + u) * 4
                        there = t * p["step_rows"] * units * 4
                        code.store(p["memory"] + there + place, behind)
                        code.store(p["out"] + there + place, new)
                        code.store(target + (block + r) * p["line"] + (state_at + u) * 4, new)
                        gates = p["gates"] + (there + row * units * 4) * _GATES + u * 4
                        for v, value in enumerate((z, reset, g)):
                            code.store(gates + v * units * 4, value)


def _write_backward(code: Code) -> None:
    """``gru_backward(parameters, first, last, scratch, total)``: rows from first to last, from
    the last step to the first.

    The gradients of a row's sums are those of z, r, the candidate's sum with the state, and
    that with the inputs.  `dh` [rows, units] is read and written.  Adds to `total` [inner, 4
    units] the gradients of the weights: the third part is of no use for inputs, the last for
    the state.  Weights [units / 4 W, 3 units, 4 W].
    """
    width = code.width
    with code.function("gru_backward", "parameters", "first", "last", "scratch", "total") as (
        parameters,
        first,
        last,
        scratch,
        total,
    ):
        p = named(code, parameters)
        features, units, state_at = p["features"], p["units"], p["state_at"]
        rows = whole_blocks(code, last - first)
        left = scratch + rows * p["z_line"]
        clear(code, scratch, rows * p["z_line"] // 4)
        _begin(code, p, rows, left)
        state = units * p["step_rows"] * 4
        with code.loop(0, p["steps"]) as s:
            t = p["steps"] - 1 - s
            states = code.select(t.same(0), p["h0"], p["out"] + (t - 1) * state, "i64")
            with code.loop(first, last) as row:
                z_row = scratch + (row - first) * p["z_line"]
                own = t * state * _GATES + row * units * (_GATES * 4)
                above = p["g"] + row * p["g_row"] + t * p["g_step"]
                with code.loop(0, units, width) as u:
                    place = row * units * 4 + u * 4
                    z, reset, g = (
                        code.load(p["gates"] + own + (units * v + u) * 4) for v in range(_GATES)
                    )
                    behind = code.load(p["memory"] + t * state + place)
                    dh = code.load(above + u * 4) + code.load(p["dh"] + place)
                    of_ahead = dh * (1.0 - z) * (1.0 - g * g)
                    of_z = dh * (code.load(states + place) - g) * z * (1.0 - z)
                    of_reset = of_ahead * behind * reset * (1.0 - reset)
                    code.store(p["dh"] + place, dh * z)
                    found = (of_z, of_reset, of_ahead * reset, of_ahead)
                    for v, value in enumerate(found):
                        code.store(z_row + (units * v + u) * 4, value)
                    with code.when(p["of_sums"].unlike(0)):
                        for v, value in enumerate((of_z, of_reset, of_ahead)):
                            code.store(p["of_sums"] + own + (units * v + u) * 4, value)
                at = left + (row - first) * p["line"]
                copy_floats(code, p["x"] + row * p["x_row"] + t * p["x_step"], at, features)
                copy_floats(code, states + row * units * 4, at + state_at * 4, units)
            add_to_state(code, p, scratch, rows, first, last, units * _GATES, again=True)
            zero = code.of(0, "i64")
            inputs, whole = (zero, features + 1), (zero, state_at + units + 1)
            for columns, deep in (
                ((zero, units * 2), whole),
                ((units * 2, units * 3), (state_at, state_at + units + 1)),
                ((units * 3, units * 4), inputs),
            ):
                add_to_weights(code, p, scratch, left, total, last - first, columns, deep)
