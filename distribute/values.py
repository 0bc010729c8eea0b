"""Values with one component per replica, and how structures of them are taken apart and put
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops import nest
from ..ops.tensor_spec import TypeSpec

__all__ = ["DistributedValues", "Mirrored", "PerReplica", "PerReplicaSpec", "regroup", "select"]


class DistributedValues:
    """A value with a component for every replica of this process.

    Args:
        values: the components, in the order of the replicas.
    """

    _is_headrace_value = True

    def __init__(self, values: Sequence[Any]):
        self._values = tuple(values)

    @property
    def values(self) -> tuple[Any, ...]:
        """The components, in the order of the replicas."""
        return self._values

    @property
    def _primary(self) -> Any:
        return self._values[0]

    def __repr__(self) -> str:
        parts = ",\n".join(f"  {i}: {v!r}" for i, v in enumerate(self._values))
        return f"{type(self).__name__}:{{\n{parts}\n}}"


class PerReplica(DistributedValues):
    """Components that differ between replicas: a batch dealt out, or what `run` returned."""

    @property
    def dtype(self) -> Any:
        """The components' dtype."""
        return self._primary.dtype

    @property
    def _type_spec(self) -> PerReplicaSpec:
        from ..ops.composite import spec_of

        return PerReplicaSpec(*(spec_of(v) for v in self._values))


class Mirrored(DistributedValues):
    """The same value on every replica: what a reduction gives to all of them."""


class PerReplicaSpec(TypeSpec):
    """The specs of a `PerReplica` value's components."""

    __slots__ = ("specs",)

    def __init__(self, *specs: Any):
        self.specs = specs

    def is_compatible_with(self, value: Any) -> bool:
        """Whether every component of `value` fits its spec."""
        parts = value.specs if isinstance(value, PerReplicaSpec) else value.values
        return len(parts) == len(self.specs) and all(
            s.is_compatible_with(v) for s, v in zip(self.specs, parts, strict=True)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PerReplicaSpec) and self.specs == other.specs

    def __hash__(self) -> int:
        return hash(self.specs)

    def __repr__(self) -> str:
        return f"PerReplicaSpec({', '.join(map(repr, self.specs))})"


def select(structure: Any, replica: int) -> Any:
    """`structure` as one replica gets it: of distributed values, that replica's component."""

    def part(leaf: Any) -> Any:
        return leaf.values[replica] if isinstance(leaf, DistributedValues) else leaf

    return nest.map_structure(part, structure)


def regroup(results: Sequence[Any]) -> Any:
    """One structure from those of all replicas: a leaf that is one and the same object stays
    itself, others become `PerReplica`.

    Raises:
        ValueError: the replicas' results have different structures.
    """
    if len(results) == 1:
        return results[0]
    flat, trees = [], []
    for result in results:
        leaves, tree = nest.flatten_with_spec(result)
        flat.append(leaves)
        trees.append(tree)
    if any(tree != trees[0] for tree in trees):
        raise ValueError(
            f"the replicas returned different structures: {results[0]!r} and "
            f"{next(r for r, t in zip(results, trees, strict=True) if t != trees[0])!r}"
        )
    leaves = [
        each[0] if all(v is each[0] for v in each[1:]) else PerReplica(each)
        for each in zip(*flat, strict=True)
    ]
    return nest.pack_sequence_as(trees[0], leaves)
