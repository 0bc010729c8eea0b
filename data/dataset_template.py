"""Templates: what a function that gives datasets does, as data.

`flat_map`, `interleave` and window reductions call the user's function once with symbolic
tensors.  What it made then is a plan with holes: sources made of tensors that depend on the
element (`SymbolicNode.recipe`), functions that use such tensors, datasets that are a component
of the element.  A template is that plan and the graph that computes what goes into the holes;
with an element it gives the plan that the function would have given, as tf.data's functions do,
which are traced, too.  Other processes need none of the user's code for it.

A function has no template where what it made holds Python code or objects that are not known
to be the same for every element: `Untemplated` says so.
"""

from __future__ import annotations

import dataclasses
import enum
import random
import secrets
import types
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ops.context import tracing
from ..ops.dtypes import DType
from ..ops.errors import UntraceableError
from ..ops.graph import Graph
from ..ops.graph.trace import TracedFunction
from ..ops.string_array import StringArray
from ..ops.tensor import SymbolicTensor, Tensor
from ..ops.tensor_shape import TensorShape
from ..ops.tensor_spec import TensorSpec, TypeSpec
from .dataset_function import DatasetFunction
from .fingerprint import seeds_chosen
from .functions import UserFunction
from .node import Node
from .transforms.cache import MemoryCache
from .transforms.shuffle import Epochs
from .transforms.symbolic import SymbolicNode
from .values import Components, from_raw

__all__ = ["Template", "Untemplated", "template_of"]


class Untemplated(Exception):
    """A function has no template; the text says why."""


class _Hole(NamedTuple):
    """A tensor that depends on the element."""

    number: int


class _Argument(NamedTuple):
    """A dataset that is a component of the element."""

    leaf: int


class _Fresh(NamedTuple):
    """What every plan has one of its own of: a cache, a count of iterations."""

    kind: type


class _Drawn(NamedTuple):
    """Seeds that nobody chose."""

    number: int


class _Open(NamedTuple):
    """A traced function whose last inputs are holes."""

    function: UserFunction
    holes: tuple[_Hole, ...]


class _Nested(NamedTuple):
    """A function that gives datasets, whose template has further inputs."""

    function: Any
    holes: tuple[_Hole, ...]


class _Part:
    """A node of the plan, or another object.

    Attributes:
        make: its class; what makes it if there are `args`.
        args: of `make`; None for a node of these `fields`.
        fields: set on what was made.
    """

    def __init__(self, make: Any, args: Any, fields: dict[str, Any]):
        self.make = make
        self.args = args
        self.fields = fields


def template_of(function: DatasetFunction) -> Template:
    """What `function` does, as a template.

    Raises:
        Untemplated: it has none.
    """
    if function.made_by is not None:
        return function.made_by
    if function.symbolic is None:
        raise Untemplated(f"it could not be traced: {function.why_not}")
    return Template(function.symbolic, function.graph, function.leaves, function.reads_files)


class Template:
    """A plan with holes.

    Args:
        root: the plan that a function gave for symbolic tensors.
        graph: in which they are.
        leaves: the flat specs of the elements; of a dataset, its node in that plan.
        reads_files: whether the datasets read files.

    Attributes:
        element_spec: of the datasets.
        base: what seeds that nobody chose are drawn from; None for other ones every time.
        functions: the traced functions in it.

    Raises:
        Untemplated: the plan is more than a template can be.
    """

    def __init__(self, root: Node, graph: Graph, leaves: Sequence[Any], reads_files: bool):
        try:
            self.element_spec = root.element_spec
        except UntraceableError as error:
            raise Untemplated(f"its elements are known when it has run: {error}") from error
        self.reads_files = reads_files
        self.base: int | None = None
        reader = _Reader(graph, leaves)
        self._root = reader.node(root)
        self.functions = reader.functions
        self._tensors = [i for i, leaf in enumerate(leaves) if not isinstance(leaf, Node)]
        self._holes: UserFunction | None = None
        if reader.holes:
            graph.outputs = reader.holes
            specs = [leaves[i] for i in self._tensors]
            specs += [inner.spec for _, inner in graph.captures]
            results = tuple(TensorSpec(t.shape, t.dtype) for t in reader.holes)
            traced = TracedFunction(graph, (tuple(specs), {}), results)
            self._holes = UserFunction(
                lambda *element: element, tuple(specs), what="flat_map", traced=traced
            )
            self.functions.append(self._holes)

    def plan(self, row: Sequence[Any], index: int, captured: Sequence[Any] = ()) -> Node:
        """The plan for element `index` (flat raw values).

        Args:
            row: the element.
            index: its number.
            captured: raw values of tensors of the functions around.
        """
        values: list[Any] = []
        if self._holes is not None:
            values = self._holes.run_row([*(row[i] for i in self._tensors), *captured], index)
        base = secrets.randbits(63) if self.base is None else self.base
        return _Builder(row, values, random.Random(f"{base}/{index}")).node(self._root)


# -- reading a plan ---------------------------------------------------------------------------

_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, slice, np.ndarray, np.generic, np.dtype,
    StringArray, TypeSpec, DType, TensorShape, enum.Enum, type, types.BuiltinFunctionType,
)  # fmt: skip


class _Reader:
    """Turns nodes into parts.

    Attributes:
        holes: the symbolic tensors that are needed, all of `graph`.
        functions: those met.
    """

    def __init__(self, graph: Graph, leaves: Sequence[Any]):
        self.holes: list[SymbolicTensor] = []
        self.functions: list[UserFunction] = []
        self._graph = graph
        self._numbers: dict[int, int] = {}
        self._done: dict[int, Any] = {
            id(leaf): _Argument(i) for i, leaf in enumerate(leaves) if isinstance(leaf, Node)
        }
        self._drawn = 0

    def node(self, node: Node) -> Any:
        """The part that makes a node like this one."""
        if id(node) not in self._done:
            self._done[id(node)] = self._part(node)
        return self._done[id(node)]

    def _part(self, node: Node) -> _Part:
        if isinstance(node, SymbolicNode):
            if node.recipe is None:
                raise Untemplated(f"{node.source or 'a source'} is made of the element")
            make, *args = node.recipe
            return _Part(make, self.value(tuple(args)), {"name": node.name,
                                                         "source": node.source})  # fmt: skip
        fields = {f.name: getattr(node, f.name) for f in dataclasses.fields(node)}
        if "seeds" in fields and not seeds_chosen(fields["seeds"]):
            fields["seeds"] = _Drawn(self._drawn)
            self._drawn += 1
        return _Part(type(node), None, {k: self.value(v) for k, v in fields.items()})

    def value(self, value: Any) -> Any:
        """A value of a field, holes in place of symbolic tensors."""
        if isinstance(value, SymbolicTensor):
            return self._hole(value)
        if isinstance(value, Node):
            return self.node(value)
        if isinstance(value, UserFunction):
            return self._function(value)
        if isinstance(value, DatasetFunction):
            return self._dataset_function(value)
        if isinstance(value, (MemoryCache, Epochs)):
            return _Fresh(type(value))
        if type(value) in (tuple, list):
            return type(value)(map(self.value, value))
        if type(value) is dict:
            return {k: self.value(v) for k, v in value.items()}
        if isinstance(value, _Drawn) or _is_fixed(value):
            return value
        if isinstance(value, Components):
            return _Part(Components, (self.value(value.nested()),), {})
        raise Untemplated(f"it makes a dataset with a {type(value).__name__}")

    def _hole(self, tensor: SymbolicTensor) -> _Hole:
        if tensor.graph is not self._graph:
            tensor = self._graph.capture(tensor)
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self.holes)
            self.holes.append(tensor)
        return _Hole(self._numbers[id(tensor)])

    def _function(self, function: UserFunction) -> Any:
        if function.traced is None:
            raise Untemplated(f"{function.name!r} in it was not traced: {function.why_not}")
        self.functions.append(function)
        captures = function.traced.graph.captures
        if not captures:
            return function
        return _Open(function, tuple(self._hole(outer) for outer, _ in captures))

    def _dataset_function(self, function: Any) -> Any:
        self.functions += template_of(function).functions  # which may capture more, too
        captures = function.graph.captures
        return _Nested(function, tuple(self._hole(outer) for outer, _ in captures))


def _is_fixed(value: Any) -> bool:
    """Whether `value` is the same for every element: nothing in it is symbolic, and nothing is
    the user's Python."""
    if isinstance(value, Tensor):
        return not isinstance(value, SymbolicTensor)
    if isinstance(value, _PLAIN):
        return True
    if isinstance(value, UserFunction):
        return value.traced is not None and not value.traced.graph.captures
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_is_fixed, value))
    if isinstance(value, dict):
        return all(map(_is_fixed, value.values()))
    if isinstance(value, (Node, DatasetFunction)):
        return False
    module = getattr(value, "__module__", None) or type(value).__module__
    room = module.partition(".")[0]
    if isinstance(value, types.FunctionType):  # our readers of files, of what they were told
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return room == "headrace" and all(map(_is_fixed, cells))
    if room == "headrace" and dataclasses.is_dataclass(value):
        return all(_is_fixed(getattr(value, f.name)) for f in dataclasses.fields(value))
    if room == "headrace":
        slots = [s for kind in type(value).__mro__ for s in getattr(kind, "__slots__", ())]
        return bool(slots) and all(_is_fixed(getattr(value, s, None)) for s in slots)
    return room == "pyarrow"


# -- making a plan ----------------------------------------------------------------------------


class _Builder:
    """Turns parts into nodes for one element."""

    def __init__(self, row: Sequence[Any], values: list[Any], draws: random.Random):
        self._row = row
        self._values = values
        self._draws = draws
        self._done: dict[int, Any] = {}

    def node(self, part: Any) -> Any:
        """What a part makes, one and the same for the same part."""
        if isinstance(part, _Argument):
            return self._row[part.leaf]._node
        if id(part) not in self._done:
            self._done[id(part)] = self._made(part)
        return self._done[id(part)]

    def _made(self, part: _Part) -> Any:
        fields = {k: self.value(v) for k, v in part.fields.items()}
        if part.args is None:
            node = part.make.__new__(part.make)
        else:
            made = part.make(*self.value(part.args))
            node = getattr(made, "_node", made)
        for name, value in fields.items():
            object.__setattr__(node, name, value)
        return node

    def value(self, value: Any) -> Any:
        """A value of a field, its holes filled."""
        if isinstance(value, (_Part, _Argument)):
            return self.node(value)
        if isinstance(value, _Hole):
            return from_raw(self._values[value.number])
        if isinstance(value, _Drawn):
            return (self._draws.getrandbits(63), self._draws.getrandbits(63))
        if isinstance(value, _Fresh):
            return value.kind()
        if isinstance(value, _Open):
            return _bound(value.function, [self.value(h) for h in value.holes])
        if isinstance(value, _Nested):
            captured = [self._values[hole.number] for hole in value.holes]
            return value.function.filled(captured, self._draws.getrandbits(63))
        if type(value) in (tuple, list):
            return type(value)(map(self.value, value))
        if type(value) is dict:
            return {k: self.value(v) for k, v in value.items()}
        return value


def _bound(function: UserFunction, values: list[Any]) -> UserFunction:
    """`function` with its last inputs given."""
    assert function.traced is not None
    whole = function.traced.graph
    graph = Graph(whole.name)
    graph.exact = whole.exact
    with tracing(graph):
        own = whole.inputs[: len(whole.inputs) - len(values)]
        inputs = [graph.placeholder(t.spec) for t in own]
        outputs = whole.replay([*inputs, *values])
        graph.outputs = [
            t if type(t) is SymbolicTensor and t.graph is graph else graph.capture(t)
            for t in outputs
        ]
    traced = TracedFunction(
        graph, function.traced.input_specs, function.traced.output_structure
    )
    return function.retraced(traced, function.input.spec)
