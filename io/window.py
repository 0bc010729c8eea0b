"""A window that moves over a byte stream: what chunked readers share.

The bytes not yet handed out are ``buffer[low:high]``; `refill` moves on, keeping them, into
another buffer, so that views of the old one stay valid.  An error of the stream (broken
compressed data, a store that does not answer) is kept in `failure` until the bytes before it
are used up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.errors import InvalidArgumentError, OpError
from . import buffers
from .files import Stream

__all__ = ["CHUNK_BYTES", "Window"]

CHUNK_BYTES = 1 << 20


class Window:
    """The part of a stream that is in memory.

    Attributes:
        buffer: `uint8` array.
        low: first byte of the buffer not handed out yet.
        high: one past the last valid byte.
        base: offset in the stream of the buffer's first byte.
        ended: nothing follows the buffer.
        failure: why the stream ended early, or None.
    """

    def __init__(self, stream: Stream, offset: int, chunk_bytes: int):
        self._stream = stream
        if chunk_bytes <= 0:
            raise InvalidArgumentError(f"chunk_bytes must be positive, got {chunk_bytes}")
        self._chunk_bytes = max(int(chunk_bytes), 4096)
        self.buffer = np.empty(0, np.uint8)
        self.low = self.high = 0
        self.base = int(offset)
        self.ended = False
        self.failure: OpError | None = None

    @property
    def offset(self) -> int:
        """Offset in the stream of the next byte to hand out."""
        return self.base + self.low

    @property
    def kept(self) -> int:
        """Number of bytes not handed out yet."""
        return self.high - self.low

    def refill(self, needed: int = 0) -> None:
        """Read on.  `needed`: how many bytes from `low` the reader must see, if it knows.

        A large `needed` is believed only as far as a file of known size has the bytes;
        otherwise the buffer doubles, so that memory stays within twice what was really there.
        """
        kept = self.kept
        size = self._chunk_bytes
        if needed > size:
            left = None
            if self._stream.size is not None:
                left = self._stream.size - self.base - self.high
            if left is not None and needed <= kept + left:
                size = needed
            else:
                size = max(min(needed, 2 * kept), self._chunk_bytes)
        if size <= kept:
            size = 2 * kept
        pooled = size == self._chunk_bytes
        fresh = buffers.take(size) if pooled else np.empty(size, np.uint8)
        fresh[:kept] = self.buffer[self.low : self.high]
        self.base += self.low
        self.buffer, self.low, self.high = fresh, 0, kept
        view = memoryview(fresh)
        try:
            while self.high < size:
                got = self._stream.readinto(view[self.high :])
                if not got:
                    self.ended = True
                    self._stream.close()
                    return
                self.high += got
        except OpError as error:
            self._stream.close()
            self.ended = True
            self.failure = error

    def close(self) -> None:
        """Close the stream and forget what was not handed out."""
        self._stream.close()
        self.ended = True
        self.low = self.high

    def __del__(self) -> None:
        # A reader dropped half way is no mistake of the user's.
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.close()

    def __getstate__(self) -> Any:
        raise TypeError("a reader cannot be pickled: keep its position and open another there")
