"""Utilities: `keras.utils`."""

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
from .numerical import normalize, to_categorical
from .progbar import Progbar
from .rng import set_random_seed
from .sequence import PyDataset, Sequence

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "normalize",
    "pack_x_y_sample_weight",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
