"""Files as streams of bytes: plain, GZIP or ZLIB, with errors that name the file.

`open_stream` gives an object with `readinto(buffer) -> bytes read` (0 at the end), `close()`,
`size` (bytes of the whole stream, or None where it is not known beforehand) and a position that
starts at `offset` of the *uncompressed* stream.  Local paths are read directly; paths with a
scheme (``gs://``, ``s3://``, ``hdfs://``) through pyarrow.  Raised: `NotFoundError`,
`PermissionDeniedError`, `FailedPreconditionError` (a folder), `DataLossError` (bad compressed
data).
"""

from __future__ import annotations

import errno
import io
import os
import zlib
from typing import Any, Protocol

from ..ops.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OpError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnknownError,
)

__all__ = ["Stream", "check_compression", "file_error", "looks_like", "open_stream"]

_COMPRESSED_BLOCK = 1 << 18
_LOOKS = {
    b"\x1f\x8b": "it looks like GZIP; pass compression_type='GZIP'",
    b"\x78\x01": "it looks like ZLIB; pass compression_type='ZLIB'",
    b"\x78\x5e": "it looks like ZLIB; pass compression_type='ZLIB'",
    b"\x78\x9c": "it looks like ZLIB; pass compression_type='ZLIB'",
    b"\x78\xda": "it looks like ZLIB; pass compression_type='ZLIB'",
}


class Stream(Protocol):
    """What `open_stream` returns."""

    size: int | None

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from its start; how many bytes came, 0 only at the end."""

    def close(self) -> None:
        """Release the file; harmless when repeated."""


def check_compression(compression: str | None) -> str:
    """`compression` as ``""``, ``"GZIP"`` or ``"ZLIB"``.

    Raises:
        InvalidArgumentError: it is none of these.
    """
    kind = "" if compression is None else str(compression)
    if kind not in ("", "GZIP", "ZLIB"):
        raise InvalidArgumentError(
            f"compression_type must be '', 'GZIP' or 'ZLIB', got {compression!r}"
        )
    return kind


def open_stream(path: Any, compression: str | None = "", offset: int = 0) -> Stream:
    """The bytes of the file at `path` from `offset` on, decompressed.

    A compressed stream has no random access: its first `offset` bytes are decompressed and
    dropped.
    """
    path = os.fspath(path)
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    kind = check_compression(compression)
    try:
        raw = _Remote(path) if "://" in path else _Local(path)
        if not kind:
            raw.seek(offset)
            return raw
    except OSError as error:
        raise file_error(error, path) from None
    stream = _Inflated(raw, path, kind)
    scratch = bytearray(min(offset, 1 << 20))
    while offset > 0:
        got = stream.readinto(memoryview(scratch)[: min(offset, len(scratch))])
        if not got:
            break
        offset -= got
    return stream


def looks_like(first: bytes) -> str:
    """A guess, for an error message, at what a file beginning with `first` is; or ``""``."""
    return _LOOKS.get(first[:2], "")


def file_error(error: OSError, path: str) -> OpError:
    """The Headrace error for an operating-system error on `path`."""
    if isinstance(error, OpError):
        return error
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{path}; No such file or directory: check the path")
    if isinstance(error, PermissionError):
        return PermissionDeniedError(f"{path}; {reason}")
    if isinstance(error, IsADirectoryError):
        return FailedPreconditionError(
            f"{path}; Is a directory: name its files, e.g. with Dataset.list_files"
        )
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return ResourceExhaustedError(f"{path}; {reason}: free some space")
    return UnknownError(f"{path}; {reason}")


class _Local(io.FileIO):
    """A local file, unbuffered: the caller reads large blocks."""

    def __init__(self, path: str):
        super().__init__(path, "rb")
        status = os.fstat(self.fileno())
        # Pipes and devices report 0.
        self.size: int | None = status.st_size if status.st_size else None
        if hasattr(os, "posix_fadvise") and self.size:
            os.posix_fadvise(self.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def seek(self, offset: int, whence: int = 0) -> int:
        return super().seek(offset, whence) if offset or whence else 0

    def readinto(self, buffer: Any) -> int:
        return super().readinto(buffer) or 0


class _Remote:
    """A file on a filesystem that pyarrow speaks."""

    def __init__(self, path: str):
        from pyarrow import fs

        try:
            system, inner = fs.FileSystem.from_uri(path)
        except ValueError as error:
            raise InvalidArgumentError(
                f"{path}; no filesystem for this path: {error}"
            ) from None
        self._file = system.open_input_file(inner)
        self.size: int | None = self._file.size()

    def seek(self, offset: int) -> None:
        self._file.seek(offset)

    def readinto(self, buffer: Any) -> int:
        return int(self._file.readinto(buffer))

    def close(self) -> None:
        self._file.close()


class _Inflated:
    """The decompressed bytes of a GZIP or ZLIB file; GZIP members may follow each other."""

    size: int | None = None

    def __init__(self, raw: Any, path: str, kind: str):
        self._raw, self._path, self._kind = raw, path, kind
        self._input = bytearray(_COMPRESSED_BLOCK)
        self._decompressor: Any = None
        self._pending = b""
        self._produced = 0
        self._more = False
        self._first = b""
        self._ended = False
        self._failure: DataLossError | None = None

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and not self._ended:
            if self._failure is not None:
                raise self._failure
            try:
                data = self._decompress(len(view) - done)
            except DataLossError as error:
                self._failure = error
                if done:
                    break  # what came out well goes first
                raise
            view[done : done + len(data)] = data
            done += len(data)
        return done

    def _decompress(self, most: int) -> bytes:
        """Between 0 and `most` further bytes; sets `_ended` at the end of the file."""
        from isal import isal_zlib

        if self._decompressor is None or self._decompressor.eof:
            rest = self._pending
            if self._decompressor is not None:
                rest = self._decompressor.unused_data
            self._pending = rest or self._read()
            # Zero padding may follow a member (tar, block devices).
            if not self._pending.strip(b"\0") and self._decompressor is not None:
                self._pending = b""
                self._ended = not rest
                return b""
            if not self._pending:
                self._ended = True
                return b""
            self._more = False
            self._decompressor = isal_zlib.decompressobj(31 if self._kind == "GZIP" else 15)
        # When its output filled the space, the decompressor may hold more of it.
        data = self._pending or (b"" if self._more else self._read())
        if not data and not self._more:
            raise DataLossError(
                f"truncated {self._kind} data: the file ends in the middle of the compressed "
                "stream"
            )
        try:
            out: bytes = self._decompressor.decompress(data, most)
        except (isal_zlib.error, zlib.error) as error:
            hint = looks_like(self._first)
            if not hint and len(self._first) >= 2:
                hint = "if the file is not compressed, pass compression_type=''"
            hint = f"; {hint}" if hint and self._produced == 0 else ""
            raise DataLossError(
                f"inflate() failed: {error}: this is no valid {self._kind} data{hint}"
            ) from None
        self._pending = self._decompressor.unconsumed_tail
        self._produced += len(out)
        self._more = len(out) == most
        return out

    def _read(self) -> bytes:
        got = self._raw.readinto(self._input)
        data = bytes(memoryview(self._input)[:got])
        if not self._first:
            self._first = data[:2]
        return data

    def close(self) -> None:
        self._raw.close()
