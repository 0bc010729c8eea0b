"""Device memory for elements: each buffer is lent to an array, and comes back by itself when
nothing refers to it any more.

A `Lease` is what an array over a buffer keeps alive, together with its views and whatever else
was made from it.  When it dies, an event is recorded behind the work that the consumer has
queued until then; the buffer's next copy waits for that event.  So what a user holds never
changes, however long it is held, and a copy never waits for more than it must.

Free buffers are kept for later elements as long as all buffers together, those that users hold
included, take no more than `elements` of the largest element so far.  What is beyond is given
back to the device's pool.

Leases die on any thread, at any moment (in the garbage collector, too): what they do takes no
lock.  `take` and `close` are for one thread at a time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from .device_copies import DeviceCopies

__all__ = ["DeviceBuffers", "Lease", "rounded"]

_ROUND = 512


def rounded(size_bytes: int) -> int:
    """The bytes that are set aside for an array of `size_bytes`."""
    return -(-max(size_bytes, 1) // _ROUND) * _ROUND


class Lease:
    """A buffer lent out.

    Attributes:
        memory, size_bytes: the buffer.
        worker: the stream that was given the array; None before that.
    """

    __slots__ = ("_home", "memory", "size_bytes", "worker")

    def __init__(self, home: DeviceBuffers, memory: Any, size_bytes: int):
        self._home, self.memory, self.size_bytes = home, memory, size_bytes
        self.worker: Any = None

    def __del__(self) -> None:
        try:
            self._home.give_back(self)
        except Exception:  # at the interpreter's end
            pass


class _Returned:
    """A buffer that came back.

    Attributes:
        events: behind what reads it; None while that cannot be said.
        workers: the streams that may read it.
    """

    __slots__ = ("copies", "events", "memory", "size_bytes", "workers")

    def __init__(self, lease: Lease, copies: DeviceCopies):
        self.copies, self.memory, self.size_bytes = copies, lease.memory, lease.size_bytes
        # One that was never given to anybody is read by no work.
        self.workers = [] if lease.worker is None else [lease.worker, copies.worker()]
        self.events = copies.used(self.workers) if self.workers else []

    def settled(self) -> bool:
        """Whether it is known what reads it."""
        if self.events is None:
            self.events = self.copies.used(self.workers)
        return self.events is not None

    def behind_work(self) -> Any:
        """The memory, with later copies behind what reads it."""
        for event in self.events or ():
            self.copies.copies_wait(event)
        return self.memory


# Came back to buffers that were closed, while it could not be said what reads them.
_unsettled: deque[_Returned] = deque()


class DeviceBuffers:
    """Buffers of one device.

    Args:
        copies: to the device.
        elements: for how many elements to keep memory.

    Attributes:
        most_bytes: the most that all buffers took at a time.
    """

    def __init__(self, copies: DeviceCopies, elements: int):
        self._copies, self._elements = copies, elements
        self._returned: deque[_Returned] = deque()
        self._free: list[_Returned] = []
        self._taken_bytes = self.most_bytes = 0
        self._given_up: deque[int] = deque()
        self._largest = 0
        self._closed = False

    @property
    def size_bytes(self) -> int:
        """What all buffers take, those included that somebody holds."""
        return self._taken_bytes - sum(list(self._given_up))

    def expect(self, element_bytes: int) -> None:
        """Count with elements of so many bytes."""
        self._largest = max(self._largest, element_bytes)

    def take(self, size_bytes: int) -> Lease:
        """A buffer of at least so many bytes."""
        size_bytes = rounded(size_bytes)
        self._collect()
        found = self._fitting(size_bytes)
        if found is not None:
            return Lease(self, found.behind_work(), found.size_bytes)
        self._trim(size_bytes)
        memory = self._copies.allocate(size_bytes)
        self._taken_bytes += size_bytes
        self.most_bytes = max(self.most_bytes, self.size_bytes)
        return Lease(self, memory, size_bytes)

    def _fitting(self, size_bytes: int) -> _Returned | None:
        """The free buffer that came back first of those that fit."""
        for k, each in enumerate(self._free):
            if size_bytes <= each.size_bytes <= 2 * size_bytes:
                return self._free.pop(k)
        return None

    def _collect(self) -> None:
        """See what came back."""
        while self._given_up:
            self._taken_bytes -= self._given_up.popleft()
        later = []
        while self._returned:
            each = self._returned.popleft()
            (self._free if each.settled() else later).append(each)
        self._returned.extend(later)
        self._trim(0)
        for _ in range(len(_unsettled)):
            try:
                each = _unsettled.popleft()
            except IndexError:  # another ring's thread looks, too
                break
            if each.settled():
                each.behind_work()
            else:
                _unsettled.append(each)

    def _trim(self, more_bytes: int) -> None:
        """Keep no more than is wanted, with so many bytes to come."""
        most = self._elements * self._largest
        while self._free and self.size_bytes + more_bytes > most:
            self._give_up(self._free.pop(0))

    def _give_up(self, buffer: _Returned) -> None:
        buffer.behind_work()
        self._given_up.append(buffer.size_bytes)

    def give_back(self, lease: Lease) -> None:
        """A lease has died."""
        self._returned.append(_Returned(lease, self._copies))
        if self._closed:
            self._drain()

    def _drain(self) -> None:
        while True:
            try:
                each = self._returned.popleft()
            except IndexError:
                return
            if each.settled():
                self._give_up(each)
            else:
                self._given_up.append(each.size_bytes)
                _unsettled.append(each)

    def close(self) -> None:
        """Give up what is free, and from now on what comes back."""
        self._closed = True
        while self._free:
            self._give_up(self._free.pop())
        self._drain()
