"""DepthwiseConv1D/2D, each channel convolved by filters of its own, and SeparableConv1D/2D,
which mix the channels afterwards.
"""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .. import constraints, initializers, regularizers
from .convolution import Windowed, check_filters, with_arguments

__all__ = ["DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"]


class _Depthwise(Windowed):
    """What both families share: the depthwise kernel and its convolution."""

    def __init__(
        self,
        depth_multiplier: int,
        depthwise_initializer: Any,
        depthwise_regularizer: Any,
        depthwise_constraint: Any,
        *args: Any,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        if depth_multiplier is None or depth_multiplier <= 0:
            raise ValueError(
                "Invalid value for argument `depth_multiplier`. Expected a strictly positive "
                f"value. Received depth_multiplier={depth_multiplier}."
            )
        self.depth_multiplier = depth_multiplier
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def _add_depthwise(self, channels: int, name: str) -> Any:
        return self.add_weight(
            name=name,
            shape=(*self.kernel_size, channels, self.depth_multiplier),
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )

    def _depthwise(self, inputs: Any, kernel: Any) -> Any:
        """The depthwise convolution; one space axis is two, the first of size 1."""
        kernel = hr.cast(kernel, self.compute_dtype)
        strides, dilations = self.strides, self.dilation_rate
        axis = 2 if self.data_format == "channels_first" else 1
        padding = self.padding.upper()
        if self.rank == 1:
            if padding == "CAUSAL":
                reach = (self.kernel_size[0] - 1) * dilations[0]
                inputs, padding = hr.pad(inputs, [[0, 0], [reach, 0], [0, 0]]), "VALID"
            inputs, kernel = hr.expand_dims(inputs, axis), hr.expand_dims(kernel, 0)
            strides, dilations = (1, *strides), (1, *dilations)
        layout = "NCHW" if axis == 2 else "NHWC"
        out = hr.depthwise_conv2d(inputs, kernel, strides, padding, layout, dilations)
        return hr.squeeze(out, [axis]) if self.rank == 1 else out

    def _depthwise_config(self) -> dict[str, Any]:
        return {
            **self._window_config(),
            "depth_multiplier": self.depth_multiplier,
            "depthwise_initializer": initializers.serialize(self.depthwise_initializer),
            "depthwise_regularizer": regularizers.serialize(self.depthwise_regularizer),
            "depthwise_constraint": constraints.serialize(self.depthwise_constraint),
        }


class _DepthwiseConv(_Depthwise):
    """Depthwise convolution of any rank.

    Args:
        kernel_size: the window: one number, or one per space axis.
        strides: how far the window moves, given like `kernel_size`.
        padding: ``"valid"`` or ``"same"``.
        depth_multiplier: filters per channel.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        dilation_rate: steps between a window's elements, given like `kernel_size`.
        activation: function or its name.
        use_bias: whether to add a bias.
        depthwise_initializer: of the ``[*kernel_size, channels, depth_multiplier]`` kernel.
        bias_initializer: of the bias.
        depthwise_regularizer: penalty on the kernel.
        bias_regularizer: penalty on the bias.
        activity_regularizer: penalty on the output.
        depthwise_constraint: projection of the kernel.
        bias_constraint: projection of the bias.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            depth_multiplier, depthwise_initializer, depthwise_regularizer,
            depthwise_constraint, kernel_size, strides, padding, data_format, dilation_rate,
            activation, use_bias, bias_initializer, bias_regularizer, bias_constraint,
            activity_regularizer, **kwargs,
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        """Create kernel and bias for inputs whose channels are known."""
        channels = self._channels(input_shape)
        self.kernel = self._add_depthwise(channels, "kernel")
        self._add_bias(channels * self.depth_multiplier)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The outputs, ``[batch, *space, channels * depth_multiplier]``."""
        return self._finish(self._depthwise(inputs, self.kernel))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(batch, *space, channels * depth_multiplier)`` in the layer's format."""
        channels = tuple(input_shape)[self._channel_axis]
        return self._output_shape(input_shape, channels * self.depth_multiplier)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return self._depthwise_config()


class _SeparableConv(_Depthwise):
    """Separable convolution of any rank.

    Args:
        filters: number of output channels.
        kernel_size: the window: one number, or one per space axis.
        strides: how far the window moves, given like `kernel_size`.
        padding: ``"valid"`` or ``"same"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        dilation_rate: steps between a window's elements, given like `kernel_size`.
        depth_multiplier: depthwise filters per channel.
        activation: function or its name.
        use_bias: whether to add a bias.
        depthwise_initializer: of the ``[*kernel_size, channels, depth_multiplier]`` kernel.
        pointwise_initializer: of the ``[*1, channels * depth_multiplier, filters]`` kernel.
        bias_initializer: of the ``[filters]`` bias.
        depthwise_regularizer: penalty on the first kernel.
        pointwise_regularizer: penalty on the second kernel.
        bias_regularizer: penalty on the bias.
        activity_regularizer: penalty on the output.
        depthwise_constraint: projection of the first kernel.
        pointwise_constraint: projection of the second kernel.
        bias_constraint: projection of the bias.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            depth_multiplier, depthwise_initializer, depthwise_regularizer,
            depthwise_constraint, kernel_size, strides, padding, data_format, dilation_rate,
            activation, use_bias, bias_initializer, bias_regularizer, bias_constraint,
            activity_regularizer, **kwargs,
        )  # fmt: skip
        self.filters = check_filters(filters)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Any) -> None:
        """Create kernels and bias for inputs whose channels are known."""
        channels = self._channels(input_shape)
        self.depthwise_kernel = self._add_depthwise(channels, "depthwise_kernel")
        self.pointwise_kernel = self.add_weight(
            name="pointwise_kernel",
            shape=(*(1,) * self.rank, channels * self.depth_multiplier, self.filters),
            initializer=self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        self._add_bias(self.filters)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The outputs, ``[batch, *space, filters]``."""
        deep = self._depthwise(inputs, self.depthwise_kernel)
        mixing = hr.cast(self.pointwise_kernel, self.compute_dtype)
        return self._finish(hr.convolution(deep, mixing, None, "VALID", self._format))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(batch, *space, filters)`` in the layer's format."""
        return self._output_shape(input_shape, self.filters)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **self._depthwise_config(),
            "filters": self.filters,
            "pointwise_initializer": initializers.serialize(self.pointwise_initializer),
            "pointwise_regularizer": regularizers.serialize(self.pointwise_regularizer),
            "pointwise_constraint": constraints.serialize(self.pointwise_constraint),
        }


class DepthwiseConv1D(_DepthwiseConv):
    """Convolution of ``[batch, steps, channels]``, each channel with filters of its
    own: ``channels * depth_multiplier`` channels come out."""

    rank = 1


class DepthwiseConv2D(_DepthwiseConv):
    """Convolution of ``[batch, height, width, channels]``, each channel with filters of its
    own: ``channels * depth_multiplier`` channels come out."""

    rank = 2


class SeparableConv1D(_SeparableConv):
    """Depthwise convolution of ``[batch, steps, channels]``, then a 1x1 convolution
    that mixes the channels."""

    rank = 1
    _paddings = ("valid", "same", "causal")


class SeparableConv2D(_SeparableConv):
    """Depthwise convolution of ``[batch, height, width, channels]``, then a 1x1 convolution
    that mixes the channels."""

    rank = 2


with_arguments(DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D)
