"""The device that kernels run on: compile, load, launch on the current stream.

`CupyDevice` is a GPU through CuPy.  Everything else in this package speaks only with `Device`,
whose tests' form runs the same PTX on a CPU.

An argument of a kernel is an array (its address is passed) or a NumPy scalar of exactly the
parameter's size.  A launch returns at once; arrays that a kernel uses may be dropped behind it,
for CuPy's pool hands their memory only to later work of the same stream.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import kernel_cache
from . import nvrtc, recording

__all__ = ["CupyDevice", "Device", "Kernel", "cubin", "current", "in_use", "use"]


class Kernel(NamedTuple):
    """A kernel of a source.

    Attributes:
        source: CUDA C++.
        name: of the function, declared ``extern "C"``.
    """

    source: str
    name: str


class Device(ABC):
    """A GPU.

    Attributes:
        arch: such as "sm_90".
        processors: how many multiprocessors it has.
        xp: the array module of its arrays.
    """

    arch: str
    processors: int
    xp: Any

    @abstractmethod
    def launch(
        self,
        kernel: Kernel,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        args: Sequence[Any],
        shared: int = 0,
        touched: Sequence[Any] = (),
    ) -> None:
        """Queue a kernel on the current stream.

        Args:
            kernel: what runs.
            grid, block: numbers of blocks and of threads in each.
            args: arrays and NumPy scalars.
            shared: bytes of dynamic shared memory.
            touched: arrays that it reaches by addresses in other arrays.
        """

    @abstractmethod
    def address(self, array: Any) -> int:
        """Where an array's memory is."""

    def constant(self, values: np.ndarray) -> Any:
        """A copy of a host array on the device."""
        notes = recording.current()
        if notes is None:
            return self.xp.asarray(values)
        return notes.constant(id(self), values, self.xp.asarray)


def cubin(source: str, arch: str, name: str) -> bytes:
    """A source's machine code, compiled once and kept on disk."""
    key = hashlib.sha256(f"{nvrtc.version()}\n{arch}\n{source}".encode()).hexdigest()[:32]
    path = kernel_cache.cache_folder() / "cuda" / f"{key}.cubin"
    try:
        return kernel_cache.read(path)
    except (OSError, ValueError):  # absent or damaged
        code = nvrtc.compile_source(source, arch, name)
        try:
            kernel_cache.write(path, code)
        except OSError:
            pass  # no writable folder: compile in every process
        return code


class CupyDevice(Device):
    """A GPU through CuPy.

    Args:
        index: its number.
    """

    def __init__(self, index: int):
        import cupy

        self.xp = cupy
        self.index = index
        device = cupy.cuda.Device(index)
        self.arch = f"sm_{device.compute_capability}"
        self.processors = device.attributes["MultiProcessorCount"]
        self._functions: dict[Kernel, Any] = {}
        self._modules: dict[str, Any] = {}
        self._lock = threading.Lock()

    def launch(
        self,
        kernel: Kernel,
        grid: int | tuple[int, ...],
        block: int | tuple[int, ...],
        args: Sequence[Any],
        shared: int = 0,
        touched: Sequence[Any] = (),
    ) -> None:
        """See `Device.launch`."""
        function = self._functions.get(kernel) or self._load(kernel)
        given = [a if isinstance(a, np.generic) else np.uint64(a.data.ptr) for a in args]
        function(_three(grid), _three(block), tuple(given), shared_mem=shared)

    def address(self, array: Any) -> int:
        """See `Device.address`."""
        return array.data.ptr

    def _load(self, kernel: Kernel) -> Any:
        with self._lock, self.xp.cuda.Device(self.index):
            module = self._modules.get(kernel.source)
            if module is None:
                from cupy.cuda import function

                module = function.Module()
                module.load(cubin(kernel.source, self.arch, f"{kernel.name}.cu"))
                self._modules[kernel.source] = module
            found = self._functions[kernel] = module.get_function(kernel.name)
        return found


def _three(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, 1, 1) if isinstance(size, int) else (*size, 1, 1)[:3]


@functools.cache
def _cupy_device(index: int) -> CupyDevice:
    return CupyDevice(index)


_used: list[Device] = []


def current() -> Device:
    """The device that the calling thread's arrays are made on."""
    if _used:
        return _used[-1]
    import cupy

    return _cupy_device(cupy.cuda.runtime.getDevice())


def in_use() -> bool:
    """Whether `use` names a device."""
    return bool(_used)


class use:
    """A context manager: launch on `device`, in all threads (for tests)."""

    def __init__(self, device: Device):
        self._device = device

    def __enter__(self) -> Device:
        _used.append(self._device)
        return self._device

    def __exit__(self, *error: object) -> None:
        _used.remove(self._device)
