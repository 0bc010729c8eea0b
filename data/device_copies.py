"""Copies to a device as the ring sees them: pinned memory, a copy stream, events.

`CupyCopies` is a GPU through CuPy.  Tests have a device of their own that puts every copy off
as long as it may, so that a wait that is missing shows.
"""

from __future__ import annotations

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import device_memory
from ..ops.devices import devices

__all__ = ["CupyCopies", "DeviceCopies"]


class DeviceCopies(ABC):
    """A device's copy stream, and the streams of the work that reads what was copied."""

    @abstractmethod
    def pinned(self, size_bytes: int) -> np.ndarray:
        """Host memory, uint8, that copies read while the host goes on."""

    @abstractmethod
    def allocate(self, size_bytes: int) -> Any:
        """Memory on the device.  It is the copy stream's: dropped, it may be given out again
        for copies that come later."""

    @abstractmethod
    def array(self, memory: Any, shape: tuple[int, ...], dtype: np.dtype, owner: Any) -> Any:
        """An array over the first bytes of what `allocate` gave.

        `owner` lives as long as anything refers to the memory by the array: the array itself,
        its views, others' arrays that were made from it.
        """

    @abstractmethod
    def copy(self, to: Any, source: np.ndarray) -> None:
        """Queue a copy on the copy stream; `source` must not change before it is over."""

    @abstractmethod
    def copied(self) -> Any:
        """An event behind the copies that are queued now."""

    @abstractmethod
    def worker(self) -> Any:
        """The stream of the calling thread's work."""

    @abstractmethod
    def used(self, workers: Sequence[Any]) -> list[Any] | None:
        """Events behind the work that these streams have queued now; None where that cannot be
        asked now (work is being recorded), but later."""

    @abstractmethod
    def host_waits(self, event: Any) -> None:
        """Wait until an event is over."""

    @abstractmethod
    def copies_wait(self, event: Any) -> None:
        """Later copies begin behind an event."""

    @abstractmethod
    def work_waits(self, event: Any) -> None:
        """Later work of the calling thread's stream begins behind an event."""


_streams: dict[int, Any] = {}
_lock = threading.Lock()


@functools.cache
def _lent(unowned: type) -> type:
    """The class of memory that is lent to an array; it knows its place (`ops.device_parts`)."""
    return type("LentMemory", (unowned,), {"place": None})


class CupyCopies(DeviceCopies):
    """A GPU through CuPy.

    All copies to a GPU share a stream that is never destroyed: CuPy's pool gives memory out
    again to the stream it was taken for, and knows streams by their handles.

    Args:
        index: its place.
    """

    def __init__(self, index: int):
        import cupy

        backend = devices.backend
        gpu = index if backend is None else backend.gpu(index)
        self._cupy, self._place, self._gpu = cupy, index, gpu
        with _lock:
            if gpu not in _streams:
                with self._on():
                    _streams[gpu] = cupy.cuda.Stream(non_blocking=True)
        self._stream = _streams[gpu]

    def _on(self) -> Any:
        # One for each block: it remembers the device before for whichever thread entered last.
        return self._cupy.cuda.Device(self._gpu)

    def pinned(self, size_bytes: int) -> np.ndarray:
        """See `DeviceCopies`."""
        with self._on():
            memory = self._cupy.cuda.alloc_pinned_memory(size_bytes)
        # The array keeps `memory` alive.
        return np.frombuffer(memory, np.uint8, size_bytes)

    def allocate(self, size_bytes: int) -> Any:
        """See `DeviceCopies`.

        Raises:
            ResourceExhaustedError: the device's memory is used up.
        """
        backend = devices.backend

        def work() -> Any:
            with self._on() if backend is None else backend.on(self._place), self._stream:
                return self._cupy.cuda.alloc(size_bytes)

        if backend is None:
            return work()
        return device_memory.guarded(backend, self._place, "A copy of input", work)

    def array(self, memory: Any, shape: tuple[int, ...], dtype: np.dtype, owner: Any) -> Any:
        """See `DeviceCopies`."""
        cuda = self._cupy.cuda
        size_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        with self._on():
            kept = _lent(cuda.UnownedMemory)(memory.ptr, size_bytes, owner, self._gpu)
            kept.place = self._place
            return self._cupy.ndarray(shape, dtype, cuda.MemoryPointer(kept, 0))

    def copy(self, to: Any, source: np.ndarray) -> None:
        """See `DeviceCopies`."""
        with self._on():
            to.set(source, stream=self._stream)

    def _event(self, stream: Any) -> Any:
        with self._on():
            event = self._cupy.cuda.Event(disable_timing=True)
            event.record(stream)
        return event

    def copied(self) -> Any:
        """See `DeviceCopies`."""
        return self._event(self._stream)

    def worker(self) -> Any:
        """See `DeviceCopies`."""
        with self._on():
            return self._cupy.cuda.get_current_stream()

    def used(self, workers: Sequence[Any]) -> list[Any] | None:
        """See `DeviceCopies`."""
        found = {stream.ptr: stream for stream in workers}.values()
        try:
            with self._on():
                if any(stream.is_capturing() for stream in found):
                    return None
                return [self._event(stream) for stream in found]
        except self._cupy.cuda.runtime.CUDARuntimeError:
            return None  # the null stream, while a stream that waits for it is captured

    def host_waits(self, event: Any) -> None:
        """See `DeviceCopies`."""
        event.synchronize()

    def copies_wait(self, event: Any) -> None:
        """See `DeviceCopies`."""
        self._stream.wait_event(event)

    def work_waits(self, event: Any) -> None:
        """See `DeviceCopies`."""
        with self._on():
            self._cupy.cuda.get_current_stream().wait_event(event)
