"""The parts of layers, models, optimizers and metrics, as checkpoints of objects name them.

The names are those that Keras 3's objects have under TensorFlow's `tf.train.Checkpoint`:
attributes, and for models given by placeholders the list ``_operations``.  Restoring takes
Keras 2's names (``layer_with_weights-0``), too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...io.trackable import attribute_children, is_trackable
from ...ops.variable import Variable

__all__ = ["layer_alias", "layer_children", "optimizer_alias", "optimizer_children"]

# A model's machinery: compiling makes it anew.
_SKIPPED = frozenset(
    {
        "optimizer", "loss", "_compile_config", "_compile_loss", "_compile_metrics", "_engine",
        "_graph", "_input_layer", "_loss_tracker", "_stack", "_waiting_restores", "history",
        "train_function", "test_function", "predict_function", "_metrics",
    }
)  # fmt: skip
# Weights that Keras keeps under a name of its own, behind a property.
_PRIVATE = {"kernel": "_kernel", "embeddings": "_embeddings"}
# Optimizers' attributes, and what they are called in Keras.
_SLOTS = {
    "_averages": "_model_variables_moving_average",
    "_accumulators": "_accumulated_gradients",
    "_accumulators_of_squares": "_accumulators",
    "_squares": "_accumulators",
}
_NUMBERED = re.compile(r"layer(_with_weights)?-(\d+)\Z")


class _Functional:
    """What a built `Sequential` of Keras 3 keeps its layers in."""

    __slots__ = ("_layers",)

    def __init__(self, layers: list[Any]):
        self._layers = layers

    def _checkpoint_children(self) -> Iterator[tuple[str, Any]]:
        yield "_operations", self._layers


def layer_children(layer: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a layer or model."""
    seen: set[int] = set()
    graph = getattr(layer, "_graph", None)
    if graph is not None:
        layers = list(graph.layers)
        seen.update(map(id, layers))
        if getattr(layer, "_stack", None) is None:
            yield "_operations", layers
        else:
            yield "_functional", _Functional(layers)
    for name, value in attribute_children(layer, _SKIPPED):
        if name in _PRIVATE and isinstance(value, Variable):
            yield _PRIVATE[name], value
        yield name, value
        seen.add(id(value))
        if isinstance(value, (list, tuple)):
            seen.update(map(id, value))
        elif isinstance(value, dict):
            seen.update(map(id, value.values()))
    for i, variable in enumerate(layer._engine.variables):
        if id(variable) not in seen:  # made by add_weight and kept nowhere else
            yield f"_weights_{i}", variable


def layer_alias(layer: Any, name: str) -> Any:
    """The part of a layer that Keras 2 calls `name`, or None."""
    numbered = _NUMBERED.match(name)
    if numbered is None:
        return plain_alias(layer, name)
    found = getattr(layer, "_stack", None)
    if found is not None and layer._input_layer is not None:
        found = [layer._input_layer, *found]
    graph = getattr(layer, "_graph", None)
    if graph is not None:
        found = [each for each in graph.layers if is_trackable(each)]
    if found is None:
        found = layer.layers
    if numbered[1]:
        found = [each for each in found if each.weights]
    number = int(numbered[2])
    return found[number] if number < len(found) else None


def plain_alias(obj: Any, name: str) -> Any:
    """The part of an object whose name differs by an underscore, or None."""
    other = name[1:] if name.startswith("_") else f"_{name}"
    value = vars(obj).get(other)
    return value if is_trackable(value) or isinstance(value, (list, dict)) else None


def optimizer_children(optimizer: Any) -> Iterator[tuple[str, Any]]:
    """The parts of an optimizer: all its variables, then its attributes."""
    yield "_variables", list(optimizer._variables)
    trained = getattr(optimizer, "_trainable_variables", None)
    if trained:
        yield "_trainable_variables", list(trained)
    skipped = {"_variables", "_trainable_variables", "_waiting_restores"}
    for name, value in attribute_children(optimizer, skipped):
        yield _SLOTS.get(name, name), value


def optimizer_alias(optimizer: Any, name: str) -> Any:
    """The part of an optimizer whose name differs by an underscore, or None."""
    return None if name in _SLOTS.values() else plain_alias(optimizer, name)
