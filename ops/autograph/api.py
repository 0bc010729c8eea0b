"""What users call: conversion by hand, and its options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .context import converting
from .convert import convert, converted_source

__all__ = [
    "do_not_convert",
    "set_loop_options",
    "set_verbosity",
    "to_code",
    "to_graph",
    "trace",
]


def to_graph(
    entity: Callable[..., Any],
    recursive: bool = True,
    experimental_optional_features: Any = None,
) -> Callable[..., Any]:
    """`entity` in its converted form, which runs on Python values as it does on tensors.

    Raises:
        ConversionError: it has no source, or contains what cannot be converted.
    """
    made = convert(getattr(entity, "python_function", entity))
    if recursive:
        return made

    @functools.wraps(made)
    def alone(*args: Any, **kwargs: Any) -> Any:
        with converting(False):
            return made(*args, **kwargs)

    return alone


def to_code(
    entity: Callable[..., Any],
    recursive: bool = True,
    experimental_optional_features: Any = None,
) -> str:
    """The converted form of `entity` as Python text."""
    return converted_source(entity)


def do_not_convert(func: Callable[..., Any] | None = None) -> Any:
    """`func`, called as it is in converted functions; also a decorator."""
    if func is None:
        return do_not_convert

    @functools.wraps(func)
    def unconverted(*args: Any, **kwargs: Any) -> Any:
        with converting(False):
            return func(*args, **kwargs)

    unconverted._ag_do_not_convert = True  # type: ignore[attr-defined]
    return unconverted


def set_loop_options(
    parallel_iterations: Any = None,
    swap_memory: Any = None,
    maximum_iterations: Any = None,
    shape_invariants: Any = None,
) -> None:
    """Options of the loop whose body this call stands in, at its top.

    Args:
        parallel_iterations, swap_memory: have no effect.
        maximum_iterations: stop after so many.
        shape_invariants: pairs ``(variable, shape)``: shapes that hold in all iterations.
    """


def set_verbosity(level: int, alsologtostdout: bool = False) -> None:
    """Has no effect: what cannot be converted gives a warning."""


def trace(*args: Any) -> None:
    """Print the arguments while a function is traced."""
    print(*args)
