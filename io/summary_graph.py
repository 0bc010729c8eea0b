"""Traced graphs as `GraphDef` messages, to be looked at in TensorBoard's graph tab.

Nodes are named ``scope/name``, so that the tab groups them by layer.  A variable is a node of
its own under its path (``dense/kernel``), read and assigned by others; the nodes of branches
and loop bodies stand under the node that runs them.  What only matters to running (constants'
values, compiled programs) is left out: this is no file format to load from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.dtypes import DType
from ..ops.graph.graph import Const, Graph, Placeholder, graphs_of

__all__ = ["graph_def"]

_SMALL = 16  # elements of a constant that is shown


def graph_def(graph: Graph) -> Any:
    """`graph` as a `GraphDef` message."""
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    message = GraphDef()
    message.versions.producer = 22  # of the attribute _output_shapes as lists
    _Writer(message).add(graph, "", "", {})
    return message


class _Writer:
    """Nodes of a graph and the graphs inside of it, under names that are used once."""

    def __init__(self, message: Any):
        self._message = message
        self._used: set[str] = set()
        self._variables: dict[int, str] = {}

    def add(self, graph: Graph, prefix: str, around: str, fed: dict[int, str]) -> None:
        """Append the nodes, which are in the scope `around` anyhow; `fed` says what each
        placeholder stands for."""
        names: dict[int, str] = {}
        for node in graph.nodes:
            scope = node.scope.removeprefix(around).lstrip("/")
            scope = f"{scope}/" if scope else ""
            name = self._unique(prefix + scope + node.name)
            names[id(node)] = name
            source = fed.get(id(node.outputs[0])) if node.outputs else None
            stands = node.primitive is Placeholder and source is not None
            made = self._message.node.add(name=name, op="Identity" if stands else node.type)
            made.input.extend([source] if stands and source else [])
            for variable in self._of(node):
                made.input.append(self._variable(variable))
            made.input.extend(_named(names, tensor) for tensor in node.inputs)
            _attributes(made, node)
            for inner in graphs_of(node):
                outer = {id(i): _named(names, o) for o, i in inner.captures if _has(names, o)}
                self.add(inner, f"{name}/{inner.name}/", node.scope, outer)

    def _unique(self, name: str) -> str:
        # TensorFlow's rule for names: no other signs, none of - / _ at the start.
        name = "".join(c if c.isalnum() or c in "_./->" else "_" for c in name)
        name = name.lstrip("-/_")
        found, n = name or "node", 0
        while found in self._used:
            n += 1
            found = f"{name}_{n}"
        self._used.add(found)
        return found

    @staticmethod
    def _of(node: Any) -> list[Any]:
        one = node.attrs.get("variable")
        return ([] if one is None else [one]) + list(node.attrs.get("variables") or ())

    def _variable(self, variable: Any) -> str:
        name = self._variables.get(id(variable))
        if name is None:
            path = getattr(variable, "path", None) or variable.name.split(":")[0]
            name = self._variables[id(variable)] = self._unique(path)
            made = self._message.node.add(name=name, op="VarHandleOp")
            made.attr["dtype"].type = variable.dtype.as_datatype_enum
            _shape(made.attr["shape"].shape, variable.shape)
        return name


def _has(names: dict[int, str], tensor: Any) -> bool:
    return id(getattr(tensor, "node", None)) in names


def _named(names: dict[int, str], tensor: Any) -> str:
    return names[id(tensor.node)] + (f":{tensor.index}" if tensor.index else "")


def _attributes(made: Any, node: Any) -> None:
    for output in node.outputs:
        _shape(made.attr["_output_shapes"].list.shape.add(), output.shape)
    if node.outputs and node.outputs[0].dtype.as_datatype_enum:
        key = "dtype" if node.primitive in (Const, Placeholder) else "T"
        made.attr[key].type = node.outputs[0].dtype.as_datatype_enum
    for key, value in node.attrs.items():
        if isinstance(value, (Graph, type)) or key in ("variable", "variables", "spec"):
            continue
        _attribute(made.attr[key], value)
    if node.place is not None:
        made.attr["_user_line"].s = f"{node.place[0]}:{node.place[1]}".encode()


def _attribute(attr: Any, value: Any) -> None:
    if isinstance(value, (bool, np.bool_)):
        attr.b = bool(value)
    elif isinstance(value, (int, np.integer)) and -(2**63) <= value < 2**63:
        attr.i = int(value)
    elif isinstance(value, (float, np.floating)):
        attr.f = float(value)
    elif isinstance(value, DType):
        attr.type = value.as_datatype_enum
    elif isinstance(value, np.ndarray) and value.size > _SMALL:
        attr.s = f"{value.dtype}{list(value.shape)}".encode()
    else:
        attr.s = str(value)[:200].encode("utf-8", "replace")


def _shape(message: Any, shape: Any) -> None:
    if shape.rank is None:
        message.unknown_rank = True
        return
    for size in shape:
        message.dim.add(size=-1 if size is None else size)
