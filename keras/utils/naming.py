"""Automatic names: class names in snake case, numbered when taken (``dense``, ``dense_1``)."""

from __future__ import annotations

import collections
import re

__all__ = ["auto_name", "clear_names", "get_uid", "to_snake_case", "unique_name"]

_counts: collections.Counter[str] = collections.Counter()
_uids: collections.Counter[str] = collections.Counter()


def to_snake_case(name: str) -> str:
    """`name` in snake case, as Keras names layers and weight groups.

    >>> to_snake_case("Conv2DTranspose"), to_snake_case("LSTM")
    ('conv2d_transpose', 'lstm')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(prefix: str) -> str:
    """`prefix` itself the first time, then ``prefix_1``, ``prefix_2``, ..."""
    taken = _counts[prefix]
    _counts[prefix] += 1
    return f"{prefix}_{taken}" if taken else prefix


def auto_name(class_name: str) -> str:
    """A unique name for an object of the class called `class_name`."""
    return unique_name(to_snake_case(class_name).lstrip("_") or "layer")


def get_uid(prefix: str = "") -> int:
    """1, 2, 3, ... : how often it has been called with `prefix`."""
    _uids[prefix] += 1
    return _uids[prefix]


def clear_names() -> None:
    """Start all counts again."""
    _counts.clear()
    _uids.clear()
