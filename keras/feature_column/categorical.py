"""Columns of categories: by hash, number, vocabulary; weighted; crossed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...io.parse_config import VarLenFeature
from ...ops import api as hr, dtypes
from ...ops.lookup_initializers import KeyValueTensorInitializer
from ...ops.lookup_static import StaticHashTable
from ...ops.sparse_ops import cross_hashed
from ...ops.sparse_tensor import SparseTensor
from .base import CategoricalColumn, FeatureColumn, as_sparse, feature
from .numeric import BucketizedColumn

__all__ = [
    "CrossedColumn",
    "HashedColumn",
    "IdentityColumn",
    "VocabularyColumn",
    "WeightedColumn",
    "categorical_column_with_hash_bucket",
    "categorical_column_with_identity",
    "categorical_column_with_vocabulary_file",
    "categorical_column_with_vocabulary_list",
    "crossed_column",
    "weighted_categorical_column",
]

# TensorFlow's: what crosses are hashed with unless another key is given.
_HASH_KEY = 0xDECAFCAFFE


class _Keyed(CategoricalColumn):
    """A column of one raw feature."""

    key: str
    dtype: Any

    @property
    def name(self) -> str:
        """The key."""
        return self.key

    @property
    def parse_example_spec(self) -> dict[str, Any]:
        """One `VarLenFeature`."""
        return {self.key: VarLenFeature(self.dtype)}

    def _raw(self, features: dict[str, Any]) -> SparseTensor:
        found = as_sparse(feature(features, self.key))
        if (found.dtype.name == "string") != (self.dtype.name == "string"):
            raise ValueError(
                f"Column dtype and SparseTensors dtype must be compatible. key: {self.key}, "
                f"column dtype: {self.dtype.name}, tensor dtype: {found.dtype.name}"
            )
        return found


def _with_values(sparse: SparseTensor, values: Any) -> SparseTensor:
    return SparseTensor(sparse.indices, values, sparse.dense_shape)


@dataclasses.dataclass(frozen=True)
class HashedColumn(_Keyed):
    """See `categorical_column_with_hash_bucket`."""

    key: str
    hash_bucket_size: int
    dtype: Any

    @property
    def num_buckets(self) -> int:
        """The number of buckets."""
        return self.hash_bucket_size

    def ids(self, features: dict[str, Any]) -> SparseTensor:
        """The hashes of strings, or of integers written out."""
        raw = self._raw(features)
        text = raw.values if raw.dtype.name == "string" else hr.as_string(raw.values)
        return _with_values(raw, hr.string_to_hash_bucket_fast(text, self.hash_bucket_size))


def categorical_column_with_hash_bucket(
    key: str, hash_bucket_size: int, dtype: Any = dtypes.string
) -> HashedColumn:
    """Categories by their hash.

    Args:
        key: name of the raw feature.
        hash_bucket_size: how many ids there are.
        dtype: string or an integer type.

    Raises:
        ValueError: a size that is not positive, or another dtype.
    """
    if hash_bucket_size is None or hash_bucket_size < 1:
        raise ValueError(
            f"hash_bucket_size must be at least 1. hash_bucket_size: {hash_bucket_size}, key: "
            f"{key}"
        )
    return HashedColumn(key, hash_bucket_size, _category_dtype(key, dtype))


def _category_dtype(key: str, dtype: Any) -> Any:
    found = dtypes.as_dtype(dtype)
    if not found.is_integer and found.name != "string":
        raise ValueError(f"dtype must be string or integer. dtype: {found.name}, key: {key}")
    return found


@dataclasses.dataclass(frozen=True)
class IdentityColumn(_Keyed):
    """See `categorical_column_with_identity`."""

    key: str
    number_buckets: int
    default_value: int | None
    dtype: Any = dtypes.int64

    @property
    def num_buckets(self) -> int:
        """The number of ids."""
        return self.number_buckets

    def ids(self, features: dict[str, Any]) -> SparseTensor:
        """The integers; the default where they are outside, or an error."""
        raw = self._raw(features)
        values = hr.cast(raw.values, "int64")
        if self.default_value is None:
            message = (
                f"assert_less_than_num_buckets: key {self.key}, {self.num_buckets} buckets"
            )
            with hr.control_dependencies([
                hr.assert_less(values, hr.cast(self.num_buckets, "int64"), message=message),
                hr.assert_greater(values, hr.cast(-1, "int64"), message=message),
            ]):  # fmt: skip
                values = hr.identity(values)
        else:
            inside = hr.logical_and(values >= 0, values < self.num_buckets)
            values = hr.where(inside, values, hr.cast(self.default_value, "int64"))
        return _with_values(raw, values)


def categorical_column_with_identity(
    key: str, num_buckets: int, default_value: int | None = None
) -> IdentityColumn:
    """Integers that are ids themselves.

    Args:
        key: name of the raw feature.
        num_buckets: ids are from 0 to below it.
        default_value: for others; None makes them errors.

    Raises:
        ValueError: `num_buckets` is not positive, or the default is no id.
    """
    if num_buckets < 1:
        raise ValueError(f"num_buckets {num_buckets} < 1, column_name {key}")
    if default_value is not None and not 0 <= default_value < num_buckets:
        raise ValueError(
            f"default_value {default_value} not in range [0, {num_buckets}), column_name {key}"
        )
    return IdentityColumn(key, num_buckets, default_value)


@dataclasses.dataclass(frozen=True)
class VocabularyColumn(_Keyed):
    """See `categorical_column_with_vocabulary_list`."""

    key: str
    vocabulary_list: tuple[Any, ...]
    dtype: Any
    default_value: int
    num_oov_buckets: int

    @property
    def num_buckets(self) -> int:
        """The vocabulary and the buckets behind it."""
        return len(self.vocabulary_list) + self.num_oov_buckets

    def _table(self) -> StaticHashTable:
        kind = dtypes.string if self.dtype.name == "string" else dtypes.int64
        keys = hr.constant(np.array(self.vocabulary_list, dtype=object if kind is dtypes.string
                                    else np.int64), dtype=kind)  # fmt: skip
        ids = hr.range(len(self.vocabulary_list), dtype="int64")
        return StaticHashTable(KeyValueTensorInitializer(keys, ids), -1)

    def ids(self, features: dict[str, Any]) -> SparseTensor:
        """Places in the vocabulary; others by hash, or the default."""
        raw = self._raw(features)
        values = raw.values if self.dtype.name == "string" else hr.cast(raw.values, "int64")
        found = self._table().lookup(values)
        if self.num_oov_buckets:
            text = values if self.dtype.name == "string" else hr.as_string(values)
            bucket = hr.string_to_hash_bucket_fast(text, self.num_oov_buckets)
            other = bucket + len(self.vocabulary_list)
        else:
            other = hr.fill(hr.shape(found), hr.cast(self.default_value, "int64"))
        return _with_values(raw, hr.where(found < 0, other, found))


def categorical_column_with_vocabulary_list(
    key: str,
    vocabulary_list: Any,
    dtype: Any = None,
    default_value: int = -1,
    num_oov_buckets: int = 0,
) -> VocabularyColumn:
    """Categories by their place in a list.

    Args:
        key: name of the raw feature.
        vocabulary_list: strings or integers.
        dtype: of the raw feature; the list's kind if None.
        default_value: the id of others; -1 leaves them out.
        num_oov_buckets: or as many ids behind the vocabulary, chosen by hash.

    Raises:
        ValueError: an empty list, repeated entries, both kinds of default, or another dtype.
    """
    entries = list(vocabulary_list or ())
    if not entries:
        raise ValueError(
            f"vocabulary_list {vocabulary_list} must be non-empty, column_name: {key}"
        )
    if len(set(entries)) != len(entries):
        raise ValueError(f"Duplicate keys in vocabulary_list {entries}, column_name: {key}")
    _check_oov(key, default_value, num_oov_buckets)
    kind = np.asarray(entries).dtype.kind
    if kind not in "iuUSO":
        raise ValueError(f"dtype must be string or integer, column_name: {key}")
    own = dtypes.int64 if kind in "iu" else dtypes.string
    found = own if dtype is None else _category_dtype(key, dtype)
    if (found.name == "string") != (own.name == "string"):
        raise ValueError(
            f"dtype {found.name} and vocabulary dtype {own.name} do not match, "
            f"column_name: {key}"
        )
    items = tuple(int(v) if kind in "iu" else v for v in entries)
    return VocabularyColumn(key, items, found, default_value, num_oov_buckets)


def _check_oov(key: str, default_value: Any, num_oov_buckets: int) -> None:
    if num_oov_buckets < 0:
        raise ValueError(f"Invalid num_oov_buckets {num_oov_buckets} in {key}.")
    if num_oov_buckets and default_value not in (-1, None):
        raise ValueError(f"Can't specify both num_oov_buckets and default_value in {key}.")


def categorical_column_with_vocabulary_file(
    key: str,
    vocabulary_file: Any,
    vocabulary_size: int | None = None,
    dtype: Any = dtypes.string,
    default_value: int | None = None,
    num_oov_buckets: int = 0,
    file_format: Any = None,
) -> VocabularyColumn:
    """Categories by their line in a file.

    Args:
        key: name of the raw feature.
        vocabulary_file: a text file, one entry per line.
        vocabulary_size: how many lines count; all if None.
        dtype: string or an integer type.
        default_value: the id of others; -1 (None) leaves them out.
        num_oov_buckets: or as many ids behind the vocabulary, chosen by hash.
        file_format: None or ``"text"``.

    Raises:
        ValueError: no file name, a wrong size, or both kinds of default.
    """
    from ...io.file_ops import read_file

    if not vocabulary_file:
        raise ValueError(f"Missing vocabulary_file in {key}.")
    if file_format not in (None, "text"):
        raise ValueError(f"file_format must be 'text', got {file_format!r} in {key}")
    _check_oov(key, default_value, num_oov_buckets)
    text = read_file(vocabulary_file).numpy().decode()
    lines = text.split("\n")
    lines = lines[:-1] if lines and not lines[-1] else lines
    if vocabulary_size is not None and not 1 <= vocabulary_size <= len(lines):
        raise ValueError(
            f"Invalid vocabulary_size {vocabulary_size} in {key}: the file has {len(lines)} "
            "lines."
        )
    found = _category_dtype(key, dtype)
    entries = [line.rstrip("\r") for line in lines[:vocabulary_size]]
    if found.is_integer:
        entries = [int(entry) for entry in entries]  # type: ignore[misc]
    default = -1 if default_value is None else default_value
    return VocabularyColumn(key, tuple(entries), found, default, num_oov_buckets)


@dataclasses.dataclass(frozen=True)
class WeightedColumn(CategoricalColumn):
    """See `weighted_categorical_column`."""

    categorical_column: CategoricalColumn
    weight_feature_key: str
    dtype: Any

    @property
    def name(self) -> str:
        """The column's name and that of the weights."""
        return f"{self.categorical_column.name}_weighted_by_{self.weight_feature_key}"

    @property
    def parse_example_spec(self) -> dict[str, Any]:
        """The column's, and a `VarLenFeature` of weights."""
        own = {self.weight_feature_key: VarLenFeature(self.dtype)}
        return {**self.categorical_column.parse_example_spec, **own}

    @property
    def num_buckets(self) -> int:
        """The column's."""
        return self.categorical_column.num_buckets

    def ids(self, features: dict[str, Any]) -> SparseTensor:
        """The column's."""
        return self.categorical_column.ids(features)

    def weights_of(self, features: dict[str, Any]) -> SparseTensor:
        """float32 weights in the places of the ids."""
        raw = feature(features, self.weight_feature_key)
        if isinstance(raw, SparseTensor):
            return _with_values(raw, hr.cast(raw.values, "float32"))
        if hasattr(raw, "row_splits"):
            raw = raw.to_sparse()
            return _with_values(raw, hr.cast(raw.values, "float32"))
        ids = self.ids(features)
        raw = hr.expand_dims(raw, -1) if len(raw.shape) == 1 else raw
        return _with_values(ids, hr.gather_nd(hr.cast(raw, "float32"), ids.indices))


def weighted_categorical_column(
    categorical_column: CategoricalColumn, weight_feature_key: str, dtype: Any = dtypes.float32
) -> WeightedColumn:
    """Categories with a weight each.

    Args:
        categorical_column: of the ids.
        weight_feature_key: name of the raw feature of weights.
        dtype: of the weights.

    Raises:
        ValueError: the dtype holds no numbers.
    """
    found = dtypes.as_dtype(dtype)
    if not (found.is_integer or found.is_floating):
        raise ValueError(f"dtype {found.name} is not convertible to float.")
    return WeightedColumn(categorical_column, weight_feature_key, found)


@dataclasses.dataclass(frozen=True)
class CrossedColumn(CategoricalColumn):
    """See `crossed_column`."""

    keys: tuple[Any, ...]
    hash_bucket_size: int
    hash_key: int | None

    def _leaves(self) -> list[Any]:
        found: list[Any] = []
        for key in self.keys:
            found.extend(key._leaves() if isinstance(key, CrossedColumn) else [key])
        return found

    @property
    def name(self) -> str:
        """The names of what is crossed, sorted."""
        names = [k.name if isinstance(k, FeatureColumn) else k for k in self._leaves()]
        return "_X_".join(sorted(names))

    @property
    def parse_example_spec(self) -> dict[str, Any]:
        """Those of what is crossed."""
        found: dict[str, Any] = {}
        for key in self.keys:
            own = {key: VarLenFeature(dtypes.string)} if isinstance(key, str) else None
            found.update(own or key.parse_example_spec)
        return found

    @property
    def num_buckets(self) -> int:
        """The number of buckets."""
        return self.hash_bucket_size

    def ids(self, features: dict[str, Any]) -> SparseTensor:
        """The hashes of all combinations of a row's values."""
        parts = []
        for leaf in self._leaves():
            if isinstance(leaf, str):
                parts.append(_all_of(feature(features, leaf)))
            else:
                parts.append(leaf.ids(features))
        key = _HASH_KEY if self.hash_key is None else self.hash_key
        return cross_hashed(parts, self.hash_bucket_size, key)


def _all_of(x: Any) -> Any:
    """A raw feature with all its values: as in TensorFlow, crosses leave none out."""
    if isinstance(x, SparseTensor) or hasattr(x, "row_splits"):
        return as_sparse(x)
    return hr.expand_dims(x, -1) if len(x.shape) == 1 else x


def crossed_column(
    keys: Any, hash_bucket_size: int, hash_key: int | None = None
) -> CrossedColumn:
    """Combinations of categories by their hash.

    Args:
        keys: two or more: names of raw features of strings or integers, or categorical columns
            (no hashed ones: give their keys).
        hash_bucket_size: how many ids there are.
        hash_key: of the hash.

    Raises:
        ValueError: fewer than two keys, unsuitable ones, or a size that is not positive.
    """
    if not hash_bucket_size or hash_bucket_size < 1:
        raise ValueError(f"hash_bucket_size must be > 1. hash_bucket_size: {hash_bucket_size}")
    if not keys or len(keys) < 2:
        raise ValueError(f"keys must be a list with length > 1. Given: {keys}")
    for key in keys:
        if isinstance(key, HashedColumn):
            raise ValueError(
                "categorical_column_with_hash_bucket is not supported for crossing. Hashing "
                "before crossing will increase probability of collision. Instead, use the "
                f"feature name as a string. Given: {key}"
            )
        if not isinstance(key, (str, CategoricalColumn, BucketizedColumn)):
            raise ValueError(
                f"Unsupported key type. All keys must be either string, or categorical column "
                f"except HashedCategoricalColumn. Given: {key}"
            )
    return CrossedColumn(tuple(keys), hash_bucket_size, hash_key)
