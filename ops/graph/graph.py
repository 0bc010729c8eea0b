"""Graph and Node: what tracing records, and every later reading starts from.

A graph is a list of nodes in the order the traced function ran them, which is a topological
order and also the order in which stateful nodes must run.  A node's inputs are the
`SymbolicTensor` outputs of earlier nodes.  Passes never change a graph: they build another.

A branch or loop body is a graph of its own with the graph around it as its `parent`.  What it
uses of the graphs around it becomes an input: `captures` pairs the outer tensor with the
placeholder that stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from ..array_module import is_on_device
from ..context import current, tracing
from ..devices import at, requested, scopes
from ..primitive import Primitive
from ..profiling import profiling
from ..scopes import get_current_name_scope, scoped
from ..string_array import StringArray
from ..tensor import SymbolicTensor, Tensor
from ..tensor_spec import TensorSpec
from ..user_line import Place, user_place

__all__ = ["Graph", "Node", "Origin", "constant_value", "graphs_of"]


_ANY: Any = object()  # a device that nothing has decided about yet


class Origin(NamedTuple):
    """What an error of a running graph says of the call that failed.

    Attributes:
        name: of the node.
        primitive, attrs: what was called.
        place: the user's file and line that was traced.
    """

    name: str
    primitive: Primitive
    attrs: dict[str, Any]
    place: Place | None


class Node:
    """One call of a primitive in a graph.

    Attributes:
        primitive: what is called.
        inputs: tensors it reads, outputs of earlier nodes.
        attrs: its keyword arguments.
        outputs: tensors it makes.
        name: unique in the graph, from the primitive's name.
        place: the user's file and line that made it; None if there is no such line.
        scope: what it is a part of (``model/dense``), for those who show graphs.
        device: where scopes inside the function sent it: a GPU's number or `HOST`, or None.
    """

    __slots__ = ("attrs", "device", "inputs", "name", "outputs", "place", "primitive", "scope")

    def __init__(
        self,
        graph: Graph,
        primitive: Primitive,
        inputs: tuple[SymbolicTensor, ...],
        attrs: dict[str, Any],
        specs: tuple[TensorSpec, ...],
        name: str,
    ):
        self.primitive = primitive
        self.inputs = inputs
        self.attrs = attrs
        self.name = name
        self.place: Place | None = graph.place_of_next or user_place()
        self.scope = scoped(graph.scope) if graph.scope else get_current_name_scope()
        self.device = graph.device_of_next
        if self.device is _ANY:
            self.device = None if scopes() is graph.scopes_around else requested()
        self.outputs = tuple(SymbolicTensor(graph, self, i, s) for i, s in enumerate(specs))

    @property
    def type(self) -> str:
        """The primitive's name."""
        return self.primitive.name

    @property
    def origin(self) -> Origin:
        """What errors say of it."""
        return Origin(self.name, self.primitive, self.attrs, self.place)

    def __repr__(self) -> str:
        return f"<Node {self.name}>"


def _no_impl(*arrays: Any, **attrs: Any) -> Any:
    raise AssertionError("placeholders are fed, not run")


def _placeholder_shape(*, spec: TensorSpec) -> TensorSpec:
    return spec


def _const_shape(*, value: Any) -> TensorSpec:
    return TensorSpec(value.shape, value.dtype)


Placeholder = Primitive(
    "Placeholder", "", impl=_no_impl, shape=_placeholder_shape, stateful=True
)
Const = Primitive("Const", "", impl=lambda *, value: value, shape=_const_shape)


class Graph:
    """A traced function.

    Attributes:
        inputs: placeholder tensors, in the order `run` takes their values.
        outputs: result tensors.
        nodes: all nodes, placeholders and constants included, in execution order.
        parent: the graph around this one, whose tensors it may use, or None.
        captures: ``(tensor outside, placeholder inside)``, in the order of their first use.
        derived: graphs made from this one (gradients, say), kept by whoever makes them.
        place_of_next: the user's line of the nodes added next, where they stand for one of
            another graph; None to look for it among the callers.
        device_of_next: of the nodes added next, where they stand for one of another graph.
        scope: of the nodes added next; the layers at work set it.
        exact: whether every result must have the bits that the primitives' own array functions
            give, however many rows a block has; functions of datasets need that.
    """

    #: Makes a graph callable; `execute.py`, which stands above the passes, puts itself here.
    compiler: ClassVar[Callable[[Graph], Callable[..., list[Any]]]]

    def __init__(self, name: str = "graph", parent: Graph | None = None):
        self.name = name
        self.parent = parent
        self.exact = parent is not None and parent.exact
        self.captures: list[tuple[Any, SymbolicTensor]] = []
        self.derived: dict[Any, Any] = {}
        self.place_of_next: Place | None = None
        self.device_of_next: Any = _ANY
        # Scopes around a function decide at each call; its nodes keep those inside of it.
        self.scopes_around = scopes() if parent is None else parent.scopes_around
        self.scope = "" if parent is None else parent.scope
        # What the tapes around a branch watch is an input of it, though it be a known value.
        self._outer_tapes = current.tapes if parent is not None else ()
        if parent is not None:
            self._outer_tapes += parent._outer_tapes
        self._children = 0
        self._place = 0
        if parent is not None:
            parent._children += 1
            self._place = parent.place() * 1_000_003 + parent._children * 7_919
        self.inputs: list[SymbolicTensor] = []
        self.outputs: list[SymbolicTensor] = []
        self.nodes: list[Node] = []
        self._names: dict[str, int] = {}
        self._constants: dict[int, tuple[Any, SymbolicTensor]] = {}
        self._tuples: set[str] = set()
        self._compiled: Callable[..., list[Any]] | None = None
        self._placed: Callable[..., list[Any]] | None = None

    # -- building -------------------------------------------------------------------------

    def add(
        self, primitive: Primitive, tensors: tuple[Any, ...], attrs: dict[str, Any]
    ) -> tuple[SymbolicTensor, ...]:
        """Append a call; eager inputs become constants.  Returns its output tensors."""
        found = primitive.checked_shape(tensors, attrs)
        specs = found if type(found) is tuple else (found,)
        if type(found) is tuple:
            self._tuples.add(primitive.name)
        inputs = tuple(
            t if type(t) is SymbolicTensor and t.graph is self else self.capture(t)
            for t in tensors
        )
        node = Node(self, primitive, inputs, attrs, specs, self._unique(primitive.name))
        self.nodes.append(node)
        return node.outputs

    def is_tuple(self, primitive: Primitive, outputs: tuple[Any, ...]) -> bool:
        """Whether the primitive gives a tuple even where it has one output."""
        return primitive.name in self._tuples

    def placeholder(self, spec: TensorSpec) -> SymbolicTensor:
        """A new input."""
        node = Node(
            self, Placeholder, (), {"spec": spec}, (spec,), self._unique(spec.name or "input")
        )
        self.nodes.append(node)
        self.inputs.append(node.outputs[0])
        return node.outputs[0]

    def capture(self, tensor: Any) -> SymbolicTensor:
        """A tensor from outside as one of this graph: an eager one as a constant, one of the
        graphs around as an input."""
        if type(tensor) is SymbolicTensor:
            if self.parent is not None:
                return self._capture_input(tensor)
            raise TypeError(
                f"{tensor!r} belongs to another traced function and cannot be used here. "
                "Pass it "
                f"as an argument, or return it from the function that made it."
            )
        if self._outer_tapes and any(t.wants((tensor,)) for t in self._outer_tapes):
            return self._capture_input(tensor)
        raw = tensor._value
        if self.exact and is_on_device(raw):
            raw = raw.get()  # functions of datasets run on the host
        known = self._constants.get(id(raw))
        if known is not None:
            return known[1]
        (out,) = self.add(Const, (), {"value": raw})
        self._constants[id(raw)] = (raw, out)
        return out

    def _capture_input(self, tensor: Any) -> SymbolicTensor:
        known = self._constants.get(id(tensor))
        if known is None:
            outer = tensor
            if type(tensor) is SymbolicTensor and tensor.graph is not self.parent:
                outer = self.parent.capture(tensor)  # type: ignore[union-attr]
            inner = self.placeholder(TensorSpec(tensor.shape, tensor.dtype))
            self.captures.append((outer, inner))
            known = self._constants[id(tensor)] = (tensor, inner)
        return known[1]

    def place(self) -> int:
        """A number for the next call traced, other than those in the graphs around and in
        other branches: what random operations are seeded with."""
        return (self._place + len(self.nodes)) % (1 << 62)

    def _unique(self, base: str) -> str:
        base = base.split(":")[0]
        n = self._names.get(base, 0)
        self._names[base] = n + 1
        return f"{base}_{n}" if n else base

    # -- reading --------------------------------------------------------------------------

    def uses(self) -> dict[int, int]:
        """How many inputs and graph outputs read each tensor, by ``id(tensor)``."""
        count: dict[int, int] = {}
        for t in self.outputs:
            count[id(t)] = count.get(id(t), 0) + 1
        for node in self.nodes:
            for t in node.inputs:
                count[id(t)] = count.get(id(t), 0) + 1
        return count

    def variables(self) -> list[Any]:
        """The variables the graph reads or changes, each once, in order."""
        seen: dict[int, Any] = {}
        for node in self.nodes:
            for v in _variables_of(node):
                seen.setdefault(id(v), v)
        return list(seen.values())

    @property
    def is_stateful(self) -> bool:
        """Whether running it does more than compute outputs from inputs (reads of variables
        and random draws do not count)."""
        return any(
            n.primitive.stateful
            and n.primitive is not Placeholder
            and not n.primitive.random
            and not n.primitive.checks
            and n.primitive.name != "ReadVariableOp"
            for n in self.nodes
        )

    def pretty(self) -> str:
        """The graph as text, a line per node."""
        lines = [f"graph {self.name}({', '.join(_typed(t) for t in self.inputs)}):"]
        for node in self.nodes:
            if node.primitive is Placeholder:
                continue
            outs = ", ".join(_typed(t) for t in node.outputs)
            args = [_short(t) for t in node.inputs]
            args += [f"{k}={_attr(v)}" for k, v in node.attrs.items()]
            lines.append(f"  {outs} = {node.type}({', '.join(args)})")
            for inner in graphs_of(node):
                lines.extend("    " + line for line in inner.pretty().split("\n"))
        lines.append(f"  return {', '.join(_short(t) for t in self.outputs)}")
        return "\n".join(lines)

    def draw(self) -> str:
        """The graph as an SVG document, a box per call."""
        from .draw import draw_graph  # which stands above this module

        return draw_graph(self)

    def __repr__(self) -> str:
        return f"<Graph {self.name}>"

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    # -- running --------------------------------------------------------------------------

    def compile(self) -> Callable[..., list[Any]]:
        """A function from raw input arrays to a list of raw output arrays; thread-safe, made
        once."""
        if self._compiled is None:
            self._compiled = Graph.compiler(self)
        if profiling.graphs is not None:
            profiling.graphs[id(self)] = self
        return self._compiled

    def replay(
        self, inputs: list[Any], outputs: list[SymbolicTensor] | None = None
    ) -> list[Any]:
        """Run the nodes one by one through dispatch on `inputs` (tensors, eager or symbolic),
        so that tapes and traces around see every call."""
        values: dict[int, Any] = {id(t): v for t, v in zip(self.inputs, inputs, strict=True)}
        traced = current.trace
        place = None if traced is None else traced.place_of_next
        for node in self.nodes:
            if node.primitive is Placeholder:
                continue
            if node.primitive is Const:
                values[id(node.outputs[0])] = Tensor.of(node.attrs["value"])
                continue
            if node.type == "ReadVariableOp":
                values[id(node.outputs[0])] = node.attrs["variable"].read_value()  # tapes watch
                continue
            if traced is not None:
                traced.place_of_next = place or node.place
            call = node.primitive.call_flat
            given = tuple(values[id(t)] for t in node.inputs)
            if node.device is None:
                result = call(given, node.attrs)
            else:
                with at(node.device):
                    result = call(given, node.attrs)
            for t, v in zip(
                node.outputs, result if type(result) is tuple else (result,), strict=True
            ):
                values[id(t)] = v
        if traced is not None:
            traced.place_of_next = place
        return [values[id(t)] for t in (self.outputs if outputs is None else outputs)]

    def rebuild(
        self,
        visit: Callable[[Graph, Node, tuple[Any, ...]], Any],
        name: str | None = None,
        order: list[Node] | None = None,
    ) -> Graph:
        """A new graph in which `visit(new_graph, node, new_inputs)` says what each node (but
        placeholders) becomes: its new outputs as a tuple, or None to drop the node.

        Args:
            visit: it may also return a dict from the ids of old tensors to new ones.
            name: of the new graph.
            order: the nodes in another order.
        """
        new = Graph(name or self.name)
        new._tuples = self._tuples
        new.exact = self.exact
        values: dict[int, Any] = {}
        with tracing(new):
            for t in self.inputs:  # of a branch they are in another order than their nodes
                values[id(t)] = new.placeholder(t.spec)
            for node in self.nodes if order is None else order:
                if node.primitive is Placeholder:
                    continue
                new.place_of_next, new.device_of_next = node.place, node.device
                new.scope = node.scope
                made = visit(new, node, tuple(values.get(id(t)) for t in node.inputs))
                if type(made) is dict:
                    values.update(made)
                elif made is not None:
                    for t, v in zip(node.outputs, made, strict=True):
                        values[id(t)] = v
        new.place_of_next, new.device_of_next, new.scope = None, _ANY, ""
        new.outputs = [_inside(new, values[id(t)]) for t in self.outputs]
        return new


def _inside(graph: Graph, tensor: Any) -> SymbolicTensor:
    if type(tensor) is SymbolicTensor and tensor.graph is graph:
        return tensor
    return graph.capture(tensor)


def copy_node(graph: Graph, node: Node, inputs: tuple[Any, ...]) -> tuple[SymbolicTensor, ...]:
    """The visit that changes nothing."""
    return graph.add(node.primitive, inputs, node.attrs)


def constant_value(tensor: Any) -> Any:
    """The array on the host of a tensor whose value is known while tracing, else None."""
    if type(tensor) is SymbolicTensor:
        node = tensor.node
        if node.primitive is not Const:
            return None
        value = node.attrs["value"]
    elif isinstance(tensor, Tensor):
        value = tensor._value
    else:
        return None
    return value.get() if is_on_device(value) else value


def _variables_of(node: Node) -> list[Any]:
    found = node.attrs.get("variable")
    many = node.attrs.get("variables")
    inner = [v for g in graphs_of(node) for v in g.variables()]
    return ([found] if found is not None else []) + list(many or ()) + inner


def graphs_of(node: Node) -> list[Graph]:
    """The graphs a node runs: branches, loop bodies."""
    found = []
    for value in node.attrs.values():
        if isinstance(value, Graph):
            found.append(value)
        elif type(value) is tuple:
            found.extend(v for v in value if isinstance(v, Graph))
    return found


def _short(t: SymbolicTensor) -> str:
    return f"%{t.node.name}" + (f":{t.index}" if len(t.node.outputs) > 1 else "")


def _typed(t: SymbolicTensor) -> str:
    return f"{_short(t)}: {t.dtype.name}{t.shape}"


def _attr(value: Any) -> str:
    if isinstance(value, StringArray) or hasattr(value, "tolist"):
        if value.size <= 4:
            return str(value.tolist())
        return f"<{'string' if isinstance(value, StringArray) else value.dtype}{value.shape}>"
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
