"""StackedRNNCells: several cells that behave as one."""

from __future__ import annotations

from typing import Any

from ...ops import nest
from ..engine.call_signature import signature_of
from ..engine.layer import Layer
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .recurrent_loop import zeros

__all__ = ["StackedRNNCells", "call_cell", "output_size", "sizes_of"]


class StackedRNNCells(Layer):
    """Cells one upon the other: each takes the output of the one before.

    Args:
        cells: cells, layers or other objects with ``call`` and ``state_size``.
        **kwargs: see `Layer`.

    Raises:
        ValueError: a cell lacks ``call`` or ``state_size``.
    """

    def __init__(self, cells: Any, **kwargs: Any):
        super().__init__(**kwargs)
        for cell in cells:
            if not hasattr(cell, "call"):
                raise ValueError(
                    "All cells must have a `call` method. "
                    f"Received cell without a `call` method: {cell}"
                )
            if not hasattr(cell, "state_size"):
                raise ValueError(
                    "All cells must have a `state_size` attribute. "
                    f"Received cell without a `state_size`: {cell}"
                )
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The cells' state sizes."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        """The last cell's output size."""
        return output_size(self.cells[-1])

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Each cell's own initial state, or zeros."""
        return [first_state(cell, batch_size, self.compute_dtype) for cell in self.cells]

    def build(self, input_shape: Any) -> None:
        """Build the cells, each for the output of the one before."""
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
            input_shape = (input_shape[0], output_size(cell))
        self.built = True

    def call(self, inputs: Any, states: Any, training: Any = False, **kwargs: Any) -> Any:
        """The last cell's output and every cell's new state."""
        made = []
        for cell, state in zip(self.cells, states, strict=True):
            nested = isinstance(state, (list, tuple))
            inputs, new = call_cell(
                cell, inputs, list(state) if nested else [state], training, kwargs
            )
            if not nested and isinstance(new, (list, tuple)) and len(new) == 1:
                new = new[0]
            made.append(new)
        return inputs, made

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        cells = [serialize_keras_object(cell) for cell in self.cells]
        return {**super().get_config(), "cells": cells}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The stack that `config` describes."""
        config = dict(config)
        cells = [
            deserialize_keras_object(c, custom_objects=custom_objects)
            for c in config.pop("cells")
        ]
        return super().from_config({**config, "cells": cells})


def call_cell(cell: Any, inputs: Any, states: Any, training: Any, more: Any) -> Any:
    """A cell's output and new states; it gets of `training` and `more` what it takes."""
    signature = signature_of(type(cell).call)
    given = {"training": training, **more}
    kwargs = {k: v for k, v in given.items() if k in signature.all_names}
    run = cell if callable(cell) else cell.call
    return run(inputs, states, **kwargs)


def sizes_of(cell: Any) -> list[Any]:
    """A cell's state sizes, one per state."""
    size = cell.state_size
    return list(size) if isinstance(size, (list, tuple)) else [size]


def output_size(cell: Any) -> Any:
    """What a cell says its output's size is; else that of its first state."""
    size = getattr(cell, "output_size", None)
    return nest.flatten(sizes_of(cell))[0] if size is None else size


def first_state(cell: Any, batch_size: Any, dtype: Any) -> Any:
    """A cell's own initial state, or zeros."""
    own = getattr(cell, "get_initial_state", None)
    if own is not None:
        return own(batch_size=batch_size)
    if isinstance(cell.state_size, int):
        return zeros(batch_size, cell.state_size, dtype)
    return [zeros(batch_size, size, dtype) for size in cell.state_size]
