"""The passes over a graph, in the order they run.

A pass is a pure function from a graph to a graph.  `optimize` runs them all, or those given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...devices import devices
from ..graph import Graph
from ..loop_steps import for_gpus
from .broadcast_gradients import broadcast_gradients
from .common_subexpressions import common_subexpressions
from .dead_nodes import dead_nodes
from .early_starts import early_starts
from .flipped_resizes import flipped_resizes
from .fold_constants import fold_constants
from .fuse_loops import fuse_loops
from .grouped_casts import grouped_casts
from .pool_gradients import pool_gradients
from .pooled_convolutions import pooled_convolutions
from .simplify import simplify
from .wide_biases import wide_biases

__all__ = ["PASSES", "PLACED_PASSES", "optimize"]

Pass = Callable[[Graph], Graph]

PASSES: list[Pass] = [
    dead_nodes, fold_constants, simplify, broadcast_gradients, common_subexpressions,
    pool_gradients, pooled_convolutions, flipped_resizes, wide_biases, dead_nodes, fuse_loops,
    early_starts,
]  # fmt: skip


def fuse_on_one_device(graph: Graph) -> Graph:
    """`fuse_loops`, on GPUs behind `grouped_casts`, where no scope of a device was opened in
    the function."""
    if len({node.device for node in graph.nodes}) > 1:
        return graph
    backend = devices.backend
    if backend is None or not backend.native:
        return fuse_loops(graph)
    with for_gpus():
        return fuse_loops(grouped_casts(graph))


# Of graphs whose calls are placed one by one: without what makes kernels for CPUs only.
PLACED_PASSES: list[Pass] = [
    dead_nodes, fold_constants, simplify, broadcast_gradients, common_subexpressions,
    pool_gradients, wide_biases, dead_nodes, fuse_on_one_device, early_starts,
]  # fmt: skip


def optimize(graph: Graph, passes: Sequence[Pass] | None = None) -> Graph:
    """`graph` after all passes (or the given ones)."""
    for run in PASSES if passes is None else passes:
        graph = run(graph)
    return graph
