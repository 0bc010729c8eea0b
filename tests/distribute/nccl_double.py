"""A test double of `cupy.cuda.nccl` and of streams, for CuPy's double, as unkind as allowed.

* What is queued on a stream of its own (non-blocking) happens as late as events allow: when a
  null stream waits for an event behind it, or the host does.
* A call of NCCL that was not made to wait for the work that wrote its memory reads noise.
* Memory that was given back before a call has read or written it is an error, as are calls for
  several ranks by one thread outside of a group, and ranks that call different things.

The null streams of CuPy's double do everything at once: a missing wait shows as wrong numbers.
"""

import contextlib
import itertools
import sys
import threading
import time
import types
import weakref
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "ops"))
import cupy_double
import device_checks
from cupy_double_cuda import current
from late_copies import Late

from headrace.distribute import input as distributed_input
from headrace.keras.engine import device_input

__all__ = ["World", "doubled_gpus"]

NAMES = ("int8", "uint8", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
         "bfloat16")  # fmt: skip
DTYPES = [np.dtype(ml_dtypes.bfloat16 if n == "bfloat16" else n) for n in NAMES]


class World:
    """All streams, and all that is known of memory.

    Attributes:
        calls: (name, dtype, bytes, rank) of what was queued.
        ran_late: how many calls ran, because something waited for them.
    """

    def __init__(self):
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.clock = itertools.count(1).__next__
        self.now = 0
        self.written = {}
        self.streams = {}
        self.nulls = {}
        self.groups = {}
        self.calls = []
        self.ran_late = 0

    def stamp(self, array, new=False):
        """Memory of a device is written now; if it is `new`, unless it was known."""
        # Without the lock, which would have all threads wait at every operation.
        if new and self.written.get(id(array), (0, lambda: None))[1]() is array:
            return
        self.now = now = self.clock()
        self.written[id(array)] = now, weakref.ref(array, self._forget(id(array)))

    def _forget(self, key):
        def gone(reference):
            if self.written.get(key, (0, None))[1] is reference:
                self.written.pop(key, None)

        return gone

    def memory(self, pointer, size):
        """The array that owns this memory, and where in it that begins."""
        with self.lock:
            for _, reference in list(self.written.values()):
                array = reference()
                if array is None:
                    continue
                offset = pointer - array.ctypes.data
                if 0 <= offset and offset + size <= array.nbytes:
                    return array, offset
        raise AssertionError("NCCL is given memory that no device array owns")


class Stream:
    """A stream; only those that are non-blocking put things off."""

    def __init__(self, world, device, late):
        self.world, self.device, self.late = world, device, late
        self.ptr = 0 if not late else 1 + len(world.streams)
        world.streams[self.ptr] = self
        self.todo, self.done = [], 0
        self.seen = 0  # the clock of the latest write that it has waited for

    def put(self, work):
        """Queue `work`."""
        self.todo.append(work)
        if not self.late:
            self.flush(len(self.todo))

    def flush(self, position):
        """Do what is queued before `position`."""
        with self.world.lock:
            while self.done < position:
                self.done += 1
                self.todo[self.done - 1]()
                self.todo[self.done - 1] = None

    def record(self, event=None):
        event = event or Event(self.world)
        event.stream, event.clock = self, self.world.now if not self.late else self.seen
        event.position = len(self.todo) + 1
        self.put(lambda: setattr(event, "time", time.perf_counter()))
        return event

    def wait_event(self, event):
        if event.stream is self:
            return
        self.seen = max(self.seen, event.clock)
        self.put(lambda: event.stream.flush(event.position))

    def synchronize(self):
        self.flush(len(self.todo))


class Event:
    def __init__(self, world):
        self.world, self.stream, self.time = world, None, None

    def record(self, stream=None):
        (stream or _null(self.world)).record(self)

    def synchronize(self):
        self.stream.flush(self.position)


def _null(world):
    device = current.device
    with world.lock:
        found = world.nulls.get(device)
        if found is None:
            found = world.nulls[device] = Stream(world, device, late=False)
    return found


class Part(NamedTuple):
    """One rank's part of a call; memory as (array, first byte), of `size_bytes`."""

    stream: Stream
    position: int  # in the stream's queue
    what: tuple  # operation, dtype, root
    send: tuple
    receive: tuple
    size_bytes: int
    noise: bool  # whether what is sent may not have been written yet


class Call:
    """A collective, made of the ranks' parts."""

    def __init__(self, world, name, size):
        self.world, self.name, self.size = world, name, size
        self.parts, self.ran = {}, False

    def add(self, rank, stream, what, send, receive, size_bytes):
        world = self.world
        sent, at = world.memory(send, size_bytes)
        got, to = world.memory(receive, size_bytes)
        noise = stream.ptr != 0 and stream.seen < world.written[id(sent)][0]
        self.parts[rank] = Part(
            stream, len(stream.todo), what, (weakref.ref(sent), at), (weakref.ref(got), to),
            size_bytes, noise,
        )  # fmt: skip
        stream.put(self.run)
        world.changed.notify_all()

    def run(self):
        if self.ran:
            return
        # Ranks on other threads may be on their way.
        self.world.changed.wait_for(lambda: len(self.parts) == self.size, 5)
        if self.ran:
            return
        missing = sorted(set(range(self.size)) - set(self.parts))
        assert not missing, f"{self.name} hangs: rank(s) {missing} never call it"
        parts = [self.parts[rank] for rank in range(self.size)]
        kinds = {part.what for part in parts}
        assert len(kinds) == 1, f"ranks call different things: {kinds}"
        ((operation, kind, root),) = kinds
        self.ran = True
        self.world.ran_late += 1
        for part in parts:  # what its stream has to do before
            part.stream.flush(part.position)
        sent = [self._bytes(p.send, p.size_bytes).copy() for p in parts]
        for values, part in zip(sent, parts, strict=True):
            if part.noise:
                values[...] = 0x3C
        numbers = [values.view(kind) for values in sent]
        result = numbers[root or 0].copy()
        if operation == "allReduce":
            for more in numbers[1:]:  # in the order of the ranks
                result += more
        for part in parts:
            self._bytes(part.receive, part.size_bytes)[...] = result.view(np.uint8)

    def _bytes(self, memory, size):
        reference, start = memory
        array = reference()
        assert array is not None, f"{self.name}: memory was given back before it was used"
        return array.reshape(-1).view(np.uint8)[start : start + size]


class Nccl(types.SimpleNamespace):
    """What stands for the module."""


def _module(world):
    groups = threading.local()

    class NcclCommunicator:
        def __init__(self, ndev, commId, rank):
            assert type(commId) is bytes and len(commId) == 128
            self._key, self._size, self._rank, self._number = commId, ndev, rank, 0
            self._alone = True

        @staticmethod
        def initAll(devices):
            key = unique_id()
            made = [NcclCommunicator(len(devices), key, i) for i in range(len(devices))]
            for each in made:
                each._alone = len(devices) == 1
            return made

        def _call(self, name, what, send, receive, bytes_, stream):
            assert type(stream) is int and type(send) is int and type(bytes_) is int
            assert self._alone or getattr(groups, "depth", 0), "outside of a group"
            with world.lock:
                self._number += 1
                key = (self._key, self._number)
                call = world.groups.get(key)
                if call is None:
                    call = world.groups[key] = Call(world, name, self._size)
                queue = _null(world) if stream == 0 else world.streams[stream]
                assert queue.device == current.device, "the stream is another device's"
                pending = (call, self._rank, queue, what, send, receive, bytes_)
            if getattr(groups, "depth", 0):
                groups.pending.append(pending)
            else:
                _post(pending)

        def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
            assert op == 0
            kind = DTYPES[datatype]
            self._call("allReduce", ("allReduce", kind, None), sendbuf, recvbuf,
                       count * kind.itemsize, stream)  # fmt: skip

        def broadcast(self, sendbuff, recvbuff, count, datatype, root, stream):
            kind = DTYPES[datatype]
            # Only the root's send buffer counts.
            send = sendbuff if self._rank == root else recvbuff
            self._call("broadcast", ("broadcast", kind, root), send, recvbuff,
                       count * kind.itemsize, stream)  # fmt: skip

    def _post(pending):
        call, rank, queue, what, send, receive, bytes_ = pending
        with world.lock:
            world.calls.append((call.name, what[1].name, bytes_, rank))
            call.add(rank, queue, what, send, receive, bytes_)

    def group_start():
        groups.depth = getattr(groups, "depth", 0) + 1
        if groups.depth == 1:
            groups.pending = []

    def group_end():
        groups.depth -= 1
        if groups.depth:
            return
        queues = [pending[2] for pending in groups.pending]
        at_once = [queue for queue in queues if not queue.late]
        with world.lock:
            for queue in at_once:  # null streams wait until all parts are there
                queue.late = True
            for pending in groups.pending:
                _post(pending)
            for queue in at_once:
                queue.late = False
                queue.flush(len(queue.todo))

    ids = itertools.count(1).__next__

    def unique_id():
        return ids().to_bytes(128, "little")

    return Nccl(
        available=True, NcclCommunicator=NcclCommunicator, groupStart=group_start,
        groupEnd=group_end, get_unique_id=unique_id, NCCL_SUM=0,
        **{f"NCCL_{name.upper()}": i for i, name in enumerate(NAMES)},
    )  # fmt: skip


@contextlib.contextmanager
def doubled_gpus(count=2, nccl=True):
    """Compute with `count` of the double's GPUs, their streams late, and NCCL between them."""
    world = World()
    cuda = cupy_double.cupy.cuda
    kept = {name: getattr(cuda, name) for name in ("Stream", "Event", "get_current_stream")}
    array_class = cupy_double.ndarray
    setitem, of = array_class.__setitem__, array_class.__dict__["_of"]

    def written(self, key, value):
        setitem(self, key, value)
        array = self._a
        while isinstance(array.base, np.ndarray):
            array = array.base
        world.stamp(array)

    def made_of(cls, value):
        made = of.__func__(cls, value)
        if made._a.base is None:
            world.stamp(made._a, new=True)
        return made

    # Batches are copied late, too.
    inputs = [m for m in (distributed_input, device_input) if hasattr(m, "CupyCopies")]
    copies = [module.CupyCopies for module in inputs]
    with device_checks.doubled(count):
        for module in inputs:
            module.CupyCopies = Late
        cuda.Stream = lambda null=False, non_blocking=False, **more: Stream(
            world, current.device, late=non_blocking
        )
        cuda.Event = lambda *args, **more: Event(world)
        cuda.get_current_stream = lambda device_id=-1: _null(world)
        cuda.get_elapsed_time = lambda a, b: (b.time - a.time) * 1e3
        cuda.nccl = _module(world) if nccl else Nccl(available=False)
        array_class.__setitem__, array_class._of = written, classmethod(made_of)
        try:
            yield world
        finally:
            array_class.__setitem__, array_class._of = setitem, of
            for module, before in zip(inputs, copies, strict=True):
                module.CupyCopies = before
            del cuda.get_elapsed_time, cuda.nccl
            for name, value in kept.items():
                setattr(cuda, name, value)
