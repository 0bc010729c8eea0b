"""Sorted tables: the index files of tensor bundles, keys and values sorted by key.

A table is blocks of entries, an index of the blocks, and a footer.  Of a key only what it does
not share with the one before in its block is stored; every 16th is whole.  After each block
come its kind (0: as it is) and the masked CRC32C of both.  (Format: LevelDB's
doc/table_format.md, with TensorFlow's magic number.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from ...ops.errors import DataLossError, UnimplementedError
from ..crc32c import masked_crc32c

__all__ = ["read_table", "varint", "write_table"]

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER_BYTES = 48
_BLOCK_BYTES = 1 << 16
_WHOLE_EVERY = 16
# How many bytes all keys may have: these, and so many times the file's.
_KEY_BYTES, _KEY_SHARE = 1 << 20, 16


def varint(n: int) -> bytes:
    """A number in groups of seven bits, lowest first."""
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


# -- writing -----------------------------------------------------------------------------------


def write_table(items: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The table of these keys, in ascending order, and values."""
    out = bytearray()
    index: list[tuple[bytes, bytes]] = []
    block = _Block(_WHOLE_EVERY)

    def finish() -> None:
        index.append((block.last, _append(out, block.done())))

    for key, value in items:
        block.add(key, value)
        if len(block.out) >= _BLOCK_BYTES:
            finish()
            block = _Block(_WHOLE_EVERY)
    if block.count or not index:
        finish()
    meta = _append(out, _Block(1).done())
    of_blocks = _Block(1)
    for key, handle in index:
        of_blocks.add(key, handle)
    footer = meta + _append(out, of_blocks.done())
    return bytes(out) + footer.ljust(_FOOTER_BYTES - len(_MAGIC), b"\0") + _MAGIC


class _Block:
    """A block that is being written; each `every`-th key is whole."""

    def __init__(self, every: int):
        self.out = bytearray()
        self.last = b""
        self.count = 0
        self._every = every
        self._whole = [0]

    def add(self, key: bytes, value: bytes) -> None:
        """Append an entry."""
        shared = 0
        if self.count % self._every == 0:
            if self.count:
                self._whole.append(len(self.out))
        else:
            most = min(len(key), len(self.last))
            while shared < most and key[shared] == self.last[shared]:
                shared += 1
        self.out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        self.out += key[shared:] + value
        self.last = key
        self.count += 1

    def done(self) -> bytes:
        """The block's bytes."""
        return bytes(self.out) + struct.pack(
            f"<{len(self._whole) + 1}I", *self._whole, len(self._whole)
        )


def _append(out: bytearray, block: bytes) -> bytes:
    """Append a block with its kind and CRC; where it is, as a handle."""
    handle = varint(len(out)) + varint(len(block))
    block += b"\0"
    out += block + struct.pack("<I", masked_crc32c(block))
    return handle


# -- reading -----------------------------------------------------------------------------------


def read_table(data: bytes, path: str) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table, ascending.

    Args:
        data: the whole file.
        path: of the file, for messages.

    Raises:
        DataLossError: it is no table, or damaged.
        UnimplementedError: its blocks are compressed.
    """
    if len(data) < _FOOTER_BYTES or data[-len(_MAGIC) :] != _MAGIC:
        raise DataLossError(
            f"{path}: not a checkpoint's index file, or cut short: it has {len(data)} bytes "
            "and does not end as one; was writing it interrupted?"
        )
    footer = data[-_FOOTER_BYTES:]
    try:
        _, at = _handle(footer, 0)
        (offset, size), _ = _handle(footer, at)
        last: bytes | None = None
        room = _KEY_BYTES + _KEY_SHARE * len(data)
        for _, value in _entries(_block(data, offset, size, path)):
            (offset, size), _ = _handle(value, 0)
            for key, found in _entries(_block(data, offset, size, path)):
                if last is not None and key <= last:
                    raise _Damaged("its keys are not in order")
                room -= len(key)
                if room < 0:  # keys that share what comes before may be far longer than stored
                    raise _Damaged("its keys take far more bytes than the file has")
                last = key
                yield key, found
    except _Damaged as error:
        raise DataLossError(
            f"{path}: the checkpoint's index file is damaged: {error}; restore from another "
            "checkpoint"
        ) from None


class _Damaged(Exception):
    pass


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Damaged("a number runs over its end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint_at(data, at)
    size, at = _varint_at(data, at)
    return (offset, size), at


def _block(data: bytes, offset: int, size: int, path: str) -> bytes:
    end = offset + size + 5
    if end > len(data):
        raise _Damaged(f"a block of {size} bytes at byte {offset} lies outside of the file")
    block = data[offset : end - 4]
    (crc,) = struct.unpack_from("<I", data, end - 4)
    if masked_crc32c(block) != crc:
        raise _Damaged(f"the CRC of the block at byte {offset} does not match")
    if block[-1]:
        raise UnimplementedError(
            f"{path}: the blocks of the checkpoint's index are compressed (kind {block[-1]}), "
            "which is not supported; TensorFlow's tensor bundles are not"
        )
    return block[:-1]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(block) < 4:
        raise _Damaged("a block is too short")
    (restarts,) = struct.unpack_from("<I", block, len(block) - 4)
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise _Damaged("a block has more restarts than bytes")
    at, key = 0, b""
    while at < end:
        shared, at = _varint_at(block, at)
        own, at = _varint_at(block, at)
        size, at = _varint_at(block, at)
        if shared > len(key) or at + own + size > end:
            raise _Damaged("an entry runs over the end of its block")
        key = key[:shared] + block[at : at + own]
        at += own
        yield key, block[at : at + size]
        at += size
