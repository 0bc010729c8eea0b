"""Conv1D, Conv2D, Conv3D: convolution, a bias, an activation.

What layers over windows have in common (`Windowed`: arguments of one number or one per space
axis, formats, output sizes) is here too; transposes and depthwise layers build on it.
"""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.conv_primitives import ConvolutionBiasActivation
from .. import activations, backend, constraints, initializers, regularizers
from ..engine.input_spec import InputSpec
from ..engine.layer import Layer

__all__ = ["Conv1D", "Conv2D", "Conv3D", "Windowed", "formats", "per_axis", "window_count",
           "with_arguments"]  # fmt: skip

FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}


def per_axis(value: Any, rank: int, name: str, least: int = 1) -> tuple[int, ...]:
    """`value` as one integer per space axis.

    Raises:
        ValueError: it has another length, or one of them is smaller than `least`.
    """
    items = tuple(value) if hasattr(value, "__iter__") else (value,) * rank
    if len(items) != rank or not all(hasattr(v, "__index__") for v in items):
        raise ValueError(
            f"The `{name}` argument must be a tuple of {rank} integers. Received {name}={value}"
        )
    if any(v < least for v in items):
        raise ValueError(
            f"The `{name}` argument must be a tuple of {rank} integers, each at least {least}. "
            f"Received {name}={value}"
        )
    return tuple(int(v) for v in items)


def formats(data_format: str | None) -> str:
    """`data_format`, or the configured one.

    Raises:
        ValueError: it is not known.
    """
    found = data_format or backend.image_data_format()
    if found not in ("channels_first", "channels_last"):
        raise ValueError(
            'The `data_format` argument must be one of {"channels_first", "channels_last"}. '
            f"Received: data_format={data_format}"
        )
    return found


def window_count(n: int | None, size: int, stride: int, padding: str) -> int | None:
    """How many windows of `size` fit in `n`."""
    if n is None:
        return None
    if padding in ("same", "causal"):
        return -(-n // stride)
    return (n - size) // stride + 1


class Windowed(Layer):
    """A layer with a kernel that moves over `rank` space axes, a bias and an activation."""

    rank = 2
    _paddings: tuple[str, ...] = ("valid", "same")

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        bias_constraint: Any,
        activity_regularizer: Any,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        rank = self.rank
        self.kernel_size = per_axis(kernel_size, rank, "kernel_size")
        self.strides = per_axis(strides, rank, "strides")
        self.dilation_rate = per_axis(dilation_rate, rank, "dilation_rate")
        self.padding = str(padding).lower()
        if self.padding not in self._paddings:
            raise ValueError(
                f"The `padding` argument must be one of {set(self._paddings)}. Received: "
                f"{padding}"
            )
        self.data_format = formats(data_format)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=rank + 2)
        self.bias: Any = None
        if self.padding == "causal" and self.data_format != "channels_last":
            raise ValueError("Causal padding is only supported for `channels_last` data.")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. "
                f"Received: strides={self.strides} and dilation_rate={self.dilation_rate}"
            )

    @property
    def _format(self) -> str:
        return FORMATS[self.rank][self.data_format == "channels_first"]

    @property
    def _channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else -1

    def _channels(self, input_shape: Any) -> int:
        """Channels of the input.

        Raises:
            ValueError: they are not known.
        """
        found = input_shape[self._channel_axis]
        if found is None:
            raise ValueError(
                "The channel dimension of the inputs should be defined. The input_shape "
                f"received is {tuple(input_shape)}, where axis {self._channel_axis} "
                "(0-based) is the channel dimension, which found to be `None`."
            )
        self.input_spec = InputSpec(min_ndim=self.rank + 2, axes={self._channel_axis: found})
        return int(found)

    def _add_bias(self, size: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(size,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _finish(self, outputs: Any) -> Any:
        """Bias and activation."""
        if self.bias is not None:
            bias = hr.cast(self.bias, self.compute_dtype)
            outputs = hr.bias_add(outputs, bias, self._format)
        return self.activation(outputs)

    def _space(self, input_shape: Any) -> tuple[int | None, ...]:
        shape = tuple(input_shape)
        return shape[2:] if self.data_format == "channels_first" else shape[1:-1]

    def _arranged(self, batch: Any, space: Any, channels: int) -> tuple[int | None, ...]:
        if self.data_format == "channels_first":
            return (batch, channels, *space)
        return (batch, *space, channels)

    def _output_shape(self, input_shape: Any, channels: int) -> tuple[int | None, ...]:
        """The shape of a convolution's output.

        Raises:
            ValueError: no window fits.
        """
        space = [
            window_count(n, (k - 1) * d + 1, s, self.padding)
            for n, k, s, d in zip(
                self._space(input_shape),
                self.kernel_size,
                self.strides,
                self.dilation_rate,
                strict=True,
            )
        ]
        if any(n is not None and n <= 0 for n in space):
            raise ValueError(
                "Computed output size would be zero or negative. Received `inputs shape="
                f"{tuple(input_shape)}`, `kernel size={self.kernel_size}`, `dilation_rate="
                f"{self.dilation_rate}`, `strides={self.strides}`, `padding={self.padding}`."
            )
        return self._arranged(input_shape[0], space, channels)

    def _window_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
        }


def with_arguments(*layers: type) -> None:
    """Completes the layers' docstrings by what their base's tells from ``Args:`` on."""
    for layer in layers:
        _, found, rest = (layer.__mro__[1].__doc__ or "").partition("\n\n    Args:")
        layer.__doc__ = (layer.__doc__ or "") + found + rest


def check_filters(filters: Any) -> int:
    """`filters`, a positive number.

    Raises:
        ValueError: it is none.
    """
    if filters is None or filters <= 0:
        raise ValueError(
            "Invalid value for argument `filters`. Expected a strictly positive value. "
            f"Received filters={filters}."
        )
    return int(filters)


class _Conv(Windowed):
    """Convolution of any rank.

    Args:
        filters: number of output channels.
        kernel_size: the window: one number, or one per space axis.
        strides: how far the window moves, given like `kernel_size`.
        padding: ``"valid"`` or ``"same"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        dilation_rate: steps between a window's elements, given like `kernel_size`.
        groups: the channels are split in as many groups, each with filters of its own.
        activation: function or its name.
        use_bias: whether to add a bias.
        kernel_initializer: of the ``[*kernel_size, channels / groups, filters]`` kernel.
        bias_initializer: of the ``[filters]`` bias.
        kernel_regularizer: penalty on the kernel.
        bias_regularizer: penalty on the bias.
        activity_regularizer: penalty on the output.
        kernel_constraint: projection of the kernel.
        bias_constraint: projection of the bias.
        **kwargs: see `Layer`.

    Raises:
        ValueError: an argument is out of its range, or channels do not split into groups.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, bias_regularizer, bias_constraint, activity_regularizer, **kwargs,
        )  # fmt: skip
        self.filters = check_filters(filters)
        self.groups = groups
        if groups <= 0:
            raise ValueError(
                f"The number of groups must be a positive integer. Received: groups={groups}."
            )
        if self.filters % groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of groups. "
                f"Received: groups={groups}, filters={filters}."
            )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def build(self, input_shape: Any) -> None:
        """Create kernel and bias for inputs whose channels are known."""
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number of "
                f"groups. Received groups={self.groups}, but the input has {channels} channels "
                f"(full input shape is {tuple(input_shape)})."
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels // self.groups, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self._add_bias(self.filters)
        self.built = True
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        """The outputs, ``[batch, *space, filters]`` in the layer's format."""
        kernel = hr.cast(self.kernel, self.compute_dtype)
        padding = self.padding.upper()
        if padding == "CAUSAL":
            reach = (self.kernel_size[0] - 1) * self.dilation_rate[0]
            inputs, padding = hr.pad(inputs, [[0, 0], [reach, 0], [0, 0]]), "VALID"
        relu = self.activation is activations.relu
        if (relu or self.activation is activations.linear) and self._fusable():
            bias = hr.cast(self.bias, self.compute_dtype)
            return ConvolutionBiasActivation(
                inputs,
                kernel,
                bias,
                relu=relu,
                strides=(1, *self.strides, 1),
                padding=padding,
                explicit_paddings=(),
                data_format="NHWC",
                dilations=(1, *self.dilation_rate, 1),
            )
        return self._finish(
            hr.convolution(
                inputs, kernel, self.strides, padding, self._format, self.dilation_rate
            )
        )

    def _fusable(self) -> bool:
        """Whether convolution, bias and relu can be one operation."""
        return self.rank == 2 and self.bias is not None and self.data_format == "channels_last"

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(batch, *space, filters)`` in the layer's format."""
        return self._output_shape(input_shape, self.filters)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **self._window_config(),
            "filters": self.filters,
            "groups": self.groups,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
        }


class Conv1D(_Conv):
    """Convolution of ``[batch, steps, channels]``; `padding` may also be ``"causal"``: then no
    output depends on a later input."""

    rank = 1
    _paddings = ("valid", "same", "causal")


class Conv2D(_Conv):
    """Convolution of ``[batch, height, width, channels]``."""

    rank = 2


class Conv3D(_Conv):
    """Convolution of ``[batch, depth, height, width, channels]``."""

    rank = 3


with_arguments(Conv1D, Conv2D, Conv3D)
