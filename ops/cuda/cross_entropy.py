"""Softmax cross-entropy and its gradient by the logits, in one pass over the logits.

With dense labels it is a fused chain.  With class numbers a team of threads goes through a row;
it reads the logits once where a row fits the registers.  As in TensorFlow on GPUs, a label that
is no class makes its loss and its row of the gradient NaN: to raise an error, the host would
have to wait.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..dtypes import DType, as_dtype
from ..graph.fused import Program
from ..graph.loops import Step
from . import loops
from .device import Kernel, current
from .prelude import PRELUDE, register_type, storage_type

__all__ = ["dense", "source", "sparse"]

_SOURCE = r"""
typedef %(T)s T;
typedef %(I)s I;
typedef %(W)s W;
#define TEAM %(team)d

template <class Op> __device__ __forceinline__ W team_all(W v, W* room) {
#if TEAM > 32
    return block_all<Op>(v, room);
#else
    return warp_all<Op>(v);
#endif
}

extern "C" __global__ void __launch_bounds__(%(block)d) sparse(
        const T* __restrict__ logits, const I* __restrict__ labels, T* __restrict__ losses,
        T* __restrict__ grads, const i64 rows, const i64 cols) {
    __shared__ W room[32];
    const int t = threadIdx.x %% TEAM;
    const i64 teams = (i64)gridDim.x * (%(block)d / TEAM);
    for (i64 row = (i64)blockIdx.x * (%(block)d / TEAM) + threadIdx.x / TEAM; row < rows;
         row += teams) {
        const T* x = logits + row * cols;
        T* grad = grads + row * cols;
        const i64 label = (i64)labels[row];
        const bool known = label >= 0 && label < cols;
        const W nan = (W)__int_as_float(0x7fc00000);
        W top = -(W)__int_as_float(0x7f800000);
#if %(held)d
        W mine[%(held)d];
        #pragma unroll
        for (int h = 0; h < %(held)d; h++) {
            const i64 col = t + h * TEAM;
            mine[h] = col < cols ? widen(x[col]) : -(W)__int_as_float(0x7f800000);
            top = max_of(top, mine[h]);
        }
        top = team_all<Max>(top, room);
        W total = 0;
        #pragma unroll
        for (int h = 0; h < %(held)d; h++) {
            mine[h] = exp%(f)s(mine[h] - top);
            if (t + h * TEAM < cols) total += mine[h];
        }
        total = team_all<Sum>(total, room);
        #pragma unroll
        for (int h = 0; h < %(held)d; h++) {
            const i64 col = t + h * TEAM;
            if (col < cols) grad[col] = narrow<T>(
                known ? mine[h] / total - (W)(col == label) : nan);
        }
#else
        for (i64 col = t; col < cols; col += TEAM) top = max_of(top, (W)widen(x[col]));
        top = team_all<Max>(top, room);
        W total = 0;
        for (i64 col = t; col < cols; col += TEAM) total += exp%(f)s(widen(x[col]) - top);
        total = team_all<Sum>(total, room);
        for (i64 col = t; col < cols; col += TEAM) grad[col] = narrow<T>(
            known ? exp%(f)s(widen(x[col]) - top) / total - (W)(col == label) : nan);
#endif
        if (t == 0) losses[row] = narrow<T>(
            known ? log%(f)s(total) - (widen(x[label]) - top) : nan);
    }
}
"""


@functools.cache
def source(dtype: DType, labels: DType, cols: int) -> tuple[str, int, int]:
    """The source for rows of `cols` numbers, its threads per row and per block."""
    team = 32 if cols <= 512 else min(1024, max(128, 1 << (-(-cols // 16) - 1).bit_length()))
    held = -(-cols // team)
    # A power of two, so that few kernels serve all lengths.
    held = 1 << (held - 1).bit_length() if held else 0
    block = max(team, 256) if team == 32 else team
    wide = register_type(dtype)
    return (
        PRELUDE + _SOURCE % {
            "T": storage_type(dtype), "I": storage_type(labels), "W": wide, "team": team,
            "block": block, "held": held if held <= 16 else 0,
            "f": "" if wide == "double" else "f",
        },
        team,
        block,
    )  # fmt: skip


def sparse(logits: Any, labels: Any) -> Any:
    """Losses [...] and the gradient [..., classes], for logits [..., classes] and class numbers
    [...]; NotImplemented for what no kernel takes."""
    dtype, kind = as_dtype(logits.dtype), as_dtype(labels.dtype)
    if not dtype.is_floating or kind.name not in ("int32", "int64") or not logits.size:
        return NotImplemented
    device = current()
    xp = device.xp
    cols = logits.shape[-1]
    rows = logits.size // cols
    losses, grads = xp.empty(labels.shape, logits.dtype), xp.empty(logits.shape, logits.dtype)
    text, team, block = source(dtype, kind, cols)
    blocks = min(-(-rows // (block // team)), device.processors * 16)
    given = [xp.ascontiguousarray(a) for a in (logits, labels)]
    device.launch(
        Kernel(text, "sparse"), blocks, block,
        [*given, losses, grads, np.int64(rows), np.int64(cols)],
    )  # fmt: skip
    return losses, grads


@functools.cache
def _dense(dtype: DType) -> Program:
    def step(kind: str, refs: tuple[int, ...], what: str, over: str = "") -> Step:
        return Step(kind, refs, dtype, what, over, bool(over))

    steps = [
        step("reduce", (0,), "max", "last"),
        step("map", (0, 2), "a - b"),
        step("map", (3,), "exp(a)"),
        step("reduce", (4,), "sum", "last"),
        step("map", (3, 5, 1), "(log(b) - a) * c"),
        step("reduce", (6,), "sum", "last"),
        step("drop", (7,), ""),
        step("map", (4, 5, 1), "a / b - c"),
    ]
    return Program(
        [dtype, dtype], [False, False], [], [], steps, [8, 9], "SoftmaxCrossEntropy", least=1
    )


def dense(logits: Any, labels: Any) -> Any:
    """Losses [...] and the gradient [..., classes], for logits and probabilities
    [..., classes]; NotImplemented for what no kernel takes."""
    dtype = as_dtype(logits.dtype)
    if not dtype.is_floating or logits.shape != labels.shape or not logits.size:
        return NotImplemented
    found = loops.run(_dense(dtype), (logits, labels))
    return NotImplemented if found is None else found
