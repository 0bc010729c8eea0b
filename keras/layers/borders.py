"""Layers that change the size of space: ZeroPadding, Cropping, UpSampling."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.image_resize import resize
from ..engine.input_spec import InputSpec
from ..engine.layer import Layer
from .convolution import formats, per_axis, with_arguments

__all__ = [
    "Cropping1D", "Cropping2D", "Cropping3D", "UpSampling1D", "UpSampling2D", "UpSampling3D",
    "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
]  # fmt: skip


def _pairs(value: Any, rank: int, name: str) -> tuple[tuple[int, int], ...]:
    """(before, after) of each axis from one number, one per axis, or a pair per axis.

    Raises:
        ValueError: it is none of these, or negative.
    """
    items: Any = value
    if hasattr(value, "__index__"):
        items = ((value, value),) * rank
    elif rank == 1:
        items = (tuple(value),)
    elif len(value) != rank:
        raise ValueError(
            f"`{name}` should have {('two', 'three')[rank - 2]} elements. Received: "
            f"{name}={value}."
        )
    else:
        items = tuple((v, v) if hasattr(v, "__index__") else tuple(v) for v in value)
    if any(len(pair) != 2 or min(pair) < 0 for pair in items):
        raise ValueError(
            f"`{name}` should be an integer, or pairs of non-negative integers (before, after) "
            f"for each axis. Received: {name}={value}."
        )
    return tuple((int(a), int(b)) for a, b in items)


class _Border(Layer):
    rank = 1
    _argument = ""

    def __init__(self, value: Any, data_format: str | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = formats(data_format)
        self._sides = _pairs(value, self.rank, self._argument)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = True

    @property
    def _start(self) -> int:
        """The first space axis."""
        return 2 if self.data_format == "channels_first" else 1

    def _value(self) -> Any:
        return self._sides[0] if self.rank == 1 else self._sides

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {**super().get_config(), self._argument: self._value()}
        if not (self.rank == 1 and self._argument == "cropping"):
            config["data_format"] = self.data_format
        return config


class _ZeroPadding(_Border):
    """Puts zeros around space.

    Args:
        padding: how many: one number, one per axis, or (before, after) of each axis.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        **kwargs: see `Layer`.
    """

    _argument = "padding"

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any):
        super().__init__(padding, data_format, **kwargs)
        self.padding = self._value()

    def call(self, inputs: Any) -> Any:
        """The inputs with their border."""
        sides = [(0, 0)] * (self.rank + 2)
        sides[self._start : self._start + self.rank] = self._sides
        return hr.pad(inputs, sides)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape with the borders added."""
        shape = list(input_shape)
        for i, (a, b) in enumerate(self._sides, self._start):
            shape[i] = None if shape[i] is None else shape[i] + a + b
        return tuple(shape)


class _Cropping(_Border):
    """Cuts the border of space off.

    Args:
        cropping: how much: one number, one per axis, or (before, after) of each axis.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        **kwargs: see `Layer`.

    Raises:
        ValueError: nothing would be left.
    """

    _argument = "cropping"

    def __init__(self, cropping: Any = 0, data_format: str | None = None, **kwargs: Any):
        super().__init__(cropping, data_format, **kwargs)
        self.cropping = self._value()

    def call(self, inputs: Any) -> Any:
        """The inputs without their border."""
        self.compute_output_shape(inputs.shape)
        where = [slice(None)] * (self.rank + 2)
        for i, (a, b) in enumerate(self._sides, self._start):
            where[i] = slice(a, -b if b else None)
        return inputs[tuple(where)]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape without the borders."""
        shape = list(input_shape)
        for i, (a, b) in enumerate(self._sides, self._start):
            shape[i] = None if shape[i] is None else shape[i] - a - b
            if shape[i] is not None and shape[i] <= 0:
                raise ValueError(
                    "Values in `cropping` argument should be smaller than the corresponding "
                    f"spatial dimension of the input. Received: input_shape="
                    f"{tuple(input_shape)}, cropping={self.cropping}"
                )
        return tuple(shape)


class ZeroPadding1D(_ZeroPadding):
    """Puts zeros around the space of ``[batch, steps, channels]``."""

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """Puts zeros around the space of ``[batch, height, width, channels]``."""

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """Puts zeros around the space of ``[batch, depth, height, width, channels]``."""

    rank = 3


class Cropping1D(_Cropping):
    """Cuts off the border of the space of ``[batch, steps, channels]``."""

    rank = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any):
        super().__init__(cropping, "channels_last", **kwargs)


class Cropping2D(_Cropping):
    """Cuts off the border of the space of ``[batch, height, width, channels]``."""

    rank = 2


class Cropping3D(_Cropping):
    """Cuts off the border of the space of ``[batch, depth, height, width, channels]``."""

    rank = 3

    def __init__(
        self,
        cropping: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(cropping, data_format, **kwargs)


# -- enlarging --------------------------------------------------------------------------------


class _UpSampling(Layer):
    """Repeats the elements of space.

    Args:
        size: how often: one number, or one per axis.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        **kwargs: see `Layer`.
    """

    rank = 3

    def __init__(self, size: Any = 2, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self._size = per_axis(size, self.rank, "size")
        self.size: Any = self._size
        self.data_format = formats(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = True

    @property
    def _start(self) -> int:
        return 2 if self.data_format == "channels_first" else 1

    def call(self, inputs: Any) -> Any:
        """The enlarged inputs."""
        for i, times in enumerate(self._size, self._start):
            if times > 1:
                inputs = hr.repeat(inputs, times, axis=i)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape with larger space axes."""
        shape = list(input_shape)
        for i, times in enumerate(self._size, self._start):
            shape[i] = None if shape[i] is None else shape[i] * times
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "size": self.size, "data_format": self.data_format}


class UpSampling1D(_UpSampling):
    """Repeats each step of ``[batch, steps, channels]``.

    Args:
        size: how often.
        **kwargs: see `Layer`.
    """

    rank = 1

    def __init__(self, size: int = 2, **kwargs: Any):
        super().__init__(size, "channels_last", **kwargs)
        self.size = self._size[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["data_format"]
        return config


class UpSampling2D(_UpSampling):
    """Enlarges images.

    Args:
        size: how many times: one number, or one per axis.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        interpolation: ``"nearest"`` repeats pixels; ``"bilinear"``, ``"bicubic"``,
            ``"lanczos3"`` and ``"lanczos5"`` are `hr.image.resize`'s methods.
        **kwargs: see `Layer`.
    """

    rank = 2

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ):
        super().__init__(size, data_format, **kwargs)
        self.interpolation = interpolation.lower()

    def call(self, inputs: Any) -> Any:
        """The enlarged inputs."""
        if self.interpolation == "nearest":
            return super().call(inputs)
        first = self.data_format == "channels_first"
        if first:
            inputs = hr.transpose(inputs, [0, 2, 3, 1])
        sizes = hr.shape(inputs)[1:3] * hr.constant(self._size)
        dtype = inputs.dtype
        out = hr.cast(resize(inputs, sizes, self.interpolation), dtype)
        if hr.is_symbolic(out):
            shape = [inputs.shape[0], None, None, inputs.shape[3]]
            for i, times in enumerate(self._size, 1):
                shape[i] = None if inputs.shape[i] is None else inputs.shape[i] * times
            out.set_shape(shape)
        return hr.transpose(out, [0, 3, 1, 2]) if first else out

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "interpolation": self.interpolation}


class UpSampling3D(_UpSampling):
    """Repeats the elements of ``[batch, depth, height, width, channels]``."""

    rank = 3


with_arguments(ZeroPadding1D, ZeroPadding2D, ZeroPadding3D, Cropping1D, Cropping2D, Cropping3D)
with_arguments(UpSampling3D)
