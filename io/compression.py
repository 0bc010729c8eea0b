"""Compressed streams: which kinds there are, reading them by pieces, writing them.

| kind | what a file holds |
|---|---|
| GZIP | members of RFC 1952, one after the other |
| ZLIB | one stream of RFC 1950 |
| BZ2 | bzip2 streams, one after the other |
| ZSTD | frames of RFC 8878, one after the other |
| LZ4 | frames of the LZ4 frame format, one after the other |
| SNAPPY | TensorFlow's blocks: big-endian u32 length, raw Snappy data; or framed Snappy |

However much a file expands to, readers make only as many bytes as they are asked for (SNAPPY:
a block).  What came out well before damage is handed out first, then `DataLossError` comes.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

from ..ops.errors import DataLossError, InvalidArgumentError, OpError
from .filesystems import Stream

__all__ = [
    "KINDS",
    "check_compression",
    "check_level",
    "compressor",
    "decompressed",
    "looks_like",
]

KINDS = ("", "GZIP", "ZLIB", "ZSTD", "SNAPPY", "LZ4", "BZ2")
_LEVELS = {"GZIP": (-1, 9), "ZLIB": (-1, 9), "BZ2": (1, 9), "ZSTD": (-7, 22), "LZ4": (1, 12)}
_INPUT_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 20
_SNAPPY_BLOCK_BYTES = 1 << 18  # TensorFlow's
_LARGEST_SNAPPY_BLOCK_BYTES = 1 << 28
_LOOKS = {
    b"\x1f\x8b": "GZIP",
    b"\x78\x01": "ZLIB",
    b"\x78\x5e": "ZLIB",
    b"\x78\x9c": "ZLIB",
    b"\x78\xda": "ZLIB",
    b"\x28\xb5\x2f\xfd": "ZSTD",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\xff\x06\x00\x00": "SNAPPY",
    b"BZh": "BZ2",
}


def check_compression(compression: str | None) -> str:
    """`compression` as one of `KINDS`.

    Raises:
        InvalidArgumentError: it is none of these.
    """
    kind = "" if compression is None else str(compression)
    if kind not in KINDS:
        raise InvalidArgumentError(
            f"compression_type must be {', '.join(map(repr, KINDS[:-1]))} or {KINDS[-1]!r}, "
            f"got {compression!r}"
        )
    return kind


def looks_like(first: bytes) -> str:
    """A guess, for an error message, at what a file beginning with `first` is; or ``""``."""
    for magic, kind in _LOOKS.items():
        if first.startswith(magic):
            return f"it looks like {kind}; pass compression_type={kind!r}"
    return ""


def check_level(kind: str, level: int | None) -> int | None:
    """`level`, if it is one of the kind's; None and -1 stand for the default.

    Raises:
        InvalidArgumentError: it is none.
    """
    low, high = _LEVELS.get(kind, (-1, 9))
    if level is not None and level != -1 and not low <= level <= high:
        raise InvalidArgumentError(
            f"compression_level must be from {low} to {high}, got {level}"
            + (f" for {kind}" if kind else "")
        )
    return level


def decompressed(raw: Stream, kind: str) -> Stream:
    """The decompressed bytes of `raw`, which is closed with it."""
    return _READERS[kind](raw, kind)


class _Decompressed:
    """The part that all kinds share: pieces into the caller's buffer, and errors."""

    size: int | None = None

    def __init__(self, raw: Stream, kind: str):
        self._raw, self._kind = raw, kind
        self._input = bytearray(_INPUT_BYTES)
        self._first = b""
        self._produced = 0
        self._ended = False
        self._failure: OpError | None = None

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and not self._ended:
            if self._failure is not None:
                raise self._failure
            try:
                got = self._fill(view[done:])
            except OpError as error:
                self._failure = error  # for good: the decompressor may have gone on
                if done:
                    break  # what came out well goes first
                raise
            done += got
            self._produced += got
        return done

    def _fill(self, view: memoryview) -> int:
        """Put further bytes into `view`, possibly none; sets `_ended` at the end."""
        raise NotImplementedError

    def _read(self) -> bytes:
        """Further compressed bytes, none at the end of the file."""
        got = self._raw.readinto(self._input)
        data = bytes(memoryview(self._input)[:got])
        if len(self._first) < 4:
            self._first = (self._first + data)[:4]
        return data

    def _truncated(self) -> DataLossError:
        return DataLossError(
            f"truncated {self._kind} data: the file ends in the middle of the compressed stream"
        )

    def _invalid(self, what: str) -> DataLossError:
        hint = looks_like(self._first)
        if (not hint or repr(self._kind) in hint) and len(self._first) >= 2:
            hint = "if the file is not compressed, pass compression_type=''"
        hint = f"; {hint}" if hint and self._produced == 0 else ""
        return DataLossError(f"{what}: this is no valid {self._kind} data{hint}")

    def close(self) -> None:
        self._raw.close()


class _ByObject(_Decompressed):
    """Streams that follow each other, each read by a decompressor object of `zlib`'s kind."""

    def __init__(self, raw: Stream, kind: str):
        super().__init__(raw, kind)
        self._decompressor: Any = None
        self._pending = b""
        self._more = False
        if kind == "BZ2":
            import bz2

            self._make: Callable[[], Any] = bz2.BZ2Decompressor
            self._errors: tuple[type[Exception], ...] = (OSError, EOFError, ValueError)
        else:
            from isal import isal_zlib

            bits = 31 if kind == "GZIP" else 15
            self._make = lambda: isal_zlib.decompressobj(bits)
            self._errors = (isal_zlib.error, zlib.error)

    def _fill(self, view: memoryview) -> int:
        if self._decompressor is None or self._decompressor.eof:
            if not self._begin():
                return 0
        # When its output filled the space, the decompressor may hold more of it.
        data = self._pending or (b"" if self._more else self._read())
        if not data and not self._more:
            raise self._truncated()
        try:
            out: bytes = self._decompressor.decompress(data, len(view))
        except self._errors as error:
            what = "decompression" if self._kind == "BZ2" else "inflate()"
            raise self._invalid(f"{what} failed: {error}") from None
        # bz2's objects keep the input that they have not used, zlib's give it back.
        self._pending = getattr(self._decompressor, "unconsumed_tail", b"")
        if self._kind == "BZ2":
            self._more = not (self._decompressor.eof or self._decompressor.needs_input)
        else:
            self._more = len(out) == len(view)
        view[: len(out)] = out
        return len(out)

    def _begin(self) -> bool:
        """Begin the next stream of the file; False if there is none."""
        rest = self._pending
        if self._decompressor is not None:
            rest = self._decompressor.unused_data
        self._pending = rest or self._read()
        # Zero padding may follow a member (tar, block devices).
        if not self._pending.strip(b"\0") and self._decompressor is not None:
            self._pending = b""
            self._ended = not rest
            return False
        if not self._pending:
            self._ended = True
            return False
        self._more = False
        self._decompressor = self._make()
        return True


class _ByArrow(_Decompressed):
    """Frames that pyarrow's streaming decompressor reads."""

    # Arrow does not tell how much came out before an error, so pieces are small and start
    # out as these bytes: what still equals them at a piece's end after an error is not the
    # file's.  (A byte of the file that happens to be equal is then lost to the error.)
    _MARK = os.urandom(1 << 14)

    def __init__(self, raw: Stream, kind: str):
        super().__init__(raw, kind)
        self._stream: Any = None
        self._pending_error: OpError | None = None
        self._source = _Source(self._read)

    def _fill(self, view: memoryview) -> int:
        if self._pending_error is not None:
            raise self._pending_error
        if self._stream is None:
            import pyarrow as pa

            self._stream = pa.CompressedInputStream(
                pa.PythonFile(self._source, "r"), self._kind.lower()
            )
        piece = view[: len(self._MARK)]
        piece[:] = self._MARK[: len(piece)]
        try:
            got = int(self._stream.readinto(piece))
        except (OSError, ValueError, RuntimeError) as error:
            self._pending_error = self._explained(error)
            got = len(piece)
            while got and piece[got - 1] == self._MARK[got - 1]:
                got -= 1
            if not got:
                raise self._pending_error from None
            return got
        self._ended = got == 0
        return got

    def _explained(self, error: Exception) -> OpError:
        if self._source.failure is not None:
            return self._source.failure
        if "Truncated" in str(error):
            return self._truncated()
        return self._invalid(f"decompression failed: {error}")

    def close(self) -> None:
        self._stream = None
        super().close()


class _Source:
    """Compressed bytes, as pyarrow wants a Python file."""

    closed = False

    def __init__(self, read: Callable[[], bytes]):
        self._read = read
        self._rest = b""
        self.failure: OpError | None = None

    def read(self, size: int) -> bytes:
        try:
            data = self._rest or self._read()
        except OpError as error:
            self.failure = error
            raise
        self._rest = data[size:]
        return data[:size]

    def close(self) -> None:
        """The stream's owner closes the file."""


class _Snappy(_Decompressed):
    """Blocks of Snappy data, in TensorFlow's form or in the framing format."""

    def __init__(self, raw: Stream, kind: str):
        super().__init__(raw, kind)
        self._data = bytearray()  # compressed
        self._out = memoryview(b"")
        self._framed: bool | None = None

    def _fill(self, view: memoryview) -> int:
        while not self._out and not self._ended:
            if self._framed is None:
                self._framed = self._peek(4) == b"\xff\x06\x00\x00"
            self._out = memoryview(self._frame() if self._framed else self._block())
        n = min(len(view), len(self._out))
        view[:n] = self._out[:n]
        self._out = self._out[n:]
        return n

    def _peek(self, size: int) -> bytes:
        """The next `size` compressed bytes, or what is left of the file."""
        while len(self._data) < size and (more := self._read()):
            self._data += more
        return bytes(memoryview(self._data)[:size])

    def _take(self, size: int) -> bytes:
        data = self._peek(size)
        if len(data) < size:
            raise self._truncated()
        del self._data[:size]
        return data

    def _block(self) -> bytes:
        header = self._peek(4)
        if not header:
            self._ended = True
            return b""
        (size,) = struct.unpack(">I", self._take(4))
        if size > _LARGEST_SNAPPY_BLOCK_BYTES:
            raise self._invalid(f"a block of {size} bytes")
        return self._expand(self._take(size))

    def _frame(self) -> bytes:
        header = self._peek(4)
        if not header:
            self._ended = True
            return b""
        kind, size = self._take(4)[0], int.from_bytes(header[1:4], "little")
        data = self._take(size)
        if kind in (0, 1) and size >= 4:
            from .crc32c import masked_crc32c

            out = self._expand(data[4:]) if kind == 0 else data[4:]
            if masked_crc32c(out) != int.from_bytes(data[:4], "little"):
                raise self._invalid("the CRC32C of a chunk does not match")
            return out
        if 2 <= kind < 0x80:
            raise self._invalid(f"a chunk of unknown type {kind}")
        return b""

    def _expand(self, data: bytes) -> bytes:
        import pyarrow as pa

        size = shift = 0
        for byte in data[:5]:
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        # A copy of 64 bytes takes 3: no data expands more, whatever its header says.
        if size > 32 * len(data):
            raise self._invalid(f"{len(data)} bytes that claim to hold {size}")
        if not size:
            return b""
        try:
            return pa.Codec("snappy").decompress(data, size, asbytes=True)
        except (OSError, ValueError) as error:
            raise self._invalid(f"decompression failed: {error}") from None


_READERS = {
    "GZIP": _ByObject,
    "ZLIB": _ByObject,
    "BZ2": _ByObject,
    "ZSTD": _ByArrow,
    "LZ4": _ByArrow,
    "SNAPPY": _Snappy,
}


# -- writing ----------------------------------------------------------------------------------


def compressor(
    kind: str,
    level: int | None = None,
    window_bits: int | None = None,
    mem_level: int | None = None,
    strategy: int | None = None,
) -> Any:
    """An object with `compress(data)`, `flush()` and `finish()`, each giving bytes to write.

    Raises:
        InvalidArgumentError: the kind has no such `level`.
    """
    check_level(kind, level)
    if kind in ("GZIP", "ZLIB"):
        bits = window_bits or 15
        return _Deflate(
            zlib.compressobj(
                -1 if level is None else level,
                zlib.DEFLATED,
                bits + 16 if kind == "GZIP" else bits,
                mem_level or (8 if kind == "ZLIB" else 9),
                strategy or zlib.Z_DEFAULT_STRATEGY,
            )
        )
    return _Blocks(kind, None if level == -1 else level)


class _Deflate:
    """zlib's compressor."""

    def __init__(self, inner: Any):
        self._inner = inner
        self.compress = inner.compress

    def flush(self) -> bytes:
        return self._inner.flush(zlib.Z_SYNC_FLUSH)  # type: ignore[no-any-return]

    def finish(self) -> bytes:
        return self._inner.flush(zlib.Z_FINISH)  # type: ignore[no-any-return]


class _Blocks:
    """Every megabyte a frame of its own: in all these formats frames may follow each other."""

    def __init__(self, kind: str, level: int | None):
        self._pending: list[bytes] = []
        self._size = 0
        self._most = _SNAPPY_BLOCK_BYTES if kind == "SNAPPY" else _BLOCK_BYTES
        if kind == "BZ2":
            import bz2

            self._frame: Callable[[bytes], bytes] = lambda data: bz2.compress(data, level or 9)
            return
        import pyarrow as pa

        codec = pa.Codec(kind.lower(), compression_level=level)
        if kind == "SNAPPY":
            self._frame = lambda data: _counted(codec.compress(data, asbytes=True))
        else:
            self._frame = lambda data: codec.compress(data, asbytes=True)

    def compress(self, data: bytes) -> bytes:
        self._pending.append(data)
        self._size += len(data)
        return self.flush() if self._size >= self._most else b""

    def flush(self) -> bytes:
        data = b"".join(self._pending)
        self._pending, self._size = [], 0
        # A record larger than a block is cut: readers hold whole Snappy blocks in memory.
        return b"".join(
            self._frame(data[i : i + self._most]) for i in range(0, len(data), self._most)
        )

    finish = flush


def _counted(block: bytes) -> bytes:
    return struct.pack(">I", len(block)) + block
