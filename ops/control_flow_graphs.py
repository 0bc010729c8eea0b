"""What branches and loop bodies share: tracing them, and replaying them for gradients.

A traced branch uses tensors of the graph around it; `align` makes them inputs, the same ones in
the same order for all branches of a call.  Variables that no branch assigns are read before the
branch, so that they are ordinary inputs and gradients flow to them.

`ControlFlow` is the primitive of all of them.  Where a tape records a call, the call is made in
its `saving` form, which also gives what a gradient needs and may not compute again: results of
random and stateful calls, and a loop's values in each iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import dtypes
from .array_basics import zeros
from .composite import as_components
from .context import current, tracing
from .convert import to_tensor
from .graph.graph import Const, Graph, Node, Placeholder, graphs_of
from .primitive import Op, Primitive
from .tensor import SymbolicTensor, Tensor
from .tensor_list import TensorListReserve, list_zeros_like
from .tensor_spec import TensorSpec

__all__ = ["ControlFlow", "align", "closed", "inner_trace", "replay", "residuals_of"]


class ControlFlow(Primitive):
    """A primitive that runs graphs; see the module's text.

    Attributes:
        saving: ``(inputs, attrs) -> (inputs, attrs, n)``, the saving form and how many of its
            outputs are those of the plain form.
    """

    saving: Callable[..., tuple[tuple[Any, ...], dict[str, Any], int]]

    def _dispatch(self, tensors: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        if (
            current.tapes
            and "saved" not in attrs
            and any(t.wants(tensors) for t in current.tapes)
        ):
            tensors, attrs, n = self.saving(tensors, attrs)
            found = super()._dispatch(tensors, attrs)
            return tuple(found)[:n]
        return super()._dispatch(tensors, attrs)


def inner_trace(
    fn: Callable[..., Any], args: tuple[Any, ...], make: Callable[[Graph], tuple[Any, ...]],
    name: str,
) -> tuple[Graph, Any]:  # fmt: skip
    """`fn` traced inside of the trace under way: its graph and its result's structure.

    Args:
        fn: the branch or body.
        args: arguments passed as they are, before those that `make` makes.
        make: the placeholders, as arguments.
    """
    graph = Graph(name, parent=current.trace)
    with tracing(graph):
        outputs, structure = as_components(fn(*args, *make(graph)))
        graph.outputs = [
            t if type(t) is SymbolicTensor and t.graph is graph else graph.capture(t)
            for t in outputs
        ]
    return graph, structure


def align(graphs: list[Graph], n_args: int) -> list[Any]:
    """Give all graphs the same inputs: the first `n_args`, then what any of them captures.

    Returns the captured tensors of the graph around them.
    """
    changed = {id(v) for g in graphs for v in _assigned(g)}
    reads: dict[int, Any] = {}
    for g in graphs:
        _hoist_reads(g, changed, reads)
    outer: dict[int, Any] = {}
    for g in graphs:
        for tensor, _ in g.captures:
            outer.setdefault(id(tensor), tensor)
    for g in graphs:
        own = {id(t): p for t, p in g.captures}
        inputs = g.inputs[:n_args]
        for key, tensor in outer.items():
            if key not in own:
                with tracing(g):
                    own[key] = g.placeholder(TensorSpec(tensor.shape, tensor.dtype))
            inputs.append(own[key])
        g.inputs = inputs
    return list(outer.values())


def _assigned(graph: Graph) -> list[Any]:
    """The variables that stateful calls in a graph may change."""
    found = []
    for node in graph.nodes:
        for inner in graphs_of(node):
            found.extend(_assigned(inner))
        if node.primitive.stateful and node.type != "ReadVariableOp":
            single = node.attrs.get("variable")
            found.extend([single] if single is not None else node.attrs.get("variables") or ())
    return found


def _hoist_reads(graph: Graph, changed: set[int], reads: dict[int, Any]) -> None:
    """Turn reads of variables that nothing here assigns into captures of reads outside, of
    which `reads` has one per variable."""
    first: dict[int, Any] = {}
    same: dict[int, Any] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        if same and any(id(t) in same for t in node.inputs):
            node.inputs = tuple(same.get(id(t), t) for t in node.inputs)
        if node.type == "ReadVariableOp" and id(node.attrs["variable"]) not in changed:
            variable, out = node.attrs["variable"], node.outputs[0]
            if id(variable) in first:
                same[id(out)] = first[id(variable)]
                continue
            first[id(variable)] = out
            node.primitive, node.attrs = Placeholder, {"spec": out.spec}
            graph.inputs.append(out)
            if id(variable) not in reads:
                reads[id(variable)] = variable.read_value()
            graph.captures.append((reads[id(variable)], out))
        kept.append(node)
    graph.nodes = kept
    graph.outputs = [same.get(id(t), t) for t in graph.outputs]


def closed(
    fn: Callable[..., Any], specs: list[TensorSpec], name: str
) -> tuple[Graph, list[Any]]:
    """A graph of `fn(*tensors)`, which uses nothing from outside, and what `fn` gave.

    None in the result is left out of the graph's outputs.
    """
    graph = Graph(name)
    with tracing(graph):
        found = fn(*[graph.placeholder(s) for s in specs])
        graph.outputs = [_own(graph, t) for t in found if t is not None]
    return graph, list(found)


def _own(graph: Graph, tensor: Any) -> SymbolicTensor:
    tensor = to_tensor(tensor, None)
    if type(tensor) is SymbolicTensor and tensor.graph is graph:
        return tensor
    return graph.capture(tensor)


# -- for gradients ----------------------------------------------------------------------------


def is_residual(node: Node) -> bool:
    """Whether a gradient must be given the node's results instead of running it again."""
    return (
        node.primitive.stateful or node.primitive.random
    ) and node.primitive is not Placeholder


def residuals_of(graph: Graph) -> list[SymbolicTensor]:
    """The results of all random and stateful calls, in order."""
    return [t for node in graph.nodes if is_residual(node) for t in node.outputs]


def kind_of(graphs: list[Graph]) -> int:
    """Which of a family's primitives runs the graphs: 0 the pure one, 1 the one that changes
    state, 2 the one that draws random numbers, 3 the one that also checks."""
    if any(g.is_stateful for g in graphs):
        return 1
    if any(n.primitive.checks for g in graphs for n in g.nodes):
        return 3
    return 2 if any(residuals_of(g) for g in graphs) else 0


def saving_copy(graph: Graph) -> Graph:
    """The graph with the random and stateful control flow in it in saving form; itself where
    there is none."""
    if not any(is_residual(n) and isinstance(n.primitive, ControlFlow) for n in graph.nodes):
        return graph
    if "saving" not in graph.derived:
        new = Graph(graph.name)
        values: dict[int, Any] = {}
        with tracing(new):
            for t in graph.inputs:
                values[id(t)] = new.placeholder(t.spec)
            for node in graph.nodes:
                if node.primitive is Placeholder:
                    continue
                inputs, attrs = tuple(values[id(t)] for t in node.inputs), node.attrs
                if is_residual(node) and isinstance(node.primitive, ControlFlow):
                    if "saved" not in attrs:
                        inputs, attrs, _ = node.primitive.saving(inputs, attrs)
                made = new.add(node.primitive, inputs, attrs)
                values.update({id(t): v for t, v in zip(node.outputs, made, strict=False)})
            new.outputs = [values[id(t)] for t in graph.outputs]
        graph.derived["saving"] = new
    return graph.derived["saving"]


def replay(graph: Graph, inputs: list[Any], residuals: list[Any]) -> list[Any]:
    """Run the nodes of `graph` through dispatch; random and stateful ones give `residuals`
    instead of running again, and tapes see them as if they had run."""
    values: dict[int, Any] = {id(t): v for t, v in zip(graph.inputs, inputs, strict=True)}
    given = iter(residuals)
    for node in graph.nodes:
        if node.primitive is Placeholder:
            continue
        if node.primitive is Const:
            values[id(node.outputs[0])] = Tensor.of(node.attrs["value"])
            continue
        tensors = tuple(values[id(t)] for t in node.inputs)
        if is_residual(node):
            made: Any = tuple(next(given) for _ in node.outputs)
            op = Op(node.primitive, tensors, node.attrs, made)
            for tape in current.tapes:
                if tape.wants(tensors):
                    tape.record(op)
        else:
            made = node.primitive.call_flat(tensors, node.attrs)
            made = made if type(made) is tuple else (made,)
        for t, v in zip(node.outputs, made, strict=True):
            values[id(t)] = v
    return [values[id(t)] for t in graph.outputs]


def stand_in(spec: TensorSpec) -> Any:
    """Some value of `spec`, for an output that nobody reads."""
    if spec.dtype is dtypes.variant:
        return TensorListReserve(0)
    return zeros([d or 0 for d in spec.shape.dims or ()], spec.dtype)


def filled(graph: Graph, found: list[Any], places: list[int], likes: list[Any]) -> None:
    """Set the graph's outputs to what was found at `places`, zeros where there is nothing."""
    with tracing(graph):
        graph.outputs = [
            _own(graph, list_zeros_like(like) if found[k] is None else found[k])
            for k, like in zip(places, likes, strict=True)
        ]
