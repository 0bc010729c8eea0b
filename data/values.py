"""User values to components and back: nested Python values, raw arrays, tensors and specs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import nest, operators  # noqa: F401  gives tensors their operators
from ..ops.composite import Composite
from ..ops.context import placing
from ..ops.convert import convert_to_tensor
from ..ops.errors import UntraceableError
from ..ops.placement import to_host
from ..ops.ragged_tensor import RaggedTensorSpec
from ..ops.sparse_tensor import SparseTensorSpec
from ..ops.string_array import StringArray
from ..ops.tensor import SymbolicTensor, Tensor
from ..ops.tensor_shape import TensorShape
from ..ops.tensor_spec import TensorSpec

__all__ = ["Components", "as_int", "batched_spec", "from_raw", "spec_of", "to_raw",
           "unbatched_spec"]  # fmt: skip


class Components:
    """A nested user value taken apart: lists have become tensors.

    Attributes:
        spec: the nested specs.
        values: raw values (or composite tensors) in flat order.
    """

    __slots__ = ("spec", "values")

    def __init__(self, value: Any, name: str = "tensors"):
        def convert(leaf: Any, _: Any = None) -> Any:
            if is_composite(leaf):
                return leaf
            try:
                return convert_to_tensor(leaf)
            except (TypeError, ValueError) as error:
                raise type(error)(
                    f"`{name}` has a component that is no tensor: {error}"
                ) from None

        tensors = nest.map_structure(convert, nest.lists_to_tensors(value, convert))
        self.spec = nest.map_structure(spec_of, tensors)
        self.values = [to_raw(leaf) for leaf in nest.flatten(tensors)]

    def nested(self) -> Any:
        """The nested value again, with tensors for lists."""
        return nest.pack_sequence_as(self.spec, [from_raw(value) for value in self.values])

    def sliced_spec(self) -> Any:
        """The spec of one slice along the first axis.

        Raises:
            ValueError: a component is a scalar.
        """
        try:
            return nest.map_structure(unbatched_spec, self.spec)
        except ValueError:
            raise ValueError("Unbatching a tensor is only supported for rank >= 1") from None


def is_composite(value: Any) -> bool:
    """Whether `value` is a component that is no plain tensor: sparse, ragged, a dataset."""
    return isinstance(value, Composite) or hasattr(value, "element_spec")


def spec_of(value: Any) -> Any:
    """The spec of one component, a tensor or composite."""
    if isinstance(value, Tensor):
        return TensorSpec(value.shape, value.dtype)
    if hasattr(value, "_type_spec"):
        return value._type_spec
    return TensorSpec(value.shape, value.dtype)


def to_raw(value: Any) -> Any:
    """The raw array of a tensor, composites as they are; on the host."""
    if isinstance(value, Tensor) and not isinstance(value, SymbolicTensor):
        raw = value._value
        return np.asarray(raw) if isinstance(raw, np.generic) else to_host(raw)
    if placing.on and isinstance(value, Composite):
        parts = value._components()
        if not any(isinstance(part, SymbolicTensor) for part in parts):
            return value._type_spec.from_components([part.cpu() for part in parts])
    return value


def from_raw(value: Any) -> Any:
    """A tensor around a raw array or scalar; other objects stay as they are."""
    if isinstance(value, (np.ndarray, StringArray)):
        return Tensor.of(value)
    if isinstance(value, np.generic):
        return Tensor.of(np.asarray(value))
    return value


def batched_spec(spec: Any, size: int | None) -> Any:
    """The spec of `size` stacked components."""
    if isinstance(spec, TensorSpec):
        return TensorSpec(TensorShape([size]).concatenate(spec.shape), spec.dtype)
    if isinstance(spec, SparseTensorSpec):
        return SparseTensorSpec(TensorShape([size]).concatenate(spec.shape), spec.dtype)
    if isinstance(spec, RaggedTensorSpec):
        shape = TensorShape([size]).concatenate(spec.shape)
        return RaggedTensorSpec(shape, spec.dtype, spec.ragged_rank + 1, spec.row_splits_dtype)
    raise TypeError(f"Elements with a component {spec!r} cannot be batched.")


def unbatched_spec(spec: Any) -> Any:
    """The spec of one slice along the first axis.

    Raises:
        ValueError: the component is a scalar.
    """
    if isinstance(spec, TensorSpec):
        if spec.shape.rank == 0:
            raise ValueError("Cannot unbatch an input with scalar components.")
        return TensorSpec(spec.shape[1:], spec.dtype)
    if isinstance(spec, SparseTensorSpec):
        if spec.shape.rank == 0:
            raise ValueError("Cannot unbatch an input with scalar components.")
        return SparseTensorSpec(spec.shape[1:], spec.dtype)
    if isinstance(spec, RaggedTensorSpec):
        if spec.ragged_rank == 0:
            return TensorSpec(spec.shape[1:], spec.dtype)
        rank = spec.ragged_rank - 1
        return RaggedTensorSpec(spec.shape[1:], spec.dtype, rank, spec.row_splits_dtype)
    raise TypeError(f"Elements with a component {spec!r} cannot be unbatched.")


def as_int(name: str, value: Any) -> int:
    """`value`, a Python, NumPy or tensor integer, as an int.

    Raises:
        TypeError: it is no integer.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return value.__index__()
    except UntraceableError:
        raise
    except (AttributeError, TypeError):
        raise TypeError(f"`{name}` must be an integer, got {value!r}") from None
