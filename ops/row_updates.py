"""Updates of a few rows of a large table from a sparse gradient, in one compiled pass.

Rows that are named several times add up first, in the order they come in.  Equal numbers are
found by sorting keys that hold the row's number and the place, which is as good as a stable
sort and uses NumPy's vectorised one.  The kernel is made at the first use, in some 30 ms.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import workers
from .graph import llvm
from .kernels.build import host_width
from .kernels.calls import parameters
from .kernels.code import Code, Value
from .kernels.memory import address

__all__ = ["update_rows"]

_PARAMETERS = ("order", "starts", "rows", "values", "table", "slot", "size", "numbers")
_SPREAD = 1 << 19  # numbers; fewer are updated before another thread has woken up


def update_rows(
    name: str, arrays: tuple[Any, ...], values: Any, indices: Any, *numbers: Any
) -> bool:
    """Update rows of the tables in place, if the kernel takes them; whether it did.

    Args:
        name: "sgd" (numbers: the rate) or "adagrad" (the rate, epsilon).
        arrays: float32 tables ``[rows, ...]`` that belong to nobody else: the one trained, then
            its sums of squares.
        values: float32 ``[n, ...]``, gradients of rows.
        indices: integers ``[n]``, the numbers of these rows.
        numbers: scalars.
    """
    table = arrays[0]
    fits = all(
        type(a) is np.ndarray and a.dtype == np.float32 and a.flags.c_contiguous
        for a in (*arrays, values)
    )
    if not fits or type(indices) is not np.ndarray or not indices.size or not values.size:
        return False
    if indices.ndim != 1 or len(values) != len(indices):
        return False
    run = _kernel(name)
    found = _grouped(indices, len(table))
    if run is None or found is None:
        return False
    order, starts, rows = found
    size = values[0].size
    given = np.array([float(n) for n in numbers], np.float32)
    where = parameters(
        _PARAMETERS, order=order, starts=starts, rows=rows, values=values, table=table,
        slot=arrays[-1], size=size, numbers=given,
    )  # fmt: skip
    parts = 1 if values.size < _SPREAD else min(workers.count(), len(rows))
    cuts = [len(rows) * i // parts for i in range(parts + 1)]
    place = address(where)
    workers.spread([functools.partial(run, place, *c) for c in itertools.pairwise(cuts)])
    return True


def _grouped(indices: np.ndarray, count: int) -> tuple[np.ndarray, ...] | None:
    """Places of the indices in the order of the rows they name, where each row's places begin
    (with the end), and the rows; None if an index is no row's."""
    bits = len(indices).bit_length()
    if int(indices.min()) < 0 or int(indices.max()) >= count or count >= 1 << (62 - bits):
        return None
    keys = (indices.astype(np.int64) << bits) | np.arange(len(indices))
    keys.sort()
    order = keys & ((1 << bits) - 1)
    keys >>= bits
    first = np.empty(len(keys), bool)
    first[0] = True
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    rows = keys[starts]
    return order, np.append(starts, len(keys)), rows


# -- code -------------------------------------------------------------------------------------


@functools.cache
def _kernel(name: str) -> Callable[..., None] | None:
    """``kernel(parameters, first, last)`` updates rows from first to last."""
    if not llvm.enabled():
        return None
    code = Code(host_width())
    _write(code, f"rows_{name}", _STEPS[name])
    found: list[int] = []
    llvm.load(f"rows_{name}", code.text(), found.append)
    if not found:
        return None
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(found[0])


def _write(code: Code, name: str, update: Any) -> None:
    with code.function(name, "parameters", "first", "last") as (given, first, last):
        p = dict(zip(_PARAMETERS, code.parameters(given, len(_PARAMETERS)), strict=True))
        numbers = [code.load(p["numbers"] + 4 * i, "float") for i in range(2)]
        size = p["size"]
        whole = size // code.width * code.width
        with code.loop(first, last) as k:
            row = code.load(p["rows"] + k * 8, "i64") * size * 4
            start = code.load(p["starts"] + k * 8, "i64")
            stop = code.load(p["starts"] + k * 8 + 8, "i64")
            lanes = ((code.vector, 0, whole, code.width), ("float", whole, size, 1))
            for kind, begin, end, step in lanes:
                with code.loop(begin, end, step) as c:
                    total = code.variable(0.0, kind)
                    with code.loop(start, stop) as i:
                        place = code.load(p["order"] + i * 8, "i64")
                        at = p["values"] + (place * size + c) * 4
                        total.set(total.get() + code.load(at, kind))
                    at = row + c * 4
                    update(code, p["table"] + at, p["slot"] + at, total.get(), numbers)


def _sgd(code: Code, table: Value, slot: Value, gradient: Value, numbers: list[Value]) -> None:
    old = code.load(table, gradient.type)
    code.store(table, old - gradient * code.of(numbers[0], gradient.type))


def _adagrad(
    code: Code, table: Value, slot: Value, gradient: Value, numbers: list[Value]
) -> None:
    kind = gradient.type
    rate, epsilon = (code.of(n, kind) for n in numbers)
    squares = code.load(slot, kind) + gradient * gradient
    code.store(slot, squares)
    old = code.load(table, kind)
    code.store(table, old - rate * gradient / _root(code, squares + epsilon))


def _root(code: Code, x: Value) -> Value:
    name = "llvm.sqrt.f32" if x.type == "float" else f"llvm.sqrt.v{code.width}f32"
    code._declared.add(f"declare {x.type} @{name}({x.type})")
    return code.put(f"call {x.type} @{name}({x.type} {x.name})", x.type)


_STEPS = {"sgd": _sgd, "adagrad": _adagrad}
