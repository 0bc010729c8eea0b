"""Device ring: elements copied to a device while the device works on earlier ones.

A thread takes elements, puts their arrays into a slot of pinned memory and queues the copies on
a stream of their own; element n + 1 travels during step n.

* The host waits for the last copy out of a slot before it writes there again.
* Work waits for the copies of the element it is given.
* Copies into device memory wait for the work that read what was there before: memory comes
  back, with an event behind that work, when nobody holds any part of it (`device_buffers`).
  An element that is held keeps its memory for itself and never changes; the ring takes more.

The thread is at most `slots` elements ahead of those that are done with, an element counting
as done when the next is asked for.  With one slot there is no thread: elements are taken from
the source when they are asked for, by the thread that asks, and only the copies go on by
themselves.

Strings and other values without a place on a device pass through on the host.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..ops import nest
from .device_buffers import DeviceBuffers, Lease, rounded
from .device_copies import DeviceCopies

__all__ = ["DeviceRing", "Rows"]


class Rows:
    """Rows of an array, gathered where they are needed: straight into pinned memory.

    Args:
        array: [n, ...].
        rows: numbers of rows, all of them there.
    """

    __slots__ = ("_array", "_rows", "dtype", "nbytes", "shape")

    def __init__(self, array: np.ndarray, rows: np.ndarray):
        self._array, self._rows = array, rows
        self.dtype, self.shape = array.dtype, (len(rows), *array.shape[1:])
        self.nbytes = int(np.prod(self.shape, dtype=np.int64)) * array.dtype.itemsize

    def __getitem__(self, part: slice) -> Rows:
        """Some of the rows."""
        return Rows(self._array, self._rows[part])

    def write(self, to: np.ndarray) -> None:
        """Put them into an array of their shape and dtype."""
        # "clip" lets NumPy write there directly; "raise" would go through a copy.
        np.take(self._array, self._rows, axis=0, out=to, mode="clip")


class _Slot:
    """Pinned memory of one element, and the event behind the copies out of it."""

    def __init__(self) -> None:
        self.host: np.ndarray | None = None
        self.copied: Any = None


class _Sent(NamedTuple):
    """An element on its way, or the error in its place; what is behind it."""

    element: Any
    copied: Any = None
    leases: tuple[Lease, ...] = ()
    error: Exception | None = None
    state: Any = None


class _End:
    """What the thread gives last."""

    def __init__(self, error: BaseException | None):
        self.error = error


class _Sender:
    """Queues the copies of one element after the other.

    Args:
        copies: to the device.
        slots: of pinned memory.
        elements: for how many elements to keep memory on the device.
        state: what is told behind each element.
    """

    def __init__(
        self, copies: DeviceCopies, slots: int, elements: int, state: Callable[[], Any] | None
    ):
        self._copies, self._state = copies, state
        self._slots = [_Slot() for _ in range(slots)]
        self._turn = 0
        self.buffers = DeviceBuffers(copies, elements)

    @property
    def pinned_bytes(self) -> int:
        """What the slots take."""
        return sum(slot.host.nbytes for slot in self._slots if slot.host is not None)

    def next_of(self, source: Iterator[Any]) -> _Sent:
        """The next element, sent; errors of the source are in its place.

        Raises:
            StopIteration: there is none.
        """
        try:
            element = next(source)
        except StopIteration:
            raise
        except Exception as error:
            return _Sent(None, error=error, state=self._told())
        return self._send(element)

    def _told(self) -> Any:
        return None if self._state is None else self._state()

    def _send(self, element: Any) -> _Sent:
        leaves, tree = nest.flatten_with_spec(element)
        places = [k for k, a in enumerate(leaves) if _travels(a)]
        slot, offsets = self._slot_for([leaves[k].nbytes for k in places])
        copies, leases = self._copies, []
        for k, offset in zip(places, offsets, strict=True):
            a = leaves[k]
            assert slot.host is not None
            room = slot.host[offset : offset + a.nbytes].view(a.dtype).reshape(a.shape)
            if isinstance(a, Rows):
                a.write(room)
            else:
                np.copyto(room, a)
            lease = self.buffers.take(a.nbytes)
            leaves[k] = copies.array(lease.memory, a.shape, a.dtype, lease)
            if a.nbytes:
                copies.copy(leaves[k], room)
            leases.append(lease)
        slot.copied = copies.copied()
        return _Sent(tree.unflatten(leaves), slot.copied, tuple(leases), None, self._told())

    def _slot_for(self, sizes: list[int]) -> tuple[_Slot, list[int]]:
        """The slot whose turn it is, nobody reading it, and where arrays of these sizes go."""
        offsets, total = [], 0
        for size in sizes:
            offsets.append(total)
            total += rounded(size)
        slot = self._slots[self._turn]
        self._turn = (self._turn + 1) % len(self._slots)
        if slot.copied is not None:
            self._copies.host_waits(slot.copied)
            slot.copied = None
        if slot.host is None or slot.host.nbytes < total:
            slot.host = None
            slot.host = self._copies.pinned(max(total, 1))
        self.buffers.expect(total)
        return slot, offsets

    def finish(self) -> None:
        """Wait until nobody reads the pinned memory, and give up what is kept on the device."""
        for slot in self._slots:
            if slot.copied is not None:
                self._copies.host_waits(slot.copied)
                slot.copied = None
        self.buffers.close()


class DeviceRing:
    """An iterator over elements on a device.

    Args:
        source: gives nested structures of raw arrays, or of `Rows`.
        copies: to the device.
        slots: elements that are on their way or in use at once; with 1, an element is taken
            from the source when it is asked for.
        state: tells where `source` is, before each element; None where nobody asks.
        held: how many elements the consumer holds as a rule.

    Attributes:
        state_after: what `state` told behind the element that was given last.

    Raises:
        ValueError: `slots` is not positive.
    """

    def __init__(
        self,
        source: Iterator[Any],
        copies: DeviceCopies,
        slots: int = 3,
        state: Callable[[], Any] | None = None,
        held: int = 1,
    ):
        if slots < 1:
            raise ValueError(f"slots must be positive, got {slots}")
        self._source, self._copies = source, copies
        self._sender = _Sender(copies, max(slots, 2), slots + held, state)
        self._ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._turns: queue.SimpleQueue[bool] = queue.SimpleQueue()  # False to end
        for _ in range(slots):
            self._turns.put(True)
        self._ahead = slots > 1
        self._in_use = False
        self._thread: threading.Thread | None = None
        self._over = False
        self.state_after: Any = None

    @property
    def device_bytes(self) -> int:
        """Device memory of elements on their way, in use, held by somebody, or kept for
        later ones."""
        return self._sender.buffers.size_bytes

    @property
    def most_device_bytes(self) -> int:
        """The most that this was."""
        return self._sender.buffers.most_bytes

    @property
    def pinned_bytes(self) -> int:
        """Pinned memory."""
        return self._sender.pinned_bytes

    @property
    def waiting(self) -> int:
        """How many elements have been sent ahead."""
        return self._ready.qsize()

    def __iter__(self) -> DeviceRing:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        sent = self._from_thread() if self._ahead else self._taken()
        self.state_after = sent.state
        if sent.error is not None:
            raise sent.error
        self._copies.work_waits(sent.copied)
        worker = self._copies.worker()
        for lease in sent.leases:
            lease.worker = worker
        return sent.element

    def _taken(self) -> _Sent:
        try:
            return self._sender.next_of(self._source)
        except BaseException:
            self.close()
            raise

    def _from_thread(self) -> _Sent:
        if self._thread is None:
            parts = (self._ready, self._turns, self._source, self._sender)
            self._thread = threading.Thread(
                target=_fill, args=parts, name="headrace-device-ring", daemon=True
            )
            self._thread.start()
        if self._in_use:
            self._turns.put(True)
        self._in_use = False
        item = self._ready.get()
        if isinstance(item, _End):
            self._over = True
            self._thread.join()
            if item.error is not None:
                raise item.error
            raise StopIteration
        self._in_use = True
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """Stop the thread; elements that were given stay as they are."""
        self._over = True
        self._turns.put(False)
        if self._thread is None:
            self._sender.finish()
        elif self._thread is not threading.current_thread():
            self._thread.join()

    def __del__(self) -> None:
        if not getattr(self, "_over", True):
            self._over = True
            self._turns.put(False)  # the thread ends by itself
            if self._thread is None:
                self._sender.finish()


def _fill(
    ready: queue.SimpleQueue[Any],
    turns: queue.SimpleQueue[bool],
    source: Iterator[Any],
    sender: _Sender,
) -> None:
    """The thread, which does not know the ring, so that one that is dropped is closed."""
    try:
        while turns.get():
            # Nothing of an element stays in this frame.
            ready.put(sender.next_of(source))
    except StopIteration:
        ready.put(_End(None))
    except BaseException as error:
        ready.put(_End(error))
    finally:
        sender.finish()


def _travels(value: Any) -> bool:
    if not isinstance(value, (np.ndarray, np.generic, Rows)):
        return False
    return value.dtype.kind in "biufc" or value.dtype.name == "bfloat16"
