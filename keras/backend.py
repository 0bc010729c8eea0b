"""Essentials of `keras.backend`: settings, dtypes, names."""

from __future__ import annotations

from typing import Any

from .promotion import is_float_dtype, is_int_dtype, result_type, standardize_dtype
from .settings import (
    backend,
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from .utils.naming import clear_names, get_uid

__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "result_type",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_dtype",
]


def clear_session(free_memory: bool = True) -> None:
    """Forget the names given so far: the next `Dense` is called ``dense`` again.

    Args:
        free_memory: accepted; what nothing refers to is freed anyway.
    """
    clear_names()


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a placeholder of a functional model."""
    return hasattr(x, "_keras_history")
