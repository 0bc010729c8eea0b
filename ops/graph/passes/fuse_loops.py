"""Loop fusion: elementwise calls, reductions along the rows or down the columns, and what is
made of both (softmax, normalisation, their gradients) become one `Fused` call each.

A group grows downwards from its first call: a call joins the group of one of its inputs if the
shapes fit the group's rows and columns and no path from the group to the call leads through
anything else.  What is used outside is a result of the group.  `loops` says what a group can
hold, `loop_steps` what each call becomes.
"""

from __future__ import annotations

import heapq
import math
from typing import Any

from ..fused import MIN_SIZE, Fused, Program
from ..graph import Graph, Node, copy_node
from ..loop_steps import Group, are_for_gpus, is_heavy

__all__ = ["FRESH", "Unit", "Units", "fuse_loops"]


def fuse_loops(graph: Graph) -> Graph:
    """`graph` with its elementwise calls and reductions fused."""
    units = Units(graph)
    groups = [u for u in units.all if u.group is not None and units.worth_it(u)]
    if not groups:
        return graph
    ends = {id(u.nodes[-1]): u for u in groups}
    inside = {id(n) for u in groups for n in u.nodes}
    used: dict[int, set[int]] = {}  # nodes that read a tensor
    for node in graph.nodes:
        for t in node.inputs:
            used.setdefault(id(t), set()).add(id(node))
    returned = {id(t) for t in graph.outputs}
    mapped: dict[int, Any] = {}

    def is_fresh(t: Any) -> bool:
        """Whether a call made an array for this tensor, which has no other name."""
        while t.node.type == "Reshape":
            t = t.node.inputs[0]
            if id(t) in returned or len(used[id(t)]) > 1:
                return False
        return id(t.node) in inside or t.node.type in FRESH

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        if id(node) not in inside:
            return copy_node(new, node, inputs)
        for old, t in zip(node.inputs, inputs, strict=True):
            if t is not None:
                mapped.setdefault(id(old), t)
        unit = ends.get(id(node))
        if unit is None or unit.group is None:
            return None
        own = {id(n) for n in unit.nodes}
        results = [
            t
            for n in unit.nodes
            for t in n.outputs
            if id(t) in returned or used.get(id(t), set()) - own
        ]
        mortal = [
            not (id(t) in returned or used[id(t)] - own) and is_fresh(t)
            for t in unit.group.inputs
        ]
        program = _program(unit.group, unit.nodes, results, mortal)
        made = new.add(
            Fused,
            tuple(mapped[id(t)] for t in unit.group.inputs),
            {"program": program, "specs": tuple(t.spec for t in results)},
        )
        return {id(old): t for old, t in zip(results, made, strict=True)}

    return graph.rebuild(visit, order=[n for u in units.in_order() for n in u.nodes])


_LARGE = 65536  # elements; of a call alone
_WIDE = 128  # likewise, where the number of rows is unknown

# Calls that make a new array.
FRESH = ("BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "Einsum", "MatMul")


def _program(
    group: Group, nodes: list[Node], results: list[Any], mortal: list[bool]
) -> Program:
    """The program of a group; `mortal`: which inputs nobody reads afterwards."""
    place = {id(t): i for i, t in enumerate(group.inputs)}
    calls = []
    for node in nodes:
        refs = tuple(place[id(t)] for t in node.inputs)
        calls.append((node.primitive.kernel(node.attrs), refs))
        place[id(node.outputs[0])] = len(group.inputs) + len(calls) - 1
    steps, outputs = group.steps_for(results)
    return Program(
        [t.dtype for t in group.inputs],
        [group.dropped(t) for t in group.inputs],
        calls,
        [place[id(t)] for t in results],
        steps,
        outputs,
        ", ".join(n.type for n in nodes),
        may_reuse=_reuse(group, results, mortal),
        least=MIN_SIZE if len(nodes) > 1 or is_heavy(nodes[0]) else _LARGE,
        origins=[n.origin for n in nodes],
    )


def _reuse(group: Group, results: list[Any], mortal: list[bool]) -> dict[int, int]:
    """Which full results can be written over which inputs, by their places."""
    found: dict[int, int] = {}
    for place, t in enumerate(results):
        for i, source in enumerate(group.inputs):
            if (
                mortal[i]
                and i not in found.values()
                and source.dtype is t.dtype
                and t.shape.dims == source.shape.dims == group.space
            ):
                found[place] = i
                break
    return found


class Unit:
    """A node, or the nodes of a group, as one point of the graph."""

    __slots__ = ("before", "group", "nodes", "number", "place")

    def __init__(self, number: int, node: Node, place: int, group: Group | None):
        self.number = number
        self.nodes = [node]
        self.place = place  # of its last node
        self.group = group
        self.before = 0  # bits of the units that must run before it


class Units:
    """The graph's nodes, grouped, with who must run before whom."""

    def __init__(self, graph: Graph):
        self.all: list[Unit] = []
        self._of: dict[int, Unit] = {}  # by node
        self._exact = graph.exact
        writer: Unit | None = None  # the last node that changed state
        readers: list[Unit] = []  # those that read state since
        # On a GPU a launch costs as much as thousands of elements: no chain is too short.
        least = 1 if are_for_gpus() else MIN_SIZE
        for place, node in enumerate(graph.nodes):
            group = Group.found(node, self._exact, least)
            unit = Unit(len(self.all), node, place, group)
            self.all.append(unit)
            self._of[id(node)] = unit
            for t in node.inputs:
                self._after(unit, self._of[id(t.node)])
            if node.primitive.stateful:
                if writer is not None:
                    self._after(unit, writer)
                if node.type == "ReadVariableOp":
                    readers.append(unit)
                else:
                    for reader in readers:
                        self._after(unit, reader)
                    writer, readers = unit, []
            self._join_inputs(unit, node)
        self.all = [u for u in self.all if u.nodes]

    def _after(self, unit: Unit, earlier: Unit) -> None:
        unit.before |= earlier.before | 1 << earlier.number

    def of(self, node: Node) -> Unit:
        """The unit that holds a node."""
        return self._of[id(node)]

    def _join_inputs(self, unit: Unit, node: Node) -> None:
        """Let a new node join the groups of its inputs, as many as it can."""
        for t in node.inputs:
            host = self._of[id(t.node)]
            own = self._of[id(node)]
            if host is own or host.group is None or not self.may_join(host, own):
                continue
            joined = host.group.joined(own.group, own.nodes, self._exact)
            if joined is not None:
                self._merge(host, own, joined)

    def may_join(self, host: Unit, guest: Unit) -> bool:
        """Whether nothing stands between the two: no unit after `host` and before `guest`."""
        between = guest.before & ~(host.before | 1 << host.number)
        bit = 1 << host.number
        while between:
            lowest = between & -between
            if self.all[lowest.bit_length() - 1].before & bit:
                return False
            between ^= lowest
        return True

    def _merge(self, host: Unit, guest: Unit, group: Group) -> None:
        host.group = group
        host.nodes += guest.nodes
        host.place = max(host.place, guest.place)
        for n in guest.nodes:
            self._of[id(n)] = host
        guest.nodes = []
        guest.group = None
        gone, kept = 1 << guest.number, 1 << host.number
        host.before = (host.before | guest.before) & ~(gone | kept)
        for unit in self.all:
            if unit.before & (gone | kept):
                unit.before = (unit.before & ~gone) | host.before | kept

    def worth_it(self, unit: Unit) -> bool:
        """Whether a kernel of the unit gains anything on calling NumPy."""
        if len(unit.nodes) > 1 or is_heavy(unit.nodes[0]) or self._is_large(unit):
            return True
        # CuPy makes float32 of 16-bit floats first, or has no loop for them.
        dtypes = [t.dtype for t in (*unit.nodes[0].inputs, *unit.nodes[0].outputs)]
        return are_for_gpus() and any(d.is_floating and d.size == 2 for d in dtypes)

    def _is_large(self, unit: Unit) -> bool:
        """Whether a call alone works on so much that threads and used memory gain something.

        Sums along rows are left to NumPy, which adds up long ones in pairs.
        """
        assert unit.group is not None
        dims = unit.group.space
        return (
            not self._exact
            and unit.group.letter(unit.nodes[0].outputs[0]) in ("f", "R")
            and math.prod(d or 1 for d in dims) >= (_WIDE if None in dims else _LARGE)
            and all(unit.group.is_read_in_place(t) for t in unit.group.inputs)
        )

    def in_order(self) -> list[Unit]:
        """Every unit after those before it, else in the order of their last nodes."""
        left: dict[int, int] = {}
        after: dict[int, list[Unit]] = {}
        alive = {u.number for u in self.all}
        for unit in self.all:
            bits, count = unit.before, 0
            while bits:
                lowest = bits & -bits
                number = lowest.bit_length() - 1
                bits ^= lowest
                if number in alive:
                    after.setdefault(number, []).append(unit)
                    count += 1
            left[unit.number] = count
        ready = [(u.place, u.number, u) for u in self.all if not left[u.number]]
        heapq.heapify(ready)
        order = []
        while ready:
            _, number, unit = heapq.heappop(ready)
            order.append(unit)
            for later in after.get(number, ()):
                left[later.number] -= 1
                if not left[later.number]:
                    heapq.heappush(ready, (later.place, later.number, later))
        assert len(order) == len(self.all), "fused groups wait for each other"
        return order
