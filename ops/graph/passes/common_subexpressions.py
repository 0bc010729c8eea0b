"""Common subexpressions: equal calls on equal inputs are made once."""

from __future__ import annotations

from typing import Any

from ..graph import Const, Graph, Node, copy_node

__all__ = ["common_subexpressions"]


def common_subexpressions(graph: Graph) -> Graph:
    """`graph` with each pure call made once per distinct inputs and attributes."""
    known: dict[Any, Any] = {}

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        if node.primitive.stateful or node.primitive.random or node.primitive is Const:
            return copy_node(new, node, inputs)
        try:
            key = (node.type, tuple(id(t) for t in inputs), tuple(sorted(node.attrs.items())))
            hash(key)
        except TypeError:
            return copy_node(new, node, inputs)
        if key not in known:
            known[key] = copy_node(new, node, inputs)
        return known[key]

    return graph.rebuild(visit)
