"""`hr.test`: what programs ask about the devices they run on."""

from typing import Any

from ..ops import device_backend as _backend
from ..ops.devices import devices as _devices

__all__ = [
    "gpu_device_name",
    "is_built_with_cuda",
    "is_built_with_gpu_support",
    "is_built_with_rocm",
    "is_built_with_xla",
    "is_gpu_available",
]


def is_gpu_available(cuda_only: bool = False, min_cuda_compute_capability: Any = None) -> bool:
    """Whether there is a GPU to compute on.

    Args:
        cuda_only: all GPUs are CUDA's.
        min_cuda_compute_capability: the least (major, minor) asked for; None for any.

    >>> import headrace as hr
    >>> hr.test.is_gpu_available() == bool(hr.config.list_physical_devices("GPU"))
    True
    """
    backend = _devices.backend
    least = tuple(min_cuda_compute_capability or (0, 0))
    return backend is not None and any(
        backend.details(int(d.name.rpartition(":")[2]))["compute_capability"] >= least
        for d in _devices.visible("GPU")
    )


def gpu_device_name() -> str:
    """The name of the first GPU, such as "/device:GPU:0"; empty where there is none."""
    found = _devices.logical("GPU")
    return found[0].name if found else ""


def is_built_with_cuda() -> bool:
    """Whether CuPy, which computes on GPUs, is installed."""
    return _backend.installed()


def is_built_with_gpu_support() -> bool:
    """Whether CuPy, which computes on GPUs, is installed."""
    return _backend.installed()


def is_built_with_rocm() -> bool:
    """False."""
    return False


def is_built_with_xla() -> bool:
    """False."""
    return False
