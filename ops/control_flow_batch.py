"""How choices and loops run on blocks: every element takes its own branch and makes its own
number of iterations.

* A choice that is the same for the whole block stays a choice, between batched branches.
* Branches of a few elementwise operations are both computed, and the results selected.
* Other branches run on the rows that chose them, gathered, and nothing else: what fails or
  costs much for a row runs for no other.
* A loop whose condition is the same for all rows stays a loop with a batched body; else rows
  leave it as they finish, and the body runs on those that remain.

Random draws in branches are those of each element's own stream.  In loops that carry random
draws there is no batched form: every iteration would draw the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes
from .array_module import array_module, beside, is_on_device, together
from .block_axis import broadcast_to_block, expand_dims_at_1
from .context import tracing
from .errors import InvalidArgumentError, UnimplementedError
from .graph.batching import batch_graph
from .graph.graph import Const, Graph, Placeholder
from .primitive import Primitive, get_primitive
from .string_array import StringArray
from .tensor import SymbolicTensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["if_batch", "while_batch"]

_CHEAP = 16  # nodes; branches of more are run on their own rows only
_INDEX = TensorSpec([None], dtypes.int64)


def _refused(ctx: Any, why: str) -> UnimplementedError:
    name = ctx.primitive.name
    return UnimplementedError(f"primitive {name}: {why}", op=name)


def _on_blocks(
    ctx: Any, graph: Graph, flags: tuple[bool, ...]
) -> tuple[Graph, list[bool], bool]:
    """`graph` on blocks, with the element positions as last input; which outputs have the
    block axis; whether the positions matter."""
    key = ("block", flags)
    if key not in graph.derived:
        try:
            made = batch_graph(graph, list(flags))
        except UnimplementedError as error:
            raise _refused(ctx, f"in {graph.name}, {error}") from error
        if not made.needs_index:
            with tracing(made.graph):
                made.graph.placeholder(_INDEX)
        graph.derived[key] = made.graph, made.out_batched, made.needs_index
    return graph.derived[key]


def _all_on_blocks(ctx: Any, graph: Graph, flags: tuple[bool, ...], want: list[bool]) -> Graph:
    """`graph` on blocks, with a block axis on (at least) the wanted outputs."""
    made, have, _ = _on_blocks(ctx, graph, flags)
    if all(h or not w for h, w in zip(have, want, strict=True)):
        return made
    new = made.rebuild(lambda g, node, inputs: g.add(node.primitive, inputs, node.attrs))
    with tracing(new):
        for k, (h, w) in enumerate(zip(have, want, strict=True)):
            if w and not h:
                if new.outputs[k].dtype is dtypes.variant:
                    raise _refused(ctx, f"{graph.name} gives a list that is not the elements'")
                new.outputs[k] = broadcast_to_block(new.outputs[k], new.inputs[-1])
    return new


# -- choices ----------------------------------------------------------------------------------


def if_batch(two: bool) -> Callable[..., Any]:
    """The batch rule of `If` (`two`) or `Case`."""

    def rule(ctx: Any, pred: Any, *inputs: Any, branches: Any, saved: Any = None) -> Any:
        flags = tuple(ctx.batched[1:])
        index = ctx.element_index()
        outs = [_on_blocks(ctx, g, flags)[1] for g in branches]
        if not ctx.batched[0]:
            want = [any(o) for o in zip(*outs, strict=True)]
            graphs = tuple(_all_on_blocks(ctx, g, flags, want) for g in branches)
            found = ctx.primitive.call_flat((pred, *inputs, index), {"branches": graphs})
            return tuple(f if w else ctx.unbatched(f) for f, w in zip(found, want, strict=True))
        want = [True] * len(branches[0].outputs)
        if two and _is_cheap(branches):
            graphs = tuple(_all_on_blocks(ctx, g, flags, want) for g in branches)
            sides = [g.replay([*inputs, index]) for g in graphs]
            return tuple(_selected(pred, a, b) for a, b in zip(*sides, strict=True))
        if any(t.dtype is dtypes.variant for g in branches for t in (*g.inputs, *g.outputs)):
            raise _refused(ctx, "elements choose between lists")
        graphs = tuple(_all_on_blocks(ctx, g, flags, want) for g in branches)
        attrs = {"graphs": graphs, "flags": flags, "two": two, "branches": branches}
        return _IfBlock.call_flat((pred, index, *inputs), attrs)

    return rule


def _is_cheap(branches: tuple[Graph, ...]) -> bool:
    """Whether it is fine to compute both sides for every element: a few elementwise
    operations, none of which can fail, with results of one known shape."""
    cost = _cost(branches)
    return cost is not None and cost <= _CHEAP


def _cost(branches: tuple[Graph, ...]) -> int | None:
    """How many operations the branches are made of; None if they must not all run."""
    for parts in zip(*[g.outputs for g in branches], strict=True):
        if len({t.shape.dims for t in parts}) > 1 or not parts[0].shape.is_fully_defined():
            return None
    count = 0
    for node in (n for g in branches for n in g.nodes):
        if node.primitive in (Const, Placeholder):
            continue
        inner: int | None = 1
        if node.type == "StatelessIf":
            inner = _cost(node.attrs["branches"])
        else:
            fails = any(t.dtype.is_integer for t in node.inputs) and (
                "Div" in node.type or "Mod" in node.type or "Pow" in node.type
            )
            known = node.primitive.elementwise is not None
            known = known or node.type in ("Cast", "Identity")
            if not known or fails or node.primitive.stateful:
                return None
        if inner is None:
            return None
        count += inner
    return count


def _selected(pred: Any, a: Any, b: Any) -> Any:
    if a is b:
        return a
    if not pred.dtype.is_bool:
        pred = get_primitive("Cast").call_flat((pred,), {"DstT": dtypes.bool})
    rank = a.shape.rank
    if rank > 1:
        pred = expand_dims_at_1(pred, rank - 1)
    return get_primitive("SelectV2").call_flat((pred, a, b), {})


def _chosen(pred: Any, count: int, two: bool) -> np.ndarray:
    """[n]: the number of each row's branch."""
    if isinstance(pred, StringArray):
        pred = pred.lengths > 0
    pred = (pred.get() if is_on_device(pred) else np.asarray(pred)).reshape(len(pred))
    if two:
        return np.where(pred.astype(bool), 0, 1)
    return np.where((pred >= 0) & (pred < count), pred, count - 1)


def _rows_of(arrays: Any, flags: Any, rows: np.ndarray) -> list[Any]:
    return [a[rows] if f else a for a, f in zip(arrays, flags, strict=True)]


class _Pieces:
    """Results for some of the rows at a time, put together in the rows' order."""

    def __init__(self, n: int):
        self._n = n
        self._rows: list[np.ndarray] = []
        self._values: list[list[Any]] = []

    def add(self, rows: np.ndarray, values: list[Any]) -> None:
        """The results for `rows`."""
        self._rows.append(rows)
        self._values.append(values)

    def joined(self, specs: Any) -> tuple[Any, ...]:
        """One array per result."""
        if not self._rows:
            return tuple(_empty(s) for s in specs)
        if len(self._rows) == 1:
            return tuple(self._values[0])
        order = np.argsort(np.concatenate(self._rows), kind="stable")
        out = []
        for parts in zip(*self._values, strict=True):
            shapes = {p.shape[1:] for p in parts}
            if len(shapes) > 1:
                a, b, *_ = sorted(shapes)
                raise InvalidArgumentError(
                    f"elements of one block give results of different shapes: {a} and {b}"
                )
            if isinstance(parts[0], StringArray):
                out.append(StringArray.concatenate(list(parts))[order])
                continue
            parts = together(*parts)
            xp = array_module(*parts)
            with beside(*parts):
                whole = xp.empty((self._n, *parts[0].shape[1:]), parts[0].dtype)
                for rows, part in zip(self._rows, parts, strict=True):
                    whole[rows] = part
            out.append(whole)
        return tuple(out)


def _empty(spec: TensorSpec) -> Any:
    dims = tuple(d or 0 for d in spec.shape.dims or (0,))
    if spec.dtype is dtypes.string:
        return StringArray.empty(dims)
    return np.empty(dims, spec.dtype.np_dtype)


def _if_block_impl(
    pred: Any, index: Any, *arrays: Any, graphs: Any, flags: Any, two: bool, branches: Any
) -> tuple[Any, ...]:
    choice = _chosen(pred, len(graphs), two)
    pieces = _Pieces(len(choice))
    for k, graph in enumerate(graphs):
        rows = np.flatnonzero(choice == k)
        if len(rows) == len(choice) and len(rows):
            return tuple(graph.compile()(*arrays, index))
        if len(rows):
            mine = _rows_of(arrays, flags, rows)
            pieces.add(rows, graph.compile()(*mine, index[rows]))
    return pieces.joined([t.spec for t in graphs[0].outputs])


def _if_block_shape(
    pred: Any, index: Any, *inputs: Any, graphs: Any, flags: Any, two: bool, branches: Any
) -> tuple[TensorSpec, ...]:
    found = []
    for parts in zip(*[g.outputs for g in branches], strict=True):
        shape = parts[0].shape
        for t in parts[1:]:
            shape = shape.most_general(t.shape)
        found.append(TensorSpec(TensorShape([None]).concatenate(shape), parts[0].dtype))
    return tuple(found)


def _if_block_vjp(op: Any, *grads: Any) -> Any:
    """The gradient of an element's choice, on blocks; what all elements share gets the sum."""
    from .control_flow import gradient_branches
    from .reductions import reduce_sum

    pred, index, *inputs = op.inputs
    flags, two = op.attrs["flags"], op.attrs["two"]
    needs = (op.needs or (True,) * len(op.inputs))[2:]
    graphs, given, places = gradient_branches(op.attrs["branches"], inputs, needs, grads)
    ctx = _Names(op.primitive)
    all_flags = (*flags, *[True] * len(given))
    want = [True] * len(places)
    blocks = tuple(_all_on_blocks(ctx, g, all_flags, want) for g in graphs)
    attrs = {"graphs": blocks, "flags": all_flags, "two": two, "branches": graphs}
    found = _IfBlock.call_flat((pred, index, *inputs, *(grads[k] for k in given)), attrs)
    out: list[Any] = [None] * len(op.inputs)
    for k, g in zip(places, found, strict=True):
        out[k + 2] = g if flags[k] else reduce_sum(g, 0)
    return tuple(out)


class _Names:
    """As much of a batch rule's context as errors need."""

    def __init__(self, primitive: Primitive):
        self.primitive = primitive


_IfBlock = Primitive(
    "_IfBlock",
    "cond: Tcond, index: int64, input: N * T",
    impl=_if_block_impl,
    shape=_if_block_shape,
    vjp=_if_block_vjp,
    partial_grads=True,
)

# -- loops ------------------------------------------------------------------------------------


def while_batch(ctx: Any, *inputs: Any, cond: Graph, body: Graph, saved: Any = None) -> Any:
    """The batch rule of `While`."""
    n = len(body.outputs)
    index = ctx.element_index()
    flags = list(ctx.batched)
    while True:  # a variable that is the same for all rows may differ after an iteration
        _, out, needs_index = _on_blocks(ctx, body, tuple(flags))
        grown = [a or b for a, b in zip(flags[:n], out, strict=True)]
        if grown == flags[:n]:
            break
        flags[:n] = grown
    _, differs, index_too = _on_blocks(ctx, cond, tuple(flags))
    if needs_index or index_too:
        raise _refused(ctx, "each iteration of an element would draw the same random numbers")
    if differs[0]:
        if any(t.dtype is dtypes.variant for t in body.inputs[:n]):
            raise _refused(ctx, "elements make different numbers of iterations on lists")
        flags[:n] = [True] * n
    start = [
        _with_axis(ctx, t, has) if wants and not has else t
        for t, has, wants in zip(inputs[:n], ctx.batched, flags, strict=False)
    ]
    blocks = _all_on_blocks(ctx, body, tuple(flags), flags[:n])
    test = _all_on_blocks(ctx, cond, tuple(flags), [bool(differs[0])])
    if not differs[0]:
        attrs = {"cond": test, "body": _open(blocks, n)}
        found = ctx.primitive.call_flat((*start, *inputs[n:], index), attrs)
        return tuple(
            f if has else ctx.unbatched(f) for f, has in zip(found, flags, strict=False)
        )
    attrs = {"test": test, "step": blocks, "flags": tuple(flags), "body": body}
    return _WhileBlock.call_flat((index, *start, *inputs[n:]), attrs)


def _open(body: Graph, n: int) -> Graph:
    """Shapes of loop variables as far as they are known throughout."""
    for before, after in zip(body.inputs[:n], body.outputs, strict=True):
        if before.dtype is not dtypes.variant:
            shape = before.shape.most_general(after.shape)
            before.spec = TensorSpec(shape, before.dtype)
    return body


def _with_axis(ctx: Any, value: Any, has: bool) -> Any:
    if value.dtype is dtypes.variant:
        made_empty = type(value) is SymbolicTensor and value.node.type == "TensorListReserve"
        if not made_empty:
            raise _refused(ctx, "a list all elements share becomes each element's own")
        return value
    return broadcast_to_block(value, ctx.element_index())


def _while_block_impl(
    index: Any, *arrays: Any, test: Graph, step: Graph, flags: Any, body: Graph
) -> tuple[Any, ...]:
    n = len(body.outputs)
    again, run = test.compile(), step.compile()
    state, rest, rest_flags = list(arrays[:n]), list(arrays[n:]), flags[n:]
    rows = np.arange(len(index))
    pieces = _Pieces(len(index))
    while len(rows):
        more = np.asarray(again(*state, *rest, index)[0]).reshape(len(rows)).astype(bool)
        if not more.all():
            done = np.flatnonzero(~more)
            pieces.add(rows[done], [a[done] for a in state])
            left = np.flatnonzero(more)
            rows, index = rows[left], index[left]
            state, rest = [a[left] for a in state], _rows_of(rest, rest_flags, left)
            if not len(rows):
                break
        state = run(*state, *rest, index)
    return pieces.joined([t.spec for t in step.outputs])


def _while_block_shape(
    index: Any, *inputs: Any, test: Graph, step: Graph, flags: Any, body: Graph
) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(TensorShape([None]).concatenate(t.shape), t.dtype)
        for t in body.inputs[: len(body.outputs)]
    )


_WhileBlock = Primitive(
    "_WhileBlock",
    "index: int64, input: N * T",
    impl=_while_block_impl,
    shape=_while_block_shape,
)
