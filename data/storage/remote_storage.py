"""Storage in object stores, which know no renaming: parts, and a manifest put last.

A file at `path` is::

    path                        the manifest: JSON with the parts' folder and sizes
    path.parts/<id>/00000000    its bytes, 8 MiB to a part

Parts are put whole, with retries, under names that no other writer uses; the manifest, one
small put, comes last, and readers know of no part but by it.  So what a killed or failed writer
leaves is parts that nobody reads; later writers remove them when they are a day old: no lock
says earlier that their writer is dead.  Locks hold among the iterators of one process only: of
two processes that write the same path, the last to commit wins, and what it wrote is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ...io.filesystems import join, with_suffix
from ...io.remote_filesystems import connect
from ...ops.errors import AbortedError, DataLossError, NotFoundError, OpError
from .storage import Input, Lock, Output, Storage

__all__ = ["RemoteStorage"]

PART_BYTES = 8 << 20
ABANDONED_S = 86_400.0
_VERSION = 1
_PARTS = ".parts"
_NEAR_BYTES = 1 << 16  # a gap this small is read and dropped rather than jumped over
_READS, _PAUSE_S = 5, 0.05

_pool: ThreadPoolExecutor | None = None
_guard = threading.Lock()


class RemoteStorage(Storage):
    """The store that serves `url`."""

    def __init__(self, url: str):
        self._system = connect(url)

    def create(self, path: str, resume: Any = None) -> Output:
        """Parts, and a manifest at `commit`."""
        return _RemoteOutput(self, path, resume)

    def open_input(self, path: str) -> Input:
        """The file of which there is a manifest at `path`."""
        try:
            manifest = self.read_json(path)
            if manifest is None:
                raise NotFoundError(f"{path}; No such file or directory: check the path")
            if manifest["version"] != _VERSION:
                raise DataLossError(f"{path}; it is of format version {manifest['version']!r}")
            folder = with_suffix(path, manifest["parts"])
            return _RemoteInput(self, path, folder, [int(s) for s in manifest["sizes"]])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, (DataLossError, NotFoundError)):
                raise
            raise DataLossError(
                f"{path}; the file is damaged: it is no manifest; delete it to have it made "
                "again"
            ) from None

    def write_json(self, path: str, value: Any) -> None:
        """One put, waited for even by who is interrupted: it may be in place already."""
        put = self.put(path, json.dumps(value).encode())
        try:
            put.result()
        except BaseException:
            put.exception()
            raise

    def read_json(self, path: str) -> Any:
        """What was put last."""
        for attempt in range(_READS):
            try:
                return json.loads(self._system.read(path))
            except NotFoundError:
                return None
            except ValueError:
                # Its size was of the version before the one that the bytes came from.
                if attempt == _READS - 1:
                    raise
                time.sleep(_PAUSE_S)
        raise AssertionError

    def put(self, path: str, data: bytes) -> Future[None]:
        """Put an object, on a thread: no KeyboardInterrupt ends one in its middle."""
        try:
            return _threads().submit(self._system.put, path, data)
        except RuntimeError:  # the interpreter is ending and takes no more work
            self._system.put(path, data)
            done: Future[None] = Future()
            done.set_result(None)
            return done

    def stream(self, path: str, offset: int) -> Any:
        """The bytes of an object, read ahead."""
        return self._system.open_input(path, offset)

    def walk(self, folder: str) -> list[tuple[str, float | None]]:
        """See `RemoteFileSystem.walk`."""
        return self._system.walk(folder)

    def remove(self, path: str) -> None:
        """The manifest first, so that nobody begins to read."""
        try:
            parts = self.read_json(path)["parts"]
        except (ValueError, KeyError, TypeError):
            parts = None
        self._system.remove(path)
        if isinstance(parts, str):
            self._system.remove_folder(with_suffix(path, parts))

    def remove_folder(self, path: str) -> None:
        """All objects of which the names begin so."""
        self._system.remove_folder(path)

    def abandoned(self, folder: str) -> list[str]:
        """What nobody has written to for a day."""
        return _abandoned(self.walk(folder))

    def lock(self, path: str) -> Lock:
        """One holder in this process."""
        return _ProcessLock(path)


def _abandoned(files: list[tuple[str, float | None]]) -> list[str]:
    """The first names in the paths that nobody has written to for a day."""
    newest: dict[str, float] = {}
    for path, modified_s in files:
        name = path.partition("/")[0]
        newest[name] = max(newest.get(name, 0.0), modified_s or float("inf"))
    limit = time.time() - ABANDONED_S
    return [name for name, modified_s in newest.items() if modified_s < limit]


class _RemoteOutput:
    """Buffers a part; one more may be on its way."""

    def __init__(self, storage: RemoteStorage, path: str, resume: Any):
        self.path = path
        self._storage = storage
        self._suffix: str = resume["parts"] if resume else f"{_PARTS}/{secrets.token_hex(8)}"
        self._sizes: list[int] = list(resume["sizes"]) if resume else []
        self._folder = with_suffix(path, self._suffix)
        self._put_bytes = sum(self._sizes)
        self._waiting = bytearray()
        self._coming: Future[None] | None = None
        self._done = False

    def write(self, parts: list[Any]) -> None:
        for part in parts:
            view = memoryview(part).cast("B")
            while len(view):
                room = PART_BYTES - len(self._waiting)
                self._waiting += view[:room]
                view = view[room:]
                if len(self._waiting) == PART_BYTES:
                    self._put()

    def tell(self) -> int:
        return self._put_bytes + len(self._waiting)

    def checkpoint(self) -> Any:
        if self._waiting:
            self._put()
        self._wait()
        return {"parts": self._suffix, "sizes": list(self._sizes)}

    def commit(self) -> None:
        manifest = self.checkpoint()
        folder, own = with_suffix(self.path, _PARTS), self._suffix.rpartition("/")[2]
        written = self._storage.walk(folder)
        found = {path for path, _ in written}
        names = (_part_name(number) for number in range(len(self._sizes)))
        if missing := [name for name in names if f"{own}/{name}" not in found]:
            raise AbortedError(
                f"{self.path}; part {missing[0]} of what was written is not there any more: "
                "something removed it; write again"
            )
        # From here on the parts stay: the manifest may be in place though its reply is lost.
        self._done = True
        self._storage.write_json(self.path, {"version": _VERSION, **manifest})
        with contextlib.suppress(OpError):
            for name in _abandoned(written):
                if name != own:
                    self._storage.remove_folder(join(folder, name))

    def abort(self, keep: bool = False) -> None:
        if self._done:
            return
        self._done = True
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.exception()  # it would put its part after the others are removed
        if not keep and self._sizes:
            with contextlib.suppress(OpError):  # nobody reads them
                self._storage.remove_folder(self._folder)

    def _put(self) -> None:
        self._wait()
        name = _part_name(len(self._sizes))
        data, self._waiting = bytes(self._waiting), bytearray()
        self._sizes.append(len(data))
        self._put_bytes += len(data)
        self._coming = self._storage.put(join(self._folder, name), data)

    def _wait(self) -> None:
        if self._coming is not None:
            self._coming.result()  # kept until it is there: `abort` waits for it, too
            self._coming = None


class _RemoteInput:
    """Reads on where the last read ended, ahead of it; a jump begins another stream."""

    def __init__(self, storage: RemoteStorage, path: str, folder: str, sizes: list[int]):
        self.size = sum(sizes)
        self._storage, self._path, self._folder = storage, path, folder
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._stream: Any = None
        self._at = 0

    def read_into(self, offset: int, view: memoryview) -> int:
        if self._stream is not None and 0 < offset - self._at <= _NEAR_BYTES:
            self._read(memoryview(bytearray(offset - self._at)))
        if offset != self._at:
            self.close()
            self._at = offset
        return self._read(view)

    def _read(self, view: memoryview) -> int:
        done = 0
        while done < len(view) and self._at < self.size:
            if self._stream is None:
                self._open()
            got = self._stream.readinto(view[done:])
            if not got:
                self.close()  # this part's end: the next one follows
                continue
            done += got
            self._at += got
        return done

    def _open(self) -> None:
        number = int(np.searchsorted(self._ends, self._at, side="right"))
        end = int(self._ends[number])
        size = end - (int(self._ends[number - 1]) if number else 0)
        part = join(self._folder, _part_name(number))
        try:
            stream = self._storage.stream(part, size - (end - self._at))
        except NotFoundError:
            stream = None
        if stream is None or stream.size != size:
            if stream is not None:
                stream.close()
            raise DataLossError(
                f"{self._path}; the file is damaged: {part} is missing or of another size; "
                "delete it to have it made again"
            )
        self._stream = stream

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class _ProcessLock:
    """Held by at most one of this process: it dies with it, as locks of the system do."""

    _held: set[tuple[int, str]] = set()

    def __init__(self, path: str):
        self.path = path
        self._key: tuple[int, str] | None = None

    def acquire(self) -> bool:
        key = os.getpid(), self.path
        with _guard:
            if key in self._held:
                return key == self._key
            self._held.add(key)
        self._key = key
        return True

    def release(self) -> None:
        if self._key is not None:
            with _guard:
                self._held.discard(self._key)
            self._key = None

    def remove_stale(self) -> None:
        """Nothing is left behind."""


def _part_name(number: int) -> str:
    return f"{number:08d}"


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _guard:
        if _pool is None:
            _pool = ThreadPoolExecutor(8, "headrace-io-put")
        return _pool


def _forget_threads() -> None:
    """In a forked child, where the parent's threads do not run."""
    global _pool, _guard
    _pool, _guard = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
