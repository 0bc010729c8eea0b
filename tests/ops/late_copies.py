"""Copies to CuPy's test double that are put off until work waits for them."""

import threading

import cupy_double
import numpy as np
from exported import Pointer, array_over

from headrace.data.device_copies import DeviceCopies

__all__ = ["Late"]


class Late(DeviceCopies):
    """Copies to the double, done when work waits for them and not before.

    Attributes:
        queued: how many copies have been queued.
        moved: their bytes.
        waits: False leaves out the steps' wait.
    """

    waits = True
    changed = threading.Condition()

    def __init__(self, index):
        self._index, self.queued, self.moved = index, 0, 0
        self._todo, self._lock = [], threading.Lock()

    def pinned(self, size_bytes):
        return np.full(size_bytes, 0xEE, np.uint8)

    def allocate(self, size_bytes):
        return bytearray([77] * size_bytes)

    def array(self, memory, shape, dtype, owner):
        made = object.__new__(cupy_double.ndarray)
        made._a, made._index = array_over(memory, shape, dtype, owner), self._index
        return made

    def copy(self, to, source):
        at = Pointer(to._a)
        with self._lock:
            self._todo.append(lambda: np.copyto(at.view(), source))
        with Late.changed:
            self.queued += 1
            self.moved += source.nbytes
            Late.changed.notify_all()

    def copied(self):
        return len(self._todo)

    def worker(self):
        return None

    def used(self, workers):
        return []  # the double's work is done when it is called

    def host_waits(self, event):
        with self._lock:
            for k in range(event):
                self._todo[k]()
                self._todo[k] = lambda: None

    def copies_wait(self, event):
        pass

    def work_waits(self, event):
        if Late.waits:
            self.host_waits(event)
