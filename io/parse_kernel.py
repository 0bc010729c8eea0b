"""Numba kernels that parse serialized Examples straight to columns.

One compilation serves every set of features: the columns are a table (see the constants below)
of keys, kinds and destination addresses.  `parse_examples` decodes dense columns and notes
where variable-length lists are; `fill_lists` decodes those once their totals are known.

Only messages shaped as serializers write them are handled.  Whatever else comes (another
order of fields, duplicate keys, unknown fields, lengths that overrun, wrong types or counts)
marks the row, and the caller gives it to the exact parser (`headrace.io.parse_plain`), so this
code need not know what is an error and what merely unusual.  Every length is checked against
the end of what encloses it before it is used: no byte outside ``[starts[r], ends[r])`` is read.

Records of one file hold the same keys in the same order, mostly: what stands at position j of a
record is first compared with what stood at position j of the record before, two words that hold
its tags, sizes and key at once, and looked up only if it differs.
"""

from __future__ import annotations

import numba
from numba import int64, uint64

from .intrinsics import (
    copy_bytes,
    int32_array,
    int64_array,
    int64_table,
    load_i64,
    load_u8,
    load_u32,
    load_u64,
    store_i64,
    store_u32,
    uint8_array,
)
from .wire_kernel import CONTINUED, compress, count_list, decode_list, equal, length, varint

# Fields of a row of the column table, int64 [columns, FIELDS].
KEY, KEY_SIZE, KIND, WANT, DEFAULT, OUT_A, OUT_B, OUT_C, FIELDS = range(9)
# KIND is the list's field number in a Feature: 1 bytes, 2 floats, 3 int64s.
# WANT is the number of values of a dense column, or -1 for a list of any length.
# DEFAULT is the address of the values for missing dense features; 0 if required; 1 to write
#   start -1 (strings, whose default lies in no record).
# OUT_A, OUT_B: dense: address of the values, or of starts and ends of strings;
#   lists: address of int64 [rows] bounds of each list's contents.  OUT_C: lists: counts.

PREDICTED = 512  # positions in a record for which something is expected
# What is expected of an entry (see `_expect`): offsets of 8-byte fields.
_NEED, _FIRST_MASK, _FIRST, _SECOND, _KEY_SIZE, _KEY_AT = range(0, 48, 8)
_FORM, _TARGET, _TARGET_ENDS, _SEEN_AT, _COLUMN = range(48, 88, 8)
HINT_BYTES = 88
_NEVER = 1 << 62  # more bytes than there are
_TIMES_L = 0x0100010001000000  # L in bytes 3, 5 and 7
_UNWANTED, _OTHER = 0, 4  # forms besides KIND's: to be skipped; several values or a list

_inline = numba.njit(nogil=True, error_model="numpy", inline="never")


@_inline
def key_hash(p, size):  # type: ignore[no-untyped-def]
    """A hash of the key of `size` bytes at `p`."""
    h = uint64(size) * uint64(0x9E3779B97F4A7C15)
    i = 0
    while size - i >= 8:
        h = (h ^ load_u64(p + i)) * uint64(0x9E3779B97F4A7C15)
        h ^= h >> uint64(29)
        i += 8
    while i < size:
        h = (h ^ uint64(load_u8(p + i))) * uint64(0x9E3779B97F4A7C15)
        i += 1
    return h ^ (h >> uint64(32))


@_inline
def _lookup(p, size, table, slots):  # type: ignore[no-untyped-def]
    mask = uint64(len(slots) - 1)
    at = key_hash(p, size) & mask
    while True:
        column = int64(slots[at])
        if column < 0:
            return int64(-1)
        if table[column, KEY_SIZE] == size and equal(p, table[column, KEY], size):
            return column
        at = (at + uint64(1)) & mask


def fill_slots(table_at, columns, slots_at, size):  # type: ignore[no-untyped-def]
    """Build the hash table over the keys of the column table: `size` int32s, a power of two,
    all -1 beforehand."""
    table = int64_table(table_at, columns, FIELDS)
    slots = int32_array(slots_at, size)
    mask = uint64(len(slots) - 1)
    for column in range(len(table)):
        at = key_hash(table[column, KEY], table[column, KEY_SIZE]) & mask
        while slots[at] >= 0:
            at = (at + uint64(1)) & mask
        slots[at] = column
    return int64(0)


@_inline
def _dense(row, p, end, base, column, table):  # type: ignore[no-untyped-def]
    """Decode the list with contents ``[p, end)`` to row `row`; whether that went plainly."""
    want = table[column, WANT]
    kind = table[column, KIND]
    out = table[column, OUT_A]
    if want == 1 and p < end and load_u8(p) == 0x0A:
        # The hot case, one value, written as serializers do.
        q, stop = length(p + 1, end)
        if q == 0:
            return False
        if kind == 1:
            if stop != end:
                return False
            store_i64(out + 8 * row, q - base)
            store_i64(table[column, OUT_B] + 8 * row, stop - base)
            return True
        if kind == 2:
            if stop - q != 4:
                return False
            store_u32(out + 4 * row, load_u32(q))
            return True
        value, q = varint(q, stop)
        store_i64(out + 8 * row, int64(value))
        return q == stop
    if count_list(kind, p, end) != want:
        return False
    at = row * want
    if kind == 2:
        decode_list(kind, p, end, base, want, out + 4 * at, int64(0))
    else:
        decode_list(kind, p, end, base, want, out + 8 * at, table[column, OUT_B] + 8 * at)
    return True


@_inline
def _missing(row, column, table):  # type: ignore[no-untyped-def]
    """Give dense column `column` its default; whether it has one."""
    want = table[column, WANT]
    default = table[column, DEFAULT]
    if default == 0:
        return False
    if table[column, KIND] == 1:
        for i in range(row * want, (row + 1) * want):
            store_i64(table[column, OUT_A] + 8 * i, int64(-1))
            store_i64(table[column, OUT_B] + 8 * i, int64(-1))
    else:
        size = want * (4 if table[column, KIND] == 2 else 8)
        copy_bytes(table[column, OUT_A] + row * size, default, size)
    return True


@_inline
def _expect(hint, key, size, column, table, seen_at):  # type: ignore[no-untyped-def]
    """Fill in what is expected of the entry at this position in the next record.

    With one value, everything of an entry but the value's bytes follows from the key and from
    the entry's size L, if that is below 128 (so all sizes have one byte):

        0a L | 0a K key | 12 L-K-4 | list tag, L-K-6 | 0a L-K-8 | value

    `_FIRST` is the word at the entry's beginning, where `_FIRST_MASK` has bits; the one that
    ends where the value begins is ``_SECOND + L * _TIMES_L``, all of it or, of a feature
    nobody wants, its lower half.
    """
    store_i64(hint + _NEED, int64(_NEVER))
    if size >= 128 or load_u8(key - 2) != 0x0A or int64(load_u8(key - 1)) != size:
        return
    first = uint64(0x0A000A) | uint64(size) << uint64(24)
    mask = uint64(0xFFFF80FF)
    for i in range(min(size, 4)):
        first |= uint64(load_u8(key + i)) << uint64(32 + 8 * i)
        mask |= uint64(0xFF) << uint64(32 + 8 * i)
    form = int64(_UNWANTED)
    if column >= 0:
        form = table[column, KIND] if table[column, WANT] == 1 else int64(_OTHER)
        store_i64(hint + _TARGET, table[column, OUT_A])
        store_i64(hint + _TARGET_ENDS, table[column, OUT_B])
        store_i64(hint + _SEEN_AT, seen_at + 8 * column)
    if form == 2:
        first |= uint64(size + 12) << uint64(8)
        mask |= uint64(0xFF00)
    tag = uint64(form << 3 | 2)
    k = uint64(size)
    second = (
        uint64(load_u8(key + size - 2))
        + (uint64(load_u8(key + size - 1)) << uint64(8))
        + (uint64(0x12) << uint64(16))
        - ((k + uint64(4)) << uint64(24))
        + (tag << uint64(32))
        - ((k + uint64(6)) << uint64(40))
        + (uint64(0x0A) << uint64(48))
        - ((k + uint64(8)) << uint64(56))
    )
    store_i64(hint + _FIRST, int64(first))
    store_i64(hint + _FIRST_MASK, int64(mask))
    store_i64(hint + _SECOND, int64(second))
    store_i64(hint + _KEY_AT, key)
    store_i64(hint + _KEY_SIZE, size)
    store_i64(hint + _COLUMN, column)
    store_i64(hint + _FORM, form)
    store_i64(hint + _NEED, size + 10)


@_inline
def _as_expected(hint, p, end):  # type: ignore[no-untyped-def]
    """Whether the entry at `p` is the expected one, with one value or unwanted."""
    if end - p < load_i64(hint + _NEED):
        return False
    first = load_u64(p)
    if first & load_u64(hint + _FIRST_MASK) != load_u64(hint + _FIRST):
        return False
    size = (first >> uint64(8)) & uint64(0xFF)
    if int64(size) > end - p - 2:
        return False
    key_size = load_i64(hint + _KEY_SIZE)
    second = load_u64(hint + _SECOND) + size * uint64(_TIMES_L)
    different = load_u64(p + 2 + key_size) ^ second
    if load_i64(hint + _FORM) == _UNWANTED:
        if int64(size) < key_size + 4:
            return False
        different &= uint64(0xFFFFFFFF)
    if different != uint64(0):
        return False
    return key_size <= 6 or equal(load_i64(hint + _KEY_AT) + 4, p + 8, key_size - 6)


@_inline
def _is_key(hint, p, end):  # type: ignore[no-untyped-def]
    """Whether the expected key begins at `p`, and a value after it."""
    if end - p < load_i64(hint + _NEED):
        return False
    mask = load_u64(hint + _FIRST_MASK) >> uint64(16)
    if load_u64(p) & mask != load_u64(hint + _FIRST) >> uint64(16):
        return False
    size = load_i64(hint + _KEY_SIZE)
    return size <= 4 or equal(load_i64(hint + _KEY_AT) + 4, p + 6, size - 4)


@_inline
def _take(hint, row, p, entry_end, base):  # type: ignore[no-untyped-def]
    """Decode the value of an entry that is as expected to row `row`; whether that went."""
    form = load_i64(hint + _FORM)
    value = p + load_i64(hint + _NEED)
    size = uint64(entry_end - value)
    out = load_i64(hint + _TARGET)
    if form == 3:
        if size - uint64(1) > uint64(7):
            return False
        # What comes before the value is longer than 8 bytes.
        shift = uint64(64) - (size << uint64(3))
        word = load_u64(entry_end - 8) >> shift
        more = uint64(CONTINUED) >> shift
        if word & more != more >> uint64(8):
            return False
        store_i64(out + 8 * row, int64(compress(word)))
        return True
    if form == 2:
        store_u32(out + 4 * row, load_u32(value))
        return True
    if size > uint64(127):  # less than no bytes
        return False
    store_i64(out + 8 * row, value - base)
    store_i64(load_i64(hint + _TARGET_ENDS) + 8 * row, entry_end - base)
    return True


@_inline
def _row(row, p, end, base, table, slots, hints, seen_at):  # type: ignore[no-untyped-def]
    """Parse one record to row `row`; whether it was a plain one."""
    hint = hints
    last = hints + PREDICTED * HINT_BYTES
    found = 0
    while p < end:
        if load_u8(p) != 0x0A:
            return False
        p, features_end = length(p + 1, end)
        if p == 0:
            return False
        while p < features_end:
            here = hint
            if here < last:
                hint += HINT_BYTES
                if _as_expected(here, p, features_end):
                    entry_end = p + 2 + int64(load_u8(p + 1))
                    form = load_i64(here + _FORM)
                    if form == _UNWANTED:
                        p = entry_end
                        continue
                    if form != _OTHER and _take(here, row, p, entry_end, base):
                        seen = load_i64(here + _SEEN_AT)
                        if load_i64(seen) == row:
                            return False
                        store_i64(seen, row)
                        found += 1
                        p = entry_end
                        continue
            if load_u8(p) != 0x0A:
                return False
            p, entry_end = length(p + 1, features_end)
            if p == 0 or p == entry_end:
                return False
            if here < last and _is_key(here, p, entry_end):
                column = load_i64(here + _COLUMN)
                p += 2 + load_i64(here + _KEY_SIZE)
            else:
                if load_u8(p) != 0x0A:
                    return False
                key, p = length(p + 1, entry_end)
                if key == 0 or p == entry_end:
                    return False
                column = _lookup(key, p - key, table, slots)
                if here < last:
                    _expect(here, key, p - key, column, table, seen_at)
            if column < 0:
                # Skipped, once it is seen to be a well-formed entry.
                if load_u8(p) != 0x12:
                    return False
                p, value_end = length(p + 1, entry_end)
                if p == 0 or value_end != entry_end:
                    return False
                p = entry_end
                continue
            seen = seen_at + 8 * column
            if load_i64(seen) == row:
                return False
            if load_u8(p) != 0x12:
                return False
            p, value_end = length(p + 1, entry_end)
            if p == 0 or value_end != entry_end:
                return False
            if p == entry_end:
                # An empty Feature: missing if dense, but it may hide an earlier one if not.
                if table[column, WANT] < 0:
                    return False
                continue
            store_i64(seen, row)
            found += 1
            if int64(load_u8(p)) != (table[column, KIND] << 3 | 2):
                return False
            p, list_end = length(p + 1, entry_end)
            if p == 0:
                return False
            if table[column, WANT] >= 0:
                if not _dense(row, p, list_end, base, column, table):
                    return False
            else:
                count = count_list(table[column, KIND], p, list_end)
                if count < 0:
                    return False
                store_i64(table[column, OUT_A] + 8 * row, p)
                store_i64(table[column, OUT_B] + 8 * row, list_end)
                store_i64(table[column, OUT_C] + 8 * row, count)
            p = entry_end
        # Further Features messages are merged by the loop.
    if found < len(table):
        for column in range(len(table)):
            if load_i64(seen_at + 8 * column) != row:
                if table[column, WANT] < 0:
                    store_i64(table[column, OUT_A] + 8 * row, int64(0))
                    store_i64(table[column, OUT_B] + 8 * row, int64(0))
                    store_i64(table[column, OUT_C] + 8 * row, int64(0))
                elif not _missing(row, column, table):
                    return False
    return True


def parse_examples(base, size, rows, starts_at, ends_at, table_at, columns, slots_at,
                   slots_size, unusual_at, scratch_at):  # type: ignore[no-untyped-def]  # fmt: skip
    """Parse all records; how many rows are left to the exact parser, marked in `unusual`.

    Args: address and number of the bytes; int64 [rows] bounds; column table; hash table; uint8
    [rows]; int64 [columns] and then PREDICTED hints of working memory.
    """
    starts, ends = int64_array(starts_at, rows), int64_array(ends_at, rows)
    table = int64_table(table_at, columns, FIELDS)
    slots = int32_array(slots_at, slots_size)
    unusual = uint8_array(unusual_at, rows)
    seen_at, hints = scratch_at, scratch_at + 8 * columns
    for i in range(PREDICTED):
        store_i64(hints + i * HINT_BYTES + _NEED, int64(_NEVER))
    for column in range(columns):
        store_i64(seen_at + 8 * column, int64(-1))
    left = 0
    for row in range(rows):
        inside = starts[row] >= 0 and ends[row] >= starts[row] and ends[row] <= size
        plain = inside and _row(
            row, base + starts[row], base + ends[row], base, table, slots, hints, seen_at
        )
        unusual[row] = not plain
        if not plain:
            left += 1
            for column in range(columns):
                if table[column, WANT] < 0:
                    store_i64(table[column, OUT_A] + 8 * row, int64(0))
                    store_i64(table[column, OUT_B] + 8 * row, int64(0))
                    store_i64(table[column, OUT_C] + 8 * row, int64(0))
    return left


def fill_lists(kind, base, rows, lows_at, highs_at, splits_at, out_a, out_b):  # type: ignore[no-untyped-def]
    """Decode the lists that `parse_examples` found in one column.

    List r has contents ``[lows[r], highs[r])`` (addresses; none where both are 0) and goes to
    values ``splits[r]`` on.  Strings: bounds relative to `base` to `out_a`, `out_b`.
    """
    lows, highs = int64_array(lows_at, rows), int64_array(highs_at, rows)
    splits = int64_array(splits_at, rows + 1)
    width = 4 if kind == 2 else 8
    for row in range(rows):
        if lows[row] != highs[row]:
            at = splits[row]
            decode_list(
                kind, lows[row], highs[row], base, splits[row + 1] - at,
                out_a + width * at, out_b + width * at,
            )  # fmt: skip
    return int64(0)
