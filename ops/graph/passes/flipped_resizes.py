"""Images resized and then flipped from left to right: the resize writes its columns in reverse.

Each column of a resized image is computed from a table of its own, so the tables in reverse
order give the flipped image, to the bit, and what the flip would cost is saved.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...primitive import get_primitive
from ..graph import Graph, Node, copy_node

__all__ = ["flipped_resizes"]

_WIDTH = -2


def flipped_resizes(graph: Graph) -> Graph:
    """`graph` with one operation for a resize whose only use is a flip of the image's columns
    that is decided for all images alike."""
    kinds = {node.type for node in graph.nodes}
    if not {"_FlipIf", "_Resize"} <= kinds:
        return graph
    uses = Counter(id(t) for node in graph.nodes for t in node.inputs)
    uses.update(id(t) for t in graph.outputs)

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        if node.type == "_FlipIf" and node.attrs["axis"] == _WIDTH:
            image, flag = node.inputs
            if image.node.type == "_Resize" and uses[id(image)] == 1 and flag.shape.rank == 0:
                resized = inputs[0].node
                both = (*resized.inputs, inputs[1])
                return new.add(get_primitive("_ResizeFlipIf"), both, resized.attrs)
        return copy_node(new, node, inputs)

    return graph.rebuild(visit)
