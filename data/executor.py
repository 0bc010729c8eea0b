"""Executor: what runs a part of a pipeline on other threads has in common.

`parallel_blocks.ParallelBlocks` lets several threads work on blocks, `prefetcher.Prefetcher`
reads ahead.  Both sit between a *source* (anything with the pull side of a stage:
`pull() -> item | None`, `save() -> state`, `close()`) and one consumer, and keep these laws:

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
from typing import Any, Protocol

from ..ops.errors import CancelledError

__all__ = ["Executor", "Item", "Source", "waited_s"]

CLOSE_WAIT_S = 0.1
_CLOSED = "the iterator was closed; make a new one with iter(dataset)"


class Source(Protocol):
    """What an executor reads."""

    def pull(self) -> Any:
        """The next item, or None at the end."""

    def save(self) -> Any:
        """The state from which `pull` would give the item it gives next."""

    def close(self) -> None:
        """Release everything; called once, by whichever thread leaves last."""


class _Closed:
    """The source of an executor that was closed."""

    def pull(self) -> Any:
        raise CancelledError(_CLOSED)

    save = pull

    def close(self) -> None:
        pass


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


def waited_s() -> float:
    """Seconds the calling thread has waited in executors so far."""
    return _mine.waited_s


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


class Executor:
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
            for item in self._items:
                item.error = None  # its traceback knows the item, and stages
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
            source = self._source
            self._forget()
        source.close()

    def _forget(self) -> None:
        """Let go of the source, which knows a stage that knows this executor."""
        self._source = _Closed()

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
            raise CancelledError(_CLOSED)


_open: weakref.WeakSet[Executor] = weakref.WeakSet()


def _close_all() -> None:
    for executor in list(_open):
        executor.close()


# Before the interpreter takes down the modules that threads still use.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]
