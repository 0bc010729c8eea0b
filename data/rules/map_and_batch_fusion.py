"""map_and_batch_fusion: a parallel map or filter hands its results out in whole batches.

A batch of rows that lie in one block is a view of them.  A stage that knows the size of the
batches made of its results works on blocks of so many rows, so that no batch has to be put
together from two blocks, which would copy it.
"""

from __future__ import annotations

import dataclasses

from ..node import Node
from ..parallel import ParallelNode
from ..transforms.batch import BatchNode
from ..transforms.map import MapNode
from ..transforms.prefetch import PrefetchNode
from ..transforms.take import TakeNode
from .common import describe

__all__ = ["rewrite", "told", "why_not"]

_HAND_ON = (PrefetchNode, TakeNode)  # rows in the blocks they came in


def rewrite(node: Node) -> Node | None:
    """The batch whose parallel stage knows its size."""
    if not isinstance(node, BatchNode) or _reason(node) is not None:
        return None
    path, stage = _path(node)
    assert isinstance(stage, ParallelNode)
    plan: Node = dataclasses.replace(stage, multiple=node.batch_size)
    for one in reversed(path):
        plan = one.with_inputs(plan)
    return plan


def told(before: Node, after: Node) -> str:
    """The stage and the size."""
    assert isinstance(after, BatchNode)
    return f"{_path(after)[1].label} works on whole batches of {after.batch_size}"


def why_not(node: Node) -> str | None:
    """Why batches of a map's results may span two of its blocks."""
    if not isinstance(node, BatchNode):
        return None
    stage = _path(node)[1]
    if isinstance(stage, ParallelNode) and 1 < stage.multiple == node.batch_size:
        return None
    return _reason(node) if isinstance(stage, (MapNode, ParallelNode)) else None


def _path(node: BatchNode) -> tuple[list[Node], Node]:
    """The batch and what hands rows on to it, and the node whose results those are."""
    path: list[Node] = [node]
    below = node.input
    while isinstance(below, _HAND_ON):
        path.append(below)
        below = below.input
    return path, below


def _reason(node: BatchNode) -> str | None:
    stage = _path(node)[1]
    if not isinstance(stage, ParallelNode):
        return f"{describe(stage)} runs when it is asked, for as many elements"
    if node.batch_size == 1:
        return "any element is a whole batch of 1"
    if stage.multiple != 1:
        return f"{stage.label} works on batches of {stage.multiple} already"
    return None
