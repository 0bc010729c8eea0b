"""into: a graph whose one result is written where the caller wants it.

A function that runs once per row of a column would otherwise make an array per row, which is
then copied into the column: for images, one of few passes over memory.  What the last operation
needs is computed by a graph without it; the last operation itself writes into the caller's
memory, if it knows how and likes the arrays, and else its result is copied there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..numerics import checking
from .execute import compile_graph
from .fused import Fused, Program
from .graph import Graph

__all__ = ["WRITERS", "writer"]

Writer = Callable[..., Any]  # of (out, *inputs, **attributes); None if it did not write

WRITERS: dict[str, Writer] = {}
"""How operations write into memory given, by their names."""


def writer(graph: Graph) -> Callable[[Any, tuple[Any, ...]], None] | None:
    """`write(out, arrays)` that puts the only result of `graph` for inputs `arrays` into `out`,
    an array of its dtype and shape without gaps; None where that saves nothing.
    """
    run = graph.compile()
    done: Graph = run.graph  # type: ignore[attr-defined]
    if len(done.outputs) != 1:
        return None
    last = done.outputs[0].node
    put = WRITERS.get(last.type)
    if put is None or len(last.outputs) != 1:
        return None
    before = copy.copy(done)
    before.nodes = [node for node in done.nodes if node is not last]
    before.outputs = list(last.inputs)
    before._compiled = None
    prepare = compile_graph(before, passes=())
    attrs = last.attrs

    def write(out: Any, arrays: tuple[Any, ...]) -> None:
        if not checking.on:
            inputs = prepare(*arrays)
            try:
                if put(out, *inputs, **attrs) is not None:
                    return
                out[...] = last.primitive.host(*inputs, **attrs)
                return
            except Exception:
                pass  # the whole graph raises it, with the place
        (out[...],) = run(*arrays)

    return write


def _put_fused(out: np.ndarray, *inputs: Any, program: Program, specs: Any) -> Any:
    """Elementwise: the arrays as one row each."""
    if any(step.kind != "map" for step in program.steps):
        return None
    rows = []
    for a in inputs:
        if type(a) is np.ndarray and a.shape == out.shape:
            rows.append(a.reshape(1, -1))
        elif a.size == 1:
            rows.append(a.reshape(()))
        else:
            return None
    return program.launch(tuple(rows), out=[out.reshape(1, -1)])


WRITERS[Fused.name] = _put_fused
