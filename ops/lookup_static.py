"""Tables that do not change once they are made: StaticHashTable, StaticVocabularyTable."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import dtypes
from .convert import convert_to_tensor, to_tensor
from .dtypes import DType, as_dtype
from .lookup_hash_ops import hashes
from .lookup_index import tags_of
from .lookup_ops import StaticTableFind
from .lookup_store import KeyValueStore
from .ragged_tensor import RaggedTensor
from .sparse_tensor import SparseTensor
from .string_array import StringArray
from .tensor import Tensor

__all__ = [
    "FastHashSpec",
    "HasherSpec",
    "IdTableWithHashBuckets",
    "LookupInterface",
    "StaticHashTable",
    "StaticVocabularyTable",
    "StrongHashSpec",
]


class LookupInterface:
    """What all tables have in common.

    Args:
        key_dtype: dtype of the keys.
        value_dtype: dtype of the values.
    """

    _store: KeyValueStore
    _name: str | None

    def __init__(self, key_dtype: Any, value_dtype: Any):
        self._key_dtype, self._value_dtype = as_dtype(key_dtype), as_dtype(value_dtype)

    @property
    def key_dtype(self) -> DType:
        """dtype of the keys."""
        return self._key_dtype

    @property
    def value_dtype(self) -> DType:
        """dtype of the values."""
        return self._value_dtype

    @property
    def name(self) -> str | None:
        """The name it was given."""
        return self._name

    @property
    def resource_handle(self) -> LookupInterface:
        """What the raw operations take as `table_handle`: the table."""
        return self

    def size(self, name: str | None = None) -> Tensor:
        """int64 scalar: how many keys the table holds."""
        raise NotImplementedError

    def lookup(self, keys: Any, name: str | None = None) -> Any:
        """The values of `keys`."""
        raise NotImplementedError

    def __getitem__(self, keys: Any) -> Any:
        return self.lookup(keys)

    def _keys_of(self, keys: Any) -> Any:
        """`keys` as a tensor (dense, ragged or sparse) of the table's key dtype."""
        if not isinstance(keys, (Tensor, RaggedTensor, SparseTensor, np.ndarray)):
            keys = to_tensor(keys, self._key_dtype)
        elif isinstance(keys, np.ndarray):
            keys = to_tensor(keys, None)
        if keys.dtype != self._key_dtype:
            raise TypeError(
                f"Dtype of argument `keys` must be {self._key_dtype!r}, received: "
                f"{keys.dtype!r}"
            )
        return keys

    def _fingerprint_parts(self) -> Any:
        """What tells this table from others, for a plan's fingerprint."""
        return self._store.export()

    def __repr__(self) -> str:
        return (
            f"<hr.lookup.{type(self).__name__} {self.key_dtype.name} -> "
            f"{self.value_dtype.name}>"
        )


def spread(keys: Any, find: Any) -> Any:
    """`find` of the values of dense, ragged or sparse `keys`, in their structure."""
    if isinstance(keys, RaggedTensor):
        return keys.with_flat_values(find(keys.flat_values))
    if isinstance(keys, SparseTensor):
        return SparseTensor(keys.indices, find(keys.values), keys.dense_shape)
    return find(keys)


class StaticHashTable(LookupInterface):
    """A table that is filled once.

    Args:
        initializer: gives keys and values, e.g. `KeyValueTensorInitializer`.
        default_value: scalar, for keys that are not there.
        name: a name.
        experimental_is_anonymous: ignored; a table lives as long as somebody refers to it.

    Raises:
        FailedPreconditionError: a key has two different values.
        InvalidArgumentError: the keys are not int32, int64 or strings.

    >>> from headrace.ops.lookup_initializers import KeyValueTensorInitializer
    >>> table = StaticHashTable(KeyValueTensorInitializer(["a", "b"], [7, 8]), -1)
    >>> table.lookup(["b", "c"]).numpy().tolist()
    [8, -1]
    """

    def __init__(
        self,
        initializer: Any,
        default_value: Any,
        name: str | None = None,
        experimental_is_anonymous: bool = False,
    ):
        super().__init__(initializer.key_dtype, initializer.value_dtype)
        self._default_value = convert_to_tensor(default_value, self._value_dtype)
        if self._default_value.shape.rank != 0:
            raise ValueError(
                f"Shapes {self._default_value.shape} and () are not compatible: "
                "default_value must be a scalar"
            )
        self._name = name or "hash_table"
        self._initializer = initializer
        self._store = KeyValueStore(
            self._key_dtype, self._value_dtype, self._default_value.cpu()._value
        )
        initializer.initialize(self)

    @property
    def default_value(self) -> Tensor:
        """The value of keys that are not there."""
        return self._default_value

    def size(self, name: str | None = None) -> Tensor:
        """int64 scalar: how many keys the table holds."""
        return to_tensor(len(self._store), dtypes.int64)

    def lookup(self, keys: Any, name: str | None = None) -> Any:
        """The values of `keys`, dense, ragged or sparse as they are; of any shape.

        Raises:
            TypeError: the keys are of another dtype than the table's.
        """
        return spread(self._keys_of(keys), lambda k: StaticTableFind(k, table_handle=self))

    def export(self, name: str | None = None) -> tuple[Tensor, Tensor]:
        """All keys [n] and values [n], in the order of the initializer."""
        keys, values = self._store.export()
        return Tensor.of(keys), Tensor.of(values)

    def _check_keys(self, keys: Any) -> None:
        pass

    def _find(self, keys: Any) -> Any:
        return self._store.find(keys)[0]


class HasherSpec(NamedTuple):
    """Which hash chooses a bucket.

    Attributes:
        hasher: "fasthash", "legacy" or "stronghash".
        key: two integers, for the last.
    """

    hasher: str
    key: Any = None


FastHashSpec = HasherSpec("fasthash")


def StrongHashSpec(key: Any) -> HasherSpec:
    """The keyed hash; `key` is a list of two integers."""
    if len(key) != 2:
        raise ValueError(f"key: {key!r} had to be a list of size 2")
    return HasherSpec("stronghash", tuple(int(k) for k in key))


class IdTableWithHashBuckets(LookupInterface):
    """A table of ids in which unknown keys get the id of a bucket that their hash chooses.

    The buckets' ids follow the table's size.  `data.experimental.table_from_dataset` makes
    these; `StaticVocabularyTable` is the public kind.

    Args:
        table: of int64 ids, or None for buckets alone.
        num_oov_buckets: how many buckets; none with 0.
        hasher_spec: which hash.
        name: a name.
        key_dtype: dtype of the keys looked up: the table's, or an integer for an int64 table.
    """

    def __init__(
        self,
        table: StaticHashTable | None,
        num_oov_buckets: int,
        hasher_spec: HasherSpec = FastHashSpec,
        name: str | None = None,
        key_dtype: Any = None,
    ):
        key_dtype = None if key_dtype is None else as_dtype(key_dtype)
        if table is not None:
            key_dtype = table.key_dtype if key_dtype is None else key_dtype
            _check_id_table(table, key_dtype)
        elif num_oov_buckets <= 0:
            raise ValueError("`oov_buckets` must be > 0 if no `table` is supplied.")
        else:
            key_dtype = dtypes.string if key_dtype is None else key_dtype
        if not (key_dtype.is_integer or key_dtype is dtypes.string):
            raise TypeError(
                f"Invalid `key_dtype`, expected integer or string, got {key_dtype!r}"
            )
        if not isinstance(hasher_spec, HasherSpec):
            raise TypeError(
                f"`hasher_spec` must be of type HasherSpec, got {type(hasher_spec)}."
            )
        super().__init__(key_dtype, dtypes.int64)
        self._table = table
        self._buckets = int(num_oov_buckets)
        self._hasher = hasher_spec
        self._name = name or (table.name if table is not None else "hash_bucket")

    def size(self, name: str | None = None) -> Tensor:
        """int64 scalar: keys and buckets together."""
        return to_tensor(self._known() + self._buckets, dtypes.int64)

    def lookup(self, keys: Any, name: str | None = None) -> Any:
        """int64 ids of `keys`, dense, ragged or sparse as they are.

        Raises:
            TypeError: the keys are of another dtype than `key_dtype`.
        """
        return spread(self._keys_of(keys), lambda k: StaticTableFind(k, table_handle=self))

    def _known(self) -> int:
        return 0 if self._table is None else len(self._table._store)

    def _fingerprint_parts(self) -> Any:
        table = self._table
        parts = None if table is None else table._fingerprint_parts()
        return parts, self._buckets, tuple(self._hasher)

    def _find(self, keys: Any) -> np.ndarray:
        if self._table is None:
            return self._bucket_of(keys.reshape(-1), None).reshape(keys.shape)
        if not isinstance(keys, StringArray):
            keys = keys.astype(np.int64)
        ids, _, tags = self._table._store.find(keys)
        if self._buckets:
            flat = ids.reshape(-1)
            # As in TensorFlow the id tells: a key whose id is the default counts as unknown.
            unknown = np.flatnonzero(flat == self._table._default_value.cpu()._value)
            if unknown.size:
                oov = self._bucket_of(keys.reshape(-1)[unknown], tags[unknown])
                flat[unknown] = oov + self._known()
        return ids

    def _bucket_of(self, keys: Any, tags: np.ndarray | None) -> np.ndarray:
        """int64 [n]: the bucket of each key of a vector."""
        if not isinstance(keys, StringArray):
            keys, tags = _decimal(keys), None
        if self._hasher.hasher != "fasthash":
            found = hashes(self._hasher.hasher, keys, self._hasher.key)
        else:  # the index has computed it for its own use
            found = (tags_of(keys) if tags is None else tags).view(np.uint64)
        return (found % np.uint64(self._buckets)).astype(np.int64)


class StaticVocabularyTable(IdTableWithHashBuckets):
    """A table of int64 ids in which unknown keys get the id of a bucket.

    Args:
        initializer: gives string or int64 keys and int64 ids; None for buckets alone.
        num_oov_buckets: how many buckets there are for other keys.  Their ids follow the
            table's size; the key's Fingerprint64 chooses, as in TensorFlow.
        lookup_key_dtype: dtype of the keys looked up, if it is another integer than int64.
        name: a name.
        experimental_is_anonymous: ignored.

    Raises:
        ValueError: `num_oov_buckets` is not positive.
        TypeError: keys are not int64 or strings, or ids not int64.
    """

    def __init__(
        self,
        initializer: Any,
        num_oov_buckets: int,
        lookup_key_dtype: Any = None,
        name: str | None = None,
        experimental_is_anonymous: bool = False,
    ):
        if num_oov_buckets <= 0:
            raise ValueError("`num_oov_buckets` must be > 0; use StaticHashTable.")
        if initializer is None:
            super().__init__(None, num_oov_buckets, name=name)
            return
        wanted = (
            initializer.key_dtype if lookup_key_dtype is None else as_dtype(lookup_key_dtype)
        )
        _check_id_table(initializer, wanted)
        table = StaticHashTable(initializer, -1, name)
        super().__init__(table, num_oov_buckets, name=name, key_dtype=wanted)


def _check_id_table(table: Any, lookup_dtype: DType) -> None:
    """Raise TypeError unless `table` (or an initializer) can serve keys of `lookup_dtype`."""
    if not (lookup_dtype.is_integer or lookup_dtype is dtypes.string):
        raise TypeError(
            f"Invalid `key_dtype`, expected integer or string, got {lookup_dtype!r}"
        )
    if table.key_dtype not in (dtypes.int64, dtypes.string):
        raise TypeError(
            f"Invalid `key_dtype`, expected one of int64, string, but got {table.key_dtype!r}."
        )
    if table.key_dtype.is_integer != lookup_dtype.is_integer:
        kind = "integer" if lookup_dtype.is_integer else "non-integer"
        raise TypeError(f"Invalid `key_dtype`, expected {kind} but got {table.key_dtype!r}.")
    if table.value_dtype is not dtypes.int64:
        raise TypeError(
            f"Invalid `value_dtype`, expected {dtypes.int64!r} but got {table.value_dtype!r}."
        )


def _decimal(numbers: np.ndarray) -> StringArray:
    """Integers as the text that their hashes are taken of."""
    import pyarrow as pa

    return StringArray.from_arrow(pa.array(numbers).cast(pa.large_string()))
