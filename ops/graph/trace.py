"""Tracing: a Python function run once on symbolic tensors, giving a `Graph`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nest
from ..composite import as_components, composite_specs
from ..context import tracing
from ..convert import to_tensor
from ..tensor import SymbolicTensor
from .graph import Graph

__all__ = ["TracedFunction", "trace"]


class TracedFunction:
    """A graph with the structures of its arguments and its result.

    Attributes:
        graph: the nodes.
        input_specs: nested specs of the arguments.
        output_structure: nested specs of the result; None stays None.
    """

    def __init__(self, graph: Graph, input_specs: Any, output_structure: Any):
        self.graph = graph
        self.input_specs = input_specs
        self.output_structure = output_structure


def trace(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    name: str | None = None,
    lists_are_tensors: bool = False,
    exact: bool = False,
) -> TracedFunction:
    """Run `fn` on placeholders and return what it did as a graph.

    Args:
        fn: the function.
        args: its arguments; every `TypeSpec` inside is replaced by a placeholder (or, for
            ragged and sparse specs, by a value made of placeholders), everything else is
            passed as it is.
        kwargs: keyword arguments, likewise.
        name: the graph's name; the function's by default.
        lists_are_tensors: treat lists in the result as tensors, as `Dataset.map` does.
        exact: see `Graph.exact`.

    Raises:
        UntraceableError: the function needs a value that is not there yet.
    """
    graph = Graph(name or getattr(fn, "__name__", "function").replace("<lambda>", "lambda"))
    graph.exact = exact
    with tracing(graph):
        call_args, call_kwargs = composite_specs((tuple(args), kwargs or {}), graph.placeholder)
        result = fn(*call_args, **call_kwargs)
        if lists_are_tensors:
            result = nest.lists_to_tensors(result, to_tensor)
        outputs, structure = as_components(result)
        graph.outputs = [
            t if type(t) is SymbolicTensor and t.graph is graph else graph.capture(t)
            for t in outputs
        ]
    return TracedFunction(graph, (args, kwargs or {}), structure)
