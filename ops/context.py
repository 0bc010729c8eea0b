"""What the current thread is recording: the trace under way and the active gradient tapes.

`recording` counts traces and tapes of all threads.  While it is 0, dispatch takes the eager
fast path without looking at any thread-local state.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["current", "init_scope", "recording", "tapes_paused"]


class _Current(threading.local):
    trace: Any = None
    tapes: tuple[Any, ...] = ()


class _Recording:
    """A count that several threads change (under a lock) and every dispatch reads."""

    __slots__ = ("_lock", "count")

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self.count += 1

    def leave(self) -> None:
        with self._lock:
            self.count -= 1


current = _Current()
recording = _Recording()


@contextmanager
def tracing(trace: Any) -> Iterator[Any]:
    """Record what this thread does in `trace`; tapes of the surrounding code are set aside."""
    before = current.trace, current.tapes
    current.trace, current.tapes = trace, ()
    recording.enter()
    try:
        yield trace
    finally:
        recording.leave()
        current.trace, current.tapes = before


@contextmanager
def init_scope() -> Iterator[None]:
    """Run the block eagerly even while a function is traced (e.g. to create variables)."""
    before = current.trace, current.tapes
    current.trace, current.tapes = None, ()
    try:
        yield
    finally:
        current.trace, current.tapes = before


@contextmanager
def tapes_paused() -> Iterator[None]:
    """Run the block without recording it on any tape of this thread."""
    before = current.tapes
    current.tapes = ()
    try:
        yield
    finally:
        current.tapes = before


def executing_eagerly() -> bool:
    """Whether operations run at once (True) or are recorded into a graph (False)."""
    return current.trace is None
