"""filter_parallelization: traced predicates run on several blocks at a time, in order.

As map_parallelization, for filters.  Blocks of a batch's size keep most batches views here too,
since a parallel stage hands its rows out in whole batches.
"""

from __future__ import annotations

from ..node import Node
from ..parallel import ParallelNode
from ..transforms.filter import FilterNode
from ..transforms.map_filter import MapFilterNode
from .common import describe, python_step

__all__ = ["rewrite", "told", "why_not"]

_FILTERS = (FilterNode, MapFilterNode)


def rewrite(node: Node) -> Node | None:
    """The parallel form of a filter."""
    if isinstance(node, _FILTERS) and _reason(node) is None:
        asked = node.num_parallel_calls if isinstance(node, MapFilterNode) else None
        return ParallelNode(
            node.input, node.function, node.kind, parallelism=max(asked or 0, 0),
            name=node.name, source=node.source,
        )  # fmt: skip
    return None


def told(before: Node, after: Node) -> str:
    """The parallel stage."""
    return describe(after)


def why_not(node: Node) -> str | None:
    """Why a filter stays on its consumer's thread."""
    return _reason(node) if isinstance(node, _FILTERS) else None


def _reason(node: FilterNode | MapFilterNode) -> str | None:
    function = node.function
    if function.traced is None:
        return f"{function.name!r} was not traced, so it runs in order"
    if function.is_stateful:
        return f"{function.name!r} changes state outside, so it runs in order"
    before = python_step(node.input)
    if before is not None:
        return f"it would read ahead of {before.label}, which runs Python per element"
    return None
