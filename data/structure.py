"""Structure: how the flat components of an element fit into the user's nested structure.

Follows TensorFlow's nest rules: tuples, named tuples and dicts (sorted by key) are structure;
lists become tensors where a dataset takes user values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops import nest
from ..ops.tensor_spec import TensorSpec

__all__ = ["Structure"]


class Structure:
    """The structure of one dataset's elements, compiled for fast packing.

    Attributes:
        spec: the nested `element_spec`.
        leaves: its specs in flat order.
        pack: function from a sequence of flat values to the nested element.
    """

    __slots__ = ("leaves", "pack", "spec")

    def __init__(self, spec: Any):
        self.spec = spec
        self.leaves: tuple[Any, ...] = tuple(nest.flatten(spec))
        self.pack: Callable[[Any], Any] = _packer(spec, self.leaves)

    @property
    def is_single(self) -> bool:
        """Whether an element is one bare component."""
        return len(self.leaves) == 1 and self.leaves[0] is self.spec

    def flatten(self, value: Any) -> list[Any]:
        """The components of a nested value, in flat order."""
        return nest.flatten(value)

    def __repr__(self) -> str:
        return f"Structure({self.spec!r})"


def _packer(spec: Any, leaves: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(leaves) == 1 and leaves[0] is spec:
        return lambda flat: flat[0]
    if type(spec) is tuple and all(_is_leaf(s) for s in spec):
        return tuple
    if type(spec) is dict and all(_is_leaf(s) for s in spec.values()):
        position = {key: i for i, key in enumerate(sorted(spec))}
        keys = [(key, position[key]) for key in spec]
        return lambda flat: {key: flat[i] for key, i in keys}
    return lambda flat: nest.pack_sequence_as(spec, list(flat))


def _is_leaf(spec: Any) -> bool:
    return isinstance(spec, TensorSpec) or not isinstance(spec, (tuple, list, dict))
