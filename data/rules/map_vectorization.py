"""map_vectorization: traced functions of map and filter run on whole blocks.

The graph of one element gets a leading axis for the block (`ops.graph.batch_graph`).  Without
this rule the graph runs once per element, as in tf.data.
"""

from __future__ import annotations

import dataclasses

from ..node import Node
from .common import describe, function_of

__all__ = ["rewrite", "told", "why_not"]


def rewrite(node: Node) -> Node | None:
    """The node with its function in the form that runs on blocks."""
    function = function_of(node)
    if function is None or function.mode != "graph":
        return None
    on_blocks = function.vectorized()
    if on_blocks is function:
        return None
    return dataclasses.replace(node, function=on_blocks)  # type: ignore[call-arg]


def told(before: Node, after: Node) -> str:
    """Which function runs on blocks."""
    return f"{describe(after)} runs by the block"


def why_not(node: Node) -> str | None:
    """Why a function runs element by element."""
    function = function_of(node)
    if function is None or function.mode == "block":
        return None
    return f"{function.name!r} runs element by element: {function.why_not}"
