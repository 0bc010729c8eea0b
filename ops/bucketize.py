"""Bucketize: numbers as the numbers of the buckets they fall into."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_module import array_module, brought
from .primitive import Primitive
from .shape_rules import to_dtype

__all__ = ["Bucketize"]


def _impl(x: Any, *, boundaries: tuple[float, ...]) -> np.ndarray:
    # As in TensorFlow boundaries are float32, and integers are compared as such.
    xp = array_module(x)
    edges = brought(np.asarray(boundaries, np.float32), x)
    values = x if x.dtype == np.float64 else x.astype(np.float32, copy=False)
    return xp.searchsorted(edges, values, side="right").astype(np.int32)


Bucketize = Primitive(
    "Bucketize",
    "input: T",
    impl=_impl,
    shape=to_dtype(dtypes.int32),
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
    defaults={"boundaries": ()},
)
