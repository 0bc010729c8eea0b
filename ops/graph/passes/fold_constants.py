"""Constant folding: what depends on constants only is computed once, while compiling."""

from __future__ import annotations

from typing import Any

from ...quiet import quietly
from ...string_array import StringArray
from ..graph import Const, Graph, Node, constant_value, copy_node

__all__ = ["fold_constants"]

_MOST_BYTES = 1 << 20  # larger results (zeros, ranges) are cheaper to make than to keep


def fold_constants(graph: Graph) -> Graph:
    """`graph` with pure calls on constants replaced by their results.

    A call that fails is left: whoever runs it gets the error.
    """

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        primitive = node.primitive
        if primitive is Const or primitive.stateful or primitive.random or not node.outputs:
            return copy_node(new, node, inputs)
        values = [constant_value(t) for t in inputs]
        if any(v is None for v in values) or not _small(node):
            return copy_node(new, node, inputs)
        try:
            made = quietly(primitive.kernel(node.attrs), *values)
        except Exception:
            return copy_node(new, node, inputs)
        made = made if type(made) is tuple else (made,)
        return tuple(
            new.add(Const, (), {"value": v if isinstance(v, StringArray) else _kept(v)})[0]
            for v in made
        )

    return graph.rebuild(visit)


def _small(node: Node) -> bool:
    for t in node.outputs:
        size = t.shape.num_elements()
        if size is None or size * max(t.dtype.size, 1) > _MOST_BYTES:
            return False
    return True


def _kept(value: Any) -> Any:
    """An array that no constant shares its memory with."""
    return value.copy() if getattr(value, "base", None) is not None else value
