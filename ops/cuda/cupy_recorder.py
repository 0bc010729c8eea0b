"""The recorder of CUDA graphs through CuPy's streams.

Work is watched once for its allocations, then captured with all its memory in one arena.  The
arena belongs to the recording, for a CUDA graph keeps no memory alive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .memory_tape import MemoryTape, Places, arena_allocator, watching_allocator
from .replay import Recorder

__all__ = ["CupyRecorder"]


class _Captured(NamedTuple):
    graph: Any
    memory: Any  # the arena
    outputs: Any  # hold their places in it


class CupyRecorder(Recorder):
    """Records on a device.

    Args:
        index: its number.
    """

    def __init__(self, index: int):
        import cupy

        self._cupy, self._index = cupy, index

    def record(self, work: Callable[[], Any]) -> tuple[Any, Any]:
        """See `Recorder.record`.  `work` runs twice; what it assigns is as it was before, so
        that only the second run, which runs nothing on the device, counts."""
        cupy = self._cupy
        with cupy.cuda.Device(self._index):
            tape = MemoryTape()
            with cupy.cuda.using_allocator(watching_allocator(tape, cupy)):
                kept = work()
                buffers = tape.buffers()
                del kept
            memory, allocate = arena_allocator(Places(buffers), cupy)
            stream = cupy.cuda.Stream(non_blocking=True)
            cupy.cuda.get_current_stream().synchronize()
            with stream, cupy.cuda.using_allocator(allocate):
                # Other threads' calls (copies of the input pipeline) go on meanwhile.
                stream.begin_capture(mode=cupy.cuda.runtime.streamCaptureModeThreadLocal)
                try:
                    outputs = work()
                except BaseException:
                    _abandon(stream)
                    raise
                graph = stream.end_capture()
            return _Captured(graph, memory, outputs), outputs

    def launch(self, recorded: Any) -> None:
        """See `Recorder.launch`."""
        recorded.graph.launch(self._cupy.cuda.get_current_stream())

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


def _abandon(stream: Any) -> None:
    """End a capture that failed, whose own error is the one to show."""
    try:
        stream.end_capture()
    except Exception:
        return
