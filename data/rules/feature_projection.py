"""feature_projection: parsed features nobody reads are not parsed.

Once maps are fused, a graph says which outputs of a parsing operation are used; the others are
taken out of the operation's feature list (the primitive's `prune`), so that the parser skips
them without looking.
"""

from __future__ import annotations

import dataclasses

from ...ops.graph import Graph
from ..composition import pruned
from ..node import Node
from .common import describe, function_of

__all__ = ["rewrite", "told", "why_not"]


def rewrite(node: Node) -> Node | None:
    """The node with a parser that makes only what is used."""
    function = function_of(node)
    if function is None or function.traced is None or function.mode == "block":
        return None
    graph = function.traced.graph
    if _unused(graph) == 0:
        return None
    smaller = pruned(function)
    assert smaller.traced is not None
    if _parsed(smaller.traced.graph) >= _parsed(graph):
        return None
    return dataclasses.replace(node, function=smaller)  # type: ignore[call-arg]


def told(before: Node, after: Node) -> str:
    """How many components are left."""
    counts = [_parsed(function_of(n).traced.graph) for n in (before, after)]  # type: ignore[union-attr]
    return f"{describe(after)} parses {counts[1]} of {counts[0]} components"


def why_not(node: Node) -> str | None:
    """Why all features of a parser are parsed: they are used."""
    function = function_of(node)
    if function is None or function.traced is None:
        return None
    graph = function.traced.graph
    parsed = _parsed(graph)
    if not parsed or _unused(graph):
        return None
    return f"{function.name!r} uses all of the {parsed} components that it parses"


def _parsed(graph: Graph) -> int:
    return sum(len(n.outputs) for n in graph.nodes if hasattr(n.primitive, "prune"))


def _unused(graph: Graph) -> int:
    used = graph.uses()
    return sum(
        1
        for n in graph.nodes
        if hasattr(n.primitive, "prune")
        for t in n.outputs
        if not used.get(id(t))
    )
