"""The passes over a graph, in the order they run.

A pass is a pure function from a graph to a graph.  `optimize` runs them all, or those given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..graph import Graph
from .common_subexpressions import common_subexpressions
from .dead_nodes import dead_nodes
from .flipped_resizes import flipped_resizes
from .fold_constants import fold_constants
from .fuse_loops import fuse_loops
from .pool_gradients import pool_gradients
from .simplify import simplify

__all__ = ["PASSES", "optimize"]

Pass = Callable[[Graph], Graph]

PASSES: list[Pass] = [
    dead_nodes, fold_constants, simplify, common_subexpressions, pool_gradients,
    flipped_resizes, dead_nodes, fuse_loops,
]  # fmt: skip


def optimize(graph: Graph, passes: Sequence[Pass] | None = None) -> Graph:
    """`graph` after all passes (or the given ones)."""
    for run in PASSES if passes is None else passes:
        graph = run(graph)
    return graph
