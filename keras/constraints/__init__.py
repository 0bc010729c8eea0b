"""Projections applied to weights after each update."""

from ..lookup import Lookup
from .constraint import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm

_lookup = Lookup("constraint", Constraint, [MaxNorm, MinMaxNorm, NonNeg, UnitNorm])
get = _lookup.get
serialize = _lookup.serialize
deserialize = _lookup.deserialize

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
