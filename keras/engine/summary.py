"""The table that `Model.summary` prints."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...ops import nest
from ..utils.progbar import print_line

__all__ = ["print_summary"]

_HEAD, _MID, _ROW, _END = ("┏━┳┓", "┡━╇┩", "├─┼┤", "└─┴┘")


def print_summary(
    model: Any,
    line_length: int | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> None:
    """Print name, output shape and parameters of every layer, then the totals.

    Args:
        model: the model.
        line_length: width of the table in characters.
        print_fn: gets the whole text instead of standard output.
        expand_nested: also list the layers of nested models.
        show_trainable: add a column that says what is trained.
        layer_range: first and last layer name to show.
    """
    graph = getattr(model, "_graph", None)
    chain = graph is None or _is_chain(graph)
    branching = not chain
    columns = ["Layer (type)", "Output Shape", "Param #"]
    widths = [33, 24, 15]
    if branching:
        columns.append("Connected to")
        widths = [21, 19, 12, 19]
    if show_trainable:
        columns.append("Trainable")
        widths.append(11)
    if line_length is not None:
        scale = (line_length - len(widths) - 1) / sum(widths)
        widths = [max(8, int(w * scale)) for w in widths]
    layers = model.layers if graph is None or chain else graph.layers
    rows = []
    for layer in _selected(layers, layer_range):
        rows.extend(
            _rows(layer, graph if branching else None, show_trainable, expand_nested, "")
        )
    text = "\n".join(
        [f'Model: "{model.name}"', *_table(columns, rows, widths), *_totals(model)]
    )
    (print_fn or print_line)(text)


def _is_chain(graph: Any) -> bool:
    """Whether every layer feeds just the next one."""
    return (
        len(graph.flat_inputs) == 1
        and all(len(node.inputs) <= 1 for node in graph.nodes)
        and len({id(t) for n in graph.nodes for t in n.inputs}) == len(graph.running)
    )


def _selected(layers: list[Any], layer_range: Any) -> list[Any]:
    if layer_range is None:
        return list(layers)
    names = [layer.name for layer in layers]
    missing = [name for name in layer_range if name not in names]
    if len(layer_range) != 2 or missing:
        raise ValueError(
            "layer_range must be the names of a first and a last layer, got "
            f"{layer_range}; the "
            f"layers are {names}"
        )
    return list(layers)[names.index(layer_range[0]) : names.index(layer_range[1]) + 1]


def _rows(
    layer: Any, graph: Any, trainable: bool, expand: bool, indent: str
) -> list[list[str]]:
    row = [
        f"{indent}{layer.name} ({type(layer).__name__})",
        _shape(layer, graph),
        _parameters(layer),
    ]
    if graph is not None:
        row.append(_connections(layer, graph))
    if trainable:
        row.append(
            "-" if not getattr(layer, "weights", ()) else "Y" if layer.trainable else "N"
        )
    rows = [row]
    if expand and hasattr(layer, "layers"):
        for inner in layer.layers:
            found = _rows(inner, None, trainable, True, f"   {indent}" if indent else "   └ ")
            if graph is not None:
                found = [[*r[:3], "-", *r[3:]] for r in found]
            rows.extend(found)
    return rows


def _parameters(layer: Any) -> str:
    weights = getattr(layer, "weights", [])
    return f"{_count(weights):,}" if weights or layer.built else "0 (unbuilt)"


def _shape(layer: Any, graph: Any) -> str:
    nodes = layer._engine.nodes
    if nodes:
        shapes = [t.shape for t in nodes[0].output_tensors]
    elif layer._engine.build_shapes:
        try:
            found = layer.compute_output_shape(*layer._engine.build_shapes.values())
        except Exception:  # a summary must not fail where a layer cannot tell
            return "?"
        shapes = [found] if isinstance(found, tuple) else nest.flatten(found)
    else:
        return "?"
    return ", ".join(str(s) for s in shapes)


def _connections(layer: Any, graph: Any) -> str:
    inside = {id(node) for node in graph.nodes}
    found = []
    for node in layer._engine.nodes:
        if id(node) in inside:
            for tensor in node.inputs:
                source, index, output = tensor._keras_history
                found.append(f"{source.name}[{index}][{output}]")
    return ", ".join(found) or "-"


def _table(columns: list[str], rows: list[list[str]], widths: list[int]) -> list[str]:
    number = columns.index("Param #")
    lines = [_rule(_HEAD, widths), *_cells(columns, widths, number, "┃"), _rule(_MID, widths)]
    for i, row in enumerate(rows):
        if i:
            lines.append(_rule(_ROW, widths))
        lines.extend(_cells(row, widths, number, "│"))
    lines.append(_rule(_END, widths))
    return lines


def _rule(marks: str, widths: list[int]) -> str:
    left, line, between, right = tuple(marks)
    return left + between.join(line * w for w in widths) + right


def _cells(row: list[str], widths: list[int], number: int, bar: str) -> list[str]:
    wrapped = [_wrapped(cell, w - 2) for cell, w in zip(row, widths, strict=True)]
    lines = []
    for i in range(max(map(len, wrapped))):
        parts = []
        for column, (cell, width) in enumerate(zip(wrapped, widths, strict=True)):
            text = cell[i] if i < len(cell) else ""
            parts.append(
                f" {text:>{width - 2}} " if column == number else f" {text:<{width - 2}} "
            )
        lines.append(bar + bar.join(parts) + bar)
    return lines


def _wrapped(cell: str, width: int) -> list[str]:
    """Lines of at most `width` characters; a word that is too long is cut."""
    lead = cell[: len(cell) - len(cell.lstrip(" └"))]
    lines, line = [], lead
    for word in cell[len(lead) :].split():
        if line.strip(" └") and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = " " * len(lead)
        line += (" " if line.strip(" └") else "") + word
        if len(line) > width:
            line = line[: width - 1] + "…"
    return [*lines, line]


def _totals(model: Any) -> list[str]:
    trained = model.trainable_weights
    frozen = model.non_trainable_weights
    optimizer = getattr(model, "optimizer", None)
    extra = list(optimizer.variables) if optimizer is not None and optimizer.built else []
    lines = [
        f" Total params: {_amount(trained + frozen + extra)}",
        f" Trainable params: {_amount(trained)}",
        f" Non-trainable params: {_amount(frozen)}",
    ]
    if extra:
        lines.append(f" Optimizer params: {_amount(extra)}")
    return lines


def _count(variables: list[Any]) -> int:
    return sum(math.prod(tuple(v.shape)) for v in variables)


def _amount(variables: list[Any]) -> str:
    size = float(sum(math.prod(tuple(v.shape)) * v.dtype.size for v in variables))
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            break
        size /= 1024
    return f"{_count(variables):,} ({size:.2f} {unit})"
