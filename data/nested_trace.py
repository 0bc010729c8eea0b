"""nested_trace: tracing the function of a dataset that is made inside of another function.

`flat_map(lambda x: Dataset.range(3).map(lambda y: x + y))` is called once with a symbolic `x`
to learn what its datasets give.  The inner function then uses a tensor of the outer trace.
Its graph takes such tensors as further inputs (`Graph.captures`): enough to know the specs of
its results, and not run, because the dataset itself is only a description
(`transforms.symbolic`), until a template gives it their values (`dataset_template`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops import nest
from ..ops.composite import as_components, composite_specs
from ..ops.context import current, tracing
from ..ops.convert import to_tensor
from ..ops.graph import Graph
from ..ops.graph.trace import TracedFunction, trace
from ..ops.tensor import SymbolicTensor

__all__ = ["InnerGraph", "trace_function"]


class InnerGraph(Graph):
    """A graph that takes tensors of the traces around it as inputs."""

    def capture(self, tensor: Any) -> SymbolicTensor:
        """See `Graph.capture`; a tensor of a trace around is an input."""
        if type(tensor) is not SymbolicTensor:
            return super().capture(tensor)
        known = self._constants.get(id(tensor))
        if known is None:
            known = self._constants[id(tensor)] = (tensor, self.placeholder(tensor.spec))
            self.captures.append(known)
        return known[1]


def trace_function(fn: Callable[..., Any], args: Any, name: str) -> TracedFunction:
    """What `trace` gives, also inside of another trace."""
    if current.trace is None:
        return trace(fn, args, name=name, lists_are_tensors=True, exact=True)
    graph = InnerGraph(name)
    graph.exact = True
    with tracing(graph):
        (call_args,) = composite_specs((tuple(args),), graph.placeholder)
        result = nest.lists_to_tensors(fn(*call_args), to_tensor)
        outputs, structure = as_components(result)
        graph.outputs = [
            t if type(t) is SymbolicTensor and t.graph is graph else graph.capture(t)
            for t in outputs
        ]
    return TracedFunction(graph, (args, {}), structure)
