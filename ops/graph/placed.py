"""Graphs where there are GPUs: which of them run call by call, each on its device.

A graph of a dataset whose arrays all lie on the host runs there as a whole, as it does without
a GPU.  Every other graph is compiled a second time, without the passes that make kernels for
CPUs, and each of its calls is placed as an eager one is, in the scopes it was traced in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..array_module import is_on_device
from ..context import placing
from ..devices import HOST, at, devices, requested
from ..placement import to_host
from .execute import compile_placed
from .graph import Const, Graph

__all__ = ["placed"]


def placed(graph: Graph, arrays: tuple[Any, ...]) -> Callable[..., list[Any]] | None:
    """The function that runs `graph` on its devices; None where the host runs it as a whole."""
    if devices.backend is None:
        return None
    if graph.exact and not any(map(is_on_device, arrays)) and not _uses_device(graph):
        return None
    run = graph._placed
    if run is None:
        run = graph._placed = _compiled(graph)
    if not graph.exact or requested() is not None:
        return run

    def on_host(*arrays: Any) -> list[Any]:
        with at(HOST):
            return [to_host(a) for a in run(*arrays)]

    return on_host


def _compiled(graph: Graph) -> Callable[..., list[Any]]:
    backend = devices.backend
    if backend is None or not backend.native:
        return compile_placed(graph)
    from ..cuda.compiled import replayed  # needs CuPy

    return replayed(graph, compile_placed(graph))


def _uses_device(graph: Graph) -> bool:
    """Whether a scope, a constant or a variable takes a graph to a device."""
    return any(
        node.device not in (None, HOST)
        or (node.primitive is Const and is_on_device(node.attrs["value"]))
        for node in graph.nodes
    ) or any(is_on_device(v._value) for v in graph.variables())


placing.graph = placed
