"""shuffle_and_repeat_fusion: a shuffle that is repeated fills its buffer for the next iteration
while the last elements of this one leave it.

The elements and their order stay the same; the consumer does not wait for a buffer to be filled
at the beginning of every iteration but the first, and threads before the shuffle go on working.
It reads ahead, so not where Python code runs per element; and where the input can hand out any
of its elements at once, there is no buffer to fill.
"""

from __future__ import annotations

from ..node import Node
from ..transforms.repeat import RepeatNode
from ..transforms.shuffle import ShuffleNode
from ..transforms.shuffle_repeat import ShuffleRepeatNode
from .common import describe, python_step

__all__ = ["rewrite", "told", "why_not"]


def rewrite(node: Node) -> Node | None:
    """Both as one."""
    if not _is_pair(node) or _reason(node) is not None:
        return None
    assert isinstance(node, RepeatNode)
    shuffle = node.input
    assert isinstance(shuffle, ShuffleNode)
    lines = [line for line in (shuffle.source, node.source) if line]
    return ShuffleRepeatNode(
        shuffle.input, shuffle, node.count, name=shuffle.name or node.name,
        source=", ".join(dict.fromkeys(lines)),
    )  # fmt: skip


def told(before: Node, after: Node) -> str:
    """The new stage."""
    return describe(after)


def why_not(node: Node) -> str | None:
    """Why a repeated shuffle fills its buffer when the iteration begins."""
    return _reason(node) if _is_pair(node) else None


def _is_pair(node: Node) -> bool:
    return isinstance(node, RepeatNode) and isinstance(node.input, ShuffleNode)


def _reason(node: Node) -> str | None:
    (shuffle,) = node.inputs
    (source,) = shuffle.inputs
    if source.random_access:
        return f"{source.label} hands out its elements in any order, so no buffer is filled"
    python = python_step(source)
    if python is not None:
        return f"it would read ahead of {python.label}, which runs Python per element"
    return None
