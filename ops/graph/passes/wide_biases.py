"""Biases of several axes, such as one per head and feature: added, and their gradients summed,
as one long row, which is what kernels take.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...primitive import get_primitive
from ...tensor import Tensor
from ..graph import Graph, Node, copy_node

__all__ = ["wide_biases"]


def wide_biases(graph: Graph) -> Graph:
    """`graph` with biases of two axes or more, and their gradients, as rows."""

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        kind = _kind(node, graph.exact)
        if kind is None:
            return copy_node(new, node, inputs)
        x, bias = inputs[::-1] if kind == "turned" else inputs
        size = bias.shape.num_elements()
        rows = _reshaped(x, [-1, size])
        if kind == "gradient":
            made = get_primitive("BiasAddGrad")(rows, data_format="NHWC")
            return (_reshaped(made, _target(bias)),)
        made = get_primitive("BiasAdd")(rows, _reshaped(bias, [size]), data_format="NHWC")
        return (_reshaped(made, _target(x)),)

    if all(_kind(node, graph.exact) is None for node in graph.nodes):
        return graph
    return graph.rebuild(visit)


def _kind(node: Node, exact: bool) -> str | None:
    """What a call is: an addition, one with the bias in front, or a bias's gradient."""
    if node.type == "AddV2":
        if _is_wide(*node.inputs):
            return "addition"
        return "turned" if _is_wide(*node.inputs[::-1]) else None
    # The gradient adds up in another order.
    found = node.type == "_SumTo" and not exact and _is_wide(*node.inputs)
    return "gradient" if found else None


def _is_wide(x: Any, bias: Any) -> bool:
    """Whether `bias` has several axes, the last ones of `x`, which has further ones."""
    dims, have = bias.shape.dims, x.shape.dims
    if dims is None or have is None or None in dims or x.dtype is not bias.dtype:
        return False
    wide = 1 < len(dims) < len(have) and have[-len(dims) :] == dims
    return wide and math.prod(dims) > max(dims) and have.count(None) <= 1


def _target(x: Any) -> list[int]:
    return [-1 if d is None else d for d in x.shape.dims]


def _reshaped(x: Any, dims: list[int]) -> Any:
    return get_primitive("Reshape")(x, Tensor.of(np.array(dims, np.int32)), batch_dims=0)
