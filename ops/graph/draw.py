"""Drawing: a directed graph without cycles as SVG, in layers from top to bottom.

Boxes stand as far down as the longest path to them is long; within a layer they are ordered by
where their neighbours stand, which keeps lines short and crossings few.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .graph import Const, Graph, Placeholder

__all__ = ["draw_graph", "draw_layers"]

_HEIGHT, _GAP, _DROP = 34, 18, 34  # of a box, between boxes, between layers; in pixels
_LETTER = 6.6  # width of a letter


def draw_graph(graph: Graph) -> str:
    """The graph as an SVG document: a box per call, with what it gives."""
    place = {id(n): i for i, n in enumerate(graph.nodes)}
    labels, kinds = [], []
    for node in graph.nodes:
        out = ", ".join(f"{t.dtype.name}{t.shape}" for t in node.outputs)
        title = str(node.attrs["program"]) if node.type == "_Fused" else node.type
        if node.primitive is Placeholder:
            title = node.name
        labels.append((_short(title), _short(out)))
        kinds.append(
            "input" if node.primitive is Placeholder
            else "constant" if node.primitive is Const
            else "kernel" if node.type == "_Fused" else "call"
        )  # fmt: skip
    lines = [(place[id(t.node)], i) for i, node in enumerate(graph.nodes) for t in node.inputs]
    for t in graph.outputs:
        lines.append((place[id(t.node)], len(labels)))
        labels.append(("result", f"{t.dtype.name}{t.shape}"))
        kinds.append("input")
    return draw_layers(labels, lines, kinds)


def _short(text: str) -> str:
    return text if len(text) <= 48 else text[:45] + "..."


def draw_layers(
    labels: Sequence[tuple[str, str]],
    lines: Sequence[tuple[int, int]],
    kinds: Sequence[str] | None = None,
) -> str:
    """An SVG document of labelled boxes and lines between them.

    Args:
        labels: title and small print per box.
        lines: pairs (from, to) of box numbers; a line goes from a lower number to a higher.
        kinds: CSS class per box: input, constant, kernel or call.
    """
    depth = [0] * len(labels)
    above: list[list[int]] = [[] for _ in labels]
    for a, b in sorted(set(lines), key=lambda line: line[1]):
        depth[b] = max(depth[b], depth[a] + 1)
        above[b].append(a)
    layers: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for i, d in enumerate(depth):
        layers[d].append(i)
    widths = [max(len(t), len(s)) * _LETTER + 16 for t, s in labels]
    x = [0.0] * len(labels)
    for layer in layers:
        order = sorted(
            layer, key=lambda i: (sum(x[a] for a in above[i]) / max(len(above[i]), 1), i)
        )
        at = 10.0
        for i in order:
            wanted = sum(x[a] for a in above[i]) / len(above[i]) if above[i] else at
            x[i] = max(at + widths[i] / 2, wanted)
            at = x[i] + widths[i] / 2 + _GAP
    y = [10 + d * (_HEIGHT + _DROP) for d in depth]
    width = max((x[i] + widths[i] / 2 for i in range(len(x))), default=0) + 10
    height = max(y, default=0) + _HEIGHT + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        'font-family="sans-serif" font-size="11">',
        "<style>rect{fill:#fff;stroke:#456}.input rect{fill:#eef3fb}"
        ".constant rect{fill:#f4f4f4}.kernel rect{fill:#e6f4e6}"
        "path{fill:none;stroke:#889}.small{fill:#667;font-size:9px}"
        "</style>",
    ]
    for a, b in dict.fromkeys(lines):
        y0, y1 = y[a] + _HEIGHT, y[b]
        middle = (y0 + y1) / 2
        parts.append(
            f'<path d="M{x[a]:.0f} {y0}C{x[a]:.0f} {middle:.0f} {x[b]:.0f} {middle:.0f} '
            f'{x[b]:.0f} {y1}"/>'
        )
    for i, (title, small) in enumerate(labels):
        kind = kinds[i] if kinds else "call"
        parts.append(
            f'<g class="{kind}"><rect x="{x[i] - widths[i] / 2:.0f}" y="{y[i]}" rx="4" '
            f'width="{widths[i]:.0f}" height="{_HEIGHT}"/>'
            f'<text x="{x[i]:.0f}" y="{y[i] + 14}" text-anchor="middle">{escape(title)}</text>'
            f'<text class="small" x="{x[i]:.0f}" y="{y[i] + 27}" text-anchor="middle">'
            f"{escape(small)}</text></g>"
        )
    parts.append("</svg>")
    return "\n".join(parts)
