"""Helpers of the parsing kernels: varints, lengths, and the contents of value lists.

What reads the wire format of protocol buffers and knows nothing of columns or keys.  Every
length is checked against the end of what encloses it before it is used.
"""

from __future__ import annotations

import numba
from numba import int64, uint64

from .intrinsics import (
    HAS_PEXT,
    copy_bytes,
    count_trailing_zeros,
    gather_bits,
    load_u8,
    load_u32,
    load_u64,
    store_i64,
    store_u32,
)

_inline = numba.njit(nogil=True, error_model="numpy", inline="never")
CONTINUED = 0x8080808080808080  # the bit of each byte that says another one follows

if HAS_PEXT:

    @_inline
    def compress(word):  # type: ignore[no-untyped-def]
        """The value of a varint of at most 8 bytes, given as a word without other bytes."""
        return gather_bits(word, uint64(0x7F7F7F7F7F7F7F7F))

else:

    @_inline
    def compress(word):  # type: ignore[no-untyped-def]
        """The value of a varint of at most 8 bytes, given as a word without other bytes."""
        word = (word & uint64(0x007F007F007F007F)) | (
            (word & uint64(0x7F007F007F007F00)) >> uint64(1)
        )
        word = (word & uint64(0x00003FFF00003FFF)) | (
            (word & uint64(0x3FFF00003FFF0000)) >> uint64(2)
        )
        return (word & uint64(0x000000000FFFFFFF)) | (
            (word & uint64(0x0FFFFFFF00000000)) >> uint64(4)
        )


@_inline
def varint(p, end):  # type: ignore[no-untyped-def]
    """(value, position after it) of the varint at `p`; position 0 if there is none."""
    value = uint64(0)
    if p < end:
        b = uint64(load_u8(p))
        if b < uint64(128):
            return b, p + 1
    if end - p >= 8:
        word = load_u64(p)
        stops = ~word & uint64(CONTINUED)
        if stops != uint64(0):
            bits = count_trailing_zeros(stops)  # 8 * bytes - 1
            word = word & (uint64(0xFFFFFFFFFFFFFFFF) >> uint64(63 - bits))
            return compress(word), p + ((bits + 1) >> 3)
    shift = uint64(0)
    while p < end and shift < uint64(70):
        b = uint64(load_u8(p))
        p += 1
        value |= (b & uint64(127)) << shift
        if b < uint64(128):
            return value, p
        shift += uint64(7)
    return uint64(0), int64(0)


@_inline
def length(p, end):  # type: ignore[no-untyped-def]
    """(payload start, payload end) of the length-delimited field whose length is at `p`;
    start 0 if it does not fit."""
    if p < end:
        b = int64(load_u8(p))
        if b < 128:
            if b <= end - p - 1:
                return p + 1, p + 1 + b
            return int64(0), int64(0)
    size, q = varint(p, end)
    if q == 0 or size > uint64(end - q):
        return int64(0), int64(0)
    return q, q + int64(size)


@_inline
def equal(a, b, size):  # type: ignore[no-untyped-def]
    """Whether the `size` bytes at `a` are those at `b`."""
    if size >= 8:
        last = size - 8
        i = 0
        while i < last:
            if load_u64(a + i) != load_u64(b + i):
                return False
            i += 8
        return load_u64(a + last) == load_u64(b + last)
    if size >= 4:
        return load_u32(a) == load_u32(b) and load_u32(a + size - 4) == load_u32(b + size - 4)
    for i in range(size):
        if load_u8(a + i) != load_u8(b + i):
            return False
    return True


@_inline
def count_ints(p, end):  # type: ignore[no-untyped-def]
    """Number of varints in ``[p, end)``; -1 unless all are whole and at most 10 bytes."""
    count = int64(0)
    run = 0
    while p < end:
        if run == 0 and end - p >= 8 and load_u64(p) & uint64(CONTINUED) == uint64(0):
            count += 8
            p += 8
            continue
        if load_u8(p) < 128:
            count += 1
            run = 0
        else:
            run += 1
            if run > 9:
                return int64(-1)
        p += 1
    return count if run == 0 else int64(-1)


@_inline
def count_list(kind, p, end):  # type: ignore[no-untyped-def]
    """Number of values of the list with contents ``[p, end)``; -1 if it is not plain."""
    if p == end:
        return int64(0)
    tag = load_u8(p)
    count = int64(0)
    if kind == 1:
        while p < end:
            if load_u8(p) != 0x0A:
                return int64(-1)
            q, p = length(p + 1, end)
            if q == 0:
                return int64(-1)
            count += 1
        return count
    if tag == 0x0A:
        q, stop = length(p + 1, end)
        if q == 0:
            return int64(-1)
        if kind == 3:
            return count_ints(q, stop)
        return (stop - q) >> 2 if (stop - q) & 3 == 0 else int64(-1)
    if kind == 2:
        while p < end:
            if load_u8(p) != 0x0D or end - p < 5:
                return int64(-1)
            p += 5
            count += 1
        return count
    while p < end:
        if load_u8(p) != 0x08:
            return int64(-1)
        _, p = varint(p + 1, end)
        if p == 0:
            return int64(-1)
        count += 1
    return count


@_inline
def decode_list(kind, p, end, base, count, out_a, out_b):  # type: ignore[no-untyped-def]
    """Write the values of a list that `count_list` counted."""
    if count == 0:
        return
    if kind == 1:
        for i in range(count):
            q, p = length(p + 1, end)
            store_i64(out_a + 8 * i, q - base)
            store_i64(out_b + 8 * i, p - base)
        return
    packed = load_u8(p) == 0x0A
    if packed:
        p, end = length(p + 1, end)
    if kind == 2:
        if packed:
            copy_bytes(out_a, p, 4 * count)
        else:
            for i in range(count):
                store_u32(out_a + 4 * i, load_u32(p + 1 + 5 * i))
        return
    for i in range(count):
        if not packed:
            p += 1
        value, p = varint(p, end)
        store_i64(out_a + 8 * i, int64(value))
