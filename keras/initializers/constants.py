"""Initializers without chance: zeros, ones, a constant, the identity matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from ..backend import floatx
from .initializer import Initializer, finish

__all__ = ["Constant", "Identity", "Ones", "Zeros"]


class Zeros(Initializer):
    """Zeros everywhere."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Zeros of `shape`."""
        return finish(np.zeros(tuple(shape), hr.as_dtype(dtype or floatx()).np_dtype), dtype)


class Ones(Initializer):
    """Ones everywhere."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Ones of `shape`."""
        return finish(np.ones(tuple(shape), hr.as_dtype(dtype or floatx()).np_dtype), dtype)


class Constant(Initializer):
    """One value everywhere, or an array that broadcasts to the shape.

    Args:
        value: Python number or array-like.
    """

    def __init__(self, value: Any = 0.0):
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """The value, spread over `shape`."""
        np_dtype = hr.as_dtype(dtype or floatx()).np_dtype
        values = np.asarray(self.value).astype(np_dtype)
        return finish(np.array(np.broadcast_to(values, tuple(shape))), dtype)

    def get_config(self) -> dict[str, Any]:
        """The value; arrays become lists."""
        value = self.value
        return {"value": value.tolist() if isinstance(value, np.ndarray) else value}


class Identity(Initializer):
    """A matrix with `gain` on its diagonal.

    Args:
        gain: the diagonal's value.
    """

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """``gain * eye``; raises ValueError unless `shape` has two axes."""
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        np_dtype = hr.as_dtype(dtype or floatx()).np_dtype
        return finish(self.gain * np.eye(*shape, dtype=np_dtype), dtype)

    def get_config(self) -> dict[str, Any]:
        """The gain (Keras itself drops it; its `from_config` takes it)."""
        return {"gain": self.gain}
