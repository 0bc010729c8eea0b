"""Gradients of broadcasting: nothing is summed up where nothing was repeated.

The gradient of ``x + y`` for x is summed down to the shape of x.  A trace that does not know
the batch cannot tell whether x was repeated, and the call that finds out keeps x in memory
until then.  Where the unknown sizes are one and the same (`sizes`), the gradient will do.
"""

from __future__ import annotations

from typing import Any

from ..graph import Graph, Node, copy_node
from ..sizes import sizes_of

__all__ = ["broadcast_gradients"]


def broadcast_gradients(graph: Graph) -> Graph:
    """`graph` without sums of gradients that have the wanted shape."""
    if not any(node.type == "_SumTo" for node in graph.nodes):
        return graph
    sizes = sizes_of(graph)

    def is_idle(node: Node) -> bool:
        if node.type != "_SumTo":
            return False
        have, want = (sizes.get(id(t)) for t in node.inputs)
        return have is not None and have == want

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        return (inputs[0],) if is_idle(node) else copy_node(new, node, inputs)

    return graph.rebuild(visit) if any(map(is_idle, graph.nodes)) else graph
