"""Lookup tables filled from datasets: DatasetInitializer, table_from_dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.dtypes import DType, as_dtype
from ..ops.lookup_initializers import TableInitializerBase
from ..ops.lookup_static import (
    FastHashSpec,
    HasherSpec,
    IdTableWithHashBuckets,
    StaticHashTable,
)
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TensorSpec
from .block import Block
from .transforms.assert_cardinality import AssertCardinalityNode
from .values import as_int

__all__ = ["DatasetInitializer", "index_table_from_dataset", "table_from_dataset"]

_ROWS = 1 << 16  # of a block asked for


class DatasetInitializer(TableInitializerBase):
    """Fills a lookup table from a dataset of ``(key, value)``.

    Args:
        dataset: of pairs of scalars; it is read when a table is made of it.

    Raises:
        ValueError: its elements are no pairs of scalars.

    >>> import headrace as hr
    >>> numbers = hr.data.Dataset.range(3)
    >>> pairs = hr.data.Dataset.zip((numbers, numbers.map(lambda x: x * x)))
    >>> table = hr.lookup.StaticHashTable(DatasetInitializer(pairs), -1)
    >>> table[hr.constant([2, 5], hr.int64)].numpy().tolist()
    [4, -1]
    """

    def __init__(self, dataset: Any):
        key, value = _pair_of(dataset.element_spec)
        super().__init__(key.dtype, value.dtype)
        self.dataset = dataset

    def _arrays(self) -> tuple[Any, Any]:
        blocks = []
        with self.dataset.raw_iterator() as iterator:
            while (block := iterator.next_block(_ROWS)) is not None:
                blocks.append(block)
        if not blocks:
            return _nothing(self.key_dtype), _nothing(self.value_dtype)
        keys, values = Block.concat(blocks).columns
        return keys, values


def _nothing(dtype: DType) -> Any:
    return StringArray.empty(0) if dtype is dtypes.string else np.empty(0, dtype.np_dtype)


def _pair_of(spec: Any) -> tuple[TensorSpec, TensorSpec]:
    """The specs of key and value.

    Raises:
        ValueError: `spec` is no pair of scalars.
    """
    rule = (
        "Datasets used to initialize lookup tables must produce elements in the form "
        "(key, value), where the keys and values are scalar tensors. "
    )
    if not isinstance(spec, tuple) or len(spec) != 2:
        count = len(spec) if isinstance(spec, (tuple, dict)) else 1
        raise ValueError(
            f"{rule}However, the given dataset produces {count} components instead of two "
            f"(key, value) components. Full dataset element spec: {spec}."
        )
    for what, part in zip(("key", "value"), spec, strict=True):
        if not isinstance(part, TensorSpec):
            raise ValueError(
                f"{rule}However, the given dataset produces non-Tensor {what}s of type "
                f"{type(part).__name__}."
            )
        if part.shape.rank not in (None, 0):
            raise ValueError(
                f"{rule}However, the given dataset produces non-scalar {what} Tensors of rank "
                f"{part.shape.rank}."
            )
    return spec


def table_from_dataset(
    dataset: Any = None,
    num_oov_buckets: int = 0,
    vocab_size: Any = None,
    default_value: Any = None,
    hasher_spec: HasherSpec = FastHashSpec,
    key_dtype: Any = dtypes.string,
    name: str | None = None,
) -> Any:
    """A lookup table of the ``(key, value)`` pairs of a dataset.

    Args:
        dataset: of pairs of scalars; it is read to its end, or for `vocab_size` elements.
        num_oov_buckets: with more than 0, values are int64 ids, and unknown keys get the id of
            one of so many buckets behind them, which their hash chooses.
        vocab_size: how many elements there must be at least.
        default_value: for unknown keys where there are no buckets; -1 for numbers.
        hasher_spec: which hash chooses the bucket.
        key_dtype: dtype of the keys looked up, where there are buckets.
        name: ignored.

    Raises:
        ValueError: elements are no pairs, values need a `default_value`, or a number is out of
            range.
        TypeError: `key_dtype` is neither an integer nor string.
        FailedPreconditionError: the dataset has fewer than `vocab_size` elements, or two values
            for one key.
    """
    _, value = _pair_of(dataset.element_spec)
    key_dtype = as_dtype(key_dtype)
    if default_value is None:
        default_value = -1
        if not (value.dtype.is_integer or value.dtype.is_floating):
            raise ValueError(
                "`default_value` must be specified when creating a table from a dataset that "
                f"produces values of type {value.dtype!r}."
            )
    if num_oov_buckets < 0:
        raise ValueError(
            f"`num_oov_buckets` must be greater than or equal to 0, got {num_oov_buckets}."
        )
    if vocab_size is not None and not isinstance(vocab_size, Tensor) and vocab_size < 1:
        raise ValueError(f"`vocab_size` must be greater than 0, got {vocab_size}.")
    if not (key_dtype.is_integer or key_dtype is dtypes.string):
        raise TypeError(
            f"`key_dtype` must be either an integer or string type, but got {key_dtype!r}"
        )
    if vocab_size is not None:
        count = as_int("vocab_size", vocab_size)
        dataset = dataset.take(count)
        dataset = dataset._derive(AssertCardinalityNode, dataset._node, count)
    table = StaticHashTable(DatasetInitializer(dataset), default_value)
    if not num_oov_buckets:
        return table
    return IdTableWithHashBuckets(table, num_oov_buckets, hasher_spec, key_dtype=key_dtype)


def index_table_from_dataset(
    dataset: Any = None,
    num_oov_buckets: int = 0,
    vocab_size: Any = None,
    default_value: Any = -1,
    hasher_spec: HasherSpec = FastHashSpec,
    key_dtype: Any = dtypes.string,
    name: str | None = None,
) -> Any:
    """A lookup table from the elements of a dataset, scalars, to their positions, int64.

    Arguments and errors are those of `table_from_dataset`.

    >>> import headrace as hr
    >>> words = hr.data.Dataset.from_tensor_slices(["a", "b"])
    >>> index_table_from_dataset(words)[["b", "x"]].numpy().tolist()
    [1, -1]
    """
    pairs = dataset.enumerate().map(lambda position, key: (key, position))
    return table_from_dataset(
        pairs, num_oov_buckets, vocab_size, default_value, hasher_spec, key_dtype, name
    )
