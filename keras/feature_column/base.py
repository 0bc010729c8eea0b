"""What feature columns have in common.

A column says how to make numbers of raw features, a dictionary of tensors by name.  A dense
column gives ``[batch, ...]``; a categorical one gives ids per row, as a `SparseTensor`, and
perhaps weights.  Columns are values: equal ones are interchangeable, and none holds variables;
those belong to the layer that the columns are given to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ...ops import api as hr
from ...ops.sparse_tensor import SparseTensor

__all__ = ["CategoricalColumn", "DenseColumn", "FeatureColumn", "as_sparse", "feature"]


class FeatureColumn(ABC):
    """The base of all columns."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A name made of the keys and of what is done with them."""

    @property
    @abstractmethod
    def parse_example_spec(self) -> dict[str, Any]:
        """What `hr.io.parse_example` needs to read the raw features."""


class DenseColumn(FeatureColumn):
    """A column that gives a dense tensor."""

    @property
    @abstractmethod
    def variable_shape(self) -> tuple[int, ...]:
        """The shape of a row."""

    @abstractmethod
    def dense(self, features: dict[str, Any], weights: dict[str, Any]) -> Any:
        """``[batch, *variable_shape]``, float32.

        Args:
            features: raw tensors by name.
            weights: the layer's variables, by the names that `weight_shapes` gives.
        """

    def weight_shapes(self) -> dict[str, tuple[tuple[int, ...], Any, bool]]:
        """Name -> shape, initializer and trainability of the variables it needs."""
        return {}


class CategoricalColumn(FeatureColumn):
    """A column that gives ids from 0 to below `num_buckets`."""

    @property
    @abstractmethod
    def num_buckets(self) -> int:
        """How many ids there are."""

    @abstractmethod
    def ids(self, features: dict[str, Any]) -> SparseTensor:
        """int64 ids, ``[batch, any]``; -1 for what is unknown."""

    def weights_of(self, features: dict[str, Any]) -> SparseTensor | None:
        """float32 weights of the ids, or None."""
        return None


def feature(features: dict[str, Any], key: str) -> Any:
    """The raw feature `key`.

    Raises:
        ValueError: there is none.
    """
    if key not in features:
        raise ValueError(
            f"Feature {key} is not in features dictionary. It has the keys {sorted(features)}."
        )
    found = features[key]
    if isinstance(found, SparseTensor) or hasattr(found, "row_splits"):
        return found
    return hr.convert_to_tensor(found)


def as_sparse(x: Any) -> SparseTensor:
    """A raw feature as a `SparseTensor`; the empty string and -1 mean that nothing is there."""
    if isinstance(x, SparseTensor):
        return x
    if hasattr(x, "row_splits"):
        return x.to_sparse()
    if len(x.shape) == 1:
        x = hr.expand_dims(x, -1)
    if x.dtype.is_floating:
        raise ValueError("A categorical feature holds integers or strings, got floats.")
    nothing = "" if x.dtype.name == "string" else hr.cast(-1, x.dtype)
    places = hr.where(hr.not_equal(x, nothing))
    return SparseTensor(places, hr.gather_nd(x, places), hr.cast(hr.shape(x), "int64"))
