"""Element files: blocks of elements, checked by sums, found by row number.

Layout (integers little-endian)::

    8 bytes   b"HRELEM" and the format version, two digits
    frame     kind HEAD: JSON with the element spec, the compression and what the writer adds
    frame     kind ROWS: a block; as many as there are
    frame     kind TAIL: JSON with [byte offset, rows] of every ROWS frame
    16 bytes  offset of the TAIL frame, b"HRELEND."

A frame is 4 bytes kind, uint32 size of its description, uint64 size of its payload as stored,
uint64 size as it was, uint32 CRC-32 of all the rest; then the description (JSON: rows,
columns, sizes of the buffers) and the payload (buffers at multiples of 64 bytes).

A file appears when its `ElementWriter` commits it (see `storage`), so one that is there is
complete; `ElementFile` therefore calls one that lacks its tail damaged.  Neither is for use by
several threads at a time.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops.errors import DataLossError, InvalidArgumentError
from ..block import Block
from ..structure import Structure
from .codec import decode_column, encode_column
from .locate import storage_of
from .spec_json import spec_from_json, spec_to_json

__all__ = ["ElementFile", "ElementWriter", "check_codec"]

VERSION = 1
_MAGIC, _END = b"HRELEM%02d" % VERSION, b"HRELEND."
_FRAME = struct.Struct("<4sIQQ")
_CRC_BYTES = 4
_LAST = struct.Struct("<Q8s")
_FRAME_BYTES, _FRAME_ROWS = 1 << 20, 1 << 16
_ALIGN = 64
_ARROW_CODECS = {"SNAPPY": "snappy", "ZSTD": "zstd", "LZ4": "lz4_raw"}


def check_codec(compression: Any) -> str:
    """`compression` as the name of a codec, "" for none; "AUTO" is Snappy.

    Raises:
        InvalidArgumentError: there is no such codec.
    """
    kind = "" if compression is None else str(compression)
    if kind == "AUTO":
        return "SNAPPY"
    if kind not in ("", "GZIP", "ZLIB", *_ARROW_CODECS):
        raise InvalidArgumentError(
            "compression must be None, 'AUTO', 'GZIP', 'ZLIB', 'SNAPPY', 'ZSTD' or 'LZ4', got "
            f"{compression!r}"
        )
    return kind


class ElementWriter:
    """Writes a file of elements.

    Args:
        path: where the file is to appear.
        structure: of the elements.
        compression: a codec's name, see `check_codec`.
        extra: JSON value to keep in the file's head.
        resume: what `checkpoint` gave for the file of an earlier writer, to go on there.

    Raises:
        OpError: the file cannot be written; the text names it.
    """

    def __init__(
        self, path: str, structure: Structure, compression: str = "", extra: Any = None,
        resume: dict[str, Any] | None = None,
    ):  # fmt: skip
        self.path = path
        self.num_rows = 0
        self._structure = structure
        self._compression = compression
        self._frames: list[list[int]] = []
        self._waiting: list[Block] = []
        self._waiting_rows = self._waiting_bytes = 0
        storage = storage_of(path)
        if resume is not None:
            self._file = storage.create(path, resume["file"])
            self._frames = [list(f) for f in resume["frames"]]
            self.num_rows = sum(rows for _, rows in self._frames)
            return
        self._file = storage.create(path)
        head = {
            "spec": spec_to_json(structure.spec), "compression": compression, "extra": extra,
        }  # fmt: skip
        try:
            self._file.write([_MAGIC])
            self._frame(b"HEAD", head, [])
        except BaseException:
            self.abort()
            raise

    def write(self, block: Block) -> None:
        """Append the rows of `block`; small blocks are put together to frames of a megabyte."""
        self._waiting.append(block)
        self._waiting_rows += block.num_rows
        self._waiting_bytes += block.nbytes
        self.num_rows += block.num_rows
        if self._waiting_bytes >= _FRAME_BYTES or self._waiting_rows >= _FRAME_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as a frame."""
        if not self._waiting:
            return
        block = Block.concat(self._waiting)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        buffers: list[np.ndarray] = []
        columns = [encode_column(c, buffers) for c in block.columns]
        self._frames.append([self._file.tell(), block.num_rows])
        self._frame(b"ROWS", {"rows": block.num_rows, "columns": columns}, buffers)

    def checkpoint(self) -> dict[str, Any]:
        """Make what is written last; what a later writer needs to go on from here."""
        self.flush()
        return {"file": self._file.checkpoint(), "frames": [list(f) for f in self._frames]}

    def commit(self) -> None:
        """Complete the file and let it appear."""
        self.flush()
        tail = self._file.tell()
        self._frame(b"TAIL", {"frames": self._frames}, [])
        self._file.write([_LAST.pack(tail, _END)])
        self._file.commit()

    def abort(self, keep: bool = False) -> None:
        """Stop and delete what was written (`keep` leaves it, to be resumed)."""
        self._file.abort(keep)

    def _frame(
        self, kind: bytes, description: dict[str, Any], buffers: list[np.ndarray]
    ) -> None:
        parts: list[Any] = []
        for buffer in buffers:
            parts.append(buffer.data)
            gap = -buffer.nbytes % _ALIGN
            if gap:
                parts.append(bytes(gap))
        raw_bytes = sum(len(p) for p in parts)
        if self._compression and parts:
            parts = [_compress(self._compression, b"".join(parts))]
        sizes = [buffer.nbytes for buffer in buffers]
        text = json.dumps({**description, "sizes": sizes}, separators=(",", ":")).encode()
        stored = sum(len(p) for p in parts)
        head = _FRAME.pack(kind, len(text), stored, raw_bytes)
        crc = 0
        for part in (head, text, *parts):
            crc = _crc(part, crc)
        self._file.write([head, crc.to_bytes(4, "little"), text, *parts])


class ElementFile:
    """A complete file of elements, open for reading.

    Args:
        path: the file.

    Attributes:
        spec: the nested element spec.
        extra: what the writer put into the head.
        num_rows: number of elements.

    Raises:
        NotFoundError: there is no such file.
        DataLossError: it is damaged; the text names file and byte offset.
        InvalidArgumentError: it is of another format version.
    """

    def __init__(self, path: str):
        self.path = path
        self._file = storage_of(path).open_input(path)
        self._size = self._file.size
        try:
            self._read_ends()
        except BaseException:
            self.close()
            raise

    def _read_ends(self) -> None:
        magic = bytes(self._read(0, len(_MAGIC)))
        if magic[:6] != _MAGIC[:6]:
            raise self._damaged(0, "it is no file of elements")
        if magic != _MAGIC:
            raise InvalidArgumentError(
                f"{self.path}; it has format version {magic[6:].decode(errors='replace')}, "
                f"this Headrace reads version {VERSION:02d}: delete it or use the release that "
                "wrote it"
            )
        head, _ = self._frame(len(_MAGIC), b"HEAD")
        self.spec = spec_from_json(head["spec"])
        self.compression: str = head["compression"]
        self.extra = head["extra"]
        tail_at = self._size - _LAST.size
        tail, end = _LAST.unpack(bytes(self._read(max(0, tail_at), _LAST.size)))
        if end != _END:
            raise self._damaged(tail_at, "its end is missing")
        frames = self._frame(tail, b"TAIL")[0]["frames"]
        self._offsets = [offset for offset, _ in frames]
        self._starts = np.cumsum([0, *(rows for _, rows in frames)]).tolist()
        self.num_rows: int = self._starts[-1]
        self.structure = Structure(self.spec)

    def find(self, row: int) -> tuple[int, int]:
        """The number of the frame that holds row number `row`, and its first row's number."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return number, self._starts[number]

    @property
    def num_frames(self) -> int:
        """Number of blocks."""
        return len(self._offsets)

    def block(self, number: int) -> Block:
        """Block `number`.

        Raises:
            DataLossError: it is damaged.
        """
        offset = self._offsets[number]
        described, buffers = self._frame(offset, b"ROWS")
        try:
            each = iter(buffers)
            columns = [decode_column(c, each) for c in described["columns"]]
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise self._damaged(offset, f"a block cannot be read: {error}") from None
        return Block(columns, described["rows"], self.structure)

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._file.close()

    def _frame(self, offset: int, expected: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
        if not 0 <= offset <= self._size:
            raise self._damaged(offset, "an offset lies outside of the file")
        head = bytes(self._read(offset, _FRAME.size + _CRC_BYTES))
        kind, text_bytes, stored, raw_bytes = _FRAME.unpack(head[:-_CRC_BYTES])
        start = offset + len(head)
        if kind != expected or start + text_bytes + stored > self._size:
            raise self._damaged(offset, f"there should be a {expected.decode()} frame")
        text = bytes(self._read(start, text_bytes))
        payload = self._read(start + text_bytes, stored)
        crc = _crc(payload, _crc(text, _crc(head[:-_CRC_BYTES], 0)))
        if crc.to_bytes(_CRC_BYTES, "little") != head[-_CRC_BYTES:]:
            raise self._damaged(offset, "a checksum is wrong")
        described = json.loads(text)
        if stored and self.compression:
            payload = _decompress(self.compression, payload, raw_bytes)
        buffers, at = [], 0
        for size in described["sizes"]:
            buffers.append(payload[at : at + size])
            at += size + -size % _ALIGN
        return described, buffers

    def _read(self, offset: int, size: int) -> np.ndarray:
        out = np.empty(size, np.uint8)
        got = self._file.read_into(offset, out.data)
        if got < size:
            raise self._damaged(offset + got, "it ends too early")
        return out

    def _damaged(self, offset: int, why: str) -> DataLossError:
        return DataLossError(
            f"{self.path}; the file is damaged at byte {offset}: {why}; delete it to have it "
            "made again"
        )


def _crc(data: Any, start: int) -> int:
    from isal import isal_zlib

    return isal_zlib.crc32(data, start)


def _compress(kind: str, data: bytes) -> bytes:
    if kind in _ARROW_CODECS:
        import pyarrow as pa

        return pa.compress(data, _ARROW_CODECS[kind], asbytes=True)
    from isal import isal_zlib

    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31 if kind == "GZIP" else 15)
    return packer.compress(data) + packer.flush()


def _decompress(kind: str, data: np.ndarray, raw_bytes: int) -> np.ndarray:
    if kind in _ARROW_CODECS:
        import pyarrow as pa

        out = pa.decompress(memoryview(data), raw_bytes, _ARROW_CODECS[kind], asbytes=False)
        return np.frombuffer(out, np.uint8)
    unpack: Callable[..., bytes] = zlib.decompress
    return np.frombuffer(unpack(memoryview(data), 31 if kind == "GZIP" else 15), np.uint8)
