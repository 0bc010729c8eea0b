"""Files as streams of bytes: local or remote, plain or compressed, with errors that name them.

`open_stream` gives an object with `readinto(buffer) -> bytes read` (0 at the end), `close()`,
`size` (bytes of the whole stream, or None where it is not known beforehand) and a position that
starts at `offset` of the *uncompressed* stream.  The parts: `filesystems` says who serves a
path, `compression` what its bytes hold, `file_errors` what went wrong.
"""

from __future__ import annotations

import os
from typing import Any

from .compression import KINDS, check_compression, decompressed, looks_like
from .file_errors import file_error
from .filesystems import Stream, glob, locate, open_output

__all__ = [
    "KINDS",
    "Stream",
    "check_compression",
    "file_error",
    "glob",
    "looks_like",
    "open_output",
    "open_stream",
]


def open_stream(path: Any, compression: str | None = "", offset: int = 0) -> Stream:
    """The bytes of the file at `path` from `offset` on, decompressed.

    A compressed stream has no random access: its first `offset` bytes are decompressed and
    dropped.

    Args:
        path: a path or URL.
        compression: one of `KINDS`; None is none.
        offset: in the uncompressed stream.

    Raises:
        NotFoundError: there is no such file.
        PermissionDeniedError: it may not be read.
        FailedPreconditionError: it is a folder.
        UnavailableError: a remote store does not answer.
        InvalidArgumentError: an unknown compression or scheme.
    """
    path = os.fsdecode(os.fspath(path))
    kind = check_compression(compression)
    if not kind:
        return locate(path).open_input(path, offset)
    stream = decompressed(locate(path).open_input(path), kind)
    scratch = bytearray(min(offset, 1 << 20))
    while offset > 0:
        got = stream.readinto(memoryview(scratch)[: min(offset, len(scratch))])
        if not got:
            break
        offset -= got
    return stream
