"""What fills a static lookup table: an initializer gives it keys and values."""

from __future__ import annotations

from typing import Any

from .convert import convert_to_tensor
from .dtypes import DType, as_dtype
from .tensor import is_symbolic

__all__ = ["KeyValueTensorInitializer", "TableInitializerBase"]


class TableInitializerBase:
    """Base of initializers: dtypes, and `_arrays`, which gives raw keys and values.

    Args:
        key_dtype: dtype of the keys.
        value_dtype: dtype of the values.
    """

    def __init__(self, key_dtype: Any, value_dtype: Any):
        self._key_dtype, self._value_dtype = as_dtype(key_dtype), as_dtype(value_dtype)

    @property
    def key_dtype(self) -> DType:
        """dtype of the table's keys."""
        return self._key_dtype

    @property
    def value_dtype(self) -> DType:
        """dtype of the table's values."""
        return self._value_dtype

    def _arrays(self) -> tuple[Any, Any]:
        """Keys and values as raw arrays of one shape."""
        raise NotImplementedError

    def initialize(self, table: Any) -> None:
        """Fill `table`.

        Raises:
            TypeError: its dtypes are not the initializer's.
            FailedPreconditionError: a key has two different values.
        """
        for what, have, want in (
            ("key", self.key_dtype, table.key_dtype),
            ("value", self.value_dtype, table.value_dtype),
        ):
            if have != want:
                raise TypeError(
                    f"Invalid {what} dtype for table, expected {want!r} but got {have!r}."
                )
        table._store.insert(*self._arrays(), unique=True)


class KeyValueTensorInitializer(TableInitializerBase):
    """Fills a table from two tensors.

    Args:
        keys: int32, int64 or strings, of any shape.
        values: one for each key.
        key_dtype: dtype of `keys` given as Python values.
        value_dtype: dtype of `values` given as Python values.
        name: ignored.

    >>> init = KeyValueTensorInitializer(["a", "b"], [7, 8])
    >>> init.value_dtype.name
    'int32'
    """

    def __init__(
        self,
        keys: Any,
        values: Any,
        key_dtype: Any = None,
        value_dtype: Any = None,
        name: str | None = None,
    ):
        self._keys = convert_to_tensor(keys, key_dtype)
        self._values = convert_to_tensor(values, value_dtype)
        if is_symbolic(self._keys) or is_symbolic(self._values):
            raise TypeError(
                "a table's keys and values must be known when it is made: make the table "
                "outside of the traced function and look keys up inside"
            )
        super().__init__(self._keys.dtype, self._values.dtype)

    def _arrays(self) -> tuple[Any, Any]:
        return self._keys.cpu()._value, self._values.cpu()._value
