"""SimpleRNN, LSTM and GRU: RNNs over their own cells.

LSTM and GRU with tanh and sigmoid run as one operation over whole sequences
(`ops.recurrent`), with the same numbers as the loop over steps that all others run as; in
16-bit floats only on a GPU, where it is cuDNN's.
"""

from __future__ import annotations

from typing import Any

from ...ops import api as hr, recurrent
from ...ops.devices import HOST, devices, requested
from .. import activations, regularizers
from ..engine.input_spec import InputSpec
from .recurrent import RNN
from .recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell, weight_arguments

__all__ = ["GRU", "LSTM", "SimpleRNN"]


def _of_cell(name: str) -> Any:
    return property(lambda self: getattr(self.cell, name), doc=f"The cell's `{name}`.")


def _half_on_a_gpu(sequences: Any) -> bool:
    """Whether a call with 16-bit floats would run on a GPU."""
    if sequences.dtype not in (hr.float16, hr.bfloat16):
        return False
    place = requested()
    return (devices.default() if place is None else place) != HOST


class _CellLayer(RNN):
    """An RNN whose configuration is its cell's."""

    cell_class: type = SimpleRNNCell
    use_cudnn: Any = "auto"

    units = _of_cell("units")
    activation = _of_cell("activation")
    use_bias = _of_cell("use_bias")
    kernel_initializer = _of_cell("kernel_initializer")
    recurrent_initializer = _of_cell("recurrent_initializer")
    bias_initializer = _of_cell("bias_initializer")
    kernel_regularizer = _of_cell("kernel_regularizer")
    recurrent_regularizer = _of_cell("recurrent_regularizer")
    bias_regularizer = _of_cell("bias_regularizer")
    kernel_constraint = _of_cell("kernel_constraint")
    recurrent_constraint = _of_cell("recurrent_constraint")
    bias_constraint = _of_cell("bias_constraint")
    dropout = _of_cell("dropout")
    recurrent_dropout = _of_cell("recurrent_dropout")

    def _start(self, cell_name: str, cell: dict[str, Any], layer: dict[str, Any]) -> None:
        """Construct: `cell` and `layer` hold the arguments of each."""
        if "implementation" in layer:
            cell["implementation"] = layer.pop("implementation")
        made = type(self).cell_class(
            **cell,
            dtype=layer.get("dtype"),
            trainable=layer.get("trainable", True),
            name=cell_name,
        )
        RNN.__init__(self, made, **layer)
        self.input_spec = InputSpec(ndim=3)

    # The fused sequence operations and what they cover ----------------------------------

    def _cudnn(self, value: Any) -> Any:
        if value not in ("auto", True, False):
            raise ValueError(
                "Invalid valid received for argument `use_cudnn`. Expected one of {'auto', "
                f"True, False}}. Received: use_cudnn={value}"
            )
        return value

    def _one_operation(self, sequences: Any, training: Any) -> bool:
        """Whether the operation over whole sequences computes what the cell would."""
        cell = self.cell
        return (
            self.use_cudnn in ("auto", True)
            and cell.activation is activations.tanh
            and cell.recurrent_activation is activations.sigmoid
            and not cell.recurrent_dropout
            and not (cell.masks_per_gate and cell.dropout and training)
            and sequences.dtype.name == cell.compute_dtype
            and (sequences.dtype == hr.float32 or _half_on_a_gpu(sequences))
            and type(cell) is type(self).cell_class
        )

    def _operation(self, *arguments: Any) -> tuple[Any, Any, list[Any]]:
        """All outputs, the last state, all last states, from inputs, states and mask."""
        raise NotImplementedError

    def _inputs(self, sequences: Any, bias_shape: tuple[int, ...], states: Any) -> list[Any]:
        """The operation's inputs, of one dtype."""
        cell, kind = self.cell, sequences.dtype
        bias = hr.zeros(bias_shape, kind) if cell.bias is None else cell.bias
        others = (cell.kernel, cell.recurrent_kernel, bias, *states)
        return [sequences, *(hr.cast(t, kind) for t in others)]

    def inner_loop(
        self, sequences: Any, initial_state: Any, mask: Any, training: Any = False
    ) -> tuple[Any, Any, Any]:
        """The last output, all outputs, and the states behind the last step."""
        if type(self)._operation is _CellLayer._operation:
            return super().inner_loop(sequences, initial_state, mask, training)
        if not self._one_operation(sequences, training):
            if self.use_cudnn is True:
                raise ValueError(
                    "use_cudnn=True was specified, but the operation over whole sequences is "
                    "not supported for this layer configuration. Pass use_cudnn='auto' to fall "
                    "back to the loop over steps."
                )
            return super().inner_loop(sequences, initial_state, mask, training)
        if training and 0 < self.cell.dropout < 1:
            sequences = sequences * hr.expand_dims(
                self.cell.get_dropout_mask(sequences[:, 0]), 1
            )
        if mask is not None:
            mask = hr.cast(mask, hr.bool)
            mask = hr.squeeze(mask, -1) if len(mask.shape) == 3 else mask
        if self.go_backwards:
            sequences = hr.reverse(sequences, [1])
            mask = None if mask is None else hr.reverse(mask, [1])
        outputs, last, states = self._operation(sequences, initial_state, mask)
        if mask is None:
            return last, outputs, states
        # Masked steps before the first unmasked one give zeros, whatever the initial state.
        shown = hr.cast(mask, hr.int32)
        if not self.zero_output_for_mask:
            shown = hr.cumsum(shown, axis=1)
        shown = hr.expand_dims(hr.cast(shown > 0, outputs.dtype), -1)
        return last * shown[:, -1], outputs * shown, states

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["cell"]
        config.update(self._loop_config())
        return {
            **config,
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **weight_arguments(self),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
        }


class SimpleRNN(_CellLayer):
    """A fully connected RNN: every step's output is the next one's state.

    Args:
        units: size of output and state.
        activation: function or its name; None for none.
        use_bias: whether to add a bias.
        kernel_initializer: of the ``[features, units]`` kernel.
        recurrent_initializer: of the ``[units, units]`` kernel of the state.
        bias_initializer: of the ``[units]`` bias.
        kernel_regularizer: penalty on the kernel.
        recurrent_regularizer: penalty on the state's kernel.
        bias_regularizer: penalty on the bias.
        activity_regularizer: penalty on the output.
        kernel_constraint: projection of the kernel.
        recurrent_constraint: projection of the state's kernel.
        bias_constraint: projection of the bias.
        dropout: share of the inputs dropped in training.
        recurrent_dropout: share of the state dropped in training.
        return_sequences: see `RNN`.
        return_state: see `RNN`.
        go_backwards: see `RNN`.
        stateful: see `RNN`.
        unroll: see `RNN`.
        seed: Python int for repeatable dropout.
        **kwargs: ``zero_output_for_mask`` (see `RNN`), and see `Layer`.

    >>> SimpleRNN(4)(hr.zeros([2, 3, 5])).shape
    TensorShape([2, 4])
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        cell = {
            "units": units,
            "activation": activation,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "seed": seed,
        }
        layer = {
            "return_sequences": return_sequences,
            "return_state": return_state,
            "go_backwards": go_backwards,
            "stateful": stateful,
            "unroll": unroll,
            "activity_regularizer": activity_regularizer,
            **kwargs,
        }
        self._start("simple_rnn_cell", cell, layer)


class LSTM(_CellLayer):
    """Long short-term memory (Hochreiter & Schmidhuber 1997); gates in the order i, f, c, o.

    With ``activation="tanh"``, ``recurrent_activation="sigmoid"``, no recurrent dropout and
    float32 (on a GPU float16 and bfloat16, too), all steps are one operation.

    Args:
        units: size of output and of both states.
        activation: of the candidate and of the output.
        recurrent_activation: of the gates.
        use_bias: whether to add a bias.
        kernel_initializer: of the ``[features, 4 * units]`` kernel.
        recurrent_initializer: of the ``[units, 4 * units]`` kernel of the state.
        bias_initializer: of the ``[4 * units]`` bias.
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
        unroll: see `RNN`.
        use_cudnn: "auto", True (the one operation or an error) or False (always the loop).
        **kwargs: ``zero_output_for_mask`` (see `RNN`), ``implementation`` (see `LSTMCell`),
            and see `Layer`.

    >>> LSTM(4, return_sequences=True)(hr.zeros([2, 3, 5])).shape
    TensorShape([2, 3, 4])
    """

    cell_class = LSTMCell
    recurrent_activation = _of_cell("recurrent_activation")
    unit_forget_bias = _of_cell("unit_forget_bias")

    def __init__(
        self,
        units: int,
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
        unroll: bool = False,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ):
        cell = {
            "units": units,
            "activation": activation,
            "recurrent_activation": recurrent_activation,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "unit_forget_bias": unit_forget_bias,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "seed": seed,
        }
        layer = {
            "return_sequences": return_sequences,
            "return_state": return_state,
            "go_backwards": go_backwards,
            "stateful": stateful,
            "unroll": unroll,
            "activity_regularizer": activity_regularizer,
            **kwargs,
        }
        self._start("lstm_cell", cell, layer)
        self.use_cudnn = self._cudnn(use_cudnn)

    def _operation(self, sequences: Any, states: Any, mask: Any) -> tuple[Any, Any, list[Any]]:
        inputs = self._inputs(sequences, (4 * self.units,), states)
        outputs, h, c = recurrent.lstm(*inputs, mask)
        return outputs, h, [h, c]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
            "seed": self.cell.seed,
        }


class GRU(_CellLayer):
    """A gated recurrent unit (Cho et al. 2014); gates in the order z, r, h.

    With ``activation="tanh"``, ``recurrent_activation="sigmoid"``, ``reset_after``, no
    recurrent dropout and float32 (on a GPU float16 and bfloat16, too), all steps are one
    operation.

    Args:
        units: size of output and state.
        activation: of the candidate.
        recurrent_activation: of the gates.
        use_bias: whether to add a bias.
        kernel_initializer: of the ``[features, 3 * units]`` kernel.
        recurrent_initializer: of the ``[units, 3 * units]`` kernel of the state.
        bias_initializer: of the bias.
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
        return_state: see `RNN`.
        go_backwards: see `RNN`.
        stateful: see `RNN`.
        unroll: see `RNN`.
        reset_after: whether the reset gate is applied behind the product with the state.
        use_cudnn: "auto", True (the one operation or an error) or False (always the loop).
        **kwargs: ``zero_output_for_mask`` (see `RNN`), ``implementation`` (see `GRUCell`), and
            see `Layer`.

    >>> GRU(4)(hr.zeros([2, 3, 5])).shape
    TensorShape([2, 4])
    """

    cell_class = GRUCell
    recurrent_activation = _of_cell("recurrent_activation")
    reset_after = _of_cell("reset_after")

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
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
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ):
        cell = {
            "units": units,
            "activation": activation,
            "recurrent_activation": recurrent_activation,
            "use_bias": use_bias,
            "kernel_initializer": kernel_initializer,
            "recurrent_initializer": recurrent_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "recurrent_regularizer": recurrent_regularizer,
            "bias_regularizer": bias_regularizer,
            "kernel_constraint": kernel_constraint,
            "recurrent_constraint": recurrent_constraint,
            "bias_constraint": bias_constraint,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "reset_after": reset_after,
            "seed": seed,
        }
        layer = {
            "return_sequences": return_sequences,
            "return_state": return_state,
            "go_backwards": go_backwards,
            "stateful": stateful,
            "unroll": unroll,
            "activity_regularizer": activity_regularizer,
            **kwargs,
        }
        self._start("gru_cell", cell, layer)
        self.use_cudnn = self._cudnn(use_cudnn)

    def _one_operation(self, sequences: Any, training: Any) -> bool:
        return self.cell.reset_after and super()._one_operation(sequences, training)

    def _operation(self, sequences: Any, states: Any, mask: Any) -> tuple[Any, Any, list[Any]]:
        inputs = self._inputs(sequences, (2, 3 * self.units), states)
        outputs, h = recurrent.gru(*inputs, mask)
        return outputs, h, [h]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "reset_after": self.reset_after,
            "seed": self.cell.seed,
        }
