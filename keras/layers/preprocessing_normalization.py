"""Normalization: features shifted and scaled to mean 0 and variance 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...data.dataset import Dataset
from ...ops import api as hr
from ...ops.tensor import Tensor
from .. import backend
from .preprocessing_base import DataLayer, as_tensor, is_array

__all__ = ["Normalization"]


class Normalization(DataLayer):
    """``(inputs - mean) / sqrt(variance)`` with the mean and variance of each feature.

    Args:
        axis: the axis or axes whose entries have a mean of their own; None: one mean for all.
        mean: known means; else `adapt` finds them.
        variance: known variances.
        invert: turn normalised values back.
        **kwargs: see `Layer`.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[1.0], [3.0]], np.float32))
    >>> layer(np.array([[2.0], [4.0]], np.float32)).numpy().ravel()
    array([0., 2.], dtype=float32)
    """

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.input_mean = mean
        self.input_variance = variance
        self.invert = invert
        self.supports_masking = True
        self._build_input_shape: Any = None
        self.mean: Any = None
        self.variance: Any = None
        if (mean is not None) != (variance is not None):
            raise ValueError(
                "When setting values directly, both `mean` and `variance` must be set. "
                f"Received: mean={mean} and variance={variance}"
            )
        if mean is not None and np.shape(mean) != np.shape(variance):
            raise ValueError(
                "When setting values directly, `mean` and `variance` must have the same shape. "
                f"Received: mean shape {np.shape(mean)} and variance shape {np.shape(variance)}"
            )
        if mean is not None and np.ndim(mean) > len(self.axis):
            raise ValueError(
                f"The rank of `mean` must be less than or equal to the number of axes "
                f"({len(self.axis)}). Received: mean shape {np.shape(mean)} for axis "
                f"{self.axis}"
            )

    def build(self, input_shape: Any) -> None:
        """Create mean, variance and count, or take those given."""
        if input_shape is None:
            return
        shape = tuple(input_shape)
        rank = len(shape)
        self._build_input_shape = shape
        if any(a < -rank or a >= rank for a in self.axis):
            raise ValueError(
                "All `axis` values must be in the range [-ndim, ndim). Received inputs with "
                f"ndim={rank}, while axis={self.axis}"
            )
        self._keep_axis = tuple(sorted(a % rank for a in self.axis))
        for d in self._keep_axis:
            if shape[d] is None:
                raise ValueError(
                    "All `axis` values to be kept must have a known shape. Received axis="
                    f"{self.axis}, inputs.shape={shape}, with unknown axis at index {d}"
                )
        self._reduce_axis = tuple(d for d in range(rank) if d not in self._keep_axis)
        self._broadcast_shape = [shape[d] if d in self._keep_axis else 1 for d in range(rank)]
        kept = tuple(shape[d] for d in self._keep_axis)
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(
                name="mean", shape=kept, initializer="zeros", trainable=False
            )
            self.adapt_variance = self.add_weight(
                name="variance", shape=kept, initializer="ones", trainable=False
            )
            self.count = self.add_weight(
                name="count", shape=(), dtype="int64", initializer="zeros", trainable=False
            )
        else:
            self.mean = self._spread(self.input_mean)
            self.variance = self._spread(self.input_variance)
        self.built = True
        self.finalize_state()

    def _spread(self, values: Any) -> Any:
        """Given means, aligned with the last kept axes, in the shape of the inputs."""
        values = np.asarray(values)
        shape = [1] * len(self._broadcast_shape)
        for i in range(1, values.ndim + 1):
            shape[self._keep_axis[-i]] = values.shape[-i]
        wide = np.broadcast_to(values.reshape(shape), self._broadcast_shape)
        return hr.constant(wide.astype(hr.as_dtype(self.compute_dtype).np_dtype))

    def adapt(self, data: Any) -> None:
        """Find mean and variance of `data`, batch by batch.

        Args:
            data: an array, a Dataset (of batches, or of scalars), or an iterable of batches;
                of pairs the first is taken.

        Raises:
            ValueError: there is none, or its shape is not the one the layer was built for.
        """
        if isinstance(data, Dataset):
            spec = data.element_spec
            spec = spec[0] if isinstance(spec, tuple) else spec
            if len(spec.shape) == 1:
                data = data.batch(128)
                spec = data.element_spec
                spec = spec[0] if isinstance(spec, tuple) else spec
            self._ready(tuple(spec.shape))
        elif is_array(data) and hasattr(data, "shape"):
            self._ready(tuple(data.shape))
            data = [data]
        found = _moments(self._checked(data), self._reduce_axis if self.built else None)
        self.adapt_mean.assign(found[0])
        self.adapt_variance.assign(found[1])
        self.finalize_state()

    def _ready(self, shape: tuple[int | None, ...]) -> None:
        if not self.built:
            self.build(shape)
            return
        for d in self._keep_axis:
            if shape[d] != self._build_input_shape[d]:
                raise ValueError(
                    f"The layer was built with input_shape={self._build_input_shape}, but "
                    "adapt() is being called with data with an incompatible shape, "
                    f"data.shape={shape}"
                )

    def _checked(self, data: Any) -> Iterator[np.ndarray]:
        """The batches as arrays, each checked against the shape built for."""
        empty = True
        for batch in data:
            batch = batch[0] if isinstance(batch, tuple) else batch
            if not hasattr(batch, "shape"):
                raise TypeError(
                    "adapt() expects an iterable that yields arrays or tensors with a `.shape` "
                    f"attribute. Got an element of type {type(batch).__name__}."
                )
            if not self.built:
                self._ready(tuple(batch.shape))
            array = np.asarray(batch.numpy() if isinstance(batch, Tensor) else batch)
            for d in self._keep_axis:
                if array.shape[d] != self._build_input_shape[d]:
                    raise ValueError(
                        "adapt() yielded a batch with incompatible shape. Expected "
                        f"{self._build_input_shape}, got {array.shape}."
                    )
            empty = False
            yield array
        if empty:
            raise ValueError(
                "adapt() received an empty iterable (no batches). Expected at least one batch."
            )

    def finalize_state(self) -> None:
        """Take the adapted values into use."""
        if self.input_mean is not None or not self.built:
            return
        for name, weight in (("mean", self.adapt_mean), ("variance", self.adapt_variance)):
            value = hr.reshape(weight.read_value(), self._broadcast_shape)
            setattr(self, name, hr.cast(value, self.compute_dtype))

    def load_own_variables(self, store: Any) -> None:
        """Read mean, variance and count, and take them into use."""
        super().load_own_variables(store)
        self.finalize_state()

    def _restored_from_checkpoint(self) -> None:
        self.finalize_state()

    def call(self, inputs: Any) -> Any:
        """The inputs, normalised (or, with `invert`, turned back)."""
        if self.mean is None:
            raise ValueError(
                "You must call `.build(input_shape)` on the layer before using it."
            )
        x = as_tensor(inputs, self.compute_dtype)
        floor = hr.cast(backend.epsilon(), self.compute_dtype)
        deviation = hr.maximum(hr.sqrt(self.variance), floor)
        return self.mean + x * deviation if self.invert else (x - self.mean) / deviation

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": np.array(self.input_mean).tolist(),
            "variance": np.array(self.input_variance).tolist(),
        }

    def get_build_config(self) -> dict[str, Any] | None:
        """The shape it was built for."""
        return {"input_shape": self._build_input_shape} if self._build_input_shape else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build as `get_build_config` says."""
        if config:
            self.build(config["input_shape"])


def _moments(batches: Iterator[np.ndarray], axes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over `axes` of all batches together, each batch read once.

    Sums of squares would lose digits of large means; means and variances are merged instead
    (Chan, Golub and LeVeque, 1979).
    """
    mean: Any = 0.0
    spread: Any = 0.0
    total = 0
    for batch in batches:
        over = axes if axes is not None else tuple(range(batch.ndim - 1))
        wide = (
            np.float64 if batch.dtype.kind in "iub" or batch.dtype.itemsize > 2 else np.float32
        )
        here = np.mean(batch, axis=over, dtype=wide)
        near = np.var(batch, axis=over, dtype=wide)
        count = math.prod(batch.shape[d] for d in over)
        if not count:
            continue
        total += count
        share = count / total
        moved = mean * (1 - share) + here * share
        spread = (spread + (mean - moved) ** 2) * (1 - share) + (
            near + (here - moved) ** 2
        ) * share
        mean = moved
    return np.asarray(mean, np.float32), np.asarray(spread, np.float32)
