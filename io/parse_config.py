"""What to parse: the feature descriptions of ``hr.io``, named tuples as in TensorFlow.

A features dict maps keys to these; `headrace.io.parse_plan` turns it into a checked, hashable
plan.  Nothing is validated here, so that they can be made, copied and `_replace`d freely.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..ops import dtypes

__all__ = [
    "FixedLenFeature",
    "FixedLenSequenceFeature",
    "RaggedFeature",
    "SparseFeature",
    "VarLenFeature",
]


class VarLenFeature(NamedTuple):
    """A feature of any number of values, parsed to a `SparseTensor`.

    Attributes:
        dtype: float32, int64 or string.
    """

    dtype: Any


class FixedLenFeature(NamedTuple):
    """A feature of a fixed number of values, parsed to a dense tensor.

    Attributes:
        shape: shape of one example's values, fully known.
        dtype: float32, int64 or string.
        default_value: stands in where an example lacks the feature, of shape `shape`;
            with None such examples are an error.
    """

    shape: Any
    dtype: Any
    default_value: Any = None


class FixedLenSequenceFeature(NamedTuple):
    """A feature of any number of rows of a fixed shape, parsed to a dense, padded tensor.

    Attributes:
        shape: shape of one row.
        dtype: float32, int64 or string.
        allow_missing: whether examples may lack the feature; `parse_example` needs True.
        default_value: scalar that pads a batch; 0 or ``""`` if None.
    """

    shape: Any
    dtype: Any
    allow_missing: bool = False
    default_value: Any = None


class SparseFeature(NamedTuple):
    """A sparse tensor whose coordinates and values are features of their own.

    Attributes:
        index_key: key of the int64 feature of coordinates, or a list, one key per axis.
        value_key: key of the feature of values.
        dtype: of the values: float32, int64 or string.
        size: size of each axis; an int, or a list matching `index_key`.
        already_sorted: skip sorting the entries by coordinate.
    """

    index_key: Any
    value_key: str
    dtype: Any
    size: Any
    already_sorted: bool = False


class _RowSplits(NamedTuple):
    key: str


class _RowLengths(NamedTuple):
    key: str


class _RowStarts(NamedTuple):
    key: str


class _RowLimits(NamedTuple):
    key: str


class _ValueRowIds(NamedTuple):
    key: str


class _UniformRowLength(NamedTuple):
    length: int


_PARTITIONS = (
    _RowSplits,
    _RowLengths,
    _RowStarts,
    _RowLimits,
    _ValueRowIds,
    _UniformRowLength,
)


class _RaggedFields(NamedTuple):
    dtype: Any
    value_key: str | None = None
    partitions: tuple[Any, ...] = ()
    row_splits_dtype: Any = dtypes.int32
    validate: bool = False


class RaggedFeature(_RaggedFields):
    """A feature of any number of values, parsed to a `RaggedTensor`.

    >>> RaggedFeature("int64", "tokens", partitions=[RaggedFeature.RowLengths("lengths")])
    ...     # doctest: +ELLIPSIS
    RaggedFeature(dtype='int64', value_key='tokens', ...

    Attributes:
        dtype: float32, int64 or string.
        value_key: key of the values; None is the key in the features dict.
        partitions: outermost first, each ``RaggedFeature.RowSplits(key)``, `RowLengths`,
            `RowStarts`, `RowLimits`, `ValueRowIds` (of an int64 feature) or
            `UniformRowLength(length)`.
        row_splits_dtype: int32 or int64.
        validate: check that the partitions fit the values.
    """

    __slots__ = ()

    RowSplits = _RowSplits
    RowLengths = _RowLengths
    RowStarts = _RowStarts
    RowLimits = _RowLimits
    ValueRowIds = _ValueRowIds
    UniformRowLength = _UniformRowLength

    def __new__(
        cls,
        dtype: Any,
        value_key: str | None = None,
        partitions: Any = (),
        row_splits_dtype: Any = dtypes.int32,
        validate: bool = False,
    ) -> RaggedFeature:
        """See the class."""
        partitions = tuple(partitions)
        for partition in partitions:
            if not isinstance(partition, _PARTITIONS):
                raise TypeError(
                    "partitions must be made by RaggedFeature.RowSplits, RowLengths, "
                    "RowStarts, RowLimits, ValueRowIds or UniformRowLength, got "
                    f"{partition!r}"
                )
        if row_splits_dtype is not None:
            row_splits_dtype = dtypes.as_dtype(row_splits_dtype)
            if row_splits_dtype not in (dtypes.int32, dtypes.int64):
                raise ValueError(
                    f"row_splits_dtype must be int32 or int64, got {row_splits_dtype.name}"
                )
        return super().__new__(cls, dtype, value_key, partitions, row_splits_dtype, validate)
