"""map_and_filter_fusion: a filter behind a map runs before it, or together with it.

Before it, where what the predicate needs is little of what the map computes: the predicate then
reads the map's own input, and the map works on what is kept.  Otherwise one graph computes
results and mask, so that what both need is computed once and one stage does it.

A filter that runs first spares elements it drops the map, so they are not checked: the map must
not be able to fail on them for other reasons than damaged data.
"""

from __future__ import annotations

import dataclasses

from ..composition import compose, pruned, with_mask
from ..failures import Failures
from ..node import Node
from ..transforms.filter import FilterNode
from ..transforms.map import MapNode
from ..transforms.map_filter import MapFilterNode
from .common import describe, row_cost

__all__ = ["rewrite", "told", "why_not"]

_LITTLE = 4  # the map must compute this many times what the predicate needs of it


def rewrite(node: Node) -> Node | None:
    """A filter and then a map, or one node that is both."""
    if not (isinstance(node, FilterNode) and isinstance(node.input, MapNode)):
        return None
    if _reason(node) is not None:
        return None
    return _filter_first(node, node.input) or _both(node, node.input)


def told(before: Node, after: Node) -> str:
    """What runs now, in order."""
    if isinstance(after, MapNode):
        return f"{describe(after.input)} before {describe(after)}"
    return describe(after)


def why_not(node: Node) -> str | None:
    """Why a filter stays behind a map."""
    if isinstance(node, FilterNode) and isinstance(node.input, MapNode):
        return _reason(node)
    return None


def _reason(node: FilterNode) -> str | None:
    before = node.input
    assert isinstance(before, MapNode)
    for one in (before, node):
        function = one.function
        if function.traced is None:
            return f"{function.name!r} was not traced: {function.why_not}"
        if function.is_stateful:
            return f"{function.name!r} changes state outside"
    return None


def _filter_first(node: FilterNode, before: MapNode) -> Node | None:
    """The filter before the map, where that is sound and pays."""
    function, predicate = before.function, node.function
    if function.is_random or function.failures > Failures.ON_DATA:
        return None
    early = compose(function, predicate)
    if early is None:
        return None
    early = pruned(early)
    early.name = predicate.name
    assert early.traced is not None
    assert function.traced is not None
    assert predicate.traced is not None
    alone = row_cost(pruned(predicate).traced.graph.nodes)  # type: ignore[union-attr]
    shared = row_cost(early.traced.graph.nodes) - alone
    if shared * _LITTLE > row_cost(function.traced.graph.nodes):
        return None
    first = dataclasses.replace(node, input=before.input, function=early)
    return dataclasses.replace(before, input=first)


def _both(node: FilterNode, before: MapNode) -> Node | None:
    function = with_mask(before.function, node.function)
    if function is None:
        return None
    lines = [line for line in (before.source, node.source) if line]
    return MapFilterNode(
        before.input, function, before.num_parallel_calls, name=node.name,
        source=", ".join(dict.fromkeys(lines)),
    )  # fmt: skip
