"""`hr.io.gfile`: files and folders by path or URL, with TensorFlow's names.

Local paths go to the operating system, URLs to the `FileSystem` that serves them: object stores
have no folders of their own, so there a folder is what files lie below.
"""

from __future__ import annotations

import builtins
import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..ops.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from . import filesystems
from .file_errors import file_error
from .filesystems import local_path, locate, open_output
from .remote_base import RemoteFileSystem

__all__ = [
    "GFile", "copy", "exists", "get_registered_schemes", "glob", "isdir", "join", "listdir",
    "makedirs", "mkdir", "remove", "rename", "rmtree", "stat", "walk",
]  # fmt: skip

_CHUNK = 1 << 20


def _path(path: Any) -> str:
    return os.fsdecode(os.fspath(path))


def _remote(path: str) -> RemoteFileSystem | None:
    """The remote file system of a URL, None for local paths."""
    system = locate(path)
    return system if isinstance(system, RemoteFileSystem) else None


def _local(fn: Callable[..., Any], path: str, *args: Any) -> Any:
    try:
        return fn(local_path(path), *args)
    except OSError as error:
        if isinstance(error, FileExistsError):
            raise AlreadyExistsError(f"{path}; File exists") from None
        raise file_error(error, path) from None


# -- files ------------------------------------------------------------------------------------


class GFile:
    """A file, local or remote, as Python's file objects are.

    Args:
        name: path or URL.
        mode: ``"r"``, ``"w"`` or ``"a"``, with ``"b"`` for bytes and ``"+"`` for both.

    Raises:
        NotFoundError: (when it is first read) there is no such file.
        InvalidArgumentError: an unknown mode.
    """

    def __init__(self, name: Any, mode: str = "r"):
        if mode.replace("b", "").replace("+", "") not in ("r", "w", "a"):
            raise InvalidArgumentError(f"mode must be of r, w, a, b and +, got {mode!r}")
        self._name, self._mode = name, mode
        self._file: Any = None

    @property
    def name(self) -> Any:
        """The path the file was opened with."""
        return self._name

    @property
    def mode(self) -> str:
        """The mode the file was opened with."""
        return self._mode

    def _open(self) -> Any:
        if self._file is None:
            path = _path(self._name)
            system = _remote(path)
            if system is None:
                # Text is read without translation of line ends, as in TensorFlow.
                more = {} if "b" in self._mode else {"encoding": "utf-8", "newline": "\n"}
                try:
                    self._file = open(local_path(path), self._mode, **more)  # type: ignore[call-overload]
                except OSError as error:
                    raise file_error(error, path) from None
            else:
                self._file = _remote_file(system, path, self._mode)
        return self._file

    def _check(self, reading: bool) -> Any:
        allowed = "+" in self._mode or (("r" in self._mode) == reading)
        if not allowed:
            word = "reading" if reading else "writing"
            raise PermissionDeniedError(f"File isn't open for {word}: mode is {self._mode!r}")
        return self._open()

    def read(self, n: int = -1) -> Any:
        """The next `n` bytes or characters, all by default."""
        return self._check(True).read(n)

    def readline(self) -> Any:
        """The next line with its end; empty at the end of the file."""
        return self._check(True).readline()

    def readlines(self) -> builtins.list[Any]:
        """All lines that are left, with their ends."""
        return self._check(True).readlines()

    def write(self, file_content: Any) -> None:
        """Append `file_content`, bytes or text as the mode says."""
        file = self._check(False)
        if "b" in self._mode and isinstance(file_content, str):
            file_content = file_content.encode("utf-8")
        file.write(file_content)

    def seek(self, offset: int, whence: int = 0) -> None:
        """Go to a place: from the start (0), the current place (1) or the end (2)."""
        if whence not in (0, 1, 2):
            raise InvalidArgumentError(f"whence must be 0, 1 or 2, got {whence}")
        self._check(True).seek(offset, whence)

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The current place."""
        return self._open().tell()

    def size(self) -> int:
        """Bytes of the file."""
        if self._file is not None and "r" not in self._mode:
            self.flush()
        return stat(self._name).length

    def flush(self) -> None:
        """Hand on what has been written; a remote file appears when it is closed."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Release the file; harmless when repeated."""
        if self._file is None and self._mode[0] != "r":
            self._open()  # a file written nothing to exists all the same
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def __enter__(self) -> GFile:
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._check(True))

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line


class _Raw(io.RawIOBase):
    """A remote file as Python's buffered classes want it."""

    def __init__(self, system: RemoteFileSystem, path: str):
        self._system, self._path, self._at = system, path, 0
        self._stream = system.open_input(path)
        self._size = system.size(path)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        got = self._stream.readinto(buffer)
        self._at += got
        return got

    def seek(self, offset: int, whence: int = 0) -> int:
        place = offset + (0, self._at, self._size)[whence]
        if place != self._at:
            self._stream.close()
            self._stream = self._system.open_input(self._path, place)
            self._at = place
        return place

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class _Sink(io.RawIOBase):
    """A new remote file as Python's buffered classes want it."""

    def __init__(self, path: str):
        self._file = open_output(path)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return int(self._file.write(bytes(data)))

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()


def _remote_file(system: RemoteFileSystem, path: str, mode: str) -> Any:
    file: Any
    if "r" in mode:
        if "+" in mode:
            raise InvalidArgumentError(f"{path}; a remote file is read or written, not both")
        file = io.BufferedReader(_Raw(system, path), _CHUNK)
    else:
        before = system.read(path) if "a" in mode and exists(path) else b""
        file = io.BufferedWriter(_Sink(path), _CHUNK)
        file.write(before)
    return file if "b" in mode else io.TextIOWrapper(file, encoding="utf-8", newline="\n")


# -- paths ------------------------------------------------------------------------------------


def join(path: Any, *paths: Any) -> Any:
    """Parts of a path joined; a part that is absolute begins anew."""
    parts = [path, *paths]
    if any("://" in os.fsdecode(os.fspath(p)) for p in parts[:1]):
        texts = [_path(p) for p in parts]
        for k in range(len(texts) - 1, 0, -1):
            if texts[k].startswith("/") or "://" in texts[k]:
                texts = texts[k:]
                break
        return filesystems.join(texts[0], *texts[1:]) if len(texts) > 1 else texts[0]
    return os.path.join(*parts)


def exists(path: Any) -> bool:
    """Whether there is a file or folder."""
    path = _path(path)
    system = _remote(path)
    if system is None:
        return os.path.exists(local_path(path))
    return _is_remote_file(system, path) or isdir(path)


def _is_remote_file(system: RemoteFileSystem, path: str) -> bool:
    try:
        system.size(path)
    except (NotFoundError, FailedPreconditionError):
        return False
    return True


def isdir(path: Any) -> bool:
    """Whether there is a folder; on an object store one with files below it."""
    path = _path(path)
    system = _remote(path)
    if system is None:
        return os.path.isdir(local_path(path))
    return any(_below(system, path))


def _below(system: RemoteFileSystem, path: str) -> builtins.list[str]:
    """The files below a remote folder; some stores list a file as "" below itself."""
    return [name for name, _ in system.walk(path) if name]


def glob(pattern: Any) -> builtins.list[str]:
    """The paths that match a pattern, or any of several; sorted for each."""
    patterns = [pattern] if isinstance(pattern, (str, bytes, os.PathLike)) else list(pattern)
    return [found for p in patterns for found in filesystems.glob(_path(p))]


def listdir(path: Any) -> builtins.list[str]:
    """The names of what lies in a folder; folders on an object store end with ``/``.

    Raises:
        NotFoundError: there is no such folder.
    """
    path = _path(path)
    system = _remote(path)
    if system is None:
        if not os.path.isdir(local_path(path)):
            raise NotFoundError(f"{path}; Could not find directory")
        return sorted(_local(os.listdir, path))
    names = {"".join(name.partition("/")[:2]) for name in _below(system, path)}
    if not names:
        raise NotFoundError(f"{path}; Could not find directory")
    return sorted(names)


@dataclass(frozen=True)
class FileStatistics:
    """What `stat` gives: bytes, time of the last change (ns since 1970), and whether it is a
    folder."""

    length: int
    mtime_nsec: int
    is_directory: bool


def stat(path: Any) -> FileStatistics:
    """Size, time and kind of a file or folder.

    Raises:
        NotFoundError: there is none.
    """
    path = _path(path)
    system = _remote(path)
    if system is None:
        found = _local(os.stat, path)
        folder = os.path.isdir(local_path(path))
        return FileStatistics(found.st_size, found.st_mtime_ns, folder)
    if _is_remote_file(system, path):
        folder, _, name = path.rpartition("/")
        times = dict(system.walk(folder))
        return FileStatistics(system.size(path), int((times.get(name) or 0) * 1e9), False)
    if isdir(path):
        return FileStatistics(0, 0, True)
    raise NotFoundError(f"{path}; No such file or directory: check the path")


def walk(
    top: Any, topdown: bool = True, onerror: Callable[[Any], Any] | None = None
) -> Iterator[tuple[str, builtins.list[str], builtins.list[str]]]:
    """A folder and those below it: (path, names of folders, names of files) of each.

    Args:
        top: the folder.
        topdown: a folder comes before those in it.
        onerror: called with the error of a folder that cannot be listed.
    """
    top = _path(top)
    try:
        names = listdir(top)
    except NotFoundError as error:
        if onerror:
            onerror(error)
        return
    folders, files = [], []
    for name in names:
        (folders if isdir(join(top, name.rstrip("/"))) else files).append(name.rstrip("/"))
    if topdown:
        yield top, folders, files
    for name in folders:
        yield from walk(join(top, name), topdown, onerror)
    if not topdown:
        yield top, folders, files


# -- changes ----------------------------------------------------------------------------------


def mkdir(path: Any) -> None:
    """Make a folder whose parent exists; nothing to do on object stores.

    Raises:
        AlreadyExistsError: it is there.
        NotFoundError: its parent is not.
    """
    path = _path(path)
    if _remote(path) is None:
        _local(os.mkdir, path)


def makedirs(path: Any) -> None:
    """Make a folder and those it lies in, where they are not there."""
    path = _path(path)
    if _remote(path) is None:
        _local(lambda p: os.makedirs(p, exist_ok=True), path)


def remove(path: Any) -> None:
    """Delete a file.

    Raises:
        NotFoundError: there is none.
    """
    path = _path(path)
    system = _remote(path)
    if system is None:
        _local(os.remove, path)
        return
    if not _is_remote_file(system, path):
        raise NotFoundError(f"{path}; No such file or directory: check the path")
    system.remove(path)


def rmtree(path: Any) -> None:
    """Delete a folder and all that is in it.

    Raises:
        NotFoundError: there is none.
    """
    path = _path(path)
    system = _remote(path)
    if system is None:
        _local(shutil.rmtree, path)
        return
    if not isdir(path):
        raise NotFoundError(f"{path}; Could not find directory")
    system.remove_folder(path)


def _check_free(dst: str, overwrite: bool) -> None:
    if not overwrite and exists(dst):
        raise AlreadyExistsError(f"{dst}; file already exists, and overwrite is False")


def copy(src: Any, dst: Any, overwrite: bool = False) -> None:
    """Copy a file, also between file systems.

    Raises:
        AlreadyExistsError: `dst` is there, unless `overwrite`.
        NotFoundError: `src` is not.
    """
    src, dst = _path(src), _path(dst)
    _check_free(dst, overwrite)
    with GFile(src, "rb") as source, GFile(dst, "wb") as target:
        source._open()
        while data := source.read(_CHUNK):
            target.write(data)


def rename(src: Any, dst: Any, overwrite: bool = False) -> None:
    """Give a file or folder another name.

    Raises:
        AlreadyExistsError: `dst` is there, unless `overwrite`.
        NotFoundError: `src` is not.
    """
    src, dst = _path(src), _path(dst)
    _check_free(dst, overwrite)
    one, other = locate(src), locate(dst)
    if one is not other and (_remote(src) or _remote(dst)) and type(one) is not type(other):
        copy(src, dst, overwrite)
        remove(src)
        return
    one.rename(src, dst)


def get_registered_schemes() -> builtins.list[str]:
    """The schemes of paths: ``""`` for local ones, and those of remote stores."""
    return ["", "file", "s3", "s3a", "gs", "gcs", "hdfs"]
