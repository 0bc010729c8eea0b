"""Calls on placeholders: output specs by tracing, and the nodes of functional models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import dtypes, nest
from ...ops.errors import UntraceableError
from ...ops.graph.trace import trace
from ...ops.tensor_spec import TensorSpec
from .keras_tensor import KerasTensor

__all__ = ["Node", "infer_specs", "is_shape", "map_shapes", "record_call"]


class Node:
    """One call of a layer on placeholders.

    Attributes:
        operation: the layer.
        args, kwargs: the call's arguments, placeholders inside.
        inputs: the placeholders among them, flat.
        outputs: nested placeholders the call gives.
        output_tensors: the same, flat.
    """

    __slots__ = ("args", "inputs", "kwargs", "operation", "output_tensors", "outputs")

    def __init__(self, operation: Any, args: Any, kwargs: Any, outputs: Any):
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.outputs = outputs
        self.inputs = [t for t in nest.flatten((args, kwargs)) if isinstance(t, KerasTensor)]
        self.output_tensors = [t for t in nest.flatten(outputs) if isinstance(t, KerasTensor)]
        nodes = operation._engine.nodes
        for index, tensor in enumerate(self.output_tensors):
            tensor._keras_history = (operation, len(nodes), index)
        nodes.append(self)

    @property
    def is_input(self) -> bool:
        """Whether it is the node of an `Input`."""
        return not self.inputs

    @property
    def parents(self) -> list[Node]:
        """The nodes that make its inputs."""
        return [node_of(t) for t in self.inputs]

    def run(self, values: dict[int, Any]) -> Any:
        """The layer called with the placeholders replaced by ``values[id(placeholder)]``."""

        def fill(leaf: Any) -> Any:
            return values[id(leaf)] if isinstance(leaf, KerasTensor) else leaf

        args = _map(fill, self.args)
        return self.operation(*args, **_map(fill, self.kwargs))


def node_of(tensor: KerasTensor) -> Node:
    """The node that makes `tensor`."""
    operation, index, _ = tensor._keras_history
    return operation._engine.nodes[index]


def record_call(layer: Any, args: Any, kwargs: Any, outputs: Any) -> Any:
    """`outputs` as new placeholders whose history is this call."""
    fresh = _map(_fresh, outputs)
    Node(layer, args, kwargs, fresh)
    return fresh


def _fresh(tensor: Any) -> Any:
    if not isinstance(tensor, KerasTensor):
        return tensor
    return KerasTensor(tensor.shape, tensor.dtype, tensor.sparse, tensor.ragged)


def _map(function: Callable[[Any], Any], structure: Any) -> Any:
    """Leaves mapped, containers' own types and key order kept."""
    if isinstance(structure, dict):
        return {key: _map(function, value) for key, value in structure.items()}
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*[_map(function, value) for value in structure])
    if isinstance(structure, (list, tuple)):
        return type(structure)(_map(function, value) for value in structure)
    return function(structure)


map_leaves = _map


def infer_specs(function: Callable[..., Any], args: Any, kwargs: Any, who: str) -> Any:
    """Placeholders for what `function` would return, found by tracing it once.

    Raises:
        NotImplementedError: it cannot be traced, so `who` has to say its output shape.
    """

    def to_spec(leaf: Any) -> Any:
        return leaf.spec if isinstance(leaf, KerasTensor) else leaf

    try:
        traced = trace(function, tuple(_map(to_spec, args)), _map(to_spec, kwargs))
    except UntraceableError as e:
        raise NotImplementedError(
            f"The output shape of {who} could not be found by tracing its `call`: {e} "
            "Define `compute_output_shape(self, input_shape)`."
        ) from e
    return _map(_placeholder, traced.output_structure)


def _placeholder(spec: Any) -> Any:
    if spec is None:
        return None
    if not isinstance(spec, TensorSpec):
        return spec
    if spec.shape.rank is None:
        raise NotImplementedError("A layer's output has unknown rank; define its output shape.")
    return KerasTensor(tuple(spec.shape), spec.dtype)


def is_shape(value: Any) -> bool:
    """Whether `value` is one shape, e.g. ``(None, 3)``, rather than several."""
    return isinstance(value, (list, tuple)) and all(
        d is None or isinstance(d, int) for d in value
    )


def map_shapes(function: Callable[[Any], Any], shapes: Any) -> Any:
    """`function` applied to each shape of a structure of shapes."""
    if shapes is None:
        return None
    if is_shape(shapes) or hasattr(shapes, "rank"):
        return function(tuple(shapes))
    if isinstance(shapes, dict):
        return {key: map_shapes(function, value) for key, value in shapes.items()}
    return type(shapes)(map_shapes(function, value) for value in shapes)


def placeholders_of_shapes(shapes: Any, dtype: Any) -> Any:
    """A `KerasTensor` per shape."""
    name = dtypes.as_dtype(dtype).name
    return map_shapes(lambda shape: KerasTensor(shape, name), shapes)
