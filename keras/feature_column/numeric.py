"""Columns of numbers: as they are, or by the bucket they are in."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...io.parse_config import FixedLenFeature
from ...ops import api as hr, dtypes
from ...ops.bucketize import Bucketize
from ...ops.sparse_tensor import SparseTensor
from .base import CategoricalColumn, DenseColumn, feature

__all__ = ["BucketizedColumn", "NumericColumn", "bucketized_column", "numeric_column"]


@dataclasses.dataclass(frozen=True)
class NumericColumn(DenseColumn):
    """Numbers as they are; see `numeric_column`."""

    key: str
    shape: tuple[int, ...]
    default_value: Any
    dtype: Any
    normalizer_fn: Callable[[Any], Any] | None

    @property
    def name(self) -> str:
        """The key."""
        return self.key

    @property
    def variable_shape(self) -> tuple[int, ...]:
        """The shape of a row."""
        return self.shape

    @property
    def parse_example_spec(self) -> dict[str, Any]:
        """One `FixedLenFeature`."""
        return {self.key: FixedLenFeature(self.shape, self.dtype, self.default_value)}

    def dense(self, features: dict[str, Any], weights: dict[str, Any]) -> Any:
        """``[batch, *shape]``."""
        x = feature(features, self.key)
        if isinstance(x, SparseTensor):
            raise ValueError(
                "The corresponding Tensor of numerical column must be a Tensor. SparseTensor "
                f"is not supported. key: {self.key}"
            )
        x = hr.cast(x, self.dtype)
        if self.normalizer_fn is not None:
            x = self.normalizer_fn(x)
        return hr.cast(hr.reshape(x, [-1, *self.shape]), "float32")


def numeric_column(
    key: str,
    shape: Any = (1,),
    default_value: Any = None,
    dtype: Any = dtypes.float32,
    normalizer_fn: Callable[[Any], Any] | None = None,
) -> NumericColumn:
    """A column of numbers.

    Args:
        key: name of the raw feature.
        shape: of a row.
        default_value: where an example has none: a number, or values of `shape`.
        dtype: of the raw feature.
        normalizer_fn: applied to the tensor.

    Raises:
        ValueError: a shape that is not positive, or a dtype that holds no numbers.
        TypeError: a default of another shape, or `normalizer_fn` is no function.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(not isinstance(n, int) or n < 1 for n in sizes):
        raise ValueError(f"shape dimensions must be positive integers, shape: {sizes}")
    found = dtypes.as_dtype(dtype)
    if not (found.is_integer or found.is_floating):
        raise ValueError(f"dtype must be convertible to float. dtype: {found}, key: {key}")
    if normalizer_fn is not None and not callable(normalizer_fn):
        raise TypeError(f"normalizer_fn must be a callable. Given: {normalizer_fn}")
    if default_value is not None:
        values = np.asarray(default_value)
        if values.shape not in ((), sizes):
            raise ValueError(
                f"The shape of default_value must be equal to given shape. default_value: "
                f"{default_value}, shape: {sizes}, key: {key}"
            )
        flat = np.broadcast_to(values, sizes).tolist()
        default_value = _tuples(flat)
    return NumericColumn(key, sizes, default_value, found, normalizer_fn)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True)
class BucketizedColumn(DenseColumn, CategoricalColumn):
    """Numbers by the bucket they are in, one-hot; see `bucketized_column`."""

    source_column: NumericColumn
    boundaries: tuple[float, ...]

    @property
    def name(self) -> str:
        """The source's name and ``_bucketized``."""
        return f"{self.source_column.name}_bucketized"

    @property
    def parse_example_spec(self) -> dict[str, Any]:
        """That of the source."""
        return self.source_column.parse_example_spec

    @property
    def variable_shape(self) -> tuple[int, ...]:
        """The source's, and one place per bucket."""
        return (*self.source_column.shape, len(self.boundaries) + 1)

    @property
    def num_buckets(self) -> int:
        """Buckets times numbers per row."""
        return (len(self.boundaries) + 1) * math.prod(self.source_column.shape)

    def buckets(self, features: dict[str, Any]) -> Any:
        """``[batch, *shape]``, int32."""
        x = self.source_column.dense(features, {})
        return Bucketize(x, boundaries=self.boundaries)

    def dense(self, features: dict[str, Any], weights: dict[str, Any]) -> Any:
        """A row of 0 and a 1 for every number."""
        return hr.one_hot(self.buckets(features), len(self.boundaries) + 1, dtype="float32")

    def ids(self, features: dict[str, Any]) -> SparseTensor:
        """Ids: those of the second number of a row follow those of the first."""
        count = math.prod(self.source_column.shape)
        rows = hr.reshape(hr.cast(self.buckets(features), "int64"), [-1, count])
        rows = rows + np.arange(count, dtype=np.int64) * (len(self.boundaries) + 1)
        places = hr.where(rows >= 0)
        return SparseTensor(places, hr.reshape(rows, [-1]), hr.cast(hr.shape(rows), "int64"))


def bucketized_column(source_column: NumericColumn, boundaries: Any) -> BucketizedColumn:
    """Numbers by the bucket they are in.

    Args:
        source_column: a `numeric_column` of at most one axis.
        boundaries: rising numbers; a bucket holds its lower bound.

    Raises:
        ValueError: another column, or boundaries that do not rise.
    """
    if not isinstance(source_column, NumericColumn):
        raise ValueError(
            "source_column must be a column generated with numeric_column(). Given: "
            f"{source_column}"
        )
    if len(source_column.shape) > 1:
        raise ValueError(
            f"source_column must be one-dimensional column. Given: {source_column}"
        )
    bounds = tuple(float(b) for b in boundaries)
    if not bounds or any(a >= b for a, b in itertools.pairwise(bounds)):
        raise ValueError("boundaries must be a sorted list.")
    return BucketizedColumn(source_column, bounds)
