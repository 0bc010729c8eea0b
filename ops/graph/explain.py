"""What compiling made of a graph, as text: what each pass did, which calls became one kernel
and why others did not, and how many bytes of intermediate results are alive at most.
"""

from __future__ import annotations

import math
from collections import Counter

from .graph import Const, Graph, Node, Placeholder, graphs_of
from .passes import PASSES
from .passes.fuse_loops import fuse_loops
from .passes.fusion_reasons import reasons_alone

__all__ = ["explain", "peak_bytes"]


def explain(graph: Graph, title: str | None = None) -> str:
    """A report of several lines on the compiled form of `graph`."""
    stages = [("traced", graph)]
    now = given = graph
    for run in PASSES:
        if run is fuse_loops:
            given = now
        now = run(now)
        stages.append((run.__name__, now))
    lines = [f"{title or graph.name}: {_size(graph)} calls traced, {_size(now)} run"]
    before = graph
    for name, after in stages[1:]:
        change = _size(after) - _size(before)
        did = f"{change:+d} calls" if change else _changed(before, after)
        lines.append(f"  {name:<24} {did}")
        before = after
    fused = [n for n in now.nodes if n.type == "_Fused"]
    if fused:
        lines.append(f"  {len(fused)} kernel{'s' if len(fused) > 1 else ''}:")
        lines += [_kernel(n) for n in fused]
    lines += _alone(given)
    unknown = any(t.shape.dims is None or None in t.shape.dims for t in graph.inputs)
    lines.append(
        f"  intermediate results alive at most: {_bytes(peak_bytes(graph))} as traced, "
        f"{_bytes(peak_bytes(now))} as run{' (unknown sizes counted as 1)' if unknown else ''}"
    )
    placed = getattr(graph, "_placed", None)
    if hasattr(placed, "told"):
        lines.append(f"  on the device: {placed.told()}")
    for node in now.nodes:
        for inner in graphs_of(node):
            lines += [
                "  " + line for line in explain(inner, f"{node.name}: {inner.name}").split("\n")
            ]
    return "\n".join(lines)


def peak_bytes(graph: Graph) -> int:
    """Bytes of results alive at once at most, inputs, constants and variables not counted; an
    unknown size counts as 1."""
    last: dict[int, int] = {}
    for place, node in enumerate(graph.nodes):
        for t in node.inputs:
            last[id(t)] = place
    kept = {id(t) for t in graph.outputs}
    alive = most = 0
    for place, node in enumerate(graph.nodes):
        if not _counts(node):
            continue
        made = sum(_bytes_of(t) for t in node.outputs)
        alive += made
        most = max(most, alive)
        for t in {id(t): t for t in (*node.inputs, *node.outputs)}.values():
            if id(t) not in kept and last.get(id(t), place) == place and _counts(t.node):
                alive -= _bytes_of(t)
    return most


def _counts(node: Node) -> bool:
    """Whether a call makes an array of its own."""
    return not (
        node.primitive is Placeholder
        or node.primitive is Const
        or node.type in ("ReadVariableOp", "Identity", "StopGradient", "Reshape", "ExpandDims",
                         "Squeeze", "Transpose", "_SpreadLike")
    )  # fmt: skip


def _bytes_of(tensor: object) -> int:
    dims = tensor.shape.dims  # type: ignore[attr-defined]
    return math.prod(d or 1 for d in dims or ()) * tensor.dtype.size  # type: ignore[attr-defined]


def _size(graph: Graph) -> int:
    return sum(n.primitive is not Placeholder and n.primitive is not Const for n in graph.nodes)


def _changed(before: Graph, after: Graph) -> str:
    same = [n.type for n in before.nodes] == [n.type for n in after.nodes]
    return "nothing" if same else "other calls, as many"


def _kernel(node: Node) -> str:
    results = ", ".join(f"{t.dtype.name}{t.shape}" for t in node.outputs)
    return f"    {node.attrs['program']} -> {results}"


def _alone(graph: Graph) -> list[str]:
    """Why elementwise calls and reductions are in no kernel, a line per reason."""
    lines = []
    for reason, nodes in reasons_alone(graph).items():
        kinds = Counter(n.type for n in nodes)
        names = ", ".join(f"{k} {name}" if k > 1 else name for name, k in kinds.items())
        lines.append(f"    {names}: {reason}")
    return ["  not in kernels:", *lines] if lines else []


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"
