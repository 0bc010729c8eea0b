"""ParallelBlocks: several threads work on blocks, in order.  Prefetcher: reads ahead.

Both sit between a *source* (anything with the pull side of a stage: `pull() -> item | None`,
`save() -> state`, `close()`) and one consumer, and keep these laws:

* **Order.** Items leave in the order they were pulled (or, if `ordered=False`, as they are
  done). An error leaves in its item's place, after everything before it.
* **State.** Each item remembers the source's state from before it was pulled, so `state()`
  always describes what was *delivered*, no matter how far the threads have run ahead.
* **Bounds.** At most so many items (and bytes) are pulled and not yet delivered; `set_bounds`
  changes that in mid-run.
* **Counts.** Each executor times its serial part (`pull_s`: pulling, without waiting for the
  executors before it), its consumer's waiting and how long its threads stood still for want of
  room: what `autotune` decides by.
* **Threads.** The source is pulled by one thread at a time.  Threads start with the first
  `next`; `close()` may come from any thread, any number of times.  Whoever leaves last closes
  the source, so `close()` never waits longer than `CLOSE_WAIT_S` for a thread inside a user's
  function.
* **Interrupts.** The main thread only waits (interruptibly) and never works, so Ctrl-C
  answers at once; it holds no lock while it waits, so that an interrupt leaves none behind
  (`_Gate`).  Other threads that find the pool busy do the work they wait for themselves: since
  waits only ever point from a stage to stages before it, some thread can always go on.
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
            # An error that an item keeps would keep, by its traceback, the item and all frames.
            error, self.error = self.error, None
            try:
                raise error
            finally:
                del error
        return self.value


class _Mine(threading.local):
    """What the calling thread has waited in executors, and how many pulls it is inside of."""

    waited_s = 0.0
    depth = 0


_mine = _Mine()


class _Gate:
    """A mutex, and waiting for a change of what it guards.

    Unlike with `threading.Condition`, one waits without holding anything, on a lock of one's
    own: ``with gate.mutex: ticket = gate.ticket()``, then ``ticket.acquire()``.  An interrupt
    that comes then, or at any moment before, leaves the mutex free.
    """

    __slots__ = ("_tickets", "mutex")

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self._tickets: list[Any] = []

    def ticket(self) -> Any:
        """A lock that is released at the next change; the mutex is held."""
        ticket = threading.Lock()
        ticket.acquire()
        self._tickets.append(ticket)
        return ticket

    def changed(self) -> None:
        """Wake all who wait; the mutex is held."""
        for ticket in self._tickets:
            if ticket.locked():  # an interrupt may have ended this loop before
                ticket.release()
        self._tickets.clear()


class _Executor:
    """What both executors share: one gate, counts, and an orderly end.

    Attributes:
        pull_s: seconds spent in the source, without waiting for executors in it.
        wait_s: seconds consumers spent in `next`.
        outer_wait_s: those of them that were not part of another executor's pull.
        full_s: seconds in which there was no room for a thread to work ahead.
        delivered: items handed out.
        least_ready: fewest items that were ready when one was asked for, since `forget_least`.
    """

    def __init__(self, source: Source):
        self._source = source
        self._gate = _Gate()
        self._mutex = self._gate.mutex
        self._pulling = threading.Lock()
        self._items: deque[Item] = deque()
        self._inside: set[int] = set()  # threads at work for this executor
        self._in_flight: Any = None  # the source's state from before the pull under way
        self._closed = False
        self._source_closed = False
        self._exhausted = False
        self.pull_s = self.wait_s = self.outer_wait_s = self.full_s = 0.0
        self.delivered = 0
        self.least_ready: int | None = None
        _open.add(self)

    @property
    def buffered(self) -> int:
        """Items pulled and not yet delivered."""
        return len(self._items)

    def state(self) -> Any:
        """The source's state as of the last item delivered."""
        with self._mutex:
            if self._items:
                return self._items[0].state
            if self._in_flight is not None:
                return self._in_flight
        with self._pulling:
            with self._mutex:
                if self._items:
                    return self._items[0].state
            return self._source.save()

    def forget_least(self) -> int | None:
        """`least_ready`, which begins anew; None if nothing was asked for."""
        with self._mutex:
            least, self.least_ready = self.least_ready, None
            return least

    def _asked(self, ready: int) -> None:
        """Note that a consumer asks for an item; the lock is held."""
        if self.least_ready is None or ready < self.least_ready:
            self.least_ready = ready

    def _waited(self, began: float, waited_s: float) -> None:
        """Note that a consumer waited since `began`, when its thread had waited `waited_s`."""
        spent = time.perf_counter() - began
        self.wait_s += spent
        if _mine.depth == 0:
            self.outer_wait_s += spent
        _mine.waited_s = waited_s + spent  # pulls made while helping are part of it

    def _pull_source(self) -> Any:
        """`source.pull()`, timed; by one thread at a time."""
        began, waited_s = time.perf_counter(), _mine.waited_s
        _mine.depth += 1
        try:
            return self._source.pull()
        finally:
            _mine.depth -= 1
            spent = time.perf_counter() - began
            self.pull_s += max(spent - (_mine.waited_s - waited_s), 0.0)

    def items(self) -> list[Item]:
        """The items pulled and not yet delivered, at this moment."""
        with self._mutex:
            return list(self._items)

    def close(self, keep_source: bool = False) -> None:
        """Stop: forget what was not delivered, wait a little for the threads, close the source.

        Args:
            keep_source: leave the source open for a further use; then wait until every thread
                has left it, however long that takes.
        """
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            self._source_closed = keep_source
            self._items.clear()
            self._gate.changed()
        deadline = time.monotonic() + CLOSE_WAIT_S
        me = threading.get_ident()
        while True:
            with self._mutex:
                if not self._inside - {me}:
                    break
                ticket = self._gate.ticket()
            left_s = deadline - time.monotonic()
            if left_s <= 0 and not keep_source:
                break
            ticket.acquire(timeout=-1 if keep_source else left_s)
        self._stopped()
        self._close_source_if_last()
        _open.discard(self)

    def _stopped(self) -> None:
        """Hook: the executor was closed."""

    def _close_source_if_last(self) -> None:
        with self._mutex:
            if not self._closed or self._inside or self._source_closed:
                return
            self._source_closed = True
        self._source.close()

    def _enter(self) -> bool:
        """Note that this thread works here; False if the executor is closed."""
        with self._mutex:
            if self._closed:
                return False
            self._inside.add(threading.get_ident())
            return True

    def _leave(self) -> None:
        with self._mutex:
            self._inside.discard(threading.get_ident())
            self._gate.changed()
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
        self._full_since: float | None = None
        self._main = threading.main_thread().ident

    def next(self) -> Item | None:
        """The next item (which may hold an error), or None at the end."""
        me = threading.get_ident()
        began, waited_s = time.perf_counter(), _mine.waited_s
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
            self._waited(began, waited_s)

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

    def _stopped(self) -> None:
        with self._mutex:
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
            self.start()  # not where it is closed
        began = 0.0
        waited_s = _mine.waited_s
        try:
            while True:
                with self._mutex:
                    self._check_open()
                    if not began and not self._exhausted:
                        self._asked(len(self._items))
                    if self._items or self._exhausted:
                        break
                    ticket = self._gate.ticket()
                began = began or time.perf_counter()
                ticket.acquire()
        finally:
            if began:
                self._waited(began, waited_s)
        with self._mutex:
            if not self._items:
                return None
            item = self._items.popleft()
            self._bytes -= item.size_bytes
            self.delivered += 1
            self._gate.changed()
            return item

    def set_bounds(self, max_items: int, max_bytes: int) -> None:
        """Change how many items and bytes may be read ahead."""
        with self._mutex:
            self._max_items, self._max_bytes = max_items, max_bytes
            self._gate.changed()

    @property
    def max_items(self) -> int:
        """Items read ahead, at most."""
        return self._max_items

    def _run(self) -> None:
        if not self._enter():
            return
        try:
            while self._wait_for_room():
                with self._pulling:
                    item = Item(self._source.save())
                    self._in_flight = item.state
                    try:
                        item.value = self._pull_source()
                        if item.value is not None:
                            item.size_bytes = self._size_bytes(item.value)
                    except BaseException as error:
                        item.error = error
                    with self._mutex:
                        self._in_flight = None
                        if self._closed:
                            return
                        if item.value is None and item.error is None:
                            self._exhausted = True
                            self._gate.changed()
                            return
                        self._items.append(item)
                        self._bytes += item.size_bytes
                        self._gate.changed()
        finally:
            self._leave()

    def _stopped(self) -> None:
        # Or the thread's object would be garbage of this cycle, and a Ctrl-C during its
        # collection would be lost in its weak references' callbacks.
        self._thread = None

    def _wait_for_room(self) -> bool:
        """Wait until an item may be pulled; False once closed."""
        while True:
            with self._mutex:
                if self._closed:
                    return False
                if not self._items or (
                    len(self._items) < self._max_items
                    and self._bytes < self._max_bytes
                    and self._items[-1].error is None  # the consumer decides about going on
                ):
                    return True
                ticket = self._gate.ticket()
            began = time.perf_counter()
            ticket.acquire()
            self.full_s += time.perf_counter() - began


_open: weakref.WeakSet[_Executor] = weakref.WeakSet()


def _close_all() -> None:
    for executor in list(_open):
        executor.close()


# Before the interpreter takes down the modules that threads still use.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]
