"""``if`` on a symbolic tensor: both branches traced, their results made to match."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nest
from ..composite import Composite, CompositeSpec, from_components, spec_of
from ..context import current, tracing
from ..control_flow import node_of
from ..control_flow_graphs import stand_in
from ..convert import to_tensor
from ..graph.graph import Graph
from ..tensor import Tensor
from ..tensor_spec import TensorSpec
from .context import state
from .jumps import RETURNED
from .values import is_tensor_like

__all__ = ["Undefined", "if_tensor", "shown", "undefined"]


class Undefined:
    """Stands for a name that has no value yet."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"<undefined {self.name}>"


def undefined(value: Any) -> bool:
    """Whether a name has no value."""
    return type(value) is Undefined


def shown(name: str) -> str:
    """A name as messages show it."""
    return "the return value" if name == RETURNED else f"'{name}'"


def if_tensor(
    test: Any,
    body: Callable[[], None],
    orelse: Callable[[], None],
    get_state: Callable[[], tuple[Any, ...]],
    set_state: Callable[[Any], None],
    names: tuple[str, ...],
    results: int,
) -> None:
    """A node of both branches; the names' values are its results afterwards."""
    if test.shape.rank not in (0, None):
        raise ValueError(
            f"The condition of an `if` must be a scalar, got a tensor of shape {test.shape}. "
            "Use hr.reduce_any, hr.reduce_all or hr.where."
        )
    before = get_state()
    graphs: list[Graph] = []
    found: list[tuple[Any, ...]] = []
    state.branches += 1
    try:
        for fn, name in ((body, "true_fn"), (orelse, "false_fn")):
            graph = Graph(name, parent=current.trace)
            with tracing(graph):
                set_state(before)
                fn()
                found.append(get_state()[:results])
            graphs.append(graph)
    finally:
        state.branches -= 1
        set_state(before)
    flat: tuple[list[Any], list[Any]] = ([], [])
    rebuild = [
        _matched(name, a, b, graphs, flat) for name, a, b in zip(names, *found, strict=False)
    ]
    for graph, values in zip(graphs, flat, strict=True):
        with tracing(graph):
            graph.outputs = [
                t if isinstance(t, Tensor) and getattr(t, "graph", None) is graph
                else graph.capture(t)
                for t in values
            ]  # fmt: skip
    made = iter(node_of(test, graphs, True))
    after = [make(made) for make in rebuild]
    set_state((*after, *before[results:]))


def _matched(
    name: str, a: Any, b: Any, graphs: list[Graph], flat: tuple[list[Any], list[Any]]
) -> Callable[[Any], Any]:
    """Puts the tensors of a name's two values on `flat`; returns what makes the result of
    them."""
    if type(a) is Undefined and type(b) is Undefined:
        return lambda made: a
    for k, (missing, other) in enumerate(((a, b), (b, a))):
        if type(missing) is not Undefined:
            continue
        if name != RETURNED:
            raise ValueError(
                f"{shown(name)} must also be initialized in the {('main', 'else')[k]} branch"
            )
        # What the function returns is not read before it is set.
        with tracing(graphs[1 - k]):
            other = nest.map_structure(_converted, other)
        with tracing(graphs[k]):
            missing = nest.map_structure(_stand_in, other)
        a, b = (missing, other) if k == 0 else (other, missing)
    x, tree = nest.flatten_with_spec(a)
    y, other_tree = nest.flatten_with_spec(b)
    if tree != other_tree:
        raise TypeError(
            f"{shown(name)} does not have the same nested structure in the main and the else "
            f"branch: {tree} and {other_tree}"
        )
    makers = [_leaf(name, p, q, graphs, flat) for p, q in zip(x, y, strict=True)]
    return lambda made: nest.pack_sequence_as(tree, [m(made) for m in makers])


def _leaf(name: str, p: Any, q: Any, graphs: Any, flat: Any) -> Callable[[Any], Any]:
    if p is q and not is_symbolic_in(p, graphs):
        return lambda made: p
    for value, other, where in ((p, q, "main"), (q, p, "else")):
        if value is None and other is not None:
            raise ValueError(
                f"{shown(name)} is None at the end of the {where} branch, but a value at the "
                "end of the other one."
            )
    if not (is_tensor_like(p) and is_tensor_like(q)):
        same = type(p) is type(q) and not is_tensor_like(p)
        if same and isinstance(p, (str, bytes)) and p != q:
            pass
        else:
            try:
                equal = same and bool(p == q)
            except Exception:
                equal = False
            if not equal:
                raise TypeError(
                    f"{shown(name)} must be a tensor, or the same, in the main and the else "
                    f"branch, got {p!r} and {q!r}"
                )
            return lambda made: p
    values = []
    for value, graph in zip((p, q), graphs, strict=True):
        with tracing(graph):
            values.append(_converted(value))
    a, b = (spec_of(v) for v in values)
    if type(a) is not type(b) or (isinstance(a, TensorSpec) and a.dtype is not b.dtype):
        first, second = (getattr(s, "dtype", s) for s in (a, b))
        raise TypeError(
            f"{shown(name)} has dtype {getattr(first, 'name', first)} in the main branch, but "
            f"dtype {getattr(second, 'name', second)} in the else branch"
        )
    for value, out in zip(values, flat, strict=True):
        out.extend(value._components() if isinstance(value, Composite) else (value,))
    if isinstance(a, CompositeSpec):
        joined = getattr(a, "most_specific_common_supertype", None)
        try:
            a = (joined([b]) if joined else None) or a
        except NotImplementedError:
            pass
        count = len(a.component_specs())
        return lambda made: from_components(a, [next(made) for _ in range(count)])
    return lambda made: next(made)


def is_symbolic_in(value: Any, graphs: Any) -> bool:
    """Whether a value was made in one of the graphs."""
    parts = value._components() if isinstance(value, Composite) else (value,)
    return any(getattr(t, "graph", None) in graphs for t in parts if isinstance(t, Tensor))


def _converted(value: Any) -> Any:
    if isinstance(value, Composite) or not (
        is_tensor_like(value) or isinstance(value, (str, bytes))
    ):
        return value
    return to_tensor(value, None)


def _stand_in(value: Any) -> Any:
    if isinstance(value, Composite):
        spec = value._type_spec
        return spec.from_components([stand_in(s) for s in spec.component_specs()])
    if isinstance(value, Tensor):
        return stand_in(TensorSpec(value.shape, value.dtype))
    return value
