"""Numba kernels for lookup tables: fingerprints of strings, and keys found by probing.

Loaded by `headrace.io.jit`, never imported directly; `lookup_kernels` calls them.  The
arithmetic of the fingerprint is `ops/lookup_fingerprint.py`'s, the table's layout
`ops/lookup_index.py`'s.  Arguments are int64s: numbers and addresses.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import int64, uint64

from ..ops.lookup_fingerprint import K2, mixers
from .intrinsics import (
    int64_array,
    int64_table,
    load_u8,
    load_u32,
    load_u64,
    prefetch,
    uint64_array,
)

_inline = numba.njit(nogil=True, error_model="numpy", inline="never")
_mix = mixers(numba.njit(nogil=True, error_model="numpy"))
_upto_3, _upto_7, _upto_16, _upto_32 = _mix.upto_3, _mix.upto_7, _mix.upto_16, _mix.upto_32
_upto_64, _begun, _round_64, _ended = _mix.upto_64, _mix.begun, _mix.round_64, _mix.ended
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_GROUP = 16


@_inline
def _words_8(a):  # type: ignore[no-untyped-def]
    return (
        load_u64(a), load_u64(a + 8), load_u64(a + 16), load_u64(a + 24),
        load_u64(a + 32), load_u64(a + 40), load_u64(a + 48), load_u64(a + 56),
    )  # fmt: skip


@_inline
def _long(a, size):  # type: ignore[no-untyped-def]
    x, y, z = _begun(load_u64(a))
    none = uint64(0)
    state = (x, y, z, none, none, none, none)
    for k in range((size - 1) // 64):
        state = _round_64(state, _words_8(a + 64 * k))
    return _ended(state, _words_8(a + size - 64), uint64(size))


@_inline
def _fingerprint(a, size):  # type: ignore[no-untyped-def]
    e = a + size
    n = uint64(size)
    if size > 64:
        return _long(a, size)
    if size > 32:
        return _upto_64(
            load_u64(a), load_u64(a + 8), load_u64(a + 16), load_u64(a + 24),
            load_u64(e - 32), load_u64(e - 24), load_u64(e - 16), load_u64(e - 8), n,
        )  # fmt: skip
    if size > 16:
        return _upto_32(load_u64(a), load_u64(a + 8), load_u64(e - 16), load_u64(e - 8), n)
    if size >= 8:
        return _upto_16(load_u64(a), load_u64(e - 8), n)
    if size >= 4:
        return _upto_7(uint64(load_u32(a)), uint64(load_u32(e - 4)), n)
    if size > 0:
        return _upto_3(
            uint64(load_u8(a)), uint64(load_u8(a + (size >> 1))), uint64(load_u8(e - 1)), n
        )
    return K2


@_inline
def _same_bytes(a, b, size):  # type: ignore[no-untyped-def]
    if size >= 8:
        last = size - 8  # the last word may overlap the one before it
        at = int64(0)
        while at < last:
            if load_u64(a + at) != load_u64(b + at):
                return False
            at += 8
        return load_u64(a + last) == load_u64(b + last)
    if size >= 4:
        last = size - 4
        return load_u32(a) == load_u32(b) and load_u32(a + last) == load_u32(b + last)
    while size > 0:
        if load_u8(a) != load_u8(b):
            return False
        a, b, size = a + 1, b + 1, size - 1
    return True


def fingerprint_strings(base, starts_at, ends_at, n, out_at):  # type: ignore[no-untyped-def]
    """Fingerprints of `n` strings in the bytes at `base`, to the uint64 array at `out_at`."""
    starts, ends = int64_array(starts_at, n), int64_array(ends_at, n)
    out = uint64_array(out_at, n)
    for k in range(n):
        out[k] = _fingerprint(base + starts[k], ends[k] - starts[k])
    return n


def find_numbers(slots_at, bits, keys_at, n, out_at):  # type: ignore[no-untyped-def]
    """Rows of `n` int64 keys in a table of ``2 ** bits`` slots, -1 for unknown ones."""
    slots = int64_table(slots_at, int64(1) << bits, 2)
    keys, out = int64_array(keys_at, n), int64_array(out_at, n)
    mask = (int64(1) << bits) - 1
    shift = uint64(64 - bits)
    for k in range(n):
        key = keys[k]
        at = int64((uint64(key) * _SPREAD) >> shift)
        row = int64(-1)
        while slots[at, 1] != 0:
            if slots[at, 1] > 0 and slots[at, 0] == key:
                row = slots[at, 1] - 1
                break
            at = (at + 1) & mask
        out[k] = row
    return n


def find_strings(  # type: ignore[no-untyped-def]
    slots_at, bits, base, starts_at, ends_at, tags_at, n, stored, out_at
):
    """Rows of `n` strings, -1 for unknown ones.

    The strings' bytes are at `base`, the table's keys' at `stored`.  Fingerprints are written
    to the int64 array at `tags_at`.
    """
    slots = int64_table(slots_at, int64(1) << bits, 4)
    starts, ends = int64_array(starts_at, n), int64_array(ends_at, n)
    tags, out = int64_array(tags_at, n), int64_array(out_at, n)
    mask = (int64(1) << bits) - 1
    shift = uint64(64 - bits)
    for low in range(0, n, _GROUP):
        high = min(low + _GROUP, n)
        # What a group of keys will read is on its way before the first of them waits for it.
        for k in range(low, high):
            tag = int64(_fingerprint(base + starts[k], ends[k] - starts[k]))
            tags[k] = tag
            at = int64((uint64(tag) * _SPREAD) >> shift)
            out[k] = at
            prefetch(slots_at + at * 32)
        for k in range(low, high):
            prefetch(stored + slots[out[k], 2])
        for k in range(low, high):
            a, size, tag, at = base + starts[k], ends[k] - starts[k], tags[k], out[k]
            row = int64(-1)
            while slots[at, 1] != 0:
                if slots[at, 1] > 0 and slots[at, 0] == tag:
                    held = slots[at, 2]
                    if slots[at, 3] - held == size and _same_bytes(a, stored + held, size):
                        row = slots[at, 1] - 1
                        break
                at = (at + 1) & mask
            out[k] = row
    return n


def place_strings(  # type: ignore[no-untyped-def]
    slots_at, bits, base, starts_at, ends_at, tags_at, n, count, out_at, new_at, places_at
):
    """Give rows from `count` on to `n` strings that have none; how many rows that took.

    To the int64 arrays go: at `out_at` each string's row, at `new_at` and `places_at` the
    number and the slot of the string that each new row was taken for.
    """
    slots = int64_table(slots_at, int64(1) << bits, 4)
    starts, ends = int64_array(starts_at, n), int64_array(ends_at, n)
    tags, out = int64_array(tags_at, n), int64_array(out_at, n)
    new, places = int64_array(new_at, n), int64_array(places_at, n)
    mask = (int64(1) << bits) - 1
    shift = uint64(64 - bits)
    taken = int64(0)
    for k in range(n):
        tag, size = tags[k], ends[k] - starts[k]
        at = int64((uint64(tag) * _SPREAD) >> shift)
        row = int64(-1)
        while slots[at, 1] > 0:
            # A row from before is of another key: only this call's may be the same.
            if slots[at, 1] > count and slots[at, 0] == tag:
                other = new[slots[at, 1] - 1 - count]
                if ends[other] - starts[other] == size and _same_bytes(
                    base + starts[other], base + starts[k], size
                ):
                    row = slots[at, 1] - 1
                    break
            at = (at + 1) & mask
        if row < 0:
            row = count + taken
            slots[at, 0] = tag
            slots[at, 1] = row + 1
            new[taken] = k
            places[taken] = at
            taken += 1
        out[k] = row
    return taken


def place_numbers(slots_at, bits, keys_at, n, count, out_at, new_at, places_at):  # type: ignore[no-untyped-def]
    """`place_strings` for int64 keys."""
    slots = int64_table(slots_at, int64(1) << bits, 2)
    keys, out = int64_array(keys_at, n), int64_array(out_at, n)
    new, places = int64_array(new_at, n), int64_array(places_at, n)
    mask = (int64(1) << bits) - 1
    shift = uint64(64 - bits)
    taken = int64(0)
    for k in range(n):
        key = keys[k]
        at = int64((uint64(key) * _SPREAD) >> shift)
        while slots[at, 1] > 0 and slots[at, 0] != key:
            at = (at + 1) & mask
        if slots[at, 1] <= 0:
            slots[at, 0] = key
            slots[at, 1] = count + taken + 1
            new[taken] = k
            places[taken] = at
            taken += 1
        out[k] = slots[at, 1] - 1
    return taken
