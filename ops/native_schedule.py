"""Schedules: kernels and matrix products run over and over by compiled code, without Python.

A recurrent layer does the same few calls for every time step, each too short to be called from
Python.  A schedule is a list of calls, each with a table of 64-bit arguments (the form of
`graph.loop_code`'s kernels) and what every entry grows by from step to step: addresses walk
through the time axis.  Products go to the BLAS that NumPy bundles.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import blas
from .graph import llvm

__all__ = ["Call", "Schedule", "product", "run"]

_IR = """
define void @headrace_gemm(ptr %t) {
    %p1 = getelementptr i64, ptr %t, i64 1
    %p2 = getelementptr i64, ptr %t, i64 2
    %p3 = getelementptr i64, ptr %t, i64 3
    %p4 = getelementptr i64, ptr %t, i64 4
    %p5 = getelementptr i64, ptr %t, i64 5
    %p6 = getelementptr i64, ptr %t, i64 6
    %p7 = getelementptr i64, ptr %t, i64 7
    %p8 = getelementptr i64, ptr %t, i64 8
    %p9 = getelementptr i64, ptr %t, i64 9
    %p10 = getelementptr i64, ptr %t, i64 10
    %p11 = getelementptr i64, ptr %t, i64 11
    %p12 = getelementptr i64, ptr %t, i64 12
    %fn = load ptr, ptr %t
    %ta = load i32, ptr %p1
    %tb = load i32, ptr %p2
    %m = load i64, ptr %p3
    %n = load i64, ptr %p4
    %k = load i64, ptr %p5
    %a = load ptr, ptr %p6
    %lda = load i64, ptr %p7
    %b = load ptr, ptr %p8
    %ldb = load i64, ptr %p9
    %c = load ptr, ptr %p10
    %ldc = load i64, ptr %p11
    %keep = load i64, ptr %p12
    %beta = sitofp i64 %keep to float
    call void %fn(i32 101, i32 %ta, i32 %tb, i64 %m, i64 %n, i64 %k, float 1.0,
                  ptr %a, i64 %lda, ptr %b, i64 %ldb, float %beta, ptr %c, i64 %ldc)
    ret void
}

define void @headrace_schedule(ptr %calls, i64 %count, i64 %steps) {
entry:
    br label %step
step:
    %s = phi i64 [ 0, %entry ], [ %s.next, %step.end ]
    br label %call
call:
    %i = phi i64 [ 0, %step ], [ %i.next, %call.end ]
    %at = mul i64 %i, 4
    %q0 = getelementptr i64, ptr %calls, i64 %at
    %q1 = getelementptr i64, ptr %q0, i64 1
    %q2 = getelementptr i64, ptr %q0, i64 2
    %q3 = getelementptr i64, ptr %q0, i64 3
    %fn = load ptr, ptr %q0
    %table = load ptr, ptr %q1
    %growth = load ptr, ptr %q2
    %size = load i64, ptr %q3
    call void %fn(ptr %table)
    br label %grow
grow:
    %j = phi i64 [ 0, %call ], [ %j.next, %grow ]
    %r = getelementptr i64, ptr %table, i64 %j
    %g = getelementptr i64, ptr %growth, i64 %j
    %have = load i64, ptr %r
    %more = load i64, ptr %g
    %sum = add i64 %have, %more
    store i64 %sum, ptr %r
    %j.next = add i64 %j, 1
    %j.more = icmp slt i64 %j.next, %size
    br i1 %j.more, label %grow, label %call.end
call.end:
    %i.next = add i64 %i, 1
    %i.more = icmp slt i64 %i.next, %count
    br i1 %i.more, label %call, label %step.end
step.end:
    %s.next = add i64 %s, 1
    %s.more = icmp slt i64 %s.next, %steps
    br i1 %s.more, label %step, label %done
done:
    ret void
}
"""


class Call(NamedTuple):
    """A call of a schedule.

    Attributes:
        address: of a function that takes a table.
        table: its arguments in the first step.
        growth: what each of them grows by per step, as many.
        shift: what each is more by from one run of the schedule to the next; nothing if empty.
    """

    address: int
    table: Sequence[int]
    growth: Sequence[int]
    shift: Sequence[int] = ()


@functools.cache
def _driver() -> tuple[Any, int] | None:
    """The function that runs schedules, and the address of the one for products."""
    found: list[int] = []
    llvm.load("headrace_schedule", _IR, found.append)
    llvm.load("headrace_gemm", _IR, found.append)
    if len(found) != 2:
        return None
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    return kind(found[0]), found[1]


@functools.cache
def _sgemm() -> int | None:
    """The address of BLAS's float32 product with 64-bit sizes."""
    folder = Path(np.__file__).parent.parent / "numpy.libs"
    for path in sorted(folder.glob("libscipy_openblas*")):
        try:
            function = ctypes.CDLL(str(path)).scipy_cblas_sgemm64_
        except (OSError, AttributeError):
            continue
        return ctypes.cast(function, ctypes.c_void_p).value
    return None


def available() -> bool:
    """Whether schedules with products can run here."""
    return llvm.enabled() and blas.is_ours() and _sgemm() is not None and _driver() is not None


def product(
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray,
    growth: tuple[int, int, int],
    add: bool = False,
    transpose_b: bool = False,
    transpose_a: bool = False,
    shift: tuple[int, int, int] = (0, 0, 0),
) -> Call:
    """out = a @ b, or out += a @ b with `add`, of float32 matrices whose rows may lie apart.

    Args:
        a, b: [n, k] ([k, n] with `transpose_a`) and [k, m] ([m, k] with `transpose_b`).
        out: [n, m].
        growth: bytes that the three move on per step.
        add: add to what `out` holds.
        transpose_b: multiply with the transpose of `b`.
        transpose_a: multiply the transpose of `a`.
        shift: bytes that the three are further on in the schedule's next run.
    """
    driver = _driver()
    assert driver is not None
    n, m = out.shape
    k = a.shape[0 if transpose_a else 1]

    def distance(x: np.ndarray) -> int:
        return x.strides[0] // 4 if x.shape[0] > 1 else x.shape[1]

    def address(x: np.ndarray) -> int:
        return x.__array_interface__["data"][0]

    table = [
        _sgemm() or 0, 112 if transpose_a else 111, 112 if transpose_b else 111, n, m, k,
        address(a), distance(a), address(b), distance(b), address(out), distance(out), int(add),
    ]  # fmt: skip
    moves, further = [0] * len(table), [0] * len(table)
    moves[6], moves[8], moves[10] = growth
    further[6], further[8], further[10] = shift
    return Call(driver[1], table, moves, further)


class Schedule:
    """Calls that are run one after the other, step by step; one thread at a time may do so."""

    def __init__(self, calls: Sequence[Call]):
        self._first = [np.array(c.table, np.int64) for c in calls]
        self._shifts = [np.array(c.shift or [0] * len(c.table), np.int64) for c in calls]
        self._growths = [np.array(c.growth, np.int64) for c in calls]
        self._tables = [t.copy() for t in self._first]
        self._plan = np.array(
            [
                (c.address, t.ctypes.data, g.ctypes.data, t.size)
                for c, t, g in zip(calls, self._tables, self._growths, strict=True)
            ],
            np.int64,
        )

    def run(self, steps: int, place: int = 0) -> None:
        """Run `steps` steps, with the tables `place` shifts on; the GIL is free meanwhile."""
        driver = _driver()
        assert driver is not None
        if not steps:
            return
        for table, first, shift in zip(self._tables, self._first, self._shifts, strict=True):
            np.multiply(shift, place, out=table)
            table += first
        driver[0](self._plan.ctypes.data, len(self._tables), steps)


def run(calls: Sequence[Call], steps: int) -> None:
    """Run the calls one after the other, `steps` times; the GIL is free meanwhile."""
    Schedule(calls).run(steps)
