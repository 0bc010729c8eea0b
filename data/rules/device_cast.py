"""device_cast: bytes travel to a device, and are cast and scaled there.

At the end of a plan for a device, what the last map did last to bytes (uint8 to float32, then
times or by one number) moves behind the copy, which then moves a quarter as much.  Batches and
prefetches may stand between.  A cast and one product or quotient round alike everywhere; of
more operations a GPU might make one that rounds once, so they stay on the host.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...ops import api as hr, nest
from ...ops.graph import Graph, Node as GraphNode
from ...ops.graph.graph import constant_value, copy_node
from ...ops.graph.passes import optimize
from ...ops.graph.passes.dead_nodes import dead_nodes
from ...ops.graph.trace import TracedFunction
from ...ops.tensor_spec import TensorSpec
from ..composition import compose
from ..functions import UserFunction
from ..node import Node
from ..stats import short_line
from ..transforms.batch import BatchNode
from ..transforms.map import MapNode
from ..transforms.on_device import OnDeviceMapNode, OnDeviceNode
from ..transforms.prefetch import PrefetchNode

__all__ = ["rewrite", "told", "why_not"]


def rewrite(node: Node) -> Node | None:
    """The end of a plan that sends bytes and casts them on the device."""
    if not isinstance(node, OnDeviceNode):
        return None
    last, between = _last_map(node)
    if last is None or _reason(last) is not None:
        return None
    work = _casts(last.function)
    smaller: Node = dataclasses.replace(last, function=_without(last.function, work))
    for one in reversed(between):
        smaller = one.with_inputs(smaller)
    tail: UserFunction | None = _tail(last.function, work, smaller.element_spec)
    if isinstance(node, OnDeviceMapNode):
        tail = compose(tail, node.tail)  # type: ignore[arg-type]
    if tail is None or tail.output_spec != node.element_spec:
        return None
    return OnDeviceMapNode(
        smaller, node.device, node.slots, tail, name=node.name, source=node.source
    )


def told(before: Node, after: Node) -> str:
    """What travels."""
    assert isinstance(before, OnDeviceNode)
    last, _ = _last_map(before)
    assert last is not None
    return f"{last.function.name!r} sends uint8, cast to float32 behind the copy"


def why_not(node: Node) -> str | None:
    """Why the last map's results travel as they are."""
    if type(node) is not OnDeviceNode:
        return None
    last, _ = _last_map(node)
    return None if last is None else _reason(last)


def _last_map(node: OnDeviceNode) -> tuple[MapNode | None, list[Node]]:
    """The map whose results travel, and the nodes between, the last first."""
    between: list[Node] = []
    one = node.input
    while type(one) in (PrefetchNode, BatchNode):
        between.append(one)
        (one,) = one.inputs
    return (one if type(one) is MapNode else None), between


def _reason(last: MapNode) -> str | None:
    function = last.function
    if function.traced is None:
        return f"{function.name!r} was not traced: {function.why_not}"
    if function.is_stateful:
        return f"{function.name!r} ({short_line(last.source)}) changes state outside"
    if not any(_casts(function)):
        return f"no result of {function.name!r} is bytes cast to float32 and scaled once"
    return None


# Of one result: the cast, and the kind and number of the scaling behind it.
_Work = tuple[GraphNode, str, Any]


def _casts(function: UserFunction) -> list[_Work | None]:
    """What can be done on the device, for each result."""
    assert function.traced is not None
    if not all(isinstance(spec, TensorSpec) for spec in function.output.leaves):
        return []
    return [_cast_of(tensor) for tensor in function.traced.graph.outputs]


def _cast_of(tensor: Any) -> _Work | None:
    kind, number, node = "", None, tensor.node
    if node.type in ("Mul", "RealDiv"):
        kind, (x, y) = node.type, node.inputs
        number = constant_value(y)
        if number is None and kind == "Mul":
            x, number = y, constant_value(x)
        if number is None or np.ndim(number) != 0:
            return None
        node = x.node
    if node.type != "Cast" or node.outputs[0].dtype.name != "float32":
        return None
    return (node, kind, number) if node.inputs[0].dtype.name == "uint8" else None


def _without(function: UserFunction, work: list[_Work | None]) -> UserFunction:
    """`function` with the bytes that were cast as results."""
    traced = function.traced
    assert traced is not None
    bytes_of: dict[int, Any] = {}

    def visit(new: Graph, node: GraphNode, found: tuple[Any, ...]) -> Any:
        if node.type == "Cast":
            bytes_of[id(node)] = found[0]
        return copy_node(new, node, found)

    graph = traced.graph.rebuild(visit)
    leaves = list(function.output.leaves)
    for k, one in enumerate(work):
        if one is not None:
            graph.outputs[k] = bytes_of[id(one[0])]
            leaves[k] = TensorSpec(leaves[k].shape, "uint8")
    structure = nest.pack_sequence_as(traced.output_structure, leaves)
    smaller = TracedFunction(optimize(graph, [dead_nodes]), traced.input_specs, structure)
    return function.retraced(smaller, function.input.spec)


def _tail(function: UserFunction, work: list[_Work | None], spec: Any) -> UserFunction:
    """What is left to do for elements of `spec`."""

    def cast_on_device(*element: Any) -> Any:
        given = nest.flatten(element if type(spec) is tuple else element[0])
        results = [
            x if one is None else _worked(x, one) for x, one in zip(given, work, strict=True)
        ]
        return nest.pack_sequence_as(spec, results)

    return UserFunction(cast_on_device, spec, what="map", line=function.line)


def _worked(x: Any, work: _Work) -> Any:
    _, kind, number = work
    x = hr.cast(x, "float32")
    if kind == "":
        return x
    return hr.multiply(x, number) if kind == "Mul" else hr.divide(x, number)
