"""TensorSpec: shape, dtype and name of a tensor that is not there yet."""

from __future__ import annotations

from typing import Any

from . import dtypes
from .tensor_shape import as_shape

__all__ = ["TensorSpec", "TypeSpec"]


class TypeSpec:
    """Base of the specifications: what a value looks like without the value.

    Subclasses are immutable, hashable and comparable.
    """

    __slots__ = ()

    def is_compatible_with(self, value: Any) -> bool:
        """Whether `value` (a value or a spec) could be described by this spec."""
        raise NotImplementedError

    def most_specific_common_supertype(self, others: Any) -> TypeSpec | None:
        """The narrowest spec that describes this and all `others`, or None."""
        raise NotImplementedError


class TensorSpec(TypeSpec):
    """Shape and dtype (and optionally name) of a dense or string tensor.

    >>> TensorSpec([None, 3], "int32")
    TensorSpec(shape=(None, 3), dtype=hr.int32, name=None)
    """

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, shape: Any = None, dtype: Any = dtypes.float32, name: str | None = None):
        self.shape = as_shape(shape)
        self.dtype = dtypes.as_dtype(dtype)
        self.name = name

    @property
    def ndim(self) -> int | None:
        """Number of axes, or None if unknown."""
        return self.shape.rank

    @classmethod
    def from_tensor(cls, tensor: Any, name: str | None = None) -> TensorSpec:
        """The spec of `tensor`."""
        return cls(tensor.shape, tensor.dtype, name or getattr(tensor, "name", None))

    @classmethod
    def from_spec(cls, spec: TensorSpec, name: str | None = None) -> TensorSpec:
        """A copy of `spec` under another name."""
        return cls(spec.shape, spec.dtype, name or spec.name)

    def is_compatible_with(self, value: Any) -> bool:
        """Whether a tensor or spec has this dtype and a compatible shape."""
        return (
            hasattr(value, "dtype")
            and dtypes.as_dtype(value.dtype) is self.dtype
            and self.shape.is_compatible_with(value.shape)
        )

    def is_subtype_of(self, other: Any) -> bool:
        """Whether everything this spec describes is also described by `other`."""
        return (
            isinstance(other, TensorSpec)
            and self.dtype is other.dtype
            and self.shape.is_subtype_of(other.shape)
        )

    def most_specific_common_supertype(self, others: Any) -> TensorSpec | None:
        """The narrowest spec that describes this and all `others`, or None."""
        shape = self.shape
        for other in others:
            if not isinstance(other, TensorSpec) or other.dtype is not self.dtype:
                return None
            shape = shape.most_general(other.shape)
        return TensorSpec(shape, self.dtype, self.name)

    def most_specific_compatible_type(self, other: TensorSpec) -> TensorSpec:
        """The narrowest spec that describes both.

        Raises:
            ValueError: the dtypes differ.
        """
        merged = self.most_specific_common_supertype([other])
        if merged is None:
            raise ValueError(f"No TensorSpec is compatible with both {self} and {other}")
        return merged

    def with_shape(self, shape: Any) -> TensorSpec:
        """This spec with another shape."""
        return TensorSpec(shape, self.dtype, self.name)

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is TensorSpec
            and self.dtype is other.dtype
            and self.shape == other.shape
            and self.name == other.name
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))

    def __repr__(self) -> str:
        return f"TensorSpec(shape={self.shape}, dtype={self.dtype!r}, name={self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return TensorSpec, (self.shape, self.dtype, self.name)
