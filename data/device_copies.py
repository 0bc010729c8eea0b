"""Copies to a device as the ring sees them: pinned memory, a copy stream, events.

`CupyCopies` is a GPU through CuPy.  Tests have a device of their own that puts every copy off
as long as it may, so that a wait that is missing shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

__all__ = ["CupyCopies", "DeviceCopies"]


class DeviceCopies(ABC):
    """A device's copy stream, and the stream of the work that reads what was copied."""

    @abstractmethod
    def pinned(self, size_bytes: int) -> np.ndarray:
        """Host memory, uint8, that copies read while the host goes on."""

    @abstractmethod
    def allocate(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array on the device, its contents undefined."""

    @abstractmethod
    def copy(self, to: Any, source: np.ndarray) -> None:
        """Queue a copy on the copy stream; `source` must not change before it is over."""

    @abstractmethod
    def copied(self) -> Any:
        """An event behind the copies that are queued now."""

    @abstractmethod
    def used(self) -> Any:
        """An event behind the work that the calling thread's stream has queued now."""

    @abstractmethod
    def host_waits(self, event: Any) -> None:
        """Wait until an event is over."""

    @abstractmethod
    def copies_wait(self, event: Any) -> None:
        """Later copies begin behind an event."""

    @abstractmethod
    def work_waits(self, event: Any) -> None:
        """Later work of the calling thread's stream begins behind an event."""


class CupyCopies(DeviceCopies):
    """A GPU through CuPy; made on the thread, and under the stream, of the work.

    Args:
        index: its number.
    """

    def __init__(self, index: int):
        import cupy

        self._cupy, self._device = cupy, cupy.cuda.Device(index)
        with self._device:
            self._stream = cupy.cuda.Stream(non_blocking=True)
            self._work = cupy.cuda.get_current_stream()

    def pinned(self, size_bytes: int) -> np.ndarray:
        """See `DeviceCopies`."""
        with self._device:
            memory = self._cupy.cuda.alloc_pinned_memory(size_bytes)
        # The array keeps `memory` alive.
        return np.frombuffer(memory, np.uint8, size_bytes)

    def allocate(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """See `DeviceCopies`."""
        # Out of the part of the pool that belongs to the stream of the work, which may hand
        # memory out again that earlier work still reads: copies into it come behind that.
        with self._device, self._work:
            made = self._cupy.empty(shape, dtype)
        self._stream.wait_event(self._event(self._work))
        return made

    def copy(self, to: Any, source: np.ndarray) -> None:
        """See `DeviceCopies`."""
        with self._device:
            to.set(source, stream=self._stream)

    def _event(self, stream: Any) -> Any:
        with self._device:
            event = self._cupy.cuda.Event(disable_timing=True)
            event.record(stream)
        return event

    def copied(self) -> Any:
        """See `DeviceCopies`."""
        return self._event(self._stream)

    def used(self) -> Any:
        """See `DeviceCopies`."""
        with self._device:
            return self._event(self._cupy.cuda.get_current_stream())

    def host_waits(self, event: Any) -> None:
        """See `DeviceCopies`."""
        event.synchronize()

    def copies_wait(self, event: Any) -> None:
        """See `DeviceCopies`."""
        self._stream.wait_event(event)

    def work_waits(self, event: Any) -> None:
        """See `DeviceCopies`."""
        with self._device:
            self._cupy.cuda.get_current_stream().wait_event(event)
