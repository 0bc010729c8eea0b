"""Projections applied to weights after each update."""

from typing import Any

from ..lookup import Lookup
from .constraint import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm

_lookup = Lookup("constraint", Constraint, [MaxNorm, MinMaxNorm, NonNeg, UnitNorm])
get = _lookup.get
deserialize = _lookup.deserialize


def serialize(constraint: Any) -> Any:
    """The config dictionary that `deserialize` turns back into `constraint`."""
    return _lookup.serialize(constraint)


max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]
