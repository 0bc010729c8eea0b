"""Random initializers: normal, uniform, truncated normal, variance scaling, orthogonal.

Variance scaling and its six named cases: Glorot & Bengio 2010, He et al. 2015, LeCun et al.
1998; orthogonal: Saxe et al. 2014.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .initializer import RandomInitializer, finish, float_dtype

__all__ = [
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
]

# Standard deviation of a unit normal cut at +-2: what is divided out to keep the variance.
_TRUNCATED_STDDEV = 0.87962566103423978


def _draw_dtype(dtype: Any) -> Any:
    """The type to draw in: NumPy's generators know float32 and float64."""
    return np.float64 if dtype.np_dtype == np.float64 else np.float32


def _truncated(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: Any
) -> np.ndarray:
    """Unit normal values, those beyond two standard deviations drawn again."""
    values = generator.standard_normal(shape, dtype)
    flat = values.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > 2)
    while outside.size:
        flat[outside] = generator.standard_normal(outside.size, dtype)
        outside = outside[np.abs(flat[outside]) > 2]
    return values


class RandomNormal(RandomInitializer):
    """Values from a normal distribution.

    Args:
        mean: of the distribution.
        stddev: standard deviation of the distribution.
        seed: Python int for repeatable values.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Normal values of `shape`."""
        dtype = float_dtype(dtype, "RandomNormal")
        values = self._generator().standard_normal(tuple(shape), _draw_dtype(dtype))
        return finish(values * self.stddev + self.mean, dtype)

    def get_config(self) -> dict[str, Any]:
        """Seed, mean and standard deviation."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normal values; those beyond two standard deviations are drawn again."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Truncated normal values of `shape`."""
        dtype = float_dtype(dtype, "TruncatedNormal")
        values = _truncated(self._generator(), tuple(shape), _draw_dtype(dtype))
        return finish(values * self.stddev + self.mean, dtype)


class RandomUniform(RandomInitializer):
    """Values evenly spread over ``[minval, maxval)``.

    Args:
        minval: lower end, included.
        maxval: upper end, excluded.
        seed: Python int for repeatable values.
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Uniform values of `shape`."""
        dtype = float_dtype(dtype, "RandomUniform")
        values = self._generator().random(tuple(shape), _draw_dtype(dtype))
        return finish(values * (self.maxval - self.minval) + self.minval, dtype)

    def get_config(self) -> dict[str, Any]:
        """Seed and both ends."""
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RandomInitializer):
    """Values whose variance is `scale` divided by the number of connections.

    Args:
        scale: positive factor of the variance.
        mode: the number divided by: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``.
        distribution: ``"truncated_normal"``, ``"untruncated_normal"`` or ``"uniform"``.
        seed: Python int for repeatable values.
        input_axes: the axes counted as inputs, where the shape's last but one is not it.
        output_axes: the axes counted as outputs, where the shape's last is not it.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ):
        if scale <= 0.0:
            raise ValueError(
                f"Argument `scale` must be positive float. Received: scale={scale}"
            )
        allowed_modes = {"fan_in", "fan_out", "fan_avg"}
        if mode not in allowed_modes:
            raise ValueError(
                f"Invalid `mode` argument: {mode}. Please use one of {sorted(allowed_modes)}"
            )
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        allowed = {"uniform", "truncated_normal", "untruncated_normal"}
        if distribution not in allowed:
            raise ValueError(
                f"Invalid `distribution` argument: {distribution}. "
                f"Please use one of {sorted(allowed)}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Values of `shape`, scaled by its fans."""
        dtype = float_dtype(dtype, type(self).__name__)
        shape = tuple(shape)
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
        variance = self.scale / max(1.0, fan[self.mode])
        generator, draw = self._generator(), _draw_dtype(dtype)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            values = generator.random(shape, draw) * (2 * limit) - limit
        elif self.distribution == "truncated_normal":
            stddev = math.sqrt(variance) / _TRUNCATED_STDDEV
            values = _truncated(generator, shape, draw) * stddev
        else:
            values = generator.standard_normal(shape, draw) * math.sqrt(variance)
        return finish(values, dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _NamedScaling(VarianceScaling):
    """A `VarianceScaling` with scale, mode and distribution fixed by its name."""

    _fixed: tuple[float, str, str]

    def __init__(
        self, seed: int | None = None, input_axes: Any = None, output_axes: Any = None
    ):
        super().__init__(
            *self._fixed, seed=seed, input_axes=input_axes, output_axes=output_axes
        )

    def get_config(self) -> dict[str, Any]:
        """Seed and axes; the rest follows from the name."""
        return {
            "seed": self._init_seed,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class GlorotUniform(_NamedScaling):
    """Uniform values, variance ``2 / (fan_in + fan_out)`` (Xavier).

    >>> GlorotUniform(seed=1)((3, 2)).shape
    TensorShape([3, 2])
    """

    _fixed = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal values, variance ``2 / (fan_in + fan_out)`` (Xavier)."""

    _fixed = (1.0, "fan_avg", "truncated_normal")


class LecunNormal(_NamedScaling):
    """Truncated normal values, variance ``1 / fan_in``."""

    _fixed = (1.0, "fan_in", "truncated_normal")


class LecunUniform(_NamedScaling):
    """Uniform values, variance ``1 / fan_in``."""

    _fixed = (1.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal values, variance ``2 / fan_in``."""

    _fixed = (2.0, "fan_in", "truncated_normal")


class HeUniform(_NamedScaling):
    """Uniform values, variance ``2 / fan_in``."""

    _fixed = (2.0, "fan_in", "uniform")


class Orthogonal(RandomInitializer):
    """Rows or columns that are orthonormal, times `gain`.

    Shapes of more than two axes are taken as ``(product of all but the last, last)``.

    Args:
        gain: factor of the matrix.
        seed: Python int for repeatable values.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        self.gain = gain
        super().__init__(seed=seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """An orthogonal matrix of `shape`; raises ValueError for fewer than two axes."""
        shape = tuple(shape)
        if len(shape) < 2:
            raise ValueError(
                "The tensor to initialize must be at least two-dimensional. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        dtype = float_dtype(dtype, "Orthogonal")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        flat = self._generator().standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(flat)
        # The signs of R's diagonal make the distribution uniform over orthogonal matrices.
        q = q * np.sign(np.diag(r))
        if rows < columns:
            q = q.T
        return finish(self.gain * np.ascontiguousarray(q).reshape(shape), dtype)

    def get_config(self) -> dict[str, Any]:
        """Seed and gain."""
        return {**super().get_config(), "gain": self.gain}


def compute_fans(
    shape: tuple[int, ...], input_axes: Any = None, output_axes: Any = None
) -> tuple[int, int]:
    """``(fan_in, fan_out)``: connections into and out of a unit of a weight of `shape`.

    Without axes: a matrix is ``[in, out]``, a convolution's kernel ``[*sizes, in, out]``.
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[i] for i in input_axes), math.prod(shape[i] for i in output_axes)
    if len(shape) < 1:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    receptive = math.prod(shape[:-2])
    return shape[-2] * receptive, shape[-1] * receptive
