"""The parts of CuPy's test double that are not arrays: devices, streams, the memory pool."""

import threading
import weakref

__all__ = [
    "CUDARuntimeError",
    "Device",
    "Event",
    "OutOfMemoryError",
    "Pool",
    "Stream",
    "current",
    "pool",
]


class Current(threading.local):
    device = 0
    stream = None


current = Current()


class OutOfMemoryError(MemoryError):
    """As CuPy's: a pool's limit or the device's memory is passed."""

    def __init__(self, size, total, limit=0):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: "
                         f"{total:,} bytes, limit set to: {limit:,} bytes).")  # fmt: skip


class Pool:
    """The default memory pool: counters per device."""

    def __init__(self, memory):
        self.memory = memory
        self.reset()

    def reset(self):
        """No limits, nothing counted; arrays that are alive are forgotten."""
        self._used, self._total, self._limit, self._live = {}, {}, {}, {}
        self.frees = 0

    def take(self, array):
        """Count the memory of a NumPy array made for the current device."""
        device, size = current.device, array.nbytes
        used, total = self._used.get(device, 0), self._total.get(device, 0)
        limit = self._limit.get(device) or self.memory
        if max(total, used + size) > limit and used + size > limit:
            raise OutOfMemoryError(size, total, limit)
        self._used[device] = used + size
        self._total[device] = max(total, used + size)
        live = self._live
        key = id(array)

        def gone(_):
            if live.pop(key, None) is not None:
                self._used[device] = self._used.get(device, size) - size

        live[key] = weakref.ref(array, gone)

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

    def malloc(self, size):
        raise NotImplementedError("the double has no raw memory")


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
