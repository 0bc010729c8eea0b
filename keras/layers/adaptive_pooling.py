"""Adaptive pooling: averages and maxima over as many windows as the output is to have places.

Place i of ``size`` covers the input from ``floor(i n / size)`` to ``ceil((i + 1) n / size)``.
The axes are pooled one after the other: averages by a matrix of weights, maxima by gathering
each window's places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from .. import backend
from ..engine.layer import Layer

__all__ = [
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
]


def _windows(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """First place of each window, and the one behind its last."""
    i = np.arange(size)
    return i * length // size, -(-(i + 1) * length // size)


class _AdaptivePooling(Layer):
    """The base of all six.

    Args:
        output_size: an integer, or one for each axis.
        data_format: ``"channels_last"`` or ``"channels_first"``; Keras's default if None.
        **kwargs: see `Layer`.
    """

    _rank = 2
    _average = True

    def __init__(self, output_size: Any, data_format: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        sizes = (output_size,) * self._rank if isinstance(output_size, int) else output_size
        if not isinstance(sizes, (tuple, list)) or len(sizes) != self._rank:
            raise TypeError(
                f"`output_size` must be an integer or ({', '.join(['int'] * self._rank)}). "
                f"Received: {output_size} of type {type(output_size)}"
            )
        if any(not isinstance(n, int) or n <= 0 for n in sizes):
            raise ValueError(
                f"`output_size` must hold positive integers. Received: {output_size}"
            )
        self.output_size = tuple(sizes)
        self.data_format = data_format or backend.image_data_format()
        if self.data_format not in ("channels_first", "channels_last"):
            raise ValueError(
                f"Invalid data_format: {self.data_format}. Expected 'channels_first' or "
                "'channels_last'."
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The pooled inputs.

        Raises:
            ValueError: a size that is pooled over is not known.
        """
        first = 2 if self.data_format == "channels_first" else 1
        out = inputs
        for axis, size in enumerate(self.output_size, first):
            length = inputs.shape[axis]
            if length is None:
                raise ValueError(
                    "Adaptive pooling needs known sizes, got inputs of shape "
                    f"{inputs.shape} for layer {self.name!r}"
                )
            if length != size:
                out = (_averaged if self._average else _greatest)(out, axis, length, size)
        return out

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The shape of the outputs."""
        if self.data_format == "channels_last":
            return (input_shape[0], *self.output_size, input_shape[-1])
        return (input_shape[0], input_shape[1], *self.output_size)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "output_size": self.output_size,
            "data_format": self.data_format,
        }


def _averaged(x: Any, axis: int, length: int, size: int) -> Any:
    starts, ends = _windows(length, size)
    place = np.arange(length)[:, None]
    weights = ((place >= starts) & (place < ends)) / (ends - starts)
    weights = hr.constant(weights.astype(x.dtype.np_dtype))
    last = x.shape.rank - 1
    order = [i for i in range(last + 1) if i != axis] + [axis]
    back = [*range(axis), last, *range(axis, last)]
    return hr.transpose(hr.matmul(hr.transpose(x, order), weights), back)


def _greatest(x: Any, axis: int, length: int, size: int) -> Any:
    starts, ends = _windows(length, size)
    # Shorter windows repeat their last place, which changes no maximum.
    places = np.minimum(
        starts[:, None] + np.arange(int((ends - starts).max())), ends[:, None] - 1
    )
    return hr.reduce_max(hr.gather(x, places.astype(np.int32), axis=axis), axis=axis + 1)


class AdaptiveAveragePooling1D(_AdaptivePooling):
    """Averages over `output_size` windows of ``[batch, steps, features]``.

    Args:
        output_size: an integer.
        data_format: ``"channels_last"`` or ``"channels_first"``; Keras's default if None.
        **kwargs: see `Layer`.
    """

    _rank = 1


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """Averages over `output_size` windows of ``[batch, height, width, channels]``.

    Args:
        output_size: an integer, or two.
        data_format: ``"channels_last"`` or ``"channels_first"``; Keras's default if None.
        **kwargs: see `Layer`.
    """


class AdaptiveAveragePooling3D(_AdaptivePooling):
    """Averages over `output_size` windows of ``[batch, depth, height, width, channels]``.

    Args:
        output_size: an integer, or three.
        data_format: ``"channels_last"`` or ``"channels_first"``; Keras's default if None.
        **kwargs: see `Layer`.
    """

    _rank = 3


class AdaptiveMaxPooling1D(AdaptiveAveragePooling1D):
    """Maxima over `output_size` windows of ``[batch, steps, features]``.

    Args:
        output_size: an integer.
        data_format: ``"channels_last"`` or ``"channels_first"``; Keras's default if None.
        **kwargs: see `Layer`.
    """

    _average = False


class AdaptiveMaxPooling2D(AdaptiveAveragePooling2D):
    """Maxima over `output_size` windows of ``[batch, height, width, channels]``.

    Args:
        output_size: an integer, or two.
        data_format: ``"channels_last"`` or ``"channels_first"``; Keras's default if None.
        **kwargs: see `Layer`.
    """

    _average = False


class AdaptiveMaxPooling3D(AdaptiveAveragePooling3D):
    """Maxima over `output_size` windows of ``[batch, depth, height, width, channels]``.

    Args:
        output_size: an integer, or three.
        data_format: ``"channels_last"`` or ``"channels_first"``; Keras's default if None.
        **kwargs: see `Layer`.
    """

    _average = False
