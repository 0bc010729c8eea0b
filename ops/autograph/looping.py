"""``while`` and ``for`` over symbolic tensors: the names a loop sets become loop variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import nest
from ..array_basics import shape
from ..array_gather import gather
from ..composite import Composite, as_components, from_components
from ..context import current, tracing
from ..control_flow_graphs import stand_in
from ..control_flow_while import loop_node
from ..convert import to_tensor
from ..graph.graph import Graph
from ..tensor import LONG, SymbolicTensor, Tensor
from ..tensor_array import TensorArray
from ..tensor_spec import TensorSpec
from .branching import Undefined, shown
from .context import state
from .values import is_tensor_like, known

__all__ = ["TensorItems", "for_tensor", "probe", "tensor_items", "while_tensor"]


class TensorItems:
    """What a ``for`` iterates over when its length is a tensor.

    Attributes:
        count: number of items, an int32 or int64 scalar.
        item: function of an item's position.
    """

    def __init__(self, count: Any, item: Callable[[Any], Any]):
        self.count = count
        self.item = item

    def __iter__(self) -> Any:
        from ..errors import UntraceableError

        raise UntraceableError("Python iterated over a range of tensors outside of a `for`")


def tensor_items(items: Any) -> TensorItems | None:
    """The items of a tensor while tracing; None for what Python iterates over itself."""
    if isinstance(items, TensorItems):
        return items
    if current.trace is None:
        return None
    if isinstance(items, TensorArray):
        return TensorItems(items.size(), items.read)
    if not isinstance(items, Tensor):
        return None
    if items.shape.rank == 0:
        raise TypeError("Cannot iterate over a scalar tensor.")
    if not isinstance(items, SymbolicTensor) and items.shape[0] <= _UNROLL:
        return None
    return TensorItems(shape(items)[0], lambda k: gather(items, k))


_UNROLL = LONG  # a known tensor of so few rows is iterated over by Python


def probe(
    test: Callable[[], Any],
    get_state: Callable[[], tuple[Any, ...]],
    set_state: Callable[[Any], None],
) -> Any:
    """A loop's condition, evaluated beside the trace to see what kind of value it is."""
    if current.trace is None:
        return known(test())
    before = get_state()
    with tracing(Graph("probe", parent=current.trace)):
        found = known(test())
    if not isinstance(found, SymbolicTensor):
        return found
    set_state(before)
    return found


class _Variables:
    """The values of the names a loop sets, taken apart into loop variables and the rest."""

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]):
        self._names = names
        self.flat: list[Any] = []
        self.labels: list[str] = []
        self._parts: list[tuple[Any, list[Any], list[bool]]] = []
        for name, value in zip(names, values, strict=True):
            leaves, tree = nest.flatten_with_spec(value)
            moving = [is_tensor_like(leaf) for leaf in leaves]
            self._parts.append((tree, leaves, moving))
            for leaf, moves in zip(leaves, moving, strict=True):
                if moves:
                    is_value = isinstance(leaf, (Composite, Tensor))
                    self.flat.append(leaf if is_value else to_tensor(leaf, None))
                    self.labels.append(name)

    def pack(self, flat: list[Any]) -> tuple[Any, ...]:
        """The names' values with `flat` as their loop variables."""
        parts = iter(flat)
        return tuple(
            nest.pack_sequence_as(
                tree,
                [next(parts) if m else leaf for leaf, m in zip(leaves, moving, strict=True)],
            )
            for tree, leaves, moving in self._parts
        )

    def unpack(self, values: tuple[Any, ...]) -> list[Any]:
        """The loop variables in values after an iteration.

        Raises:
            ValueError, TypeError: a name has another structure, or what cannot change did.
        """
        flat: list[Any] = []
        for name, value, (tree, leaves, moving) in zip(
            self._names, values, self._parts, strict=True
        ):
            if type(value) is Undefined:
                if type(leaves[0]) is not Undefined:
                    raise ValueError(f"{shown(name)} is deleted in the loop.")
                continue
            found, other = nest.flatten_with_spec(value)
            if other != tree:
                raise ValueError(
                    f"{shown(name)} does not have the same nested structure after one "
                    f"iteration: {tree} before, {other} after"
                )
            for before, after, moves in zip(leaves, found, moving, strict=True):
                if moves:
                    if after is None:
                        raise TypeError(f"{shown(name)} may not be None after an iteration.")
                    flat.append(after)
                elif before is not after and not _equal(before, after):
                    what = "None" if before is None else repr(before)
                    raise TypeError(
                        f"{shown(name)} is {what} before the loop, but {after!r} after one "
                        "iteration. A value that changes in a loop over tensors must be a "
                        "tensor before it."
                    )
        return flat


def _equal(a: Any, b: Any) -> bool:
    if is_tensor_like(b) or type(a) is not type(b):
        return False
    try:
        return bool(a == b)
    except Exception:
        return False


def while_tensor(
    test: Callable[[], Any],
    body: Callable[[], None],
    get_state: Callable[[], tuple[Any, ...]],
    set_state: Callable[[Any], None],
    names: tuple[str, ...],
    options: Callable[[], Any] | None,
) -> None:
    """A loop node; the names' values are its results afterwards."""
    _loop(
        lambda parts: test(),
        lambda parts: (body(), [])[1],
        [],
        get_state,
        set_state,
        names,
        options,
    )


def for_tensor(
    items: TensorItems,
    go_on: Callable[[], Any] | None,
    body: Callable[[Any], None],
    get_state: Callable[[], tuple[Any, ...]],
    set_state: Callable[[Any], None],
    names: tuple[str, ...],
    options: Callable[[], Any] | None,
) -> None:
    """A loop node over the positions of the items."""
    count = to_tensor(items.count, None)
    zero = Tensor.of(np.zeros([], count.dtype.np_dtype))

    def test(extra: list[Any]) -> Any:
        if go_on is None:
            return extra[0] < count
        from .operators import and_

        return and_(go_on, lambda: extra[0] < count)

    def step(extra: list[Any]) -> list[Any]:
        body(items.item(extra[0]))
        return [extra[0] + 1]

    _loop(test, step, [zero], get_state, set_state, names, options)


def _loop(
    test: Callable[[list[Any]], Any],
    step: Callable[[list[Any]], list[Any]],
    extra: list[Any],
    get_state: Callable[[], tuple[Any, ...]],
    set_state: Callable[[Any], None],
    names: tuple[str, ...],
    options: Callable[[], Any] | None,
) -> None:
    before, missing = _defined(names, get_state(), step, extra, get_state, set_state)
    kept = options() if options is not None else {}
    variables = _Variables(names, before)
    m = len(extra)
    if missing:
        extra = [*extra, Tensor.of(np.zeros([], bool))]  # whether the body has run
    limit = kept.get("maximum_iterations")
    if limit is not None:
        limit = to_tensor(limit, None)
        extra = [*extra, Tensor.of(np.zeros([], limit.dtype.np_dtype))]
    invariants: list[Any] = [None] * len(extra)
    given = list(kept.get("shape_invariants") or ())
    for leaf in variables.flat:
        found = [s for t, s in given if t is leaf]
        invariants.append(found[0] if found else None)

    def condition(parts: list[Any]) -> Any:
        set_state(variables.pack(parts[len(extra) :]))
        found = test(parts[:m])
        if limit is None:
            return found
        from ..comparison import logical_and

        return logical_and(parts[len(extra) - 1] < limit, to_tensor(found, None))

    def iteration(parts: list[Any]) -> list[Any]:
        set_state(variables.pack(parts[len(extra) :]))
        more = step(parts[:m])
        if missing:
            more = [*more, to_tensor(True, None)]
        if limit is not None:
            more = [*more, parts[len(extra) - 1] + 1]
        return [*more, *variables.unpack(get_state())]

    state.branches += 1
    try:
        labels = ["the position"] * len(extra) + variables.labels
        made = loop_node(condition, iteration, [*extra, *variables.flat], labels, invariants)
    finally:
        state.branches -= 1
        set_state(before)
    if missing:
        from ..debugging_ops import Assert

        shown_names = ", ".join(shown(n) for n in missing)
        Assert(made[m], [f"loop must iterate at least once to initialize {shown_names}"])
    set_state(variables.pack(made[len(extra) :]))


def _defined(
    names: tuple[str, ...],
    values: tuple[Any, ...],
    step: Callable[[list[Any]], list[Any]],
    extra: list[Any],
    get_state: Callable[[], tuple[Any, ...]],
    set_state: Callable[[Any], None],
) -> tuple[tuple[Any, ...], list[str]]:
    """The names' values before the loop, and the user's names among those it defines.

    What only the loop defines gets zeros of the kind it will have, which is learnt by running
    the body once beside the trace.
    """
    missing = [k for k, v in enumerate(values) if type(v) is Undefined]
    if not missing:
        return values, []
    variables = _Variables(names, values)
    graph = Graph("probe", parent=current.trace)
    state.branches += 1
    try:
        with tracing(graph):
            flat, structure = as_components([*extra, *variables.flat])
            places = [graph.placeholder(TensorSpec(t.shape, t.dtype)) for t in flat]
            parts = from_components(structure, places)
            set_state(variables.pack(parts[len(extra) :]))
            step(parts[: len(extra)])
            found = get_state()
    finally:
        state.branches -= 1
        set_state(values)
    ready = list(values)
    for k in missing:
        if type(found[k]) is not Undefined:
            ready[k] = nest.map_structure(_zero_of, found[k])
    users = [names[k] for k in missing if not names[k].startswith("ag__")]
    return tuple(ready), [n for n in users if type(ready[names.index(n)]) is not Undefined]


def _zero_of(value: Any) -> Any:
    if isinstance(value, Composite):
        spec = value._type_spec
        return spec.from_components([stand_in(s) for s in spec.component_specs()])
    if is_tensor_like(value):
        value = to_tensor(value, None)
        return stand_in(TensorSpec(value.shape, value.dtype))
    return value
