"""Philox 4x32-10: random bits from a key and a counter, in TensorFlow's layout.

A counter of 128 bits and a key of 64 give four 32-bit words; consecutive words of a stream come
from consecutive counters.  Everything is a pure function of (key, counter), so results depend
neither on threads nor on what was drawn before.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
The conversions to floats and the order of the words are those of TensorFlow's kernels.
"""

from __future__ import annotations

import numpy as np

__all__ = ["blocks", "counter_at", "key_and_counter", "normals", "philox", "uniform_floats"]

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MASK64 = (1 << 64) - 1


def philox(
    c0: np.ndarray, c1: np.ndarray, c2: np.ndarray, c3: np.ndarray, key: tuple[int, int]
) -> np.ndarray:
    """Four words for every counter.

    Args:
        c0, c1, c2, c3: uint64 arrays (or scalars) that broadcast, each a counter word < 2**32,
            least significant first.
        key: two words.

    Returns:
        uint32 [..., 4].
    """
    k0, k1 = key
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c, np.uint64) for c in (c0, c1, c2, c3)))
    for _ in range(10):
        p0 = c0 * _M0
        p1 = c2 * _M1
        c0, c1, c2, c3 = (
            (p1 >> _32) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _32) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0 = (k0 + _W0) & 0xFFFFFFFF
        k1 = (k1 + _W1) & 0xFFFFFFFF
    out = np.empty((*c0.shape, 4), np.uint32)
    for i, c in enumerate((c0, c1, c2, c3)):
        out[..., i] = c
    return out


def blocks(key: int, counter: tuple[int, int], start: int, count: int) -> np.ndarray:
    """uint32 [count, 4]: the groups `start` ... of the stream of (key, counter).

    Args:
        key: 64 bits.
        counter: low and high 64 bits of the first counter.
        start: groups to skip.
        count: groups to make.
    """
    low, high = counter_at(counter, start)
    with np.errstate(over="ignore"):
        lows = np.arange(count, dtype=np.uint64) + np.uint64(low)
        highs = np.full(count, high, np.uint64)
        if low + count > _MASK64:
            highs[lows < np.uint64(low)] += np.uint64(1)
    return philox(
        lows & _LOW, lows >> _32, highs & _LOW, highs >> _32, (key & 0xFFFFFFFF, key >> 32)
    )


def counter_at(counter: tuple[int, int], start: int) -> tuple[int, int]:
    """The counter `start` groups behind `counter`, both as low and high 64 bits."""
    low, high = counter
    first = ((high << 64) | low) + start
    return first & _MASK64, (first >> 64) & _MASK64


def key_and_counter(seed: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Key and counter for the two seeds of a stateless operation, mixed as TensorFlow does."""
    s0, s1 = (int(s) & _MASK64 for s in seed)
    mix = philox(
        np.uint64(s0 & 0xFFFFFFFF),
        np.uint64(s0 >> 32),
        np.uint64(s1 & 0xFFFFFFFF),
        np.uint64(s1 >> 32),
        (0x3EC8F720, 0x02461E29),
    ).tolist()
    return mix[0] | (mix[1] << 32), (0, mix[2] | (mix[3] << 32))


def uniform_floats(words: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats in [0, 1) of a flat array of uint32 words (two words for each float64)."""
    if dtype == np.float64:
        pairs = words.reshape(-1, 2).astype(np.uint64)
        bits = ((pairs[:, 0] & np.uint64(0xFFFFF)) << _32) | pairs[:, 1] | np.uint64(1023 << 52)
        return bits.view(np.float64) - 1.0
    if dtype == np.float32:
        bits = (words & np.uint32(0x7FFFFF)) | np.uint32(127 << 23)
        return bits.view(np.float32) - np.float32(1.0)
    if dtype == np.float16:
        bits = (words.astype(np.uint16) & np.uint16(0x3FF)) | np.uint16(15 << 10)
        return bits.view(np.float16) - np.float16(1.0)
    bits = (words.astype(np.uint16) & np.uint16(0x7F)) | np.uint16(127 << 7)
    return (bits.view(dtype).astype(np.float32) - np.float32(1.0)).astype(dtype)


def normals(words: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Standard normal floats of a flat array of words, by Box and Muller's transform.

    Two words give two numbers, except for float64, where four give two.
    """
    if dtype == np.float64:
        u = uniform_floats(words, dtype).reshape(-1, 2)
        u1 = np.maximum(u[:, 0], 1e-7)
        radius = np.sqrt(-2.0 * np.log(u1))
        angle = 2.0 * np.pi * u[:, 1]
        return np.stack([np.sin(angle) * radius, np.cos(angle) * radius], -1).reshape(-1)
    u = uniform_floats(words, np.dtype(np.float32)).reshape(-1, 2)
    u1 = np.maximum(u[:, 0], np.float32(1e-7))
    angle = np.float32(2.0 * np.pi) * u[:, 1]
    radius = np.sqrt(np.float32(-2.0) * np.log(u1))
    out = np.empty((len(u), 2), np.float32)
    out[:, 0] = np.sin(angle) * radius
    out[:, 1] = np.cos(angle) * radius
    return out.reshape(-1).astype(dtype, copy=False)
