"""The code of max pooling and of batch normalization: passes over data with its channels last.

All are written for vectors of channels and, for what is left behind the last whole vector, for
single ones.  Sums of columns are kept in float64 and added up in float32 over a few rows only.

Parameters: `POOL` and `NORM` (sizes in elements, addresses in bytes).
"""

from __future__ import annotations

from collections.abc import Iterator

from .code import Code, Value

__all__ = ["NORM", "POOL", "write_elementary"]

POOL = (
    "x", "y", "g", "out", "height", "width", "channels", "out_height", "out_width", "size_y",
    "size_x", "stride_y", "stride_x", "pad_y", "pad_x",
)  # fmt: skip
NORM = ("x", "g", "out", "channels", "mean", "a", "b", "c")
_ROWS = 32  # added up in float32


def write_elementary(code: Code) -> None:
    """``pool_forward``, ``pool_gradient``, ``pool_gradient_apart``, ``norm_sums``,
    ``norm_apply``, ``norm_gradient_sums``, ``norm_gradient_apply``."""
    _write_pool(code)
    _write_pool_gradient(code, "pool_gradient", apart=False)
    _write_pool_gradient(code, "pool_gradient_apart", apart=True)
    _write_sums(code, "norm_sums", gradient=False)
    _write_sums(code, "norm_gradient_sums", gradient=True)
    _write_apply(code, "norm_apply", gradient=False)
    _write_apply(code, "norm_gradient_apply", gradient=True)


def _lanes(code: Code, count: Value) -> Iterator[tuple[str, Value, Value, int]]:
    """What to loop over twice: vectors, then single numbers (type, start, stop, step)."""
    whole = count // code.width * code.width
    yield code.vector, code.of(0, "i64"), whole, code.width
    yield "float", whole, count, 1


def _named(code: Code, names: tuple[str, ...], address: Value) -> dict[str, Value]:
    return dict(zip(names, code.parameters(address, len(names)), strict=True))


# -- pooling ----------------------------------------------------------------------------------


def _window(code: Code, p: dict[str, Value], axis: str, i: Value) -> tuple[Value, Value]:
    """[start, stop) of the i-th window on an axis, padding left out."""
    limit = p["height"] if axis == "y" else p["width"]
    start = i * p["stride_" + axis] - p["pad_" + axis]
    stop = code.least(start + p["size_" + axis], limit)
    return code.select(start < 0, 0, start, "i64"), stop


def _write_pool(code: Code) -> None:
    """``pool_forward(parameters, first, last, unused)`` of images from first to last."""
    with code.function("pool_forward", "parameters", "first", "last", "unused") as (
        parameters,
        first,
        last,
        _,
    ):
        p = _named(code, POOL, parameters)
        pixel = p["channels"] * 4
        with (
            code.loop(first, last) as image,
            code.loop(0, p["out_height"]) as row,
            code.loop(0, p["out_width"]) as column,
        ):
            source = p["x"] + image * p["height"] * p["width"] * pixel
            place = (image * p["out_height"] + row) * p["out_width"] + column
            target = p["out"] + place * pixel
            top, bottom = _window(code, p, "y", row)
            left, right = _window(code, p, "x", column)
            for kind, start, stop, step in _lanes(code, p["channels"]):
                with code.loop(start, stop, step) as c:
                    best = code.variable(-float("inf"), kind)
                    with code.loop(top, bottom) as y, code.loop(left, right) as x:
                        at = source + (y * p["width"] + x) * pixel + c * 4
                        value, old = code.load(at, kind), best.get()
                        # A NaN is taken, and nothing is larger than it: it stays.
                        more = (value > old) | value.unlike(value)
                        best.set(code.select(more, value, old, kind))
                    code.store(target + c * 4, best.get())


def _write_pool_gradient(code: Code, name: str, apart: bool) -> None:
    """``name(parameters, first, last, unused)``: `out` gets each `g` where the first maximum of
    its window stands.  `apart`: windows neither overlap nor leave anything out."""
    with code.function(name, "parameters", "first", "last", "unused") as (
        parameters,
        first,
        last,
        _,
    ):
        p = _named(code, POOL, parameters)
        pixel = p["channels"] * 4
        with code.loop(first, last) as image:
            base = image * p["height"] * p["width"] * pixel
            numbers = p["height"] * p["width"] * p["channels"]
            for kind, start, stop, step in [] if apart else _lanes(code, numbers):
                with code.loop(start, stop, step) as i:
                    code.store(p["out"] + base + i * 4, code.of(0.0, kind))
            with (
                code.loop(0, p["out_height"]) as row,
                code.loop(0, p["out_width"]) as column,
            ):
                place = ((image * p["out_height"] + row) * p["out_width"] + column) * pixel
                top, bottom = _window(code, p, "y", row)
                left, right = _window(code, p, "x", column)
                for kind, start, stop, step in _lanes(code, p["channels"]):
                    with code.loop(start, stop, step) as c:
                        best = code.load(p["y"] + place + c * 4, kind)
                        # What is left to give: the gradient, then zero.
                        rest = code.variable(code.load(p["g"] + place + c * 4, kind), kind)
                        with code.loop(top, bottom) as y, code.loop(left, right) as x:
                            at = base + (y * p["width"] + x) * pixel + c * 4
                            here = code.load(p["x"] + at, kind).same(best)
                            left_over = rest.get()
                            given = code.select(here, left_over, 0.0, kind)
                            if not apart:
                                given = code.load(p["out"] + at, kind) + given
                            code.store(p["out"] + at, given)
                            rest.set(code.select(here, 0.0, left_over, kind))


# -- batch normalization ----------------------------------------------------------------------


def _write_sums(code: Code, name: str, gradient: bool) -> None:
    """``name(parameters, first, last, sums)``: adds to the float64s [2, channels] at `sums`.

    What is added are the columns' sums over rows from first to last: of d = x - mean and of
    d * d, or, for a gradient, of g and of g * d.
    """
    with code.function(name, "parameters", "first", "last", "sums") as (
        parameters,
        first,
        last,
        sums,
    ):
        p = _named(code, NORM, parameters)
        line = p["channels"] * 4
        with code.loop(first, last, _ROWS) as start:
            end = code.least(start + _ROWS, last)
            for kind, begin, stop, step in _lanes(code, p["channels"]):
                wide = kind.replace("float", "double")
                with code.loop(begin, stop, step) as c:
                    shift = code.load(p["mean"] + c * 4, kind)
                    one, two = code.variable(0.0, kind), code.variable(0.0, kind)
                    with code.loop(start, end) as row:
                        at = row * line + c * 4
                        d = code.load(p["x"] + at, kind) - shift
                        g = code.load(p["g"] + at, kind) if gradient else d
                        one.set(one.get() + g)
                        two.set(code.fma(g, d, two.get()))
                    for k, total in enumerate((one, two)):
                        at = sums + (p["channels"] * k + c) * 8
                        more = code.put(f"fpext {kind} {total.get().name} to {wide}", wide)
                        code.store(at, code.load(at, wide) + more)


def _write_apply(code: Code, name: str, gradient: bool) -> None:
    """``name(parameters, first, last, unused)``: out = (x - mean) * a + b, or, for a gradient,
    g * c more, with vectors of the columns."""
    with code.function(name, "parameters", "first", "last", "unused") as (
        parameters,
        first,
        last,
        _,
    ):
        p = _named(code, NORM, parameters)
        with code.loop(first, last) as row:
            line = row * p["channels"] * 4
            for kind, start, stop, step in _lanes(code, p["channels"]):
                with code.loop(start, stop, step) as c:
                    at = line + c * 4
                    value = code.fma(
                        code.load(p["x"] + at, kind) - code.load(p["mean"] + c * 4, kind),
                        code.load(p["a"] + c * 4, kind),
                        code.load(p["b"] + c * 4, kind),
                    )
                    if gradient:
                        value = code.fma(
                            code.load(p["g"] + at, kind), code.load(p["c"] + c * 4, kind), value
                        )
                    code.store(p["out"] + at, value)
