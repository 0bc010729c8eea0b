"""ParallelBlocks: several threads work on blocks, which leave in order (see `executor`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .executor import Executor, Item, Source, waited_s
from .pool import WorkerPool

__all__ = ["ParallelBlocks"]

_HELP_AFTER_S = 0.01


class ParallelBlocks(Executor):
    """Pulls items in order and works on several at once.

    Args:
        source: what to read.
        work: `work(value) -> value`, called on the pool's threads, by several at a time.
        parallelism: items being worked on at a time, at most.
        ordered: whether items are delivered in the order they were pulled.  If not, `state()`
            is from before the oldest item not yet delivered; the consumer remembers which
            later ones it has had.
        buffer: items pulled and not yet delivered, at most; default twice `parallelism`.
        pool: the threads; default those shared by the process.
    """

    def __init__(self, source: Source, work: Callable[[Any], Any], *, parallelism: int,
                 ordered: bool = True, buffer: int | None = None,
                 pool: WorkerPool | None = None):  # fmt: skip
        super().__init__(source)
        self._work = work
        self._ordered = ordered
        self._limit = buffer or 2 * parallelism
        self._parallelism = parallelism
        self._pool = pool or WorkerPool.shared()
        self._started = False
        self._active = 0  # tasks begun and not ended
        self._queued = 0  # tasks given to the pool and not begun
        self._full_since: float | None = None
        self._main = threading.main_thread().ident

    def next(self) -> Item | None:
        """The next item (which may hold an error), or None at the end."""
        me = threading.get_ident()
        began, waited = time.perf_counter(), waited_s()
        first = True
        try:
            while True:
                with self._mutex:
                    self._check_open()
                    if first:
                        first = False
                        self._asked(sum(1 for item in self._items if item.done))
                    item = self._take()
                    if item is not None or (self._exhausted and not self._items):
                        self._more()
                        self.delivered += item is not None
                        return item
                    self._more()
                    help_out = self._queued > 0 and me != self._main and self._pool.all_busy()
                    # A timeout only where help may become necessary: no idle wake-ups else.
                    may_help = self._queued > 0 and me != self._main
                    ticket = self._gate.ticket()
                if help_out:
                    self._task()
                else:
                    ticket.acquire(timeout=_HELP_AFTER_S if may_help else -1)
        finally:
            self._waited(began, waited)

    def set_bounds(self, parallelism: int, buffer: int) -> None:
        """Change how many items are worked on at a time, and how many are in flight."""
        with self._mutex:
            self._parallelism, self._limit = parallelism, max(buffer, parallelism)
            if self._started:
                self._more()

    @property
    def parallelism(self) -> int:
        """Items worked on at a time, at most."""
        return self._parallelism

    def _take(self) -> Item | None:
        items = self._items
        if not items:
            return None
        if items[0].done:
            return items.popleft()
        if not self._ordered:
            for k, item in enumerate(items):
                if item.done:
                    del items[k]
                    return item
        return None

    def _more(self) -> None:
        """Give the pool as many tasks as the bounds allow; the lock is held."""
        if self._exhausted or self._closed:
            return
        if not self._started:
            self._started = True
            self._pool.acquire()
        running = self._active + self._queued
        waiting = sum(1 for item in self._items if item.done)
        idle, room = self._parallelism - running, self._limit - waiting - running
        if room <= 0 and idle > 0:
            self._full_since = self._full_since or time.perf_counter()
        elif self._full_since is not None:
            self.full_s += time.perf_counter() - self._full_since
            self._full_since = None
        for _ in range(min(idle, room)):
            self._queued += 1
            self._pool.submit(self._task)

    def _task(self) -> None:
        """Pull one item and work on it; nothing if a helper has done it already."""
        with self._mutex:
            if self._queued == 0 or self._closed:
                return
            self._queued -= 1
            self._active += 1
            already_inside = threading.get_ident() in self._inside
            self._inside.add(threading.get_ident())
        try:
            item = self._pull()
            if item is not None:
                if item.error is None:
                    try:
                        item.value = self._work(item.value)
                    except BaseException as error:
                        item.error = error
                item.done = True
        finally:
            with self._mutex:
                self._active -= 1
                if not self._closed:
                    self._more()
                if not already_inside:
                    self._inside.discard(threading.get_ident())
                self._gate.changed()
            if self._closed:
                self._close_source_if_last()

    def _pull(self) -> Item | None:
        with self._pulling:
            if self._exhausted or self._closed:
                return None
            item = Item(self._source.save())
            self._in_flight = item.state
            try:
                item.value = self._pull_source()
                end = item.value is None
            except BaseException as error:
                item.error = error
                end = False
            with self._mutex:
                self._in_flight = None
                if end:
                    self._exhausted = True
                    return None
                self._items.append(item)
            return item

    def _forget(self) -> None:
        super()._forget()
        self._work = _no_work

    def _stopped(self) -> None:
        with self._mutex:
            started, self._started = self._started, False
        if started:
            self._pool.release()


def _no_work(value: Any) -> Any:
    """The work of an executor that was closed."""
    return value
