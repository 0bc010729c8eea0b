"""Functional models to and from configs, in the layout of Keras 3.

Every layer is listed with its calls (``inbound_nodes``); a placeholder is written as
``[layer name, index of the call, index of the output]``.
"""

from __future__ import annotations

from typing import Any

from ...ops import nest
from .function_graph import FunctionGraph
from .keras_tensor import KerasTensor
from .serialization import deserialize_keras_object, serialize_keras_object
from .symbolic import map_leaves, node_of

__all__ = ["graph_config", "graph_from_config"]


def graph_config(graph: FunctionGraph) -> dict[str, Any]:
    """``layers``, ``input_layers`` and ``output_layers`` of `graph`."""
    inside = {id(node) for node in graph.nodes}
    index: dict[int, int] = {}
    calls: dict[int, list[Any]] = {}
    for layer in graph.layers:
        kept = [node for node in layer._engine.nodes if id(node) in inside]
        calls[id(layer)] = kept
        index.update({id(node): i for i, node in enumerate(kept)})

    def history(tensor: KerasTensor) -> list[Any]:
        layer, _, output = tensor._keras_history
        return [layer.name, index[id(node_of(tensor))], output]

    def written(leaf: Any) -> Any:
        if not isinstance(leaf, KerasTensor):
            return serialize_keras_object(leaf)
        config = {
            "shape": list(leaf.shape),
            "dtype": leaf.dtype,
            "keras_history": history(leaf),
        }
        return {"class_name": "__keras_tensor__", "config": config}

    def nested(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: nested(v) for k, v in value.items()}
        return (
            [nested(v) for v in value] if isinstance(value, (list, tuple)) else written(value)
        )

    layers = []
    for layer in graph.layers:
        described = serialize_keras_object(layer)
        described["name"] = layer.name
        described["inbound_nodes"] = [
            {
                "args": [nested(a) for a in node.args],
                "kwargs": {k: nested(v) for k, v in node.kwargs.items()},
            }
            for node in calls[id(layer)]
            if not node.is_input
        ]
        layers.append(described)
    return {
        "layers": layers,
        "input_layers": map_leaves(history, graph.inputs),
        "output_layers": map_leaves(history, graph.outputs),
    }


def graph_from_config(
    config: dict[str, Any], custom_objects: dict[str, Any] | None
) -> tuple[Any, Any]:
    """The inputs and outputs that `graph_config` described, on new layers."""
    layers: dict[str, Any] = {}
    pending: list[tuple[Any, dict[str, Any]]] = []
    for described in config["layers"]:
        layer = deserialize_keras_object(described, custom_objects=custom_objects)
        layers[described.get("name") or described["config"]["name"]] = layer
        pending.extend((layer, call) for call in described.get("inbound_nodes", ()))
    # A layer's calls are replayed in order as soon as what they read is there.
    base = {name: len(layer._engine.nodes) for name, layer in layers.items()}
    base = {name: 0 if n == 1 and not layers[name]._engine.nodes[0].inputs else n
            for name, n in base.items()}  # fmt: skip

    def find(history: Any) -> Any:
        name, node, output = history[:3]
        nodes = layers[name]._engine.nodes
        at = base[name] + node
        return nodes[at].output_tensors[output] if at < len(nodes) else None

    while pending:
        waiting: list[tuple[Any, Any]] = []
        for layer, call in pending:
            args, kwargs, ready = _arguments(call, find)
            if ready and not any(layer is earlier for earlier, _ in waiting):
                layer(*args, **kwargs)
            else:
                waiting.append((layer, call))
        if len(waiting) == len(pending):
            raise ValueError(
                "The config's calls depend on placeholders that nothing makes: "
                f"{[layer.name for layer, _ in waiting]}"
            )
        pending = waiting
    return _references(config["input_layers"], find), _references(config["output_layers"], find)


def _arguments(call: Any, find: Any) -> tuple[Any, Any, bool]:
    ready = True

    def read(value: Any) -> Any:
        nonlocal ready
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            found = find(value["config"]["keras_history"])
            ready = ready and found is not None
            return found
        if isinstance(value, dict) and value.get("class_name") == "__tuple__":
            return tuple(read(v) for v in value["items"])
        if isinstance(value, dict) and "class_name" in value:
            return deserialize_keras_object(value)
        if isinstance(value, dict):
            return {k: read(v) for k, v in value.items()}
        if isinstance(value, list):
            return [read(v) for v in value]
        return value

    if isinstance(call, dict):
        args = [read(a) for a in call["args"]]
        kwargs = {k: read(v) for k, v in call["kwargs"].items()}
        return args, kwargs, ready
    # Keras 2: a list of [layer, node, tensor, kwargs]
    tensors = [find(reference) for reference in call]
    ready = all(t is not None for t in tensors)
    kwargs = dict(call[0][3]) if call and len(call[0]) > 3 else {}
    return [tensors[0] if len(tensors) == 1 else tensors], kwargs, ready


def _references(structure: Any, find: Any) -> Any:
    if isinstance(structure, dict):
        return {k: _references(v, find) for k, v in structure.items()}
    if len(structure) == 3 and isinstance(structure[0], str) and isinstance(structure[1], int):
        return find(structure)
    found = [_references(item, find) for item in structure]
    assert all(t is not None for t in nest.flatten(found))
    return found
