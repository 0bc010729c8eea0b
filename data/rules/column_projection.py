"""column_projection: columns that no function uses are not read, or not computed.

A map that was traced says which components of its elements it needs.  Between it and a source
of columns (Parquet, IPC, CSV, JSON lines, Arrow data, queries), or another map, may stand what
hands components on as they are (shuffle, batch, prefetch...), and traced filters, which say the
same.  Source and functions are replaced by such that know only the components in use: the other
map makes no more, its own source is asked for no more, and a shuffle between keeps no more.
The datasets that `flat_map` and `interleave` open are sources, too, and asked in the same way
when each is opened.

What is not read is not checked: a null in a column that nobody uses is no error.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ...ops.composite import CompositeSpec
from ...ops.context import tracing
from ...ops.graph import Graph
from ...ops.graph.passes import optimize
from ...ops.graph.passes.dead_nodes import dead_nodes
from ...ops.graph.trace import TracedFunction
from ...ops.tensor_spec import TensorSpec
from ..dataset_function import DatasetFunction
from ..functions import UserFunction
from ..node import Node
from ..transforms.arrow_source import ArrowSourceNode
from ..transforms.filter import FilterNode
from ..transforms.interleave import InterleaveNode
from ..transforms.map import MapNode
from .common import describe

__all__ = ["inputs_per_leaf", "rewrite", "told", "used_components", "why_not"]


def rewrite(node: Node) -> Node | None:
    """The map over a source, or another map, that makes only what is used."""
    path = _path(node)
    if path is None or _reason(path) is not None:
        return None
    kept = _kept(path)
    origin = path[-1]
    plan: Node
    if isinstance(origin, ArrowSourceNode):
        used = {c for c, keep in zip(origin.leaf_columns, kept, strict=True) if keep}
        plan = origin.select([c for c in origin.columns if c in used])
    elif isinstance(origin, InterleaveNode):
        plan = dataclasses.replace(origin, map_func=origin.map_func.keeping(kept))
    else:
        assert isinstance(origin, MapNode)
        plan = dataclasses.replace(origin, function=_giving(origin.function, kept))
        while (better := rewrite(plan)) is not None:
            plan = better
    for one in reversed(path[:-1]):
        changes: dict[str, Any] = {"input": plan}
        if isinstance(one, (MapNode, FilterNode)):
            changes["function"] = _narrowed(one.function, kept, plan.element_spec)
        plan = dataclasses.replace(one, **changes)
    return plan


def told(before: Node, after: Node) -> str:
    """The new source, or what the other map makes now."""
    path = _path(after)
    while path is not None and isinstance(path[-1], MapNode) and _path(path[-1]) is not None:
        path = _path(path[-1])
    assert path is not None
    origin = path[-1]
    if isinstance(origin, ArrowSourceNode):
        return describe(origin)
    made = len(origin.structure.leaves)
    if isinstance(origin, InterleaveNode):
        whole = _path(before)
        assert whole is not None
        return (
            f"{describe(origin)} reads {made} of {len(whole[-1].structure.leaves)} components"
        )
    return f"{describe(origin)} makes {made} components"


def why_not(node: Node) -> str | None:
    """Why a map over a source of columns reads all of them."""
    path = _path(node)
    if path is None:
        below = node.inputs[0] if isinstance(node, MapNode) else node
        return None if below is node else _blocked(below)
    return None if isinstance(path[-1], MapNode) else _reason(path)


def _path(node: Node) -> list[Node] | None:
    """A map, what stands between it and a source of columns or a map, and that; or None."""
    if not isinstance(node, MapNode):
        return None
    path: list[Node] = [node, node.input]
    while not _is_origin(path[-1]):
        if not _hands_on(path[-1]):
            return None
        path.append(path[-1].inputs[0])
    return path


def _is_origin(node: Node) -> bool:
    """Whether it can be asked for fewer components."""
    if isinstance(node, InterleaveNode):
        return type(node.map_func) is DatasetFunction and node.map_func.is_traceable
    return isinstance(node, (ArrowSourceNode, MapNode))


def _hands_on(node: Node) -> bool:
    """Whether components pass it independently of each other."""
    return node.columnwise or isinstance(node, FilterNode)


def _blocked(node: Node) -> str | None:
    """What stands between a map and a source of columns and needs whole elements, if so."""
    blocking = None
    while not isinstance(node, ArrowSourceNode):
        if len(node.inputs) != 1 or isinstance(node, MapNode):
            return None  # another map answers for what is below it
        if not _hands_on(node):
            blocking = node
        node = node.inputs[0]
    return None if blocking is None else f"{describe(blocking)} takes whole elements"


def _reason(path: list[Node]) -> str | None:
    origin = path[-1]
    functions = [one.function for one in path if isinstance(one, (MapNode, FilterNode))]
    for function in functions:
        if function.traced is None:
            return f"{function.name!r} was not traced: {function.why_not}"
        if inputs_per_leaf(function) is None:
            return f"{function.name!r} uses tensors of a function around it"
    if isinstance(origin, MapNode) and origin.function.is_stateful:
        return f"{origin.function.name!r} changes state outside"
    if isinstance(origin, InterleaveNode):
        for leaf in origin.structure.leaves:
            if not isinstance(leaf, (TensorSpec, CompositeSpec)):
                return f"elements of {origin.label} hold {leaf!r}"
    if all(_kept(path)):
        if isinstance(origin, ArrowSourceNode):
            return f"all {len(origin.columns)} columns that are read are used"
        return f"all that {origin.label} makes is used"
    return None


def _kept(path: list[Node]) -> list[bool]:
    """For each component of the path's origin whether it is used, or goes with one that is."""
    used = {
        leaf
        for one in path[:-1]
        if isinstance(one, (MapNode, FilterNode))
        for leaf in used_components(one.function)
    }
    origin = path[-1]  # rows are counted by some component
    if not isinstance(origin, ArrowSourceNode):
        used = used or {0}
        return [leaf in used for leaf in range(len(origin.structure.leaves))]
    owners = origin.leaf_columns
    columns = {owners[leaf] for leaf in used} or {origin.columns[0]}
    return [column in columns for column in owners]


def used_components(function: UserFunction) -> list[int]:
    """The components of its elements that a traced function needs."""
    assert function.traced is not None
    graph = optimize(function.traced.graph, [dead_nodes])
    uses, position, used = graph.uses(), 0, []
    for leaf, count in enumerate(inputs_per_leaf(function) or ()):
        parts = graph.inputs[position : position + count]
        if any(uses.get(id(t)) for t in parts):
            used.append(leaf)
        position += count
    return used


def inputs_per_leaf(function: UserFunction) -> list[int] | None:
    """How many inputs of the graph each component is, or None if there are others."""
    assert function.traced is not None
    counts = _tensors_per_leaf(function.input.leaves)
    return counts if sum(counts) == len(function.traced.graph.inputs) else None


def _tensors_per_leaf(leaves: tuple[Any, ...]) -> list[int]:
    return [
        len(spec.component_specs())
        if isinstance(spec, CompositeSpec)
        else int(spec is not None)
        for spec in leaves
    ]


def _giving(function: UserFunction, kept: list[bool]) -> UserFunction:
    """`function` with only some components of its results, as a tuple."""
    traced, leaves = function.traced, function.output.leaves
    assert traced is not None
    counts = _tensors_per_leaf(leaves)
    flags = [flag for flag, n in zip(kept, counts, strict=True) for _ in range(n)]
    graph = Graph(traced.graph.name)
    with tracing(graph):
        inputs = [graph.placeholder(t.spec) for t in traced.graph.inputs]
        outputs = traced.graph.replay(
            inputs, [t for t, flag in zip(traced.graph.outputs, flags, strict=True) if flag]
        )
    return _retraced(function, graph, outputs, function.input.spec, traced.input_specs, tuple(
        spec for spec, flag in zip(leaves, kept, strict=True) if flag
    ))  # fmt: skip


def _narrowed(function: UserFunction, kept: list[bool], spec: Any) -> UserFunction:
    """`function` for elements of `spec`, which lack components it does not use."""
    assert function.traced is not None
    old = optimize(function.traced.graph, [dead_nodes])
    counts = inputs_per_leaf(function)
    assert counts is not None
    flags = [flag for flag, n in zip(kept, counts, strict=True) for _ in range(n)]
    graph = Graph(old.name)
    with tracing(graph):
        inputs = [
            graph.placeholder(t.spec) if flag else None
            for t, flag in zip(old.inputs, flags, strict=True)
        ]
        outputs = old.replay(inputs)
    args = spec if type(spec) is tuple else (spec,)
    return _retraced(
        function, graph, outputs, spec, (args, {}), function.traced.output_structure
    )


def _retraced(function: UserFunction, graph: Graph, outputs: list[Any], spec: Any,
              input_specs: Any, structure: Any) -> UserFunction:  # fmt: skip
    graph.outputs = [
        t if getattr(t, "graph", None) is graph else graph.capture(t) for t in outputs
    ]
    return function.retraced(TracedFunction(graph, input_specs, structure), spec)
