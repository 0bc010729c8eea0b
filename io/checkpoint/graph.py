"""The graph of objects that a checkpoint holds, and the names under which their values lie.

An object's name is the shortest way to it, as TensorFlow has it.  `trackable` says what the
parts of objects are.  (Format: tensorflow/core/protobuf/trackable_object_graph.proto.)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ..checkpoint_messages import TrackableObjectGraph
from ..trackable import Child, children_of, values_of

__all__ = ["OBJECT_GRAPH_KEY", "ObjectGraph", "escaped", "proto_paths", "value_key"]

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_ATTRIBUTES, _OWN = ".ATTRIBUTES", ".HEADRACE"


def escaped(name: str) -> str:
    """A part's name as it stands in keys: there ``/`` parts names, and dots are doubled."""
    return name.replace(".", "..").replace("/", ".S")


class ObjectGraph:
    """All objects that can be reached from `root`, each once, nearest first.

    Args:
        root: the object to start from.
        children: its parts, where it does not say them itself.

    Attributes:
        objects: the objects.
        paths: their names, joined by ``/``.
    """

    def __init__(self, root: Any, children: Callable[[Any], list[Child]] = children_of):
        self.objects: list[Any] = [root]
        self.paths = [""]
        self._children: list[list[tuple[str, int]]] = []
        numbers = {id(root): 0}
        for i in itertools.count():
            if i == len(self.objects):
                break
            found = []
            for name, child in children(self.objects[i]):
                number = numbers.get(id(child))
                if number is None:
                    number = numbers[id(child)] = len(self.objects)
                    self.objects.append(child)
                    prefix = f"{self.paths[i]}/" if self.paths[i] else ""
                    self.paths.append(prefix + escaped(name))
                found.append((name, number))
            self._children.append(found)

    def saved(self) -> tuple[Any, dict[str, Callable[[], Any]]]:
        """The graph's message, and functions that give the values, by key."""
        proto = TrackableObjectGraph()
        tensors: dict[str, Callable[[], Any]] = {}
        for obj, path, children in zip(self.objects, self.paths, self._children, strict=True):
            node = proto.nodes.add()
            node.has_checkpoint_values.value = True
            for name, number in children:
                node.children.add(node_id=number, local_name=name)
            for name, value in values_of(obj).items():
                key = value_key(path, name)
                tensors[key] = value
                known = {a.name for a in node.attributes}
                attribute = name.partition("-")[0]
                if not name.startswith(".") and attribute not in known:
                    full = getattr(obj, "_name", None)
                    full = full if isinstance(full, str) else ""
                    node.attributes.add(
                        name=attribute,
                        full_name=full,
                        checkpoint_key=value_key(path, attribute),
                    )
        return proto, tensors


def value_key(path: str, name: str) -> str:
    """The key of the attribute `name` of the object at `path`."""
    if name.startswith("."):
        return f"{path}/{_OWN}/{escaped(name[1:])}"
    return f"{path}/{_ATTRIBUTES}/{escaped(name)}"


def proto_paths(proto: Any) -> list[str | None]:
    """The shortest way to each node of a saved graph; None for those that no way leads to."""
    paths: list[str | None] = [None] * len(proto.nodes)
    if paths:
        paths[0] = ""
    pending = [0] if paths else []
    for i in pending:
        prefix = f"{paths[i]}/" if paths[i] else ""
        for child in proto.nodes[i].children:
            if paths[child.node_id] is None:
                paths[child.node_id] = prefix + escaped(child.local_name)
                pending.append(child.node_id)
    return paths
