"""Numba kernels that parse serialized Examples straight to columns.

One compilation serves every set of features: the columns are a table (see the constants below)
of keys, kinds and destination addresses.  `parse_examples` decodes dense columns and notes
where variable-length lists are; `fill_lists` decodes those once their totals are known.

Only messages shaped as serializers write them are handled.  Whatever else comes (another
order of fields, duplicate keys, unknown fields, lengths that overrun, wrong types or counts)
marks the row, and the caller gives it to the exact parser (`headrace.io.parse_plain`), so this
code need not know what is an error and what merely unusual.  Every length is checked against
the end of what encloses it before it is used: no byte outside ``[starts[r], ends[r])`` is read.

Records of one file hold the same keys in the same order, mostly: the key at position j is first
compared with the key that was at position j in the record before, and looked up only if it
differs.
"""

from __future__ import annotations

import numba
from numba import int64, uint64

from .intrinsics import (
    copy_bytes,
    count_trailing_zeros,
    int32_array,
    int64_array,
    int64_table,
    load_u8,
    load_u32,
    load_u64,
    store_i64,
    store_u32,
    uint8_array,
    uint64_array,
)

# Fields of a row of the column table, int64 [columns, FIELDS].
KEY, KEY_SIZE, KIND, WANT, DEFAULT, OUT_A, OUT_B, OUT_C, FIELDS = range(9)
# KIND is the list's field number in a Feature: 1 bytes, 2 floats, 3 int64s.
# WANT is the number of values of a dense column, or -1 for a list of any length.
# DEFAULT is the address of the values for missing dense features; 0 if required; 1 to write
#   start -1 (strings, whose default lies in no record).
# OUT_A, OUT_B: dense: address of the values, or of starts and ends of strings;
#   lists: address of int64 [rows] bounds of each list's contents.  OUT_C: lists: counts.

PREDICTED = 512  # positions in a record for which the previous record's key is remembered

_inline = numba.njit(nogil=True, error_model="numpy", inline="never")
_ONES = 0x8080808080808080


@_inline
def _compress(word):  # type: ignore[no-untyped-def]
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
def _varint(p, end):  # type: ignore[no-untyped-def]
    """(value, position after it) of the varint at `p`; position 0 if there is none."""
    value = uint64(0)
    if p < end:
        b = uint64(load_u8(p))
        if b < uint64(128):
            return b, p + 1
    if end - p >= 8:
        word = load_u64(p)
        stops = ~word & uint64(_ONES)
        if stops != uint64(0):
            bits = count_trailing_zeros(stops)  # 8 * bytes - 1
            word = word & (uint64(0xFFFFFFFFFFFFFFFF) >> uint64(63 - bits))
            return _compress(word), p + ((bits + 1) >> 3)
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
def _length(p, end):  # type: ignore[no-untyped-def]
    """(payload start, payload end) of the length-delimited field whose length is at `p`;
    start 0 if it does not fit."""
    if p < end:
        b = int64(load_u8(p))
        if b < 128:
            if b <= end - p - 1:
                return p + 1, p + 1 + b
            return int64(0), int64(0)
    size, q = _varint(p, end)
    if q == 0 or size > uint64(end - q):
        return int64(0), int64(0)
    return q, q + int64(size)


@_inline
def _equal(a, b, size):  # type: ignore[no-untyped-def]
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
        if table[column, KEY_SIZE] == size and _equal(p, table[column, KEY], size):
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
def _count_ints(p, end):  # type: ignore[no-untyped-def]
    """Number of varints in ``[p, end)``; -1 unless all are whole and at most 10 bytes."""
    count = int64(0)
    run = 0
    while p < end:
        if run == 0 and end - p >= 8 and load_u64(p) & uint64(_ONES) == uint64(0):
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
def _count_list(kind, p, end):  # type: ignore[no-untyped-def]
    """Number of values of the list with contents ``[p, end)``; -1 if it is not plain."""
    if p == end:
        return int64(0)
    tag = load_u8(p)
    count = int64(0)
    if kind == 1:
        while p < end:
            if load_u8(p) != 0x0A:
                return int64(-1)
            q, p = _length(p + 1, end)
            if q == 0:
                return int64(-1)
            count += 1
        return count
    if tag == 0x0A:
        q, stop = _length(p + 1, end)
        if q == 0:
            return int64(-1)
        if kind == 3:
            return _count_ints(q, stop)
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
        _, p = _varint(p + 1, end)
        if p == 0:
            return int64(-1)
        count += 1
    return count


@_inline
def _decode_list(kind, p, end, base, count, out_a, out_b):  # type: ignore[no-untyped-def]
    """Write the values of a list that `_count_list` counted."""
    if count == 0:
        return
    if kind == 1:
        for i in range(count):
            q, p = _length(p + 1, end)
            store_i64(out_a + 8 * i, q - base)
            store_i64(out_b + 8 * i, p - base)
        return
    packed = load_u8(p) == 0x0A
    if packed:
        p, end = _length(p + 1, end)
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
        value, p = _varint(p, end)
        store_i64(out_a + 8 * i, int64(value))


@_inline
def _dense(row, p, end, base, column, table):  # type: ignore[no-untyped-def]
    """Decode the list with contents ``[p, end)`` to row `row`; whether that went plainly."""
    want = table[column, WANT]
    kind = table[column, KIND]
    out = table[column, OUT_A]
    if want == 1 and p < end and load_u8(p) == 0x0A:
        # The hot case, one value, written as serializers do.
        q, stop = _length(p + 1, end)
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
        value, q = _varint(q, stop)
        store_i64(out + 8 * row, int64(value))
        return q == stop
    if _count_list(kind, p, end) != want:
        return False
    at = row * want
    if kind == 2:
        _decode_list(kind, p, end, base, want, out + 4 * at, int64(0))
    else:
        _decode_list(kind, p, end, base, want, out + 8 * at, table[column, OUT_B] + 8 * at)
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
def _scalar(row, p, value_end, base, column, table):  # type: ignore[no-untyped-def]
    """Decode a short Feature field at `p` that holds one packed value; whether it does.

    With one value everything but the value's bytes follows from the size:
    12 size | list tag, size-2 | 0a, size-4 | value.  So six bytes are checked at once.
    The caller has seen to it that 8 bytes can be read at `p` and that ``value_end - p < 130``.
    """
    if value_end - p < 6:
        return False
    size = uint64(value_end - p - 2)
    kind = uint64(table[column, KIND])
    expected = (
        uint64(0x0A00020012)
        + (kind << uint64(19))
        + (size << uint64(8))
        + ((size - uint64(2)) << uint64(24))
        + ((size - uint64(4)) << uint64(40))
    )
    if load_u64(p) & uint64(0xFFFFFFFFFFFF) != expected:
        return False
    out = table[column, OUT_A]
    size -= uint64(4)
    if kind == uint64(3):
        if size - uint64(1) > uint64(7):
            return False
        # The field is at least 7 bytes long and follows a key field: 8 bytes end here.
        word = load_u64(value_end - 8) >> (uint64(64) - (size << uint64(3)))
        stops = uint64(_ONES) >> (uint64(64) - (size << uint64(3)))
        if word & stops != stops & ~(uint64(0x80) << ((size - uint64(1)) << uint64(3))):
            return False
        store_i64(out + 8 * row, int64(_compress(word)))
        return True
    if kind == uint64(2):
        if size != uint64(4):
            return False
        store_u32(out + 4 * row, load_u32(p + 6))
        return True
    store_i64(out + 8 * row, p + 6 - base)
    store_i64(table[column, OUT_B] + 8 * row, value_end - base)
    return True


@_inline
def _row(row, p, end, base, table, slots, seen, guess, guess_at, guess_size, words, masks):  # type: ignore[no-untyped-def]
    """Parse one record to row `row`; whether it was a plain one."""
    entry = 0
    found = 0
    while p < end:
        if load_u8(p) != 0x0A:
            return False
        p, features_end = _length(p + 1, end)
        if p == 0:
            return False
        while p < features_end:
            if load_u8(p) != 0x0A:
                return False
            p, entry_end = _length(p + 1, features_end)
            if p == 0 or p == entry_end:
                return False
            # The first word of the entry holds the key's tag and size and, mostly, the key.
            if (
                entry < PREDICTED
                and entry_end - p >= 8
                and load_u64(p) & masks[entry] == words[entry]
                and guess_size[entry] < entry_end - p - 2
                and (
                    guess_size[entry] <= 6
                    or _equal(guess_at[entry] + 6, p + 8, guess_size[entry] - 6)
                )
            ):
                guess_at[entry] = p + 2
                column = guess[entry]
                p += 2 + guess_size[entry]
            else:
                if load_u8(p) != 0x0A:
                    return False
                key, p = _length(p + 1, entry_end)
                if key == 0 or p == entry_end:
                    return False
                size = p - key
                column = _lookup(key, size, table, slots)
                if entry < PREDICTED:
                    guess[entry] = column
                    guess_at[entry] = key
                    guess_size[entry] = size
                    masks[entry] = uint64(0)
                    words[entry] = uint64(1)  # matches nothing
                    if (
                        size < 128
                        and entry_end - key >= 6
                        and load_u8(key - 2) == 0x0A
                        and int64(load_u8(key - 1)) == size
                    ):
                        if size < 6:
                            masks[entry] = uint64(0xFFFFFFFFFFFFFFFF) >> uint64(48 - 8 * size)
                        else:
                            masks[entry] = uint64(0xFFFFFFFFFFFFFFFF)
                        words[entry] = load_u64(key - 2) & masks[entry]
            entry += 1
            if column < 0:
                # Skipped, once it is seen to be a well-formed entry.
                if load_u8(p) != 0x12:
                    return False
                p, value_end = _length(p + 1, entry_end)
                if p == 0 or value_end != entry_end:
                    return False
                p = entry_end
                continue
            if seen[column] == row:
                return False
            if table[column, WANT] == 1 and entry_end - p < 130 and end - p >= 8:
                if _scalar(row, p, entry_end, base, column, table):
                    seen[column] = row
                    found += 1
                    p = entry_end
                    continue
            if load_u8(p) != 0x12:
                return False
            p, value_end = _length(p + 1, entry_end)
            if p == 0 or value_end != entry_end:
                return False
            if p == entry_end:
                # An empty Feature: missing if dense, but it may hide an earlier one if not.
                if table[column, WANT] < 0:
                    return False
                continue
            seen[column] = row
            found += 1
            if int64(load_u8(p)) != (table[column, KIND] << 3 | 2):
                return False
            p, list_end = _length(p + 1, entry_end)
            if p == 0:
                return False
            if table[column, WANT] >= 0:
                if not _dense(row, p, list_end, base, column, table):
                    return False
            else:
                count = _count_list(table[column, KIND], p, list_end)
                if count < 0:
                    return False
                store_i64(table[column, OUT_A] + 8 * row, p)
                store_i64(table[column, OUT_B] + 8 * row, list_end)
                store_i64(table[column, OUT_C] + 8 * row, count)
            p = entry_end
        # Further Features messages are merged by the loop.
    if found < len(table):
        for column in range(len(table)):
            if seen[column] != row:
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
    [rows]; int64 [columns + 5 * PREDICTED] of working memory.
    """
    starts, ends = int64_array(starts_at, rows), int64_array(ends_at, rows)
    table = int64_table(table_at, columns, FIELDS)
    slots = int32_array(slots_at, slots_size)
    unusual = uint8_array(unusual_at, rows)
    guess = int64_array(scratch_at, PREDICTED)
    guess_at = int64_array(scratch_at + 8 * PREDICTED, PREDICTED)
    guess_size = int64_array(scratch_at + 16 * PREDICTED, PREDICTED)
    words = uint64_array(scratch_at + 24 * PREDICTED, PREDICTED)
    masks = uint64_array(scratch_at + 32 * PREDICTED, PREDICTED)
    seen = int64_array(scratch_at + 40 * PREDICTED, columns)
    for i in range(PREDICTED):
        guess_size[i] = 0
        words[i] = uint64(1)  # with a mask of 0 it matches nothing
        masks[i] = uint64(0)
    for column in range(columns):
        seen[column] = -1
    left = 0
    for row in range(rows):
        inside = starts[row] >= 0 and ends[row] >= starts[row] and ends[row] <= size
        plain = inside and _row(
            row, base + starts[row], base + ends[row], base, table, slots, seen,
            guess, guess_at, guess_size, words, masks,
        )  # fmt: skip
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
            _decode_list(
                kind, lows[row], highs[row], base, splits[row + 1] - at,
                out_a + width * at, out_b + width * at,
            )  # fmt: skip
    return int64(0)
