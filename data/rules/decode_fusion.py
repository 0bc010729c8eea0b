"""decode_fusion: decoded images are cropped and resized as the bytes they are.

In functions that decode images, what works on every pixel alone (casts, scaling by a number)
moves behind the crop that follows it, so that it sees only what is kept, and a resize reads
the decoder's bytes in place of floats that were made of them.  Casts and scalings that then
follow each other become one kernel when the graph is compiled.

The pixels stay the same, bit for bit.  That is why a scaling stays before a resize (it would
round otherwise), and why nothing is decoded at a smaller scale.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ...ops.graph import Graph, Node as GraphNode
from ...ops.graph.graph import copy_node
from ...ops.graph.passes import optimize
from ...ops.graph.passes.dead_nodes import dead_nodes
from ...ops.graph.trace import TracedFunction
from ..node import Node
from .common import describe, function_of

__all__ = ["rewrite", "told", "why_not"]

_CROPS = ("Slice", "StridedSlice", "_StaticSlice", "Shape")


def rewrite(node: Node) -> Node | None:
    """The node with a function that works on fewer, or smaller, pixels."""
    function = function_of(node)
    if function is None or function.traced is None or function.mode == "block":
        return None
    traced = function.traced
    if not _decodes(traced.graph):
        return None
    graph = optimize(traced.graph, [dead_nodes])
    changed = False
    while (better := _swapped(graph) or _absorbed(graph)) is not None:
        graph, changed = optimize(better, [dead_nodes]), True
    if not changed:
        return None
    fused = TracedFunction(graph, traced.input_specs, traced.output_structure)
    smaller = function.retraced(fused, function.input.spec)
    return dataclasses.replace(node, function=smaller)  # type: ignore[call-arg]


def told(before: Node, after: Node) -> str:
    """Whose function it is."""
    return f"{describe(after)} crops and resizes bytes"


def why_not(node: Node) -> str | None:
    """Why a function that decodes images stays as it is."""
    function = function_of(node)
    if function is None or function.traced is None or not _decodes(function.traced.graph):
        return None
    for one in function.traced.graph.nodes:
        if one.type == "_Resize" and _pixel_input(one.inputs[0].node) is not None:
            scaling = one.inputs[0].node.type
            return f"{function.name!r} resizes what {scaling} made, and would round otherwise"
    return f"{function.name!r} makes no more pixels than it uses"


def _decodes(graph: Graph) -> bool:
    return any(n.type.startswith("Decode") and n.type != "DecodeRaw" for n in graph.nodes)


def _pixel_input(node: GraphNode) -> int | None:
    """Which input an operation works on number by number, if its others are single numbers."""
    if node.type != "Cast" and (node.primitive.elementwise is None or node.type == "Pow"):
        return None
    large = [k for k, t in enumerate(node.inputs) if t.shape.rank != 0]
    if len(large) != 1 or node.inputs[large[0]].shape.rank is None:
        return None
    return large[0]


def _swapped(graph: Graph) -> Graph | None:
    """The graph in which one crop stands before the work on pixels that it followed."""
    uses = graph.uses()
    for crop in graph.nodes:
        if crop.type not in _CROPS:
            continue
        work = crop.inputs[0].node
        place = _pixel_input(work)
        if place is None:
            continue
        if crop.type == "Shape":
            return _with_input(graph, crop, work, place)
        if uses[id(crop.inputs[0])] == 1:
            return _exchanged(graph, crop, work, place)
    return None


def _exchanged(graph: Graph, crop: GraphNode, work: GraphNode, place: int) -> Graph:
    inputs: list[Any] = []

    def visit(new: Graph, node: GraphNode, found: tuple[Any, ...]) -> Any:
        if node is work:
            inputs.extend(found)
            return None
        if node is crop:
            (inputs[place],) = new.add(crop.primitive, (inputs[place], *found[1:]), crop.attrs)
            return new.add(work.primitive, tuple(inputs), work.attrs)
        return copy_node(new, node, found)

    return graph.rebuild(visit)


def _absorbed(graph: Graph) -> Graph | None:
    """The graph in which one resize reads the bytes that were cast for it."""
    for node in graph.nodes:
        if node.type == "_Resize" and node.attrs["method"] != "nearest":
            cast = node.inputs[0].node
            if cast.type == "Cast" and cast.inputs[0].dtype.name == "uint8":
                if node.inputs[0].dtype.name == "float32":
                    return _with_input(graph, node, cast, 0)
    return None


def _with_input(graph: Graph, reader: GraphNode, work: GraphNode, place: int) -> Graph:
    """The graph in which `reader` reads what `work` works on."""
    inputs: list[Any] = []

    def visit(new: Graph, node: GraphNode, found: tuple[Any, ...]) -> Any:
        if node is work:
            inputs.append(found[place])
        if node is reader:
            found = (inputs[0], *found[1:])
        return copy_node(new, node, found)

    return graph.rebuild(visit)
