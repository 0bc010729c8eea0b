"""runners: a traced graph compiled to run on columns.

`column_runner` is the batched form of a graph for one element; functions that parse features of
varying size have theirs in `uneven`, those of which a part runs row by row (images that are
decoded) in `row_part`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.composite import CompositeSpec
from ..ops.errors import UnimplementedError
from ..ops.graph import Graph, batch_graph
from ..ops.string_array import StringArray
from ..ops.tensor_spec import TensorSpec
from .columns import ListColumn
from .results import columns_of, pack_components
from .row_part import row_part_runner

__all__ = ["column_runner", "first_row", "repeat_rows"]


def column_runner(
    graph: Graph, leaves: Sequence[Any]
) -> Callable[[list[Any], int, int], list[Any]]:
    """`run(arrays, n, first_index)`: a column per component of the result for n elements.

    Raises:
        UnimplementedError: the graph has no batched form.
    """
    try:
        batched = batch_graph(graph)
    except UnimplementedError:
        from .uneven import uneven_runner  # loads the parser

        runner = uneven_runner(graph, leaves) or row_part_runner(graph, leaves)
        if runner is None:
            raise
        return runner
    run = batched.graph.compile()
    flags, needs_index = batched.out_batched, batched.needs_index
    plain = all(isinstance(spec, TensorSpec) for spec in leaves)

    def call(arrays: list[Any], n: int, first_index: int) -> list[Any]:
        if needs_index:
            arrays = [*arrays, np.arange(first_index, first_index + n, dtype=np.int64)]
        found = run(*arrays)
        out = [a if flag else repeat_rows(a, n) for a, flag in zip(found, flags, strict=True)]
        return out if plain else _columns(out, n, leaves)

    return call


def _columns(arrays: list[Any], n: int, leaves: Sequence[Any]) -> list[Any]:
    """Columns of raw results that hold composites or None."""
    parts = iter(arrays)
    columns: list[Any] = []
    for spec in leaves:
        if isinstance(spec, CompositeSpec):
            own = [next(parts) for _ in spec.component_specs()]
            rows = [pack_components(row, [spec]) for row in zip(*own, strict=True)]
            columns += columns_of(rows, [spec])
        else:
            columns.append(ListColumn([None] * n) if spec is None else next(parts))
    return columns


def first_row(column: Any) -> Any:
    """The only row of a column of one, as a raw value."""
    return column[0, ...] if isinstance(column, np.ndarray) else column[0]


def repeat_rows(array: Any, n: int) -> Any:
    """One value for n rows, without copying it."""
    if isinstance(array, StringArray):
        return array.map_offsets(lambda a: np.broadcast_to(a, (n, *a.shape)))
    return np.broadcast_to(array, (n, *array.shape))
