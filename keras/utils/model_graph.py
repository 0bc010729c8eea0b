"""Models drawn: as Graphviz text, and as SVG without Graphviz.

`model_to_dot` gives text in the DOT language; `plot_model` writes it (``.dot``), has Graphviz's
`dot` draw it if that is installed, or draws SVG itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from ...ops.graph.draw import draw_layers

__all__ = ["model_to_dot", "plot_model"]


class _Layer:
    """A layer of the drawing.

    Attributes:
        layer: the layer.
        sources: positions of the layers it takes inputs from.
    """

    def __init__(self, layer: Any, sources: list[int]):
        self.layer = layer
        self.sources = sources

    def lines(self, shapes: bool, dtype: bool, names: bool, activations: bool, trainable: bool
              ) -> list[str]:  # fmt: skip
        """What stands in its box."""
        layer = self.layer
        kind = type(layer).__name__
        found = [f"{layer.name} ({kind})" if names else kind]
        activation = getattr(layer, "activation", None)
        if activations and activation is not None:
            found.append(f"activation: {getattr(activation, '__name__', activation)}")
        node = next(iter(layer._engine.nodes), None)
        if shapes and node is not None:
            given = ", ".join(str(t.shape) for t in node.inputs) or "-"
            out = ", ".join(str(t.shape) for t in node.output_tensors)
            found.append(f"in: {given}  out: {out}")
        if dtype and node is not None:
            found.append("dtype: " + ", ".join(t.dtype for t in node.output_tensors))
        if trainable and getattr(layer, "weights", None):
            found.append("trainable" if layer.trainable else "not trainable")
        return found


def _layers(model: Any) -> list[_Layer]:
    """The layers of a functional or sequential model, in order."""
    if not getattr(model, "built", False):
        raise ValueError(
            "This model has not yet been built. Build the model first by calling `build()` or "
            "by calling the model on a batch of data."
        )
    layers = list(model.layers)
    place = {id(layer): i for i, layer in enumerate(layers)}
    found = []
    graph = getattr(model, "_graph", None) is not None
    for i, layer in enumerate(layers):
        sources = []
        if graph:
            for node in layer._engine.nodes:
                for tensor in node.inputs:
                    at = place.get(id(tensor._keras_history[0]))
                    if at is not None and at != i and at not in sources:
                        sources.append(at)
        elif i:
            sources = [i - 1]
        found.append(_Layer(layer, sources))
    return found


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> str:
    """The model's graph in Graphviz's language.

    Args:
        model: a built model.
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what
            stands in the boxes.
        rankdir: ``"TB"``: from top to bottom; ``"LR"``: from left to right.
        dpi: dots per inch.

    Raises:
        ValueError: the model is not built.
    """
    shown = (show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable)
    rows = [
        "digraph model {",
        f'  graph [rankdir="{rankdir}", dpi={dpi}];',
        "  node [shape=box];",
    ]
    layers = _layers(model)
    for i, layer in enumerate(layers):
        text = "\\n".join(_escaped(line) for line in layer.lines(*shown))
        rows.append(f'  n{i} [label="{text}"];')
    for i, layer in enumerate(layers):
        rows += [f"  n{source} -> n{i};" for source in layer.sources]
    return "\n".join([*rows, "}"]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def plot_model(
    model: Any,
    to_file: Any = "model.svg",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    **kwargs: Any,
) -> str:
    """Draw the model into a file; gives the file's name.

    Args:
        model: a built model.
        to_file: ``.svg`` needs nothing; ``.dot`` is Graphviz's text; for others (``.png``,
            ``.pdf``) Graphviz's program `dot` must be installed.
        show_shapes, show_dtype, show_layer_names, rankdir, dpi, show_layer_activations,
            show_trainable: see `model_to_dot`.
        **kwargs: ignored: `expand_nested` and `layer_range` of Keras.

    Raises:
        ImportError: the format needs Graphviz, which is not there.
    """
    path = os.fspath(to_file)
    shown = (show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable)
    kind = os.path.splitext(path)[1].lower().lstrip(".")
    if kind == "svg":
        layers = _layers(model)
        boxes = [layer.lines(*shown) for layer in layers]
        labels = [(lines[0], " | ".join(lines[1:])) for lines in boxes]
        arrows = [(s, i) for i, layer in enumerate(layers) for s in layer.sources]
        kinds = ["call" if layer.sources else "input" for layer in layers]
        text = draw_layers(labels, arrows, kinds)
    else:
        text = model_to_dot(
            model, show_shapes, show_dtype, show_layer_names, rankdir, dpi,
            show_layer_activations, show_trainable,
        )  # fmt: skip
    if kind in ("svg", "dot"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path
    program = shutil.which("dot")
    if program is None:
        raise ImportError(
            f"plot_model needs Graphviz to write {path}: install it, or write a .svg file"
        )
    subprocess.run([program, f"-T{kind or 'png'}", "-o", path], input=text.encode(), check=True)
    return path
