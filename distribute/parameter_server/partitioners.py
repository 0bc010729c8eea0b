"""Partitioners: into how many shards a variable is cut; TensorFlow's names and rules."""

from __future__ import annotations

import math
from typing import Any

from ...ops.dtypes import as_dtype
from ...ops.tensor_shape import TensorShape

__all__ = [
    "FixedShardsPartitioner",
    "MaxSizePartitioner",
    "MinSizePartitioner",
    "Partitioner",
    "dims_of",
    "shard_bounds",
]


class Partitioner:
    """Base of the partitioners: called with a shape and a dtype, gives the number of parts
    along each axis."""

    def __call__(self, shape: Any, dtype: Any, axis: int = 0) -> list[int]:
        """Parts along each axis; all 1 but for `axis`."""
        raise NotImplementedError


class FixedShardsPartitioner(Partitioner):
    """`num_shards` parts, or as many as there are rows.

    >>> FixedShardsPartitioner(num_shards=2)(TensorShape([10, 3]), "float32")
    [2, 1]
    """

    def __init__(self, num_shards: int):
        self._num_shards = num_shards

    def __call__(self, shape: Any, dtype: Any, axis: int = 0) -> list[int]:
        """Parts along each axis."""
        return _parts(shape, axis, self._num_shards)


class MinSizePartitioner(Partitioner):
    """As many parts, up to `max_shards`, as have at least `min_shard_bytes` each.

    >>> MinSizePartitioner(min_shard_bytes=4, max_shards=2)(TensorShape([6, 1]), "float32")
    [2, 1]
    """

    def __init__(
        self, min_shard_bytes: int = 256 << 10, max_shards: int = 1, bytes_per_string: int = 16
    ):
        if min_shard_bytes < 1:
            raise ValueError(f"min_shard_bytes must be positive, got {min_shard_bytes}")
        if max_shards < 1:
            raise ValueError(f"max_shards must be positive, got {max_shards}")
        if bytes_per_string < 1:
            raise ValueError(f"bytes_per_string must be positive, got {bytes_per_string}")
        self._min_shard_bytes = min_shard_bytes
        self._max_shards = max_shards
        self._bytes_per_string = bytes_per_string

    def __call__(self, shape: Any, dtype: Any, axis: int = 0) -> list[int]:
        """Parts along each axis."""
        total = _size_bytes(shape, dtype, self._bytes_per_string)
        fitting = math.ceil(total / self._min_shard_bytes)
        return _parts(shape, axis, min(self._max_shards, max(1, fitting)))


class MaxSizePartitioner(Partitioner):
    """As few parts, up to `max_shards`, as have at most `max_shard_bytes` each.

    >>> MaxSizePartitioner(max_shard_bytes=4)(TensorShape([6, 1]), "float32")
    [6, 1]
    """

    def __init__(
        self, max_shard_bytes: int, max_shards: int | None = None, bytes_per_string: int = 16
    ):
        if max_shard_bytes < 1:
            raise ValueError(f"max_shard_bytes must be positive, got {max_shard_bytes}")
        if max_shards is not None and max_shards < 1:
            raise ValueError(f"max_shards must be positive, got {max_shards}")
        if bytes_per_string < 1:
            raise ValueError(f"bytes_per_string must be positive, got {bytes_per_string}")
        self._max_shard_bytes = max_shard_bytes
        self._max_shards = max_shards
        self._bytes_per_string = bytes_per_string

    def __call__(self, shape: Any, dtype: Any, axis: int = 0) -> list[int]:
        """Parts along each axis."""
        rows = dims_of(shape)[axis]
        row_bytes = _size_bytes(shape, dtype, self._bytes_per_string) / max(1, rows)
        per_shard = max(1, math.floor(self._max_shard_bytes / max(row_bytes, 1e-9)))
        parts = math.ceil(rows / per_shard)
        if self._max_shards is not None:
            parts = min(parts, self._max_shards)
        return _parts(shape, axis, parts)


def _size_bytes(shape: Any, dtype: Any, bytes_per_string: int) -> int:
    kind = as_dtype(dtype)
    size = bytes_per_string if kind.name == "string" else kind.size
    return int(TensorShape(shape).num_elements() or 0) * size


def dims_of(shape: Any) -> list[int]:
    """The sizes of a shape that is known; an axis of unknown size counts as empty."""
    return [d or 0 for d in TensorShape(shape).as_list()]


def _parts(shape: Any, axis: int, wanted: int) -> list[int]:
    dims = dims_of(shape)
    parts = [1] * len(dims)
    parts[axis] = max(1, min(wanted, dims[axis]))
    return parts


def shard_bounds(rows: int, parts: int) -> list[int]:
    """Where shards of `rows` rows begin, and the end: even, the first ones larger by one.

    >>> shard_bounds(10, 3)
    [0, 4, 7, 10]
    """
    size, extra = divmod(rows, parts)
    bounds = [0]
    for i in range(parts):
        bounds.append(bounds[-1] + size + (i < extra))
    return bounds
