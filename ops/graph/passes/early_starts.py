"""Early starts: what begins something that goes on beside the graph (a reduction between
replicas) runs as soon as its inputs are there, not where it was traced.

Primitives with `starts_early` keep their order among each other: other replicas run the same.
"""

from __future__ import annotations

from ..graph import Graph, Node, copy_node

__all__ = ["early_starts"]


def early_starts(graph: Graph) -> Graph:
    """`graph` with the calls that start early moved up."""
    starts = [n for n in graph.nodes if getattr(n.primitive, "starts_early", False)]
    if not starts:
        return graph
    place = {id(node): i for i, node in enumerate(graph.nodes)}
    moved: dict[int, list[Node]] = {}
    earliest = -1
    for node in starts:
        ready = max((place[id(t.node)] for t in node.inputs), default=0)
        # Nothing is moved behind what it was traced before.
        earliest = max(earliest, ready)
        moved.setdefault(earliest, []).append(node)
    early = {id(node) for node in starts}
    order: list[Node] = []
    for i, node in enumerate(graph.nodes):
        if id(node) not in early:
            order.append(node)
        order.extend(moved.get(i, ()))
    return graph.rebuild(copy_node, order=order)
