"""Execution: a graph as one straight Python function over raw arrays.

After the passes, every node is one line ``t7 = f7(t3, t5)``; a value is deleted right after its
last use, so that memory is reused and a variable's array is not held when an optimizer wants to
write into it.  There is no interpreter loop: calling the function costs little more than the
kernels it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..context import placing
from ..cuda.recording import stepped
from ..numerics import checking
from ..profiling import op_label, profiling, timed
from ..tensor import Tensor
from .checked import run_checked
from .failures import located
from .graph import Const, Graph, Node, Origin, Placeholder
from .passes import PLACED_PASSES, optimize

__all__ = ["compile_graph", "compile_placed"]


def compile_graph(graph: Graph, passes: Any = None) -> Callable[..., list[Any]]:
    """`graph`, optimised, as a function from raw arrays to a list of raw arrays.

    The function is safe to call from several threads.  Floating-point warnings of NumPy are
    silenced while it runs: infinities and NaN are values, as in TensorFlow.
    """
    run = _built(optimize(graph) if passes is None else optimize(graph, passes), _kernel)
    if passes is not None:
        return run

    def call(*arrays: Any) -> list[Any]:
        if placing.on:
            placed = placing.graph(graph, arrays)
            if placed is not None:
                return placed(*arrays)
        return run(*arrays)

    call.source = run.source  # type: ignore[attr-defined]
    call.graph = run.graph  # type: ignore[attr-defined]
    return call


def compile_placed(graph: Graph) -> Callable[..., list[Any]]:
    """Like `compile_graph`, where every call runs on the device it belongs to."""
    return _built(optimize(graph, PLACED_PASSES), _placed_kernel)


def _built(graph: Graph, kernel_of: Callable[[Node], Callable[..., Any]]) -> Any:
    """The function for an optimised graph."""
    traced = graph
    names: dict[int, str] = {}
    scope: dict[str, Any] = {"_errstate": np.errstate}
    last_use: dict[int, int] = {}
    kept = {id(t) for t in graph.outputs}
    for position, node in enumerate(graph.nodes):
        for t in node.inputs:
            last_use[id(t)] = position
    inputs = []
    for i, t in enumerate(graph.inputs):
        names[id(t)] = f"x{i}"
        inputs.append(f"x{i}")
    lines: list[str] = []
    origins: list[tuple[Origin, list[str]]] = []
    for position, node in enumerate(graph.nodes):
        if node.primitive is Placeholder:
            continue
        if node.primitive is Const:
            name = f"c{position}"
            scope[name] = node.attrs["value"]
            names[id(node.outputs[0])] = name
            continue
        scope[f"f{position}"] = kernel_of(node)
        args = [names[id(t)] for t in node.inputs]
        outs = []
        for t in node.outputs:
            names[id(t)] = f"t{position}_{t.index}" if len(node.outputs) > 1 else f"t{position}"
            outs.append(names[id(t)])
        several = len(outs) > 1 or graph.is_tuple(node.primitive, node.outputs)
        left = (
            "" if not outs else "(" + ", ".join(outs) + ",) = " if several else f"{outs[0]} = "
        )
        lines.append(f"{left}f{position}({', '.join(args)})")
        origins.append((node.origin, args))
        dead = [
            names[id(t)]
            for t in {id(t): t for t in node.inputs}.values()
            if last_use[id(t)] == position
            and id(t) not in kept
            and t.node.primitive is not Const
        ]
        dead += [
            names[id(t)] for t in node.outputs if id(t) not in last_use and id(t) not in kept
        ]
        if dead:
            lines[-1] += "; del " + ", ".join(dict.fromkeys(dead))
    body = "\n        ".join(lines) or "pass"
    returned = ", ".join(names[id(t)] for t in graph.outputs)
    source = (
        f"def run({', '.join(inputs)}):\n"
        f"    with _errstate(all='ignore'):\n"
        f"        {body}\n"
        f"    return [{returned}]\n"
    )
    first_line = 3
    filename = f"<headrace graph {graph.name}>"
    exec(compile(source, filename, "exec"), scope)
    run = scope["run"]

    clocked: list[Callable[..., list[Any]]] = []

    def profiled(*arrays: Any) -> list[Any]:
        """The same, each call timed."""
        if not clocked:
            names = dict(scope)
            for position, node in enumerate(graph.nodes):
                if f"f{position}" in names:
                    label = op_label(node.scope, node.name, node.type)
                    names[f"f{position}"] = timed(names[f"f{position}"], label)
            exec(compile(source, filename, "exec"), names)
            clocked.append(timed(names["run"], graph.name))
        return clocked[0](*arrays)

    def call(*arrays: Any) -> list[Any]:
        if checking.on:
            return run_checked(traced, arrays, kernel_of)
        try:
            return profiled(*arrays) if profiling.on else run(*arrays)
        except Exception as error:
            found = _failed(error, filename, origins, first_line, scope)
            try:
                if found is error:
                    raise
                raise found from error
            finally:
                del found  # or it and this frame would keep each other alive

    call.source = source  # type: ignore[attr-defined]
    call.graph = graph  # type: ignore[attr-defined]
    return call


def _failed(
    error: Exception,
    filename: str,
    origins: list[tuple[Origin, list[str]]],
    first_line: int,
    scope: dict[str, Any],
) -> Exception:
    """The error as `located` words it, if a node raised it."""
    call = getattr(error, "headrace_call", None)  # of a fused chain
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == filename and call is None:
            index = frame.tb_lineno - first_line
            if 0 <= index < len(origins):
                origin, names = origins[index]
                values = {**scope, **frame.tb_frame.f_locals}
                call = origin, tuple(values[n] for n in names if n in values)
        frame = frame.tb_next
    return error if call is None else located(error, *call)


def _kernel(node: Node) -> Callable[..., Any]:
    """The node's array function; behind the shape rule where that refuses more, and the trace
    did not know all shapes."""
    primitive = node.primitive
    kernel = primitive.kernel(node.attrs)
    return _checked(node, kernel)


def _placed_kernel(node: Node) -> Callable[..., Any]:
    """The node's array function on whatever device it belongs to."""
    primitive, attrs, place = node.primitive, node.attrs, node.device
    constants: dict[int, dict[int, Any]] | None = {
        i: {} for i, t in enumerate(node.inputs) if t.node.primitive is Const
    } or None

    def call(*arrays: Any) -> Any:
        return placing.run(primitive, arrays, attrs, place, constants)

    return _checked(node, lambda *arrays: stepped(node, call, arrays))


def _checked(node: Node, kernel: Callable[..., Any]) -> Callable[..., Any]:
    primitive = node.primitive
    if not primitive.check_first or all(t.shape.is_fully_defined() for t in node.inputs):
        return kernel
    shape, attrs = primitive.shape, node.attrs
    passed: set[Any] = set()

    def checked(*arrays: Any) -> Any:
        key = tuple([a.shape for a in arrays])
        if key not in passed:
            shape(*[Tensor.of(a) for a in arrays], **attrs)
            if len(passed) >= 256:
                passed.clear()
            passed.add(key)
        return kernel(*arrays)

    return checked


Graph.compiler = staticmethod(compile_graph)
