"""Hashing and HashedCrossing: values, or pairs of values, as the numbers of hash buckets."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.lookup_known import CrossHashed
from ...ops.ragged_tensor import RaggedTensor
from ...ops.sparse_tensor import SparseTensor
from .. import backend
from ..engine.keras_tensor import KerasTensor
from .preprocessing_base import DataLayer, as_tensor, check_choice, encode

__all__ = ["HashedCrossing", "Hashing"]

_MODES = ("int", "one_hot", "multi_hot", "count")


class Hashing(DataLayer):
    """Strings or integers as the numbers of the buckets that a hash puts them into.

    Args:
        num_bins: how many buckets.
        mask_value: goes to bucket 0, and nothing else does.
        salt: an integer or two: a keyed hash (SipHash64) instead of FarmHash64.
        output_mode: ``"int"``, ``"one_hot"``, ``"multi_hot"`` or ``"count"``.
        sparse: give a `SparseTensor`.
        **kwargs: see `Layer`.

    >>> Hashing(3)(["a", "b", "c"]).shape
    TensorShape([3])
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        sparse: bool = False,
        **kwargs: Any,
    ):
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = "int64" if output_mode == "int" else backend.floatx()
        super().__init__(**kwargs)
        if num_bins is None or num_bins <= 0:
            raise ValueError(
                "The `num_bins` for `Hashing` cannot be `None` or non-positive values. "
                f"Received: num_bins={num_bins}."
            )
        if output_mode == "int" and self.dtype_policy.name not in ("int32", "int64"):
            raise ValueError(
                "When `output_mode=\"int\"`, `dtype` should be an integer type, 'int32' or "
                f"'int64'. Received: dtype={kwargs['dtype']}"
            )
        if output_mode not in _MODES:
            raise ValueError(
                f"Invalid value for argument `output_mode`. Expected one of {_MODES}. "
                f"Received: output_mode={output_mode}"
            )
        if sparse and output_mode == "int":
            raise ValueError(
                '`sparse` may only be true if `output_mode` is `"one_hot"`, `"multi_hot"`, or '
                f'`"count"`. Received: sparse={sparse} and output_mode={output_mode}'
            )
        self.num_bins = num_bins
        self.mask_value = mask_value
        self.output_mode = output_mode
        self.sparse = sparse
        self.salt = _two_integers(salt)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The buckets of the inputs."""
        x = as_tensor(inputs)
        if isinstance(x, RaggedTensor):
            ids = x.with_flat_values(self._bins(x.flat_values))
        elif isinstance(x, SparseTensor):
            ids = SparseTensor(x.indices, self._bins(x.values), x.dense_shape)
        else:
            ids = self._bins(x)
        return encode(ids, self.output_mode, self.num_bins, self.dtype, self.sparse)

    def _bins(self, x: Any) -> Any:
        bins, mask = self.num_bins, None
        if self.mask_value is not None and bins > 1:
            bins -= 1
            mask = hr.equal(x, hr.constant(self.mask_value, dtype=x.dtype))
        if x.dtype.is_floating:
            x = hr.cast(x, hr.int64)
        if x.dtype is not hr.string:
            x = hr.as_string(x)
        if self.salt is not None:
            found = hr.string_to_hash_bucket_strong(x, bins, self.salt)
        else:
            found = hr.string_to_hash_bucket_fast(x, bins)
        return found if mask is None else hr.where(mask, hr.zeros_like(found), found + 1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The shape of the outputs."""
        shape = tuple(input_shape)
        return shape if self.output_mode == "int" else (*shape[:-1], self.num_bins)

    def compute_output_spec(self, inputs: Any) -> Any:
        """A placeholder for the outputs."""
        return KerasTensor(self.compute_output_shape(inputs.shape), self.dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_bins": self.num_bins,
            "salt": self.salt,
            "mask_value": self.mask_value,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
        }


def _two_integers(salt: Any) -> list[int] | None:
    if salt is None:
        return None
    if isinstance(salt, (tuple, list)) and len(salt) == 2:
        return list(salt)
    if isinstance(salt, int):
        return [salt, salt]
    raise ValueError(
        "The `salt` argument for `Hashing` can only be a tuple of size 2 integers, or a single "
        f"integer. Received: salt={salt}."
    )


class HashedCrossing(DataLayer):
    """Pairs of two features' values as the numbers of the buckets a hash puts them into.

    Args:
        num_bins: how many buckets.
        output_mode: ``"int"`` or ``"one_hot"``.
        sparse: give a `SparseTensor`.
        name, dtype: see `Layer`.
        **kwargs: ignored, as in Keras.

    >>> HashedCrossing(5)((["a", "b"], [1, 2])).shape
    TensorShape([2])
    """

    def __init__(
        self,
        num_bins: int,
        output_mode: str = "int",
        sparse: bool = False,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ):
        if output_mode == "int" and dtype is None:
            dtype = "int64"
        super().__init__(name=name, dtype=dtype)
        check_choice(output_mode, ("int", "one_hot"), type(self).__name__, "output_mode")
        self.num_bins = num_bins
        self.output_mode = output_mode
        self.sparse = sparse
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The buckets of pairs.

        Args:
            inputs: two tensors of strings or integers, both ``[]``, ``[batch]`` or
                ``[batch, 1]``.
        """
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise ValueError(
                "`HashedCrossing` should be called on a list of at least two inputs. Received: "
                f"inputs={inputs}"
            )
        first, second = (_feature(x) for x in inputs)
        if first.shape.rank is not None and first.shape.rank > 2:
            raise ValueError(
                "All `HashedCrossing` inputs should have shape `()`, `(batch_size)` or "
                f"`(batch_size, 1)`. Received: inputs={inputs}"
            )
        if first.shape.rank != second.shape.rank:
            raise ValueError(
                "All `HashedCrossing` inputs should have equal shape. Received: "
                f"inputs={inputs}"
            )
        ids = CrossHashed(first, second, num_bins=self.num_bins)
        return encode(ids, self.output_mode, self.num_bins, self.dtype, self.sparse)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The shape of the outputs for the shapes of two inputs."""
        if len(input_shape) != 2 or not all(isinstance(s, (tuple, list)) for s in input_shape):
            raise ValueError(
                "Expected as input a list/tuple of 2 tensors. Received input_shape="
                f"{input_shape}"
            )
        first, second = (tuple(s) for s in input_shape)
        if first[-1:] != second[-1:]:
            raise ValueError(
                "Expected the two input tensors to have identical shapes. Received input_shape="
                f"{input_shape}"
            )
        if self.output_mode == "int":
            return first
        return (*(first[:-1] if first[-1:] == (1,) else first), self.num_bins)

    def compute_output_spec(self, inputs: Any) -> Any:
        """A placeholder for the outputs."""
        shape = self.compute_output_shape(tuple(tuple(x.shape) for x in inputs))
        return KerasTensor(shape, self.dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "num_bins": self.num_bins,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
            "name": self.name,
            "dtype": self.dtype,
        }


def _feature(value: Any) -> Any:
    x = as_tensor(value)
    if not (x.dtype.is_integer or x.dtype is hr.string):
        raise ValueError(
            "All `HashedCrossing` inputs should be of integer or string type. Received: "
            f"dtype={x.dtype.name}"
        )
    return x
