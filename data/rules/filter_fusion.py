"""filter_fusion: filters that follow each other become one, their predicates one graph.

Both predicates then run for every element, so the second must be one that cannot fail on an
element the first drops, and so cheap that nothing was saved by dropping first.
"""

from __future__ import annotations

import dataclasses

from ..composition import conjunction
from ..failures import Failures
from ..node import Node
from ..transforms.filter import FilterNode
from .common import describe, row_cost

__all__ = ["rewrite", "told", "why_not"]

_CHEAP = 256


def rewrite(node: Node) -> Node | None:
    """A filter of a filter as one filter."""
    if not (isinstance(node, FilterNode) and isinstance(node.input, FilterNode)):
        return None
    first = node.input
    if _reason(node) is not None:
        return None
    function = conjunction(first.function, node.function)
    if function is None:
        return None
    lines = [line for line in (first.source, node.source) if line]
    return dataclasses.replace(
        node, input=first.input, function=function, source=", ".join(dict.fromkeys(lines))
    )


def told(before: Node, after: Node) -> str:
    """The fused predicate."""
    return describe(after)


def why_not(node: Node) -> str | None:
    """Why a filter of a filter stays two."""
    if isinstance(node, FilterNode) and isinstance(node.input, FilterNode):
        return _reason(node)
    return None


def _reason(node: FilterNode) -> str | None:
    first = node.input
    assert isinstance(first, FilterNode)
    for one in (first, node):
        function = one.function
        if function.traced is None:
            return f"{function.name!r} was not traced: {function.why_not}"
        if function.is_stateful:
            return f"{function.name!r} changes state outside"
    second = node.function
    assert second.traced is not None
    if second.failures is not Failures.NEVER:
        return f"{second.name!r} might fail for elements that {first.function.name!r} drops"
    if second.is_random:
        return f"{second.name!r} draws by the number of an element that is kept"
    if row_cost(second.traced.graph.nodes) > _CHEAP:
        return f"{second.name!r} is work worth sparing what {first.function.name!r} drops"
    return None
