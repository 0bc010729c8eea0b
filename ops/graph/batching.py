"""Batching: a graph for one element becomes a graph for a block of n elements.

Every input gets a leading block axis; each node whose inputs carry the axis is replaced by what
its primitive's `batch` rule says, everything else is copied.  Rules are written in ops; helpers
that many of them share are in `batch_rules.py`.
"""

from __future__ import annotations

from typing import Any

from ..context import tracing
from ..dtypes import variant
from ..errors import UnimplementedError
from ..tensor import SymbolicTensor
from ..tensor_shape import TensorShape
from ..tensor_spec import TensorSpec
from .graph import Const, Graph, Placeholder

__all__ = ["BatchContext", "BatchedGraph", "batch_graph"]


class BatchContext:
    """What a batch rule may ask.

    Attributes:
        batched: for each input, whether it carries the block axis.
        element_shapes: for each input, its shape without the block axis.
        out_specs: specs of the outputs for one element.
    """

    __slots__ = ("_owner", "batched", "element_shapes", "out_specs", "primitive")

    def __init__(self, owner: _Batcher):
        self._owner = owner

    def element_index(self) -> SymbolicTensor:
        """int64 [n]: position of each element of the block in its dataset."""
        return self._owner.element_index()

    def unbatched(self, value: Any) -> _Unbatched:
        """Marks a rule's result as the same for all elements, without a block axis."""
        return _Unbatched(value)


class _Unbatched:
    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value


class BatchedGraph:
    """The result of `batch_graph`.

    Attributes:
        graph: inputs are those of the element graph with a leading axis of unknown size and,
            if `needs_index`, an int64 [n] of element positions as the last one.
        out_batched: for each output, whether it carries the block axis (else it is the same
            for every element).
        needs_index: whether the element positions are an input.
    """

    def __init__(self, graph: Graph, out_batched: list[bool], needs_index: bool):
        self.graph = graph
        self.out_batched = out_batched
        self.needs_index = needs_index


class _Batcher:
    def __init__(self, name: str):
        self.graph = Graph(name)
        self._index: SymbolicTensor | None = None

    def element_index(self) -> SymbolicTensor:
        if self._index is None:
            with tracing(self.graph):
                index = self.graph.placeholder(TensorSpec([None], "int64", "element_index"))
            self.graph.inputs.pop()  # it goes behind all others at the end
            self._index = index
        return self._index


def batch_graph(graph: Graph, batched_inputs: list[bool] | None = None) -> BatchedGraph:
    """The graph that runs `graph` on blocks.

    Args:
        graph: the function for one element.
        batched_inputs: which inputs get the block axis; all by default.

    Raises:
        UnimplementedError: a primitive has no batch rule, or its rule does not cover the call;
            the message names the primitive.
    """
    batcher = _Batcher(graph.name)
    new = batcher.graph
    new.exact = graph.exact
    values: dict[int, Any] = {}
    batched: dict[int, bool] = {}
    which = [True] * len(graph.inputs) if batched_inputs is None else batched_inputs
    with tracing(new):
        for t, has_axis in zip(graph.inputs, which, strict=True):
            spec = t.spec
            if has_axis and spec.dtype is not variant:  # a list's entries have the axis
                spec = TensorSpec(
                    TensorShape([None]).concatenate(spec.shape), spec.dtype, spec.name
                )
            values[id(t)] = new.placeholder(spec)
            batched[id(t)] = has_axis
        for node in graph.nodes:
            if node.primitive is Placeholder:
                continue
            if node.primitive is Const:
                values[id(node.outputs[0])] = new.add(Const, (), node.attrs)[0]
                batched[id(node.outputs[0])] = False
                continue
            new.place_of_next = node.place
            flags = tuple(batched[id(t)] for t in node.inputs)
            args = tuple(values[id(t)] for t in node.inputs)
            if not any(flags) and not node.primitive.random:
                changes = node.primitive.stateful and not node.primitive.checks
                if changes and node.primitive.name != "ReadVariableOp":
                    raise UnimplementedError(
                        f"primitive {node.type} changes state and runs element by element",
                        op=node.type,
                    )
                made: Any = node.primitive.call_flat(args, node.attrs)
                out_flag = False
            else:
                if node.primitive.stateful and not (
                    node.primitive.random or node.primitive.checks
                ):
                    raise UnimplementedError(
                        f"primitive {node.type} changes state and runs element by element",
                        op=node.type,
                    )
                ctx = BatchContext(batcher)
                ctx.primitive = node.primitive
                ctx.batched = flags
                ctx.element_shapes = tuple(t.shape for t in node.inputs)
                ctx.out_specs = tuple(t.spec for t in node.outputs)
                made = node.primitive.batched(ctx, args, node.attrs)
                out_flag = True
                if type(made) is _Unbatched:
                    made, out_flag = made.value, False
            parts = made if type(made) in (tuple, list) else (made,)
            for t, v in zip(node.outputs, parts, strict=True):
                flag = out_flag
                if type(v) is _Unbatched:
                    v, flag = v.value, False
                if (
                    flag
                    and type(v) is SymbolicTensor
                    and v.dtype is not variant
                    and not v.shape.is_fully_defined()
                ):
                    # The element graph may know sizes that a rule could not derive.
                    known = TensorShape([None]).concatenate(t.shape)
                    if v.shape.is_compatible_with(known):
                        v.set_shape(known)
                values[id(t)] = v
                batched[id(t)] = flag
        new.place_of_next = None
        new.outputs = [
            v if type(v) is SymbolicTensor and v.graph is new else new.capture(v)
            for v in (values[id(t)] for t in graph.outputs)
        ]
    if batcher._index is not None:
        new.inputs.append(batcher._index)
    return BatchedGraph(
        new, [batched[id(t)] for t in graph.outputs], batcher._index is not None
    )
