"""Numba kernels over the bytes of a CSV file: where fields end, and what they hold.

Loaded by `headrace.io.jit`, never imported directly.  `csv_index` notes the ends of fields, 64
bytes at a time; `csv_rows` converts the fields, up to the first record that is not plainly
right, which the caller reads otherwise.  Positions count from `data`; 64 bytes behind the text
can be read.
"""

from __future__ import annotations

import numba
from numba import float32, int64, uint8, uint32, uint64

from .decimal_kernel import float_of, integer_of, trimmed
from .intrinsics import (
    count_leading_zeros,
    count_ones,
    count_trailing_zeros,
    double_of_bits,
    load_u8,
    load_u32,
    load_u64,
    match_64,
    store_f32,
    store_f64,
    store_i64,
    store_u8,
    store_u32,
)

# What `csv_index` and `csv_rows` say about the text, int64s.
HAS_QUOTES, HAS_RETURNS, HAS_ESCAPES, IS_WRONG, FACTS = range(5)
# Fields of a row of the table of columns, int64 [columns, SIZE].
FIELD, KIND, HAS_DEFAULT, DEFAULT, DEFAULT_END, OUT, OUT_END, SIZE = range(8)
INT32, INT64, FLOAT32, FLOAT64, STRING = range(5)  # values of KIND
# DEFAULT: an integer, the bits of a float64, or (and DEFAULT_END) where a string lies.
# OUT: the address of values; of strings that of starts (and OUT_END of ends).

_BLOCK = 256  # rows whose columns are converted in turn, while the text is in the cache
_inline = numba.njit(nogil=True, error_model="numpy", forceinline=True)


@_inline
def _inside(quotes, before):  # type: ignore[no-untyped-def]
    """Which bytes lie inside quotes, opening ones included; `before` is of the byte before."""
    bits = quotes
    for shift in (1, 2, 4, 8, 16, 32):
        bits ^= bits << uint64(shift)
    return ~bits if before != uint64(0) else bits


def csv_index(data, start, end, delimiter, quoting, out, facts):  # type: ignore[no-untyped-def]
    """Write twice the position of every field's end, and 1 more if it is a record's end.

    Stops where quotes are wrong.  A carriage return before a line feed is no end, one alone is.

    Args:
        start, end: the text; the byte at `end` can be read.
        quoting: whether double quotes enclose fields.
        out: address of uint32s, as many as there are bytes and 64 more.
        facts: address of `FACTS` zeros.

    Returns:
        How many there are.
    """
    count = 0
    inside = uint64(0)  # bit 0: what the last byte of the block before was
    broke, closed = uint64(1), uint64(0)
    quotes = uint64(0)
    for base in range(start, end, 64):
        address = data + base
        valid = ~uint64(0)
        if end - base < 64:
            valid = (uint64(1) << uint64(end - base)) - uint64(1)
        feeds = match_64(address, uint8(10))
        returns = match_64(address, uint8(13)) & valid
        ends = feeds & valid
        fields = match_64(address, uint8(delimiter)) & valid
        breaks = fields | ends
        if returns != uint64(0):
            store_i64(facts + 8 * HAS_RETURNS, 1)
            following = uint64(load_u8(address + 64) == 10) << uint64(63)
            ends |= returns & ~((feeds >> uint64(1)) | following)
            breaks |= returns
        if quoting:
            quotes = match_64(address, uint8(34)) & valid
        stop = False
        if quotes | inside | closed != uint64(0):
            store_i64(facts + 8 * HAS_QUOTES, 1)
            within = _inside(quotes, inside)
            ends &= ~within
            fields &= ~within
            breaks &= ~within
            opening, closing = quotes & within, quotes & ~within
            after_close = (closing << uint64(1)) | closed
            if opening & after_close != uint64(0):
                store_i64(facts + 8 * HAS_ESCAPES, 1)
            wrong = opening & ~((breaks << uint64(1)) | broke | after_close)
            wrong |= after_close & ~(breaks | quotes) & valid
            if wrong != uint64(0):
                store_i64(facts + 8 * IS_WRONG, 1)
                before = (wrong & -wrong) - uint64(1)
                ends &= before
                fields &= before
                stop = True
            inside, closed = within >> uint64(63), closing >> uint64(63)
        broke = breaks >> uint64(63)
        found = fields | ends
        position = out + 4 * count
        count += count_ones(found)
        first = 2 * base
        while found != uint64(0):
            # Four at a time, whether or not there are so many: fewer branches to mispredict.
            for k in range(4):
                at = count_trailing_zeros(found)
                last = (ends >> (uint64(at) & uint64(63))) & uint64(1)
                store_u32(position + 4 * k, uint32(uint64(first + 2 * at) | last))
                found &= found - uint64(1)
            position += 16
        if stop:
            break
    return count


@_inline
def _is_text(data, start, end, text, size):  # type: ignore[no-untyped-def]
    if end - start != size:
        return False
    for k in range(size):
        if load_u8(data + start + k) != load_u8(text + k):
            return False
    return True


@_inline
def _regular(index, row, stop, width):  # type: ignore[no-untyped-def]
    """The first row from `row` on that has not `width` fields; `stop` if all have."""
    while row < stop:
        at = index + 4 * width * row
        early = uint32(0)
        for k in range(width - 1):
            early |= load_u32(at + 4 * k)
        if early & uint32(1) or not load_u32(at + 4 * (width - 1)) & uint32(1):
            break
        row += 1
    return row


@_inline
def _bounds(data, index, row, width, field, start, quotes, returns):  # type: ignore[no-untyped-def]
    """Where the text of a field lies, its quotes left out."""
    k = row * width + field
    low = start
    if k > 0:
        low = (int64(load_u32(index + 4 * k - 4)) >> 1) + 1
    high = int64(load_u32(index + 4 * k)) >> 1
    if returns and field == width - 1 and high > low:
        if load_u8(data + high) == 10 and load_u8(data + high - 1) == 13:
            high -= 1
    if quotes and high > low and load_u8(data + low) == 34:
        low += 1
        high -= 1
    return low, high


@_inline
def _convert(data, index, row, stop, width, start, quotes, returns, na, na_size, column):  # type: ignore[no-untyped-def]
    """Convert one column's rows from `row` to `stop`; the first that is not plainly right."""
    field, kind = int64(load_u64(column + 8 * FIELD)), int64(load_u64(column + 8 * KIND))
    given = load_u64(column + 8 * HAS_DEFAULT) != uint64(0)
    out, out_end = int64(load_u64(column + 8 * OUT)), int64(load_u64(column + 8 * OUT_END))
    most = 2147483647 if kind == INT32 else 9223372036854775807
    while row < stop:
        low, high = _bounds(data, index, row, width, field, start, quotes, returns)
        empty = low == high or (na_size > 0 and _is_text(data, low, high, na, na_size))
        if empty and not given:
            break
        default = load_u64(column + 8 * DEFAULT)
        if kind == STRING:
            if empty:
                low, high = int64(default), int64(load_u64(column + 8 * DEFAULT_END))
            store_i64(out + 8 * row, low)
            store_i64(out_end + 8 * row, high)
        elif kind == INT32 or kind == INT64:
            value, good, tries = int64(default), empty, 0
            while not good and tries < 2:
                if tries:
                    low, high = trimmed(data, low, high)
                value, good = integer_of(data, low, high, most)
                tries += 1
            if not good:
                break
            if kind == INT32:
                store_u32(out + 4 * row, uint32(value))
            else:
                store_i64(out + 8 * row, value)
        else:
            number, good, tries = double_of_bits(default), empty, 0
            while not good and tries < 2:
                if tries:
                    low, high = trimmed(data, low, high)
                number, good = float_of(data, low, high, kind == FLOAT32)
                tries += 1
            if not good:
                break
            if kind == FLOAT32:
                store_f32(out + 4 * row, float32(number))
            else:
                store_f64(out + 8 * row, number)
        row += 1
    return row


def csv_rows(data, index, count, width, start, facts, na, na_size, columns, num_columns):  # type: ignore[no-untyped-def]
    """Convert the fields of records that `csv_index` found.

    Args:
        index, count: what it wrote.
        width: fields of a record.
        start: where the text begins.
        facts: what it said.
        na, na_size: what counts as empty, besides nothing.
        columns: address of the table of columns.

    Returns:
        How many records, from the first on, are plainly right.  `IS_WRONG` says whether the
        next one is wrong, or at least unusual; otherwise it is incomplete.
    """
    quotes = load_u64(facts + 8 * HAS_QUOTES) != uint64(0)
    returns = load_u64(facts + 8 * HAS_RETURNS) != uint64(0)
    rows = count // width
    row = 0
    while row < rows:
        stop = min(row + _BLOCK, rows)
        good = _regular(index, row, stop, width)
        for k in range(num_columns):
            good = _convert(
                data, index, row, good, width, start, quotes, returns, na, na_size,
                columns + 8 * SIZE * k,
            )  # fmt: skip
        row = good
        if good < stop:
            store_i64(facts + 8 * IS_WRONG, 1)
            return row
    for k in range(rows * width, count):  # a shorter record
        if load_u32(index + 4 * k) & uint32(1):
            store_i64(facts + 8 * IS_WRONG, 1)
    return row


def csv_unescape(data, starts, ends, rows, first):  # type: ignore[no-untyped-def]
    """Make one quote of two in the strings of a column, in place.

    Args:
        starts, ends: addresses of the strings' bounds; the ends move.
        first: where the text begins; strings before it are defaults.
    """
    for row in range(rows):
        low = int64(load_u64(starts + 8 * row))
        high = int64(load_u64(ends + 8 * row))
        if low < first:
            continue
        to = low
        while low < high:
            byte = load_u8(data + low)
            store_u8(data + to, byte)
            low += 2 if byte == 34 else 1
            to += 1
        store_i64(ends + 8 * row, to)
    return rows


def csv_cut(data, start, end, quoting, lines):  # type: ignore[no-untyped-def]
    """Where the last record ends that a line feed outside quotes ends; `start` if none.

    Args:
        lines: address of an int64, the number of line feeds up to there.
    """
    cut, count, before = start, 0, 0
    inside = uint64(0)
    for base in range(start, end, 64):
        address = data + base
        valid = ~uint64(0)
        if end - base < 64:
            valid = (uint64(1) << uint64(end - base)) - uint64(1)
        feeds = match_64(address, uint8(10)) & valid
        ends = feeds
        if quoting:
            within = _inside(match_64(address, uint8(34)) & valid, inside)
            inside = within >> uint64(63)
            ends &= ~within
        if ends != uint64(0):
            last = 63 - count_leading_zeros(ends)
            cut = base + last + 1
            before = count + count_ones(feeds << uint64(63 - last))
        count += count_ones(feeds)
    store_i64(lines, before)
    return cut
