"""RNN: a cell run over the steps of sequences."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr, nest
from ...ops.context import init_scope
from ..engine.layer import Layer
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .recurrent_cells import DropoutCell
from .recurrent_loop import run_steps
from .recurrent_stacked import StackedRNNCells, call_cell, first_state, output_size, sizes_of

__all__ = ["RNN"]


class RNN(Layer):
    """A cell run over the steps of sequences ``[batch, steps, features]``.

    Args:
        cell: a cell, or a list of cells, which are stacked.  A cell is an object with
            ``state_size`` (an integer, or one per state) and ``call(inputs, states)``, which
            returns the output and the new states.
        return_sequences: whether to return every step's output instead of the last.
        return_state: whether to return the last states behind the output.
        go_backwards: whether to go through the steps, and return them, in reverse order.
        stateful: whether a batch begins with the states the one before ended with.
        unroll: whether a trace unrolls the steps; takes more memory.
        zero_output_for_mask: whether masked steps give zeros instead of the output before.
        **kwargs: see `Layer`.

    Call arguments:
        sequences: ``[batch, steps, ...]``.
        initial_state: one tensor per state; zeros, or what the cell says, if None.
        mask: bool ``[batch, steps]``; False skips a step.
        training: passed to the cell.
        constants: tensors that the cell gets at every step as its argument ``constants``.
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ):
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        if not hasattr(cell, "call"):
            raise ValueError(
                f"Argument `cell` should have a `call` method. Received: cell={cell}"
            )
        if not hasattr(cell, "state_size"):
            raise ValueError(
                "The RNN cell should have a `state_size` attribute (single integer or list of "
                f"integers, one integer per RNN state). Received: cell={cell}"
            )
        if not isinstance(cell.state_size, (list, tuple, int)):
            raise ValueError(
                "state_size must be an integer, or a list/tuple of integers (one for each "
                f"state tensor). Received: state_size={cell.state_size}"
            )
        super().__init__(**kwargs)
        self.zero_output_for_mask = zero_output_for_mask
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.supports_masking = True
        self.state_size = sizes_of(cell)
        self._kept = _States()

    # -- state ----------------------------------------------------------------------------

    @property
    def states(self) -> Any:
        """The variables that a stateful layer keeps between batches; None before it is built.

        They are no weights: they are neither trained nor saved.
        """
        return self._kept.variables

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """The states before the first step of sequences."""
        found = first_state(self.cell, batch_size, self.compute_dtype)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    def reset_state(self) -> None:
        """Set the states of a stateful layer to zeros."""
        for variable in nest.flatten(self.states or []):
            variable.assign(hr.zeros_like(variable.read_value()))

    def reset_states(self) -> None:
        """The same, by its older name."""
        self.reset_state()

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Build the cell for a step's inputs; create the states of a stateful layer."""
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
        if self.stateful:
            if self.states is not None:
                self.reset_state()
            elif sequences_shape[0] is None:
                raise ValueError(
                    "When using `stateful=True` in a RNN, the batch size must be static. Found "
                    f"dynamic batch size: sequence.shape={tuple(sequences_shape)}"
                )
            else:
                self._create_states(sequences_shape[0])
        self.built = True

    def _create_states(self, batch_size: int) -> None:
        def variable(value: Any) -> Any:
            return hr.Variable(
                value, trainable=False, dtype=self.variable_dtype, name=f"{self.name}/rnn_state"
            )

        with init_scope():
            first = self.get_initial_state(batch_size)
            self._kept.variables = nest.map_structure(variable, first)
            self._kept.batch_size = batch_size

    # -- calling --------------------------------------------------------------------------

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: Any = False,
        constants: Any = None,
    ) -> Any:
        """The output, ``[batch, units]`` or ``[batch, steps, units]``; with `return_state` the
        states behind it."""
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                "Cannot unroll a RNN if the time dimension is undefined. \n"
                "- If using a Sequential model, specify the time dimension by passing an "
                "`Input()` as your first layer.\n- If using the functional API, specify the "
                "time dimension by passing a `shape` or `batch_shape` argument to your "
                "`Input()`."
            )
        mask = nest.flatten(mask)[0] if mask is not None else None
        states = self._first_states(sequences, initial_state)
        cells = list(_dropout_cells(self.cell))
        try:
            if training and cells:
                self._begin_masks(self.cell, sequences[:, 0], states)
            self._constants = constants
            last, outputs, states = self.inner_loop(sequences, states, mask, training=training)
        finally:
            self._constants = None
            for cell in cells:
                cell.reset_dropout_mask()
                cell.reset_recurrent_dropout_mask()
        dtype = self.compute_dtype
        states = nest.map_structure(lambda s: hr.cast(s, dtype), states)
        if self.stateful:
            pairs = zip(nest.flatten(self.states), nest.flatten(states), strict=True)
            for variable, state in pairs:
                variable.assign(hr.cast(state, variable.dtype))
        output = hr.cast(outputs if self.return_sequences else last, dtype)
        return (output, *states) if self.return_state else output

    def _first_states(self, sequences: Any, initial_state: Any) -> list[Any]:
        have, wanted = sequences.shape[0], self._kept.batch_size
        if self.stateful and None not in (have, wanted) and have != wanted:
            raise ValueError(
                "If an RNN is stateful, the batch size of the input sequences must be the same "
                f"as the batch size of the initial state. \n- Expected batch size: {wanted}\n- "
                f"Received batch size: {have}"
            )
        if initial_state is None:
            if self.stateful:
                initial_state = nest.map_structure(lambda v: v.read_value(), self.states)
            else:
                initial_state = self.get_initial_state(
                    hr.shape(sequences)[0] if have is None else have
                )
        if not isinstance(initial_state, (list, tuple)):
            initial_state = [initial_state]
        if len(initial_state) != len(self.state_size):
            raise ValueError(
                f"Layer '{self.name}' expects {len(self.state_size)} state(s) as "
                f"`initial_state`, but received {len(initial_state)} state(s)."
            )
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        return nest.map_structure(lambda s: hr.cast(s, dtype), list(initial_state))

    def _begin_masks(self, cell: Any, inputs: Any, states: Any) -> Any:
        """Draw the dropout masks of all steps: a loop's body must not."""
        if isinstance(cell, StackedRNNCells):
            for inner, state in zip(cell.cells, states, strict=True):
                state = list(state) if isinstance(state, (list, tuple)) else [state]
                self._begin_masks(inner, inputs, state)
                size = output_size(inner)
                # Only the shape of what the next cell gets matters.
                inputs = hr.zeros_like(hr.repeat(inputs[..., :1], size, axis=-1))
        elif isinstance(cell, DropoutCell):
            cell.begin_masks(inputs, states[0])

    def inner_loop(
        self, sequences: Any, initial_state: Any, mask: Any, training: Any = False
    ) -> tuple[Any, Any, Any]:
        """The last output, all outputs, and the states behind the last step."""
        constants = self._constants
        more = {} if constants is None else {"constants": list(constants)}

        def step(inputs: Any, states: Any) -> tuple[Any, Any]:
            output, new = call_cell(self.cell, inputs, states, training, more)
            return output, list(new) if isinstance(new, (list, tuple)) else [new]

        return run_steps(
            step,
            sequences,
            initial_state,
            mask=mask,
            go_backwards=self.go_backwards,
            unroll=self.unroll,
            zero_output_for_mask=self.zero_output_for_mask,
            all_outputs=self.return_sequences,
        )

    _constants: Any = None

    # -- shapes, masks, configuration -----------------------------------------------------

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None
    ) -> Any:
        """Shape of the output; with `return_state` also those of the states."""
        batch, steps = sequences_shape[0], sequences_shape[1]
        size = output_size(self.cell)
        sizes = tuple(size) if isinstance(size, (list, tuple)) else (size,)
        output = (batch, steps, *sizes) if self.return_sequences else (batch, *sizes)
        if not self.return_state:
            return output

        def shape(state: Any) -> Any:
            if isinstance(state, (list, tuple)):
                return [(batch, n) for n in state]
            return (batch, state)

        return (output, *[shape(state) for state in self.state_size])

    def compute_mask(self, sequences: Any, mask: Any = None) -> Any:
        """The steps' mask where steps are returned; states have none."""
        mask = nest.flatten(mask)[0] if mask is not None else None
        mask = mask if self.return_sequences else None
        if not self.return_state:
            return mask
        return [mask, *[None for _ in nest.flatten(self.state_size)]]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            **self._loop_config(),
            "cell": serialize_keras_object(self.cell),
        }

    def _loop_config(self) -> dict[str, Any]:
        return {
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer that `config` describes."""
        config = dict(config)
        if isinstance(config.get("cell"), dict):
            config["cell"] = deserialize_keras_object(
                config["cell"], custom_objects=custom_objects
            )
        return super().from_config(config)


class _States:
    """The states' variables, out of sight of the walk that finds weights."""

    variables: Any = None
    batch_size: int | None = None


def _dropout_cells(cell: Any) -> Any:
    if isinstance(cell, StackedRNNCells):
        for inner in cell.cells:
            yield from _dropout_cells(inner)
    elif isinstance(cell, DropoutCell) and (cell.dropout or cell.recurrent_dropout):
        yield cell
