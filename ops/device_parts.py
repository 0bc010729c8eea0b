"""Parts: several logical devices on one GPU, each with memory of its own.

A part has a memory pool with a limit; streams, kernels and everything else are the GPU's.  An
array lies on the part whose pool its memory is of.  Memory that no part's pool gave out (other
libraries', a recording's) counts as that of the part at work, if it is on the same GPU, else of
the GPU's first one.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Part", "Parts"]


class Part(NamedTuple):
    """A logical device.

    Attributes:
        gpu: the number of its GPU.
        limit_bytes: the most its pool may hold; 0 for all there are.
    """

    gpu: int
    limit_bytes: int


class Parts:
    """The logical devices of a process, by their places 0, 1 ...

    Args:
        module: CuPy.
        parts: in order.
    """

    def __init__(self, module: Any, parts: Sequence[Part]):
        self._cuda = module.cuda
        self._parts = list(parts)
        self._pools = [module.cuda.MemoryPool() for _ in parts]
        self._allocators = [
            functools.partial(_allocated, pool, place) for place, pool in enumerate(self._pools)
        ]
        self._entered = threading.local()
        for pool, part in zip(self._pools, parts, strict=True):
            with module.cuda.Device(part.gpu):
                pool.set_limit(size=part.limit_bytes)

    def gpu(self, place: int) -> int:
        """The number of the GPU that a part is on."""
        return self._parts[place].gpu

    def pool(self) -> Any:
        """The memory pool of the part at work."""
        return self._pools[self.current()]

    def current(self) -> int:
        """The part at work: that of `on` around, else the current GPU's first one."""
        gpu = self._cuda.get_device_id()
        place = getattr(self._entered, "place", None)
        if place is not None and self._parts[place].gpu == gpu:
            return place
        return next(i for i, part in enumerate(self._parts) if part.gpu == gpu)

    @contextlib.contextmanager
    def _at(self, place: int) -> Any:
        before = getattr(self._entered, "place", None)
        self._entered.place = place
        try:
            with (
                self._cuda.Device(self._parts[place].gpu),
                self._cuda.using_allocator(self._allocators[place]),
            ):
                yield
        finally:
            self._entered.place = before

    def on(self, place: int) -> Any:
        """A context in which memory comes from a part, and its GPU is the current one."""
        at_work = getattr(self._entered, "place", None)
        if at_work == place and self._cuda.get_device_id() == self._parts[place].gpu:
            return contextlib.nullcontext()
        return self._at(place)

    def place_of(self, array: Any) -> int:
        """The part that an array lies on."""
        place = getattr(array.data.mem, "place", None)
        if place is not None:
            return place
        gpu = array.device.id
        if gpu == self._cuda.get_device_id():
            return self.current()
        return next(i for i, part in enumerate(self._parts) if part.gpu == gpu)


def _allocated(pool: Any, place: int, size: int) -> Any:
    """Memory of a part's pool, marked as its."""
    memory = pool.malloc(size)
    with contextlib.suppress(AttributeError):  # of no bytes
        memory.mem.place = place
    return memory
