"""Elementwise fusion: chains of elementwise calls on one shape become one `Fused` call.

A call joins the group of its consumers if they all are in one group, its result has the group's
shape and nothing outside needs it.  Groups of one stay as they are.
"""

from __future__ import annotations

from typing import Any

from ..fused import MIN_SIZE, Fused, Program
from ..graph import Graph, Node, copy_node
from ..scalar_code import can_cast, supports

__all__ = ["fuse_elementwise"]

_MAX_STEPS = 32
_MAX_INPUTS = 12


def fuse_elementwise(graph: Graph) -> Graph:
    """`graph` with elementwise chains fused."""
    group_of: dict[int, list[Node]] = {}
    consumers: dict[int, list[Node]] = {}
    outputs = {id(t) for t in graph.outputs}
    for node in graph.nodes:
        for t in node.inputs:
            consumers.setdefault(id(t), []).append(node)
    for node in reversed(graph.nodes):
        if not _fusable(node):
            continue
        out = node.outputs[0]
        users = consumers.get(id(out), [])
        groups = [group_of.get(id(u)) for u in users]
        group = groups[0] if groups else None
        if (
            group is not None
            and id(out) not in outputs
            and all(g is group for g in groups)
            and group[0].outputs[0].shape.dims == out.shape.dims
            and len(group) < _MAX_STEPS
            and len(_external([*group, node])) <= _MAX_INPUTS
        ):
            group.append(node)
            group_of[id(node)] = group
        else:
            group_of[id(node)] = [node]
    members = {id(n): g for n in graph.nodes if (g := group_of.get(id(n))) and len(g) > 1}
    if not members:
        return graph

    mapped: dict[int, Any] = {}

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        group = members.get(id(node))
        if group is None:
            made = copy_node(new, node, inputs)
        elif group[0] is node:  # the sink, where all inputs of the group exist
            external = _external(group)
            made = new.add(
                Fused,
                tuple(mapped[id(t)] for t in external),
                {"program": _program(group, external), "spec": node.outputs[0].spec},
            )
        else:
            return None
        for old, t in zip(node.outputs, made, strict=True):
            mapped[id(old)] = t
        return made

    def seed(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        for old, t in zip(node.inputs, inputs, strict=True):
            if t is not None:
                mapped.setdefault(id(old), t)
        return visit(new, node, inputs)

    return graph.rebuild(seed)


def _fusable(node: Node) -> bool:
    if len(node.outputs) != 1:
        return False
    out = node.outputs[0]
    size = out.shape.num_elements()
    if out.shape.dims is None or (size is not None and size < MIN_SIZE):
        return False
    if node.type == "Cast":
        return can_cast(node.inputs[0].dtype, out.dtype)
    text = node.primitive.elementwise
    return (
        bool(text)
        and not node.attrs
        and supports(text, tuple(t.dtype for t in node.inputs), out.dtype)
    )


def _external(group: list[Node]) -> list[Any]:
    """Tensors the group reads and does not make, each once, in a stable order."""
    made = {id(n.outputs[0]) for n in group}
    found: dict[int, Any] = {}
    for node in reversed(group):
        for t in node.inputs:
            if id(t) not in made:
                found.setdefault(id(t), t)
    return list(found.values())


def _program(group: list[Node], external: list[Any]) -> Program:
    place = {id(t): i for i, t in enumerate(external)}
    steps = []
    for node in reversed(group):  # groups are collected from the sink backwards
        steps.append(
            (
                node.primitive,
                tuple(place[id(t)] for t in node.inputs),
                node.attrs,
                node.outputs[0].dtype,
            )
        )
        place[id(node.outputs[0])] = len(external) + len(steps) - 1
    return Program(tuple(t.dtype for t in external), tuple(steps))
