"""Numba kernel over the bytes of a text file: where lines begin and end.

Loaded by `headrace.io.jit`, never imported directly.
"""

from __future__ import annotations

from numba import uint8, uint64

from .intrinsics import count_ones, count_trailing_zeros, load_u8, match_64, store_i64


def line_bounds(data, start, end, starts, ends, capacity, inside):  # type: ignore[no-untyped-def]
    """Note the lines that end between `start`, where one begins, and `end`.

    Args:
        data: address of the text's buffer, of at least 128 bytes.
        starts: address of int64s: where lines begin; after the last one that found ends, where
            the next one begins.
        ends: address of int64s: where lines end, one carriage return before that left out.
        capacity: how many lines there is room for, at least 64.
        inside: address of an int64, set to whether there are further carriage returns.

    Returns:
        How many lines there are, or `capacity - 64` or more if there may be others.
    """
    count, returns, stripped = 0, 0, 0
    low = start
    for base in range(start, end, 64):
        beyond = max(base + 64 - end, 0)
        back = min(beyond, base)  # the last block ends with the text, if it can
        address, shift = data + base - back, uint64(back)
        valid = ~uint64(0) >> uint64(beyond)
        returns += count_ones((match_64(address, uint8(13)) >> shift) & valid)
        found = (match_64(address, uint8(10)) >> shift) & valid
        while found != uint64(0):
            high = base + count_trailing_zeros(found)
            found &= found - uint64(1)
            ending = high > low and load_u8(data + high - 1) == 13
            stripped += ending
            store_i64(starts + 8 * count, low)
            store_i64(ends + 8 * count, high - ending)
            count += 1
            low = high + 1
        if count > capacity - 64:
            break
    store_i64(starts + 8 * count, low)
    store_i64(inside, returns != stripped)
    return count
