"""Whole models as ``.keras`` files: a zip of metadata, config and weights."""

from __future__ import annotations

import datetime
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from ...ops.errors import DataLossError, NotFoundError
from ..engine.loading import sizes_of_file
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .assets import assets_of, check_ratio, read_assets
from .atomic import replacing
from .behind import finish
from .legacy_h5 import load_h5_model, parsed_config, save_h5_model
from .weights_file import objects_of, read_state, state_of, write_state

__all__ = ["load_model", "model_writer", "save_model"]

# The Keras version whose layout the files follow; Keras itself only shows it.
_KERAS_VERSION = "3.15.1"
_PARTS = ("metadata.json", "config.json", "model.weights.h5")
_MOST_JSON_BYTES = 256 << 20


def save_model(model: Any, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
    """Write architecture, weights and training configuration of `model` to a ``.keras`` file,
    or to a legacy ``.h5`` file (with ``include_optimizer``, True by default).

    Raises:
        ValueError: `filepath` ends otherwise.
        AlreadyExistsError: the file exists and `overwrite` is False.
    """
    path = os.fspath(filepath)
    finish(path)
    if path.endswith((".h5", ".hdf5")):
        save_h5_model(model, path, overwrite, **kwargs)
        return
    _writer(model, path, objects_of, overwrite)()


def model_writer(model: Any, filepath: Any) -> Callable[[], None]:
    """A function that writes what `save_model` would write now, whenever it is called.

    Raises:
        ValueError: `filepath` does not end in ``.keras``.
    """
    return _writer(model, os.fspath(filepath), state_of, True)


def _writer(
    model: Any, path: str, state: Callable[[Any], Any], overwrite: bool
) -> Callable[[], None]:
    if not path.endswith(".keras"):
        raise ValueError(
            "Invalid filepath extension for saving. Please add a `.keras` extension for the "
            f"native Keras format. Received: filepath={path}"
        )
    metadata = {
        "keras_version": _KERAS_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
    }
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built and model.built:
        optimizer.build(model.trainable_weights)  # Keras insists on finding its whole state
    config = json.dumps(serialize_keras_object(model))
    objects, assets = state(model), assets_of(model)

    def write() -> None:
        import h5py

        weights = io.BytesIO()
        with h5py.File(weights, "w") as file:
            write_state(objects, file)
        with (
            replacing(path, overwrite) as temporary,
            zipfile.ZipFile(temporary, "w") as archive,
        ):
            archive.writestr("metadata.json", json.dumps(metadata))
            archive.writestr("config.json", config)
            archive.writestr("model.weights.h5", weights.getbuffer())
            for name, content in assets:
                archive.writestr(name, content)

    return write


def _read(archive: zipfile.ZipFile, part: str) -> bytes:
    info = archive.getinfo(part)
    if part.endswith(".json") and info.file_size > _MOST_JSON_BYTES:
        raise DataLossError(
            f"{part} would be {info.file_size} bytes; it may be {_MOST_JSON_BYTES}"
        )
    check_ratio(info)
    return archive.read(part)


def load_model(
    filepath: Any,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """The model of a ``.keras`` file, or of a legacy ``.h5`` file.

    Args:
        filepath: written by `save_model` or by Keras 3.
        custom_objects: name -> class or function that the config may name.
        compile: whether to compile it as it was.
        safe_mode: refuse lambdas, which are arbitrary code.

    Raises:
        NotFoundError: there is no such file.
        DataLossError: it is no such zip file, or a part is missing.
    """
    import h5py

    path = os.fspath(filepath)
    finish(path)
    if not os.path.exists(path):
        raise NotFoundError(
            f"File not found: filepath={path}. Please ensure the file is an accessible "
            "`.keras` "
            "zip file."
        )
    if path.endswith((".h5", ".hdf5")):
        return load_h5_model(path, custom_objects, compile, safe_mode)
    try:
        with zipfile.ZipFile(path) as archive:
            _, config, weights = (_read(archive, part) for part in _PARTS)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as e:
        raise DataLossError(f"{path} is no complete `.keras` file: {e}") from e
    described = parsed_config(config, path)
    if not compile:
        described.pop("compile_config", None)
    with sizes_of_file(len(weights)):
        model = deserialize_keras_object(
            described, custom_objects=custom_objects, safe_mode=safe_mode
        )
    if not hasattr(model, "save_own_variables"):
        raise DataLossError(f"the config in {path} describes no model: {model!r}")
    try:
        file = h5py.File(io.BytesIO(weights), "r")
    except OSError as e:
        raise DataLossError(f"{path} holds no readable HDF5 file of weights: {e}") from e
    with file:
        read_state(model, file, origin=path)
    with zipfile.ZipFile(path) as archive:
        read_assets(model, archive)
    return model
