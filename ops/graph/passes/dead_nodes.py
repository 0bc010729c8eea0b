"""Dead nodes: what no output and no effect needs is not computed."""

from __future__ import annotations

from typing import Any

from ..graph import Graph, Node, Placeholder, copy_node

__all__ = ["dead_nodes"]


def dead_nodes(graph: Graph) -> Graph:
    """`graph` without the nodes that neither reach an output nor change state.

    A primitive with a `prune` function loses the outputs nobody reads: this is how features
    that a pipeline does not use are never parsed.
    """
    needed = {id(t) for t in graph.outputs}
    alive: set[int] = set()
    for node in reversed(graph.nodes):
        effect = (
            node.primitive.stateful
            and not node.primitive.random
            and node.type != "ReadVariableOp"
        )
        if (
            effect
            or node.primitive is Placeholder
            or any(id(t) in needed for t in node.outputs)
        ):
            alive.add(id(node))
            needed.update(id(t) for t in node.inputs)

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        if id(node) not in alive:
            return None
        prune = getattr(node.primitive, "prune", None)
        if prune is not None:
            used = [i for i, t in enumerate(node.outputs) if id(t) in needed]
            if len(used) < len(node.outputs):
                attrs, places = prune(node.attrs, used)
                made = new.add(node.primitive, inputs, attrs)
                return [
                    made[places[i]] if i in places else None for i in range(len(node.outputs))
                ]
        return copy_node(new, node, inputs)

    return graph.rebuild(visit)
