"""What the ring needs of CuPy, on a device that puts off all it can: `CupyCopies` runs on it.

Memory is addresses: a copy or a kernel that was queued writes or reads there, whoever has the
memory by then.  The pool gives memory that is dropped out again at once, to the stream that it
was taken for.  Streams do their work when they are waited for; an event that was recorded while
its stream is captured is an error.
"""

import ctypes
import sys
import threading
import types
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))

from lazy_device import Stream as Work

__all__ = ["LazyCupy"]


class LazyCupy(types.SimpleNamespace):
    """The module.

    Attributes:
        capturing: whether streams are being captured.
        pools: for each stream, the memory that nobody has.
        devices: those that were current when a stream or an event was made, or copied on.
    """

    def __init__(self):
        lazy, lock = self, threading.RLock()
        self.capturing, self.pools, self.devices, memory = False, {}, set(), []
        current = threading.local()

        class CUDARuntimeError(RuntimeError):
            pass

        class Device:
            """As CuPy's, it keeps the devices before for all threads together."""

            def __init__(self, index):
                self.id, self.before = index, []

            def __enter__(self):
                self.before.append(getattr(current, "device", 0))
                current.device = self.id

            def __exit__(self, *error):
                current.device = self.before.pop()

        class Stream:
            def __init__(self, non_blocking=False, null=False):
                self.ptr = 0 if null else id(self)
                self.work = Work()
                lazy.devices.add(getattr(current, "device", 0))

            def __enter__(self):
                self.before = getattr(current, "stream", null)
                current.stream = self

            def __exit__(self, *error):
                current.stream = self.before

            def queue(self, what):
                with lock:
                    self.work.queued.append(what)

            def wait_event(self, event):
                self.queue(event.synchronize)

            def synchronize(self):
                with lock:
                    self.work.run_to(len(self.work.queued))

            def is_capturing(self):
                if lazy.capturing and not self.ptr:
                    raise CUDARuntimeError("cudaErrorStreamCaptureImplicit")
                return lazy.capturing

        null = Stream(null=True)
        self.devices.clear()

        class Event:
            def __init__(self, disable_timing=False):
                self.stream = None
                lazy.devices.add(getattr(current, "device", 0))

            def record(self, stream):
                assert not lazy.capturing or stream.ptr == copies().ptr
                with lock:
                    self.stream, self.place = stream, len(stream.work.queued)

            def synchronize(self):
                with lock:
                    self.stream.work.run_to(self.place)

        def copies():
            from headrace.data.device_copies import _streams

            return _streams[getattr(current, "device", 0)]

        class Pooled:
            def __init__(self, pool, size):
                same = [m for m in pool if len(m) == size]
                self.pool, self.data = pool, same[-1] if same else bytearray([77] * size)
                if same:
                    pool[:] = [m for m in pool if m is not self.data]
                memory.append(self.data)  # addresses stay what they are
                self.ptr = ctypes.addressof(ctypes.c_char.from_buffer(self.data))

            def __del__(self):
                self.pool.append(self.data)

        class UnownedMemory:
            def __init__(self, ptr, size, owner, device_id=-1):
                assert device_id == getattr(current, "device", device_id)
                self.ptr, self.size, self.owner = ptr, size, owner

        class MemoryPointer:
            def __init__(self, mem, offset):
                self.mem, self.ptr = mem, mem.ptr + offset

        def alloc(size):
            pool = lazy.pools.setdefault(getattr(current, "stream", null).ptr, [])
            with lock:
                return MemoryPointer(Pooled(pool, size), 0)

        class ndarray:
            def __init__(self, shape, dtype, memptr):
                self.shape, self.dtype, self.data = shape, np.dtype(dtype), memptr

            def __getitem__(self, rows):
                start = rows.indices(self.shape[0])[0]
                row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
                shape = (len(range(*rows.indices(self.shape[0]))), *self.shape[1:])
                return ndarray(shape, self.dtype, MemoryPointer(self.data.mem, start * row))

            def at(self):
                """What reads the array's memory, without keeping it."""
                ptr, shape, dtype = self.data.ptr, self.shape, self.dtype
                size = int(np.prod(shape)) * dtype.itemsize

                def view():
                    return np.frombuffer((ctypes.c_char * size).from_address(ptr), dtype)

                return lambda: view().reshape(shape)

            def set(self, array, stream):
                assert array.shape == self.shape and array.flags.c_contiguous
                view = self.at()
                lazy.devices.add(getattr(current, "device", 0))
                stream.queue(lambda: np.copyto(view(), array))

        super().__init__(
            ndarray=ndarray,
            cuda=types.SimpleNamespace(
                Device=Device, Stream=Stream, Event=Event, UnownedMemory=UnownedMemory,
                MemoryPointer=MemoryPointer, alloc=alloc, alloc_pinned_memory=bytearray,
                get_current_stream=lambda: getattr(current, "stream", null),
                get_device_id=lambda: getattr(current, "device", 0),
                runtime=types.SimpleNamespace(CUDARuntimeError=CUDARuntimeError),
            ),
        )  # fmt: skip
