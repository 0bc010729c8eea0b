"""Utilities: `keras.utils`.

The layers use parts of this package, so what is made of layers (`FeatureSpace`) is loaded
when it is first asked for.
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
    "CustomObjectScope",
    "FeatureSpace",
    "Progbar",
    "PyDataset",
    "Sequence",
    "audio_dataset_from_directory",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "image_dataset_from_directory",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

# Name -> the module that has it.
_LATER = {
    "FeatureSpace": "..layers.preprocessing_feature_space",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"keras.utils has no attribute {name!r}", name=name)
    return getattr(importlib.import_module(_LATER[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
