"""Why calls that kernels could hold are left to NumPy: what `explain()` says of them."""

from __future__ import annotations

from ..fused import MIN_SIZE
from ..graph import Graph, Node
from ..loop_steps import Group, is_exact_call, is_fusible, refusal
from .fuse_loops import Unit, Units

__all__ = ["reasons_alone"]


def reasons_alone(graph: Graph) -> dict[str, list[Node]]:
    """The elementwise calls and reductions of `graph` that `fuse_loops` leaves alone, by the
    reason."""
    units = Units(graph)
    found: dict[str, list[Node]] = {}
    for unit in units.all:
        node = unit.nodes[0]
        if is_fusible(node) and (unit.group is None or not units.worth_it(unit)):
            found.setdefault(_reason(units, unit, graph), []).append(node)
    return found


def _reason(units: Units, unit: Unit, graph: Graph) -> str:
    node = unit.nodes[0]
    if unit.group is None:
        return _no_group(node, graph.exact)
    # By its kinds of calls it could be in a kernel; so it is about what stands beside it.
    neighbours = [units.of(t.node) for t in node.inputs]
    for other in graph.nodes:
        if any(t is node.outputs[0] for t in other.inputs):
            neighbours.append(units.of(other))
    refused = "no call beside it is one that kernels take"
    for other in neighbours:
        if other.group is None or other is unit:
            continue
        a, b = (unit, other) if unit.place < other.place else (other, unit)
        assert a.group is not None
        if a.group.space != unit.group.space or other.group.space != unit.group.space:
            refused = "the calls beside it work on other shapes"
        elif a.group.joined(b.group, b.nodes, graph.exact) is None:
            return "the kernel beside it has no place for it: too many inputs, steps or passes"
        elif not units.may_join(a, b):
            return "other calls stand between it and the kernel beside it"
    return refused


def _no_group(node: Node, exact: bool) -> str:
    if exact and not is_exact_call(node):
        return "rounds differently in a kernel, and functions of datasets keep every bit"
    if len(node.outputs) != 1 or not node.inputs:
        return "has no input, or several results"
    tensor = Group.measured(node)
    dims, size = tensor.shape.dims, tensor.shape.num_elements()
    if dims is None:
        return "its rank is unknown"
    if not dims or (size is not None and size < MIN_SIZE):
        return f"fewer than {MIN_SIZE} elements"
    return refusal(node)
