"""A stream over ranged reads: blocks fetched ahead on a few shared threads, and retries.

A remote file is read by ranges of up to 4 MiB, three of them on their way at a time; the first
is small, so that opening a file to look at its start costs little.  A range that fails or comes
short is asked for again from the byte reached, after a pause that doubles, so a dropped
connection neither repeats nor loses a byte.  A file whose size changes meanwhile is an error:
its parts would not fit together.

A stream belongs to one thread at a time; the threads that fetch are shared by all streams of
the process, and start with the first of them.
"""

from __future__ import annotations

import os
import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from ..ops.errors import DataLossError, OpError, UnavailableError
from .file_errors import remote_error

__all__ = ["ATTEMPTS", "Ranges", "ReadAheadStream", "with_retries"]

ATTEMPTS = 6
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0
_FIRST_BYTES, _BLOCK_BYTES, _AHEAD = 1 << 18, 1 << 22, 3
_THREADS = 16

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


class Ranges(Protocol):
    """A remote file that gives any range of its bytes; used from several threads."""

    size: int

    def read_at(self, offset: int, size: int) -> Any:
        """Bytes from `offset` on, at least one and at most `size`."""

    def close(self) -> None:
        """Release the connection."""


def with_retries(
    action: Callable[[], Any], url: str, stop: threading.Event | None = None
) -> Any:
    """What `action()` returns, tried up to `ATTEMPTS` times while the store is unavailable.

    Raises:
        OpError: what the last attempt met, naming `url`.
    """
    stop = stop or threading.Event()
    attempt = 0
    while True:
        try:
            return action()
        except Exception as error:
            attempt += 1
            known = remote_error(error, url)
            if not isinstance(known, UnavailableError) or attempt >= ATTEMPTS or stop.is_set():
                if isinstance(known, UnavailableError) and known is not error:
                    known = UnavailableError(f"{known} ({attempt} attempts)")
                raise known from None
        # Jitter, so that many readers of one store do not come back at the same moment.
        pause = min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S)
        stop.wait(pause * random.uniform(0.7, 1.0))


class ReadAheadStream:
    """The bytes of one remote file from `offset` on.

    Args:
        connect: opens the file; called again after each failure.
        url: for messages.
        offset: where to begin.

    Attributes:
        size: bytes of the whole file.

    Raises:
        NotFoundError: there is no such file.
        PermissionDeniedError: the store refuses access.
        UnavailableError: the store does not answer.
    """

    def __init__(self, connect: Callable[[], Ranges], url: str, offset: int = 0):
        self._connect, self._url = connect, url
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._ranges: Ranges = with_retries(connect, url, self._stop)
        self.size = self._ranges.size
        self._next = offset  # where the next block to ask for begins
        self._block_bytes, self._depth = _FIRST_BYTES, 1
        self._coming: deque[tuple[int, Future[bytearray]]] = deque()
        self._current = memoryview(b"")

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from its start; how many bytes came, 0 only at the end."""
        if not self._current and not self._next_block():
            return 0
        view = memoryview(buffer).cast("B")
        n = min(len(view), len(self._current))
        view[:n] = self._current[:n]
        self._current = self._current[n:]
        return n

    def _next_block(self) -> bool:
        if self._stop.is_set():
            return False
        self._ask()
        if not self._coming:
            return False
        start, future = self._coming[0]
        try:
            block = future.result()
        except OpError:
            # A later call begins again here: nothing was handed out.
            self._drop()
            self._next, self._depth = start, 1
            raise
        self._coming.popleft()
        self._depth = _AHEAD
        self._current = memoryview(block)
        self._ask()
        return True

    def _ask(self) -> None:
        while len(self._coming) < self._depth and self._next < self.size:
            size = min(self._block_bytes, self.size - self._next)
            try:
                future = _threads().submit(self._fetch, self._next, size)
            except RuntimeError:  # the interpreter is ending and takes no more work
                future = Future()
                future.set_result(self._fetch(self._next, size))
            self._coming.append((self._next, future))
            self._next += size
            self._block_bytes = min(2 * self._block_bytes, _BLOCK_BYTES)

    def _fetch(self, start: int, size: int) -> bytearray:
        block = bytearray()
        while len(block) < size:
            at, left = start + len(block), size - len(block)
            block += with_retries(partial(self._range, at, left), self._url, self._stop)
        return block

    def _range(self, offset: int, size: int) -> Any:
        ranges = self._ranges
        try:
            data = ranges.read_at(offset, size)
            if not len(data):
                raise ConnectionError(f"no bytes came from offset {offset}")
        except Exception as error:
            if isinstance(remote_error(error, self._url), UnavailableError):
                self._reconnect(ranges)
            raise
        if len(data) > size:
            raise DataLossError(
                f"{self._url}; {len(data)} bytes came where {size} were asked for: the store "
                "ignores ranges; copy the file to a local disk first"
            )
        return data

    def _reconnect(self, failed: Ranges) -> None:
        """Another connection in place of `failed`, once for all blocks on their way."""
        with self._lock:
            if self._ranges is not failed or self._stop.is_set():
                return
            fresh = self._connect()
            self._ranges = fresh
        if fresh.size != self.size:
            raise DataLossError(
                f"{self._url}; changed while it was read, from {self.size} to {fresh.size} "
                "bytes: write new files under new names"
            )

    def _drop(self) -> None:
        while self._coming:
            self._coming.popleft()[1].cancel()

    def close(self) -> None:
        """Release the file; harmless when repeated."""
        if not self._stop.is_set():
            self._stop.set()
            self._drop()
            self._current = memoryview(b"")
            self._ranges.close()


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(_THREADS, "headrace-io-read-ahead")
        return _pool


def _forget_threads() -> None:
    """In a forked child, where the parent's threads do not run."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
