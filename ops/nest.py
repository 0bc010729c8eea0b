"""Nested structures by TensorFlow's rules.

Tuples, lists, named tuples, dictionaries (in the order of their sorted keys) and attrs classes
nest; everything else, tensors and ragged or sparse tensors included, is a leaf.  Built on
optree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

__all__ = [
    "assert_same_structure",
    "flatten",
    "flatten_with_paths",
    "is_nested",
    "lists_to_tensors",
    "map_structure",
    "pack_sequence_as",
]


def flatten(structure: Any, expand_composites: bool = False) -> list[Any]:
    """The leaves, dictionaries in the order of their sorted keys; ``None`` is a leaf."""
    return optree.tree_leaves(structure, none_is_leaf=True)


def structure_of(structure: Any) -> optree.PyTreeSpec:
    """The structure without its leaves; hashable and comparable."""
    return optree.tree_structure(structure, none_is_leaf=True)


def flatten_with_spec(structure: Any) -> tuple[list[Any], optree.PyTreeSpec]:
    """Leaves and structure in one pass."""
    leaves, spec = optree.tree_flatten(structure, none_is_leaf=True)
    return leaves, spec


def pack_sequence_as(
    structure: Any, flat_sequence: Any, expand_composites: bool = False
) -> Any:
    """`flat_sequence` put in the places of `structure`'s leaves.

    Raises:
        ValueError: the number of leaves differs.
    """
    spec = structure if isinstance(structure, optree.PyTreeSpec) else structure_of(structure)
    flat = list(flat_sequence)
    if spec.num_leaves != len(flat):
        raise ValueError(
            f"Structure has {spec.num_leaves} leaves, but flat_sequence has {len(flat)} "
            "elements."
        )
    return optree.tree_unflatten(spec, flat)


def map_structure(func: Callable[..., Any], *structures: Any, **kwargs: Any) -> Any:
    """`func` applied to corresponding leaves; the result has the first structure.

    Raises:
        ValueError: the structures do not match.
    """
    if not structures:
        raise ValueError("Must provide at least one structure")
    for other in structures[1:]:
        assert_same_structure(structures[0], other)
    flat = [flatten(s) for s in structures]
    return pack_sequence_as(
        structures[0], [func(*leaves) for leaves in zip(*flat, strict=True)]
    )


def assert_same_structure(nest1: Any, nest2: Any, check_types: bool = True) -> None:
    """Raise ValueError unless both nest in the same way."""
    a, b = structure_of(nest1), structure_of(nest2)
    if a != b:
        raise ValueError(
            "The two structures don't have the same nested structure.\n\nFirst: "
            f"{a}\n\nSecond: {b}"
        )


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a container rather than a leaf."""
    return isinstance(structure, (list, tuple, dict))


def flatten_with_paths(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """``(path, leaf)`` pairs; a path is the keys and indices that lead to the leaf."""
    paths, leaves, _ = optree.tree_flatten_with_path(structure, none_is_leaf=True)
    return list(zip(paths, leaves, strict=True))


def lists_to_tensors(structure: Any, to_tensor: Callable[[Any, Any], Any]) -> Any:
    """`structure` with every list replaced by one tensor, as tf.data reads results."""
    if isinstance(structure, list):
        return to_tensor(structure, None)
    if isinstance(structure, tuple):
        parts = [lists_to_tensors(s, to_tensor) for s in structure]
        return type(structure)(*parts) if hasattr(structure, "_fields") else tuple(parts)
    if isinstance(structure, dict):
        return type(structure)(
            (k, lists_to_tensors(v, to_tensor)) for k, v in structure.items()
        )
    return structure
