"""`keras.tree`: nested structures of lists, tuples and dictionaries.

Dictionaries are read in the order of their keys; an `OrderedDict` in its own.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

from ..ops import nest

__all__ = [
    "MAP_TO_NONE",
    "assert_same_paths",
    "assert_same_structure",
    "flatten",
    "flatten_with_path",
    "is_nested",
    "lists_to_tuples",
    "map_shape_structure",
    "map_structure",
    "map_structure_up_to",
    "pack_sequence_as",
    "traverse",
]


class MAP_TO_NONE:
    """What a function given to `traverse` returns to put None in a subtree's place."""


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a list, tuple or dictionary."""
    return nest.is_nested(structure)


def flatten(structure: Any) -> list[Any]:
    """The leaves, in order."""
    return nest.flatten(structure)


def _items(structure: Any) -> list[tuple[Any, Any]]:
    """Keys and parts of one level."""
    if isinstance(structure, collections.OrderedDict):
        return list(structure.items())
    if isinstance(structure, dict):
        return [(key, structure[key]) for key in sorted(structure)]
    return list(enumerate(structure))


def _rebuilt(structure: Any, parts: dict[Any, Any]) -> Any:
    """A structure of the same type, with `parts` by key."""
    if isinstance(structure, collections.defaultdict):
        return type(structure)(structure.default_factory, {k: parts[k] for k in structure})
    if isinstance(structure, dict):
        return type(structure)((key, parts[key]) for key in structure)
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*parts.values())
    return type(structure)(parts.values())


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Pairs of each leaf's path (keys and positions) and the leaf."""
    if not is_nested(structure):
        return [((), structure)]
    return [
        ((key, *path), leaf)
        for key, part in _items(structure)
        for path, leaf in flatten_with_path(part)
    ]


def pack_sequence_as(structure: Any, flat_sequence: Any) -> Any:
    """`flat_sequence` nested like `structure`.

    Raises:
        ValueError: it has another number of leaves.
    """
    return nest.pack_sequence_as(structure, list(flat_sequence))


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """`func` of corresponding leaves, nested like the first structure.

    Args:
        func: function of as many leaves as there are structures.
        *structures: nested in the same way.
        none_is_leaf: whether `func` is called on None; else None stays.

    Raises:
        TypeError: no structures, or `func` is no function.
    """
    if not structures or not callable(func):
        raise TypeError("map_structure takes a function and at least one structure")

    def call(*leaves: Any) -> Any:
        return None if leaves[0] is None and not none_is_leaf else func(*leaves)

    return nest.map_structure(call, *structures)


def map_structure_up_to(
    shallow_structure: Any, func: Callable[..., Any], *structures: Any
) -> Any:
    """`func` of what the structures have in the places of the leaves of `shallow_structure`.

    Raises:
        TypeError: no structures, or `func` is no function.
        ValueError: a structure is shallower, or nested otherwise.
    """
    if not structures or not callable(func):
        raise TypeError("map_structure_up_to takes a function and at least one structure")
    if not is_nested(shallow_structure):
        return func(*structures)
    inner = []
    keys = [key for key, _ in _items(shallow_structure)]
    for structure in structures:
        found = dict(_items(structure)) if is_nested(structure) else {}
        if list(found) != keys:
            raise ValueError(
                f"{structure!r} has not the structure {shallow_structure!r} at its top"
            )
        inner.append(found)
    parts = {
        key: map_structure_up_to(part, func, *(found[key] for found in inner))
        for key, part in _items(shallow_structure)
    }
    return _rebuilt(shallow_structure, parts)


def assert_same_structure(a: Any, b: Any, check_types: Any = None) -> None:
    """Check that both are nested in the same way.

    Raises:
        ValueError: they are not.
    """
    try:
        nest.assert_same_structure(a, b)
    except TypeError as e:
        raise ValueError(str(e)) from e


def assert_same_paths(a: Any, b: Any) -> None:
    """Check that both have the same keys and positions, whatever the containers' types.

    Raises:
        ValueError: they have not.
    """
    first, second = ({path for path, _ in flatten_with_path(s)} for s in (a, b))
    if first != second:
        raise ValueError(
            "The two structures don't have the same paths. Only in the first: "
            f"{sorted(first - second, key=str)}, only in the second: "
            f"{sorted(second - first, key=str)}"
        )


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """`structure` with subtrees replaced by what `func` gives for them.

    Args:
        func: function of a subtree; None leaves it (and goes on inside when `top_down`),
            `MAP_TO_NONE` puts None there.
        structure: what is visited, depth first.
        top_down: parents before their children.

    Raises:
        TypeError: `func` is no function.
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Received: func={func}")

    def visited(part: Any) -> Any:
        found = func(part)
        return None if found is MAP_TO_NONE else part if found is None else found

    def walk(part: Any) -> Any:
        if top_down:
            found = func(part)
            if found is not None:
                return None if found is MAP_TO_NONE else found
        if is_nested(part):
            part = _rebuilt(part, {key: walk(inner) for key, inner in _items(part)})
        return part if top_down else visited(part)

    return walk(structure)


def lists_to_tuples(structure: Any) -> Any:
    """`structure` with tuples for lists."""

    def changed(part: Any) -> Any:
        return tuple(part) if isinstance(part, list) else None

    return traverse(changed, structure, top_down=False)


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """`func` of each shape: tuples and lists of sizes (ints and None) are leaves.

    Raises:
        TypeError: `func` is no function.
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Received: func={func}")

    def is_shape(part: Any) -> bool:
        return isinstance(part, (list, tuple)) and all(
            n is None or isinstance(n, int) for n in part
        )

    def changed(part: Any) -> Any:
        found = func(tuple(part)) if is_shape(part) else None
        return MAP_TO_NONE if is_shape(part) and found is None else found

    return traverse(changed, structure)
