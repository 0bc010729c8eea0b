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

from ..errors import InvalidArgumentError, OpError
from .graph import Const, Graph, Node, Placeholder
from .passes import optimize

__all__ = ["compile_graph"]


def compile_graph(graph: Graph, passes: Any = None) -> Callable[..., list[Any]]:
    """`graph`, optimised, as a function from raw arrays to a list of raw arrays.

    The function is safe to call from several threads.  Floating-point warnings of NumPy are
    silenced while it runs: infinities and NaN are values, as in TensorFlow.
    """
    graph = optimize(graph) if passes is None else optimize(graph, passes)
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
    origins: list[Node] = []
    for position, node in enumerate(graph.nodes):
        if node.primitive is Placeholder:
            continue
        if node.primitive is Const:
            name = f"c{position}"
            scope[name] = node.attrs["value"]
            names[id(node.outputs[0])] = name
            continue
        scope[f"f{position}"] = node.primitive.kernel(node.attrs)
        args = ", ".join(names[id(t)] for t in node.inputs)
        outs = []
        for t in node.outputs:
            names[id(t)] = f"t{position}_{t.index}" if len(node.outputs) > 1 else f"t{position}"
            outs.append(names[id(t)])
        several = len(outs) > 1 or graph.is_tuple(node.primitive, node.outputs)
        left = (
            "" if not outs else "(" + ", ".join(outs) + ",) = " if several else f"{outs[0]} = "
        )
        lines.append(f"{left}f{position}({args})")
        origins.append(node)
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

    def call(*arrays: Any) -> list[Any]:
        try:
            return run(*arrays)
        except Exception as error:
            raise _located(error, filename, origins, first_line) from error

    call.source = source  # type: ignore[attr-defined]
    call.graph = graph  # type: ignore[attr-defined]
    return call


def _located(
    error: Exception, filename: str, origins: list[Node], first_line: int
) -> Exception:
    """The error with the failing node's name, as one of `hr.errors` where it is not one yet."""
    node = None
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == filename:
            index = frame.tb_lineno - first_line
            if 0 <= index < len(origins):
                node = origins[index]
        frame = frame.tb_next
    if node is None:
        return error
    if isinstance(error, OpError):
        if error.op is None:
            error.op = node.name
        return error
    if isinstance(error, (ValueError, IndexError, TypeError, ArithmeticError)):
        return InvalidArgumentError(
            f"{error} [Op:{node.type}] (node {node.name})", op=node.name
        )
    return error


Graph.compiler = staticmethod(compile_graph)
