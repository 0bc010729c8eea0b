"""Numba functions that read decimal numbers: integers, and floats rounded correctly.

What they do not read (more digits than 64 bits hold, subnormal results, hexadecimal) they
refuse, and the caller reads it otherwise.  Eight digits are converted at a time, within one
word.  Functions read up to 16 bytes from the start of the text, and 8 behind it.

Floats: Clinger's fast path where mantissa and power of ten are exact doubles, else the
algorithm of Eisel and Lemire (Lemire, "Number Parsing at a Gigabyte per Second", 2021).
"""

from __future__ import annotations

import numba
import numpy as np
from numba import float64, int64, uint64

from .intrinsics import (
    bits_of_double,
    count_leading_zeros,
    count_trailing_zeros,
    double_of_bits,
    load_u8,
    load_u64,
    multiply_high,
)

__all__ = ["float_of", "integer_of", "trimmed"]

_inline = numba.njit(nogil=True, error_model="numpy", forceinline=True)
_apart = numba.njit(nogil=True, error_model="numpy", inline="never")  # what is seldom run

_LEAST_POWER, _MOST_POWER = -342, 308


def _powers_of_five() -> np.ndarray:
    """The leading 128 bits of 5**q, those of negative q rounded up; `uint64` [powers, 2]."""
    rows = []
    for q in range(_LEAST_POWER, _MOST_POWER + 1):
        power = 5 ** abs(q)
        shift = power.bit_length() - 128
        if q >= 0:
            bits = power >> shift if shift > 0 else power << -shift
        else:
            bits = (1 << (power.bit_length() + 127)) // power + 1
            bits >>= max(bits.bit_length() - 128, 0)
        rows.append([bits >> 64, bits & (2**64 - 1)])
    return np.array(rows, np.uint64)


_FIVES = _powers_of_five()
_TENS = np.array([10.0**k for k in range(23)])  # the powers that are exact doubles
_LEAST_SINGLE, _MOST_SINGLE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_INF, _NAN = 0x666E69, 0x6E616E  # in lower case, as little-endian words


@_inline
def _digits(word, count):  # type: ignore[no-untyped-def]
    """The first `count` (1 to 8) characters of a word as a number, and nonzero if one of them
    is no digit."""
    # Zeros come before the digits: one way for all lengths, without a branch to mispredict.
    word = (word ^ uint64(0x3030303030303030)) << uint64(8 * (8 - count))
    strange = ((word + uint64(0x7676767676767676)) | word) & uint64(0x8080808080808080)
    word = word * uint64(10) + (word >> uint64(8))  # pairs, in every other byte
    high = (word & uint64(0x000000FF000000FF)) * uint64(0x000F424000000064)
    low = ((word >> uint64(16)) & uint64(0x000000FF000000FF)) * uint64(0x0000271000000001)
    return (high + low) >> uint64(32), strange


@_apart
def trimmed(data, start, end):  # type: ignore[no-untyped-def]
    """The bounds of the text without white space around it."""
    while start < end and (load_u8(data + start) == 32 or 9 <= load_u8(data + start) <= 13):
        start += 1
    while end > start and (load_u8(data + end - 1) == 32 or 9 <= load_u8(data + end - 1) <= 13):
        end -= 1
    return start, end


@_inline
def integer_of(data, start, end, most):  # type: ignore[no-untyped-def]
    """The value of ``[+-]?[0-9]+`` from ``-most - 1`` to ``most``, and whether it is one."""
    sign = load_u8(data + start)
    negative = sign == 45
    if negative or sign == 43:
        start += 1
    count = end - start
    if count <= 0 or count > 19:
        return int64(0), False
    if count <= 8:
        value, strange = _digits(load_u64(data + start), count)
    elif count <= 16:
        first, strange = _digits(load_u64(data + start), 8)
        last, other = _digits(load_u64(data + start + 8), count - 8)
        for _ in range(count - 8):
            first *= uint64(10)
        value = first + last
        strange |= other
    else:
        first, strange = _digits(load_u64(data + start), count - 16)
        middle, other = _digits(load_u64(data + end - 16), 8)
        last, another = _digits(load_u64(data + end - 8), 8)
        value = (first * uint64(100000000) + middle) * uint64(100000000) + last
        strange |= other | another
    if strange != uint64(0) or value > uint64(most) + uint64(negative):
        return int64(0), False
    return (-int64(value) if negative else int64(value)), True


@_apart
def _nearest_double(mantissa, power):  # type: ignore[no-untyped-def]
    """mantissa * 10**power as a double, and whether it was found."""
    if mantissa == uint64(0):
        return 0.0, True
    if power < _LEAST_POWER or power > _MOST_POWER:
        return 0.0, False
    zeros = count_leading_zeros(mantissa)
    mantissa <<= uint64(zeros)
    high = multiply_high(mantissa, _FIVES[power - _LEAST_POWER, 0])
    low = mantissa * _FIVES[power - _LEAST_POWER, 0]
    if high & uint64(0x1FF) == uint64(0x1FF):  # the lower half may carry into what is kept
        more = multiply_high(mantissa, _FIVES[power - _LEAST_POWER, 1])
        low += more
        if low < more:
            high += uint64(1)
        if low == uint64(0xFFFFFFFFFFFFFFFF) and (power < -27 or power > 55):
            return 0.0, False
    upper = int64(high >> uint64(63))
    bits = high >> uint64(upper + 9)
    exponent = ((217706 * power) >> 16) + 1086 + upper - zeros
    if exponent <= 0:
        return 0.0, False
    halfway = low <= uint64(1) and -4 <= power <= 23 and bits & uint64(3) == uint64(1)
    if halfway and bits << uint64(upper + 9) == high:
        bits &= uint64(0xFFFFFFFFFFFFFFFE)  # to even
    bits = (bits + (bits & uint64(1))) >> uint64(1)
    if bits >= uint64(1 << 53):
        bits = uint64(1 << 52)
        exponent += 1
    if exponent >= 2047:
        return 0.0, False
    bits &= uint64((1 << 52) - 1)
    return double_of_bits(bits | (uint64(exponent) << uint64(52))), True


@_inline
def _plain_decimal(data, start, count):  # type: ignore[no-untyped-def]
    """Mantissa and power of at most 16 digits, perhaps with a point among them (one character
    more is no such text), and whether it is that."""
    low, high = load_u64(data + start), load_u64(data + start + 8)
    ones, tops = uint64(0x0101010101010101), uint64(0x8080808080808080)
    here = low ^ uint64(0x2E2E2E2E2E2E2E2E)
    here = (here - ones) & ~here & tops
    at = count_trailing_zeros(here) >> 3  # 8 for none
    if at == 8:
        here = high ^ uint64(0x2E2E2E2E2E2E2E2E)
        here = (here - ones) & ~here & tops
        at += count_trailing_zeros(here) >> 3
    power = int64(0)
    if at < count:
        # Close the gap: what stands behind the point moves up by a byte.
        count -= 1
        power = at - count
        if at < 8:
            kept = (uint64(1) << uint64(8 * at)) - uint64(1)
            moved = (low >> uint64(8)) | (high << uint64(56))
            low = (low & kept) | (moved & ~kept)
            high >>= uint64(8)
        else:
            kept = (uint64(1) << uint64(8 * (at - 8))) - uint64(1)
            high = (high & kept) | ((high >> uint64(8)) & ~kept)
        if count == 0:
            return uint64(0), int64(0), False
    if count <= 8:
        mantissa, strange = _digits(low, count)
    else:
        mantissa, strange = _digits(low, 8)
        last, other = _digits(high, count - 8)
        for _ in range(count - 8):
            mantissa *= uint64(10)
        mantissa += last
        strange |= other
    return mantissa, power, strange == uint64(0)


@_apart
def _any_decimal(data, start, end):  # type: ignore[no-untyped-def]
    """Mantissa, power, whether there were more digits than the mantissa holds, and whether it
    is digits, perhaps with a point, and perhaps an exponent."""
    mantissa, power = uint64(0), int64(0)
    digits, kept = 0, 0
    point, more = False, False
    while start < end:
        digit = int64(load_u8(data + start)) - 48
        if 0 <= digit <= 9:
            digits += 1
            if kept < 19:
                mantissa = mantissa * uint64(10) + uint64(digit)
                kept += mantissa != uint64(0)
                power -= point
            else:
                more |= digit != 0
                power += not point
        elif digit == -2 and not point:
            point = True
        else:
            break
        start += 1
    good = digits > 0
    if start < end and good and load_u8(data + start) | 32 == 101:
        start += 1
        negative = load_u8(data + start) == 45
        if start < end and (negative or load_u8(data + start) == 43):
            start += 1
        exponent = int64(0)
        good = 0 < end - start <= 8
        if good:
            value, strange = _digits(load_u64(data + start), end - start)
            good = strange == uint64(0)
            exponent = int64(value)
            start = end
        power += -exponent if negative else exponent
    return mantissa, power, more, good and start == end


@_inline
def float_of(data, start, end, single):  # type: ignore[no-untyped-def]
    """The value of a decimal fraction, ``inf``, ``infinity`` or ``nan``, and whether it was
    found; rounded so that the nearest float32 is found too if `single`."""
    sign = load_u8(data + start)
    negative = sign == 45
    if negative or sign == 43:
        start += 1
    count = end - start
    if count <= 0:
        return 0.0, False
    good, more = False, False
    mantissa, power = uint64(0), int64(0)
    if count <= 16:
        mantissa, power, good = _plain_decimal(data, start, count)
    if not good:
        mantissa, power, more, good = _any_decimal(data, start, end)
    if not good:
        word = load_u64(data + start) | uint64(0x2020202020202020)
        if count == 3 and word & uint64(0xFFFFFF) == uint64(_NAN) and start + 3 == end:
            # A NaN with a sign keeps it elsewhere.
            return np.nan, not (negative or sign == 43)
        if word & uint64(0xFFFFFF) != uint64(_INF):
            return 0.0, False
        whole = count == 8 and word == uint64(0x7974696E69666E69)
        return (-np.inf if negative else np.inf), count == 3 or whole
    if mantissa <= uint64(1 << 53) and -22 <= power <= 0:
        value, good = float64(mantissa) / _TENS[uint64(-power)], True  # both exact
    else:
        value, good = _nearest_double(mantissa, power)
    if more and good:
        above, good = _nearest_double(mantissa + uint64(1), power)
        good = good and above == value
    if good and single and value != 0.0:
        # Rounding twice is wrong only where the double lies between two float32s.
        low = bits_of_double(value) & uint64(0x1FFFFFFF)
        exact = power == 0 and not more and mantissa <= uint64(1 << 53)
        good = (low != uint64(1 << 28) or exact) and _LEAST_SINGLE <= value <= _MOST_SINGLE
    return (-value if negative else value), good
