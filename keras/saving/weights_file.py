"""Weights as HDF5 in Keras 3's layout (``.weights.h5``).

Every object has a group ``<path>/vars`` with its own variables as datasets ``0``, ``1``, ...
Paths are attribute names; in containers (and among a model's ``layers``) they are class names
in snake case, numbered per class.  Layers' own names play no part, so that two instances of one
model read each other's files.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ...ops.errors import DataLossError, NotFoundError
from ..engine.layer_state import StatefulLayer
from ..engine.tracking import is_optimizer
from ..utils.naming import to_snake_case
from .atomic import replacing
from .behind import finish
from .legacy_h5 import load_h5_weights
from .weights_checkpoint import (
    is_checkpoint_path,
    load_checkpoint_weights,
    save_checkpoint_weights,
)

__all__ = [
    "load_weights",
    "objects_of",
    "read_state",
    "save_weights",
    "state_of",
    "weights_writer",
    "write_state",
]


def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Write the weights of `model`, and its optimizer's state, to `filepath`.

    A path without ending (or with ``.ckpt``) is a checkpoint's, as in tf.keras 2.

    Raises:
        ValueError: `filepath` has another ending than ``.weights.h5``, or the model has no
            weights yet.
        AlreadyExistsError: the file exists and `overwrite` is False.
    """
    import h5py

    path = os.fspath(filepath)
    if is_checkpoint_path(path):
        _check_built(model, "save")
        save_checkpoint_weights(model, path, overwrite)
        return
    path = _checked(filepath)
    _check_built(model, "save")
    finish(path)
    with replacing(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        write_state(objects_of(model), file)


def weights_writer(model: Any, filepath: Any) -> Callable[[], None]:
    """A function that writes what `save_weights` would write now, whenever it is called.

    Raises:
        ValueError: as `save_weights`.
    """
    path = _checked(filepath)
    _check_built(model, "save")
    state = state_of(model)

    def write() -> None:
        import h5py

        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            write_state(state, file)

    return write


def load_weights(
    model: Any, filepath: Any, skip_mismatch: bool = False, by_name: bool = False
) -> None:
    """Read weights from `filepath`, written by `save_weights` or by Keras 3.

    Args:
        model: a built model of the same architecture.
        filepath: the file.
        skip_mismatch: leave layers alone that the file does not fit, with a warning.
        by_name: only for legacy ``.h5`` files (weights or whole models): match layers by name
            instead of by order.

    Raises:
        NotFoundError: there is no such file.
        DataLossError: it is no HDF5 file, or a damaged one.
        ValueError: it does not fit the model.
    """
    import h5py

    path = os.fspath(filepath)
    finish(path)
    if path.endswith((".h5", ".hdf5")) and not path.endswith(".weights.h5"):
        load_h5_weights(model, path, skip_mismatch, by_name)
        return
    if by_name:
        raise ValueError(f"by_name is only for legacy .h5 files, got filepath={path}")
    if is_checkpoint_path(path):
        load_checkpoint_weights(model, path)
        return
    path = _checked(filepath)
    if not os.path.exists(path):
        raise NotFoundError(f"File not found: filepath={path}")
    _check_built(model, "load")
    try:
        file = h5py.File(path, "r")
    except OSError as e:
        raise DataLossError(f"{path} is no readable HDF5 file: {e}") from e
    with file:
        read_state(model, file, skip_mismatch, path)


def _checked(filepath: Any) -> str:
    path = os.fspath(filepath)
    if not path.endswith(".weights.h5"):
        raise ValueError(f"The filename must end in `.weights.h5`. Received: filepath={path}")
    return path


def _check_built(model: Any, what: str) -> None:
    if not model.built:
        raise ValueError(
            f"You are trying to {what} the weights of model '{model.name}', which has not been "
            "built yet: build it first by calling it on some data, or `build()` with an input "
            "shape."
        )


# -- walking -----------------------------------------------------------------------------------


def objects_of(root: Any) -> Iterator[tuple[str, Any]]:
    """``(path, object)`` of the model, its layers and its optimizer, each once, in the order of
    the file."""
    seen: set[int] = set()
    yield from _walk(root, "", seen)


def _walk(obj: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(obj) in seen:
        return
    seen.add(id(obj))
    yield path, obj
    if is_optimizer(obj):
        # Those around others hold their variables too; Keras writes, and asks for, both.
        for name in ("inner_optimizer", "optimizers"):
            child = getattr(obj, name, None)
            if isinstance(child, list):
                yield from _walk_container(child, f"{path}/{name}", seen, set())
            elif child is not None:
                yield from _walk(child, f"{path}/{name}", seen)
        return
    for name, child in _children(obj):
        if _is_saveable(child):
            yield from _walk(child, f"{path}/{name}", seen)
        elif isinstance(child, (list, tuple, dict)):
            yield from _walk_container(child, f"{path}/{name}", seen, set())


def _walk_container(
    container: Any, path: str, seen: set[int], inside: set[int]
) -> Iterator[tuple[str, Any]]:
    if id(container) in inside:
        return
    inside.add(id(container))
    used: dict[str, int] = {}
    for child in container.values() if isinstance(container, dict) else container:
        if _is_saveable(child):
            yield from _walk(child, f"{path}/{_numbered(child, used)}", seen)
        elif isinstance(child, (list, tuple, dict)):
            name = _numbered_name("container", used)
            yield from _walk_container(child, f"{path}/{name}", seen, inside)


def _is_saveable(value: Any) -> bool:
    return isinstance(value, StatefulLayer) or (
        is_optimizer(value) and not isinstance(value, type)
    )


def _numbered(child: Any, used: dict[str, int]) -> str:
    return _numbered_name(to_snake_case(type(child).__name__), used)


def _numbered_name(name: str, used: dict[str, int]) -> str:
    taken = used.get(name)
    used[name] = 0 if taken is None else taken + 1
    return name if taken is None else f"{name}_{taken + 1}"


def _children(obj: Any) -> Iterator[tuple[str, Any]]:
    """Attributes that may hold state: ``layers`` of graph models first, private ones last."""
    if getattr(obj, "_stack", None) is not None:
        yield "layers", obj.layers
    elif getattr(obj, "_graph", None) is not None:
        yield "layers", [layer for layer in obj._graph.layers if _is_saveable(layer)]
    names = set(dir(obj)) - _SKIPPED - _base_names()
    if getattr(obj, "optimizer", None) is not None:
        names.add("optimizer")
    for name in sorted(names, key=lambda n: (n.startswith("_"), n)):
        if name.startswith("__"):
            continue
        try:
            value = getattr(obj, name)
        except Exception:  # a property that has no value now
            continue
        yield name, value


# A model's machinery; everything else that a layer does not have is the user's.
_SKIPPED = frozenset(
    {
        "compiled", "compute_loss", "history", "inputs", "input_names", "layers", "loss",
        "metrics_names", "output_names", "outputs", "stop_training", "_compile_config",
        "_compile_loss", "_compile_metrics", "_graph", "_input_layer", "_loss_tracker",
        "_stack",
        "train_function", "test_function", "predict_function", "optimizer", "input_shape",
        "output_shape",
    }
)  # fmt: skip


def _base_names() -> set[str]:
    if not _names_of_layer:
        from ..engine.layer import Layer

        _names_of_layer.update(dir(Layer(name="reference")))
    return _names_of_layer


_names_of_layer: set[str] = set()


# -- writing -----------------------------------------------------------------------------------


class _Copied(dict[str, np.ndarray]):
    """What an object saves, copied: it may train on while this is written."""

    def __init__(self, obj: Any):
        super().__init__()
        self.name = getattr(obj, "name", None)
        obj.save_own_variables(self)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, np.array(value))

    def save_own_variables(self, store: Any) -> None:
        for key, value in self.items():
            store[key] = value


def state_of(model: Any) -> list[tuple[str, Any]]:
    """What `write_state` takes: `objects_of`, with copies of their variables in their stead."""
    return [(path, _Copied(obj)) for path, obj in objects_of(model)]


def write_state(objects: Iterable[tuple[str, Any]], file: Any) -> None:
    """The variables of a model and all it holds (`objects_of`, `state_of`), into an open HDF5
    file."""
    for path, obj in objects:
        group = file.create_group(f"{path}/vars".lstrip("/"))
        name = getattr(obj, "name", None)
        if isinstance(name, str):
            group.attrs["name"] = name
        obj.save_own_variables(_Store(group))


class _Store:
    """A mapping over an HDF5 group; bfloat16, which HDF5 lacks, is kept as its bits."""

    def __init__(self, group: Any):
        self._group = group

    def __setitem__(self, key: str, value: Any) -> None:
        array = np.asarray(value)
        if array.dtype.name == "bfloat16":
            self._group.create_dataset(key, data=array.view(np.uint16))
            self._group[key].attrs["dtype"] = "bfloat16"
        else:
            self._group.create_dataset(key, data=array)

    def __getitem__(self, key: str) -> np.ndarray:
        data = self._group[key]
        array = np.asarray(data[()])
        if data.attrs.get("dtype") == "bfloat16":
            import ml_dtypes

            return array.view(ml_dtypes.bfloat16)
        return array

    def keys(self) -> list[str]:
        """Names of the datasets."""
        return [] if self._group is None else list(self._group.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, key: str) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


# -- reading -----------------------------------------------------------------------------------


def read_state(model: Any, file: Any, skip_mismatch: bool = False, origin: str = "") -> None:
    """The variables of `model` and all it holds, from an open HDF5 file.

    Raises:
        ValueError: the file does not fit and `skip_mismatch` is False.
    """
    _check_own(file, origin)
    problems: list[tuple[Any, str]] = []
    for path, obj in objects_of(model):
        group = file.get(f"{path}/vars".lstrip("/"))
        if is_optimizer(obj):
            _read_optimizer(obj, group, model)
            continue
        problem = _misfit(obj, group)
        if problem is None:
            if group is not None and len(group):
                obj.load_own_variables(_Store(group))
        elif skip_mismatch:
            warnings.warn(f"Could not load weights in object {obj}. Skipping object. {problem}",
                          stacklevel=3)  # fmt: skip
        else:
            problems.append((obj, problem))
    if problems:
        obj, problem = problems[0]
        raise ValueError(
            f"A total of {len(problems)} objects could not be loaded"
            f"{f' from {origin}' if origin else ''}. Example error message for object "
            f"{obj}:\n\n"
            f"{problem}\n\nList of objects that could not be loaded:\n"
            f"{[found for found, _ in problems]}"
        )


def _check_own(file: Any, origin: str) -> None:
    """Refuse a file that leads to others, which nobody asked to be read.

    Raises:
        DataLossError: it has a link or a dataset outside of itself.
    """
    import h5py

    def leads_away(name: bytes, link: Any) -> str | None:
        away = link.type in (h5py.h5l.TYPE_EXTERNAL, h5py.h5l.TYPE_SOFT)
        return f"the link {name.decode(errors='replace')!r}" if away else None

    def lies_elsewhere(name: str, found: Any) -> str | None:
        away = isinstance(found, h5py.Dataset) and (found.external or found.is_virtual)
        return f"the dataset {name!r}" if away else None

    found = file.id.links.visit(leads_away, info=True) or file.visititems(lies_elsewhere)
    if found:
        raise DataLossError(
            f"{found} of {origin or 'the file'} leads to another file, which is not read"
        )


def _misfit(layer: Any, group: Any) -> str | None:
    if type(layer).save_own_variables is not StatefulLayer.save_own_variables:
        return None  # what it stores is its own affair
    variables = layer._own_variables()
    stored = [] if group is None else list(group.keys())
    if len(stored) != len(variables):
        if not variables and not layer.built:
            return (
                f"Layer '{layer.name}' was never built and thus it doesn't have any variables. "
                f"However the weights file lists {len(stored)} variables for this layer."
            )
        return (
            f"Layer '{layer.name}' expected {len(variables)} variables, but received "
            f"{len(stored)} variables during loading. Expected: {[v.name for v in variables]}"
        )
    for i, variable in enumerate(variables):
        shape = tuple(group[str(i)].shape) if str(i) in group else None
        if shape is not None and group[str(i)].dtype.kind not in "biufcV":
            return f"Variable {variable.name} is stored as {group[str(i)].dtype}, no number."
        if shape != tuple(variable.shape):
            return (
                "The shape of the target variable and the shape of the target value "
                "must match. "
                f"variable.shape={tuple(variable.shape)}, Received: value.shape={shape}. "
                "Target "
                f"variable: {variable.name} of layer '{layer.name}'"
            )
    return None


def _read_optimizer(optimizer: Any, group: Any, model: Any) -> None:
    if group is None or not len(group):
        return
    if not optimizer.built and len(group) > len(optimizer.variables):
        optimizer.build(model.trainable_variables)
    for i, variable in enumerate(optimizer.variables):
        stored = group.get(str(i))
        if stored is not None and tuple(stored.shape) != tuple(variable.shape):
            raise ValueError(
                f"Variable {variable.name} of optimizer '{optimizer.name}' has the shape "
                f"{tuple(variable.shape)}, but the file holds one of {tuple(stored.shape)}"
            )
    optimizer.load_own_variables(_Store(group))
