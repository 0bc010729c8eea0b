"""Device rings: elements in parts, each copied to a device of its own.

There is a ring per device, with a thread, pinned memory and a copy stream of its own, so that
the parts of an element travel side by side.  All take from one source, whichever comes first.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from ..ops.devices import HOST, at
from .device_copies import DeviceCopies
from .device_ring import DeviceRing

__all__ = ["DeviceRings"]


class DeviceRings:
    """An iterator over elements of which each part is on a device.

    Args:
        source: gives sequences of a part for each device: nested raw arrays.
        copies: to each of the devices; None for one whose parts stay on the host.
        slots, held: see `DeviceRing`.
    """

    def __init__(
        self,
        source: Iterator[Sequence[Any]],
        copies: Sequence[DeviceCopies | None],
        slots: int = 3,
        held: int = 1,
    ):
        shared = _Shared(source, len(copies))
        shares = [_Share(shared, i) for i in range(len(copies))]
        self._rings: list[Any] = [
            share if one is None else DeviceRing(share, one, slots, held=held)
            for share, one in zip(shares, copies, strict=True)
        ]

    def __iter__(self) -> DeviceRings:
        return self

    def __next__(self) -> list[Any]:
        parts, errors = [], []
        for ring in self._rings:  # all of them, so that they stay in step
            try:
                parts.append(next(ring))
            except (Exception, StopIteration) as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return parts

    def close(self) -> None:
        """Stop the threads."""
        for ring in self._rings:
            if isinstance(ring, DeviceRing):
                ring.close()


class _Shared:
    """The source, and the parts of its elements that nobody has taken yet."""

    def __init__(self, source: Iterator[Sequence[Any]], parts: int):
        self._source = source
        self._waiting: list[deque[Any]] = [deque() for _ in range(parts)]
        self._lock = threading.Lock()

    def take(self, part: int) -> Any:
        """The next element's part of that number, or the error in its place."""
        with self._lock:
            if not self._waiting[part]:
                self._read()
            return self._waiting[part].popleft()

    def _read(self) -> None:
        try:
            with at(HOST):  # what cuts an element computes there
                found = [(part, None) for part in next(self._source)]
        except Exception as error:
            found = [(None, error)] * len(self._waiting)
        for waiting, one in zip(self._waiting, found, strict=True):
            waiting.append(one)


class _Share:
    """One part of every element."""

    def __init__(self, shared: _Shared, part: int):
        self._shared, self._part = shared, part

    def __iter__(self) -> _Share:
        return self

    def __next__(self) -> Any:
        part, error = self._shared.take(self._part)
        if error is not None:
            raise error
        return part
