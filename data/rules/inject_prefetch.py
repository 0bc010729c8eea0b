"""inject_prefetch: the pipeline's last stages run on a thread of their own.

Added at the end of plans that have work worth overlapping with the consumer's: parallel
stages or files.  Never where Python code runs per element, which must not run ahead of what
is asked for.
"""

from __future__ import annotations

from ..auto_prefetch import AutoPrefetchNode
from ..node import Node
from ..parallel import ParallelNode
from ..transforms.on_device import OnDeviceNode
from ..transforms.prefetch import PrefetchNode
from .common import describe, python_step, walk
from .map_parallelization import works_ahead

__all__ = ["AUTOTUNE", "rewrite", "told", "why_not"]

AUTOTUNE = -1


def rewrite(node: Node) -> Node | None:
    """The plan with a prefetch at its end, in front of the copies to a device."""
    if isinstance(node, OnDeviceNode):
        inner = rewrite(node.input)
        return None if inner is None else node.with_inputs(inner)
    if isinstance(node, PrefetchNode) or _reason(node) is not None:
        return None
    return AutoPrefetchNode(node, AUTOTUNE, source=node.source)


def told(before: Node, after: Node) -> str:
    """Where it was added."""
    if isinstance(before, OnDeviceNode):
        return told(before.input, after.inputs[0])
    return f"prefetch added after {describe(before)}"


def why_not(node: Node) -> str | None:
    """Why there is no prefetch at the end, or no further one."""
    return None if isinstance(node, (OnDeviceNode, PrefetchNode)) else _reason(node)


def _reason(node: Node) -> str | None:
    python = python_step(node)
    if python is not None:
        return f"{python.label} runs Python per element and must not run ahead"
    if works_ahead(node):
        return "the parallel stage before the end works ahead"
    if not any(isinstance(n, ParallelNode) or getattr(n, "reads_files", False)
               for n in walk(node)):  # fmt: skip
        return "no stage has work worth a thread of its own"
    return None
