"""The code of LSTM over whole sequences: all steps of some rows of a batch in one call.

A row's inputs, its state and a one stand beside each other, so that the products with both
weights and the bias are one product.  Its result stays in registers for the gates: a block is
`height_of` rows x the four gates of as many units as a vector has floats.  The gradients of all
weights are added up step by step, while a step's numbers are in the cache.

Parameters of the kernels, in this order (addresses and distances in bytes, sizes in elements):
`PARAMETERS`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .code import Code, Value, Variable
from .products import gradient_rows
from .vector_math import sigmoid, tanh

__all__ = ["DEEP", "PARAMETERS", "add_to_state", "add_to_weights", "clear", "copy_floats",
           "height_of", "multiply", "named", "whole_blocks", "write_recurrent",
           "zeros"]  # fmt: skip

PARAMETERS = (
    "x", "x_row", "x_step", "features", "units", "inner", "line", "w", "h0", "c0", "gates",
    "memory", "out", "step_rows", "steps", "g", "g_row", "g_step", "dh", "dc", "of_sums",
    "z_line", "total_line", "state_at",
)  # fmt: skip
DEEP = 8  # rows of the weights' gradients come in multiples of it
_GATES = 4


def height_of(width: int) -> int:
    """Rows of a block: as many as the machine has registers for."""
    return 6 if width == 16 else 3


def write_recurrent(code: Code) -> None:
    """``lstm_forward`` and ``lstm_backward``."""
    _write_forward(code)
    _write_backward(code)


def named(code: Code, address: Value) -> dict[str, Value]:
    """The parameters that stand at an address."""
    return dict(zip(PARAMETERS, code.parameters(address, len(PARAMETERS)), strict=True))


def copy_floats(code: Code, source: Value, target: Value, count: Value) -> None:
    """`count` floats."""
    whole = count // code.width * code.width
    with code.loop(0, whole, code.width) as i:
        code.store(target + i * 4, code.load(source + i * 4))
    with code.loop(whole, count) as i:
        code.store(target + i * 4, code.load(source + i * 4, "float"))


def clear(code: Code, target: Value, floats: Value) -> None:
    """Make `floats` floats zero."""
    with code.loop(0, floats) as i:
        code.store(target + i * 4, code.of(0.0, "float"))


def _begin(code: Code, p: dict[str, Value], rows: Value, target: Value) -> None:
    """Left operands of `rows` rows: zeros, and the one that the bias is multiplied with."""
    clear(code, target, rows * p["line"] // 4)
    with code.loop(0, rows) as r:
        place = target + r * p["line"] + (p["features"] + p["units"]) * 4
        code.store(place, code.of(1.0, "float"))


def whole_blocks(code: Code, rows: Value) -> Value:
    """`rows`, filled up to whole blocks."""
    height = height_of(code.width)
    return (rows + (height - 1)) // height * height


def zeros(code: Code) -> list[list[Variable]]:
    """The sums of a block, `height_of` rows x 4 vectors."""
    return [
        [code.variable(0.0, code.vector) for _ in range(4)]
        for _ in range(height_of(code.width))
    ]


def multiply(
    code: Code,
    sums: Sequence[Sequence[Variable]],
    left: Sequence[Value],
    right: Value,
    count: Value,
    columns: Sequence[int] = range(4),
) -> None:
    """Add to some columns of a block's sums the products of `count` numbers of every row with
    `count` rows of as many vectors."""
    line = 4 * code.width
    with code.loop(0, count) as k:
        at = right + k * (len(columns) * line)
        vectors = [code.load(at + i * line) for i in range(len(columns))]
        for row, place in zip(sums, left, strict=True):
            factor = code.splat(code.load(place + k * 4, "float"))
            for i, v in enumerate(columns):
                row[v].set(code.fma(factor, vectors[i], row[v].get()))


def add_to_state(
    code: Code,
    p: dict[str, Value],
    z: Value,
    rows: Value,
    first: Value,
    last: Value,
    deep: Value,
    again: bool,
) -> None:
    """The state's gradient from `deep` gradients of sums per row: written to `dh`, or added if
    `again`."""
    width, units = code.width, p["units"]
    height = height_of(width)
    with code.loop(0, units, 4 * width) as u, code.loop(0, rows, height) as block:
        sums = zeros(code)
        z_rows = [z + (block + r) * p["z_line"] for r in range(height_of(width))]
        multiply(code, sums, z_rows, p["w"] + u * deep * 4, deep)
        for v in range(4):
            with code.when(u + v * width < units):
                for r in range(height_of(width)):
                    row = first + block + r
                    with code.when(row < last):
                        at = p["dh"] + (row * units + u + v * width) * 4
                        value = sums[r][v].get()
                        code.store(at, code.load(at) + value if again else value)


def add_to_weights(
    code: Code,
    p: dict[str, Value],
    z: Value,
    left: Value,
    total: Value,
    count: Value,
    columns: tuple[Value, Value],
    deep: tuple[Value, Value],
) -> None:
    """Add to `total` the products of `count` left operands with their gradients of sums, for
    ranges of the latter and of the former."""
    width, line = code.width, 4 * code.width
    block_rows = gradient_rows(width)
    pairs = columns[1] - columns[0]
    with code.loop(0, pairs, 2 * width) as start, code.loop(*deep, block_rows) as row:
        # Where the number of vectors is odd, the second of the last pair is another range's.
        column = columns[0] + start
        target = total + row * p["total_line"] + column * 4
        both = start + width < pairs
        sums = [
            [code.variable(code.load(target + p["total_line"] * d + v * line), code.vector)
             for v in range(2)]
            for d in range(block_rows)
        ]  # fmt: skip
        with code.loop(0, count) as r:
            place = z + r * p["z_line"] + column * 4
            vectors = [code.load(place + v * line) for v in range(2)]
            at = left + r * p["line"] + row * 4
            for d in range(block_rows):
                factor = code.splat(code.load(at + d * 4, "float"))
                for v in range(2):
                    sums[d][v].set(code.fma(factor, vectors[v], sums[d][v].get()))
        for d in range(block_rows):
            code.store(target + p["total_line"] * d, sums[d][0].get())
        with code.when(both):
            for d in range(block_rows):
                code.store(target + p["total_line"] * d + line, sums[d][1].get())


def _write_forward(code: Code) -> None:
    """``lstm_forward(parameters, first, last, scratch)``: rows from first to last.

    Weights [units / W, inner, 4 W]; scratch: two left operands.
    """
    width = code.width
    with code.function("lstm_forward", "parameters", "first", "last", "scratch") as (
        parameters,
        first,
        last,
        scratch,
    ):
        p = named(code, parameters)
        features, units, inner = p["features"], p["units"], p["inner"]
        rows = whole_blocks(code, last - first)
        other = scratch + rows * p["line"]
        _begin(code, p, rows, scratch)
        _begin(code, p, rows, other)
        with code.loop(first, last) as row:
            place = scratch + (row - first) * p["line"] + features * 4
            copy_floats(code, p["h0"] + row * units * 4, place, units)
        with code.loop(0, p["steps"]) as t:
            odd = (t % 2).same(1)
            source = code.select(odd, other, scratch, "i64")
            target = code.select(odd, scratch, other, "i64")
            with code.loop(first, last) as row:
                at = p["x"] + row * p["x_row"] + t * p["x_step"]
                copy_floats(code, at, source + (row - first) * p["line"], features)
            before = code.select(
                t > 0, p["memory"] + (t - 1) * p["step_rows"] * units * 4, p["c0"], "i64"
            )
            with code.loop(0, units, width) as u, code.loop(0, rows, height_of(width)) as block:
                sums = zeros(code)
                left = [source + (block + r) * p["line"] for r in range(height_of(width))]
                multiply(code, sums, left, p["w"] + u * inner * _GATES * 4, inner)
                for r in range(height_of(width)):
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
    width = code.width
    with code.function("lstm_backward", "parameters", "first", "last", "scratch", "total") as (
        parameters,
        first,
        last,
        scratch,
        total,
    ):
        p = named(code, parameters)
        features, units, inner = p["features"], p["units"], p["inner"]
        rows = whole_blocks(code, last - first)
        left = scratch + rows * p["z_line"]
        clear(code, scratch, rows * p["z_line"] // 4)
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
                copy_floats(code, p["x"] + row * p["x_row"] + t * p["x_step"], at, features)
                copy_floats(code, states + row * units * 4, at + features * 4, units)
            add_to_state(code, p, scratch, rows, first, last, units * _GATES, again=False)
            every = (code.of(0, "i64"), units * _GATES), (code.of(0, "i64"), inner)
            add_to_weights(code, p, scratch, left, total, last - first, *every)
