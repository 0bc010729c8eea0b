"""cond, case, switch_case: one of several branches, chosen by a value.

Eagerly the chosen branch is called and that is all.  In a trace every branch becomes a graph,
and the call one node (`If`, `Case`) with those graphs; see `control_flow_graphs`.  The gradient
of a choice is a choice between the branches' gradients, which compute again what they need of
the forward pass, so that it can be differentiated in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import nest
from .array_module import array_module, is_on_device
from .autograph.context import for_tracing
from .composite import CompositeSpec, from_components
from .context import tracing
from .control_flow_batch import if_batch
from .control_flow_graphs import (
    ControlFlow,
    align,
    closed,
    filled,
    inner_trace,
    kind_of,
    replay,
    residuals_of,
    saving_copy,
    stand_in,
)
from .convert import to_tensor
from .cuda import recording
from .errors import InvalidArgumentError
from .graph.graph import Graph, constant_value
from .string_array import StringArray
from .tape import GradientTape, carries_gradient
from .tensor import SymbolicTensor
from .tensor_spec import TensorSpec
from .variable import Variable

__all__ = ["case", "cond", "switch_case"]


def cond(
    pred: Any,
    true_fn: Callable[[], Any] | None = None,
    false_fn: Callable[[], Any] | None = None,
    name: str | None = None,
) -> Any:
    """What `true_fn()` returns if `pred` holds, else what `false_fn()` returns.

    In a traced function both are traced and one is run; they must then return the same
    structure with the same dtypes.

    Args:
        pred: scalar bool.
        true_fn, false_fn: functions without arguments.

    Raises:
        TypeError: a branch is not callable, or the branches' results do not match.

    >>> int(cond(to_tensor(3, None) < 4, lambda: 1, lambda: 2))
    1
    """
    if not callable(true_fn):
        raise TypeError("'true_fn' must be callable.")
    if not callable(false_fn):
        raise TypeError("'false_fn' must be callable.")
    pred = _known(pred)
    if not isinstance(pred, SymbolicTensor):
        return true_fn() if truth(pred) else false_fn()
    return branch(pred, [for_tracing(true_fn), for_tracing(false_fn)], ("true_fn", "false_fn"))


def switch_case(
    branch_index: Any,
    branch_fns: Any,
    default: Callable[[], Any] | None = None,
    name: str = "switch_case",
) -> Any:
    """What the branch with number `branch_index` returns; the default (or the last branch) for
    numbers that have none.

    Args:
        branch_index: int32 scalar.
        branch_fns: functions; or pairs ``(number, function)`` or a dictionary of them.
        default: function for other numbers.
    """
    pairs = _numbered(branch_fns)
    fns = [fn for _, fn in pairs]
    if default is not None:
        if not callable(default):
            raise TypeError("'default' must be callable.")
        fns.append(default)
    index = _known(branch_index)
    if not isinstance(index, SymbolicTensor):
        k = int(index)
        return fns[k if 0 <= k < len(fns) else -1]()
    if index.dtype.name != "int32":
        raise TypeError(f"branch_index must be an int32 tensor, got {index.dtype.name}")
    names = tuple(f"branch {k}" for k in range(len(fns)))
    return branch(index, [for_tracing(fn) for fn in fns], names)


def _numbered(branch_fns: Any) -> list[tuple[int, Callable[[], Any]]]:
    if isinstance(branch_fns, dict):
        branch_fns = list(branch_fns.items())
    if not isinstance(branch_fns, (list, tuple)) or not branch_fns:
        raise TypeError("branch_fns must be a non-empty list, tuple or dictionary of callables")
    if all(callable(fn) for fn in branch_fns):
        return list(enumerate(branch_fns))
    if not all(isinstance(p, tuple) and len(p) == 2 and callable(p[1]) for p in branch_fns):
        raise TypeError("each entry of branch_fns must be callable, or an (int, callable) pair")
    pairs = sorted(branch_fns, key=lambda p: p[0])
    if [p[0] for p in pairs] != list(range(len(pairs))):
        raise ValueError(
            f"branch indices must form contiguous range of [0 to {len(pairs)}) but found "
            f"{{{','.join(str(p[0]) for p in pairs)}}}"
        )
    return pairs


def case(
    pred_fn_pairs: Any,
    default: Callable[[], Any] | None = None,
    exclusive: bool = False,
    strict: bool = False,
    name: str = "case",
) -> Any:
    """What the function of the first predicate that holds returns.

    Args:
        pred_fn_pairs: pairs ``(scalar bool, function)``.
        default: function where no predicate holds; without it one must.
        exclusive: also check that not more than one holds.

    Raises:
        InvalidArgumentError: none holds and there is no default, or `exclusive` is violated.
    """
    pairs = list(pred_fn_pairs.items() if isinstance(pred_fn_pairs, dict) else pred_fn_pairs)
    if not pairs and default is None:
        raise ValueError("case needs at least one (pred, fn) pair or a default")
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2 or not callable(pair[1]):
            raise TypeError(f"each entry of pred_fn_pairs must be a (pred, fn) pair: {pair!r}")
    if default is not None and not callable(default):
        raise TypeError("default must be callable.")
    from .debugging_ops import Assert

    preds = [_known(p) for p, _ in pairs]
    checks = []
    if exclusive and len(pairs) > 1:
        from .array_basics import cast
        from .array_join import stack
        from .reductions import reduce_sum

        held = stack([to_tensor(p, None) for p in preds])
        one = reduce_sum(cast(held, "int32")) <= 1
        checks.append((one, "Input error: 'exclusive=True': more than one condition holds:"))
    if default is None:
        from .array_join import stack
        from .reductions import reduce_any

        held = stack([to_tensor(p, None) for p in preds])
        checks.append((reduce_any(held), "None of conditions evaluated as True:"))
        (_, default), pairs = pairs[-1], pairs[:-1]
    for check, text in checks:
        Assert(check, [text, held])
    chosen: Callable[[], Any] = default  # type: ignore[assignment]
    for pred, (_, fn) in reversed(list(zip(preds, pairs, strict=False))):
        chosen = _nested(pred, fn, chosen)
    return chosen()


def _nested(pred: Any, fn: Any, rest: Any) -> Callable[[], Any]:
    return lambda: cond(pred, fn, rest)


def _known(value: Any) -> Any:
    """A predicate's value where it is known, else the tensor."""
    if isinstance(value, Variable):
        value = value.read_value()
    if isinstance(value, SymbolicTensor):
        raw = constant_value(value)
        return value if raw is None else raw
    return value


def truth(value: Any) -> bool:
    """A predicate's raw value as a bool: numbers are true where not zero, strings where not
    empty."""
    if isinstance(value, StringArray):
        return bool(value.item())
    if isinstance(value, np.ndarray) and value.size != 1:
        raise InvalidArgumentError(
            f"The predicate of a condition must be a scalar, got shape {value.shape}. Use "
            "hr.reduce_any or hr.reduce_all."
        )
    return bool(value)


# -- the node ---------------------------------------------------------------------------------


def branch(pred: SymbolicTensor, fns: list[Callable[[], Any]], names: tuple[str, ...]) -> Any:
    """A node that runs one of `fns`; for two, the first where `pred` holds."""
    if len(fns) == 2 and pred.shape.rank not in (0, None):
        raise ValueError(
            f"pred must be a scalar, got a tensor of shape {pred.shape}. Use hr.where to "
            "choose element by element."
        )
    traced = [
        inner_trace(fn, (), lambda graph: (), name) for fn, name in zip(fns, names, strict=True)
    ]
    graphs = [g for g, _ in traced]
    structure = traced[0][1]
    for (_, other), name in zip(traced[1:], names[1:], strict=True):
        structure = _common(structure, other, names[0], name)
    return from_components(structure, node_of(pred, graphs, names[0] == "true_fn"))


def node_of(pred: SymbolicTensor, graphs: list[Graph], two: bool) -> tuple[Any, ...]:
    """The results of a node that runs one of the traced branches."""
    captured = align(graphs, 0)
    return choose(graphs, two).call_flat((pred, *captured), {"branches": tuple(graphs)})


def _common(a: Any, b: Any, first: str, second: str) -> Any:
    """The structure of both results.

    Raises:
        TypeError: structures, kinds or dtypes differ.
    """
    x, tree = nest.flatten_with_spec(a)
    y, other = nest.flatten_with_spec(b)
    if tree != other:
        raise TypeError(
            f"{first} and {second} arguments to hr.cond must have the same number, type, and "
            f"overall structure of return values: {first} returned {a}, {second} returned {b}"
        )
    out = []
    for s, t in zip(x, y, strict=True):
        plain = isinstance(s, TensorSpec) and isinstance(t, TensorSpec)
        if type(s) is not type(t) or (plain and s.dtype is not t.dtype):
            raise TypeError(
                f"{first} and {second} arguments to hr.cond must have the same number, type, "
                f"and overall structure of return values: {first} returned {_text(s)} where "
                f"{second} returned {_text(t)}"
            )
        if isinstance(s, CompositeSpec):
            joined = getattr(s, "most_specific_common_supertype", None)
            try:
                s = (joined([t]) if joined else None) or s
            except NotImplementedError:
                pass
        elif plain:
            s = TensorSpec(s.shape.most_general(t.shape), s.dtype)
        out.append(s)
    return nest.pack_sequence_as(tree, out)


def _text(spec: Any) -> str:
    if isinstance(spec, TensorSpec):
        return f"a {spec.dtype.name} tensor of shape {spec.shape}"
    return str(spec)


def choose(graphs: list[Graph], two: bool) -> ControlFlow:
    """The primitive that runs these graphs: stateful where they are, random where they draw."""
    return _KINDS[two][kind_of(graphs)]


def _pick(raw: Any, n: int, two: bool) -> int:
    if two:
        return 0 if truth(raw) else 1
    k = int(raw)
    return k if 0 <= k < n else n - 1


def _impl(two: bool) -> Callable[..., Any]:
    def impl(pred: Any, *arrays: Any, branches: tuple[Graph, ...], saved: Any = None) -> Any:
        notes = recording.current()
        if notes is not None and is_on_device(pred):  # which has no value yet
            return notes.both(pred, arrays, branches, array_module(pred))
        return tuple(branches[_pick(pred, len(branches), two)].compile()(*arrays))

    return impl


def _shape(pred: Any, *inputs: Any, branches: tuple[Graph, ...], saved: Any = None) -> Any:
    found = []
    for parts in zip(*[g.outputs for g in branches], strict=True):
        shape = parts[0].shape
        for t in parts[1:]:
            shape = shape.most_general(t.shape)
        found.append(TensorSpec(shape, parts[0].dtype))
    return tuple(found)


def _saving(
    inputs: tuple[Any, ...], attrs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], int]:
    branches = attrs["branches"]
    n = len(branches[0].outputs)
    key = ("saving", *branches[1:])
    if key not in branches[0].derived:
        copies = [saving_copy(g) for g in branches]
        kept = [residuals_of(g) for g in copies]
        if any(kept):
            copies = [_with_residuals(g, k, kept) for k, g in enumerate(copies)]
        branches[0].derived[key] = tuple(copies)
    return inputs, {"branches": branches[0].derived[key], "saved": n}, n


def _with_residuals(graph: Graph, own: int, kept: list[list[Any]]) -> Graph:
    """`graph` with the residuals of all branches as further outputs: its own, and stand-ins."""
    more = [(k, t) for k, residuals in enumerate(kept) for t in residuals]

    def visit(new: Graph, node: Any, inputs: tuple[Any, ...]) -> Any:
        made = new.add(node.primitive, inputs, node.attrs)
        values.update({id(t): v for t, v in zip(node.outputs, made, strict=True)})
        return made

    values: dict[int, Any] = {}
    new = graph.rebuild(visit)
    with tracing(new):
        for k, t in more:
            value = values[id(t)] if k == own else stand_in(t.spec)
            new.outputs.append(value if type(value) is SymbolicTensor else new.capture(value))
    return new


def _vjp(op: Any, *grads: Any) -> Any:
    pred, *inputs = op.inputs
    branches = op.attrs["branches"]
    needs = op.needs or (True,) * len(op.inputs)
    wanted = tuple(
        k for k, t in enumerate(inputs) if needs[k + 1] and carries_gradient(t.dtype)
    )
    given = tuple(k for k, g in enumerate(grads) if g is not None)
    n = op.attrs["saved"]
    key = ("gradient", wanted, given, *branches[1:])
    cache = branches[0].derived
    if key not in cache:
        cache[key] = _gradients(branches, n, wanted, given)
    graphs, places = cache[key]
    found = choose(graphs, op.primitive in _KINDS[True]).call_flat(
        (pred, *inputs, *(to_tensor(grads[k], None) for k in given), *op.outputs[n:]),
        {"branches": graphs},
    )
    out: list[Any] = [None] * len(op.inputs)
    for k, g in zip(places, found, strict=True):
        out[wanted[k] + 1] = g
    return tuple(out)


def gradient_branches(
    branches: tuple[Graph, ...], inputs: list[Any], needs: Any, grads: Any
) -> tuple[tuple[Graph, ...], tuple[int, ...], list[int]]:
    """The gradient graphs of branches that save nothing, which gradients they take, and which
    inputs they give gradients of."""
    if any(residuals_of(g) for g in branches):
        raise LookupError(
            "a choice on blocks with random or stateful operations in its branches has no "
            "gradient"
        )
    wanted = tuple(k for k, t in enumerate(inputs) if needs[k] and carries_gradient(t.dtype))
    given = tuple(k for k, g in enumerate(grads) if g is not None)
    key = ("gradient", wanted, given, *branches[1:])
    if key not in branches[0].derived:
        branches[0].derived[key] = _gradients(branches, len(grads), wanted, given)
    graphs, places = branches[0].derived[key]
    return graphs, given, [wanted[k] for k in places]


def _gradients(branches: Any, n: int, wanted: Any, given: Any) -> Any:
    """The branches' gradient graphs; which of the wanted gradients they give."""
    first = branches[0]
    specs = [t.spec for t in first.inputs]
    specs += [TensorSpec(None, first.outputs[k].dtype) for k in given]
    specs += [TensorSpec(None, t.dtype) for t in first.outputs[n:]]
    counts = [len(residuals_of(g)) for g in branches]
    graphs, all_found, m = [], [], len(first.inputs)
    for k, g in enumerate(branches):
        start = m + len(given) + sum(counts[:k])

        def run(*args: Any, g: Any = g, start: int = start, count: int = counts[k]) -> Any:
            xs = [args[w] for w in wanted]
            with GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(xs)
                outs = replay(g, list(args[:m]), list(args[start : start + count]))
            seeds = list(args[m : m + len(given)])
            return tape.gradient([outs[i] for i in given], xs, output_gradients=seeds)

        own = [s.with_shape(t.shape) for s, t in zip(specs, g.inputs, strict=False)]
        own += [
            s.with_shape(g.outputs[i].shape) for s, i in zip(specs[m:], given, strict=False)
        ]
        own += specs[len(own) :]
        made, found = closed(run, own, f"gradient_of_{g.name}")
        graphs.append(made)
        all_found.append(found)
    places = [k for k in range(len(wanted)) if any(found[k] is not None for found in all_found)]
    for made, found in zip(graphs, all_found, strict=True):
        filled(made, found, places, [made.inputs[wanted[k]] for k in places])
    return tuple(graphs), places


def _declare(name: str, two: bool, stateful: bool, random: bool) -> ControlFlow:
    made = ControlFlow(
        name,
        "cond: Tcond, input: N * Tin",
        impl=_impl(two),
        shape=_shape,
        vjp=_vjp,
        batch=None if name in ("If", "Case") else if_batch(two),
        stateful=stateful,
        random=random,
        partial_grads=True,
    )
    made.saving = _saving
    made.checks = name.startswith("_Checking")
    return made


_KINDS = {
    True: (
        _declare("StatelessIf", True, False, False),
        _declare("If", True, True, False),
        _declare("_RandomIf", True, True, True),
        _declare("_CheckingIf", True, True, False),
    ),
    False: (
        _declare("StatelessCase", False, False, False),
        _declare("Case", False, True, False),
        _declare("_RandomCase", False, True, True),
        _declare("_CheckingCase", False, True, False),
    ),
}
