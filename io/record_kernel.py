"""Numba kernels over file bytes: CRC32C, the record framing scan, the line scan.

Loaded by `headrace.io.jit`, never imported directly.  All run without the GIL,
allocate nothing and read only the bytes given.  Arguments are int64s: numbers and addresses.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import int64, uint32, uint64

from .crc32c import _position_tables
from .intrinsics import (
    HAS_CLMUL,
    HAS_CRC,
    carryless_product,
    crc_u8,
    crc_u64,
    int64_array,
    load_u8,
    load_u32,
    load_u64,
    store_i64,
)

COMPLETE, PARTIAL, BAD_LENGTH_CRC, BAD_DATA_CRC = 0, 1, 2, 3

_TABLES = np.ascontiguousarray(_position_tables()[:8])
_inline = numba.njit(nogil=True, error_model="numpy", inline="never")

if HAS_CLMUL:
    _FEWEST, _MOST = 4, 64  # words of 8 bytes per lane of the three-way hardware CRC

    def _powers() -> np.ndarray:
        """[w]: x**(64 * w - 33) modulo the polynomial, lowest power in the highest bit."""
        powers, value = np.zeros(2 * _MOST + 1, np.uint64), 0x80000000
        for power in range(64 * 2 * _MOST - 33 + 1):
            if (power + 33) % 64 == 0:
                powers[(power + 33) // 64] = value
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        return powers

    _POWERS = _powers()

    @_inline
    def _advance(state, words):  # type: ignore[no-untyped-def]
        """The state after `words` zero words: times x**(64 * words).

        The product of two such reversed numbers is short of one place, and the instruction
        multiplies by x**32 before it divides: hence 33 less in the table.
        """
        return crc_u64(uint64(0), carryless_product(state, _POWERS[words]))

else:
    _FEWEST = _MOST = 32

    def _shift_tables(size: int) -> np.ndarray:
        """[k, v]: state byte k of value v after `size` zero bytes; `uint32` [4, 256]."""
        return np.ascontiguousarray(_position_tables()[[size - 1 - k for k in range(4)]])

    _SHIFTS = np.stack([_shift_tables(8 * _MOST), _shift_tables(16 * _MOST)])

    @_inline
    def _advance(state, words):  # type: ignore[no-untyped-def]
        """The state after `words` zero words, which are `_MOST` or twice as many."""
        lanes = words // _MOST - 1
        ff = uint64(0xFF)
        return uint64(
            _SHIFTS[lanes, 0, state & ff]
            ^ _SHIFTS[lanes, 1, (state >> uint64(8)) & ff]
            ^ _SHIFTS[lanes, 2, (state >> uint64(16)) & ff]
            ^ _SHIFTS[lanes, 3, (state >> uint64(24)) & ff]
        )


if HAS_CRC:

    @_inline
    def _crc(address, size, state):  # type: ignore[no-untyped-def]
        """CRC state (not inverted) after `size` bytes at `address`."""
        a = address
        left = size
        # The instruction takes 3 cycles but one starts every cycle: run three lanes, then
        # advance the first two over the bytes that follow them.
        while left >= 24 * _FEWEST:
            words = min(left // 24, _MOST)
            size = 8 * words
            s0, s1, s2 = state, uint64(0), uint64(0)
            for i in range(0, size, 8):
                s0 = crc_u64(s0, load_u64(a + i))
                s1 = crc_u64(s1, load_u64(a + size + i))
                s2 = crc_u64(s2, load_u64(a + 2 * size + i))
            state = _advance(s0, 2 * words) ^ _advance(s1, words) ^ s2
            a += 3 * size
            left -= 3 * size
        while left >= 8:
            state = crc_u64(state, load_u64(a))
            a += 8
            left -= 8
        while left > 0:
            state = crc_u8(state, load_u8(a))
            a += 1
            left -= 1
        return state

else:

    @_inline
    def _crc(address, size, state):  # type: ignore[no-untyped-def]
        """CRC state (not inverted) after `size` bytes at `address`; slicing by 8."""
        a = address
        left = size
        t = _TABLES
        ff = uint64(0xFF)
        while left >= 8:
            w = load_u64(a) ^ state
            state = uint64(
                t[7, w & ff]
                ^ t[6, (w >> uint64(8)) & ff]
                ^ t[5, (w >> uint64(16)) & ff]
                ^ t[4, (w >> uint64(24)) & ff]
                ^ t[3, (w >> uint64(32)) & ff]
                ^ t[2, (w >> uint64(40)) & ff]
                ^ t[1, (w >> uint64(48)) & ff]
                ^ t[0, w >> uint64(56)]
            )
            a += 8
            left -= 8
        while left > 0:
            state = (state >> uint64(8)) ^ uint64(t[0, (state ^ uint64(load_u8(a))) & ff])
            a += 1
            left -= 1
        return state


@_inline
def _masked_crc(address, size):  # type: ignore[no-untyped-def]
    crc = uint32(_crc(address, size, uint64(0xFFFFFFFF)) ^ uint64(0xFFFFFFFF))
    return uint32(uint32((crc >> uint32(15)) | uint32(crc << uint32(17))) + uint32(0xA282EAD8))


def crc_update(base, low, high, crc):  # type: ignore[no-untyped-def]
    """The CRC32C of the bytes ``[low, high)`` from address `base`, continuing from `crc`."""
    state = uint64(crc) ^ uint64(0xFFFFFFFF)
    return int64(_crc(base + low, high - low, state) ^ uint64(0xFFFFFFFF))


def frame_scan(base, low, high, max_records, max_bytes, starts_at, ends_at, result_at):  # type: ignore[no-untyped-def]
    """Find and check the records in the bytes ``[low, high)`` from address `base`.

    Payload bounds go to the int64 arrays at `starts_at`, `ends_at`.  Stops at `max_records`,
    once `max_bytes` have been passed, or at the first record that is incomplete or damaged.
    Returns the number of records found; int64 [3] at `result_at` becomes (position of the first
    byte not consumed, status, size of the record there or 0).
    """
    starts, ends = int64_array(starts_at, max_records), int64_array(ends_at, max_records)
    pos = low
    n = 0
    stop = low + max_bytes
    status = int64(COMPLETE)
    wanted = int64(0)
    while n < max_records and pos < stop:
        if high - pos < 12:
            status = int64(PARTIAL) if high > pos else int64(COMPLETE)
            break
        if _masked_crc(base + pos, 8) != load_u32(base + pos + 8):
            status = int64(BAD_LENGTH_CRC)
            break
        size = load_u64(base + pos)
        if high - pos < 16 or size > uint64(high - pos - 16):
            # Clamped, so that the caller's sums cannot overflow.
            status = int64(PARTIAL)
            wanted = int64(min(size, uint64(1) << uint64(61))) + 16
            break
        length = int64(size)
        if _masked_crc(base + pos + 12, length) != load_u32(base + pos + 12 + length):
            status = int64(BAD_DATA_CRC)
            wanted = length + 16
            break
        starts[n] = pos + 12
        ends[n] = pos + 12 + length
        pos += length + 16
        n += 1
    store_i64(result_at, pos)
    store_i64(result_at + 8, status)
    store_i64(result_at + 16, wanted)
    return n
