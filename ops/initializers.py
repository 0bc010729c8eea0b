"""Initializers that need no model library: constants and random numbers of a given shape."""

from __future__ import annotations

from typing import Any

from . import dtypes
from .array_basics import ones, zeros
from .convert import constant
from .dtypes import as_dtype
from .random_ops import random_normal, random_uniform
from .tensor import Tensor

__all__ = [
    "constant_initializer", "ones_initializer", "random_normal_initializer",
    "random_uniform_initializer", "zeros_initializer",
]  # fmt: skip


class _Initializer:
    """Called with a shape and a dtype it gives a tensor."""

    def get_config(self) -> dict[str, Any]:
        """The arguments to make an equal one with `from_config`."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The initializer made with these arguments."""
        config = dict(config)
        config.pop("dtype", None)
        return cls(**config)


def _numeric(dtype: Any) -> Any:
    dtype = as_dtype(dtype)
    if dtype is dtypes.string:
        raise ValueError(f"Expected numeric or boolean dtype, got {dtype.name}")
    return dtype


def _floating(dtype: Any) -> Any:
    dtype = as_dtype(dtype)
    if not dtype.is_floating:
        raise ValueError(f"Expected floating point type, got {dtype.name}")
    return dtype


class zeros_initializer(_Initializer):
    """Zeros.

    >>> zeros_initializer()([2]).numpy()
    array([0., 0.], dtype=float32)
    """

    def __call__(self, shape: Any, dtype: Any = dtypes.float32, **kwargs: Any) -> Tensor:
        """Zeros of `shape` and `dtype`."""
        return zeros(shape, _numeric(dtype))


class ones_initializer(_Initializer):
    """Ones."""

    def __call__(self, shape: Any, dtype: Any = dtypes.float32, **kwargs: Any) -> Tensor:
        """Ones of `shape` and `dtype`."""
        return ones(shape, _numeric(dtype))


class constant_initializer(_Initializer):
    """Given values.

    Args:
        value: a number, or an array or list of as many values as the shape has.
        support_partition: taken for TensorFlow's sake.
    """

    def __init__(self, value: Any = 0, support_partition: bool = False):
        self.value = value
        self.support_partition = support_partition

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        """The values as `shape`.

        Raises:
            TypeError: there are more or fewer values, and not just one.
        """
        return constant(self.value, dtype, shape)


class random_uniform_initializer(_Initializer):
    """Uniform numbers of [minval, maxval)."""

    def __init__(self, minval: Any = -0.05, maxval: Any = 0.05, seed: int | None = None):
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def __call__(self, shape: Any, dtype: Any = dtypes.float32, **kwargs: Any) -> Tensor:
        """Numbers of `shape`, floats or integers."""
        dtype = as_dtype(dtype)
        if not (dtype.is_floating or dtype.is_integer):
            raise ValueError(f"Expected float or integer dtype, got {dtype.name}")
        return random_uniform(shape, self.minval, self.maxval, dtype, self.seed)


class random_normal_initializer(_Initializer):
    """Normal numbers of a mean and standard deviation."""

    def __init__(self, mean: Any = 0.0, stddev: Any = 0.05, seed: int | None = None):
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def __call__(self, shape: Any, dtype: Any = dtypes.float32, **kwargs: Any) -> Tensor:
        """Floats of `shape`."""
        return random_normal(shape, self.mean, self.stddev, _floating(dtype), self.seed)
