"""Compiled updates: a variable and its slots in one pass over all of them, in place.

Each update is a fused program (see `ops.graph.fused`) whose results are written over its
inputs.  They are compiled in the background; until then, and for arrays they do not take, the
callers' array forms do the same arithmetic.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...ops.dtypes import DType, as_dtype
from ...ops.graph.fused import Program
from ...ops.graph.loops import Step

__all__ = ["UPDATES", "program", "update"]

# Per update: the number of arrays (those written first, the gradient last), the number of
# scalars, and a line per result: over which array it is written (None: it only serves later
# lines), its text and what it reads, by place among arrays, scalars and earlier results.
Line = tuple[int | None, str, tuple[int, ...]]
UPDATES: dict[str, tuple[int, int, list[Line]]] = {
    "sgd": (2, 1, [(0, "a - b * c", (0, 2, 1))]),
    # var, accum, grad; rate, momentum
    "momentum": (3, 2, [(1, "a * b - c * d", (1, 4, 3, 2)), (0, "a + b", (0, 5))]),
    "nesterov": (
        3, 2,
        [(1, "a * b - c * d", (1, 4, 3, 2)), (0, "a + (b * c - d * e)", (0, 5, 4, 3, 2))],
    ),
    # var, m, v, grad; rate corrected for the number of steps, 1 - beta_1, 1 - beta_2, epsilon
    "adam": (
        4, 4,
        [(1, "a + (b - a) * c", (1, 3, 5)), (2, "a + (b * b - a) * c", (2, 3, 6)),
         (0, "a - b * c / (sqrt(d) + e)", (0, 8, 4, 9, 7))],
    ),
    "amsgrad": (
        5, 4,
        [(1, "a + (b - a) * c", (1, 4, 6)), (2, "a + (b * b - a) * c", (2, 4, 7)),
         (3, "max(a, b)", (3, 10)), (0, "a - b * c / (sqrt(d) + e)", (0, 9, 5, 11, 8))],
    ),
    # var, accum, grad; rate, epsilon
    "adagrad": (
        3, 2,
        [(1, "a + b * b", (1, 2)), (0, "a - b * c / sqrt(d + e)", (0, 3, 2, 5, 4))],
    ),
    # var, accum_grad, accum_delta, grad; rate, rho, 1 - rho, epsilon
    "adadelta": (
        4, 4,
        [(1, "a * b + c * (d * d)", (1, 5, 6, 3)),
         (None, "sqrt(a + b) * c / sqrt(d + b)", (2, 7, 3, 8)),
         (2, "a * b + c * (d * d)", (2, 5, 6, 9)), (0, "a - b * c", (0, 4, 9))],
    ),
    # var, m, norm, grad; rate corrected for the number of steps, 1 - beta_1, beta_2, epsilon
    "adamax": (
        4, 4,
        [(1, "a + (b - a) * c", (1, 3, 5)), (2, "max(a * b, abs(c))", (2, 6, 3)),
         (0, "a - b * c / (d + e)", (0, 4, 8, 9, 7))],
    ),
    # var, m, v, grad; rate, share of m, share of grad, 1 - beta_2 ** t, 1 - beta_1, 1 - beta_2,
    # epsilon
    "nadam": (
        4, 7,
        [(1, "a + (b - a) * c", (1, 3, 8)), (2, "a + (b * b - a) * c", (2, 3, 9)),
         (None, "a * b + c * d", (5, 11, 6, 3)),
         (0, "a - b * c / (sqrt(d / e) + f)", (0, 13, 4, 12, 7, 10))],
    ),
    # var, velocity, grad; rate, rho, 1 - rho, epsilon
    "rmsprop": (
        3, 4,
        [(1, "a * b + c * (d * d)", (1, 4, 5, 2)),
         (0, "a - b * c / sqrt(d + e)", (0, 3, 2, 7, 6))],
    ),
    # var, velocity, average, grad; the same
    "rmsprop_centered": (
        4, 4,
        [(1, "a * b + c * (d * d)", (1, 5, 6, 3)), (2, "a * b + c * d", (2, 5, 6, 3)),
         (0, "a - b * c / sqrt(d - e * e + f)", (0, 4, 3, 8, 9, 7))],
    ),
    # var, velocity, momentum, grad; the same and momentum
    "rmsprop_momentum": (
        4, 5,
        [(1, "a * b + c * (d * d)", (1, 5, 6, 3)),
         (2, "a * b + c * d / sqrt(e + f)", (2, 8, 4, 3, 9, 7)), (0, "a - b", (0, 10))],
    ),
    # var, velocity, momentum, average, grad; the same
    "rmsprop_momentum_centered": (
        5, 5,
        [(1, "a * b + c * (d * d)", (1, 6, 7, 4)), (3, "a * b + c * d", (3, 6, 7, 4)),
         (2, "a * b + c * d / sqrt(e - f * f + g)", (2, 9, 5, 4, 10, 11, 8)),
         (0, "a - b", (0, 12))],
    ),
    # var, m, grad; rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2.  A sign of NaN is NaN.
    "lion": (
        3, 5,
        [(None, "a * b + c * d", (1, 4, 2, 5)),
         (0, "a - where(b > 0.0, c, where(b < 0.0, -c, b))", (0, 8, 3)),
         (1, "a * b + c * d", (1, 6, 2, 7))],
    ),
    # var, accum, linear, grad; rate, 2 * l2 + beta / rate, 2 * shrinkage, l1, -l1
    "ftrl": (
        4, 5,
        [(1, "a + b * b", (1, 3)),
         (2, "a + (b + c * d - (sqrt(e) - sqrt(f)) / g * d)", (2, 3, 6, 0, 9, 1, 4)),
         (0, "(min(max(a, b), c) - a) / (sqrt(d) / e + f)", (10, 8, 7, 9, 4, 5))],
    ),
    # var, z, v, grad; rate, 1 - beta_2 ** t, 1 / t, 1 - beta_2, epsilon, beta_1, 1 - beta_1
    "schedule_free": (
        4, 7,
        [(2, "a + (b * b - a) * c", (2, 3, 7)),
         (1, "a - b * c / (sqrt(d / e) + f)", (1, 4, 3, 11, 5, 8)),
         (0, "a * b + c * ((1.0 - d) * ((e - a * b) / c) + d * b)", (10, 12, 9, 6, 0))],
    ),
}  # fmt: skip


@functools.cache
def program(name: str, dtype: DType) -> Program:
    """The update `name` on vectors of `dtype`."""
    arrays, scalars, lines = UPDATES[name]
    count = arrays + scalars
    steps = [Step("map", refs, dtype, text) for _, text, refs in lines]
    written = [(count + i, place) for i, (place, _, _) in enumerate(lines) if place is not None]
    return Program(
        [dtype] * count, [False] * count, [], [], steps, [ref for ref, _ in written], name,
        reuse={i: place for i, (_, place) in enumerate(written)}, least=1,
    )  # fmt: skip


def update(name: str, arrays: tuple[Any, ...], *scalars: Any) -> bool:
    """Write an update into `arrays`, all but the last, if its kernel is there and takes them.

    Args:
        name: of `UPDATES`.
        arrays: of one shape and float dtype; those written to belong to nobody else.
        scalars: numbers.
    """
    first = arrays[0]
    for a in arrays:
        if type(a) is not np.ndarray or a.dtype is not first.dtype or not a.flags.c_contiguous:
            return False
    if first.dtype not in (np.float32, np.float64):
        return False
    numbers = [np.asarray(s, first.dtype) for s in scalars]
    ready = program(name, as_dtype(first.dtype))
    return ready.launch((*[a.reshape(-1) for a in arrays], *numbers)) is not None
