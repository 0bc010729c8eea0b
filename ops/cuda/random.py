"""Philox 4x32-10 on a GPU: TensorFlow's own numbers, as `ops.philox` gives them on a CPU.

A thread makes the numbers of one group of four words.  Integers and uniform numbers have the
bits of the CPU's; normal numbers go through CUDA's logarithm, sine and cosine, which may differ
in the last places.  Seeds and states that lie on the device are read there, so that no draw
waits for it, and a recorded draw goes on from launch to launch.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import philox, random_ops
from ..dtypes import DType
from . import recording
from .device import Kernel, current
from .prelude import PRELUDE, storage_type

__all__ = [
    "draw", "draw_seeded", "draw_state", "makes", "source", "state_source", "take", "write",
]  # fmt: skip

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

// A group's numbers, as many as there is room for.
__device__ __forceinline__ void put(T* out, const i64 count, const i64 group,
                                    const u64 low, const u64 high, const u64 key) {
    T made[PER_GROUP];
    group_of(group, low, high, key, made);
    #pragma unroll
    for (int e = 0; e < PER_GROUP; e++)
        if (group * PER_GROUP + e < count) out[group * PER_GROUP + e] = made[e];
}

#define EACH_GROUP(i) \
    for (i64 i = (i64)blockIdx.x * 256 + threadIdx.x; i * PER_GROUP < count; \
         i += (i64)gridDim.x * 256)

// Numbers of the stream `key` from the counter `low`, `high` on; `moved`, where it is given,
// holds how many counters further they begin.
extern "C" __global__ void __launch_bounds__(256) draw(
        T* __restrict__ out, const i64 count, const u64 key, const u64 low, const u64 high,
        const u64* __restrict__ moved) {
    const u64 first = moved ? low + moved[0] : low;
    EACH_GROUP(i) put(out, count, i, first, high + (first < low), key);
}

// Of the stream that a stateless operation's two seeds name.
template <class S>
__device__ __forceinline__ void seeded(T* out, const i64 count, const S* seed) {
    const u64 a = (u64)(i64)seed[0], b = (u64)(i64)seed[1];
    const Words w = philox(a, b, 0x3EC8F720u, 0x02461E29u);
    const u64 key = w.at[0] | (u64)w.at[1] << 32, high = w.at[2] | (u64)w.at[3] << 32;
    EACH_GROUP(i) put(out, count, i, 0, high, key);
}
extern "C" __global__ void __launch_bounds__(256) draw_int32(
        T* __restrict__ out, const i64 count, const int* __restrict__ seed) {
    seeded(out, count, seed);
}
extern "C" __global__ void __launch_bounds__(256) draw_int64(
        T* __restrict__ out, const i64 count, const i64* __restrict__ seed) {
    seeded(out, count, seed);
}

// Of a generator's state: low and high of the counter, and the key.
extern "C" __global__ void __launch_bounds__(256) draw_state(
        T* __restrict__ out, const i64 count, const u64* __restrict__ state) {
    EACH_GROUP(i) put(out, count, i, state[0], state[1], state[2]);
}
"""
# What a group is made of: one group of four words, or for truncated normal numbers as many as
# it takes, from a part of the stream of its own.
_ONE_GROUP = """
__device__ __forceinline__ void group_of(i64 group, u64 low, u64 high, u64 key, T* made) {
    const u64 counter = low + (u64)group;
    const Words w = philox(counter, high + (counter < low), (u32)key, (u32)(key >> 32));
    numbers(w, made);
}"""
_TRUNCATED = """
__device__ __forceinline__ void group_of(i64 group, u64 low, u64 high, u64 key, T* made) {
    const u64 first = low + (u64)group * (PER_GROUP * 64);
    high += first < low;
    int have = 0;
    for (u64 step = 0; have < PER_GROUP; step++) {
        const u64 counter = first + step;
        T tried[PER_GROUP];
        numbers(philox(counter, high + (counter < first), (u32)key, (u32)(key >> 32)), tried);
        for (int e = 0; e < PER_GROUP; e++) {
            const Wide<T>::type v = widen(tried[e]);
            if (have < PER_GROUP && v < 2 && v > -2) made[have++] = tried[e];
        }
    }
}"""
_STATE = (
    PRELUDE
    + r"""
// The state of a generator that has drawn: its counter is `used` further.
extern "C" __global__ void moved_state(
        u64* __restrict__ to, const u64* __restrict__ state, const u64 used) {
    to[0] = state[0] + used;
    to[1] = state[1] + (to[0] < used);
    to[2] = state[2];
}

// Numbers of the host, which come with the launch.
extern "C" __global__ void write(
        u64* __restrict__ to, const i64 count, const u64 a, const u64 b, const u64 c,
        const u64 d, const u64 e, const u64 f, const u64 g, const u64 h) {
    const u64 values[8] = {a, b, c, d, e, f, g, h};
    #pragma unroll
    for (int i = 0; i < 8; i++) if (i < count) to[i] = values[i];
}
"""
)
_MASK64 = (1 << 64) - 1
_RESERVED = 256  # counters per number, as `random_ops` reserves
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
    if kind == "truncated":
        kind = "normal"
    if kind == "normal" and dtype.is_floating and dtype.name != "float64":
        return 4, _NORMAL
    return _FORMS.get((kind, dtype.name))


@functools.cache
def source(kind: str, dtype: DType) -> str:
    """The source for numbers of a kind, "uniform", "normal", "truncated" or "bits"."""
    found = _form(kind, dtype)
    assert found is not None, (kind, dtype)
    per_group, body = found
    unrolled = '_Pragma("unroll") ' if body.startswith("for") else ""
    numbers = (
        f"#define PER_GROUP {per_group}\n"
        f"__device__ __forceinline__ void numbers(Words w, T* made) {{\n"
        f"    {unrolled}{body.strip()}\n}}"
        + (_TRUNCATED if kind == "truncated" else _ONE_GROUP)
    )
    return PRELUDE + _SOURCE % {"T": storage_type(dtype), "numbers": numbers}


def state_source() -> str:
    """The source of what moves a generator's state, and of `write`."""
    return _STATE


def makes(kind: str, dtype: DType) -> bool:
    """Whether a kernel makes such numbers."""
    return _form(kind, dtype) is not None


def take(stream: Any, seed: int, seed2: int, count: int) -> tuple[int, tuple[int, int], Any]:
    """Take the next `count` counters of a stream with two seeds, as `random_ops.take` does;
    while this is recorded the start is an array, in which it will stand."""
    notes = recording.current()
    if notes is None:
        return random_ops.take(stream, seed, seed2, count)
    return seed & _MASK64, (0, seed2 & _MASK64), notes.place(stream, count)


def draw(
    kind: str, n: int, dtype: DType, key: int, counter: tuple[int, int], start: Any = 0
) -> Any:
    """`n` numbers of the stream (key, counter), from group `start` on, like `random_ops.draw`;
    NotImplemented for kinds and dtypes that no kernel makes.

    Args:
        kind, n, dtype, key, counter: as there.
        start: a number, or an array of one uint64 on the device.
    """
    known = isinstance(start, int)
    low, high = philox.counter_at(counter, start if known else 0)
    place = np.uint64(0) if known else start  # no pointer, or one
    given = [np.uint64(key), np.uint64(low), np.uint64(high), place]
    return _launched("draw", kind, n, dtype, given)


def draw_seeded(kind: str, n: int, dtype: DType, seed: Any) -> Any:
    """`n` numbers of a stateless operation, whose seed, int32 or int64 [2], is read on the
    device; NotImplemented for what no kernel makes."""
    if seed.dtype.name not in ("int32", "int64") or seed.shape != (2,):
        return NotImplemented
    seed = current().xp.ascontiguousarray(seed)
    return _launched(f"draw_{seed.dtype.name}", kind, n, dtype, [seed])


def draw_state(kind: str, n: int, dtype: DType, state: Any) -> tuple[Any, Any]:
    """`n` numbers of a generator's state, int64 [3] on the device, and the state behind them;
    NotImplemented for both for what no kernel makes."""
    if state.dtype.name != "int64" or not state.flags.c_contiguous:
        return NotImplemented, NotImplemented
    out = _launched("draw_state", kind, n, dtype, [state])
    if out is NotImplemented:
        return out, out
    device = current()
    moved = device.xp.empty((3,), state.dtype)
    args = [moved, state, np.uint64(n * _RESERVED)]
    device.launch(Kernel(_STATE, "moved_state"), 1, 1, args)
    return out, moved


def write(to: Any, values: Any) -> None:
    """Queue a copy of a few uint64 of the host into the front of an array; they go with the
    launch, so that the host may change them at once."""
    device = current()
    for i in range(0, len(values), 8):
        part = [np.uint64(v) for v in values[i : i + 8]]
        args = [to[i:], np.int64(len(part)), *part, *[np.uint64(0)] * (8 - len(part))]
        device.launch(Kernel(_STATE, "write"), 1, 1, args)


def _launched(name: str, kind: str, n: int, dtype: DType, args: list[Any]) -> Any:
    form = _form(kind, dtype)
    if form is None:
        return NotImplemented
    device = current()
    out = device.xp.empty((n,), dtype.np_dtype)
    if n:
        blocks = min(-(-n // (256 * form[0])), device.processors * 16)
        kernel = Kernel(source(kind, dtype), name)
        device.launch(kernel, blocks, 256, [out, np.int64(n), *args])
    return out
