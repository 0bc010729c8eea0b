"""no_op, group, control_dependencies: TensorFlow's order-keeping tools.

A graph here keeps the order in which a function made its calls, so there is nothing to add:
what changes state or checks runs in that order, whatever depends on it or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .context import executing_eagerly

__all__ = ["control_dependencies", "group", "no_op"]


def no_op(name: str | None = None) -> None:
    """Nothing."""


def group(*inputs: Any, **kwargs: Any) -> None:
    """Nothing: the inputs have run, or run when the function does.

    Raises:
        TypeError: an input is no operation, tensor or nested structure of them.
    """
    for given in inputs:
        if isinstance(given, (int, float, str, bytes)):
            raise TypeError(
                f"'inputs' should be zero or more (nested) Tensors. Received {given!r}"
            )


@contextmanager
def control_dependencies(control_inputs: Any) -> Iterator[None]:
    """A block that runs after `control_inputs` (functions are called, when eager)."""
    if executing_eagerly():
        for each in control_inputs or ():
            if callable(each):
                each()
    yield
