"""Local files that appear whole or not at all, and locks that die with their process.

What is to appear is written under a temporary name, flushed to the disk and renamed; the
folder is flushed after it.  Locks are the operating system's (``flock``): a killed process
holds none.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import Any

from ...io.files import file_error
from ...ops.errors import OpError, ResourceExhaustedError

__all__ = ["FileLock", "publish", "remove", "sync_folder", "write_error", "write_json"]


def write_error(error: OSError, path: str) -> Exception:
    """The Headrace error for a failed write to `path`."""
    if error.errno == errno.EFBIG:
        return ResourceExhaustedError(f"{path}; {error.strerror}: raise the file size limit")
    return file_error(error, path)


def publish(temporary: str, path: str) -> None:
    """Give the complete file `temporary`, already flushed, its name."""
    os.replace(temporary, path)
    sync_folder(os.path.dirname(path))


def sync_folder(folder: str) -> None:
    """Flush the names in a folder to the disk, where the file system can."""
    try:
        descriptor = os.open(folder or ".", os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def write_json(path: str, value: Any) -> None:
    """`value` as a JSON file that appears at once.

    Raises:
        ResourceExhaustedError: the disk is full.
    """
    temporary = f"{path}.tmp-{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
    except OSError as error:
        remove(temporary)
        raise write_error(error, path) from None


def remove(path: str) -> None:
    """Delete a file if it is there."""
    with contextlib.suppress(OSError):
        os.remove(path)


class FileLock:
    """An exclusive lock of the file at `path`, of at most one holder among all processes."""

    def __init__(self, path: str):
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock, making its folder; False if somebody (in this process, too) has it.

        Raises:
            OpError: the file cannot be opened.
        """
        import fcntl

        if self._descriptor is not None:
            return True
        while True:
            try:
                os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise write_error(error, self.path) from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_ino == os.stat(self.path).st_ino:
                    break
            except FileNotFoundError:
                pass  # the last holder removed it between our two calls
            except OSError:
                os.close(descriptor)
                return False
            os.close(descriptor)
        os.truncate(descriptor, 0)
        os.write(descriptor, f"pid {os.getpid()}\n".encode())
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back and remove its file; harmless when repeated."""
        if self._descriptor is not None:
            remove(self.path)  # while it is held: `acquire` checks that it locked this file
            os.close(self._descriptor)
            self._descriptor = None

    def remove_stale(self) -> None:
        """Remove the lock's file if a process left it behind when it was killed; who may not
        write there leaves it, which does no harm."""
        with contextlib.suppress(OpError):
            if self._descriptor is None and os.path.exists(self.path) and self.acquire():
                self.release()
