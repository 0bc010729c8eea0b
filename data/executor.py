"""ParallelBlocks: several threads work on blocks, in order.  Prefetcher: reads ahead.

Both sit between a *source* (anything with the pull side of a stage: `pull() -> item | None`,
`save() -> state`, `close()`) and one consumer, and keep these laws:

* **Order.** Items leave in the order they were pulled (or, if `ordered=False`, as they are
  done). An error leaves in its item's place, after everything before it.
* **State.** Each item remembers the source's state from before it was pulled, so `state()`
  always describes what was *delivered*, no matter how far the threads have run ahead.
* **Bounds.** At most so many items (and bytes) are pulled and not yet delivered.
* **Threads.** The source is pulled by one thread at a time.  Threads start with the first
  `next`; `close()` may come from any thread, any number of times.  Whoever leaves last closes
  the source, so `close()` never waits longer than `CLOSE_WAIT_S` for a thread inside a user's
  function.
* **Interrupts.** The main thread only waits (interruptibly) and never works, so Ctrl-C
  answers at once.  Other threads that find the pool busy do the work they wait for
  themselves: since waits only ever point from a stage to stages before it, some thread can
  always go on.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from ..ops.errors import CancelledError
from .pool import WorkerPool

__all__ = ["Item", "ParallelBlocks", "Prefetcher", "Source"]

CLOSE_WAIT_S = 0.1
_HELP_AFTER_S = 0.01


class Source(Protocol):
    """What an executor reads."""

    def pull(self) -> Any:
        """The next item, or None at the end."""

    def save(self) -> Any:
        """The state from which `pull` would give the item it gives next."""

    def close(self) -> None:
        """Release everything; called once, by whichever thread leaves last."""


class Item:
    """One item on its way through an executor.

    Attributes:
        state: the source's state from before the item was pulled.
        value: the item, after the work on it.
        error: what was raised instead, or None.
    """

    __slots__ = ("done", "error", "size_bytes", "state", "value")

    def __init__(self, state: Any):
        self.state = state
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.size_bytes = 0

    def result(self) -> Any:
        """The value.

        Raises:
            Exception: whatever pulling or working on this item raised.
        """
        if self.error is not None:
            raise self.error
        return self.value


class _Executor:
    """What both executors share: one lock with one condition, and an orderly end."""

    def __init__(self, source: Source):
        self._source = source
        self._changed = threading.Condition(threading.Lock())
        self._pulling = threading.Lock()
        self._items: deque[Item] = deque()
        self._inside: set[int] = set()  # threads at work for this executor
        self._in_flight: Any = None  # the source's state from before the pull under way
        self._closed = False
        self._source_closed = False
        self._exhausted = False
        self.wait_s = 0.0
        _open.add(self)

    @property
    def buffered(self) -> int:
        """Items pulled and not yet delivered."""
        return len(self._items)

    def state(self) -> Any:
        """The source's state as of the last item delivered."""
        with self._changed:
            if self._items:
                return self._items[0].state
            if self._in_flight is not None:
                return self._in_flight
        with self._pulling:
            with self._changed:
                if self._items:
                    return self._items[0].state
            return self._source.save()

    def items(self) -> list[Item]:
        """The items pulled and not yet delivered, at this moment."""
        with self._changed:
            return list(self._items)

    def close(self, keep_source: bool = False) -> None:
        """Stop: forget what was not delivered, wait a little for the threads, close the source.

        Args:
            keep_source: leave the source open for a further use; then wait until every thread
                has left it, however long that takes.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._source_closed = keep_source
            self._items.clear()
            self._changed.notify_all()
            me = threading.get_ident()
            deadline = time.monotonic() + CLOSE_WAIT_S
            while self._inside - {me}:
                left = None if keep_source else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
        self._stopped()
        self._close_source_if_last()
        _open.discard(self)

    def _stopped(self) -> None:
        """Hook: the executor was closed."""

    def _close_source_if_last(self) -> None:
        with self._changed:
            if not self._closed or self._inside or self._source_closed:
                return
            self._source_closed = True
        self._source.close()

    def _enter(self) -> bool:
        """Note that this thread works here; False if the executor is closed."""
        with self._changed:
            if self._closed:
                return False
            self._inside.add(threading.get_ident())
            return True

    def _leave(self) -> None:
        with self._changed:
            self._inside.discard(threading.get_ident())
            self._changed.notify_all()
        if self._closed:
            self._close_source_if_last()

    def _check_open(self) -> None:
        if self._closed:
            raise CancelledError("the iterator was closed; make a new one with iter(dataset)")


class ParallelBlocks(_Executor):
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
        self._main = threading.main_thread().ident

    def next(self) -> Item | None:
        """The next item (which may hold an error), or None at the end."""
        me = threading.get_ident()
        started = time.perf_counter()
        try:
            while True:
                with self._changed:
                    self._check_open()
                    item = self._take()
                    if item is not None or (self._exhausted and not self._items):
                        self._more()
                        return item
                    self._more()
                    help_out = self._queued > 0 and me != self._main and self._pool.all_busy()
                    if not help_out:
                        # A timeout only where help may become necessary: no idle wake-ups else.
                        waits_for_pool = self._queued > 0 and me != self._main
                        self._changed.wait(_HELP_AFTER_S if waits_for_pool else None)
                        continue
                self._task()
        finally:
            self.wait_s += time.perf_counter() - started

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
        for _ in range(min(self._parallelism - running, self._limit - waiting - running)):
            self._queued += 1
            self._pool.submit(self._task)

    def _task(self) -> None:
        """Pull one item and work on it; nothing if a helper has done it already."""
        with self._changed:
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
            with self._changed:
                self._active -= 1
                if not self._closed:
                    self._more()
                if not already_inside:
                    self._inside.discard(threading.get_ident())
                self._changed.notify_all()
            if self._closed:
                self._close_source_if_last()

    def _pull(self) -> Item | None:
        with self._pulling:
            if self._exhausted or self._closed:
                return None
            item = Item(self._source.save())
            self._in_flight = item.state
            try:
                item.value = self._source.pull()
                end = item.value is None
            except BaseException as error:
                item.error = error
                end = False
            with self._changed:
                self._in_flight = None
                if end:
                    self._exhausted = True
                    return None
                self._items.append(item)
            return item

    def _stopped(self) -> None:
        with self._changed:
            started, self._started = self._started, False
        if started:
            self._pool.release()


class Prefetcher(_Executor):
    """A thread that pulls ahead of its consumer.

    Args:
        source: what to read.
        max_items: items read ahead, at most.
        max_bytes: bytes read ahead; at least one item is, however large.
        size_bytes: bytes of an item.
        name: of the thread.
    """

    def __init__(self, source: Source, *, max_items: int, max_bytes: int = 64 << 20,
                 size_bytes: Callable[[Any], int] = lambda _: 0,
                 name: str = "headrace-prefetch"):  # fmt: skip
        super().__init__(source)
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._size_bytes = size_bytes
        self._name = name
        self._bytes = 0
        self._thread: threading.Thread | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes pulled and not yet delivered."""
        return self._bytes

    def start(self) -> None:
        """Begin reading ahead; `next` does it otherwise."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def next(self) -> Item | None:
        """The next item (which may hold an error), or None at the end."""
        if self._thread is None:
            self.start()
        with self._changed:
            if not self._items and not self._exhausted:
                started = time.perf_counter()
                while not (self._items or self._exhausted or self._closed):
                    self._changed.wait()
                self.wait_s += time.perf_counter() - started
            self._check_open()
            if not self._items:
                return None
            item = self._items.popleft()
            self._bytes -= item.size_bytes
            self._changed.notify_all()
            return item

    def _run(self) -> None:
        if not self._enter():
            return
        try:
            while self._wait_for_room():
                with self._pulling:
                    item = Item(self._source.save())
                    self._in_flight = item.state
                    try:
                        item.value = self._source.pull()
                        if item.value is not None:
                            item.size_bytes = self._size_bytes(item.value)
                    except BaseException as error:
                        item.error = error
                    with self._changed:
                        self._in_flight = None
                        if self._closed:
                            return
                        if item.value is None and item.error is None:
                            self._exhausted = True
                            self._changed.notify_all()
                            return
                        self._items.append(item)
                        self._bytes += item.size_bytes
                        self._changed.notify_all()
        finally:
            self._leave()

    def _wait_for_room(self) -> bool:
        """Wait until an item may be pulled; False once closed."""
        with self._changed:
            while not self._closed and self._items and (
                len(self._items) >= self._max_items
                or self._bytes >= self._max_bytes
                or self._items[-1].error is not None  # the consumer decides whether to go on
            ):  # fmt: skip
                self._changed.wait()
            return not self._closed


_open: weakref.WeakSet[_Executor] = weakref.WeakSet()


def _close_all() -> None:
    for executor in list(_open):
        executor.close()


# Before the interpreter takes down the modules that threads still use.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]
