"""Finding state in an object's attributes: variables and layers, also inside containers.

Nothing is registered when a list or a dict is filled: attributes are walked when somebody asks
for weights, which happens at build, compile and save time only.  So containers stay plain
Python objects.  Attributes are visited in the order of their first assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...ops.variable import Variable

__all__ = ["is_metric", "is_optimizer", "is_variable", "unique", "walk_attributes"]


def is_metric(value: Any) -> bool:
    """Whether `value` behaves as a Keras metric."""
    return hasattr(value, "update_state") and hasattr(value, "result")


def is_variable(value: Any) -> bool:
    """Whether `value` is a variable."""
    return isinstance(value, Variable)


def is_optimizer(value: Any) -> bool:
    """Whether `value` behaves as a Keras optimizer."""
    return hasattr(value, "apply_gradients") and hasattr(value, "get_config")


def unique(items: Any) -> list[Any]:
    """`items` without repetitions, by identity, in order."""
    return list({id(item): item for item in items}.values())


def walk_attributes(owner: Any, wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """Values for which `wanted` holds among `owner`'s attributes and inside its containers."""
    seen: set[int] = set()
    for value in tuple(owner.__dict__.values()):
        yield from _walk(value, wanted, seen)


def _walk(value: Any, wanted: Callable[[Any], bool], seen: set[int]) -> Iterator[Any]:
    if wanted(value):
        yield value
    elif isinstance(value, (list, tuple, dict)) and not isinstance(value, Variable):
        if id(value) in seen:
            return
        seen.add(id(value))
        for item in tuple(value.values()) if isinstance(value, dict) else tuple(value):
            yield from _walk(item, wanted, seen)
