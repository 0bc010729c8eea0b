"""Utilities: `keras.utils`.

The rest of Keras uses parts of this package; names that are themselves made of the rest are
loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..engine.data_adapter import pack_x_y_sample_weight, unpack_x_y_sample_weight
from ..engine.registry import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .array_datasets import split_dataset, timeseries_dataset_from_array
from .config import Config
from .directory_datasets import (
    audio_dataset_from_directory,
    image_dataset_from_directory,
    text_dataset_from_directory,
)
from .files import get_file
from .model_graph import model_to_dot, plot_model
from .numerical import normalize, to_categorical
from .padding import pad_sequences
from .progbar import Progbar
from .rng import set_random_seed
from .sequence import PyDataset, Sequence

__all__ = [
    "Config",
    "CustomObjectScope",
    "FeatureSpace",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "audio_dataset_from_directory",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "image_dataset_from_directory",
    "img_to_array",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "load_img",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

# Name -> the module that has it.
_LATER = {
    "FeatureSpace": "..layers.preprocessing_feature_space",
    "array_to_img": ".images",
    "clear_session": "..backend",
    "disable_interactive_logging": "..settings",
    "enable_interactive_logging": "..settings",
    "get_source_inputs": ".sources",
    "img_to_array": ".images",
    "is_interactive_logging_enabled": "..settings",
    "is_keras_tensor": "..backend",
    "load_img": ".images",
    "save_img": ".images",
    "standardize_dtype": "..promotion",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"keras.utils has no attribute {name!r}", name=name)
    return getattr(importlib.import_module(_LATER[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
