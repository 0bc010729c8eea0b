"""Numba kernels that parse serialized SequenceExamples.

As in `headrace.io.parse_kernel`, whose tables and rules they share, only messages as
serializers write them are handled; a status other than 0 sends the batch to the exact parser
(`headrace.io.parse_sequence_plain`).  The steps of a column are found in three passes over its
bytes, each of which needs the sizes that the one before found.
"""

from __future__ import annotations

from typing import Any

import numba
from numba import int64, types

from .intrinsics import load_u8, store_i64
from .parse_kernel import OUT_A, OUT_B, _count_list, _length, _lookup

_inline = numba.njit(nogil=True, error_model="numpy", inline="never")


@_inline
def _entries(row, p, end, table, slots):  # type: ignore[no-untyped-def]
    """Note where the values of the wanted keys of a map are; whether it is well formed."""
    while p < end:
        if load_u8(p) != 0x0A:
            return False
        p, entry_end = _length(p + 1, end)
        if p == 0 or p == entry_end or load_u8(p) != 0x0A:
            return False
        key, p = _length(p + 1, entry_end)
        if key == 0 or p == entry_end or load_u8(p) != 0x12:
            return False
        size = p - key
        p, value_end = _length(p + 1, entry_end)
        if p == 0 or value_end != entry_end:
            return False
        column = _lookup(key, size, table, slots)
        if column >= 0:
            store_i64(table[column, OUT_A] + 8 * row, p)
            store_i64(table[column, OUT_B] + 8 * row, value_end)
        p = entry_end
    return True


def find_features(base, starts, ends, context, context_slots, lists, list_slots):  # type: ignore[no-untyped-def]
    """Addresses of the Feature of each context column and FeatureList of each list column.

    They go to int64 [rows] arrays at the tables' OUT_A, OUT_B, which hold 0 beforehand.  The
    last of equal keys wins.  Returns 0, or 1 if a record is not plain.
    """
    for row in range(len(starts)):
        p, end = base + starts[row], base + ends[row]
        while p < end:
            tag = load_u8(p)
            if tag != 0x0A and tag != 0x12:
                return int64(1)
            p, stop = _length(p + 1, end)
            if p == 0:
                return int64(1)
            if tag == 0x0A:
                plain = _entries(row, p, stop, context, context_slots)
            else:
                plain = _entries(row, p, stop, lists, list_slots)
            if not plain:
                return int64(1)
            p = stop
    return int64(0)


def count_steps(lows, highs, counts):  # type: ignore[no-untyped-def]
    """Number of Features in each FeatureList ``[lows[r], highs[r])``; 1 if one is not plain."""
    for row in range(len(lows)):
        p, end = lows[row], highs[row]
        count = int64(0)
        while p < end:
            if load_u8(p) != 0x0A:
                return int64(1)
            q, p = _length(p + 1, end)
            if q == 0:
                return int64(1)
            count += 1
        counts[row] = count
    return int64(0)


def find_steps(lows, highs, splits, step_lows, step_highs):  # type: ignore[no-untyped-def]
    """Bounds of the Features that `count_steps` counted."""
    for row in range(len(lows)):
        p, end = lows[row], highs[row]
        at = splits[row]
        while p < end:
            step_lows[at], step_highs[at] = _length(p + 1, end)
            p = step_highs[at]
            at += 1


def measure_features(kind, lows, highs, counts):  # type: ignore[no-untyped-def]
    """Narrow the bounds of Features to those of their lists' contents, and count the values.

    Returns 0, or 1 if one is not plain or holds another kind of list.
    """
    for i in range(len(lows)):
        p, end = lows[i], highs[i]
        counts[i] = 0
        if p == end:
            continue
        if int64(load_u8(p)) != (kind << 3 | 2):
            return int64(1)
        p, stop = _length(p + 1, end)
        if p == 0 or stop != end:
            return int64(1)
        count = _count_list(kind, p, end)
        if count < 0:
            return int64(1)
        counts[i] = count
        lows[i] = p
    return int64(0)


def kernels() -> list[tuple[Any, ...]]:
    """(name, function, signatures...) of every kernel in this module."""
    offsets = int64[::1]
    table, slots = int64[:, ::1], numba.int32[::1]
    return [
        ("find_features", find_features,
         int64(int64, offsets, offsets, table, slots, table, slots)),
        ("count_steps", count_steps, int64(offsets, offsets, offsets)),
        ("find_steps", find_steps, types.none(offsets, offsets, offsets, offsets, offsets)),
        ("measure_features", measure_features, int64(int64, offsets, offsets, offsets)),
    ]  # fmt: skip
