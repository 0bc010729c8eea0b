"""Optional: a value that may be missing, as ``iterator.get_next_as_optional()`` gives it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import nest
from ..ops.errors import InvalidArgumentError, OutOfRangeError
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TypeSpec
from .values import Components, from_raw

__all__ = ["GetsNext", "Optional", "OptionalSpec"]


class Optional:
    """A nested value, or nothing; made by `from_value` and `empty`.

    >>> some = Optional.from_value(3)
    >>> bool(some.has_value()), int(some.get_value())
    (True, 3)
    """

    __slots__ = ("_element_spec", "_value")

    def __init__(self, element_spec: Any, *value: Any):
        self._element_spec = element_spec
        self._value = value

    @staticmethod
    def from_value(value: Any) -> Optional:
        """An optional that holds `value`, a nested structure of what converts to tensors."""
        parts = Components(value, "value")
        tensors = [from_raw(v) for v in parts.values]
        return Optional(parts.spec, nest.pack_sequence_as(parts.spec, tensors))

    @staticmethod
    def empty(element_spec: Any) -> Optional:
        """An optional of the given nested spec that holds nothing."""
        return Optional(element_spec)

    def has_value(self, name: str | None = None) -> Tensor:
        """Whether there is a value, as a scalar bool tensor."""
        return Tensor.of(np.array(bool(self._value)))

    def get_value(self, name: str | None = None) -> Any:
        """The value.

        Raises:
            InvalidArgumentError: there is none.
        """
        if not self._value:
            raise InvalidArgumentError(
                "The given optional does not have a value; ask has_value() first."
            )
        return self._value[0]

    @property
    def element_spec(self) -> Any:
        """The nested spec of the value."""
        return self._element_spec

    @property
    def _type_spec(self) -> OptionalSpec:
        return OptionalSpec(self._element_spec)

    def __repr__(self) -> str:
        return f"<Optional element_spec={self._element_spec!r}>"


class OptionalSpec(TypeSpec):
    """The spec of an `Optional`."""

    __slots__ = ("_element_spec",)

    def __init__(self, element_spec: Any):
        self._element_spec = element_spec

    @property
    def value_type(self) -> type:
        """`Optional`."""
        return Optional

    def is_compatible_with(self, value: Any) -> bool:
        """Whether `value` is an optional (or spec) of the same elements."""
        spec = getattr(value, "_element_spec", None)
        return spec is not None and spec == self._element_spec

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OptionalSpec) and self._element_spec == other._element_spec

    def __hash__(self) -> int:
        return hash((OptionalSpec, tuple(nest.flatten(self._element_spec))))

    def __repr__(self) -> str:
        return f"OptionalSpec({self._element_spec!r})"


class GetsNext:
    """The methods by which TensorFlow's iterators give their elements."""

    @property
    def element_spec(self) -> Any:
        """The nested specs of an element."""
        raise NotImplementedError

    def __next__(self) -> Any:
        raise NotImplementedError

    def get_next(self) -> Any:
        """The next element.

        Raises:
            OutOfRangeError: there is none.
        """
        try:
            return next(self)
        except StopIteration:
            raise OutOfRangeError("End of sequence") from None

    def get_next_as_optional(self) -> Optional:
        """The next element as an `Optional`, which is empty at the end."""
        try:
            return Optional(self.element_spec, next(self))
        except StopIteration:
            return Optional.empty(self.element_spec)
