"""Penalties on weights or activations, added to the loss."""

from typing import Any

from ..lookup import Lookup
from .regularizer import L1, L1L2, L2, OrthogonalRegularizer, Regularizer

l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

_lookup = Lookup(
    "regularizer",
    Regularizer,
    [L1, L2, L1L2, OrthogonalRegularizer],
    {"l1": L1, "l2": L2, "l1_l2": L1L2, "l1l2": L1L2},
)
get = _lookup.get
deserialize = _lookup.deserialize


def serialize(regularizer: Any) -> Any:
    """The config dictionary that `deserialize` turns back into `regularizer`."""
    return _lookup.serialize(regularizer)


__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]
