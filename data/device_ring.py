"""Device ring: elements copied to a device while the device works on earlier ones.

A thread takes elements, puts their arrays into a slot of pinned memory and queues the copies on
a stream of their own; element n + 1 travels during step n.  There is a fixed number of slots,
each with arrays on the device.  Of one slot's events

* the host waits for the last copy out of its pinned memory before it writes there again;
* copies wait for the work that read its device arrays before;
* that work waits for the copies.

An array that somebody still holds when its slot comes round again stays theirs: the slot takes
new ones.  Strings and other values without a place on a device pass through on the host.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..ops import nest
from .device_copies import DeviceCopies

__all__ = ["DeviceRing"]

_ALIGNMENT = 256


class _Slot:
    """Pinned memory and device arrays of one element.

    Attributes:
        host: the pinned memory.
        arrays: on the device.
        copied: event behind the copies out of `host`.
        used: event behind the work that reads `arrays`.
    """

    def __init__(self) -> None:
        self.host: np.ndarray | None = None
        self.arrays: list[Any] = []
        self.copied: Any = None
        self.used: Any = None


class _End:
    """What the thread gives last."""

    def __init__(self, error: BaseException | None):
        self.error = error


class DeviceRing:
    """An iterator over elements on a device.

    Args:
        source: gives nested structures of raw arrays.
        copies: to the device.
        slots: elements that are on their way or in use at once; 2 at least.
        state: tells where `source` is, before each element; None where nobody asks.

    Attributes:
        state_after: what `state` told behind the element that was given last.
    """

    def __init__(
        self,
        source: Iterator[Any],
        copies: DeviceCopies,
        slots: int = 3,
        state: Callable[[], Any] | None = None,
    ):
        if slots < 2:
            raise ValueError(f"slots must be at least 2, got {slots}")
        self._source, self._copies, self._state = source, copies, state
        self._ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[_Slot | None] = queue.SimpleQueue()
        for _ in range(slots):
            self._free.put(_Slot())
        self._current: _Slot | None = None
        self._thread: threading.Thread | None = None
        self._over: _End | None = None
        self.state_after: Any = None

    def __iter__(self) -> DeviceRing:
        return self

    def __next__(self) -> Any:
        if self._over is not None:
            raise StopIteration
        if self._thread is None:
            parts = (self._ready, self._free, self._source, self._copies, self._state)
            self._thread = threading.Thread(
                target=_fill, args=parts, name="headrace-device-ring", daemon=True
            )
            self._thread.start()
        self._let_go()
        item = self._ready.get()
        if isinstance(item, _End):
            self._over = item
            self._thread.join()
            if item.error is not None:
                raise item.error
            raise StopIteration
        slot, element, self.state_after = item
        self._copies.work_waits(slot.copied)
        self._current = slot
        return element

    def close(self) -> None:
        """Stop the thread."""
        self._over = self._over or _End(None)
        self._let_go()
        self._free.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __del__(self) -> None:
        if getattr(self, "_over", True) is None:
            self._over = _End(None)
            self._free.put(None)  # the thread ends by itself

    def _let_go(self) -> None:
        """The work on the element given last is queued: its slot may come round."""
        slot, self._current = self._current, None
        if slot is not None:
            slot.used = self._copies.used()
            self._free.put(slot)


def _fill(
    ready: queue.SimpleQueue[Any],
    free: queue.SimpleQueue[_Slot | None],
    source: Iterator[Any],
    copies: DeviceCopies,
    state: Callable[[], Any] | None,
) -> None:
    """The thread, which does not know the ring, so that one that is dropped is closed."""
    try:
        while True:
            slot = free.get()
            if slot is None:
                return
            try:
                element = next(source)
            except StopIteration:
                free.put(slot)  # its last work may still be queued
                ready.put(_End(None))
                return
            sent = _send(slot, element, copies)
            del element
            ready.put((slot, sent, None if state is None else state()))
            del sent
    except BaseException as error:
        ready.put(_End(error))


def _send(slot: _Slot, element: Any, copies: DeviceCopies) -> Any:
    """Queue the copies of an element; the element on the device."""
    leaves, tree = nest.flatten_with_spec(element)
    arrays = [a for a in leaves if _travels(a)]
    offsets, size = [], 0
    for a in arrays:
        offsets.append(size)
        size += -(-a.nbytes // _ALIGNMENT) * _ALIGNMENT
    if slot.copied is not None:
        copies.host_waits(slot.copied)
    if slot.host is None or slot.host.nbytes < size:
        slot.host = copies.pinned(max(size, 1))
    if slot.used is not None:
        copies.copies_wait(slot.used)
        slot.used = None
    before, slot.arrays = slot.arrays, []
    for place, (a, offset) in enumerate(zip(arrays, offsets, strict=True)):
        room = slot.host[offset : offset + a.nbytes].view(a.dtype).reshape(a.shape)
        np.copyto(room, a)
        if place < len(before) and _references(before, place) <= _ALONE and _fits(
            before[place], a
        ):  # fmt: skip
            to = before[place]
        else:
            to = copies.allocate(a.shape, a.dtype)
        copies.copy(to, room)
        slot.arrays.append(to)
        del to
    slot.copied = copies.copied()
    # Views, so that the slot knows when nobody has them any more.
    views = iter([x[...] for x in slot.arrays])
    return tree.unflatten([next(views) if _travels(a) else a for a in leaves])


def _travels(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufcV"


def _fits(array: Any, value: Any) -> bool:
    return array.shape == value.shape and array.dtype == value.dtype


def _references(arrays: list[Any], place: int) -> int:
    return sys.getrefcount(arrays[place])


# Of an array that only its slot has, and of which there is no view.
_ALONE = _references([object()], 0)
