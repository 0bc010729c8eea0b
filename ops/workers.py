"""Worker threads that sleep: parts of one large computation, run by whoever takes them first.

The calling thread begins with the first part and takes what no worker has begun; so a part is
never waited for that nobody runs, and parts may be spread from several threads at once.  Code
that is run must release the GIL to gain anything, as NumPy's and compiled kernels do.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

__all__ = ["count", "one_of_many", "set_count", "sharing", "spread", "wanted"]

_wanted: int | None = None
_started: int = 0
_tasks: SimpleQueue[_Part] = SimpleQueue()
_lock = threading.Lock()


def set_count(threads: int) -> None:
    """Threads for one computation, the calling one included; 0 means one per usable CPU.

    Raises:
        ValueError: a negative number.
    """
    global _wanted
    if threads < 0:
        raise ValueError(f"number of threads must not be negative, got {threads}")
    _wanted = threads or None


def wanted() -> int:
    """What `set_count` was given; 0 without it."""
    return _wanted or 0


class _Own(threading.local):
    one_of_many = False
    sharers = 1


_own = _Own()


def one_of_many() -> None:
    """Say that the calling thread is one of several that compute side by side: from now on what
    it computes is not spread further."""
    _own.one_of_many = True


@contextlib.contextmanager
def sharing(sharers: int) -> Iterator[None]:
    """In the block, the calling thread has an equal part of the threads: as many others compute
    beside it as make `sharers` together."""
    before, _own.sharers = _own.sharers, sharers
    try:
        yield
    finally:
        _own.sharers = before


def count() -> int:
    """Threads a large computation of the calling thread is spread over."""
    if _own.one_of_many:
        return 1
    if _wanted is not None:
        return max(1, _wanted // _own.sharers)
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this operating system
        found = os.cpu_count() or 1
    return max(1, found // _own.sharers)


def spread(parts: Sequence[Callable[[], object]]) -> None:
    """Run all parts, in any order and at the same time, and return when they have ended.

    An error of a part is raised, after all have ended.
    """
    _start(min(len(parts), 64) - 1)
    waiting = [_Part(part) for part in parts]
    for part in waiting[1:]:
        _tasks.put(part)
    for part in waiting:
        part.run()
    for part in waiting:
        part.wait()
    for part in waiting:
        if part.error is not None:
            raise part.error


class _Part:
    __slots__ = ("_begun", "_done", "error", "run_part")

    def __init__(self, run_part: Callable[[], object]):
        self.run_part = run_part
        self._begun = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()
        self.error: BaseException | None = None

    def run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            self.run_part()
        except BaseException as error:
            self.error = error
        finally:
            del self.run_part  # what it holds is not kept while a thread sleeps
            self._done.release()

    def wait(self) -> None:
        self._done.acquire()


def _start(wanted: int) -> None:
    global _started
    if _started >= wanted:
        return
    with _lock:
        for i in range(_started, wanted):
            name = f"headrace-part-{i}"  # those of data are called headrace-worker
            threading.Thread(target=_work, name=name, daemon=True).start()
        _started = max(_started, wanted)


def _work() -> None:
    one_of_many()
    while True:
        part = _tasks.get()
        part.run()
        del part


def _forget_threads() -> None:
    """In a forked child no worker is left."""
    global _started, _tasks, _lock
    _started, _tasks, _lock = 0, SimpleQueue(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
