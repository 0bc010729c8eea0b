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
# scalars, and a line per result: over which array it is written, its text and what it reads,
# by place among arrays, scalars and earlier results.
UPDATES: dict[str, tuple[int, int, list[tuple[int, str, tuple[int, ...]]]]] = {
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
}  # fmt: skip


@functools.cache
def program(name: str, dtype: DType) -> Program:
    """The update `name` on vectors of `dtype`."""
    arrays, scalars, lines = UPDATES[name]
    count = arrays + scalars
    steps = [Step("map", refs, dtype, text) for _, text, refs in lines]
    return Program(
        [dtype] * count, [False] * count, [], [], steps,
        [count + i for i in range(len(lines))], name,
        reuse={i: source for i, (source, _, _) in enumerate(lines)}, least=1,
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
