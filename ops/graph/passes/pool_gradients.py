"""Gradients in front of a pooling: what is done to a pooled gradient is done to its few numbers
before they are spread over the windows.

The gradient of a maximum stands where the maximum is, and the relu's result there is the
maximum itself.  So, for y = max_pool(x):

    relu_grad(max_pool_grad(x, y, g), x)  is  max_pool_grad(x, y, relu_grad(g, y))
    bias_add_grad(max_pool_grad(x, y, g))  is  bias_add_grad(g)

The second adds the same numbers in another order, so graphs that must be exact stay as they
are.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...primitive import get_primitive
from ..graph import Graph, Node, copy_node

__all__ = ["pool_gradients"]


def pool_gradients(graph: Graph) -> Graph:
    """`graph` with relu's and bias's gradients taken of pooled gradients."""
    if graph.exact or not any(node.type == "MaxPoolGrad" for node in graph.nodes):
        return graph
    uses = Counter(id(t) for node in graph.nodes for t in node.inputs)
    uses.update(id(t) for t in graph.outputs)
    spread: set[int] = set()  # new tensors that are gradients of a pooling

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        first = inputs[0] if inputs else None
        if id(first) in spread:
            pool = first.node
            x, y, g = pool.inputs
            alone = uses[id(node.inputs[0])] == 1
            if node.type == "ReluGrad" and inputs[1] is x and alone:
                masked = get_primitive("ReluGrad")(g, y)
                made = new.add(pool.primitive, (x, y, masked), pool.attrs)
                spread.add(id(made[0]))
                return made
            if node.type == "BiasAddGrad" and node.attrs == _layout(pool):
                return (get_primitive("BiasAddGrad")(g, **node.attrs),)
        made = copy_node(new, node, inputs)
        if node.type == "MaxPoolGrad":
            spread.add(id(made[0]))
        return made

    return graph.rebuild(visit)


def _layout(pool: Node) -> dict[str, Any]:
    """The attributes of a bias in the layout of a pooling."""
    return {"data_format": pool.attrs["data_format"]}
