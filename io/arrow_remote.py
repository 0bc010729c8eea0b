"""Remote files for pyarrow's readers: any range at any time, with retries.

Columnar readers jump: to the footer, then to the columns asked for.  So this reads exactly the
ranges it is asked for, where streams (`read_ahead`) fetch what will come next.
"""

from __future__ import annotations

import io
import os
from typing import Any

from .read_ahead import Ranges, with_retries
from .remote_filesystems import connect

__all__ = ["RemoteFile"]


class RemoteFile(io.RawIOBase):
    """A remote file that can be read at any place; used by one thread at a time.

    Raises:
        NotFoundError, PermissionDeniedError, UnavailableError: as for all remote files.
    """

    def __init__(self, path: str):
        system = connect(path)
        self._connect = lambda: system.open_ranges(path)
        self._path = path
        self._ranges: Ranges | None = with_retries(self._connect, path)
        assert self._ranges is not None
        self._size = self._ranges.size
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, less at the end of the file; a failed range is asked for again."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._position < self._size:
            part = with_retries(lambda: self._read(len(view) - done), self._path)  # noqa: B023
            view[done : done + len(part)] = part
            done += len(part)
            self._position += len(part)
        return done

    def _read(self, size: int) -> Any:
        if self._ranges is None:
            self._ranges = self._connect()
        try:
            return self._ranges.read_at(self._position, min(size, self._size - self._position))
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        ranges, self._ranges = self._ranges, None
        if ranges is not None:
            ranges.close()

    def close(self) -> None:
        """Release the connection."""
        self._drop()
        super().close()
