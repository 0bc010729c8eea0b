"""Backend: GPUs through CuPy: what there is, copies, memory.

CuPy is imported when a device is first asked for.  A machine without it or without a driver has
no devices, and `Devices.why_none` says what is missing.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .cuda import recording
from .device_parts import Part, Parts

__all__ = ["Backend", "installed", "load"]

_SCALARS = 512  # copies of values without axes that are kept per device


class Backend:
    """The GPUs of this process.

    Args:
        module: CuPy, or in tests what stands for it.
        native: whether CUDA kernels can run on its arrays.

    Attributes:
        module, native: as given.
        array: the class of its arrays.
        count: how many devices there are.
        out_of_memory: the kind of error raised when memory is used up.
    """

    def __init__(self, module: Any, native: bool = True):
        self.module = module
        self.native = native
        self.array: type = module.ndarray
        self.count = int(module.cuda.runtime.getDeviceCount())
        self.out_of_memory: type[BaseException] = module.cuda.memory.OutOfMemoryError
        self._parts: Parts | None = None
        self._peaks: dict[int, int] = {}
        self._scalars: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()

    def scipy(self, name: str) -> Any:
        """The module that is on devices what ``scipy.<name>`` is on the host."""
        return importlib.import_module(f"cupyx.scipy.{name}")

    # -- where ----------------------------------------------------------------------------

    def split(self, parts: Sequence[Part]) -> None:
        """Several logical devices on a GPU: from now on these are the places, in order."""
        self._parts = Parts(self.module, parts)

    def gpu(self, index: int) -> int:
        """The number of the GPU that a place is on: its own, unless GPUs are split."""
        return index if self._parts is None else self._parts.gpu(index)

    def place_of(self, array: Any) -> int:
        """Where an array lies."""
        return array.device.id if self._parts is None else self._parts.place_of(array)

    def on(self, index: int) -> Any:
        """A context in which the device at place `index` is the current one."""
        if self._parts is not None:
            return self._parts.on(index)
        cuda = self.module.cuda
        if cuda.get_device_id() == index:
            return contextlib.nullcontext()
        return cuda.Device(index)

    def holds(self, dtype: np.dtype) -> bool:
        """Whether devices have arrays of `dtype`."""
        return dtype.kind in "biufc" or dtype.name == "bfloat16"

    # -- copies ---------------------------------------------------------------------------

    def copy_in(self, array: np.ndarray, index: int) -> Any:
        """A host array on a device; values without axes are copied once and then shared."""
        notes = recording.current()
        if notes is not None:
            return notes.constant(index, array, lambda a: self._copied(a, index))
        if array.ndim:
            return self._copied(array, index)
        key = (index, array.dtype, array.tobytes())
        with self._lock:
            known = self._scalars.get(key)
        if known is None:
            known = self._copied(array, index)
            with self._lock:
                self._scalars[key] = known
                if len(self._scalars) > _SCALARS:
                    self._scalars.popitem(last=False)
        return known

    def _copied(self, array: np.ndarray, index: int) -> Any:
        with self.on(index):
            return self.module.asarray(array)

    def copy_out(self, array: Any) -> np.ndarray:
        """A device's array on the host, once all work queued for it is done.

        Raises:
            NotRecordable: in a capture, where nothing is done.
        """
        notes = recording.current()
        if notes is not None and notes.capturing:
            raise recording.NotRecordable(
                f"a value of the device, {array.dtype}{list(array.shape)}, is read on the host"
            )
        with self.on(self.place_of(array)):
            return array.get()

    def move(self, array: Any, index: int) -> Any:
        """An array of any device on device `index`.

        Streams of two devices know nothing of each other: the copy begins behind the work that
        its device has queued, and what is queued there later (which may write over the memory)
        behind the copy.
        """
        place = self.place_of(array)
        if place == index:
            return array
        cuda = self.module.cuda
        with self.on(place):
            # Others do not go between devices; values without axes are to stay so.
            whole = array if array.ndim == 0 else self.module.ascontiguousarray(array)
            made = cuda.get_current_stream().record(cuda.Event(disable_timing=True))
        with self.on(index):
            stream = cuda.get_current_stream()
            stream.wait_event(made)
            moved = self.module.array(whole)
            copied = stream.record(cuda.Event(disable_timing=True))
        with self.on(place):
            cuda.get_current_stream().wait_event(copied)
        return moved

    def adopt(self, value: Any) -> Any:
        """An array over foreign device memory, not copied (``__cuda_array_interface__``)."""
        return value if isinstance(value, self.array) else self.module.asarray(value)

    # -- memory ---------------------------------------------------------------------------

    def pool(self) -> Any:
        """The memory pool of the current device."""
        if self._parts is None:
            return self.module.get_default_memory_pool()
        return self._parts.pool()

    def _here(self) -> int:
        parts = self._parts
        return self.module.cuda.get_device_id() if parts is None else parts.current()

    def free(self) -> None:
        """Give back what the current device's pool keeps without using it."""
        index, pool = self._here(), self.pool()
        self._peaks[index] = max(self._peaks.get(index, 0), pool.total_bytes())
        with self._lock:
            self._scalars.clear()
        pool.free_all_blocks()

    def memory(self, index: int) -> dict[str, int]:
        """Bytes in use, and the most the pool has held, of a device."""
        with self.on(index):
            pool = self.pool()
            peak = max(self._peaks.get(index, 0), pool.total_bytes())
            return {"current": pool.used_bytes(), "peak": peak}

    def forget_peak(self, index: int) -> None:
        """The peak is what is in use now."""
        with self.on(index):
            self.free()
            self._peaks[index] = 0

    def set_limit(self, index: int, size_bytes: int) -> None:
        """The most bytes that a device's pool may hold; 0 for all there are."""
        with self.on(index):
            self.pool().set_limit(size=size_bytes)

    # -- arithmetic -----------------------------------------------------------------------

    def product(self, x: Any, y: Any) -> Any:
        """x @ y of arrays on a device, [..., n, k] and [..., k, m].

        CuPy's own product goes through cuBLAS with memory that it asks for itself, which
        cannot be recorded in a CUDA graph.
        """
        if self.native and x.ndim > 1 and y.ndim > 1:
            found = importlib.import_module(".cuda.gemm", __package__).matmul(x, y)
            if found is not NotImplemented:
                return found
        return x @ y

    def allow_tensor_float_32(self, allowed: bool) -> None:
        """Whether CuPy's products of float32 may round their factors to TensorFloat-32."""
        if not self.native:
            return
        os.environ["CUPY_TF32"] = "1" if allowed else "0"  # read at the first product
        try:
            linalg = importlib.import_module("cupy._core._routines_linalg")
            change, kinds = linalg.set_compute_type, (
                linalg.COMPUTE_TYPE_DEFAULT, linalg.COMPUTE_TYPE_TF32)  # fmt: skip
        except (ImportError, AttributeError):  # private: another version may not have it
            return
        capabilities = [self.details(i)["compute_capability"] for i in range(self.count)]
        able = all(major >= 8 for major, _ in capabilities)
        change(np.float32, kinds[bool(allowed and able)])

    # -- description ----------------------------------------------------------------------

    def details(self, index: int) -> dict[str, Any]:
        """Name and compute capability."""
        found = self.module.cuda.runtime.getDeviceProperties(index)
        name = found["name"]
        return {
            "device_name": name.decode() if isinstance(name, bytes) else name,
            "compute_capability": (found["major"], found["minor"]),
        }


def installed() -> bool:
    """Whether CuPy can be imported; it is not."""
    return importlib.util.find_spec("cupy") is not None


def load() -> tuple[Backend | None, str]:
    """The GPUs, or None and the reason why there are none."""
    if not installed():
        return None, (
            "CuPy is not installed: pip install 'headrace[cuda13]' (or headrace[cuda12] for a "
            "driver of CUDA 12)"
        )
    try:
        cupy = importlib.import_module("cupy")
        if cupy.cuda.is_available():
            return Backend(cupy), ""
        return None, "CUDA's driver finds no GPU (nvidia-smi shows what it sees)"
    except Exception as error:  # a broken installation is no reason not to run on the CPU
        return None, f"CuPy does not work here: {error}"
