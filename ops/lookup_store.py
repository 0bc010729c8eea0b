"""KeyValueStore: what a lookup table holds: keys with a row each, values by row, a default."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from . import dtypes
from .dtypes import DType
from .errors import FailedPreconditionError, InvalidArgumentError
from .lookup_index import KeyIndex, grown, put
from .string_array import StringArray

__all__ = ["KeyValueStore"]

_KEYS = (dtypes.int32, dtypes.int64, dtypes.string)


class KeyValueStore:
    """Keys and values as raw arrays.

    Args:
        key_dtype: int32, int64 or string.
        value_dtype: of the values.
        default: raw array of the shape of one value, for keys that are not there.
        key_shape: shape of one key; a vector of numbers is kept as its bytes.

    Raises:
        InvalidArgumentError: no table has keys of this kind.

    Reading and changing it at once is safe: both take the store's lock.
    """

    def __init__(
        self,
        key_dtype: DType,
        value_dtype: DType,
        default: Any,
        key_shape: tuple[int, ...] = (),
    ):
        if key_dtype not in _KEYS or (key_shape and key_dtype is dtypes.string):
            raise InvalidArgumentError(
                "table keys must be int32, int64 or string (vectors: int32 or int64), got "
                f"key_dtype {key_dtype.name} and keys of shape {list(key_shape)}"
            )
        self.key_dtype, self.value_dtype = key_dtype, value_dtype
        self.key_shape = key_shape
        self.value_shape = tuple(default.shape)
        self._default = default
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            self._index = KeyIndex(self.key_dtype is dtypes.string or bool(self.key_shape))
            # Row 0 is the default, so that taking rows + 1 serves known and unknown keys.
            self._values = grown(self._default[None], 1)
            if isinstance(self._values, StringArray):
                self._values = self._values.compact()

    def __len__(self) -> int:
        return len(self._index)

    # -- keys and values as given ---------------------------------------------------------

    def _vector(self, keys: Any) -> tuple[Any, tuple[int, ...]]:
        """The keys as the index takes them, and the shape that their values stand in."""
        if not self.key_shape:
            return keys.reshape(-1), keys.shape
        width = len(self.key_shape)
        shape = keys.shape[: keys.ndim - width]
        if keys.shape[len(shape) :] != self.key_shape:
            raise InvalidArgumentError(
                f"Expected key shape {list(self.key_shape)} got {list(keys.shape)}"
            )
        data = np.ascontiguousarray(keys).reshape(-1).view(np.uint8)
        size = int(np.prod(self.key_shape)) * self.key_dtype.size
        starts = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.int64) * size
        return StringArray(data, starts, starts + size), shape

    def _column(self, shape: tuple[int, ...], values: Any) -> Any:
        """The values with one axis instead of the keys'."""
        want = (*shape, *self.value_shape)
        if values.shape != want:
            raise InvalidArgumentError(
                f"Expected shape {_shown(want)} for value, got {_shown(values.shape)}"
            )
        return values.reshape((int(np.prod(shape, dtype=np.int64)), *self.value_shape))

    # -- operations -----------------------------------------------------------------------

    def find(self, keys: Any) -> tuple[Any, np.ndarray, np.ndarray]:
        """Values of the keys (of any shape), and flat: place (0 for unknown), tag of each."""
        vector, shape = self._vector(keys)
        with self.lock:
            places, tags = self._index.find_tagged(vector)
            places += 1
            found = _take(self._values, places)
        return found.reshape((*shape, *self.value_shape)), places, tags

    def find_or(self, keys: Any, default: Any) -> Any:
        """Values of the keys; `default` is one value, or one for each key.

        Raises:
            InvalidArgumentError: it is neither.
        """
        found, places, _ = self.find(keys)
        if default is self._default:
            return found
        if tuple(default.shape) not in (self.value_shape, found.shape):
            raise InvalidArgumentError(
                f"Expected shape {_shown(self.value_shape)} or {_shown(found.shape)} for "
                f"default value, got {_shown(default.shape)}"
            )
        missing = places == 0
        if not missing.any():
            return found
        if default.shape != found.shape:
            default = default[None][np.zeros(len(places), np.int64)]
        default = default.reshape((len(places), *self.value_shape))
        flat = found.reshape((len(places), *self.value_shape))
        if isinstance(flat, StringArray):
            where = np.flatnonzero(missing)
            order = np.arange(len(places))
            order[where] = len(places) + np.arange(where.size)
            flat = StringArray.concatenate([flat, default[where]])[order]
        else:
            flat[missing] = default[missing]
        return flat.reshape(found.shape)

    def insert(self, keys: Any, values: Any, unique: bool = False) -> None:
        """Set the values of keys; the last of several for one key stays.

        Args:
            keys: raw array of any shape.
            values: raw array of that shape with a value's shape behind it.
            unique: a key may have one value only.

        Raises:
            InvalidArgumentError: the shapes do not fit.
            FailedPreconditionError: a key has two values, and `unique` is set.
        """
        vector, shape = self._vector(keys)
        column = self._column(shape, values)
        with self.lock:
            if self._index.removed > max(len(self._index), 64):
                kept = self._index.compact()
                self._values = _take(self._values, np.concatenate([[0], kept + 1]))
                if isinstance(self._values, StringArray):
                    self._values = self._values.compact()
            rows = self._index.add(vector)
            if unique and len(self._index) < len(rows):
                self._check_unique(vector, rows, column)
            self._values = grown(self._values, self._index.count + 1)
            self._values = put(self._values, rows + 1, column)

    def _check_unique(self, keys: Any, rows: np.ndarray, values: Any) -> None:
        _, first, which = np.unique(rows, return_index=True, return_inverse=True)
        bad = np.flatnonzero(np.not_equal(values, values[first[which]]).reshape(-1))
        if bad.size:
            k = int(bad[0])
            old = int(first[which[k]])
            raise FailedPreconditionError(
                f"HashTable has different value for same key. Key {_text(keys[k])} has "
                f"{_text(values[old])} and trying to add value {_text(values[k])} (entries "
                f"{old} and {k}); give each key once"
            )

    def remove(self, keys: Any) -> None:
        """Forget keys; unknown ones are ignored."""
        vector, _ = self._vector(keys)
        with self.lock:
            self._index.remove(vector)

    def export(self) -> tuple[Any, Any]:
        """All keys and their values, in the order in which the keys came first."""
        with self.lock:
            rows = np.flatnonzero(self._index.alive[: self._index.count])
            keys, values = self._index.keys[rows], _take(self._values, rows + 1)
        if self.key_shape:
            data = keys.compact().data.view(self.key_dtype.np_dtype)
            return data.reshape((len(rows), *self.key_shape)), values
        if not isinstance(keys, StringArray):
            return keys.astype(self.key_dtype.np_dtype), values
        return keys.compact(), values


def _take(column: Any, rows: np.ndarray) -> Any:
    if isinstance(column, StringArray):
        return column[rows]
    return np.take(column, rows, axis=0)


def _shown(shape: Any) -> str:
    return "[" + ",".join(str(n) for n in shape) + "]"


def _text(value: Any) -> str:
    found = value.item()
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
