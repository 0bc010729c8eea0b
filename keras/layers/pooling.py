"""Pooling layers: maximum and average over windows, and over all of space."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..engine.input_spec import InputSpec
from ..engine.layer import Layer
from .convolution import FORMATS, formats, per_axis, window_count, with_arguments

__all__ = [
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "MaxPooling1D", "MaxPooling2D",
    "MaxPooling3D",
]  # fmt: skip


class _Pooling(Layer):
    """Pooling over windows, any rank.

    Args:
        pool_size: the window: one number, or one per space axis.
        strides: how far it moves, given like `pool_size`, its default.
        padding: ``"valid"`` or ``"same"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        **kwargs: see `Layer`.

    Raises:
        ValueError: an argument is out of its range, or no window fits.
    """

    rank = 2
    _call: Any = None

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.pool_size = per_axis(pool_size, self.rank, "pool_size")
        self.strides = per_axis(pool_size if strides is None else strides, self.rank, "strides")
        self.padding = str(padding).lower()
        if self.padding not in ("valid", "same"):
            raise ValueError(
                "The `padding` argument must be one of {'valid', 'same'}. Received: "
                f"padding={padding}"
            )
        self.data_format = formats(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The pooled inputs."""
        layout = FORMATS[self.rank][self.data_format == "channels_first"]
        call = type(self)._call
        return call(inputs, self.pool_size, self.strides, self.padding.upper(), layout)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape with smaller space axes."""
        shape = tuple(input_shape)
        first = self.data_format == "channels_first"
        space = [
            window_count(n, k, s, self.padding)
            for n, k, s in zip(
                shape[2:] if first else shape[1:-1], self.pool_size, self.strides, strict=True
            )
        ]
        if any(n is not None and n <= 0 for n in space):
            raise ValueError(
                "Computed output size would be zero or negative. Received: `inputs.shape="
                f"{shape}`, `pool_size={self.pool_size}`, `strides={self.strides}`, "
                f"`padding={self.padding}`."
            )
        return (*shape[:2], *space) if first else (shape[0], *space, shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }


class _GlobalPooling(Layer):
    """Pooling over all of space, any rank.

    Args:
        data_format: ``"channels_last"`` or ``"channels_first"``.
        keepdims: keep the space axes with size 1.
        **kwargs: see `Layer`.
    """

    rank = 2
    _call: Any = None

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = formats(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = True

    @property
    def _axes(self) -> list[int]:
        start = 2 if self.data_format == "channels_first" else 1
        return list(range(start, start + self.rank))

    def call(self, inputs: Any) -> Any:
        """The pooled inputs."""
        return type(self)._call(inputs, axis=self._axes, keepdims=self.keepdims)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape without space axes, or with ones there."""
        space = self._axes
        return tuple(
            1 if i in space else n
            for i, n in enumerate(input_shape)
            if self.keepdims or i not in space
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "data_format": self.data_format,
            "keepdims": self.keepdims,
        }


class MaxPooling1D(_Pooling):
    """The maximum of each window of ``[batch, steps, channels]``."""

    rank = 1
    _call = staticmethod(hr.max_pool1d)


class MaxPooling2D(_Pooling):
    """The maximum of each window of ``[batch, height, width, channels]``."""

    rank = 2
    _call = staticmethod(hr.max_pool2d)


class MaxPooling3D(_Pooling):
    """The maximum of each window of ``[batch, depth, height, width, channels]``."""

    rank = 3
    _call = staticmethod(hr.max_pool3d)


class AveragePooling1D(_Pooling):
    """The mean of each window of ``[batch, steps, channels]``."""

    rank = 1
    _call = staticmethod(hr.avg_pool1d)


class AveragePooling2D(_Pooling):
    """The mean of each window of ``[batch, height, width, channels]``."""

    rank = 2
    _call = staticmethod(hr.avg_pool2d)


class AveragePooling3D(_Pooling):
    """The mean of each window of ``[batch, depth, height, width, channels]``."""

    rank = 3
    _call = staticmethod(hr.avg_pool3d)


class GlobalMaxPooling1D(_GlobalPooling):
    """The maximum of ``[batch, steps, channels]`` over space."""

    rank = 1
    _call = staticmethod(hr.reduce_max)


class GlobalMaxPooling2D(_GlobalPooling):
    """The maximum of ``[batch, height, width, channels]`` over space."""

    rank = 2
    _call = staticmethod(hr.reduce_max)


class GlobalMaxPooling3D(_GlobalPooling):
    """The maximum of ``[batch, depth, height, width, channels]`` over space."""

    rank = 3
    _call = staticmethod(hr.reduce_max)


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of ``[batch, steps, channels]`` over space."""

    rank = 1
    _call = staticmethod(hr.reduce_mean)

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any):
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The mean over steps, over those that `mask` leaves in if there is one."""
        if mask is None:
            return super().call(inputs)
        (axis,) = self._axes
        kept = hr.expand_dims(hr.cast(mask, hr.bool), 3 - axis)
        total = hr.reduce_sum(hr.where(kept, inputs, 0), axis, self.keepdims)
        return total / hr.reduce_sum(hr.cast(kept, inputs.dtype), axis, self.keepdims)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: no steps are left."""
        return None


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of ``[batch, height, width, channels]`` over space."""

    rank = 2
    _call = staticmethod(hr.reduce_mean)


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of ``[batch, depth, height, width, channels]`` over space."""

    rank = 3
    _call = staticmethod(hr.reduce_mean)


with_arguments(
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
)
