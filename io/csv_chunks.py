"""The bytes of a text file in memory, to be used up from the front: for CSV and JSON lines.

The reader looks at `view()`, asks for more with `fill`, and says with `advance` how many bytes
it has used.  Bytes once read stay where they are, so strings can be views of them.
"""

from __future__ import annotations

import numpy as np

from ..ops.errors import OpError
from . import buffers
from .files import Stream, open_stream

__all__ = ["CHUNK_BYTES", "SLACK_BYTES", "TextChunks"]

CHUNK_BYTES = 1 << 20
SLACK_BYTES = 64
"""How far kernels read behind the text."""


class TextChunks:
    """The bytes of a file, decompressed, from `offset` on.

    Args:
        path: of the file.
        compression: of the file.
        offset: where to begin.
        front: bytes that every buffer begins with.

    Attributes:
        buffer: `uint8` array; what is read and not used is ``buffer[low:high]``.
        offset: where in the (decompressed) file that begins.
        at_end: whether no more comes.
        final: whether that is because the file ends.
        failure: why no more comes, if that is an error.
    """

    def __init__(self, path: str, compression: str = "", offset: int = 0, front: bytes = b""):
        self._front = np.frombuffer(front, np.uint8)
        self._stream: Stream | None = open_stream(path, compression, offset)
        self._hold(np.empty(0, np.uint8), 0, 0, offset)

    def _hold(self, buffer: np.ndarray, low: int, high: int, offset: int) -> None:
        self.buffer, self.low, self.high, self.offset = buffer, low, high, offset
        self.at_end = self.final = False
        self.failure: OpError | None = None

    @property
    def kept(self) -> int:
        """Number of bytes read and not used."""
        return self.high - self.low

    def view(self, size_bytes: int | None = None) -> np.ndarray:
        """The first `size_bytes` of them, or all."""
        high = self.high if size_bytes is None else min(self.low + size_bytes, self.high)
        return self.buffer[self.low : high]

    def fill(self, size_bytes: int) -> None:
        """Read until `size_bytes` bytes are kept, or the end is reached."""
        kept = self.kept
        if kept >= size_bytes or self.at_end:
            return
        assert self._stream is not None
        front = len(self._front)
        room = front + size_bytes + SLACK_BYTES
        pooled = size_bytes == CHUNK_BYTES
        buffer = buffers.take(room) if pooled else np.empty(room, np.uint8)
        buffer[:front] = self._front
        buffer[front : front + kept] = self.view()
        high = front + kept
        stop = front + size_bytes
        try:
            while high < stop:
                got = self._stream.readinto(memoryview(buffer)[high:stop])
                if not got:
                    self.at_end = self.final = True
                    break
                high += got
        except OpError as error:
            self.at_end, self.failure = True, error
        self.buffer, self.low, self.high = buffer, front, high

    def advance(self, size_bytes: int) -> None:
        """Drop the first `size_bytes` bytes."""
        self.low += size_bytes
        self.offset += size_bytes

    def split(self, size_bytes: int) -> TextChunks:
        """The first `size_bytes` bytes by themselves; they are dropped here."""
        part = object.__new__(TextChunks)
        part._front, part._stream = self._front, None
        part._hold(self.buffer, self.low, self.low + size_bytes, self.offset)
        part.at_end = True
        part.final = self.final and size_bytes == self.kept
        self.advance(size_bytes)
        return part

    def check(self) -> None:
        """Raise what ended the reading, if that was an error."""
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
