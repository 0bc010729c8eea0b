"""ConvLSTM1D, 2D, 3D: an LSTM whose products are convolutions (Shi et al. 2015).

The input and the state are each convolved once per step, for all four gates together; where
dropout gives every gate its own masks, four times.
"""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .. import activations
from ..engine.input_spec import InputSpec
from .convolution import FORMATS, check_filters, formats, per_axis, window_count, with_arguments
from .recurrent import RNN
from .recurrent_cells import DropoutCell, weight_arguments

__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"]


class ConvLSTMCell(DropoutCell):
    """A step of the layers; gates in the order i, f, c, o.

    Args:
        rank: number of space axes.
        filters: channels of output and states.
        kernel_size, strides, padding, data_format, dilation_rate: of the convolution of the
            inputs, see `Conv2D`; that of the state keeps its size.
        activation, recurrent_activation, use_bias, weights: as of `LSTMCell`.
        unit_forget_bias: whether the forget gate's bias begins at 1.
        dropout, recurrent_dropout, seed: as of `LSTMCell`.
        **kwargs: see `Layer`.
    """

    gates = 4

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        recurrent_activation: Any,
        use_bias: bool,
        weights: dict[str, Any],
        unit_forget_bias: bool,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        **kwargs: Any,
    ):
        filters = check_filters(filters)
        super().__init__(
            filters, weights, activation, use_bias, dropout, recurrent_dropout, seed, **kwargs
        )
        self.rank, self.filters = rank, filters
        self.kernel_size = per_axis(kernel_size, rank, "kernel_size")
        self.strides = per_axis(strides, rank, "strides")
        self.dilation_rate = per_axis(dilation_rate, rank, "dilation_rate")
        self.padding = str(padding).lower()
        if self.padding not in ("valid", "same"):
            raise ValueError(
                f"The `padding` argument must be 'valid' or 'same'. Received: {padding}"
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "Specifying `strides > 1` is not compatible with `dilation_rate > 1`. Please "
                "provide `strides=1` or `dilation_rate=1`. Received: "
                f"strides={self.strides} and dilation_rate={self.dilation_rate}"
            )
        self.data_format = formats(data_format)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = -1  # images, whose sizes `build` learns
        self.masks_per_gate = True

    @property
    def _first(self) -> bool:
        return self.data_format == "channels_first"

    def build(self, inputs_shape: Any, states_shape: Any = None) -> None:
        """Create the weights for a step's inputs, whose space axes must be known."""
        shape = tuple(inputs_shape)
        self.spatial_dims = shape[2:] if self._first else shape[1:-1]
        self.input_dim = shape[1] if self._first else shape[-1]
        if None in self.spatial_dims:
            raise ValueError(
                "ConvLSTM layers only support static input shapes for the spatial dimension. "
                f"Received invalid input shape: input_shape={shape}"
            )
        if self.input_dim is None:
            raise ValueError(
                "The channel dimension of the inputs (last axis) should be defined. Found "
                f"None. Full input shape received: input_shape={shape}"
            )
        for name, channels in (("kernel", self.input_dim), ("recurrent_kernel", self.filters)):
            kind = name.removesuffix("_kernel")
            weight = self.add_weight(
                name=name,
                shape=(*self.kernel_size, channels, 4 * self.filters),
                initializer=getattr(self, f"{kind}_initializer"),
                regularizer=getattr(self, f"{kind}_regularizer"),
                constraint=getattr(self, f"{kind}_constraint"),
            )
            setattr(self, name, weight)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(4 * self.filters,),
                initializer=self._first_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def _first_bias(self, shape: Any, dtype: Any = None) -> Any:
        if not self.unit_forget_bias:
            return self.bias_initializer(shape, dtype)
        n = self.filters
        ones = hr.ones((n,), dtype or self.variable_dtype)
        parts = [
            self.bias_initializer((n,), dtype),
            ones,
            self.bias_initializer((2 * n,), dtype),
        ]
        return hr.concat(parts, 0)

    def call(self, inputs: Any, states: Any, training: Any = False) -> Any:
        """The output ``[batch, *space, filters]`` and the new states ``[output, memory]``."""
        before, memory = states[0], states[1]
        masks, recurrent_masks = self._masks(inputs, before, training)
        sums = self._convolved(inputs, masks, self.kernel, self.strides, self.padding,
                               self.dilation_rate, self.bias)  # fmt: skip
        ones = (1,) * self.rank
        more = self._convolved(before, recurrent_masks, self.recurrent_kernel, ones, "same",
                               ones, None)  # fmt: skip
        i, f, c, o = (a + b for a, b in zip(sums, more, strict=True))
        memory = self.recurrent_activation(f) * memory + (
            self.recurrent_activation(i) * self.activation(c)
        )
        output = self.recurrent_activation(o) * self.activation(memory)
        return output, [output, memory]

    def _convolved(
        self, x: Any, masks: Any, kernel: Any, strides: Any, padding: str, dilation: Any,
        bias: Any,
    ) -> list[Any]:  # fmt: skip
        """What the four gates take of `x`."""
        kernel = hr.cast(kernel, self.compute_dtype)
        axis = 1 if self._first else -1

        def convolved(x: Any, kernel: Any) -> Any:
            return hr.convolution(
                x, kernel, strides, padding.upper(), FORMATS[self.rank][self._first], dilation
            )

        if isinstance(masks, list):
            parts = hr.split(kernel, 4, axis=-1)
            found = [convolved(x * m, k) for m, k in zip(masks, parts, strict=True)]
            together = hr.concat(found, axis=axis)
        else:
            together = convolved(x, kernel)
        if bias is not None:
            bias = hr.cast(bias, self.compute_dtype)
            together = hr.bias_add(together, bias, FORMATS[self.rank][self._first])
        return list(hr.split(together, 4, axis=axis))

    def step_shape(self, inputs_shape: Any) -> tuple[int | None, ...]:
        """The shape of the output for a step's inputs of `inputs_shape`."""
        shape = tuple(inputs_shape)
        space = shape[2:] if self._first else shape[1:-1]
        sizes = [
            window_count(n, (k - 1) * d + 1, s, self.padding)
            for n, k, d, s in zip(
                space, self.kernel_size, self.dilation_rate, self.strides, strict=True
            )
        ]
        if self._first:
            return (shape[0], self.filters, *sizes)
        return (shape[0], *sizes, self.filters)

    def compute_output_shape(self, inputs_shape: Any, states_shape: Any = None) -> Any:
        """The shapes of the output and of both states."""
        shape = self.step_shape(inputs_shape)
        return shape, [shape, shape]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros in the shape of the output, for both states."""
        inputs = (
            (1, self.input_dim, *self.spatial_dims)
            if self._first
            else (1, *self.spatial_dims, self.input_dim)
        )
        sizes = self.step_shape(inputs)[1:]
        if isinstance(batch_size, int):
            return [hr.zeros((batch_size, *sizes), self.compute_dtype) for _ in range(2)]
        made = hr.zeros([batch_size, *sizes], self.compute_dtype)
        return [hr.ensure_shape(made, (None, *sizes))] * 2

    def window_config(self) -> dict[str, Any]:
        """The constructor's arguments, as the layer has them, too."""
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "use_bias": self.use_bias,
            **weight_arguments(self),
            "unit_forget_bias": self.unit_forget_bias,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["units"]
        return {**config, **self.window_config()}


def _of_cell(name: str) -> property:
    return property(lambda self: getattr(self.cell, name), doc=f"The cell's `{name}`.")


class _ConvLSTM(RNN):
    """What the three have in common.

    Args:
        filters: channels of the output and of both states.
        kernel_size: the window: one number, or one per space axis.
        strides: how far the window moves, given like `kernel_size`.
        padding: ``"valid"`` or ``"same"``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        dilation_rate: steps between a window's elements, given like `kernel_size`.
        activation: of the candidate and of the output.
        recurrent_activation: of the gates.
        use_bias: whether to add a bias.
        kernel_initializer: of the ``[*kernel_size, channels, 4 * filters]`` kernel.
        recurrent_initializer: of the ``[*kernel_size, filters, 4 * filters]`` kernel.
        bias_initializer: of the ``[4 * filters]`` bias.
        unit_forget_bias: whether the forget gate's bias begins at 1.
        kernel_regularizer: penalty on the kernel.
        recurrent_regularizer: penalty on the state's kernel.
        bias_regularizer: penalty on the bias.
        activity_regularizer: penalty on the output.
        kernel_constraint: projection of the kernel.
        recurrent_constraint: projection of the state's kernel.
        bias_constraint: projection of the bias.
        dropout: share of the inputs dropped in training.
        recurrent_dropout: share of the state dropped in training.
        seed: Python int for repeatable dropout.
        return_sequences: see `RNN`.
        return_state: see `RNN`; the states are the output and the memory.
        go_backwards: see `RNN`.
        stateful: see `RNN`.
        **kwargs: see `RNN` and `Layer`.
    """

    rank = 2
    filters = _of_cell("filters")
    kernel_size = _of_cell("kernel_size")
    strides = _of_cell("strides")
    padding = _of_cell("padding")
    data_format = _of_cell("data_format")
    dilation_rate = _of_cell("dilation_rate")
    activation = _of_cell("activation")
    recurrent_activation = _of_cell("recurrent_activation")
    use_bias = _of_cell("use_bias")
    unit_forget_bias = _of_cell("unit_forget_bias")
    dropout = _of_cell("dropout")
    recurrent_dropout = _of_cell("recurrent_dropout")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ):
        weights = {
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
        }
        cell = ConvLSTMCell(
            self.rank, filters, kernel_size, strides, padding, data_format, dilation_rate,
            activation, recurrent_activation, use_bias, weights, unit_forget_bias, dropout,
            recurrent_dropout, seed, name="conv_lstm_cell", dtype=kwargs.get("dtype"),
        )  # fmt: skip
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.state_size = [-1, -1]  # the output and the memory
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None
    ) -> Any:
        """Shape of the output; with `return_state` also those of the states."""
        batch, steps = sequences_shape[0], sequences_shape[1]
        state = self.cell.step_shape((batch, *tuple(sequences_shape)[2:]))
        output = (batch, steps, *state[1:]) if self.return_sequences else state
        return (output, state, state) if self.return_state else output

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["cell"]
        config.setdefault("activity_regularizer", None)
        return {**config, **self.cell.window_config()}


class ConvLSTM1D(_ConvLSTM):
    """A convolutional LSTM of sequences ``[batch, time, steps, channels]``."""

    rank = 1


class ConvLSTM2D(_ConvLSTM):
    """A convolutional LSTM of images ``[batch, time, height, width, channels]``."""

    rank = 2


class ConvLSTM3D(_ConvLSTM):
    """A convolutional LSTM of volumes ``[batch, time, planes, rows, columns, channels]``."""

    rank = 3


with_arguments(ConvLSTM1D, ConvLSTM2D, ConvLSTM3D)
