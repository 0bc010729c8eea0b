"""map_fusion: maps that follow each other become one, their functions one graph.

Between the functions nothing is stored, and what the second does not use the first need not
compute.  Only traced functions without effects outside fuse, and only maps that agree about
order.

One thing shows: random numbers are keyed by an element's position among those a map gets.  An
element that fails in the first function counts for a fused map, but would never have reached
the second, so that random numbers behind it differ from the unfused plan's.
"""

from __future__ import annotations

import dataclasses

from ..composition import compose
from ..node import Node
from ..stats import short_line
from ..transforms.map import MapNode
from .common import describe

__all__ = ["rewrite", "told", "why_not"]


def rewrite(node: Node) -> Node | None:
    """A map of a map as one map."""
    if not (isinstance(node, MapNode) and isinstance(node.input, MapNode)):
        return None
    first = node.input
    if _reason(node) is not None:
        return None
    function = compose(first.function, node.function)
    if function is None:
        return None
    lines = [line for line in (first.source, node.source) if line]
    return dataclasses.replace(
        node, input=first.input, function=function, source=", ".join(dict.fromkeys(lines)),
        num_parallel_calls=node.num_parallel_calls or first.num_parallel_calls,
    )  # fmt: skip


def told(before: Node, after: Node) -> str:
    """The fused function."""
    return describe(after)


def why_not(node: Node) -> str | None:
    """Why a map of a map stays two."""
    if isinstance(node, MapNode) and isinstance(node.input, MapNode):
        return _reason(node)
    return None


def _reason(node: MapNode) -> str | None:
    first = node.input
    assert isinstance(first, MapNode)
    for one in (first, node):
        function = one.function
        if function.traced is None:
            return f"{function.name!r} was not traced: {function.why_not}"
        if function.is_stateful:
            return f"{function.name!r} ({short_line(one.source)}) changes state outside"
    if first.deterministic != node.deterministic:
        return "the maps differ in `deterministic`"
    return None
