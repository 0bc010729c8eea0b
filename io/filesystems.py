"""File systems: local files, object stores, HDFS and whatever fsspec knows, by one interface.

`locate(path)` gives the `FileSystem` that serves a path or URL.  Plain paths and ``file://``
URLs are local and touch nothing else of this module.  ``s3://``, ``gs://`` and ``hdfs://`` go
through pyarrow, all other schemes through fsspec (extra `remote`); both are in
`remote_filesystems`, loaded with the first URL.

As in TensorFlow, what follows the scheme is taken as it is, without percent decoding.
"""

from __future__ import annotations

import glob as python_glob
import io
import os
from abc import ABC, abstractmethod
from typing import Any, Protocol

from .file_errors import file_error

__all__ = ["FileSystem", "LocalFileSystem", "Stream", "glob", "is_remote", "join", "locate",
           "open_output", "with_suffix"]  # fmt: skip


class Stream(Protocol):
    """A file's bytes in order, from some offset on."""

    size: int | None

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from its start; how many bytes came, 0 only at the end."""

    def close(self) -> None:
        """Release the file; harmless when repeated."""


class FileSystem(ABC):
    """Files by path; the paths are whole URLs where there is a scheme.

    All methods raise Headrace's errors, which name the path.
    """

    # Whether a file that is written appears when it is closed, and not before.
    appears_on_close = False

    @abstractmethod
    def open_input(self, path: str, offset: int = 0) -> Stream:
        """The bytes of a file from `offset` on; remote ones by ranges, ahead, with retries."""

    @abstractmethod
    def size(self, path: str) -> int:
        """Bytes of a file."""

    @abstractmethod
    def glob(self, pattern: str) -> list[str]:
        """The paths that match, sorted; ``**`` stands for any number of folders."""

    @abstractmethod
    def open_output(self, path: str) -> Any:
        """A new file to write to: `write(data) -> int`, `flush()`, `close()`."""

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of a file that has it."""


class LocalFileSystem(FileSystem):
    """The operating system's files."""

    def open_input(self, path: str, offset: int = 0) -> Stream:
        """An unbuffered file."""
        try:
            stream = _LocalStream(local_path(path))
            if offset:
                stream.seek(offset)
        except OSError as error:
            raise file_error(error, path) from None
        return stream

    def size(self, path: str) -> int:
        """Bytes of a file."""
        try:
            return os.stat(local_path(path)).st_size
        except OSError as error:
            raise file_error(error, path) from None

    def glob(self, pattern: str) -> list[str]:
        """The paths that match; files whose names begin with a dot too, as in TensorFlow."""
        prefix = "file://" if pattern.startswith("file://") else ""
        found = python_glob.glob(
            local_path(pattern), recursive="**" in pattern, include_hidden=True
        )
        return sorted(prefix + f for f in found)

    def open_output(self, path: str) -> Any:
        """An unbuffered file, there at once."""
        try:
            return open(local_path(path), "wb", buffering=0)
        except OSError as error:
            raise file_error(error, path) from None

    def rename(self, old: str, new: str) -> None:
        """An atomic replacement."""
        try:
            os.replace(local_path(old), local_path(new))
        except OSError as error:
            raise file_error(error, old) from None


class _LocalStream(io.FileIO):
    """A local file, unbuffered: the caller reads large blocks."""

    def __init__(self, path: str):
        super().__init__(path, "rb")
        status = os.fstat(self.fileno())
        # Pipes and devices report 0.
        self.size: int | None = status.st_size if status.st_size else None
        if hasattr(os, "posix_fadvise") and self.size:
            os.posix_fadvise(self.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer) or 0
        except OSError as error:
            raise file_error(error, str(self.name)) from None


_LOCAL = LocalFileSystem()


def locate(path: str) -> FileSystem:
    """The file system that serves `path`.

    Raises:
        InvalidArgumentError: no file system is known for its scheme.
        UnimplementedError: its library is not installed.
    """
    if not is_remote(path):
        return _LOCAL
    from . import remote_filesystems

    return remote_filesystems.connect(path)


def is_remote(path: str) -> bool:
    """Whether `path` is a URL of anything but the operating system's files."""
    return "://" in path and not path.startswith("file://")


def join(path: str, *names: str) -> str:
    """The path of what lies below the folder `path`; a URL keeps its options at its end."""
    if not is_remote(path):
        return os.path.join(path, *names)
    plain, options = _apart(path)
    return "/".join([plain.rstrip("/"), *names]) + options


def with_suffix(path: str, suffix: str) -> str:
    """`path` with `suffix` at the end of its name; a URL keeps its options at its end."""
    if not is_remote(path):
        return path + suffix
    plain, options = _apart(path)
    return plain + suffix + options


def _apart(url: str) -> tuple[str, str]:
    """A URL without its options, and these as they are written."""
    from .remote_filesystems import split_options

    plain = split_options(url)[0]
    return plain, url[len(plain) :]


def local_path(path: str) -> str:
    """A path without ``file://``, and without the host that may follow it."""
    if not path.startswith("file://"):
        return path
    path = path[len("file://") :]
    return path.removeprefix("localhost") if path.startswith("localhost/") else path


def glob(pattern: str) -> list[str]:
    """The paths or URLs that match `pattern`, sorted.

    Raises:
        PermissionDeniedError: the store refuses access.
        UnavailableError: the store does not answer.
    """
    return locate(pattern).glob(pattern)


def open_output(path: str) -> Any:
    """A new file to write to.

    A remote file appears whole when it is closed: object stores work so by themselves, others
    get it under a temporary name first.  A local one is there at once.
    """
    system = locate(path)
    if system is _LOCAL or system.appears_on_close:
        return system.open_output(path)
    return _Renamed(system, path)


class _Renamed:
    """A file that gets its name when it is closed."""

    def __init__(self, system: FileSystem, path: str):
        self._system, self._path = system, path
        self._temporary = f"{path}.tmp-{os.getpid()}-{os.urandom(4).hex()}"
        self._file = system.open_output(self._temporary)

    def write(self, data: Any) -> int:
        return int(self._file.write(data))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        self._system.rename(self._temporary, self._path)
