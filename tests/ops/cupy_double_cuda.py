"""The parts of CuPy's test double that are not arrays: devices, streams, the memory pool."""

import contextlib
import itertools
import threading
import weakref

import numpy as np

__all__ = [
    "CUDARuntimeError",
    "Device",
    "Event",
    "OutOfMemoryError",
    "Pool",
    "Stream",
    "current",
    "get_allocator",
    "memory_of",
    "pool",
    "take",
    "using_allocator",
]


class Current(threading.local):
    device = 0
    allocator = None
    stream = None


current = Current()


class OutOfMemoryError(MemoryError):
    """As CuPy's: a pool's limit or the device's memory is passed."""

    def __init__(self, size, total, limit=0):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: "
                         f"{total:,} bytes, limit set to: {limit:,} bytes).")  # fmt: skip


class Memory:
    """Memory that a pool gave out; it goes back when nobody holds it."""

    addresses = itertools.count(1 << 40, 1 << 30)  # of which nothing is at

    def __init__(self, pool, device, size):
        self.ptr = next(self.addresses)
        self._pool, self._device, self._size = pool, device, size
        self._reset = pool.resets

    def __del__(self):
        used = self._pool._used
        if self._reset == self._pool.resets:
            used[self._device] = used.get(self._device, self._size) - self._size


class Pointer:
    """An address in memory, of which the double knows what it belongs to."""

    def __init__(self, mem):
        self.mem, self.ptr = mem, mem.ptr


class PythonFunctionAllocator:
    """Memory by two functions: `malloc(size, device)` gives an address, which `free` takes."""

    def __init__(self, malloc, free):
        self._malloc, self._free = malloc, free

    def malloc(self, size):
        return Pointer(_OfFunctions(self._malloc(size, current.device), self._free))


class _OfFunctions:
    def __init__(self, ptr, free):
        self.ptr, self._free, self._device = ptr, free, current.device

    def __del__(self):
        self._free(self.ptr, self._device)


class _Nobodys:
    """Memory of arrays that no pool made."""

    ptr = 0


_NOBODYS = _Nobodys()


class Pool:
    """A memory pool: counters per device."""

    def __init__(self, memory=1 << 34):
        self.memory = memory
        self.resets = 0
        self.reset()

    def reset(self):
        """No limits, nothing counted; arrays that are alive are forgotten."""
        self._used, self._total, self._limit = {}, {}, {}
        self.frees = 0
        self.resets += 1

    def malloc(self, size):
        device = current.device
        used, total = self._used.get(device, 0), self._total.get(device, 0)
        limit = self._limit.get(device) or self.memory
        if max(total, used + size) > limit and used + size > limit:
            raise OutOfMemoryError(size, total, limit)
        self._used[device] = used + size
        self._total[device] = max(total, used + size)
        return Pointer(Memory(self, device, size))

    def used_bytes(self):
        return self._used.get(current.device, 0)

    def total_bytes(self):
        return self._total.get(current.device, 0)

    def free_bytes(self):
        return self.total_bytes() - self.used_bytes()

    def free_all_blocks(self, stream=None):
        self.frees += 1
        self._total[current.device] = self.used_bytes()

    def set_limit(self, size=None, fraction=None):
        if fraction is not None:
            size = int(self.memory * fraction)
        self._limit[current.device] = size or 0

    def get_limit(self):
        return self._limit.get(current.device, 0)


@contextlib.contextmanager
def using_allocator(allocator):
    """Take the memory of arrays from `allocator` in the block."""
    before, current.allocator = current.allocator, allocator
    try:
        yield
    finally:
        current.allocator = before


def get_allocator():
    return current.allocator or pool.malloc


_held = {}  # id of a NumPy array -> its memory


def take(array):
    """Memory for a NumPy array that was made for the current device."""
    memory = get_allocator()(array.nbytes).mem
    key = id(array)
    _held[key] = weakref.ref(array, lambda _: _held.pop(key, None)), memory


def memory_of(array):
    """The memory that a NumPy array or view lies in."""
    while type(array.base) is np.ndarray:
        array = array.base
    found = _held.get(id(array))
    return _NOBODYS if found is None else found[1]


pool = Pool(1 << 34)


class Device:
    """A device; as a context manager, the current one."""

    count = 2

    def __init__(self, device=None):
        self.id = current.device if device is None else int(device)
        self._before = []

    def __enter__(self):
        if self.id >= Device.count:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._before.append(current.device)
        current.device = self.id
        return self

    def __exit__(self, *error):
        current.device = self._before.pop()

    def use(self):
        current.device = self.id

    def synchronize(self):
        pass

    compute_capability = "90"

    @property
    def mem_info(self):
        used = pool._used.get(self.id, 0)
        return pool.memory - used, pool.memory

    def __eq__(self, other):
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self):
        return self.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


class Stream:
    """A stream: what is given to it has always happened already."""

    def __init__(self, null=False, non_blocking=False, ptds=False, ptr=0):
        self.ptr = ptr
        self._before = []

    def synchronize(self):
        pass

    def wait_event(self, event):
        pass

    def record(self, event=None):
        return event or Event()

    def __enter__(self):
        self._before.append(current.stream)
        current.stream = self
        return self

    def __exit__(self, *error):
        current.stream = self._before.pop()

    use = __enter__


class Event:
    """An event, which has always happened already."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.done = True

    def record(self, stream=None):
        pass

    def synchronize(self):
        pass
