"""Legacy ``.h5`` files: whole models, and weights by layer.

Layout: the attributes ``model_config`` and ``training_config`` are JSON; the group
``model_weights`` has the attribute ``layer_names`` and a group per layer with ``weight_names``
and a dataset for each; ``optimizer_weights`` likewise.  An attribute too large for HDF5's
header is cut into ``name0``, ``name1``, ...  Keras 3's files are read and written.
"""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

import numpy as np

from ...ops.errors import DataLossError, NotFoundError
from ..engine.loading import sizes_of_file
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .atomic import replacing

__all__ = ["load_h5_model", "load_h5_weights", "parsed_config", "save_h5_model"]

_HEADER_BYTES = 64512  # HDF5's limit for an attribute
_KERAS_VERSION = "3.15.1"


def save_h5_model(
    model: Any, filepath: Any, overwrite: bool = True, include_optimizer: bool = True
) -> None:
    """Write architecture, weights and training configuration of `model` to an ``.h5`` file.

    Raises:
        ValueError: the model has no weights yet.
        AlreadyExistsError: the file exists and `overwrite` is False.
    """
    import h5py

    if not model.built:
        raise ValueError(
            f"Model '{model.name}' must be built before it is saved: call it on data, or "
            "`build()` with an input shape."
        )
    described = serialize_keras_object(model)
    training = described.pop("compile_config", None)
    described = {"class_name": described["class_name"], "config": described["config"]}
    with replacing(os.fspath(filepath), overwrite) as temporary:
        with h5py.File(temporary, "w") as file:
            file.attrs["keras_version"] = _KERAS_VERSION.encode()
            file.attrs["backend"] = b"tensorflow"
            file.attrs["model_config"] = json.dumps(described).encode()
            if training is not None:
                file.attrs["training_config"] = json.dumps(_training(training)).encode()
            _write_layers(file.create_group("model_weights"), model)
            optimizer = getattr(model, "optimizer", None)
            if include_optimizer and optimizer is not None and optimizer.variables:
                _write_variables(file.create_group("optimizer_weights"), optimizer.variables)


def load_h5_model(
    filepath: Any,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """The model of an ``.h5`` file.

    Raises:
        NotFoundError: there is no such file.
        DataLossError: it is no HDF5 file, or a damaged one.
        ValueError: it holds no model, or weights that do not fit it.
    """
    with _opened(filepath) as file:
        config = file.attrs.get("model_config")
        if config is None:
            raise ValueError(
                f"No model config found in the file at {filepath}: it may hold weights only, "
                "which `model.load_weights()` reads."
            )
        with sizes_of_file(os.path.getsize(filepath)):
            model = deserialize_keras_object(
                parsed_config(config, filepath),
                custom_objects=custom_objects,
                safe_mode=safe_mode,
            )
        if not hasattr(model, "layers"):
            raise DataLossError(f"the config in {filepath} describes no model: {model!r}")
        _read_layers(model, _group(file, "model_weights", filepath), False, filepath)
        training = file.attrs.get("training_config")
        if compile and training is not None:
            arguments = parsed_config(training, filepath)
            model.compile(
                **{
                    name: deserialize_keras_object(
                        value, custom_objects=custom_objects, safe_mode=safe_mode
                    )
                    for name, value in _compile_arguments(arguments).items()
                }
            )
            if "optimizer_weights" in file:
                _read_optimizer(model, _group(file, "optimizer_weights", filepath))
    return model


def load_h5_weights(
    model: Any, filepath: Any, skip_mismatch: bool = False, by_name: bool = False
) -> None:
    """Read weights of an ``.h5`` file, of weights or of a whole model.

    Args:
        model: a built model.
        filepath: the file.
        skip_mismatch: leave layers alone that the file does not fit, with a warning.
        by_name: match layers by name instead of by order.

    Raises:
        NotFoundError: there is no such file.
        DataLossError: it is no HDF5 file, or a damaged one.
        ValueError: it does not fit the model.
    """
    if not model.built:
        raise ValueError(
            "Unable to load weights saved in HDF5 format into a model which has not created "
            "its variables yet. Call the model first, then load the weights."
        )
    with _opened(filepath) as file:
        group = file
        if "layer_names" not in file.attrs and "model_weights" in file:
            group = file["model_weights"]
        _read_layers(model, group, skip_mismatch, filepath, by_name)


def parsed_config(text: Any, origin: Any) -> dict[str, Any]:
    """The dictionary that `text`, JSON, stands for.

    Raises:
        DataLossError: it is no JSON, or something else.
    """
    try:
        found = json.loads(_text(text))
    except (ValueError, RecursionError) as e:
        raise DataLossError(f"the config in {origin} is no readable JSON: {e}") from e
    if not isinstance(found, dict):
        raise DataLossError(
            f"the config in {origin} must be a dictionary, got a {type(found).__name__}"
        )
    return found


# -- writing -----------------------------------------------------------------------------------


def _write_layers(group: Any, model: Any) -> None:
    _write_names(group, "layer_names", [layer.name for layer in model.layers])
    group.attrs["backend"] = b"tensorflow"
    group.attrs["keras_version"] = _KERAS_VERSION.encode()
    for layer in sorted(model.layers, key=lambda x: x.name):
        _write_variables(group.create_group(layer.name), _weights(layer))
    held = {id(v) for layer in model.layers for v in layer.weights}
    own = [v for v in model._own_variables() if id(v) not in held]
    _write_variables(group.create_group("top_level_model_weights"), own)


def _write_variables(group: Any, variables: list[Any]) -> None:
    names: list[str] = []
    for variable in variables:
        name = base = variable.name.split(":")[0]
        number = 0
        while name in names:
            number += 1
            name = f"{base}_{number}"
        names.append(name)
    _write_names(group, "weight_names", names)
    for name, variable in zip(names, variables, strict=True):
        group.create_dataset(name, data=np.asarray(variable))


def _write_names(group: Any, key: str, names: list[str]) -> None:
    data = np.asarray([name.encode() for name in names])
    parts = [data]
    while any(part.nbytes > _HEADER_BYTES for part in parts):
        parts = np.array_split(data, len(parts) + 1)
    if len(parts) == 1:
        group.attrs[key] = data if names else []
    for i, part in enumerate(parts if len(parts) > 1 else ()):
        group.attrs[f"{key}{i}"] = part


def _training(config: dict[str, Any]) -> dict[str, Any]:
    kept = ("loss", "metrics", "weighted_metrics", "loss_weights")
    return {**{k: config.get(k) for k in kept}, "optimizer_config": config["optimizer"]}


def _weights(layer: Any) -> list[Any]:
    """Trainable ones first, as Keras orders them, frozen or not."""
    found = layer.weights
    return [v for v in found if v.trainable] + [v for v in found if not v.trainable]


# -- reading -----------------------------------------------------------------------------------


def _opened(filepath: Any) -> Any:
    import h5py

    path = os.fspath(filepath)
    if not os.path.exists(path):
        raise NotFoundError(f"File not found: filepath={path}")
    try:
        return h5py.File(path, "r")
    except OSError as e:
        raise DataLossError(f"{path} is no readable HDF5 file: {e}") from e


def _group(file: Any, name: str, filepath: Any) -> Any:
    import h5py

    # A link may lead to another file, which nobody asked to be read.
    link = file.get(name, getlink=True)
    if link is None or not isinstance(link, h5py.HardLink):
        raise ValueError(f"{filepath} has no group '{name}' of its own: it is no Keras model")
    found = file[name]
    if not isinstance(found, h5py.Group):
        raise ValueError(f"'{name}' in {filepath} is no HDF5 group")
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _names(group: Any, key: str) -> list[str]:
    if key in group.attrs:
        return [_text(n) for n in group.attrs[key]]
    found: list[str] = []
    number = 0
    while f"{key}{number}" in group.attrs:
        found.extend(_text(n) for n in group.attrs[f"{key}{number}"])
        number += 1
    return found


def _arrays(group: Any, path: Any) -> list[Any]:
    """The datasets of a layer; not read yet."""
    import h5py

    found = []
    for name in _names(group, "weight_names"):
        data = group.get(name)
        if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
            raise ValueError(f"{path} has no dataset '{name}' of its own in '{group.name}'")
        found.append(data)
    return found


def _read_layers(
    model: Any, group: Any, skip_mismatch: bool, path: Any, by_name: bool = False
) -> None:
    stored = [n for n in _names(group, "layer_names") if len(_names(group[n], "weight_names"))]
    layers = [layer for layer in model.layers if _weights(layer)]
    if by_name:
        known = {layer.name: layer for layer in layers}
        pairs = [(known[n], n) for n in stored if n in known]
    else:
        if len(stored) != len(layers):
            raise ValueError(
                "Layer count mismatch when loading weights from file. Model expected "
                f"{len(layers)} layers, found {len(stored)} saved layers in {path}."
            )
        pairs = list(zip(layers, stored, strict=True))
    for layer, name in pairs:
        _assign(layer.name, _weights(layer), _arrays(group[name], path), skip_mismatch)
    if "top_level_model_weights" in group:
        held = {id(v) for layer in model.layers for v in layer.weights}
        own = [v for v in model._own_variables() if id(v) not in held]
        _assign(model.name, own, _arrays(group["top_level_model_weights"], path), skip_mismatch)


def _assign(name: str, variables: list[Any], data: list[Any], skip_mismatch: bool) -> None:
    problem = None
    if len(variables) != len(data):
        problem = (
            f"Weight count mismatch for layer {name!r}: it expects {len(variables)} weights, "
            f"the file has {len(data)}."
        )
    for variable, found in zip(variables, data, strict=False):
        if problem is None and tuple(variable.shape) != tuple(found.shape):
            problem = (
                f"Shape mismatch in layer {name!r} for weight {variable.name}: it expects "
                f"shape {tuple(variable.shape)}, the file has {tuple(found.shape)}."
            )
    if problem is None:
        for variable, found in zip(variables, data, strict=True):
            variable.assign(np.asarray(found[()]))
    elif skip_mismatch:
        warnings.warn(f"Skipping loading weights. {problem}", stacklevel=4)
    else:
        raise ValueError(problem)


def _compile_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `compile`, serialized, from a training configuration of Keras 2 or 3."""
    found = {
        k: config[k] for k in ("loss", "loss_weights", "weighted_metrics") if config.get(k)
    }
    found["optimizer"] = config["optimizer_config"]
    metrics = config.get("metrics")
    if metrics:
        found["metrics"] = metrics
    return found


def _read_optimizer(model: Any, group: Any) -> None:
    optimizer = model.optimizer
    optimizer.build(model.trainable_weights)
    data = _arrays(group, "the file")
    variables = optimizer.variables
    fits = len(data) == len(variables) and all(
        tuple(v.shape) == tuple(d.shape) for v, d in zip(variables, data, strict=True)
    )
    if not fits:
        warnings.warn(
            "The optimizer's state in the file does not fit: it starts anew.", stacklevel=3
        )
        return
    for variable, found in zip(variables, data, strict=True):
        variable.assign(np.asarray(found[()]))
