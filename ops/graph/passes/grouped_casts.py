"""Casts together, for GPUs: the weights of a network in mixed precision are cast in one launch
when the first of them is needed, and the gradients that updates take in one before the first
update."""

from __future__ import annotations

from typing import Any

from ...grouped_cast import GroupedCast
from ..graph import Graph, Node, copy_node

__all__ = ["grouped_casts"]


def grouped_casts(graph: Graph) -> Graph:
    """`graph` with one call for all casts of variables, and one for those of gradients."""
    groups = [g for g in (*_weights(graph), *_gradients(graph)) if len(g.casts) > 1]
    if not groups:
        return graph
    start = {id(g.begins): g for g in groups}
    of = {id(cast): g for g in groups for cast in g.casts}
    made: dict[int, Any] = {}  # what stands for the old tensors of casts and early reads
    values: dict[int, Any] = {}  # the other new tensors that groups may read

    def begin(new: Graph, group: _Group) -> None:
        sources = []
        for cast in group.casts:
            (t,) = cast.inputs
            if id(t) not in values:  # a variable that is read later on
                values[id(t)] = copy_node(new, t.node, ())[0]
                made[id(t)] = values[id(t)]
            sources.append(values[id(t)])
        dtype = group.casts[0].outputs[0].dtype
        results = new.add(GroupedCast, tuple(sources), {"DstT": dtype})
        for cast, result in zip(group.casts, results, strict=True):
            made[id(cast.outputs[0])] = result

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        for old, t in zip(node.inputs, inputs, strict=True):
            if t is not None:
                values.setdefault(id(old), t)
        group = start.get(id(node))
        if group is not None:
            begin(new, group)
        if id(node) in of:
            found = made.get(id(node.outputs[0]))
            return None if found is None else (found,)
        if node.outputs and id(node.outputs[0]) in made:
            return (made[id(node.outputs[0])],)
        inputs = tuple(made.get(id(old), t) for old, t in zip(node.inputs, inputs, strict=True))
        results = copy_node(new, node, inputs)
        for old, t in zip(node.outputs, results, strict=True):
            values[id(old)] = t
        return results

    return graph.rebuild(visit)


class _Group:
    """Casts between the same dtypes, made before the node `begins`."""

    def __init__(self, casts: list[Node], begins: Node):
        self.casts, self.begins = casts, begins


def _by_dtypes(casts: list[Node], begins: Any) -> list[_Group]:
    found: dict[Any, list[Node]] = {}
    for cast in casts:
        key = cast.inputs[0].dtype.name, cast.outputs[0].dtype.name
        found.setdefault(key, []).append(cast)
    return [_Group(same, begins(same)) for same in found.values()]


def _is_cast(node: Node, narrow: bool) -> bool:
    """Whether a node casts floats to 16 bits, or from them."""
    if node.type != "Cast" or not node.inputs[0].dtype.is_floating:
        return False
    given, made = node.inputs[0].dtype, node.outputs[0].dtype
    one, other = (made, given) if narrow else (given, made)
    return made.is_floating and one.size == 2 and other.size > 2


def _weights(graph: Graph) -> list[_Group]:
    """Casts of variables that nothing has written before."""
    casts: list[Node] = []
    written: set[int] = set()
    for node in graph.nodes:
        if _is_cast(node, True) and node.inputs[0].node.type == "ReadVariableOp":
            if id(node.inputs[0].node.attrs["variable"]) not in written:
                casts.append(node)
        elif node.primitive.stateful and node.type not in ("ReadVariableOp", "Placeholder"):
            changed = _changed(node)
            if changed is None:
                break  # it may write anything
            written.update(changed)
    return _by_dtypes(casts, lambda same: same[0])


def _changed(node: Node) -> set[int] | None:
    """The variables that a node may write; None if that is not known."""
    if "variable" in node.attrs:
        return {id(node.attrs["variable"])}
    if "variables" in node.attrs:
        return {id(v) for v in node.attrs["variables"]}
    return set() if node.primitive.random or node.primitive.checks else None


def _gradients(graph: Graph) -> list[_Group]:
    """Casts that only updates of variables read, of what is there before the first update."""
    place = {id(node): i for i, node in enumerate(graph.nodes)}
    updates = [n for n in graph.nodes if "variables" in n.attrs and n.inputs]
    if not updates:
        return []
    uses = graph.uses()
    first = updates[0]
    casts = [
        t.node
        for node in updates
        for t in node.inputs[-1:]
        if _is_cast(t.node, False)
        and uses[id(t)] == 1
        and place.get(id(t.node.inputs[0].node), -1) < place[id(first)]
    ]
    return _by_dtypes(casts, lambda same: first)
