"""uneven: functions that parse features of varying size, run by the block.

`parse_single_example` of a VarLen, FixedLenSequence or Ragged feature gives every element a
value of another size, so it has no batched form.  But the parser's columns hold just such
values for a whole block, and most functions pass them on untouched.  So the graph is cut at
the parser: the block is parsed as columns; uneven columns become result columns as they are;
everything else goes through the batched form of the rest of the graph.

Functions that compute with uneven values, or that parse `SparseFeature`s or partitioned
`RaggedFeature`s, run element by element as before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..io.parse_raw import parse_raw
from ..ops.composite import CompositeSpec
from ..ops.errors import UnimplementedError
from ..ops.graph import Graph, Node, batch_graph
from ..ops.graph.graph import Placeholder, copy_node
from ..ops.tensor_spec import TensorSpec
from .columns import ListColumn, RaggedColumn, SparseColumn

__all__ = ["uneven_runner"]

Runner = Callable[[list[Any], int, int], list[Any]]


def uneven_runner(graph: Graph, leaves: Sequence[Any]) -> Runner | None:
    """`run(arrays, n, first_index)` giving a column per leaf of the result, or None.

    Args:
        graph: the function for one element; it has no batched form.
        leaves: specs of the components of its result.
    """
    parsers = [n for n in graph.nodes if n.type == "ParseExampleV2" and n.attrs.get("single")]
    if len(parsers) != 1:
        return None
    parser = parsers[0]
    plan = parser.attrs["plan"]
    source = parser.inputs[0]
    names = parser.inputs[1].shape.num_elements()
    if source.node.primitive is not Placeholder or names:
        return None
    made = _parser_outputs(parser)
    if made is None:
        return None
    dense, uneven = made
    how = _leaf_origins(graph, leaves, uneven)
    if how is None:
        return None
    even = [tensor for _, tensors in how for tensor in tensors]
    rest = _without_parser(graph, parser, dense, even)
    if rest is None:
        return None
    try:
        batched = batch_graph(rest)
    except UnimplementedError:
        return None
    run_rest = batched.graph.compile()
    which = next(k for k, t in enumerate(graph.inputs) if t is source)

    def run(arrays: list[Any], n: int, first_index: int) -> list[Any]:
        columns = parse_raw(arrays[which], plan, True)
        inputs = [*arrays, *(columns[plan.outputs[o].columns[0]] for o in dense)]
        if batched.needs_index:
            inputs.append(np.arange(first_index, first_index + n, dtype=np.int64))
        evens = iter(zip(run_rest(*inputs), batched.out_batched, strict=True))
        result: list[Any] = []
        for origin, tensors in how:
            if tensors:
                value, is_batched = next(evens)
                result.append(
                    value if is_batched else np.broadcast_to(value, (n, *value.shape))
                )
            elif origin is None:
                result.append(ListColumn([None] * n))
            else:
                output = plan.outputs[origin]
                result.append(_column(output.kind, columns[output.columns[0]]))
        return result

    return run


def _parser_outputs(parser: Node) -> tuple[dict[int, Any], dict[int, list[Any]]] | None:
    """The parser's dense outputs and its uneven ones, by number, with their tensors."""
    plan = parser.attrs["plan"]
    tensors = iter(parser.outputs)
    dense: dict[int, Any] = {}
    uneven: dict[int, list[Any]] = {}
    for number, output in enumerate(plan.outputs):
        own = [next(tensors) for _ in output.parts(True)]
        if output.kind == "dense":
            dense[number] = own[0]
        elif output.kind in ("sequence", "varlen") or (
            output.kind == "ragged" and len(own) == 1
        ):
            uneven[number] = own
        else:
            return None
    return dense, uneven


def _leaf_origins(
    graph: Graph, leaves: Sequence[Any], uneven: dict[int, list[Any]]
) -> list[tuple[int | None, list[Any]]] | None:
    """For each leaf the number of the uneven output it is, or the tensors it is made of."""
    by_first = {id(tensors[0]): number for number, tensors in uneven.items()}
    outputs = iter(graph.outputs)
    how: list[tuple[int | None, list[Any]]] = []
    for spec in leaves:
        if spec is None:
            how.append((None, []))
            continue
        count = len(spec.component_specs()) if isinstance(spec, CompositeSpec) else 1
        own = [next(outputs) for _ in range(count)]
        number = by_first.get(id(own[0]))
        if number is not None:
            if [id(t) for t in own] != [id(t) for t in uneven[number]]:
                return None
            how.append((number, []))
        elif isinstance(spec, TensorSpec):
            how.append((None, own))
        else:
            return None
    return how


def _without_parser(
    graph: Graph, parser: Node, dense: dict[int, Any], wanted: list[Any]
) -> Graph | None:
    """The graph with the parser's dense outputs as further inputs and only `wanted` outputs;
    None if these need uneven ones."""
    needed = {id(t) for t in wanted}
    dense_ids = {id(t) for t in dense.values()}
    alive = set()
    for node in reversed(graph.nodes):
        if any(id(t) in needed for t in node.outputs) and node is not parser:
            alive.add(id(node))
            needed.update(id(t) for t in node.inputs)
    if any(id(t) in needed and id(t) not in dense_ids for t in parser.outputs):
        return None

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        if node is parser:
            return [
                new.placeholder(t.spec) if id(t) in dense_ids else None for t in node.outputs
            ]
        return copy_node(new, node, inputs) if id(node) in alive else None

    # `rebuild` puts the graph's own outputs in place; only those wanted exist in the new one.
    view = Graph(graph.name)
    view.inputs, view.nodes, view._tuples = graph.inputs, graph.nodes, graph._tuples
    view.outputs = list(wanted)
    return view.rebuild(visit)


def _column(kind: str, parsed: Any) -> Any:
    values, splits = parsed
    if kind != "varlen":
        return RaggedColumn(values, splits)
    lengths = np.diff(splits)
    indices = np.arange(len(values), dtype=np.int64) - np.repeat(splits[:-1], lengths)
    return SparseColumn(indices[:, None], values, splits, lengths[:, None])
