"""64-bit hashes of byte strings: FarmHash's fingerprint, the legacy hash, SipHash.

The three that TensorFlow's ``to_hash_bucket_fast``, ``to_hash_bucket`` and
``to_hash_bucket_strong`` use; ids computed here are TensorFlow's.  All strings of an array are
hashed at once: they are grouped by the case their length falls in, and long ones go through
their rounds together.

`mixers` defines FarmHash's arithmetic once, for vectors of words (here) and for single words
in a compiled kernel (`io/lookup_kernel.py`).  Sources: FarmHash's ``farmhashna::Hash64``,
MurmurHash64A, and SipHash-2-4 (Aumasson and Bernstein, 2012).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .quiet import quietly
from .string_array import StringArray

__all__ = ["K0", "K1", "K2", "fingerprint64", "legacy_hash64", "mixers", "sip_hash64"]

_U = np.uint64
K0, K1, K2 = _U(0xC3A5C85C97CB3127), _U(0xB492B66FBE98F273), _U(0x9AE16A3B2F90404F)
_64 = _U(64)


def mixers(jit: Callable[[Any], Any]) -> SimpleNamespace:
    """FarmHash's formulas over uint64 words, each function passed through `jit`."""
    shift_47, two, three, eight, nine = _U(47), _U(2), _U(3), _U(8), _U(9)
    k0, k1, k2, bits, one, low_byte = K0, K1, K2, _64, _U(1), _U(0xFF)
    r18, r21, r25, r30, r33, r37, r42, r43, r44 = map(_U, (18, 21, 25, 30, 33, 37, 42, 43, 44))
    r63 = _U(63)

    @jit
    def rotate(v, count):  # type: ignore[no-untyped-def]
        return (v >> count) | (v << (bits - count))

    @jit
    def shift_mix(v):  # type: ignore[no-untyped-def]
        return v ^ (v >> shift_47)

    @jit
    def mix_16(u, v, mul):  # type: ignore[no-untyped-def]
        a = shift_mix((u ^ v) * mul)
        return shift_mix((v ^ a) * mul) * mul

    @jit
    def upto_3(first, middle, last, size):  # type: ignore[no-untyped-def]
        y = first + (middle << eight)
        z = size + (last << two)
        return shift_mix((y * k2) ^ (z * k0)) * k2

    @jit
    def upto_7(head, tail, size):  # type: ignore[no-untyped-def]
        return mix_16(size + (head << three), tail, k2 + size * two)

    @jit
    def upto_16(head, tail, size):  # type: ignore[no-untyped-def]
        mul = k2 + size * two
        a = head + k2
        c = rotate(tail, r37) * mul + a
        d = (rotate(a, r25) + tail) * mul
        return mix_16(c, d, mul)

    @jit
    def halves(a, b, c, d, mul):  # type: ignore[no-untyped-def]
        return mix_16(rotate(a + b, r43) + rotate(c, r30) + d, a + rotate(b + k2, r18) + c, mul)

    @jit
    def upto_32(w0, w1, tail1, tail0, size):  # type: ignore[no-untyped-def]
        mul = k2 + size * two
        return halves(w0 * k1, w1, tail0 * mul, tail1 * k2, mul)

    @jit
    def upto_64(w0, w1, w2, w3, tail3, tail2, tail1, tail0, size):  # type: ignore[no-untyped-def]
        mul = k2 + size * two
        a, c, d = w0 * k2, tail0 * mul, tail1 * k2
        y = rotate(a + w1, r43) + rotate(c, r30) + d
        z = mix_16(y, a + rotate(w1 + k2, r18) + c, mul)
        e = w2 * mul
        g, h = (y + tail3) * mul, (z + tail2) * mul
        return mix_16(
            rotate(e + w3, r43) + rotate(g, r30) + h, e + rotate(w3 + a, r18) + g, mul
        )

    @jit
    def weak_32(w, x, y, z, a, b):  # type: ignore[no-untyped-def]
        a = a + w
        b = rotate(b + a + z, r21)
        c = a
        a = a + x + y
        return a + z, b + rotate(a, r44) + c

    @jit
    def begun(first):  # type: ignore[no-untyped-def]
        """State (x, y, z) of a string of more than 64 bytes that begins with word `first`."""
        seed = _U(81)
        y = seed * k1 + _U(113)
        return seed * k2 + first, y, shift_mix(y * k2 + _U(113)) * k2

    @jit
    def round_64(s, w):  # type: ignore[no-untyped-def]
        """The state after 64 more bytes, words `w`."""
        x, y, z, v0, v1, u0, u1 = s
        x = rotate(x + y + v0 + w[1], r37) * k1
        y = rotate(y + v1 + w[6], r42) * k1
        x = x ^ u1
        y = y + v0 + w[5]
        z = rotate(z + u0, r33) * k1
        v0, v1 = weak_32(w[0], w[1], w[2], w[3], v1 * k1, x + u0)
        u0, u1 = weak_32(w[4], w[5], w[6], w[7], z + u1, y + w[2])
        return z, y, x, v0, v1, u0, u1

    @jit
    def ended(s, w, size):  # type: ignore[no-untyped-def]
        """The hash; `w` are the string's last eight words, which may overlap its rounds."""
        x, y, z, v0, v1, u0, u1 = s
        mul = k1 + ((z & low_byte) << one)
        u0 = u0 + ((size - one) & r63)
        v0 = v0 + u0
        u0 = u0 + v0
        x = rotate(x + y + v0 + w[1], r37) * mul
        y = rotate(y + v1 + w[6], r42) * mul
        x = x ^ (u1 * nine)
        y = y + v0 * nine + w[5]
        z = rotate(z + u0, r33) * mul
        v0, v1 = weak_32(w[0], w[1], w[2], w[3], v1 * mul, x + u0)
        u0, u1 = weak_32(w[4], w[5], w[6], w[7], z + u1, y + w[2])
        return mix_16(mix_16(v0, u0, mul) + shift_mix(y) * k0 + x, mix_16(v1, u1, mul) + z, mul)

    return SimpleNamespace(**{n: f for n, f in locals().items() if callable(f) and n != "jit"})


_mix = mixers(lambda function: function)


class _Words:
    """Little-endian integers of 8, 4 and 1 bytes anywhere in a string array's buffer."""

    def __init__(self, data: np.ndarray):
        data = np.ascontiguousarray(data)
        size = data.size
        self._8 = np.ndarray((max(size - 7, 0),), "<u8", data, strides=(1,))
        self._4 = np.ndarray((max(size - 3, 0),), "<u4", data, strides=(1,))
        self._1 = data

    def u8(self, at: np.ndarray) -> np.ndarray:
        return self._8[at]

    def u4(self, at: np.ndarray) -> np.ndarray:
        return self._4[at].astype(_U)

    def u1(self, at: np.ndarray) -> np.ndarray:
        return self._1[at].astype(_U)

    def row(self, at: np.ndarray, count: int = 8) -> list[np.ndarray]:
        """`count` words from `at` on."""
        return [self._8[at + 8 * k] for k in range(count)]


def fingerprint64(x: StringArray) -> np.ndarray:
    """uint64 of the array's shape: FarmHash's fingerprint of each string."""
    return quietly(_fingerprints, x)  # type: ignore[no-any-return]


def _fingerprints(x: StringArray) -> np.ndarray:
    words = _Words(x.data)
    starts, sizes = x.starts.ravel(), x.lengths.ravel()
    ends = starts + sizes
    out = np.full(starts.size, K2, _U)
    case = np.digitize(sizes, (1, 4, 8, 17, 33, 65))
    for k in np.unique(case[case > 0]).tolist():
        at = np.flatnonzero(case == k)
        whole = len(at) == len(out)  # the usual case: no gathering
        s, e, n = (starts, ends, sizes) if whole else (starts[at], ends[at], sizes[at])
        size = n.astype(_U)
        if k == 1:
            found = _mix.upto_3(words.u1(s), words.u1(s + (n >> 1)), words.u1(e - 1), size)
        elif k == 2:
            found = _mix.upto_7(words.u4(s), words.u4(e - 4), size)
        elif k == 3:
            found = _mix.upto_16(words.u8(s), words.u8(e - 8), size)
        elif k == 4:
            found = _mix.upto_32(*words.row(s, 2), *words.row(e - 16, 2), size)
        elif k == 5:
            found = _mix.upto_64(*words.row(s, 4), *words.row(e - 32, 4), size)
        else:
            found = _long(words, s, e, n, size)
        out[at] = found
    return out.reshape(x.shape)


def _long(
    words: _Words, starts: np.ndarray, ends: np.ndarray, sizes: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Hashes of strings of more than 64 bytes, which go through their rounds together."""
    x, y, z = _mix.begun(words.u8(starts))
    none = np.zeros(len(starts), _U)
    state = [x, np.full_like(x, y), np.full_like(x, z), none, none, none, none]
    rounds = (sizes - 1) // 64
    for k in range(int(rounds.max())):
        left = np.flatnonzero(rounds > k)
        after = _mix.round_64([s[left] for s in state], words.row(starts[left] + 64 * k))
        state = [s.copy() for s in state]
        for old, new in zip(state, after, strict=True):
            old[left] = new
    return _mix.ended(state, words.row(ends - 64), size)  # type: ignore[no-any-return]


def _tails(words: _Words, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The last size % 8 bytes of each string as a little-endian word."""
    tail = np.zeros(len(starts), _U)
    count = sizes & 7
    first = starts + sizes - count
    for k in range(7):
        left = np.flatnonzero(count > k)
        tail[left] |= words.u1(first[left] + k) << _U(8 * k)
    return tail


def legacy_hash64(x: StringArray) -> np.ndarray:
    """uint64 of the array's shape: MurmurHash64A with TensorFlow's seed."""
    return quietly(_legacy, x)  # type: ignore[no-any-return]


def _legacy(x: StringArray) -> np.ndarray:
    words = _Words(x.data)
    starts, sizes = x.starts.ravel(), x.lengths.ravel()
    m, r = _U(0xC6A4A7935BD1E995), _U(47)
    h = _U(0xDECAFCAFFE) ^ (sizes.astype(_U) * m)
    rounds = sizes >> 3
    for k in range(int(rounds.max(initial=0))):
        left = np.flatnonzero(rounds > k)
        w = words.u8(starts[left] + 8 * k) * m
        h[left] = (h[left] ^ ((w ^ (w >> r)) * m)) * m
    h = np.where(sizes & 7, (h ^ _tails(words, starts, sizes)) * m, h)
    h = (h ^ (h >> r)) * m
    return (h ^ (h >> r)).reshape(x.shape)


def sip_hash64(x: StringArray, key: tuple[int, int]) -> np.ndarray:
    """uint64 of the array's shape: SipHash-2-4 under a key of two 64-bit words."""
    return quietly(_sip, x, key)  # type: ignore[no-any-return]


def _sip(x: StringArray, key: tuple[int, int]) -> np.ndarray:
    words = _Words(x.data)
    starts, sizes = x.starts.ravel(), x.lengths.ravel()
    first = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    mask = (1 << 64) - 1
    v = [np.full(len(starts), c ^ (key[k & 1] & mask), _U) for k, c in enumerate(first)]
    rounds = sizes >> 3
    for k in range(int(rounds.max(initial=0))):
        left = np.flatnonzero(rounds > k)
        some = _sip_word([a[left] for a in v], words.u8(starts[left] + 8 * k))
        for old, new in zip(v, some, strict=True):
            old[left] = new
    v = _sip_word(v, _tails(words, starts, sizes) | (sizes.astype(_U) << _U(56)))
    v[2] = v[2] ^ _U(0xFF)
    for _ in range(4):
        v = _sip_round(*v)
    return (v[0] ^ v[1] ^ v[2] ^ v[3]).reshape(x.shape)


def _sip_word(v: list[np.ndarray], word: np.ndarray) -> list[np.ndarray]:
    a, b, c, d = v
    a, b, c, d = _sip_round(*_sip_round(a, b, c, d ^ word))
    return [a ^ word, b, c, d]


def _sip_round(a: Any, b: Any, c: Any, d: Any) -> list[Any]:
    def left(v: Any, count: int) -> Any:
        return _mix.rotate(v, _U(64 - count))

    a, c = a + b, c + d
    b, d = left(b, 13) ^ a, left(d, 16) ^ c
    a = left(a, 32)
    c, a = c + b, a + d
    b, d = left(b, 17) ^ c, left(d, 21) ^ a
    return [a, b, left(c, 32), d]
