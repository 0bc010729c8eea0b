"""Chunks of a text file that are cut where their reader says, for CSV and JSON lines.

The reader looks at `data`, the bytes from `offset` on, asks for more with `fill`, and says with
`advance` how many of them it has used.
"""

from __future__ import annotations

from .files import open_stream

__all__ = ["TextChunks"]


class TextChunks:
    """The bytes of a file, decompressed, from `offset` on.

    Attributes:
        data: bytes read and not used; `fill` and `advance` put another object in its place.
        offset: where in the (decompressed) file they begin.
        at_end: whether `data` reaches to the end of the file.
    """

    def __init__(self, path: str, compression: str = "", offset: int = 0):
        self._stream = open_stream(path, compression, offset)
        self.data = bytearray()
        self.offset = offset
        self.at_end = False

    def fill(self, size_bytes: int) -> None:
        """Read until there are `size_bytes` bytes of data, or the end is reached."""
        have = len(self.data)
        if have >= size_bytes or self.at_end:
            return
        data = bytearray(size_bytes)
        data[:have] = self.data
        with memoryview(data) as view:
            while have < size_bytes:
                got = self._stream.readinto(view[have:])
                if not got:
                    self.at_end = True
                    break
                have += got
        del data[have:]
        self.data = data

    def advance(self, size_bytes: int) -> None:
        """Drop the first `size_bytes` bytes."""
        self.data = self.data[size_bytes:]
        self.offset += size_bytes

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
