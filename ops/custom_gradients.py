"""custom_gradient and what is made with it: functions with a gradient of the user's.

Eagerly the call is recorded on the tapes as one operation whose rule is the user's function.
In a trace forward and backward function become graphs of one node, so that the gradient holds
for whoever differentiates the traced function; what the backward function uses of the forward
one is a further output of the node.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from . import nest
from .array_basics import zeros_like
from .context import current, tracing
from .control_flow_graphs import ControlFlow, align, residuals_of
from .convert import to_tensor
from .graph.batching import batch_graph
from .graph.graph import Graph
from .primitive import Op
from .tape import GradientTape, carries_gradient
from .tensor import SymbolicTensor
from .tensor_spec import TensorSpec
from .variable import Variable

__all__ = ["custom_gradient", "grad_pass_through", "recompute_grad"]


def custom_gradient(f: Callable[..., Any] | None = None) -> Any:
    """`f`, which returns its result and a function for the gradient, as a function of its own
    result only; also a decorator.

    Args:
        f: ``f(*args) -> (result, grad_fn)``; ``grad_fn(*upstream)`` gives the gradients of the
            arguments.  If `f` reads variables, `grad_fn` also takes ``variables=`` and gives
            ``(gradients of arguments, gradients of variables)``.

    >>> @custom_gradient
    ... def clipped(x):
    ...     return x * 1.0, lambda g: g * 0.5
    """
    if f is None:
        return custom_gradient

    @functools.wraps(f)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        flat, tree = nest.flatten_with_spec(args)
        tensors = [to_tensor(a, None) for a in flat]
        if current.trace is not None:
            return _traced(f, tensors, tree, kwargs)
        return _eager(f, tensors, tree, kwargs)

    return decorated


class _UserRule:
    """Stands in an `Op` for a call with a gradient function of the user's."""

    name = "CustomGradient"
    partial_grads = False

    def __init__(self, grad_fn: Any, variables: list[Variable]):
        self._grad_fn = grad_fn
        self._variables = variables

    def gradient(self, op: Op, grads: list[Any]) -> tuple[Any, ...]:
        """What the user's function gives."""
        given = [zeros_like(t) if g is None else to_tensor(g, None)
                 for g, t in zip(grads, op.outputs, strict=True)]  # fmt: skip
        return tuple(_called(self._grad_fn, given, self._variables))


def _called(grad_fn: Any, grads: list[Any], variables: list[Variable]) -> list[Any]:
    if variables:
        takes = inspect.signature(grad_fn).parameters
        if "variables" not in takes and not any(
            p.kind is p.VAR_KEYWORD for p in takes.values()
        ):
            raise TypeError(
                "If using @custom_gradient with a function that uses variables, then grad_fn "
                "must accept a 'variables' keyword argument."
            )
        found, of_variables = grad_fn(*grads, variables=variables)
        return [*nest.flatten(found), *nest.flatten(of_variables)]
    return nest.flatten(grad_fn(*grads))


def _eager(f: Any, tensors: list[Any], tree: Any, kwargs: Any) -> Any:
    # What the function computes is recorded too, for gradients of the gradient; the results
    # below are new tensors, so that the first gradient is the user's.
    with GradientTape() as watcher:
        result, grad_fn = f(*nest.pack_sequence_as(tree, tensors), **kwargs)
    if not current.tapes:
        return result
    variables = list(watcher.watched_variables())
    flat, out_tree = nest.flatten_with_spec(result)
    # A result that is an argument must not be taken for it.
    outputs = tuple(type(t).of(t._value) for t in (to_tensor(v, None) for v in flat))
    op = Op(_UserRule(grad_fn, variables), (*tensors, *variables), {}, outputs)  # type: ignore[arg-type]
    for tape in current.tapes:
        for v in variables:
            tape._variables.setdefault(id(v), v)
        if variables or tape.wants(op.inputs):
            tape.record(op)
    return nest.pack_sequence_as(out_tree, outputs)


def _traced(f: Any, tensors: list[Any], tree: Any, kwargs: Any) -> Any:
    forward = Graph(getattr(f, "__name__", "function"), parent=current.trace)
    with tracing(forward):
        args = [forward.placeholder(_spec(t)) for t in tensors]
        result, grad_fn = f(*nest.pack_sequence_as(tree, args), **kwargs)
        flat, out_tree = nest.flatten_with_spec(result)
        flat = [to_tensor(v, None) for v in flat]
        forward.outputs = [_own(forward, t) for t in flat]
    variables = [v for v in forward.variables() if v.trainable]
    backward = Graph(f"gradient_of_{forward.name}", parent=forward)
    with tracing(backward):
        upstream = [backward.placeholder(_spec(t)) for t in forward.outputs]
        found = _called(grad_fn, upstream, variables)
        there = tuple(g is not None for g in found)
        backward.outputs = [_own(backward, to_tensor(g, None)) for g in found if g is not None]
    n = len(forward.outputs)
    forward.outputs += [_own(forward, outer) for outer, _ in backward.captures]
    captured = align([forward], len(tensors))
    reads = {id(t.node.attrs.get("variable")): k for k, t in enumerate(captured)
             if isinstance(t, SymbolicTensor)}  # fmt: skip
    places = [*range(len(tensors))]
    places += [len(tensors) + reads[id(v)] for v in variables]
    primitive = _WithGradientStateful if forward.is_stateful else _WithGradient
    attrs = {"forward": forward, "backward": backward, "n": n, "there": there,
             "places": tuple(places)}  # fmt: skip
    found = primitive.call_flat((*tensors, *captured), attrs)
    return nest.pack_sequence_as(out_tree, list(found[:n]))


def _spec(t: Any) -> Any:
    return TensorSpec(t.shape, t.dtype)


def _own(graph: Graph, tensor: Any) -> Any:
    if type(tensor) is SymbolicTensor and tensor.graph is graph:
        return tensor
    return graph.capture(tensor)


def _vjp(op: Any, *grads: Any) -> Any:
    n, there = op.attrs["n"], op.attrs["there"]
    upstream = [
        zeros_like(t) if g is None else to_tensor(g, None)
        for g, t in zip(grads[:n], op.outputs, strict=False)
    ]
    found = iter(op.attrs["backward"].replay([*upstream, *op.outputs[n:]]))
    out: list[Any] = [None] * len(op.inputs)
    for place, has in zip(op.attrs["places"], there, strict=False):
        if has:
            out[place] = next(found)
    if any(g is not None for g in grads[n:]):
        # A gradient of the gradient also flows through what the forward function handed over.
        for place, g in enumerate(_through_forward(op, grads[n:])):
            if g is not None:
                g = to_tensor(g, None)
                out[place] = g if out[place] is None else out[place] + g
    return tuple(out)


def _through_forward(op: Op, grads: tuple[Any, ...]) -> list[Any]:
    forward, n = op.attrs["forward"], op.attrs["n"]
    if residuals_of(forward):
        raise LookupError(
            "a function with a custom gradient and random or stateful operations has no second "
            "gradient in a traced function"
        )
    inputs = [t for t in op.inputs if carries_gradient(t.dtype)]
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outs = forward.replay(list(op.inputs))[n:]
    given = [(t, g) for t, g in zip(outs, grads, strict=True) if g is not None]
    targets, starts = [t for t, _ in given], [g for _, g in given]
    made = iter(tape.gradient(targets, inputs, output_gradients=starts))
    return [next(made) if carries_gradient(t.dtype) else None for t in op.inputs]


def _batch(ctx: Any, *inputs: Any, forward: Graph, **attrs: Any) -> Any:
    made = batch_graph(forward, list(ctx.batched))
    index = [ctx.element_index()] if made.needs_index else []
    found = made.graph.replay([*inputs, *index])
    return tuple(
        t if has else ctx.unbatched(t) for t, has in zip(found, made.out_batched, strict=True)
    )


def _declare(name: str, stateful: bool) -> ControlFlow:
    made = ControlFlow(
        name,
        "input: N * T",
        impl=lambda *arrays, forward, **attrs: tuple(forward.compile()(*arrays)),
        shape=lambda *inputs, forward, **attrs: tuple(t.spec for t in forward.outputs),
        vjp=_vjp,
        batch=None if stateful else _batch,
        stateful=stateful,
        partial_grads=True,
    )
    made.saving = lambda inputs, attrs: (
        inputs,
        {**attrs, "saved": True},
        len(attrs["forward"].outputs),
    )
    return made


_WithGradient = _declare("_CustomGradient", False)
_WithGradientStateful = _declare("_CustomGradientStateful", True)


def recompute_grad(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, of which the gradient keeps nothing but the arguments and computes `f` again."""

    @functools.wraps(f)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        @custom_gradient
        def inner(*args: Any) -> Any:
            result = f(*args, **kwargs)

            def grad(*upstream: Any, variables: Any = None) -> Any:
                with GradientTape() as tape:
                    tape.watch(args)
                    again = f(*args, **kwargs)
                sources = [list(nest.flatten(args)), list(variables or ())]
                starts = nest.pack_sequence_as(nest.structure_of(again), list(upstream))
                found = tape.gradient(again, sources, output_gradients=starts)
                return found if variables else found[0]

            return result, grad

        return inner(*args)

    return decorated


def grad_pass_through(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` with the gradient of the identity: what comes from above goes to the argument."""

    @custom_gradient
    def passing(*args: Any, **kwargs: Any) -> Any:
        result = f(*args, **kwargs)

        def grad(*upstream: Any, variables: Any = None) -> Any:
            if variables is not None:
                return list(upstream), [None] * len(variables)
            return list(upstream)

        return result, grad

    return passing
