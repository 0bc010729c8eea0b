"""Conv1DTranspose, Conv2DTranspose, Conv3DTranspose: the transposes of convolutions."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .. import constraints, initializers, regularizers
from .convolution import Windowed, check_filters, per_axis, with_arguments

__all__ = ["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"]


def transposed_size(
    n: int, kernel: int, stride: int, padding: str, extra: int | None, dilation: int
) -> int:
    """The output size, as Keras defines it for a padding name and an output padding."""
    kernel = (kernel - 1) * dilation + 1
    if padding == "valid":
        more = max(kernel, stride) - kernel if extra is None else extra
        return (n - 1) * stride + kernel + more
    return n * stride if extra is None else (n - 1) * stride + kernel % 2 + extra


class _ConvTranspose(Windowed):
    """Transposed convolution of any rank.

    Args:
        filters: number of output channels.
        kernel_size: the window: one number, or one per space axis.
        strides: how many outputs lie between two inputs, given like `kernel_size`.
        padding: ``"valid"`` or ``"same"``.
        output_padding: how much to add to the output's size, less than the strides.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        dilation_rate: steps between a window's elements, given like `kernel_size`.
        activation: function or its name.
        use_bias: whether to add a bias.
        kernel_initializer: of the ``[*kernel_size, filters, channels]`` kernel.
        bias_initializer: of the ``[filters]`` bias.
        kernel_regularizer: penalty on the kernel.
        bias_regularizer: penalty on the bias.
        activity_regularizer: penalty on the output.
        kernel_constraint: projection of the kernel.
        bias_constraint: projection of the bias.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = per_axis(output_padding, self.rank, "output_padding", 0)
            if any(o >= s for o, s in zip(self.output_padding, self.strides, strict=True)):
                raise ValueError(
                    "The `output_padding` argument must be smaller than the strides. Received: "
                    f"output_padding={output_padding}, strides={self.strides}"
                )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def build(self, input_shape: Any) -> None:
        """Create kernel and bias for inputs whose channels are known."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, self.filters, self._channels(input_shape)),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self._add_bias(self.filters)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The outputs, ``[batch, *space, filters]`` in the layer's format."""
        static = self.compute_output_shape(inputs.shape)
        sizes: Any = static
        if None in static:
            space = self._transposed_space(hr.unstack(hr.shape(inputs), num=self.rank + 2))
            sizes = hr.stack(self._arranged(hr.shape(inputs)[0], space, self.filters))
        outputs = hr.conv_transpose(
            inputs,
            hr.cast(self.kernel, self.compute_dtype),
            sizes,
            self.strides,
            self.padding.upper(),
            self._format,
            self.dilation_rate,
        )
        if hr.is_symbolic(outputs):
            outputs.set_shape(static)
        return self._finish(outputs)

    def _transposed_space(self, shape: Any) -> list[Any]:
        extra = self.output_padding or (None,) * self.rank
        return [
            None if n is None else transposed_size(n, k, s, self.padding, o, d)
            for n, k, s, o, d in zip(
                self._space(shape),
                self.kernel_size,
                self.strides,
                extra,
                self.dilation_rate,
                strict=True,
            )
        ]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(batch, *space, filters)`` in the layer's format."""
        shape = tuple(input_shape)
        return self._arranged(shape[0], self._transposed_space(shape), self.filters)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **self._window_config(),
            "filters": self.filters,
            "output_padding": self.output_padding,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
        }


class Conv1DTranspose(_ConvTranspose):
    """Transposed convolution of ``[batch, steps, channels]``."""

    rank = 1


class Conv2DTranspose(_ConvTranspose):
    """Transposed convolution of ``[batch, height, width, channels]``."""

    rank = 2


class Conv3DTranspose(_ConvTranspose):
    """Transposed convolution of ``[batch, depth, height, width, channels]``."""

    rank = 3


with_arguments(Conv1DTranspose, Conv2DTranspose, Conv3DTranspose)
