"""Tables that change: MutableHashTable, DenseHashTable.

Their operations are kept in order inside a traced function.  In `Dataset.map` they run element
by element, each seeing what the ones before it did.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .convert import convert_to_tensor
from .errors import InvalidArgumentError
from .lookup_ops import (
    LookupTableExportV2,
    LookupTableFindV2,
    LookupTableInsertV2,
    LookupTableRemoveV2,
    LookupTableSizeV2,
)
from .lookup_static import LookupInterface, spread
from .lookup_store import KeyValueStore
from .tensor import Tensor

__all__ = ["DenseHashTable", "MutableHashTable"]


_PARTS = ("keys", "values")


class _MutableTable(LookupInterface):
    """What both kinds share: the values' shape is that of `default_value`."""

    def __init__(
        self,
        key_dtype: Any,
        value_dtype: Any,
        default_value: Any,
        name: str | None,
        checkpoint: bool,
        key_shape: tuple[int, ...] = (),
    ):
        super().__init__(key_dtype, value_dtype)
        self._default_value = convert_to_tensor(default_value, self._value_dtype)
        self._store = KeyValueStore(
            self._key_dtype, self._value_dtype, self._default_value.cpu()._value, key_shape
        )
        self._name = name
        self._checkpoint = checkpoint

    def size(self, name: str | None = None) -> Tensor:
        """int64 scalar: how many keys the table holds."""
        return LookupTableSizeV2(table_handle=self)

    def insert(self, keys: Any, values: Any, name: str | None = None) -> None:
        """Set the values of keys; the last of several for one key stays.

        Args:
            keys: of any shape.
            values: of the keys' shape with a value's shape behind it.
            name: ignored.

        Raises:
            InvalidArgumentError: the shapes do not fit.
            ValueError, TypeError: keys or values are of another dtype than the table's.
        """
        keys = convert_to_tensor(keys, self._key_dtype)
        values = convert_to_tensor(values, self._value_dtype)
        LookupTableInsertV2(keys, values, table_handle=self)

    def remove(self, keys: Any, name: str | None = None) -> None:
        """Forget keys; unknown ones are ignored.

        Raises:
            TypeError: the keys are of another dtype than the table's.
        """
        LookupTableRemoveV2(self._keys_of(keys), table_handle=self)

    def export(self, name: str | None = None) -> tuple[Tensor, Tensor]:
        """All keys [n, ...] and values [n, ...], in the order in which the keys came first."""
        return LookupTableExportV2(table_handle=self)

    def _lookup(self, keys: Any, default: Any) -> Any:
        return spread(
            self._keys_of(keys), lambda k: LookupTableFindV2(k, default, table_handle=self)
        )

    # -- checkpoints of objects (`io/trackable.py`) ---------------------------------------

    _saved_as = "table"

    def _checkpoint_children(self) -> tuple[()]:
        return ()

    def _checkpoint_values(self) -> dict[str, Any]:
        if not self._checkpoint:
            return {}
        name = self._saved_as
        return {
            f"{name}-keys": lambda: self.export()[0]._value,
            f"{name}-values": lambda: self.export()[1]._value,
        }

    def _restore_checkpoint(self, values: dict[str, Any], where: str) -> None:
        keys, found = (Tensor.of(values[f"{self._saved_as}-{part}"]) for part in _PARTS)
        self.remove(self.export()[0])
        self.insert(keys, found)

    def _check_keys(self, keys: Any) -> None:
        """Raise InvalidArgumentError where the table cannot hold one of the keys."""


class MutableHashTable(_MutableTable):
    """A table that keys are inserted into and removed from.

    Args:
        key_dtype: int32, int64 or string.
        value_dtype: any.
        default_value: for keys that are not there; its shape is the values' shape.
        name: a name.
        checkpoint: whether checkpoints of objects that hold the table hold its entries.
        experimental_is_anonymous: ignored.

    >>> table = MutableHashTable("string", "int64", -1)
    >>> table.insert(["a", "b"], [1, 2])
    >>> table.lookup(["b", "c"]).numpy().tolist()
    [2, -1]
    """

    def __init__(
        self,
        key_dtype: Any,
        value_dtype: Any,
        default_value: Any,
        name: str = "MutableHashTable",
        checkpoint: bool = True,
        experimental_is_anonymous: bool = False,
    ):
        super().__init__(key_dtype, value_dtype, default_value, name, checkpoint)

    def lookup(  # type: ignore[override]  # the order of arguments is TensorFlow's
        self, keys: Any, dynamic_default_values: Any = None, name: str | None = None
    ) -> Any:
        """The values of `keys`, with a value's shape behind theirs.

        Args:
            keys: dense, ragged or sparse, of any shape.
            dynamic_default_values: instead of `default_value`: one value, or one per key.
            name: ignored.

        Raises:
            TypeError: the keys are of another dtype than the table's.
            InvalidArgumentError: `dynamic_default_values` is of another shape or dtype.
        """
        default = self._default_value
        if dynamic_default_values is not None:
            known = isinstance(dynamic_default_values, Tensor)  # its dtype is checked, not made
            dtype = None if known else self._value_dtype
            default = convert_to_tensor(dynamic_default_values, dtype)
        return self._lookup(keys, default)


class DenseHashTable(_MutableTable):
    """`MutableHashTable` with two keys set apart, which TensorFlow's layout needs.

    Here both kinds are equally fast; this one keeps TensorFlow's arguments and errors.  Keys
    may be vectors of numbers.  `export` gives the keys that are there, without the empty
    buckets that TensorFlow puts between them.

    Args:
        key_dtype: int32, int64 or string.
        value_dtype: any.
        default_value: for keys that are not there; its shape is the values' shape.
        empty_key: a key that is never used; its shape is the keys' shape.
        deleted_key: another one.
        initial_num_buckets: a power of two of at least 4; only checked.
        name: a name.
        checkpoint: whether checkpoints of objects that hold the table hold its entries;
            TensorFlow's have its buckets, and the two are not exchanged.
        experimental_is_anonymous: ignored.

    Raises:
        InvalidArgumentError: both special keys are the same, or the number of buckets is no
            power of two.
    """

    _saved_as = "HEADRACE_TABLE"

    def __init__(
        self,
        key_dtype: Any,
        value_dtype: Any,
        default_value: Any,
        empty_key: Any,
        deleted_key: Any,
        initial_num_buckets: int | None = None,
        name: str = "MutableDenseHashTable",
        checkpoint: bool = True,
        experimental_is_anonymous: bool = False,
    ):
        self._empty = convert_to_tensor(empty_key, key_dtype)
        self._deleted = convert_to_tensor(deleted_key, key_dtype)
        n = initial_num_buckets
        if n is not None and (n < 4 or n & (n - 1)):
            raise InvalidArgumentError(
                f"Number of buckets must be at least 4 and a power of 2, got: {n}"
            )
        if self._empty.shape.as_list() != self._deleted.shape.as_list():
            raise InvalidArgumentError(
                f"Empty and deleted keys must have same shape, got shapes: {self._empty.shape} "
                f"and {self._deleted.shape}"
            )
        key_shape = self._empty._value.shape
        super().__init__(key_dtype, value_dtype, default_value, name, checkpoint, key_shape)
        if self._holds(self._empty.cpu()._value, self._deleted.cpu()._value):
            raise InvalidArgumentError("Empty and deleted keys cannot be equal")

    def lookup(self, keys: Any, name: str | None = None) -> Any:
        """The values of `keys`, with a value's shape behind theirs.

        Raises:
            TypeError: the keys are of another dtype than the table's.
            InvalidArgumentError: one of them is `empty_key` or `deleted_key`.
        """
        return self._lookup(keys, self._default_value)

    def insert_or_assign(self, keys: Any, values: Any, name: str | None = None) -> None:
        """`insert`."""
        self.insert(keys, values, name)

    def erase(self, keys: Any, name: str | None = None) -> None:
        """`remove`."""
        self.remove(keys, name)

    def _check_keys(self, keys: Any) -> None:
        for what, key in (("empty_key", self._empty), ("deleted_key", self._deleted)):
            if self._holds(keys, key.cpu()._value):
                raise InvalidArgumentError(f"Using the {what} as a table key is not allowed")

    def _holds(self, keys: Any, key: Any) -> bool:
        """Whether `key` is among `keys`."""
        same = np.equal(keys, key)
        axes = tuple(range(same.ndim - len(self._store.key_shape), same.ndim))
        return bool(same.all(axes).any())
