"""Numba kernels that copy byte strings to places of one size each, and back.

Loaded by `headrace.io.jit`, never imported directly.
"""

from __future__ import annotations

from .intrinsics import copy_bytes, load_i64, prefetch, store_i64

AHEAD = 4  # strings whose first lines are fetched while others are copied


def put_strings(data, starts, ends, count, slots, width, sizes, rows):  # type: ignore[no-untyped-def]
    """Copy string i into slot ``rows[i]`` and note its length there.

    Args:
        data: address of the strings' buffer.
        starts: address of `count` int64s: where strings begin in it.
        ends: address of `count` int64s: where they end, `width` bytes further on at most.
        slots: address of the slots, of `width` bytes each.
        sizes: address of an int64 per slot.
        rows: address of `count` int64s: slots.
    """
    for i in range(count):
        start, row = load_i64(starts + 8 * i), load_i64(rows + 8 * i)
        size = load_i64(ends + 8 * i) - start
        copy_bytes(slots + row * width, data + start, size)
        store_i64(sizes + 8 * row, size)
    return 0


def get_strings(slots, width, sizes, rows, count, out, ends):  # type: ignore[no-untyped-def]
    """Copy the strings in the slots `rows` to `out`, one behind the other; empty the slots.

    Args:
        slots: address of the slots, of `width` bytes each.
        sizes: address of an int64 per slot: the string's length, set to 0.
        rows: address of `count` int64s: slots.
        out: address of as many bytes as the strings have.
        ends: address of `count` int64s: where each string ends in `out`.

    Returns:
        How many bytes were copied.
    """
    end = 0
    for i in range(count):
        if i + AHEAD < count:
            following = slots + load_i64(rows + 8 * (i + AHEAD)) * width
            for line in range(0, 512, 64):
                prefetch(following + line)
        row = load_i64(rows + 8 * i)
        size = load_i64(sizes + 8 * row)
        copy_bytes(out + end, slots + row * width, size)
        store_i64(sizes + 8 * row, 0)
        end += size
        store_i64(ends + 8 * i, end)
    return end
