"""clone_model: a model of the same architecture with new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import nest
from .input_layer import InputLayer
from .keras_tensor import KerasTensor
from .model import Model
from .sequential import Sequential
from .symbolic import map_leaves

__all__ = ["clone_model"]


def clone_model(
    model: Any,
    input_tensors: Any = None,
    clone_function: Callable[[Any], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Any:
    """A new model with the layers of `model`, newly initialized and not compiled.

    Args:
        model: a Sequential, functional or (with its own ``get_config``) subclassed model.
        input_tensors: placeholders to use as inputs, in the structure of the model's.
        clone_function: gives the new layer for a layer (not for input layers); by default
            ``layer.__class__.from_config(layer.get_config())``.
        call_function: for functional models, called with the new layer and the arguments of
            the call, instead of the layer.
        recursive: whether `clone_function` also sees the layers of nested models.
        **kwargs: Keras 2's ``cache``, ignored.

    Raises:
        ValueError: `model` is no model, or of a kind that an argument does not fit.
    """
    kwargs.pop("cache", None)
    if kwargs:
        raise TypeError(f"clone_model() got unexpected keyword arguments: {sorted(kwargs)}")
    if not isinstance(model, Model):
        raise ValueError(f"Expected `model` argument to be a `Model` instance, got {model!r}")
    if isinstance(model, Sequential) and call_function is not None:
        raise ValueError(
            "`call_function` argument is not supported with Sequential models. In a Sequential "
            "model, layers aren't called at model-construction time (they're merely listed). "
            "Use `call_function` with functional models only. Received model of type "
            f"'{type(model).__name__}', with call_function={call_function!r}"
        )
    graph = getattr(model, "_graph", None)
    if not isinstance(model, Sequential) and graph is None:
        for name, given in (
            ("clone_function", clone_function),
            ("input_tensors", input_tensors),
            ("call_function", call_function),
        ):
            if given is not None:
                raise ValueError(
                    f"Arguments `clone_function` and `input_tensors` are only supported for "
                    f"Sequential models or Functional models. Received model of type "
                    f"'{type(model).__name__}', with {name}={given!r}"
                )
        return type(model).from_config(model.get_config())
    clone = _cloner(clone_function or _same, clone_function, recursive)
    if isinstance(model, Sequential):
        return _clone_sequential(model, clone, input_tensors)
    return _clone_functional(model, clone, input_tensors, call_function)


def _same(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())


def _cloner(
    clone: Callable[[Any], Any], given: Callable[[Any], Any] | None, recursive: bool
) -> Callable[[Any], Any]:
    def cloned(layer: Any) -> Any:
        if recursive and isinstance(layer, Model) and _has_parts(layer):
            found = clone_model(layer, clone_function=given, recursive=True)
        else:
            found = clone(layer)
        return found

    return cloned


def _has_parts(model: Any) -> bool:
    return isinstance(model, Sequential) or getattr(model, "_graph", None) is not None


def _clone_sequential(model: Any, clone: Callable[[Any], Any], tensors: Any) -> Any:
    layers = [clone(layer) for layer in model.layers]
    if tensors is not None:
        given = nest.flatten(tensors)
        if len(given) != 1 or not isinstance(given[0], KerasTensor):
            raise ValueError(
                "Argument `input_tensors` must be one KerasTensor for a Sequential model. "
                f"Received: input_tensors={tensors}"
            )
        layers.insert(0, given[0]._keras_history[0])
    elif model._graph is not None:
        (placeholder,) = model._graph.flat_inputs
        source = placeholder._keras_history[0]
        layers.insert(0, _same(source))
    return Sequential(layers, name=model.name, trainable=model.trainable)


def _clone_functional(
    model: Any, clone: Callable[[Any], Any], tensors: Any, call: Callable[..., Any] | None
) -> Any:
    graph = model._graph
    made: dict[int, Any] = {}
    values: dict[int, Any] = {}
    if tensors is None:
        inputs = map_leaves(_fresh_input, graph.inputs)
    else:
        inputs = tensors
        if not all(isinstance(t, KerasTensor) for t in nest.flatten(tensors)):
            raise ValueError(
                "All entries in `input_tensors` must be KerasTensors. Received invalid values: "
                f"input_tensors={tensors}"
            )
    for old, new in zip(graph.flat_inputs, nest.flatten(inputs), strict=True):
        values[id(old)] = new
    for node in graph.running:
        layer = made.get(id(node.operation))
        if layer is None:
            source = node.operation
            # Operations without weights (x + 1) have nothing that a clone would make anew.
            layer = clone(source) if hasattr(source, "weights") else _same(source)
            made[id(source)] = layer
        args, kwargs = (map_leaves(lambda t: values.get(id(t), t), a)
                        for a in (tuple(node.args), dict(node.kwargs)))  # fmt: skip
        found = layer(*args, **kwargs) if call is None else call(layer, *args, **kwargs)
        for tensor, value in zip(node.output_tensors, nest.flatten(found), strict=True):
            values[id(tensor)] = value
    outputs = map_leaves(lambda t: values[id(t)], graph.outputs)
    cls = type(model) if type(model).__init__ is Model.__init__ else Model
    new = cls(inputs, outputs, name=model.name)
    if not model.trainable:
        new.trainable = False
    return new


def _fresh_input(tensor: Any) -> Any:
    source = tensor._keras_history[0]
    if isinstance(source, InputLayer):
        return _same(source).output
    from .input_layer import Input

    return Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
