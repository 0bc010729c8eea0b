"""Which array library a value belongs to: NumPy, or CuPy where a device is in use."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import numpy as np

__all__ = [
    "array_module",
    "beside",
    "brought",
    "device_arrays",
    "is_on_device",
    "place_of",
    "scipy_module",
    "together",
]


class _DeviceArrays:
    """The arrays that lie on devices.

    Attributes:
        kind: their class; None while no device is in use.
        module: their library.
        backend: the devices.
        scipy: gives the module of SciPy's kind that goes with it, by its name.
    """

    __slots__ = ("backend", "kind", "module", "scipy")

    def __init__(self) -> None:
        self.kind: type | None = None
        self.module: Any = None
        self.backend: Any = None
        self.scipy: Any = None


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


def beside(*arrays: Any) -> Any:
    """A context in which new arrays are made where the first one that is on a device lies."""
    first = next((a for a in arrays if is_on_device(a)), None)
    if first is None:
        return contextlib.nullcontext()
    return device_arrays.backend.on(place_of(first))


def together(*arrays: Any) -> tuple[Any, ...]:
    """The arrays in one place: where one lies on a device, the others are copied to it."""
    first = next((a for a in arrays if is_on_device(a)), None)
    if first is None:
        return arrays
    with beside(first):
        return tuple(
            device_arrays.module.array(a)
            if isinstance(a, (np.ndarray, np.generic))
            or (is_on_device(a) and place_of(a) != place_of(first))
            else a
            for a in arrays
        )


def brought(values: np.ndarray, like: Any) -> Any:
    """A host array where `like` lies.  It may depend on shapes only: a recording keeps the
    copy."""
    if not is_on_device(like):
        return values
    return device_arrays.backend.copy_in(values, place_of(like))


def scipy_module(name: str, *arrays: Any) -> Any:
    """``scipy.<name>``, on devices ``cupyx.scipy.<name>``."""
    if array_module(*arrays) is np:
        return importlib.import_module(f"scipy.{name}")
    return device_arrays.scipy(name)


def is_on_device(array: Any) -> bool:
    """Whether a raw array lies on a device."""
    kind = device_arrays.kind
    return kind is not None and isinstance(array, kind)


def place_of(array: Any) -> int:
    """The place that an array on a device lies at: its GPU's number, unless GPUs are split into
    several logical devices."""
    return device_arrays.backend.place_of(array)
