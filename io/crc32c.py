"""CRC32C (Castagnoli), the checksum of record files and checkpoints, and its masked form.

Three forms give the same numbers: the CPU's instruction inside Numba kernels
(`headrace.io.record_kernel`), used once those are compiled; a vectorised NumPy form over many
byte ranges at once, which serves until then; and the one-byte definition in `_byte_table`.

CRC is linear over GF(2): with a zero start state, the CRC of a message is the exclusive or of
one table entry per byte, chosen by the byte's value and its distance from the end.  The NumPy
form looks all of them up at once.  (Source: the construction of slicing-by-N, Kounavis & Berry,
"A Systematic Approach to Building High Performance Software-Based CRC Generators", 2005.)
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from . import jit
from .jit import address

__all__ = ["crc32c", "crc32c_ranges", "mask", "masked_crc32c", "unmask"]

_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_SEGMENT = 1024  # bytes looked up in one go; longer messages are folded segment by segment
_BATCH_BYTES = 1 << 18


def crc32c(data: Any, crc: int = 0) -> int:
    """The CRC32C of a bytes-like object, continuing from `crc`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    array = _as_bytes(data)
    fast = jit.kernel("crc_update")
    if fast is not None:
        return int(fast(address(array), 0, array.size, crc))
    ends = np.array([array.size], np.int64)
    return int(crc32c_ranges(array, ends - array.size, ends, crc)[0])


def masked_crc32c(data: Any) -> int:
    """The masked CRC32C of a bytes-like object, as record files store it."""
    return mask(crc32c(data))


def mask(crc: Any) -> Any:
    """`crc` rotated and offset, so that the CRC of data holding CRCs stays good.

    Takes an int or a `uint32` array.
    """
    if isinstance(crc, np.ndarray):
        return ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(_MASK_DELTA)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def unmask(masked: int) -> int:
    """The CRC that `mask` turned into `masked`."""
    rotated = (masked - _MASK_DELTA) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def crc32c_ranges(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, crc: int = 0
) -> np.ndarray:
    """The CRC32C of each ``data[starts[k]:ends[k]]``, `uint32` of shape [n]; NumPy only."""
    starts, ends = np.asarray(starts, np.int64), np.asarray(ends, np.int64)
    out = np.empty(len(starts), np.uint32)
    lengths = ends - starts
    # Bounded batches: the lookup needs 12 bytes of scratch per byte of data.
    first = 0
    totals = np.cumsum(lengths)
    while first < len(starts):
        base = totals[first] - lengths[first]
        last = max(int(np.searchsorted(totals, base + _BATCH_BYTES, "right")), first + 1)
        out[first:last] = _ranges(data, starts[first:last], ends[first:last], crc)
        first = last
    return out


def _ranges(data: np.ndarray, starts: np.ndarray, ends: np.ndarray, crc: int) -> np.ndarray:
    tables = _position_tables()
    # State 0xffffffff (inverted `crc`) is folded in as if it were the message's own prefix.
    state = np.full(len(starts), ~crc & 0xFFFFFFFF, np.uint32)
    left = ends - starts
    while True:
        step = np.minimum(left, _SEGMENT)
        active = np.flatnonzero(step)
        if not len(active):
            return ~state
        size = step[active]
        begin = ends[active] - left[active]
        stops = np.cumsum(size)
        # Row of the position table for each byte: its distance from its segment's end.
        entry = np.repeat(stops - 1, size) - np.arange(stops[-1])
        entry *= 256
        entry += np.concatenate(
            [data[b:e] for b, e in zip(begin.tolist(), (begin + size).tolist(), strict=True)]
        )
        parts = tables.reshape(-1).take(entry)
        folded = np.bitwise_xor.reduceat(parts, stops - size)
        state[active] = folded ^ _advance(state[active], size)
        left = left - step


def _advance(state: np.ndarray, size: np.ndarray) -> np.ndarray:
    """`state` after `size` zero bytes, 0 < size <= _SEGMENT."""
    tables = _position_tables()
    out = np.zeros_like(state)
    for byte in range(4):
        # The state's byte k behaves as a message byte k places in; past the end it remains.
        value = (state >> np.uint32(8 * byte)) & np.uint32(0xFF)
        inside = byte < size
        looked_up = tables[np.maximum(size - 1 - byte, 0), value]
        kept = value << (8 * np.maximum(byte - size, 0)).astype(np.uint32)
        out ^= np.where(inside, looked_up, kept)
    return out


@functools.cache
def _byte_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), 0)
    return table.astype(np.uint32)


@functools.cache
def _position_tables() -> np.ndarray:
    """[d, v]: what byte v, d bytes before the end, adds to a CRC; `uint32` [_SEGMENT, 256]."""
    tables = np.empty((_SEGMENT, 256), np.uint32)
    tables[0] = _byte_table()
    for d in range(1, _SEGMENT):
        tables[d] = (tables[d - 1] >> np.uint32(8)) ^ tables[0][tables[d - 1] & 0xFF]
    return tables


def _as_bytes(data: Any) -> np.ndarray:
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).view(np.uint8).reshape(-1)
    return np.frombuffer(data, np.uint8)
