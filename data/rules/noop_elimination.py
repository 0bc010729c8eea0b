"""noop_elimination: stages that pass every element on unchanged are dropped.

``take(-1)``, ``skip(0)``, ``repeat(1)``, ``shard(1, 0)``, ``prefetch(0)``, ``shuffle(1)``, a
map that returns its argument, and a take of at least as many elements as there are.
"""

from __future__ import annotations

from ..node import Node
from ..transforms.map import MapNode
from ..transforms.prefetch import PrefetchNode
from ..transforms.repeat import RepeatNode
from ..transforms.shard import ShardNode
from ..transforms.shuffle import ShuffleNode
from ..transforms.skip import SkipNode
from ..transforms.take import TakeNode
from .common import describe

__all__ = ["rewrite", "told", "why_not"]


def rewrite(node: Node) -> Node | None:
    """The input of a node that changes nothing."""
    return node.inputs[0] if _changes_nothing(node) else None


def told(before: Node, after: Node) -> str:
    """What was dropped."""
    return f"{describe(before)} dropped"


def why_not(node: Node) -> str | None:
    """Nothing to say: a stage that does something stays."""


def _changes_nothing(node: Node) -> bool:
    match node:
        case TakeNode():
            n = node.input.cardinality
            return node.count < 0 or 0 <= n <= node.count
        case SkipNode():
            return node.count == 0
        case RepeatNode():
            return node.count == 1
        case ShardNode():
            return node.num_shards == 1
        case PrefetchNode():
            return node.buffer_size == 0
        case ShuffleNode():
            return node.buffer_size == 1
        case MapNode():
            return _is_identity(node)
    return False


def _is_identity(node: MapNode) -> bool:
    traced = node.function.traced
    if traced is None or traced.graph.is_stateful:
        return False
    inputs, outputs = traced.graph.inputs, traced.graph.outputs
    return (
        len(inputs) == len(outputs)
        and all(a is b for a, b in zip(inputs, outputs, strict=True))
        and node.element_spec == node.input.element_spec
    )
