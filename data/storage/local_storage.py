"""Storage on disks: files that get their names when they are complete, locks of the system.

What is to appear is written under a temporary name, flushed to the disk and renamed; the
folder is flushed after it.  A killed process leaves ``*.partial`` and ``*.tmp-*`` files, which
the next writer overwrites or removes, and holds no lock.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from ...io.files import file_error
from .durable import FileLock, publish, remove, sync_folder, write_error, write_json
from .storage import Input, Lock, Output, Storage

__all__ = ["LOCAL", "LocalStorage"]


class LocalStorage(Storage):
    """The operating system's files."""

    def create(self, path: str, resume: Any = None) -> Output:
        """A file with ``.partial`` behind its name until `commit`."""
        return _LocalOutput(path, resume)

    def open_input(self, path: str) -> Input:
        """A file."""
        return _LocalInput(path)

    def write_json(self, path: str, value: Any) -> None:
        """By renaming."""
        folder = os.path.dirname(path)
        _make_folder(folder)
        sync_folder(folder)  # the names of new folders there, of which the file may tell
        write_json(path, value)

    def read_json(self, path: str) -> Any:
        """The file's value."""
        try:
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise file_error(error, path) from None

    def remove(self, path: str) -> None:
        """Delete a file."""
        remove(path)

    def remove_folder(self, path: str) -> None:
        """Delete a folder."""
        shutil.rmtree(path, ignore_errors=True)

    def abandoned(self, folder: str) -> list[str]:
        """All names: who could write holds the lock."""
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []

    def lock(self, path: str) -> Lock:
        """A `FileLock`."""
        return FileLock(path)


LOCAL = LocalStorage()


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path or ".", exist_ok=True)
    except OSError as error:
        raise write_error(error, path) from None


class _LocalOutput:
    def __init__(self, path: str, resume: Any):
        self.path = path
        self._temporary = f"{path}.partial"
        _make_folder(os.path.dirname(path))
        try:
            mode = "w+b" if resume is None else "r+b"
            self._file = open(self._temporary, mode, buffering=0)
            if resume is not None:
                self._file.truncate(resume)
                self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise write_error(error, self._temporary) from None

    def write(self, parts: list[Any]) -> None:
        try:
            for part in parts:
                view = memoryview(part)
                while len(view):
                    view = view[self._file.write(view) :]
        except OSError as error:
            raise write_error(error, self._temporary) from None

    def tell(self) -> int:
        return self._file.tell()

    def checkpoint(self) -> Any:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(error, self._temporary) from None
        return self.tell()

    def commit(self) -> None:
        self.checkpoint()
        self._file.close()
        try:
            publish(self._temporary, self.path)
        except OSError as error:
            raise write_error(error, self.path) from None

    def abort(self, keep: bool = False) -> None:
        if not self._file.closed:
            self._file.close()
            if not keep:
                remove(self._temporary)


class _LocalInput:
    def __init__(self, path: str):
        self._path = path
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
            self.size = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise file_error(error, path) from None

    def read_into(self, offset: int, view: memoryview) -> int:
        """By reading, not mapping: a file cut short meanwhile is no SIGBUS."""
        done = 0
        try:
            while done < len(view):
                got = os.preadv(self._descriptor, [view[done:]], offset + done)
                if not got:
                    break
                done += got
        except OSError as error:
            raise file_error(error, self._path) from None
        return done

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()
