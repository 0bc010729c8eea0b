"""Devices for tests of the ring: one that puts off all it can, one that does all at once."""

import random
import sys
import threading
from pathlib import Path

import numpy as np

from headrace.data.device_copies import DeviceCopies

sys.path.append(str(Path(__file__).parents[1] / "ops"))

from exported import Pointer, array_over

__all__ = ["AtOnce", "LazyCopies"]


class Event:
    def __init__(self, stream, place):
        self.stream, self.place = stream, place


class Stream:
    """Work in order, done when somebody waits for it."""

    def __init__(self):
        self.queued, self.done = [], 0

    def run_to(self, place):
        while self.done < place:
            self.done += 1
            self.queued[self.done - 1]()


class Memory:
    """Device memory; dropped, the pool has it at once, whoever still reads it."""

    def __init__(self, pool, size):
        self.pool = pool
        same = [m for m in pool if len(m) == size]
        self.data = pool.pop(pool.index(same[-1])) if same else bytearray([77] * size)

    def __del__(self):
        self.pool.append(self.data)


class LazyCopies(DeviceCopies):
    """A device that does nothing before it must.

    Attributes:
        pool: memory that nobody has.
        recording: whether work is being recorded, so that no event can be had.
        hurry: how likely something queued is done at once.
    """

    def __init__(self, hurry=0.0, seed=0):
        self.stream, self.work = Stream(), Stream()
        self.pool, self.hurry, self.recording = [], hurry, False
        self._random, self._lock = random.Random(seed), threading.RLock()

    def _queue(self, stream, what):
        with self._lock:
            stream.queued.append(what)
            if self._random.random() < self.hurry:
                stream.run_to(self._random.randint(stream.done, len(stream.queued)))

    def pinned(self, size_bytes):
        return np.full(size_bytes, 0xEE, np.uint8)

    def allocate(self, size_bytes):
        return Memory(self.pool, size_bytes)

    def array(self, memory, shape, dtype, owner):
        return array_over(memory.data, shape, dtype, memory, owner)

    def copy(self, to, source):
        to = Pointer(to)
        self._queue(self.stream, lambda: np.copyto(to.view(), source))

    def _event(self, stream):
        with self._lock:
            return Event(stream, len(stream.queued))

    def copied(self):
        return self._event(self.stream)

    def worker(self):
        return self.work

    def used(self, workers):
        return None if self.recording else [self._event(stream) for stream in workers]

    def host_waits(self, event):
        with self._lock:
            event.stream.run_to(event.place)

    def copies_wait(self, event):
        self._queue(self.stream, lambda: event.stream.run_to(event.place))

    def work_waits(self, event):
        self._queue(self.work, lambda: event.stream.run_to(event.place))

    # -- the consumer's work ----------------------------------------------------------------

    def read(self, array, into):
        """Queue a kernel that reads an array."""
        array = Pointer(array)
        self._queue(self.work, lambda: into.append(array.view().copy()))

    def finish(self):
        with self._lock:
            self.work.run_to(len(self.work.queued))


class AtOnce(LazyCopies):
    """A device that does everything when it is queued, so that the host may look.

    Attributes:
        moved: the bytes that were copied.
    """

    moved = 0

    def copy(self, to, source):
        self.moved += source.nbytes
        super().copy(to, source)

    def _queue(self, stream, what):
        what()
