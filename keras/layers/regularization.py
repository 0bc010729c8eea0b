"""Layers that act in training only: dropout in its forms, noise; and a penalty on activity.

Each draw is a pure function of the layer's seed and a counter (`keras.random`).
"""

from __future__ import annotations

import math
from typing import Any

from ...ops import api as hr
from .. import backend
from ..engine.input_spec import InputSpec
from ..engine.layer import Layer
from ..random import SeedGenerator
from ..regularizers import L1L2

__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


class _Random(Layer):
    """A layer with a seed whose output has its input's shape."""

    def __init__(self, strength: float, seed: int | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        if strength > 0:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape."""
        return tuple(input_shape)

    def _normal(self, like: Any, mean: float, stddev: float) -> Any:
        seed = self.seed_generator.next()
        return hr.stateless_normal(
            hr.shape(like), seed, mean=mean, stddev=stddev, dtype=like.dtype
        )

    def _kept(self, inputs: Any, rate: float, noise_shape: Any) -> Any:
        """Booleans, True with probability ``1 - rate``, of the inputs' or the noise shape."""
        draws = hr.stateless_uniform(_concrete(inputs, noise_shape), self.seed_generator.next())
        return draws >= rate


def _concrete(inputs: Any, noise_shape: Any) -> Any:
    """`noise_shape` with None sizes taken from the inputs."""
    if noise_shape is None:
        return hr.shape(inputs)
    sizes = hr.shape(inputs)
    return hr.stack([sizes[i] if d is None else d for i, d in enumerate(noise_shape)])


def _rate(rate: float) -> float:
    if not 0 <= rate <= 1:
        raise ValueError(
            "Invalid value received for argument `rate`. Expected a float value between 0 and "
            f"1. Received: rate={rate}"
        )
    return rate


class Dropout(_Random):
    """In training, zeros a share of the inputs and scales the rest by ``1 / (1 - rate)``.

    Args:
        rate: share to zero, in [0, 1].
        noise_shape: shape of the choice, broadcast to the inputs; None sizes are the inputs'.
        seed: Python int for repeatable choices.
        **kwargs: see `Layer`.
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(_rate(rate), seed, **kwargs)
        self.rate = rate
        self.noise_shape = _noise_shape(noise_shape)

    def call(self, inputs: Any, training: Any = False) -> Any:
        """The inputs, some of them dropped in training."""
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return hr.zeros_like(inputs)
        kept = self._kept(inputs, self.rate, self._shape_of_noise(inputs))
        factor = hr.cast(1.0 / (1.0 - self.rate), inputs.dtype)
        return inputs * (hr.cast(kept, inputs.dtype) * factor)

    def _shape_of_noise(self, inputs: Any) -> Any:
        return self.noise_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }


def _noise_shape(noise_shape: Any) -> tuple[int | None, ...] | None:
    """`noise_shape` as a tuple.

    Raises:
        ValueError: it isn't made of positive integers and None.
    """
    if noise_shape is None:
        return None
    if isinstance(noise_shape, str) or not hasattr(noise_shape, "__iter__"):
        raise ValueError(
            "Invalid value received for argument `noise_shape`. Expected a tuple or list of "
            f"integers. Received: noise_shape={noise_shape}"
        )
    for i, size in enumerate(noise_shape):
        if size is not None and (not isinstance(size, int) or size <= 0):
            raise ValueError(
                "Invalid value received for argument `noise_shape`. Expected all dimensions "
                f"to be positive integers or None. Received at index {i}: {size}"
            )
    return tuple(noise_shape)


class _SpatialDropout(Dropout):
    """Dropout of whole feature maps."""

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None
    ):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype}


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole features of ``[batch, time, features]``."""

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None
    ):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.input_spec = InputSpec(ndim=3)

    def _shape_of_noise(self, inputs: Any) -> Any:
        return (None, 1, None)


class _SpatialDropoutND(_SpatialDropout):
    """Dropout of whole channels of images or volumes."""

    _axes: int

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = data_format or backend.image_data_format()
        if self.data_format not in ("channels_first", "channels_last"):
            raise ValueError(
                'The `data_format` argument must be one of "channels_first", '
                f'"channels_last". Received: {data_format}'
            )
        self.input_spec = InputSpec(ndim=self._axes + 2)

    def _shape_of_noise(self, inputs: Any) -> Any:
        ones = (1,) * self._axes
        last = self.data_format == "channels_last"
        return (None, *ones, None) if last else (None, None, *ones)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "data_format": self.data_format}


class SpatialDropout2D(_SpatialDropoutND):
    """Dropout of whole channels of ``[batch, height, width, channels]``."""

    _axes = 2


class SpatialDropout3D(_SpatialDropoutND):
    """Dropout of whole channels of ``[batch, depth, height, width, channels]``."""

    _axes = 3


class GaussianDropout(_Random):
    """In training, multiplies by normal noise of mean 1 and variance ``rate / (1 - rate)``.

    Args:
        rate: strength, in [0, 1].
        seed: Python int for repeatable noise.
        **kwargs: see `Layer`.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(_rate(rate), seed, **kwargs)
        self.rate = rate

    def call(self, inputs: Any, training: Any = False) -> Any:
        """The inputs, times noise in training."""
        if not training or self.rate == 0:
            return inputs
        return inputs * self._normal(inputs, 1.0, math.sqrt(self.rate / (1.0 - self.rate)))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class GaussianNoise(_Random):
    """In training, adds normal noise of mean 0.

    Args:
        stddev: of the noise.
        seed: Python int for repeatable noise.
        **kwargs: see `Layer`.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any):
        if not 0 <= stddev <= 1:
            raise ValueError(
                "Invalid value received for argument `stddev`. Expected a float value between "
                f"0 and 1. Received: stddev={stddev}"
            )
        super().__init__(stddev, seed, **kwargs)
        self.stddev = stddev

    def call(self, inputs: Any, training: Any = False) -> Any:
        """The inputs, plus noise in training."""
        if not training or self.stddev == 0:
            return inputs
        return inputs + self._normal(inputs, 0.0, self.stddev)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


# What SELU gives far below 0 (Klambauer et al. 2017).
_SELU_FLOOR = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946


class AlphaDropout(_Random):
    """Dropout that keeps mean and variance of SELU activations.

    Args:
        rate: share to drop, in [0, 1].
        noise_shape: shape of the choice, broadcast to the inputs.
        seed: Python int for repeatable choices.
        **kwargs: see `Layer`.
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(_rate(rate), seed, **kwargs)
        self.rate = rate
        self.noise_shape = noise_shape

    def call(self, inputs: Any, training: Any = False) -> Any:
        """The inputs, some of them at SELU's floor in training."""
        if not training or self.rate == 0:
            return inputs
        kept = hr.cast(self._kept(inputs, self.rate, self.noise_shape), inputs.dtype)
        a = ((1 - self.rate) * (1 + self.rate * _SELU_FLOOR**2)) ** -0.5
        b = -a * _SELU_FLOOR * self.rate
        return a * (inputs * kept + _SELU_FLOOR * (1.0 - kept)) + b

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }


class ActivityRegularization(Layer):
    """Passes its input on and adds a penalty on it to the loss.

    Args:
        l1: factor of the absolute values.
        l2: factor of the squares.
        **kwargs: see `Layer`.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any):
        super().__init__(activity_regularizer=L1L2(l1=l1, l2=l2), **kwargs)
        self.supports_masking = True
        self.l1 = l1
        self.l2 = l2
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return {**config, "l1": self.l1, "l2": self.l2}
