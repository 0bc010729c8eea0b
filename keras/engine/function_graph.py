"""FunctionGraph: the layers between given placeholders, in Keras's order, and how to run them.

A layer's depth is the longest way from it to an output; layers are ordered by falling depth,
then by when a walk back from the outputs meets them first.  Weights, configs and files follow
this order.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...ops import api as hr, nest
from . import masks
from .input_spec import InputSpec
from .keras_tensor import KerasTensor
from .symbolic import Node, map_leaves, node_of

__all__ = ["FunctionGraph"]


class FunctionGraph:
    """What computes `outputs` from `inputs`.

    Attributes:
        inputs, outputs: nested placeholders.
        nodes: the calls, in an order in which they can run.
        layers: the layers called, input layers included, in Keras's order.

    Raises:
        ValueError: an input is no placeholder, or an output does not depend on the inputs.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str):
        for what, structure in (("inputs", inputs), ("outputs", outputs)):
            for leaf in nest.flatten(structure):
                if not isinstance(leaf, KerasTensor):
                    raise ValueError(
                        f"All `{what}` values must be KerasTensors. Received: "
                        f"{what}={structure} "
                        f"including invalid value {leaf!r} of type {type(leaf)}"
                    )
        self.inputs = inputs
        self.outputs = outputs
        self.flat_inputs: list[KerasTensor] = nest.flatten(inputs)
        self.flat_outputs: list[KerasTensor] = nest.flatten(outputs)
        if len({id(t) for t in self.flat_inputs}) != len(self.flat_inputs):
            raise ValueError(
                "The list of inputs passed to the model contains the same input multiple "
                "times. "
                f"All inputs should only appear once. Received inputs={inputs}"
            )
        self._stops = {id(node_of(t)): t for t in self.flat_inputs}
        self._order(name)
        self._input_names = [t._keras_history[0].name for t in self.flat_inputs]

    def _order(self, name: str) -> None:
        """Find nodes and layers and put them in order."""
        met: dict[int, tuple[int, Any]] = {}  # layer -> order of the first meeting
        done: dict[int, Node] = {}
        for output in self.flat_outputs:
            self._visit(node_of(output), done, met, name)
        nodes = list(done.values())  # inputs before users
        depth: dict[int, int] = {}
        layer_depth: dict[int, int] = {}
        for node in reversed(nodes):
            layer = id(node.operation)
            own = max(depth.get(id(node), 0), layer_depth.get(layer, 0))
            depth[id(node)] = layer_depth[layer] = own
            if id(node) not in self._stops:
                for parent in node.parents:
                    depth[id(parent)] = max(depth.get(id(parent), 0), own + 1)
        for tensor in self.flat_inputs:  # inputs that nothing uses
            node = node_of(tensor)
            if id(node) not in depth:
                nodes.append(node)
                depth[id(node)] = layer_depth[id(node.operation)] = 0
                met.setdefault(id(node.operation), (-1, node.operation))
        position = {id(node): i for i, node in enumerate(nodes)}
        self.nodes = sorted(nodes, key=lambda n: (-depth[id(n)], position[id(n)]))
        by_depth = sorted(met.items(), key=lambda item: (-layer_depth[item[0]], item[1][0]))
        self.layers = [layer for _, (_, layer) in by_depth]
        self.running = [n for n in self.nodes if id(n) not in self._stops]
        names = Counter(layer.name for layer in self.layers)
        twice = sorted(name for name, count in names.items() if count > 1)
        if twice:
            raise ValueError(
                f'The name "{twice[0]}" is used {names[twice[0]]} '
                "times in "
                "the model. All operation names should be unique."
            )

    def _visit(self, root: Node, done: dict[int, Node], met: Any, name: str) -> None:
        """Depth first, without recursion: a model may be deeper than Python's stack."""
        stack: list[tuple[Node, bool]] = [(root, False)]
        while stack:
            node, expanded = stack.pop()
            if id(node) in done:
                continue
            if expanded:
                done[id(node)] = node
                continue
            met.setdefault(id(node.operation), (len(met), node.operation))
            stack.append((node, True))
            if id(node) in self._stops:
                continue
            if node.is_input:
                raise ValueError(
                    f"`inputs` not connected to `outputs`: the graph of model '{name}' needs "
                    f"the input '{node.operation.name}', which is not among the model's inputs "
                    f"{[t.name for t in self.flat_inputs]}"
                )
            stack.extend((parent, False) for parent in reversed(node.parents))

    # -- running --------------------------------------------------------------------------

    def run(self, inputs: Any) -> Any:
        """The outputs for nested `inputs`, which may also be placeholders."""
        values: dict[int, Any] = {}
        for placeholder, value in zip(self.flat_inputs, self.standardize(inputs), strict=True):
            values[id(placeholder)] = self._fitted(placeholder, value)
        for node in self.running:
            flat = nest.flatten(node.run(values))
            for tensor, value in zip(node.output_tensors, flat, strict=False):
                values[id(tensor)] = value
        return map_leaves(lambda t: values[id(t)], self.outputs)

    def standardize(self, inputs: Any) -> list[Any]:
        """`inputs`, flat, in the order of the placeholders; dictionaries are read by name.

        Raises:
            ValueError: a named input is missing.
        """
        if isinstance(inputs, dict):
            keys = sorted(self.inputs) if isinstance(self.inputs, dict) else self._input_names
            missing = [k for k in keys if k not in inputs]
            if not missing:
                return [inputs[k] for k in keys]
            raise ValueError(
                f"Missing data for input {missing[0]!r}: the model's inputs are {keys}, "
                "the data "
                f"has the keys {sorted(inputs)}"
            )
        return nest.flatten(inputs)

    @staticmethod
    def _fitted(placeholder: KerasTensor, value: Any) -> Any:
        """`value` in the placeholder's dtype and rank: ``[n]`` and ``[n, 1]`` stand for each
        other."""
        if value is None or isinstance(value, KerasTensor) or not hasattr(value, "shape"):
            return value
        mask = masks.get_mask(value)
        out = value
        if out.dtype.name != placeholder.dtype and out.dtype.name != "string":
            out = hr.cast(out, placeholder.dtype)
        rank, wanted = out.shape.rank, len(placeholder.shape)
        if rank is not None and rank == wanted - 1 and placeholder.shape[-1] == 1:
            out = hr.expand_dims(out, -1)
        elif rank is not None and rank == wanted + 1 and out.shape[-1] == 1:
            out = hr.squeeze(out, -1)
        elif rank not in (None, wanted):
            raise ValueError(
                f"Invalid input shape for input {placeholder.name!r}. Expected shape "
                f"{placeholder.shape}, but input has incompatible shape {value.shape}"
                + ("; a Dataset must be batched: `dataset.batch(n)`" if rank < wanted else "")
            )
        if out is not value and mask is not None:
            masks.set_mask(out, mask)
        return out

    def input_specs(self) -> Any:
        """What the inputs must look like, as `InputSpec`s."""
        keys = sorted(self.inputs) if isinstance(self.inputs, dict) else self._input_names
        if len(keys) != len(self.flat_inputs):
            return None
        return [
            InputSpec(
                shape=(None, *t.shape[1:]),
                allow_last_axis_squeeze=True,
                name=key,
                optional=getattr(t._keras_history[0], "optional", False),
            )
            for key, t in zip(keys, self.flat_inputs, strict=True)
        ]

    def output_names(self) -> list[str]:
        """A name per output: its dictionary key, or the name of the layer that makes it."""
        if isinstance(self.outputs, dict) and len(self.outputs) == len(self.flat_outputs):
            return sorted(self.outputs)
        return [t._keras_history[0].name for t in self.flat_outputs]
