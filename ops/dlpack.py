"""DLPack: tensors to and from other libraries without copying, on the host and on GPUs.

A capsule or an array that comes in is shared: what its owner writes into it afterwards is seen
in the tensor.  On GPUs CuPy has the stream of either side wait for the other's.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .array_module import device_arrays
from .convert import to_tensor
from .devices import devices
from .errors import InvalidArgumentError
from .tensor import Tensor

__all__ = ["from_dlpack", "to_dlpack"]

_HOST_KINDS = (1, 3)  # kDLCPU, kDLCUDAHost
_GPU_KINDS = (2, 13)  # kDLCUDA, kDLCUDAManaged
# The device stands behind the data's address, which a versioned tensor has further back.
_DEVICE_AT = {b"dltensor": 8, b"dltensor_versioned": 40}


def to_dlpack(tf_tensor: Any) -> Any:
    """A DLPack capsule over the tensor's memory; another library takes it once.

    Raises:
        BufferError: strings, and dtypes that DLPack or the array library has no word for.

    >>> import numpy as np
    >>> from_dlpack(to_dlpack(to_tensor(np.arange(3), None))).numpy()
    array([0, 1, 2])
    """
    return to_tensor(tf_tensor, None).__dlpack__()


def from_dlpack(dlcapsule: Any) -> Tensor:
    """A tensor over the memory of a DLPack capsule, or of an array that speaks ``__dlpack__``,
    such as one of PyTorch's or CuPy's.

    Raises:
        InvalidArgumentError: a capsule that was taken before, no capsule at all, or memory of
            a device that Headrace does not use.
    """
    if isinstance(dlcapsule, Tensor):
        return dlcapsule
    source = dlcapsule
    if not hasattr(source, "__dlpack_device__"):
        source = _Capsule(dlcapsule)
    kind, number = source.__dlpack_device__()
    if int(kind) in _HOST_KINDS:
        return Tensor(np.from_dlpack(source))
    if int(kind) not in _GPU_KINDS:
        raise InvalidArgumentError(
            f"from_dlpack: the array lies on a device of kind {int(kind)}; the CPU (1) "
            "and CUDA GPUs (2) are supported. Copy it to one of them."
        )
    backend = devices.adopting()
    with backend.on(int(number)):
        return Tensor.of(device_arrays.module.from_dlpack(source))


class _Capsule:
    """A bare capsule as an object that speaks DLPack's protocol."""

    def __init__(self, capsule: Any):
        self._capsule = capsule
        self._device = _device_of(capsule)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device


def _device_of(capsule: Any) -> tuple[int, int]:
    """Kind and number of the device that a capsule's memory is on."""
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_IsValid.argtypes = [ctypes.py_object, ctypes.c_char_p]
    for name, place in _DEVICE_AT.items():
        if api.PyCapsule_IsValid(capsule, name):
            start = api.PyCapsule_GetPointer(capsule, name) + place
            pair = (ctypes.c_int32 * 2).from_address(start)
            return int(pair[0]), int(pair[1])
    raise InvalidArgumentError(
        "from_dlpack takes a DLPack capsule that nothing has taken yet, or an array with "
        f"__dlpack__; got {capsule!r}. Each capsule is taken once: make another one."
    )
