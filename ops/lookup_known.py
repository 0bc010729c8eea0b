"""Ids that must be known, and hashed crossings of features: what lookup layers are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .batch_rules import elementwise, same_shaped
from .errors import InvalidArgumentError
from .lookup_index import tags_of
from .primitive import Primitive
from .shape_rules import broadcast
from .string_array import StringArray
from .tensor_spec import TensorSpec

__all__ = ["CrossHashed", "KnownOnly"]


def _known(ids: Any, keys: Any) -> Any:
    missing = ids == -1
    if missing.any():
        unknown = keys[missing]
        shown = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v
                 for v in unknown[:3].tolist()]  # fmt: skip
        raise InvalidArgumentError(
            "When `num_oov_indices=0` all inputs should be in vocabulary, found OOV values "
            f"{shown}{'...' if len(unknown) > 3 else ''}, consider setting `num_oov_indices=1`."
        )
    return ids


# The ids as they are; an error that shows the keys where an id is -1.
KnownOnly = Primitive(
    "_KnownOnly",
    "ids: int64, keys: T",
    impl=_known,
    shape=lambda ids, keys: TensorSpec(ids.shape, ids.dtype),
    vjp=lambda op, g: (None, None),
    batch=same_shaped,
)

_HASH_KEY = 0xDECAFCAFFE
_MULTIPLIER = np.uint64(0xC6A4A7935BD1E995)


def _features(x: Any) -> np.ndarray:
    """uint64: the fingerprints of strings, integers as they are."""
    if isinstance(x, StringArray):
        return tags_of(x.reshape(-1)).view(np.uint64).reshape(x.shape)
    return x.astype(np.int64).view(np.uint64)


def _shifted(x: np.ndarray) -> np.ndarray:
    return x ^ (x >> np.uint64(47))


def _joined(one: Any, other: Any) -> np.ndarray:
    """TensorFlow's FingerprintCat64."""
    m = _MULTIPLIER
    mixed = (one ^ m) ^ (_shifted(other * m) * m)
    return _shifted(_shifted(mixed * m) * m)


def _cross(a: Any, b: Any, *, num_bins: int) -> np.ndarray:
    first = _joined(np.full(a.shape, _HASH_KEY, np.uint64), _features(a))
    return (_joined(first, _features(b)) % np.uint64(num_bins)).astype(np.int64)


# The bucket of each pair of features, as SparseCrossHashed gives it.
CrossHashed = Primitive(
    "_CrossHashed",
    "a: Ta, b: Tb",
    impl=_cross,
    shape=lambda a, b, *, num_bins: TensorSpec(
        broadcast(a.shape, b.shape, "HashedCrossing"), dtypes.int64
    ),
    vjp=lambda op, g: (None, None),
    batch=elementwise,
)
