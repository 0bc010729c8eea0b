"""column_projection: columns that no function uses are not read.

A map that was traced says which components of its elements it needs.  Between it and a source
of columns (Parquet, IPC, CSV, JSON lines, Arrow data, queries) may stand what hands elements on
as they are, and traced filters, which say the same.  Source and functions are replaced by such
that know only the columns in use.

What is not read is not checked: a null in a column that nobody uses is no error.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from ...ops.composite import CompositeSpec
from ...ops.context import tracing
from ...ops.graph import Graph
from ...ops.graph.passes import optimize
from ...ops.graph.passes.dead_nodes import dead_nodes
from ...ops.graph.trace import TracedFunction
from ..functions import UserFunction
from ..node import Node, UnaryNode
from ..structure import Structure
from ..transforms.arrow_source import ArrowSourceNode
from ..transforms.batch import BatchNode
from ..transforms.filter import FilterNode
from ..transforms.map import MapNode
from ..transforms.prefetch import PrefetchNode
from ..transforms.repeat import RepeatNode
from ..transforms.shard import ShardNode
from ..transforms.shuffle import ShuffleNode
from ..transforms.skip import SkipNode
from ..transforms.take import TakeNode
from .common import describe

__all__ = ["inputs_per_leaf", "rewrite", "told", "used_components", "why_not"]

_TRANSPARENT = (
    BatchNode, PrefetchNode, RepeatNode, ShardNode, ShuffleNode, SkipNode, TakeNode,
)  # fmt: skip


def rewrite(node: Node) -> Node | None:
    """The map over a source that reads only what is used."""
    path = _path(node)
    if path is None or _reason(path) is not None:
        return None
    keep = _used_columns(path)
    source = path[-1]
    assert isinstance(source, ArrowSourceNode)
    kept = [column in keep for column in source.leaf_columns]
    plan: Node = source.select([c for c in source.columns if c in keep])
    for one in reversed(path[:-1]):
        assert isinstance(one, UnaryNode)
        changes: dict[str, Any] = {"input": plan}
        if isinstance(one, (MapNode, FilterNode)):
            changes["function"] = _narrowed(one.function, kept, plan.element_spec)
        plan = dataclasses.replace(one, **changes)
    return plan


def told(before: Node, after: Node) -> str:
    """The new source."""
    path = _path(after)
    assert path is not None
    return describe(path[-1])


def why_not(node: Node) -> str | None:
    """Why a map over a source of columns reads all of them."""
    path = _path(node)
    if path is None:
        below = node.inputs[0] if isinstance(node, MapNode) else node
        return None if below is node else _blocked(below)
    return _reason(path)


def _path(node: Node) -> list[Node] | None:
    """A map, what stands between it and a source of columns, and the source; or None."""
    if not isinstance(node, MapNode):
        return None
    path: list[Node] = [node]
    while not isinstance(path[-1], ArrowSourceNode):
        if len(path) > 1 and not isinstance(path[-1], (FilterNode, *_TRANSPARENT)):
            return None
        path.append(path[-1].inputs[0])
    return path


def _blocked(node: Node) -> str | None:
    """What stands between a map and a source of columns and needs whole elements, if so."""
    blocking = None
    while not isinstance(node, ArrowSourceNode):
        if len(node.inputs) != 1 or isinstance(node, MapNode):
            return None  # another map answers for what is below it
        if not isinstance(node, (FilterNode, *_TRANSPARENT)):
            blocking = node
        node = node.inputs[0]
    return None if blocking is None else f"{describe(blocking)} takes whole elements"


def _reason(path: list[Node]) -> str | None:
    source = path[-1]
    assert isinstance(source, ArrowSourceNode)
    for one in path[:-1]:
        if isinstance(one, (MapNode, FilterNode)):
            function = one.function
            if function.traced is None:
                return f"{function.name!r} was not traced: {function.why_not}"
            if inputs_per_leaf(function) is None:
                return f"{function.name!r} uses tensors of a function around it"
    if len(_used_columns(path)) == len(source.columns):
        return f"all {len(source.columns)} columns that are read are used"
    return None


def _used_columns(path: list[Node]) -> set[str]:
    source = path[-1]
    assert isinstance(source, ArrowSourceNode)
    owners = source.leaf_columns
    used = {
        owners[leaf]
        for one in path[:-1]
        if isinstance(one, (MapNode, FilterNode))
        for leaf in used_components(one.function)
    }
    return used or {source.columns[0]}  # rows are counted by some column


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
    counts = [
        len(spec.component_specs())
        if isinstance(spec, CompositeSpec)
        else int(spec is not None)
        for spec in function.input.leaves
    ]
    return counts if sum(counts) == len(function.traced.graph.inputs) else None


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
    graph.outputs = [
        t if getattr(t, "graph", None) is graph else graph.capture(t) for t in outputs
    ]
    smaller = copy.copy(function)
    smaller.__dict__.pop("_most_rows", None)
    smaller.input = Structure(spec)
    smaller._unpacks = type(spec) is tuple
    smaller._call_row = smaller._call_block = None
    args = spec if smaller._unpacks else (spec,)
    smaller.traced = TracedFunction(graph, (args, {}), function.traced.output_structure)
    return smaller
