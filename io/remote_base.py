"""What all remote file systems share: ranges read ahead, retries, files that appear whole."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any

from .file_errors import remote_error
from .filesystems import FileSystem, Stream
from .read_ahead import Ranges, ReadAheadStream, with_retries

__all__ = ["Guarded", "RemoteFileSystem"]


class RemoteFileSystem(FileSystem):
    """What remote file systems share.  Every call tries again while the store is away."""

    @abstractmethod
    def open_ranges(self, path: str) -> Ranges:
        """A file that gives any range of its bytes; one attempt."""

    @abstractmethod
    def _put(self, path: str, data: bytes) -> None:
        """Write a file; one attempt."""

    @abstractmethod
    def walk(self, folder: str) -> list[tuple[str, float | None]]:
        """The files below a folder: paths in it, and when (s since 1970) each was written, as
        far as the store tells.  None if there is no such folder."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Delete a file if it is there."""

    @abstractmethod
    def remove_folder(self, path: str) -> None:
        """Delete a folder and all that is in it, if it is there."""

    def open_input(self, path: str, offset: int = 0) -> Stream:
        """A stream that reads ahead by ranges and survives dropped connections."""
        return ReadAheadStream(lambda: self.open_ranges(path), path, offset)

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return int(with_retries(lambda: self.open_ranges(path), path).size)

    def read(self, path: str) -> bytes:
        """All bytes of a small file, asked for at once: they are of one version of it."""

        def whole() -> bytes:
            ranges = self.open_ranges(path)
            try:
                return bytes(ranges.read_at(0, ranges.size)) if ranges.size else b""
            finally:
                ranges.close()

        data: bytes = with_retries(whole, path)
        return data

    def put(self, path: str, data: bytes) -> None:
        """A file of these bytes, in place of one that has the name; it appears whole.

        Raises:
            PermissionDeniedError: the store refuses.
            UnavailableError: it does not answer, after all attempts.
        """
        if self.appears_on_close:
            with_retries(lambda: self._put(path, data), path)
            return
        temporary = f"{path}.tmp-{os.getpid()}-{os.urandom(4).hex()}"
        with_retries(lambda: self._put(temporary, data), path)
        self.rename(temporary, path)


class Guarded:
    """A file being written, whose errors name the URL."""

    def __init__(self, opened: Any, url: str):
        self._url = url
        self._file = with_retries(opened, url)

    def write(self, data: Any) -> int:
        """Append bytes; how many."""
        self._call(self._file.write, data)
        return len(data)

    def flush(self) -> None:
        """Pass on what is buffered."""
        self._call(self._file.flush)

    def close(self) -> None:
        """Complete the file."""
        self._call(self._file.close)

    def _call(self, function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            raise remote_error(error, self._url) from None
