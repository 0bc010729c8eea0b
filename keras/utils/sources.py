"""Where a placeholder comes from."""

from __future__ import annotations

from typing import Any

from ..engine.symbolic import node_of

__all__ = ["get_source_inputs"]


def get_source_inputs(tensor: Any) -> list[Any]:
    """The inputs of a functional model that `tensor` is computed from, in order of meeting."""
    found: list[Any] = []
    seen: set[int] = set()
    stack = [tensor]
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        node = node_of(current)
        if node.is_input:
            found.extend(t for t in node.output_tensors if all(t is not f for f in found))
        else:
            stack.extend(reversed(node.inputs))
    return found
