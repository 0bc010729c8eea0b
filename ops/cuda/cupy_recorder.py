"""The recorder of CUDA graphs through CuPy's streams.

Work runs three times on the stream that is then captured: watched for its allocations; with all
its memory in one planned arena, so that what depends on addresses is there; and captured, in
the same places.  The arena belongs to the recording, for a CUDA graph keeps no memory alive.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..devices import devices
from . import random
from .arena import reuse_edges
from .memory_tape import MemoryTape, Places, arena_allocator, watching_allocator
from .recording import Notes, NotRecordable
from .replay import Recorder
from .steps import Forked, StepTable
from .streams import choose

__all__ = ["CupyRecorder"]


class _Captured(NamedTuple):
    graph: Any
    memory: Any  # the arena
    outputs: Any  # hold their places in it


class CupyRecorder(Recorder):
    """Records on a device.

    Args:
        index: its place.
    """

    def __init__(self, index: int):
        import cupy

        self._cupy, self._index = cupy, index
        # The same for all recordings: libraries keep things per stream.
        self._stream: Any = None
        self._more: list[Any] = []

    def on(self) -> Any:
        """See `Recorder.on`."""
        backend = devices.backend
        assert backend is not None
        return backend.on(self._index)

    def notes(self) -> Notes:
        """See `Recorder.notes`."""
        cupy = self._cupy
        allocator = cupy.cuda.get_allocator()
        return Notes(
            room=lambda count: cupy.empty((count,), cupy.uint64),
            aside=lambda: cupy.cuda.using_allocator(allocator),
        )

    def record(self, work: Callable[[], Any], notes: Notes) -> tuple[Any, Any]:
        """See `Recorder.record`.  What `work` assigns is as it was before each run, so that
        only the last, which runs nothing on the device, counts."""
        cupy = self._cupy
        if self._stream is None:
            self._stream = cupy.cuda.Stream(non_blocking=True)
        stream = self._stream
        cupy.cuda.get_current_stream().synchronize()
        tape = MemoryTape()
        table = StepTable(notes, lambda a: _place(a, tape))
        with stream:
            with cupy.cuda.using_allocator(watching_allocator(tape, cupy, table)):
                notes.begin(capturing=False)
                table.begin()
                kept = work()
                buffers = tape.buffers()
                del kept
            places = Places(buffers)
            forked = self._forked(notes, table, tape, places)
            memory, allocate = arena_allocator(places, cupy)
            with cupy.cuda.using_allocator(allocate):
                notes.begin(capturing=False)
                work()
                stream.synchronize()
                places.again()
                notes.begin(capturing=True)
                with self._captured(stream) as ended:
                    if forked is not None:
                        forked.begin()
                    outputs = work()
        return _Captured(ended[0], memory, outputs), outputs

    def _forked(
        self, notes: Notes, table: StepTable, tape: MemoryTape, places: Places
    ) -> Forked | None:
        """What puts the calls on several streams, or None if one is as good."""
        cuda = self._cupy.cuda
        numbers = range(len(places.buffers))
        users = [table.users(("arena", i)) for i in numbers]
        edges = reuse_edges(places.buffers, places.arena, users, tape.steps)
        launches = choose(table.reads, table.works, edges)
        notes.streams = 1 + max((launch.stream for launch in launches), default=0)
        if notes.streams == 1:
            return None
        while len(self._more) < notes.streams - 1:
            self._more.append(cuda.Stream(non_blocking=True))

        def event(stream: Any) -> Any:
            made = stream.record(cuda.Event(disable_timing=True))
            notes.keep(made)
            return made

        return Forked(notes, launches, [self._stream, *self._more], event)

    @contextlib.contextmanager
    def _captured(self, stream: Any) -> Iterator[list[Any]]:
        """The block is captured; the list holds the graph behind it."""
        cuda = self._cupy.cuda
        made: list[Any] = []
        collects = gc.isenabled()
        gc.disable()  # what it frees might not be freed during a capture
        # Other threads' calls (copies of the input pipeline) go on meanwhile.
        stream.begin_capture(mode=cuda.runtime.streamCaptureModeThreadLocal)
        try:
            try:
                cuda.set_pinned_memory_allocator(self._refusing())
                yield made
            except BaseException:
                _abandon(stream)
                raise
            made.append(stream.end_capture())
        finally:
            cuda.set_pinned_memory_allocator(self._cupy.get_default_pinned_memory_pool().malloc)
            if collects:
                gc.enable()

    def _refusing(self) -> Callable[[int], Any]:
        """An allocator of pinned memory that has none for this thread: a graph would read it at
        every launch, when it holds something else."""
        me = threading.get_ident()
        malloc = self._cupy.get_default_pinned_memory_pool().malloc

        def allocate(size: int) -> Any:
            if threading.get_ident() == me:
                raise NotRecordable("values of the host are copied to the device")
            return malloc(size)

        return allocate

    def order(self, last: Any) -> Any:
        """See `Recorder.order`."""
        stream = self._cupy.cuda.get_current_stream()
        if last is not None and last.ptr != stream.ptr:
            stream.wait_event(last.record())
        return stream

    def launch(self, recorded: Any) -> None:
        """See `Recorder.launch`."""
        recorded.graph.launch(self._cupy.cuda.get_current_stream())

    def write(self, to: Any, values: Any) -> None:
        """See `Recorder.write`."""
        random.write(to, values)

    def copy(self, to: Any, source: Any) -> None:
        """See `Recorder.copy`."""
        self._cupy.copyto(to, source)

    def duplicate(self, array: Any) -> Any:
        """See `Recorder.duplicate`."""
        return array.copy()

    def hold(self, array: Any) -> Any:
        """See `Recorder.hold`."""
        return array.data, array.shape, array.dtype

    def array_of(self, held: Any) -> Any:
        """See `Recorder.array_of`."""
        memory, shape, dtype = held
        return self._cupy.ndarray(shape, dtype, memory)

    def is_at(self, held: Any, array: Any) -> bool:
        """See `Recorder.is_at`."""
        return array.data.ptr == held[0].ptr and array.shape == held[1]


def _place(array: Any, tape: MemoryTape) -> Any:
    """The memory that an array lies in: the number of its allocation, or its address."""
    if not hasattr(array, "data") or not hasattr(array.data, "mem"):
        return None
    address = array.data.mem.ptr
    number = tape.at(address)
    return ("outside", address) if number is None else ("arena", number)


def _abandon(stream: Any) -> None:
    """End a capture that failed, whose own error is the one to show."""
    try:
        stream.end_capture()
    except Exception:
        return
