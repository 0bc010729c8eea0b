"""map_parallelization: traced functions run on several blocks at a time, in order.

Maps of traced functions without effects outside become `ParallelNode`s on the shared pool, with
as many threads as there are CPUs or as `num_parallel_calls` says.  A function that was not
traced runs in parallel only where the user asked for it with `num_parallel_calls`.  A prefetch
of nothing but batches of a parallel stage's blocks is dropped: that stage works ahead itself,
and one more thread would only take time from its threads.
"""

from __future__ import annotations

from ..node import Node
from ..parallel import ParallelNode
from ..transforms.batch import BatchNode
from ..transforms.map import MapNode
from ..transforms.prefetch import PrefetchNode
from ..transforms.skip import SkipNode
from ..transforms.take import TakeNode
from .common import describe, python_step

__all__ = ["rewrite", "told", "why_not", "works_ahead"]

_VIEWS = (BatchNode, TakeNode, SkipNode)


def rewrite(node: Node) -> Node | None:
    """A parallel form of a map; or what a needless prefetch reads."""
    if isinstance(node, MapNode) and _reason(node) is None:
        asked = node.num_parallel_calls
        return ParallelNode(
            node.input, node.function, "map", parallelism=max(asked or 0, 0),
            deterministic=node.deterministic is not False, name=node.name, source=node.source,
        )  # fmt: skip
    if isinstance(node, PrefetchNode) and works_ahead(node.input):
        return node.input
    return None


def told(before: Node, after: Node) -> str:
    """The parallel stage, or the prefetch that was dropped."""
    if isinstance(before, PrefetchNode):
        return f"{describe(before)} dropped: the parallel stage before it works ahead"
    return describe(after)


def works_ahead(node: Node) -> bool:
    """Whether a parallel stage runs blocks ahead, and only cheap views of them follow."""
    while isinstance(node, _VIEWS):
        node = node.inputs[0]
    return isinstance(node, ParallelNode) and node.function.traced is not None


def why_not(node: Node) -> str | None:
    """Why a map stays on its consumer's thread."""
    return _reason(node) if isinstance(node, MapNode) else None


def _reason(node: MapNode) -> str | None:
    function = node.function
    if function.traced is None:
        if node.num_parallel_calls is None:
            return (
                f"{function.name!r} was not traced, so it runs in order; num_parallel_calls "
                f"would let it run on several threads"
            )
        return None
    if function.is_stateful:
        return f"{function.name!r} changes state outside, so it runs in order"
    if node.num_parallel_calls is None:
        before = python_step(node.input)
        if before is not None:
            return f"it would read ahead of {before.label}, which runs Python per element"
    return None
