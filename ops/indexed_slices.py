"""IndexedSlices: the sparse gradient of a gather, rows with their indices."""

from __future__ import annotations

from typing import Any

from . import dtypes
from .composite import Composite, CompositeSpec
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["IndexedSlices", "IndexedSlicesSpec"]


class IndexedSlices(Composite):
    """Rows ``values[i]`` that belong at ``indices[i]`` of a larger dense tensor; rows of equal
    indices add up.

    Attributes:
        values: [count, ...].
        indices: int32 or int64 [count].
        dense_shape: shape of the dense tensor as an integer vector, or None.
    """

    __slots__ = ("dense_shape", "indices", "values")

    def __init__(self, values: Tensor, indices: Tensor, dense_shape: Any = None):
        self.values = values
        self.indices = indices
        self.dense_shape = dense_shape

    @property
    def dtype(self) -> dtypes.DType:
        """The rows' dtype."""
        return self.values.dtype

    @property
    def shape(self) -> TensorShape:
        """The dense tensor's shape as far as it is known."""
        if self.dense_shape is not None:
            dims = getattr(self.dense_shape, "_value", None)  # none while tracing
            if dims is not None:
                return TensorShape(dims.tolist())
        return TensorShape([None]).concatenate(self.values.shape[1:])

    def _components(self) -> tuple[Tensor, ...]:
        parts = (self.values, self.indices)
        return parts if self.dense_shape is None else (*parts, self.dense_shape)

    @property
    def _type_spec(self) -> IndexedSlicesSpec:
        return IndexedSlicesSpec(*(TensorSpec(t.shape, t.dtype) for t in self._components()))

    def __repr__(self) -> str:
        return (
            f"IndexedSlices(indices={self.indices!r}, values={self.values!r}, "
            f"dense_shape={self.dense_shape!r})"
        )


class IndexedSlicesSpec(CompositeSpec):
    """Specs of the parts of an `IndexedSlices`."""

    __slots__ = ("parts",)

    def __init__(self, *parts: TensorSpec):
        self.parts = parts

    def component_specs(self) -> tuple[TensorSpec, ...]:
        """Specs of values, indices and, if known, dense shape."""
        return self.parts

    def from_components(self, parts: list[Any]) -> IndexedSlices:
        """The slices made of the parts."""
        return IndexedSlices(*parts)

    def _key(self) -> tuple[Any, ...]:
        return self.parts
