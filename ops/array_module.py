"""Which array library a value belongs to: NumPy, or CuPy where a device is in use."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["array_module", "device_arrays", "is_on_device"]


class _DeviceArrays:
    """The arrays that lie on devices.

    Attributes:
        kind: their class; None while no device is in use.
        module: their library.
    """

    __slots__ = ("kind", "module")

    def __init__(self) -> None:
        self.kind: type | None = None
        self.module: Any = None


device_arrays = _DeviceArrays()


def array_module(*arrays: Any) -> Any:
    """``cupy`` if any argument is a CuPy array, else ``numpy``.

    An op's `impl` calls this once, at its top, and is then written once for both.
    """
    kind = device_arrays.kind
    if kind is not None:
        for a in arrays:
            if isinstance(a, kind):
                return device_arrays.module
    return np


def is_on_device(array: Any) -> bool:
    """Whether a raw array lies on a device."""
    kind = device_arrays.kind
    return kind is not None and isinstance(array, kind)
