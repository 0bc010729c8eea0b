"""Cells: one time step of SimpleRNN, LSTM and GRU.

A cell is a layer called with a step's inputs ``[batch, features]`` and its states; it returns
the output and the new states.  Dropout masks are drawn once and kept for all steps, until they
are reset: `RNN` does that around each call.
"""

from __future__ import annotations

from typing import Any

from ...ops import api as hr, nest
from ...ops.context import current as ops_context
from .. import activations, constraints, initializers, regularizers
from ..engine.layer import Layer
from ..random import SeedGenerator
from .recurrent_loop import zeros

__all__ = ["DropoutCell", "GRUCell", "LSTMCell", "SimpleRNNCell", "weight_arguments"]

_KINDS = ("kernel", "recurrent", "bias")


def weight_arguments(owner: Any) -> dict[str, Any]:
    """Config entries of initializers, regularizers and constraints of a cell's weights."""
    found = {}
    for what, module in (
        ("initializer", initializers),
        ("regularizer", regularizers),
        ("constraint", constraints),
    ):
        for kind in _KINDS:
            found[f"{kind}_{what}"] = module.serialize(getattr(owner, f"{kind}_{what}"))
    return found


class DropoutCell(Layer):
    """A cell with two weight matrices, a bias, and dropout of inputs and of the state."""

    gates = 1

    def __init__(
        self,
        units: int,
        weights: dict[str, Any],
        activation: Any,
        use_bias: bool,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        **kwargs: Any,
    ):
        if units <= 0:
            raise ValueError(
                "Received an invalid value for argument `units`, expected a positive integer, "
                f"got {units}."
            )
        super().__init__(**kwargs)
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        for name, value in weights.items():
            module = (
                initializers if name.endswith("initializer")
                else regularizers if name.endswith("regularizer") else constraints
            )  # fmt: skip
            setattr(self, name, module.get(value))
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self.state_size: Any = units
        self.output_size = units
        self.masks_per_gate = False
        self._kept_masks: dict[str, Any] = {}

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs ``[batch, features]``."""
        wide = self.gates * self.units
        for name, shape in (
            ("kernel", (input_shape[-1], wide)),
            ("recurrent_kernel", (self.units, wide)),
        ):
            kind = name.removesuffix("_kernel")
            weight = self.add_weight(
                name=name,
                shape=shape,
                initializer=getattr(self, f"{kind}_initializer"),
                regularizer=getattr(self, f"{kind}_regularizer"),
                constraint=getattr(self, f"{kind}_constraint"),
            )
            setattr(self, name, weight)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self._bias_shape(),
                initializer=self._first_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _first_bias(self, shape: Any, dtype: Any = None) -> Any:
        return self.bias_initializer(shape, dtype)

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Zeros ``[batch_size, units]`` for each state."""
        sizes = self.state_size if isinstance(self.state_size, list) else [self.state_size]
        return [zeros(batch_size, size, self.compute_dtype) for size in sizes]

    # -- dropout --------------------------------------------------------------------------

    def get_dropout_mask(self, step_input: Any) -> Any:
        """What a step's inputs are multiplied with; None without dropout, a list where every
        gate has its own."""
        return self._mask("inputs", step_input, self.dropout)

    def get_recurrent_dropout_mask(self, state: Any) -> Any:
        """The same for the state."""
        return self._mask("state", state, self.recurrent_dropout)

    def _mask(self, what: str, like: Any, rate: float) -> Any:
        if rate <= 0:
            return None
        where = ops_context.trace
        kept = self._kept_masks.get(what)
        # One drawn in a trace that has ended is no value; the loop's own trace lies inside.
        if kept is None or not (kept[0] is where or self._kept_masks.get("inside")):
            count = self.gates if self.masks_per_gate else 1
            masks = [_drawn(like, rate, self.seed_generator.next()) for _ in range(count)]
            kept = self._kept_masks[what] = (where, masks if self.masks_per_gate else masks[0])
        return kept[1]

    def begin_masks(self, step_input: Any, state: Any) -> None:
        """Draw the masks of all steps of a sequence."""
        self._kept_masks.clear()
        self.get_dropout_mask(step_input)
        self.get_recurrent_dropout_mask(state)
        self._kept_masks["inside"] = True

    def reset_dropout_mask(self) -> None:
        """Forget the inputs' mask: the next step draws another."""
        self._kept_masks.pop("inputs", None)
        self._kept_masks.pop("inside", None)

    def reset_recurrent_dropout_mask(self) -> None:
        """Forget the state's mask."""
        self._kept_masks.pop("state", None)

    def _masks(self, inputs: Any, state: Any, training: Any) -> tuple[Any, Any]:
        if not training:
            return None, None
        # At rate 1, Keras's gates drop nothing, and SimpleRNN everything.
        plain = self.gates == 1
        return (
            self.get_dropout_mask(inputs) if self.dropout < 1 or plain else None,
            self.get_recurrent_dropout_mask(state)
            if self.recurrent_dropout < 1 or plain
            else None,
        )

    def _products(self, x: Any, masks: Any, weight: Any, gates: int) -> list[Any]:
        """``x @ weight`` for each of the gates that lie side by side in `weight`."""
        weight = hr.cast(weight, self.compute_dtype)
        if isinstance(masks, list):
            parts = hr.split(weight, gates, axis=1)
            return [hr.matmul(x * m, w) for m, w in zip(masks, parts, strict=False)]
        x = x if masks is None else x * masks
        made = hr.matmul(x, weight)
        return [made] if gates == 1 else list(hr.split(made, gates, axis=1))

    def _biases(self, bias: Any, gates: int) -> list[Any]:
        return list(hr.split(hr.cast(bias, self.compute_dtype), gates, axis=0))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **weight_arguments(self),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }


def _drawn(like: Any, rate: float, seed: Any) -> Any:
    """Zeros with probability `rate`, else ``1 / (1 - rate)``, in the shape of `like`."""
    if rate >= 1:
        return hr.zeros_like(like)
    kept = hr.stateless_uniform(hr.shape(like), seed) >= rate
    return hr.cast(kept, like.dtype) * hr.cast(1.0 / (1.0 - rate), like.dtype)


def _first(states: Any) -> Any:
    return states[0] if isinstance(states, (list, tuple)) else states


class SimpleRNNCell(DropoutCell):
    """A step of `SimpleRNN`: ``activation(inputs @ kernel + bias + state @ recurrent_kernel)``.

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
        kernel_constraint: projection of the kernel.
        recurrent_constraint: projection of the state's kernel.
        bias_constraint: projection of the bias.
        dropout: share of the inputs dropped in training.
        recurrent_dropout: share of the state dropped in training.
        seed: Python int for repeatable dropout.
        **kwargs: see `Layer`.
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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
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
        super().__init__(
            units, weights, activation, use_bias, dropout, recurrent_dropout, seed, **kwargs
        )

    def call(self, sequence: Any, states: Any, training: Any = False) -> Any:
        """The output ``[batch, units]`` and the new states."""
        before = _first(states)
        masks, recurrent_masks = self._masks(sequence, before, training)
        (total,) = self._products(sequence, masks, self.kernel, 1)
        if self.bias is not None:
            total = total + hr.cast(self.bias, self.compute_dtype)
        (more,) = self._products(before, recurrent_masks, self.recurrent_kernel, 1)
        output = self.activation(total + more)
        return output, [output] if nest.is_nested(states) else output


class LSTMCell(DropoutCell):
    """A step of `LSTM` (Hochreiter & Schmidhuber 1997); gates in the order i, f, c, o.

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
        kernel_constraint: projection of the kernel.
        recurrent_constraint: projection of the state's kernel.
        bias_constraint: projection of the bias.
        dropout: share of the inputs dropped in training.
        recurrent_dropout: share of the state dropped in training.
        seed: Python int for repeatable dropout.
        **kwargs: ``implementation`` (1: every gate has its own dropout masks), and see `Layer`.
    """

    gates = 4

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
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
        implementation = kwargs.pop("implementation", 2)
        super().__init__(
            units, weights, activation, use_bias, dropout, recurrent_dropout, seed, **kwargs
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.implementation = 1 if self.recurrent_dropout else implementation
        self.masks_per_gate = self.implementation == 1
        self.state_size = [units, units]

    def _first_bias(self, shape: Any, dtype: Any = None) -> Any:
        if not self.unit_forget_bias:
            return self.bias_initializer(shape, dtype)
        units = self.units
        return hr.concat(
            [
                self.bias_initializer((units,), dtype),
                hr.ones((units,), dtype or self.variable_dtype),
                self.bias_initializer((2 * units,), dtype),
            ],
            0,
        )

    def call(self, inputs: Any, states: Any, training: Any = False) -> Any:
        """The output ``[batch, units]`` and the new states ``[output, memory]``."""
        before, memory = states[0], states[1]
        masks, recurrent_masks = self._masks(inputs, before, training)
        sums = self._products(inputs, masks, self.kernel, 4)
        more = self._products(before, recurrent_masks, self.recurrent_kernel, 4)
        sums = [a + b for a, b in zip(sums, more, strict=True)]
        if self.bias is not None:
            sums = [a + b for a, b in zip(sums, self._biases(self.bias, 4), strict=True)]
        take = self.recurrent_activation(sums[0])
        keep = self.recurrent_activation(sums[1])
        memory = keep * memory + take * self.activation(sums[2])
        output = self.recurrent_activation(sums[3]) * self.activation(memory)
        return output, [output, memory]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
        }


class GRUCell(DropoutCell):
    """A step of `GRU` (Cho et al. 2014); gates in the order z, r, h.

    Args:
        units: size of output and state.
        activation: of the candidate.
        recurrent_activation: of the gates.
        use_bias: whether to add a bias.
        kernel_initializer: of the ``[features, 3 * units]`` kernel.
        recurrent_initializer: of the ``[units, 3 * units]`` kernel of the state.
        bias_initializer: of the bias: ``[2, 3 * units]`` with `reset_after`, else
            ``[3 * units]``.
        kernel_regularizer: penalty on the kernel.
        recurrent_regularizer: penalty on the state's kernel.
        bias_regularizer: penalty on the bias.
        kernel_constraint: projection of the kernel.
        recurrent_constraint: projection of the state's kernel.
        bias_constraint: projection of the bias.
        dropout: share of the inputs dropped in training.
        recurrent_dropout: share of the state dropped in training.
        reset_after: whether the reset gate is applied behind the product with the state.
        seed: Python int for repeatable dropout.
        **kwargs: ``implementation`` (1: every gate has its own dropout masks), and see `Layer`.
    """

    gates = 3

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
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
        implementation = kwargs.pop("implementation", 2)
        super().__init__(
            units, weights, activation, use_bias, dropout, recurrent_dropout, seed, **kwargs
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after
        self.implementation = 1 if self.recurrent_dropout else implementation
        self.masks_per_gate = self.implementation == 1

    def _bias_shape(self) -> tuple[int, ...]:
        wide = 3 * self.units
        return (2, wide) if self.reset_after else (wide,)

    def call(self, inputs: Any, states: Any, training: Any = False) -> Any:
        """The output ``[batch, units]`` and the new states."""
        before = _first(states)
        masks, recurrent_masks = self._masks(inputs, before, training)
        x = self._products(inputs, masks, self.kernel, 3)
        if self.bias is not None:
            own = self.bias[0] if self.reset_after else self.bias
            x = [a + b for a, b in zip(x, self._biases(own, 3), strict=True)]
        if self.reset_after:
            h = self._products(before, recurrent_masks, self.recurrent_kernel, 3)
            if self.bias is not None:
                h = [a + b for a, b in zip(h, self._biases(self.bias[1], 3), strict=True)]
        else:
            wide = 2 * self.units
            h = self._products(before, recurrent_masks, self.recurrent_kernel[:, :wide], 2)
        keep = self.recurrent_activation(x[0] + h[0])
        reset = self.recurrent_activation(x[1] + h[1])
        if self.reset_after:
            inner = reset * h[2]
        else:
            state = before
            if isinstance(recurrent_masks, list):
                state = before * recurrent_masks[2]
            last = hr.cast(self.recurrent_kernel[:, wide:], self.compute_dtype)
            inner = hr.matmul(reset * state, last)
        candidate = self.activation(x[2] + inner)
        output = keep * before + (1 - keep) * candidate
        return output, [output] if nest.is_nested(states) else output

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "reset_after": self.reset_after,
        }
