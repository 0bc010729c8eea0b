"""Early starts: what begins something that goes on beside the graph (a reduction between
replicas) runs as soon as its inputs are there, not where it was traced.

Primitives with `starts_early` keep their order among each other: other replicas run the same.
They are told which of their inputs nobody reads afterwards (the attribute `own`): results may
take the place of these.
"""

from __future__ import annotations

from typing import Any

from ..fused import Fused
from ..graph import Graph, Node, copy_node
from .fuse_loops import FRESH

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
    readers: dict[int, int] = {}
    for node in graph.nodes:
        for t in node.inputs:
            readers[id(t)] = readers.get(id(t), 0) + 1
    for t in graph.outputs:
        readers[id(t)] = 2

    def is_own(t: Any) -> bool:
        while readers[id(t)] == 1 and t.node.type == "Reshape":
            t = t.node.inputs[0]
        made = t.node.primitive is Fused or t.node.type in FRESH
        return readers[id(t)] == 1 and made

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        if id(node) not in early:
            return copy_node(new, node, inputs)
        own = tuple(is_own(t) for t in node.inputs)
        return new.add(node.primitive, inputs, {**node.attrs, "own": own})

    return graph.rebuild(visit, order=order)
