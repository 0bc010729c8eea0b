"""Gradients in half the bits on the wire, with error feedback.

What rounding takes off a gradient is kept and added to the next step's (Seide et al. 2014,
Karimireddy et al. 2019): the sum of what was sent stays within one rounding of the sum of what
was meant.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from ..ops.array_module import array_module, beside, is_on_device

__all__ = ["Compression", "DeviceCompression"]

_WIRE = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
_LARGEST = {"fp16": 65504.0, "bf16": None}


class Compression:
    """One replica's compressor; it keeps the rounding errors between steps.

    Args:
        name: ``"fp16"`` or ``"bf16"``.
    """

    def __init__(self, name: str):
        self.dtype = _WIRE[name]
        self._largest = _LARGEST[name]
        self._errors: dict[Hashable, Any] = {}
        self._on_device = DeviceCompression(name, 1)

    def compress(self, key: Hashable, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`arrays` as they travel: floats of four bytes and more in `dtype`.

        Args:
            key: names these arrays from step to step.
            arrays: the gradients of one bucket.
        """
        return [self._one((key, i), a) for i, a in enumerate(arrays)]

    def _one(self, key: Hashable, array: Any) -> Any:
        if is_on_device(array):
            with beside(array):
                return self._on_device.compress(array_module(array), key, array)
        if array.dtype not in (np.float32, np.float64):
            return array
        error = self._errors.get(key)
        meant: Any = array if error is None or error.shape != array.shape else array + error
        with np.errstate(over="ignore", invalid="ignore"):
            near: Any = meant
            if self._largest is not None:  # what overflows is sent in the next steps
                clipped = meant.clip(-self._largest, self._largest)
                near = np.where(np.isinf(meant), meant, clipped)
            sent = near.astype(self.dtype)
            error = meant - sent.astype(array.dtype)
        # An infinity or NaN is for the loss scale to find, not to remember.
        self._errors[key] = error if np.isfinite(error).all() else np.zeros_like(error)
        return sent


class DeviceCompression:
    """The same for what lies on a GPU: nothing is read by the host.

    A sum of floats of two bytes is made in two bytes, too, so fp16 values are clipped to the
    replicas' share of the largest number.

    Args:
        name: ``"fp16"`` or ``"bf16"``.
        replicas: whose values are added.
    """

    def __init__(self, name: str, replicas: int):
        self.dtype = _WIRE[name]
        largest = _LARGEST[name]
        self._largest = None if largest is None else largest / replicas
        self._errors: dict[Hashable, Any] = {}

    def compress(self, xp: Any, key: Hashable, array: Any) -> Any:
        """A float32 or float64 array as it travels; others as they are.

        Args:
            xp: the array's module.
            key: names it from step to step.
            array: the gradients of one bucket.
        """
        if array.dtype not in (np.float32, np.float64):
            return array
        error = self._errors.get(key)
        meant = array if error is None or error.shape != array.shape else array + error
        near = meant
        if self._largest is not None:
            near = xp.where(xp.isinf(meant), meant, meant.clip(-self._largest, self._largest))
        sent = near.astype(self.dtype)
        error = meant - sent.astype(array.dtype)
        # As on the host: an array with an infinity or NaN leaves no error behind.
        self._errors[key] = xp.where(xp.isfinite(error).all(), error, xp.zeros_like(error))
        return sent
