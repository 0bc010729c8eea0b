"""Functions made of functions: several traced ones as one graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ..ops import nest
from ..ops.comparison import logical_and
from ..ops.composite import as_components, composite_specs
from ..ops.context import tracing
from ..ops.graph import Graph
from ..ops.graph.passes import optimize
from ..ops.graph.passes.dead_nodes import dead_nodes
from ..ops.graph.trace import TracedFunction
from ..ops.tensor import SymbolicTensor
from ..ops.tensor_spec import TensorSpec
from .functions import UserFunction

__all__ = ["compose", "conjunction", "pruned", "selection", "with_mask"]


def compose(first: UserFunction, second: UserFunction) -> UserFunction | None:
    """The function that applies `first`, then `second`.

    None if one of them is not traced or changes state outside, as for all functions here.
    """
    return _made(first, second, lambda x, f, g: g(f(x)), lambda f, g: g)


def conjunction(first: UserFunction, second: UserFunction) -> UserFunction | None:
    """The predicate that holds where `first` and `second` do; both run for every element."""

    def both(x: Any, f: Any, g: Any) -> list[Any]:
        return [logical_and(f(x)[0], g(x)[0])]

    return _made(first, second, both, lambda f, g: TensorSpec([], "bool"))


def with_mask(function: UserFunction, predicate: UserFunction) -> UserFunction | None:
    """The function that gives ``(result of function, whether predicate holds for it)``."""

    def masked(x: Any, f: Any, g: Any) -> list[Any]:
        results = f(x)
        return [*results, g(results)[0]]

    return _made(function, predicate, masked, lambda f, g: (f, TensorSpec([], "bool")))


def pruned(function: UserFunction) -> UserFunction:
    """`function` without what its results do not need."""
    traced = function.traced
    assert traced is not None
    smaller = optimize(traced.graph, [dead_nodes])
    return function.retraced(
        TracedFunction(smaller, traced.input_specs, traced.output_structure),
        function.input.spec,
    )


def selection(spec: Any, kept: Sequence[bool]) -> UserFunction:
    """The function of elements of `spec` that gives a tuple of the components that are kept."""
    leaves = nest.flatten(spec)
    graph = Graph("selection")
    with tracing(graph):
        parts = composite_specs(tuple(leaves), graph.placeholder)
        graph.outputs = as_components(tuple(itertools.compress(parts, kept)))[0]
    args = spec if type(spec) is tuple else (spec,)
    result = tuple(itertools.compress(leaves, kept))
    traced = TracedFunction(graph, (args, {}), result)
    return UserFunction(lambda *element: element, spec, what="map", traced=traced)


Replay = Callable[[Sequence[Any]], list[Any]]


def _made(
    first: UserFunction,
    second: UserFunction,
    build: Callable[[Sequence[Any], Replay, Replay], list[Any]],
    structure: Callable[[Any, Any], Any],
) -> UserFunction | None:
    """What `build` makes of inputs and the two graphs, for elements of `first`'s spec."""
    f, g = first.traced, second.traced
    if f is None or g is None or f.graph.is_stateful or g.graph.is_stateful:
        return None
    graph = Graph(f"{f.graph.name}+{g.graph.name}")
    with tracing(graph):
        inputs = [graph.placeholder(t.spec) for t in f.graph.inputs]
        try:
            outputs = build(inputs, _replay(f.graph), _replay(g.graph))
        except _Mismatch:
            return None
    graph.outputs = [
        t if type(t) is SymbolicTensor and t.graph is graph else graph.capture(t)
        for t in outputs
    ]
    result = structure(f.output_structure, g.output_structure)
    fused = second.retraced(TracedFunction(graph, f.input_specs, result), first.input.spec)
    fused.name = f"{first.name}+{second.name}"
    return fused


class _Mismatch(Exception):
    pass


def _replay(graph: Graph) -> Replay:
    def run(inputs: Sequence[Any]) -> list[Any]:
        if len(inputs) != len(graph.inputs):
            raise _Mismatch  # a function inside a function, with tensors of that one
        return graph.replay(list(inputs))

    return run
