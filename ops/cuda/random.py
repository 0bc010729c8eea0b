"""Philox 4x32-10 on a GPU: TensorFlow's own numbers, as `ops.philox` gives them on a CPU.

A thread makes the numbers of one group of four words.  Integers and uniform numbers have the
bits of the CPU's; normal numbers go through CUDA's logarithm, sine and cosine, which may differ
in the last places.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import philox
from ..dtypes import DType
from .device import Kernel, current
from .prelude import PRELUDE, storage_type

__all__ = ["draw", "makes", "source"]

_SOURCE = r"""
typedef %(T)s T;

struct Words { u32 at[4]; };
__device__ __forceinline__ Words philox(u64 low, u64 high, u32 k0, u32 k1) {
    u32 c0 = (u32)low, c1 = (u32)(low >> 32), c2 = (u32)high, c3 = (u32)(high >> 32);
    #pragma unroll
    for (int i = 0; i < 10; i++) {
        const u64 p0 = (u64)c0 * 0xD2511F53u, p1 = (u64)c2 * 0xCD9E8D57u;
        c0 = (u32)(p1 >> 32) ^ c1 ^ k0;
        c1 = (u32)p1;
        c2 = (u32)(p0 >> 32) ^ c3 ^ k1;
        c3 = (u32)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

__device__ __forceinline__ float unit(u32 word) {
    return __uint_as_float((word & 0x7fffffu) | 0x3f800000u) - 1.0f;
}
__device__ __forceinline__ double unit(u32 first, u32 second) {
    const u64 bits = ((u64)(first & 0xfffffu) << 32) | second | (1023ull << 52);
    return __longlong_as_double((i64)bits) - 1.0;
}

%(numbers)s

// The numbers `first` ... of the stream; `key`, `low` and `high` (the first counter) of it.
extern "C" __global__ void __launch_bounds__(256) draw(
        T* __restrict__ out, const i64 count, const u64 key, const u64 low, const u64 high) {
    for (i64 i = (i64)blockIdx.x * 256 + threadIdx.x; i * PER_GROUP < count;
         i += (i64)gridDim.x * 256) {
        const u64 counter = low + (u64)i;
        const Words w = philox(counter, high + (counter < low), (u32)key, (u32)(key >> 32));
        T made[PER_GROUP];
        numbers(w, made);
        #pragma unroll
        for (int e = 0; e < PER_GROUP; e++)
            if (i * PER_GROUP + e < count) out[i * PER_GROUP + e] = made[e];
    }
}
"""
_FORMS = {
    ("uniform", "float32"): (4, "for (int e = 0; e < 4; e++) made[e] = unit(w.at[e]);"),
    ("uniform", "float64"): (
        2, "for (int e = 0; e < 2; e++) made[e] = unit(w.at[2 * e], w.at[2 * e + 1]);",
    ),
    # 10 (7) bits behind the point, as a number in [1, 2) less 1: exact in float32.
    ("uniform", "float16"): (
        4, "for (int e = 0; e < 4; e++) made[e] = narrow<T>((w.at[e] & 0x3ffu) * 0x1p-10f);",
    ),
    ("uniform", "bfloat16"): (
        4, "for (int e = 0; e < 4; e++) made[e] = narrow<T>((w.at[e] & 0x7fu) * 0x1p-7f);",
    ),
    ("normal", "float64"): (
        2, """
    const double u = unit(w.at[0], w.at[1]);
    const double radius = sqrt(-2.0 * log(u > 1e-7 ? u : 1e-7));
    const double angle = 2.0 * 3.14159265358979323846 * unit(w.at[2], w.at[3]);
    made[0] = sin(angle) * radius;
    made[1] = cos(angle) * radius;""",
    ),
    ("bits", 4): (4, "for (int e = 0; e < 4; e++) made[e] = (T)w.at[e];"),
    ("bits", 8): (
        2, "for (int e = 0; e < 2; e++) "
        "made[e] = (T)((u64)w.at[2 * e] | ((u64)w.at[2 * e + 1] << 32));",
    ),
}  # fmt: skip
_NORMAL = """
    for (int e = 0; e < 2; e++) {
        const float u = unit(w.at[2 * e]);
        const float radius = sqrtf(-2.0f * logf(u > 1e-7f ? u : 1e-7f));
        const float angle = (2.0f * 3.14159265f) * unit(w.at[2 * e + 1]);
        made[2 * e] = narrow<T>(sinf(angle) * radius);
        made[2 * e + 1] = narrow<T>(cosf(angle) * radius);
    }"""


def _form(kind: str, dtype: DType) -> tuple[int, str] | None:
    if kind == "bits":
        return _FORMS.get((kind, dtype.size)) if dtype.is_integer else None
    if kind == "normal" and dtype.is_floating and dtype.name != "float64":
        return 4, _NORMAL
    return _FORMS.get((kind, dtype.name))


@functools.cache
def source(kind: str, dtype: DType) -> str:
    """The source for numbers of a kind, "uniform", "normal" or "bits"."""
    found = _form(kind, dtype)
    assert found is not None, (kind, dtype)
    per_group, body = found
    numbers = (
        f"#define PER_GROUP {per_group}\n"
        "__device__ __forceinline__ void numbers(Words w, T* made) {\n"
        f'    _Pragma("unroll") {body.strip()}\n}}'
        if body.startswith("for")
        else f"#define PER_GROUP {per_group}\n"
        f"__device__ __forceinline__ void numbers(Words w, T* made) {{{body}\n}}"
    )
    return PRELUDE + _SOURCE % {"T": storage_type(dtype), "numbers": numbers}


def makes(kind: str, dtype: DType) -> bool:
    """Whether a kernel makes such numbers."""
    return _form(kind, dtype) is not None


def draw(
    kind: str, n: int, dtype: DType, key: int, counter: tuple[int, int], start: int = 0
) -> Any:
    """`n` numbers of the stream (key, counter), from group `start` on, like `random_ops.draw`;
    NotImplemented for kinds and dtypes that no kernel makes."""
    form = _form(kind, dtype)
    if form is None:
        return NotImplemented
    device = current()
    out = device.xp.empty((n,), dtype.np_dtype)
    if not n:
        return out
    low, high = philox.counter_at(counter, start)
    text = source(kind, dtype)
    blocks = min(-(-n // (256 * form[0])), device.processors * 16)
    args = [out, np.int64(n), np.uint64(key), np.uint64(low), np.uint64(high)]
    device.launch(Kernel(text, "draw"), blocks, 256, args)
    return out
