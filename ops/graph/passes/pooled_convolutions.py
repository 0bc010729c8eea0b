"""Convolutions with bias and relu whose result is only max-pooled: one operation, which never
writes what lies between, and gradients that begin at the pooled gradient.

It runs behind `pool_gradients`, which has moved relu's and bias's gradients in front of the
pooling's.  Written p for max_pool(y), y for relu(convolution(x, w) + b), and h for
relu_grad(g, p):

    p                                              becomes p, i = pooled_convolution(x, w, b)
    filter_gradient(x, max_pool_grad(y, p, h))     becomes filter_grad(x, w, g, i)
    input_gradient(w, max_pool_grad(y, p, h))      becomes input_grad(w, g, i)
    bias_add_grad(h)                               comes with the second

Sums are formed in another order, so graphs that must be exact stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from ...kernels.pooled import wanted
from ...primitive import get_primitive
from ...windows import Windows
from ..graph import Graph, Node, copy_node
from .dead_nodes import dead_nodes

__all__ = ["pooled_convolutions"]


class _Found(NamedTuple):
    """A convolution to be replaced, by its nodes."""

    convolution: Node
    pool: Node
    spread: list[Node]  # gradients of the pooling


def pooled_convolutions(graph: Graph) -> Graph:
    """`graph` with one operation for each such convolution, where there are kernels for it."""
    if graph.exact or not any(n.type == "_ConvolutionBiasActivation" for n in graph.nodes):
        return graph
    graph = dead_nodes(graph)  # what pool_gradients has replaced is no use
    users: dict[int, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for t in node.inputs:
            users[id(t)].append(node)
    kept = {id(t) for t in graph.outputs}
    found = [f for n in graph.nodes if (f := _matched(n, users, kept))]
    if not found:
        return graph
    return graph.rebuild(_Rewriting(found).visit)


def _matched(node: Node, users: dict[int, list[Node]], kept: set[int]) -> _Found | None:
    if node.type != "_ConvolutionBiasActivation" or not node.attrs["relu"]:
        return None
    x, w, _ = node.inputs
    y = node.outputs[0]
    pools = [n for n in users[id(y)] if n.type == "MaxPool"]
    spread = [n for n in users[id(y)] if n.type == "MaxPoolGrad"]
    if len(pools) != 1 or len(pools) + len(spread) != len(users[id(y)]) or id(y) in kept:
        return None
    pool = pools[0]
    if not _halves(pool) or not _known(node) or node.device != pool.device:
        return None
    attrs = _plain_attrs(node)
    for grad in spread:
        first, second, masked = grad.inputs
        d = grad.outputs[0]
        if (
            grad.attrs != pool.attrs
            or first is not y
            or second is not pool.outputs[0]
            or masked.node.type != "ReluGrad"
            or masked.node.inputs[1] is not second
            or id(d) in kept
        ):
            return None
        for user in users[id(d)]:
            place = {"Conv2DBackpropFilter": (0, x), "Conv2DBackpropInput": (1, w)}.get(
                user.type
            )
            if (
                place is None
                or user.attrs != attrs
                or user.inputs[2] is not d
                or user.inputs[place[0]] is not place[1]
            ):
                return None
    return _Found(node, pool, spread)


def _plain_attrs(convolution: Node) -> dict[str, Any]:
    return {k: v for k, v in convolution.attrs.items() if k != "relu"}


def _halves(pool: Node) -> bool:
    a = pool.attrs
    return (
        tuple(a["ksize"]) == tuple(a["strides"]) == (1, 2, 2, 1)
        and a["padding"] == "VALID"
        and a["data_format"] == "NHWC"
    )


def _known(node: Node) -> bool:
    """Whether the convolution is one for kernels, as far as its shapes tell."""
    x, w, _ = node.inputs
    a = node.attrs
    if x.dtype != "float32" or a["data_format"] != "NHWC" or a["padding"] == "EXPLICIT":
        return False
    if x.shape.rank != 4 or None in x.shape.dims[1:] or None in w.shape.dims:
        return False
    size, kernel = tuple(x.shape.dims[1:3]), tuple(w.shape.dims[:2])
    at = Windows(size, kernel, a["strides"][1:3], a["dilations"][1:3], a["padding"])
    return x.shape.dims[3] == w.shape.dims[2] and wanted(tuple(w.shape.dims), at)


class _Rewriting:
    """What becomes of each node."""

    def __init__(self, found: list[_Found]):
        self.by_convolution = {id(f.convolution): f for f in found}
        self.by_pool = {id(f.pool): f for f in found}
        self.by_gradient = {id(n.outputs[0]): f for f in found for n in f.spread}
        # By the masked gradient in front of the pooling's: that gradient, and its convolution.
        self.by_masked = {id(n.inputs[2]): (n, f) for f in found for n in f.spread}
        self.given: dict[int, tuple[Any, ...]] = {}  # new inputs of old nodes that are gone
        self.index: dict[int, Any] = {}
        self.filter_gradients: dict[int, tuple[Any, Any]] = {}

    def visit(self, new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        """See `Graph.rebuild`."""
        if id(node) in self.by_convolution:
            self.given[id(node)] = inputs
            return None
        if id(node) in self.by_pool:
            convolution = self.by_pool[id(node)].convolution
            made = new.add(
                get_primitive("_PooledConvolution"), self.given[id(convolution)],
                _plain_attrs(convolution),
            )  # fmt: skip
            self.index[id(convolution)] = made[1]
            return made[:1]
        if node.outputs and id(node.outputs[0]) in self.by_gradient:
            return None
        if node.outputs and id(node.outputs[0]) in self.by_masked:
            self.given[id(node)] = inputs
            return copy_node(new, node, inputs)
        if node.type in ("Conv2DBackpropFilter", "Conv2DBackpropInput"):
            d = node.inputs[2]
            if id(d) in self.by_gradient:
                f = self.by_gradient[id(d)]
                if node.type == "Conv2DBackpropFilter":
                    return self._filter_gradient(new, d.node, f)[:1]
                g = self.given[id(d.node.inputs[2].node)][0]
                index = self.index[id(f.convolution)]
                return new.add(
                    get_primitive("_PooledConvolutionInputGrad"),
                    (inputs[0], inputs[1], g, index), node.attrs,
                )  # fmt: skip
        if node.type == "BiasAddGrad" and id(node.inputs[0]) in self.by_masked:
            spread, f = self.by_masked[id(node.inputs[0])]
            if node.attrs == {"data_format": "NHWC"}:
                return self._filter_gradient(new, spread, f)[1:]
        return copy_node(new, node, inputs)

    def _filter_gradient(self, new: Graph, spread: Node, f: _Found) -> tuple[Any, Any]:
        """The gradients of filter and bias."""
        if id(spread) not in self.filter_gradients:
            x, w, _ = self.given[id(f.convolution)]
            g = self.given[id(spread.inputs[2].node)][0]
            made = new.add(
                get_primitive("_PooledConvolutionFilterGrad"),
                (x, w, g, self.index[id(f.convolution)]), _plain_attrs(f.convolution),
            )  # fmt: skip
            self.filter_gradients[id(spread)] = made
        return self.filter_gradients[id(spread)]
