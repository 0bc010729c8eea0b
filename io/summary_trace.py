"""trace_on, trace_export, trace_off: the graphs that ran, and a profile, as a summary.

TensorBoard's graph tab shows what was exported under its tag.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from ..ops.graph.graph import graphs_of
from ..ops.profiling import profiling
from .profiler import start, stop
from .summary import write
from .summary_graph import graph_def

__all__ = ["trace_export", "trace_off", "trace_on"]


class _Under(NamedTuple):
    graph: bool
    profiler: bool
    profiler_outdir: Any


_under: _Under | None = None


def trace_on(graph: bool = True, profiler: bool = False, profiler_outdir: Any = None) -> None:
    """Record the graphs that run from now on, until `trace_export` or `trace_off`.

    Args:
        graph: record graphs.
        profiler: profile, too.
        profiler_outdir: folder for the profile; needed with `profiler`.

    Raises:
        ValueError: `profiler` without `profiler_outdir`.
    """
    global _under
    if _under is not None:
        warnings.warn("trace_on: a trace is under way already", stacklevel=2)
        return
    if profiler:
        if profiler_outdir is None:
            raise ValueError(
                "profiler_outdir must be a folder when profiler=True, got profiler_outdir=None"
            )
        start(profiler_outdir)
    if graph:
        profiling.graphs = {}
    _under = _Under(graph, profiler, profiler_outdir)


def trace_export(name: str, step: Any = None, profiler_outdir: Any = None) -> None:
    """Write what was recorded since `trace_on` with the default writer, and stop recording.

    Args:
        name: the tag.
        step: an integer; the default step by default.
        profiler_outdir: the folder given to `trace_on`; it cannot be changed here.

    Raises:
        ValueError: nothing is recorded, or there is no step.
    """
    from tensorboard.compat.proto.config_pb2 import RunMetadata
    from tensorboard.compat.proto.summary_pb2 import SummaryMetadata

    if _under is None:
        raise ValueError("Must enable trace before export through hr.summary.trace_on.")
    if _under.graph:
        found = dict(profiling.graphs or {})
        inner = {id(i) for g in found.values() for node in g.nodes for i in graphs_of(node)}
        message = RunMetadata()
        for graph in [g for key, g in found.items() if key not in inner]:
            made = graph_def(graph)
            part = message.function_graphs.add()
            part.pre_optimization_graph.CopyFrom(made)
            part.post_optimization_graph.CopyFrom(made)
            part.partition_graphs.add().CopyFrom(made)
            message.partition_graphs.add().CopyFrom(made)
        metadata = SummaryMetadata()
        metadata.plugin_data.plugin_name = "graph_run_metadata_graph"
        metadata.plugin_data.content = b"1"
        write(name, message.SerializeToString(), step, metadata)
    _stop(save=True)


def trace_off() -> None:
    """Stop recording; what was recorded is dropped."""
    _stop(save=False)


def _stop(save: bool) -> None:
    global _under
    under, _under = _under, None
    profiling.graphs = None
    if under is not None and under.profiler:
        stop(save)
