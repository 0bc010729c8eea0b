"""Composite values: tensors with structure, made of plain tensors.

A composite class (`SparseTensor`, `RaggedTensor`, `IndexedSlices`) gives its parts with
``_components()`` and its `TypeSpec` with ``_type_spec``; the spec gives the parts' specs with
``component_specs`` and puts parts together with ``from_components``.  Tracing, datasets and
function signatures handle all of them through these four.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import nest
from .convert import to_tensor
from .tensor import Tensor
from .tensor_spec import TensorSpec, TypeSpec

__all__ = [
    "Composite",
    "CompositeSpec",
    "as_components",
    "composite_specs",
    "from_components",
    "spec_of",
]


class Composite:
    """Base of values made of several tensors."""

    __slots__ = ()
    _is_headrace_value = True

    def _components(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    @property
    def _type_spec(self) -> CompositeSpec:
        raise NotImplementedError


class CompositeSpec(TypeSpec):
    """Base of the composites' specs; compared by class and `_key`."""

    __slots__ = ()

    def component_specs(self) -> tuple[TensorSpec, ...]:
        """Specs of the parts, in order."""
        raise NotImplementedError

    def from_components(self, parts: list[Any]) -> Any:
        """The value made of `parts`."""
        raise NotImplementedError

    def _key(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def is_compatible_with(self, value: Any) -> bool:
        """Whether `value` (a composite or its spec) fits this spec."""
        spec = value if isinstance(value, TypeSpec) else getattr(value, "_type_spec", None)
        return type(spec) is type(self) and all(
            a.is_compatible_with(b)
            for a, b in zip(self.component_specs(), spec.component_specs(), strict=False)
        )

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._key() == other._key()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._key()))


def spec_of(value: Any) -> Any:
    """The `TypeSpec` of a tensor, variable, composite, or what converts to a tensor."""
    spec = getattr(value, "_type_spec", None)
    if spec is not None:
        return spec
    if not isinstance(value, Tensor):
        value = to_tensor(value, None)
    return TensorSpec(value.shape, value.dtype)


def as_components(structure: Any) -> tuple[list[Tensor], Any]:
    """All tensors of a nested result, flat, and the same structure with a spec in place of each
    value (None stays None)."""
    leaves, tree = nest.flatten_with_spec(structure)
    flat: list[Tensor] = []
    specs: list[Any] = []
    for leaf in leaves:
        if leaf is None:
            specs.append(None)
        elif isinstance(leaf, Composite):
            flat.extend(leaf._components())
            specs.append(leaf._type_spec)
        else:
            tensor = to_tensor(leaf, None)
            flat.append(tensor)
            specs.append(TensorSpec(tensor.shape, tensor.dtype))
    return flat, nest.pack_sequence_as(tree, specs)


def from_components(structure: Any, flat: Any) -> Any:
    """The inverse of `as_components`: values in the places of the specs."""
    parts = iter(flat)
    leaves, tree = nest.flatten_with_spec(structure)
    out: list[Any] = []
    for spec in leaves:
        if spec is None or not isinstance(spec, TypeSpec):
            out.append(spec)
        elif isinstance(spec, CompositeSpec):
            out.append(spec.from_components([next(parts) for _ in spec.component_specs()]))
        else:
            out.append(next(parts))
    return nest.pack_sequence_as(tree, out)


def composite_specs(structure: Any, make: Callable[[TensorSpec], Any]) -> Any:
    """`structure` with every spec in it replaced by a value whose parts `make` makes."""
    leaves, tree = nest.flatten_with_spec(structure)
    out: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, CompositeSpec):
            out.append(leaf.from_components([make(s) for s in leaf.component_specs()]))
        elif isinstance(leaf, TensorSpec):
            out.append(make(leaf))
        else:
            out.append(leaf)
    return nest.pack_sequence_as(tree, out)
