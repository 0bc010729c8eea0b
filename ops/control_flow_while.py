"""while_loop: a body run again and again on loop variables, as long as a condition holds.

Eagerly it is a Python loop.  In a trace, condition and body become graphs, and the loop one
node (`While`).  Where a tape records it, the loop also pushes its variables on lists, one entry
an iteration (`saving`); the gradient is a loop that pops them, computes the body again and its
gradient.  It is made of the same primitive, so it can be differentiated in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes, nest
from .autograph.context import for_tracing
from .composite import Composite, CompositeSpec, as_components, from_components
from .context import current
from .control_flow import truth
from .control_flow_batch import while_batch
from .control_flow_graphs import (
    ControlFlow,
    align,
    closed,
    inner_trace,
    kind_of,
    replay,
    residuals_of,
    saving_copy,
)
from .convert import to_tensor
from .graph.graph import Graph
from .math_ops import add
from .tape import GradientTape, carries_gradient
from .tensor import Tensor
from .tensor_array import TensorArraySpec
from .tensor_list import (
    LIST,
    TensorListPopBack,
    TensorListPushBack,
    TensorListReserve,
    list_zeros_like,
)
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec
from .variable import Variable

__all__ = ["loop_node", "while_loop"]


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    shape_invariants: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    maximum_iterations: Any = None,
    name: str | None = None,
) -> Any:
    """The loop variables after `body` has run as long as `cond` holds.

    Args:
        cond: function of the loop variables giving a scalar bool.
        body: function of the loop variables giving new ones of the same structure.
        loop_vars: list or tuple of initial values; nested structures, tensor arrays and ragged
            tensors are loop variables too.
        shape_invariants: shapes (or specs) the variables keep through all iterations, where
            these differ from the initial ones.
        parallel_iterations, back_prop, swap_memory: have no effect.
        maximum_iterations: stop after so many.

    Raises:
        ValueError: a variable changes its shape and no invariant allows for that.
        TypeError: it changes its dtype, or `cond` and `body` are no functions.

    >>> i, = while_loop(lambda i: i < 10, lambda i: (i + 3,), (to_tensor(0, None),))
    >>> int(i)
    12
    """
    if not callable(cond):
        raise TypeError("'cond' must be callable.")
    if not callable(body):
        raise TypeError("'body' must be callable.")
    variables = loop_vars if isinstance(loop_vars, (list, tuple)) else (loop_vars,)
    if not variables:
        raise ValueError("'loop_vars' must be provided.")
    if current.trace is None:
        return _eager(cond, body, loop_vars, maximum_iterations)
    limited = maximum_iterations is not None
    cond, body = for_tracing(cond), for_tracing(body)
    tree = nest.structure_of(tuple(variables))
    invariants = None
    if shape_invariants is not None:
        given = (
            shape_invariants
            if isinstance(shape_invariants, (list, tuple))
            else (shape_invariants,)
        )
        invariants = _invariants(given, tuple(variables))
    flat = [_value(v) for v in nest.flatten(tuple(variables))]
    if limited:
        limit = to_tensor(maximum_iterations, None)
        flat.append(Tensor.of(np.zeros([], limit.dtype.np_dtype)))
        if invariants is not None:
            invariants.append(None)

    def on(parts: list[Any]) -> tuple[Any, ...]:
        return nest.pack_sequence_as(tree, parts[:-1] if limited else parts)

    def test(parts: list[Any]) -> Any:
        if not limited:
            return cond(*on(parts))
        from .comparison import logical_and

        return logical_and(parts[-1] < limit, to_tensor(cond(*on(parts)), None))

    def step(parts: list[Any]) -> list[Any]:
        out = body(*on(parts))
        if not isinstance(out, (list, tuple)) or tree.num_children != len(out):
            out = (out,)
        try:
            nest.assert_same_structure(tuple(variables), tuple(out))
        except ValueError as error:
            raise ValueError(
                f"The two structures don't have the same nested structure: the loop_vars of "
                f"hr.while_loop and what its body returned. {error}"
            ) from None
        more = [parts[-1] + 1] if limited else []
        return [*nest.flatten(tuple(out)), *more]

    names = [f"loop variable {k}" for k in range(len(flat))]
    found = loop_node(test, step, flat, names, invariants)
    out = on(found)
    if isinstance(loop_vars, (list, tuple)):
        return type_of(loop_vars, out)
    return out[0]


def type_of(like: Any, parts: tuple[Any, ...]) -> Any:
    """`parts` as a list or tuple like `like`."""
    if isinstance(like, list):
        return list(parts)
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def _eager(cond: Any, body: Any, loop_vars: Any, maximum_iterations: Any) -> Any:
    variables = loop_vars
    single = not isinstance(loop_vars, (list, tuple))
    n = 0
    args = (variables,) if single else tuple(variables)
    limit = None if maximum_iterations is None else int(maximum_iterations)
    while (limit is None or n < limit) and truth_of(cond(*args)):
        out = body(*args)
        if not isinstance(out, (list, tuple)) or (len(args) == 1 and len(out) != 1):
            out = (out,)
        nest.assert_same_structure(tuple(args), tuple(out))
        args = tuple(out)
        n += 1
    args = nest.map_structure(_eager_value, args)
    return args[0] if single else type_of(loop_vars, args)


def _eager_value(value: Any) -> Any:
    return value if value is None or isinstance(value, Composite) else to_tensor(value, None)


def truth_of(value: Any) -> bool:
    """A condition's result as a bool."""
    if isinstance(value, Variable):
        value = value.read_value()
    return truth(value._value if type(value) is Tensor else value)


def _value(value: Any) -> Any:
    if value is None or isinstance(value, Composite):
        return value
    return to_tensor(value, None)


def _invariants(given: Any, variables: tuple[Any, ...]) -> list[Any]:
    """A shape or spec, or None, for each leaf of the loop variables."""
    flat: list[Any] = []

    def walk(value: Any, shape: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                walk(value[key], shape[key])
        elif isinstance(value, (list, tuple)):
            for v, s in zip(value, shape, strict=True):
                walk(v, s)
        else:
            flat.append(shape)

    walk(variables, tuple(given))
    return flat


# -- the node ---------------------------------------------------------------------------------


def loop_node(
    test: Callable[[list[Any]], Any],
    step: Callable[[list[Any]], list[Any]],
    flat: list[Any],
    names: list[str],
    invariants: list[Any] | None = None,
) -> list[Any]:
    """A loop in the trace under way.

    Args:
        test, step: the condition and the body on the flat list of loop variables.
        flat: initial values: tensors, composites or None.
        names: what error messages call them.
        invariants: for each its shape or spec through all iterations, None for its own.
    """
    start, structure = as_components(flat)
    leaves = list(structure)
    if invariants is not None:
        leaves = [_widened(s, i) for s, i in zip(leaves, invariants, strict=True)]
    specs = [
        part
        for s in leaves
        if s is not None
        for part in (s.component_specs() if isinstance(s, CompositeSpec) else (s,))
    ]

    def make(graph: Graph) -> tuple[Any, ...]:
        tensors = [graph.placeholder(TensorSpec(s.shape, s.dtype)) for s in specs]
        return (from_components(leaves, tensors),)

    def predicate(parts: list[Any]) -> Any:
        found = to_tensor(test(list(parts)), None)
        if found.shape.rank not in (0, None) and found.shape.num_elements() != 1:
            raise ValueError(
                f"the condition of a loop must be a scalar, got shape {found.shape}"
            )
        return found

    def run(parts: list[Any]) -> list[Any]:
        return [_value(v) for v in step(list(parts))]

    cond_graph, _ = inner_trace(predicate, (), make, "cond")
    body_graph, after = inner_trace(run, (), make, "body")
    for name, before, then in zip(names, leaves, after, strict=True):
        _check(name, before, then)
    leaves = [_learnt(before, then) for before, then in zip(leaves, after, strict=True)]
    captured = align([cond_graph, body_graph], len(start))
    attrs = {"cond": cond_graph, "body": body_graph}
    found = choose(cond_graph, body_graph).call_flat((*start, *captured), attrs)
    return from_components(leaves, found)


def _widened(spec: Any, invariant: Any) -> Any:
    if invariant is None or spec is None:
        return spec
    if isinstance(invariant, CompositeSpec):
        return invariant
    shape = invariant.shape if isinstance(invariant, TensorSpec) else TensorShape(invariant)
    if isinstance(spec, CompositeSpec):
        return spec
    if not spec.shape.is_subtype_of(shape):
        raise ValueError(
            f"The shape invariant specified for a loop variable is not compatible with its "
            f"initial shape: it has shape {spec.shape}, and the invariant is {shape}."
        )
    return TensorSpec(shape, spec.dtype)


def _learnt(before: Any, after: Any) -> Any:
    """The spec of a result: an array that was empty has elements of the shape written to it."""
    if isinstance(before, TensorArraySpec) and before.element_shape.rank is None:
        return after
    return before


def _check(name: str, before: Any, after: Any) -> None:
    """Raise unless a loop variable keeps its kind."""
    if isinstance(before, TensorSpec) and isinstance(after, TensorSpec):
        if before.dtype is not after.dtype:
            raise TypeError(
                f"'{name}' has dtype {before.dtype.name} before the loop, but dtype "
                f"{after.dtype.name} after one iteration. Cast it, so that it keeps its dtype."
            )
        if not after.shape.is_subtype_of(before.shape):
            raise ValueError(
                f"'{name}' has shape {before.shape} before the loop, but shape {after.shape} "
                "after one iteration. Use hr.autograph.experimental.set_loop_options (or "
                "shape_invariants of hr.while_loop) to set shape invariants."
            )
    elif type(before) is not type(after):
        raise TypeError(
            f"'{name}' is {before} before the loop, but {after} after one iteration."
        )


def choose(cond: Graph, body: Graph) -> ControlFlow:
    """The primitive for these graphs: stateful where they are, random where they draw."""
    return _KINDS[kind_of([cond, body])]


def _impl(*arrays: Any, cond: Graph, body: Graph, saved: Any = None) -> tuple[Any, ...]:
    n = len(body.outputs)
    state, rest = list(arrays[:n]), arrays[n:]
    del arrays  # what the loop replaces is not held
    test, step = cond.compile(), body.compile()
    while truth(test(*state, *rest)[0]):
        state = step(*state, *rest)
    return tuple(state)


def _shape(*inputs: Any, cond: Graph, body: Graph, saved: Any = None) -> Any:
    return tuple(t.spec for t in body.inputs[: len(body.outputs)])


# -- what a gradient needs --------------------------------------------------------------------


class _Saved:
    """Where things are among the loop variables of the saving form.

    First the loop's own `n`, then the number of iterations so far, a list for each variable in
    `stacked`, a list for each residual.
    """

    __slots__ = ("n", "residuals", "stacked")

    def __init__(self, n: int, stacked: tuple[int, ...], residuals: int):
        self.n = n
        self.stacked = stacked
        self.residuals = residuals

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return len(self.stacked) + self.residuals


def _saving(
    inputs: tuple[Any, ...], attrs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], int]:
    cond, body = attrs["cond"], attrs["body"]
    n = len(body.outputs)
    key = ("saving loop", cond)
    if key not in body.derived:
        body.derived[key] = _saving_graphs(cond, body, n)
    made = body.derived[key]
    saved = made["saved"]
    zero = Tensor.of(np.zeros([], np.int32))
    lists = [TensorListReserve.call_flat((zero,), {}) for _ in range(saved.lists)]
    return (*inputs[:n], zero, *lists, *inputs[n:]), made, n


def _saving_graphs(cond: Graph, body: Graph, n: int) -> dict[str, Any]:
    copy = saving_copy(body)
    stacked = tuple(k for k in range(n) if copy.outputs[k] is not copy.inputs[k])
    residuals = residuals_of(copy)
    saved = _Saved(n, stacked, len(residuals))
    own = [t.spec for t in copy.inputs[:n]]
    added = [TensorSpec([], dtypes.int32), *[LIST] * saved.lists]
    captures = [t.spec for t in copy.inputs[n:]]
    first = n + 1

    def test(*args: Any) -> list[Any]:
        return cond.replay([*args[:n], *args[first + saved.lists :]])

    def step(*args: Any) -> list[Any]:
        state, rest = args[:n], args[first + saved.lists :]
        found = copy.replay([*state, *rest], [*copy.outputs, *residuals])
        values = [*(state[k] for k in stacked), *found[n:]]
        lists = [
            TensorListPushBack.call_flat((a, to_tensor(v, None)), {})
            for a, v in zip(args[first : first + saved.lists], values, strict=True)
        ]
        return [*found[:n], args[n] + 1, *lists]

    new_cond, _ = closed(test, [*own, *added, *captures], cond.name)
    new_body, _ = closed(step, [*own, *added, *captures], body.name)
    # Replaying runs residual nodes anew in another graph: their order is the same.
    return {"cond": new_cond, "body": new_body, "saved": saved}


def _vjp(op: Any, *grads: Any) -> Any:
    body, saved = op.attrs["body"], op.attrs["saved"]
    total = len(body.outputs)
    needs = op.needs or (True,) * len(op.inputs)
    wanted = tuple(
        k
        for k in range(total, len(op.inputs))
        if needs[k] and carries_gradient(op.inputs[k].dtype)
    )
    given = tuple(
        k
        for k, g in enumerate(grads)
        if g is not None and carries_gradient(op.outputs[k].dtype)
    )
    key = ("gradient loop", op.attrs["cond"], wanted, given)
    if key not in body.derived:
        body.derived[key] = _gradient_graphs(body, saved, wanted, given)
    attrs, carried, fixed = body.derived[key]
    lists = list(op.outputs[saved.n + 1 : saved.n + 1 + saved.lists])
    start = [op.outputs[saved.n], *lists]
    start += [
        list_zeros_like(op.outputs[k]) if grads[k] is None else to_tensor(grads[k], None)
        for k in carried
    ]
    start += [list_zeros_like(op.inputs[k]) for k in wanted]
    rest = [op.outputs[k] for k in fixed] + list(op.inputs[total:])
    found = choose(attrs["cond"], attrs["body"]).call_flat((*start, *rest), attrs)
    found = found[1 + saved.lists :]
    out: list[Any] = [None] * len(op.inputs)
    for k, g in zip((*carried, *wanted), found, strict=True):
        out[k] = g
    return tuple(out)


def _gradient_graphs(
    body: Graph, saved: _Saved, wanted: tuple[int, ...], given: tuple[int, ...]
) -> tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]:
    """The loop that walks back: its attributes, which variables' gradients it carries, and
    which variables never change.

    A gradient may reach a variable only after some iterations; those are added until there is
    no other.
    """
    n = saved.n
    fixed = tuple(k for k in range(n) if k not in saved.stacked)
    carried = given
    while True:
        missing: set[int] = set()
        step, specs = _step_back(body, saved, wanted, carried, fixed, missing)
        new_body, _ = closed(step, specs, f"gradient_of_{body.name}")
        if not missing:
            break
        carried = tuple(sorted({*carried, *missing}))
    new_cond, _ = closed(lambda *args: [args[0] > 0], specs, "more")
    return {"cond": new_cond, "body": new_body}, carried, fixed


def _step_back(
    body: Graph,
    saved: _Saved,
    wanted: tuple[int, ...],
    carried: tuple[int, ...],
    fixed: tuple[int, ...],
    missing: set[int],
) -> tuple[Callable[..., list[Any]], list[TensorSpec]]:
    n, total = saved.n, len(body.outputs)
    inner = residuals_of(body)
    kinds = [body.inputs[k].spec for k in saved.stacked] + [t.spec for t in inner]
    a, b = 1 + saved.lists, 1 + saved.lists + len(carried)
    c = b + len(wanted)

    def step(*args: Any) -> list[Any]:
        popped = [
            TensorListPopBack.call_flat((a_list,), {"spec": s})
            for a_list, s in zip(args[1:a], kinds, strict=True)
        ]
        lists, values = [p[0] for p in popped], [p[1] for p in popped]
        own = dict(zip(saved.stacked, values, strict=False))
        own.update(zip(fixed, args[c:], strict=False))
        count = args[0] - 1
        captures = list(args[c + len(fixed) :])
        state = [own[k] for k in range(n)] + [count, *lists]
        inputs = [*state, *captures]
        sources = [k for k in range(total) if carries_gradient(state[k].dtype)]
        watched = [inputs[k] for k in (*sources, *wanted)]
        with GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            outs = replay(body, inputs, values[len(saved.stacked) :])
        found = tape.gradient(
            [outs[k] for k in carried], watched, output_gradients=list(args[a:b])
        )
        of = dict(zip(sources, found, strict=False))
        missing.update(k for k in sources if of[k] is not None and k not in carried)
        back = [
            list_zeros_like(state[k]) if of.get(k) is None else to_tensor(of[k], None)
            for k in carried
        ]
        sums = [
            acc if g is None else _plus(acc, g)
            for acc, g in zip(args[b:c], found[len(sources) :], strict=True)
        ]
        return [count, *lists, *back, *sums]

    specs = [TensorSpec([], dtypes.int32), *[LIST] * saved.lists]
    specs += [body.inputs[k].spec for k in (*carried, *wanted)]
    specs += [body.inputs[k].spec for k in fixed]
    specs += [t.spec for t in body.inputs[total:]]
    return step, specs


def _plus(acc: Any, g: Any) -> Any:
    if acc.dtype is dtypes.variant:
        from .tensor_list import TensorListAdd

        return TensorListAdd.call_flat((acc, g), {})
    return add(acc, to_tensor(g, None))


def _declare(name: str, stateful: bool, random: bool) -> ControlFlow:
    made = ControlFlow(
        name,
        "input: N * T",
        impl=_impl,
        shape=_shape,
        vjp=_vjp,
        batch=None if name == "While" else while_batch,
        stateful=stateful,
        random=random,
        partial_grads=True,
    )
    made.saving = _saving
    made.checks = name.startswith("_Checking")
    return made


_KINDS = (
    _declare("StatelessWhile", False, False),
    _declare("While", True, False),
    _declare("_RandomWhile", True, True),
    _declare("_CheckingWhile", True, False),
)
