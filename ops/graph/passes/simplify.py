"""Algebraic simplification: calls that change nothing, or that a cheaper call can stand for.

A rule gets a call and its new inputs, and returns what stands for the result, or None.  Results
keep their bits, signs of zeros and NaN included, unless a rule says that it does not: those
rules stay out of graphs that must be exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...primitive import get_primitive
from ..graph import Graph, Node, constant_value, copy_node

__all__ = ["simplify"]

Rule = Callable[[Node, tuple[Any, ...]], Any]


def simplify(graph: Graph) -> Graph:
    """`graph` without calls that change nothing, and with transposes taken into products."""

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        for rules in (_RULES, {} if graph.exact else _INEXACT):
            rule = rules.get(node.type)
            found = rule(node, inputs) if rule is not None else None
            if found is not None:
                return (found,)
        return copy_node(new, node, inputs)

    return graph.rebuild(visit)


def _only(tensor: Any, value: float) -> bool:
    """Whether a tensor is known to hold one number, that one."""
    known = constant_value(tensor)
    return (
        known is not None
        and getattr(known, "size", 0) == 1
        and known.dtype.kind in "fiu"
        and known.reshape(-1)[0] == value
    )


def _same_spec(node: Node, tensor: Any) -> bool:
    """Whether `tensor` can stand for the call's result: of the same dtype and known shape."""
    out = node.outputs[0]
    dims = out.shape.dims
    return tensor.dtype is out.dtype and dims is not None and tensor.shape.dims == dims


def _first(node: Node, inputs: tuple[Any, ...]) -> Any:
    return inputs[0]


def _times_one(node: Node, inputs: tuple[Any, ...]) -> Any:
    for x, y in (inputs, inputs[::-1]):
        if _only(y, 1) and y.shape.rank == 0 and _same_spec(node, x):
            return x
    return None


def _over_one(node: Node, inputs: tuple[Any, ...]) -> Any:
    x, y = inputs
    return x if _only(y, 1) and y.shape.rank == 0 and _same_spec(node, x) else None


def _minus_zero(node: Node, inputs: tuple[Any, ...]) -> Any:
    x, y = inputs
    return x if _only(y, 0) and y.shape.rank == 0 and _same_spec(node, x) else None


def _plus_zero(node: Node, inputs: tuple[Any, ...]) -> Any:
    if inputs[0].dtype.is_floating:
        return None  # -0 + 0 is 0
    for x, y in (inputs, inputs[::-1]):
        if _only(y, 0) and y.shape.rank == 0 and _same_spec(node, x):
            return x
    return None


def _twice(node: Node, inputs: tuple[Any, ...]) -> Any:
    """f(f(x)) is x."""
    (x,) = inputs
    return x.node.inputs[0] if x.node.type == node.type else None


def _cast(node: Node, inputs: tuple[Any, ...]) -> Any:
    return inputs[0] if inputs[0].dtype is node.outputs[0].dtype else None


def _reshape(node: Node, inputs: tuple[Any, ...]) -> Any:
    x, dims = inputs
    if None not in (node.outputs[0].shape.dims or (None,)) and _same_spec(node, x):
        return x
    if x.node.type == "Reshape" and not node.attrs["batch_dims"]:
        if not x.node.attrs["batch_dims"]:
            return get_primitive("Reshape")(x.node.inputs[0], dims, batch_dims=0)
    return None


def _order(node: Node, rank: int | None) -> tuple[int, ...] | None:
    perm = node.attrs["perm"]
    if perm is None:
        return None if rank is None else tuple(range(rank))[::-1]
    return tuple(p % len(perm) for p in perm)


def _transpose(node: Node, inputs: tuple[Any, ...]) -> Any:
    (x,) = inputs
    perm = _order(node, x.shape.rank)
    if perm is None:
        return None
    if perm == tuple(range(len(perm))):
        return x
    if x.node.type == "Transpose":
        inner = _order(x.node, x.shape.rank)
        if inner is not None:
            both = tuple(inner[p] for p in perm)
            source = x.node.inputs[0]
            if both == tuple(range(len(both))):
                return source
            return get_primitive("Transpose")(source, perm=both)
    return None


def _untransposed(tensor: Any) -> Any:
    """What a tensor is the transpose of, in its last two axes; else None."""
    node = tensor.node
    if node.type != "Transpose" or tensor.shape.rank is None:
        return None
    rank = tensor.shape.rank
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    return node.inputs[0] if rank >= 2 and _order(node, rank) == swapped else None


def _product(node: Node, inputs: tuple[Any, ...]) -> Any:
    """A product of transposes is a product with flags."""
    attrs = dict(node.attrs)
    flags = [k for k in ("transpose_a", "transpose_b", "adj_x", "adj_y") if k in attrs]
    new = list(inputs)
    for i, flag in enumerate(flags):
        plain = _untransposed(inputs[i])
        if plain is not None:
            new[i] = plain
            attrs[flag] = not attrs[flag]
    return node.primitive(*new, **attrs) if attrs != node.attrs else None


def _power(node: Node, inputs: tuple[Any, ...]) -> Any:
    """Small whole powers as products: up to two roundings instead of one."""
    x, y = inputs
    if not x.dtype.is_floating or y.shape.rank != 0:
        return None
    square = get_primitive("Square")
    if _only(y, 1):
        return x
    if _only(y, 2):
        return square(x)
    if _only(y, 3):
        return get_primitive("Mul")(square(x), x)
    return get_primitive("Reciprocal")(x) if _only(y, -1) else None


_RULES: dict[str, Rule] = {
    "AddV2": _plus_zero,
    "BatchMatMulV2": _product,
    "Cast": _cast,
    "Identity": _first,
    "LogicalNot": _twice,
    "MatMul": _product,
    "Mul": _times_one,
    "Neg": _twice,
    "RealDiv": _over_one,
    "Reshape": _reshape,
    "StopGradient": _first,
    "Sub": _minus_zero,
    "Transpose": _transpose,
}
_INEXACT: dict[str, Rule] = {"Pow": _power}
