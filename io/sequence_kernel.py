"""Numba kernels that parse serialized SequenceExamples.

As in `headrace.io.parse_kernel`, whose tables and rules they share, only messages as
serializers write them are handled; a status other than 0 sends the batch to the exact parser
(`headrace.io.parse_sequence_plain`).  The steps of a column are found in three passes over its
bytes, each of which needs the sizes that the one before found.
"""

from __future__ import annotations

import numba
from numba import int64

from .intrinsics import int32_array, int64_array, int64_table, load_u8, store_i64
from .parse_kernel import FIELDS, OUT_A, OUT_B, _lookup
from .wire_kernel import count_list, length

_inline = numba.njit(nogil=True, error_model="numpy", inline="never")


@_inline
def _entries(row, p, end, table, slots):  # type: ignore[no-untyped-def]
    """Note where the values of the wanted keys of a map are; whether it is well formed."""
    while p < end:
        if load_u8(p) != 0x0A:
            return False
        p, entry_end = length(p + 1, end)
        if p == 0 or p == entry_end or load_u8(p) != 0x0A:
            return False
        key, p = length(p + 1, entry_end)
        if key == 0 or p == entry_end or load_u8(p) != 0x12:
            return False
        size = p - key
        p, value_end = length(p + 1, entry_end)
        if p == 0 or value_end != entry_end:
            return False
        column = _lookup(key, size, table, slots)
        if column >= 0:
            store_i64(table[column, OUT_A] + 8 * row, p)
            store_i64(table[column, OUT_B] + 8 * row, value_end)
        p = entry_end
    return True


def find_features(base, rows, starts_at, ends_at, context_at, context_columns, context_slots_at,
                  context_size, lists_at, list_columns, list_slots_at, list_size):  # type: ignore[no-untyped-def]  # fmt: skip
    """Addresses of the Feature of each context column and FeatureList of each list column.

    They go to int64 [rows] arrays at the tables' OUT_A, OUT_B, which hold 0 beforehand.  The
    last of equal keys wins.  Returns 0, or 1 if a record is not plain.
    """
    starts, ends = int64_array(starts_at, rows), int64_array(ends_at, rows)
    context = int64_table(context_at, context_columns, FIELDS)
    context_slots = int32_array(context_slots_at, context_size)
    lists = int64_table(lists_at, list_columns, FIELDS)
    list_slots = int32_array(list_slots_at, list_size)
    for row in range(rows):
        p, end = base + starts[row], base + ends[row]
        while p < end:
            tag = load_u8(p)
            if tag != 0x0A and tag != 0x12:
                return int64(1)
            p, stop = length(p + 1, end)
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


def count_steps(rows, lows_at, highs_at, counts_at):  # type: ignore[no-untyped-def]
    """Number of Features in each FeatureList ``[lows[r], highs[r])``; 1 if one is not plain."""
    lows, highs = int64_array(lows_at, rows), int64_array(highs_at, rows)
    counts = int64_array(counts_at, rows)
    for row in range(rows):
        p, end = lows[row], highs[row]
        count = int64(0)
        while p < end:
            if load_u8(p) != 0x0A:
                return int64(1)
            q, p = length(p + 1, end)
            if q == 0:
                return int64(1)
            count += 1
        counts[row] = count
    return int64(0)


def find_steps(rows, lows_at, highs_at, splits_at, step_lows_at, step_highs_at):  # type: ignore[no-untyped-def]
    """Bounds of the Features that `count_steps` counted."""
    lows, highs = int64_array(lows_at, rows), int64_array(highs_at, rows)
    splits = int64_array(splits_at, rows + 1)
    steps = splits[rows]
    step_lows, step_highs = int64_array(step_lows_at, steps), int64_array(step_highs_at, steps)
    for row in range(rows):
        p, end = lows[row], highs[row]
        at = splits[row]
        while p < end:
            step_lows[at], step_highs[at] = length(p + 1, end)
            p = step_highs[at]
            at += 1
    return int64(0)


def measure_features(kind, features, lows_at, highs_at, counts_at):  # type: ignore[no-untyped-def]
    """Narrow the bounds of Features to those of their lists' contents, and count the values.

    Returns 0, or 1 if one is not plain or holds another kind of list.
    """
    lows, highs = int64_array(lows_at, features), int64_array(highs_at, features)
    counts = int64_array(counts_at, features)
    for i in range(features):
        p, end = lows[i], highs[i]
        counts[i] = 0
        if p == end:
            continue
        if int64(load_u8(p)) != (kind << 3 | 2):
            return int64(1)
        p, stop = length(p + 1, end)
        if p == 0 or stop != end:
            return int64(1)
        count = count_list(kind, p, end)
        if count < 0:
            return int64(1)
        if kind != 1 and count > 0 and load_u8(p) == 0x0A:
            # What follows a packed chunk is not skipped here, as it is in an Example.
            _, chunk_end = length(p + 1, end)
            if chunk_end != end:
                return int64(1)
        elif count == 0 and p != end:
            return int64(1)
        counts[i] = count
        lows[i] = p
    return int64(0)
