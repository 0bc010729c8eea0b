"""row_part: functions of which only a part has no batched form, run by the block all the same.

Decoded images differ in size, so `decode_jpeg` gives no array with a block axis.  But soon the
images are resized, and what comes before (parsing, random draws) and after (labels, small
results) does have a batched form.  So the graph is cut in three:

* *before*: what does not depend on the part, in batched form, on whole columns;
* *row part*: operations without a batched form and those that work on their results while
  sizes are unknown, or large, as an image in a cache is better finished than put away; they
  run row by row, compiled, on whichever thread has the block;
* *after*: the rest, in batched form again.

Results of one known shape are written into one array as they come; others become the column
their rows fit in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..ops.batch_loop import uneven
from ..ops.context import tracing
from ..ops.errors import UnimplementedError
from ..ops.graph import Graph, Node, batch_graph
from ..ops.graph.graph import Const, Placeholder, copy_node
from ..ops.graph.into import writer
from ..ops.recycling import Shelf
from ..ops.string_array import StringArray
from ..ops.tensor_spec import TensorSpec
from .columns import ListColumn, column_from_rows

__all__ = ["row_part_runner"]

Runner = Callable[[list[Any], int, int], list[Any]]

_LARGE = 1024  # elements; results of the row part beyond that stay in it
_BEFORE, _ROW, _AFTER = range(3)


def row_part_runner(graph: Graph, leaves: Sequence[Any]) -> Runner | None:
    """`run(arrays, n, first_index)` giving a column per leaf of the result, or None.

    Args:
        graph: the function for one element; it has no batched form.
        leaves: specs of the components of its result.
    """
    if not all(spec is None or isinstance(spec, TensorSpec) for spec in leaves):
        return None
    nodes = _alive(graph)
    alone = {n.type for n in nodes if n.primitive.batch in (None, uneven) and not _is_source(n)}
    while alone:
        part = _parts(nodes, alone)
        if part is None:
            return None
        try:
            return _Cut(graph, nodes, part).runner(leaves)
        except UnimplementedError as error:
            if error.op is None or error.op in alone:
                return None
            alone.add(error.op)
    return None


def _is_source(node: Node) -> bool:
    return node.primitive is Placeholder or node.primitive is Const


def _alive(graph: Graph) -> list[Node]:
    """The nodes that results depend on, and the placeholders, in order."""
    needed = {id(t) for t in graph.outputs}
    found = []
    for node in reversed(graph.nodes):
        if node.primitive is Placeholder or any(id(t) in needed for t in node.outputs):
            needed.update(id(t) for t in node.inputs)
            found.append(node)
    return found[::-1]


def _parts(nodes: list[Node], alone: set[str]) -> dict[int, int] | None:
    """The part of each node by `id`; None where a random or stateful one would run by rows."""
    part: dict[int, int] = {}
    for node in nodes:
        above = [(t, part[id(t.node)]) for t in node.inputs]
        if node.type in alone or any(p == _ROW and _stays(t) for t, p in above):
            part[id(node)] = _ROW
        else:
            part[id(node)] = _AFTER if any(p != _BEFORE for _, p in above) else _BEFORE
    # What lies between two nodes of the row part belongs to it.
    wanted: set[int] = set()
    for node in reversed(nodes):
        if part[id(node)] == _ROW or (part[id(node)] == _AFTER and id(node) in wanted):
            part[id(node)] = _ROW
            wanted.update(id(t.node) for t in node.inputs)
    for node in nodes:
        if part[id(node)] == _ROW and (node.primitive.stateful or node.primitive.random):
            return None
    return part


def _stays(tensor: Any) -> bool:
    """Whether what works on a result of the row part belongs to it."""
    size = tensor.shape.num_elements()
    return size is None or size >= _LARGE


class _Cut:
    """A graph cut in three: which tensors pass from one part to the next, and the graphs."""

    def __init__(self, graph: Graph, nodes: list[Node], part: dict[int, int]):
        self.nodes = nodes
        self.part = part
        self.outputs = graph.outputs
        users = [(t, part[id(n)]) for n in nodes for t in n.inputs]
        users += [(t, _AFTER) for t in graph.outputs]
        crossing: dict[int, tuple[Any, set[int]]] = {}
        for t, to in users:
            own = part[id(t.node)]
            if own != to and t.node.primitive is not Const:
                crossing.setdefault(id(t), (t, set()))[1].add(to)
        passed = [(t, part[id(t.node)], to) for t, to in crossing.values()]
        self.to_rows = [t for t, own, to in passed if own == _BEFORE and _ROW in to]
        self.to_after = [t for t, own, to in passed if own == _BEFORE and _AFTER in to]
        self.from_rows = [t for t, own, _ in passed if own == _ROW]
        read = {id(t) for n in nodes if part[id(n)] == _AFTER for t in n.inputs}
        self.rows_to_after = [t for t in self.from_rows if id(t) in read]
        self.results = [t for t in graph.outputs if part[id(t.node)] != _ROW]

    def _graph(self, which: int, name: str, inputs: list[Any], outputs: list[Any],
               placeholders: bool = False) -> Graph:  # fmt: skip
        """The nodes of one part as a graph; constants are copied to where they are read."""
        new = Graph(name)
        values: dict[int, Any] = {}
        with tracing(new):
            for t in inputs:
                values[id(t)] = new.placeholder(t.spec)
            for node in self.nodes:
                if node.primitive is Placeholder:
                    if placeholders:
                        t = node.outputs[0]
                        values[id(t)] = new.placeholder(t.spec)
                elif node.primitive is Const or self.part[id(node)] == which:
                    made = copy_node(new, node, tuple(values[id(t)] for t in node.inputs))
                    values.update({id(t): v for t, v in zip(node.outputs, made, strict=True)})
        new.outputs = [values[id(t)] for t in outputs]
        return new

    def runner(self, leaves: Sequence[Any]) -> Runner:
        """See `row_part_runner`.

        Raises:
            UnimplementedError: the first or the last part has no batched form.
        """
        before = batch_graph(
            self._graph(_BEFORE, "before", [], [*self.to_rows, *self.to_after], True)
        )
        rows = self._graph(_ROW, "rows", self.to_rows, self.from_rows)
        flags = before.out_batched
        split = len(self.to_rows)
        after = batch_graph(
            self._graph(_AFTER, "after", [*self.to_after, *self.rows_to_after], self.results),
            [*flags[split:], *[True] * len(self.rows_to_after)],
        )
        run_before, run_row = before.graph.compile(), rows.compile()
        write = writer(rows)
        run_after = after.graph.compile()
        shapes = [
            tuple(t.shape.dims)
            if t.shape.is_fully_defined() and t.dtype.name != "string"
            else None
            for t in self.from_rows
        ]
        dtypes = [t.dtype for t in self.from_rows]
        shelf = Shelf(places=8)  # blocks worked on, waiting and held by the consumer
        places = {id(t): k for k, t in enumerate(self.from_rows)}
        to_after = [places[id(t)] for t in self.rows_to_after]
        after_places = iter(range(len(self.results)))
        # For each result: is it the row part's, and which of its results or of the last part's.
        origins = [
            (True, places[id(t)])
            if self.part[id(t.node)] == _ROW
            else (False, next(after_places))
            for t in self.outputs
        ]

        def run(arrays: list[Any], n: int, first_index: int) -> list[Any]:
            index = np.arange(first_index, first_index + n, dtype=np.int64)
            passed = run_before(*arrays, *([index] if before.needs_index else []))
            stores = [
                [] if shape is None else shelf.empty((n, *shape), dtype.np_dtype)
                for shape, dtype in zip(shapes, dtypes, strict=True)
            ]
            values = _rows_of(passed[:split], flags[:split], n)
            if write is not None and shapes[0]:
                for place, row in zip(stores[0], values, strict=True):
                    write(place, row)
                columns = stores
            else:
                columns = _by_rows(run_row, values, stores)
            inputs = [*passed[split:], *(columns[k] for k in to_after)]
            found = run_after(*inputs, *([index] if after.needs_index else []))
            results = []
            for is_row, k in origins:
                if is_row:
                    results.append(columns[k])
                else:
                    value = found[k]
                    results.append(value if after.out_batched[k] else _repeated(value, n))
            out = iter(results)
            return [ListColumn([None] * n) if s is None else next(out) for s in leaves]

        run.by_rows = True  # type: ignore[attr-defined]
        return run


def _repeated(value: Any, n: int) -> Any:
    if isinstance(value, StringArray):
        return value.map_offsets(lambda a: np.broadcast_to(a, (n, *a.shape)))
    return np.broadcast_to(value, (n, *value.shape))


def _rows_of(values: list[Any], flags: list[bool], n: int) -> Iterator[tuple[Any, ...]]:
    """The row part's inputs for each of n rows; a flag says whether a value has them."""
    for k in range(n):
        yield tuple(
            (v[k] if isinstance(v, StringArray) else v[k, ...]) if flag else v
            for v, flag in zip(values, flags, strict=True)
        )


def _by_rows(
    run_row: Callable[..., list[Any]], rows: Iterator[tuple[Any, ...]], stores: list[Any]
) -> list[Any]:
    """A column for each of the row part's results: a filled array, or what fits its rows."""
    for k, row in enumerate(rows):
        for store, result in zip(stores, run_row(*row), strict=True):
            if isinstance(store, list):
                store.append(result)
            else:
                store[k] = result
    return [column_from_rows(s) if isinstance(s, list) else s for s in stores]
