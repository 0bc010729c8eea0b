"""Sizes: which unknown dimensions of a graph's tensors are one and the same.

A trace for any batch size knows of most tensors no more than ``[None, 128, 256]``.  Yet the
batch of what a layer makes is the batch of what it was given.  Here an unknown dimension is a
`Size` of its own, handed on from inputs to results by a rule per kind of call; where there is
no rule, a result's unknown dimensions are new ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..shape_rules import same
from .graph import Graph, Node

__all__ = ["Dims", "Size", "sizes_of"]


class Size:
    """A dimension that only a run knows."""


Dims = tuple["int | Size", ...]
# A rule gets a call, and the dimensions of any tensor; it gives those of the results, None for
# what it does not know.
_Of = Callable[[Any], "Dims | None"]
_Rule = Callable[[Node, _Of], Sequence["Sequence[int | Size | None] | None"]]


def sizes_of(graph: Graph) -> dict[int, Dims]:
    """The dimensions of every tensor of known rank, by the tensor's id."""
    known: dict[int, Dims] = {}

    def of(tensor: Any) -> Dims | None:
        return known.get(id(tensor))

    for node in graph.nodes:
        rule = _rule(node)
        found = rule(node, of) if rule is not None else ()
        for place, t in enumerate(node.outputs):
            dims = t.shape.dims
            if dims is None:
                continue
            ruled = found[place] if place < len(found) else None
            if ruled is None or len(ruled) != len(dims):
                ruled = (None,) * len(dims)
            known[id(t)] = tuple(
                d if d is not None else Size() if r is None else r
                for d, r in zip(dims, ruled, strict=True)
            )
    return known


def _rule(node: Node) -> _Rule | None:
    found = _RULES.get(node.type)
    if found is not None:
        return found
    if node.primitive.shape is same:
        return _first
    return _broadcast if node.primitive.elementwise else None


def _like(*places: int) -> _Rule:
    """Results have the sizes of these inputs."""
    return lambda node, of: [of(node.inputs[p]) for p in places]


_first = _like(0)


def _broadcast(node: Node, of: _Of) -> Any:
    out: list[int | Size | None] = []
    for t in node.inputs:
        dims = of(t)
        if dims is None:
            return ()
        out = [1] * (len(dims) - len(out)) + out
        for i, d in enumerate(reversed(dims), 1):
            out[-i] = _joined(out[-i], d)
    return (out,)


def _joined(a: int | Size | None, b: int | Size) -> int | Size | None:
    """The size that two broadcast to."""
    if a is b or b == 1:
        return a
    if a == 1:
        return b
    # An unknown size beside a known one is that or 1; two unknown ones may be anything.
    return a if isinstance(a, int) else b if isinstance(b, int) else None


def _reduced(node: Node, of: _Of) -> Any:
    dims = of(node.inputs[0])
    if dims is None:
        return ()
    axis = node.attrs["axis"]
    gone = set(range(len(dims))) if axis is None else {a % len(dims) for a in axis}
    if node.attrs["keepdims"]:
        return ([1 if i in gone else d for i, d in enumerate(dims)],)
    return ([d for i, d in enumerate(dims) if i not in gone],)


def _einsum(node: Node, of: _Of) -> Any:
    left, right = node.attrs["equation"].split("->")
    if "." in left:
        return ()
    sizes: dict[str, int | Size | None] = {}
    for labels, t in zip(left.split(","), node.inputs, strict=True):
        for c, d in zip(labels, of(t) or (), strict=False):
            sizes[c] = _joined(sizes.get(c, 1), d)
    return ([sizes.get(c) for c in right],)


def _matmul(node: Node, of: _Of) -> Any:
    a, b = (of(t) for t in node.inputs)
    if a is None or b is None or len(a) != 2 or len(b) != 2:
        return ()
    return ((a[bool(node.attrs["transpose_a"])], b[not node.attrs["transpose_b"]]),)


def _reshape(node: Node, of: _Of) -> Any:
    x, target = node.inputs
    if node.attrs["batch_dims"]:
        return ()
    if target.node.type == "Shape":
        return (of(target.node.inputs[0]),)
    dims, made = of(x), node.outputs[0].shape.dims
    if dims is None or made is None or made.count(None) != 1:
        return ()
    unknown = [d for d in dims if isinstance(d, Size)]
    count = math.prod(d for d in dims if isinstance(d, int))
    if len(unknown) != 1 or not count or count != math.prod(d for d in made if d is not None):
        return ()
    return ([unknown[0] if d is None else d for d in made],)


def _transposed(node: Node, of: _Of) -> Any:
    dims, perm = of(node.inputs[0]), node.attrs["perm"]
    if dims is None:
        return ()
    return (dims[::-1] if perm is None else [dims[p] for p in perm],)


def _attention(node: Node, of: _Of) -> Any:
    q, k, v = (of(t) for t in node.inputs[:3])
    if q is None or k is None or v is None:
        return ()
    return (*q[:3], v[3]), (q[0], q[2], q[1], k[1])


def _row_factor(node: Node, of: _Of) -> Any:
    dims = of(node.inputs[0])
    return () if dims is None else ((*dims[:-1], 1),)


def _batch_only(node: Node, of: _Of) -> Any:
    dims = of(node.inputs[0])
    return ([dims[0], *[None] * (len(dims) - 1)],) if dims else ()


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(
        ("BiasAdd", "Cast", "Identity", "LogSoftmax", "OnesLike", "Softmax", "StopGradient",
         "ZerosLike", "_BatchNorm"),
        _first,
    ),
    **dict.fromkeys(("AvgPool", "Conv2D", "MaxPool"), _batch_only),
    **dict.fromkeys(("Max", "Mean", "Min", "Sum"), _reduced),
    **dict.fromkeys(
        ("_BatchNormGrad", "_BroadcastLike", "_SpreadLike", "_SpreadMean", "_SumTo"), _like(1)
    ),
    "Einsum": _einsum,
    "MatMul": _matmul,
    "Reshape": _reshape,
    "Transpose": _transposed,
    "_Attention": _attention,
    "_AttentionGrad": _like(0, 1, 2),
    "_RowFactor": _row_factor,
}  # fmt: skip
