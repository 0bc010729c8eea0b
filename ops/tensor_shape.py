"""TensorShape: a possibly partly known shape, with TensorFlow's algebra."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["TensorShape", "as_shape"]


class TensorShape:
    """The shape of a tensor: unknown rank (``TensorShape(None)``), or a list of sizes in which
    ``None`` stands for an unknown one.

    >>> TensorShape([None, 3]).concatenate([2])
    TensorShape([None, 3, 2])
    """

    __slots__ = ("_dims",)
    _dims: tuple[int | None, ...] | None

    def __init__(self, dims: Any = None):
        if dims is None:
            self._dims = None
        elif isinstance(dims, TensorShape):
            self._dims = dims._dims
        elif isinstance(dims, Iterable):
            self._dims = tuple(_dimension(d) for d in dims)
        else:
            self._dims = (_dimension(dims),)

    @classmethod
    def of(cls, dims: tuple[int | None, ...] | None) -> TensorShape:
        """The shape of sizes already known to be clean; skips all checks."""
        shape = cls.__new__(cls)
        shape._dims = dims
        return shape

    @property
    def rank(self) -> int | None:
        """Number of axes, or None if unknown."""
        return None if self._dims is None else len(self._dims)

    ndims = rank

    @property
    def dims(self) -> tuple[int | None, ...] | None:
        """Sizes as a tuple, or None where the rank is unknown."""
        return self._dims

    def as_list(self) -> list[int | None]:
        """Sizes as a list.

        Raises:
            ValueError: the rank is unknown.
        """
        if self._dims is None:
            raise ValueError("as_list() is not defined on an unknown TensorShape.")
        return list(self._dims)

    def is_fully_defined(self) -> bool:
        """Whether rank and all sizes are known."""
        return self._dims is not None and None not in self._dims

    def num_elements(self) -> int | None:
        """Product of the sizes, or None if any is unknown."""
        if not self.is_fully_defined():
            return None
        n = 1
        for d in self._dims or ():
            n *= d  # type: ignore[operator]
        return n

    def is_compatible_with(self, other: Any) -> bool:
        """Whether some shape satisfies both."""
        other = as_shape(other)
        if self._dims is None or other._dims is None:
            return True
        return len(self._dims) == len(other._dims) and all(
            a is None or b is None or a == b
            for a, b in zip(self._dims, other._dims, strict=True)
        )

    def is_subtype_of(self, other: Any) -> bool:
        """Whether every shape this one stands for is also one of `other`'s."""
        other = as_shape(other)
        if other._dims is None:
            return True
        return (
            self._dims is not None
            and len(self._dims) == len(other._dims)
            and all(b is None or a == b for a, b in zip(self._dims, other._dims, strict=True))
        )

    def most_general(self, other: Any) -> TensorShape:
        """The narrowest shape that both this and `other` are instances of."""
        other = as_shape(other)
        if self._dims is None or other._dims is None or len(self._dims) != len(other._dims):
            return TensorShape.of(None)
        return TensorShape.of(
            tuple(a if a == b else None for a, b in zip(self._dims, other._dims, strict=True))
        )

    most_specific_compatible_shape = most_general

    def merge_with(self, other: Any) -> TensorShape:
        """The shape that holds what either knows.

        Raises:
            ValueError: they contradict each other.
        """
        other = as_shape(other)
        if self._dims is None:
            return other
        if other._dims is None:
            return self
        if not self.is_compatible_with(other):
            raise ValueError(f"Shapes {self} and {other} are not compatible")
        return TensorShape.of(
            tuple(b if a is None else a for a, b in zip(self._dims, other._dims, strict=True))
        )

    def assert_is_compatible_with(self, other: Any) -> None:
        """Raise ValueError unless the shapes are compatible."""
        if not self.is_compatible_with(other):
            raise ValueError(f"Shapes {self} and {as_shape(other)} are incompatible")

    def assert_is_fully_defined(self) -> None:
        """Raise ValueError unless all sizes are known."""
        if not self.is_fully_defined():
            raise ValueError(f"Shape {self} is not fully defined")

    def with_rank(self, rank: int) -> TensorShape:
        """This shape, known to have `rank` axes.

        Raises:
            ValueError: it has another rank.
        """
        try:
            return self.merge_with(TensorShape.of((None,) * rank))
        except ValueError:
            raise ValueError(f"Shape {self} must have rank {rank}") from None

    def concatenate(self, other: Any) -> TensorShape:
        """The shape with `other`'s axes appended."""
        other = as_shape(other)
        if self._dims is None or other._dims is None:
            return TensorShape.of(None)
        return TensorShape.of(self._dims + other._dims)

    def __add__(self, other: Any) -> TensorShape:
        return self.concatenate(other)

    def __radd__(self, other: Any) -> TensorShape:
        return as_shape(other).concatenate(self)

    def __len__(self) -> int:
        if self._dims is None:
            raise ValueError("Cannot take the length of shape with unknown rank.")
        return len(self._dims)

    def __bool__(self) -> bool:
        return self._dims is not None

    def __iter__(self) -> Iterator[int | None]:
        if self._dims is None:
            raise ValueError("Cannot iterate over a shape with unknown rank.")
        return iter(self._dims)

    def __getitem__(self, key: Any) -> Any:
        if self._dims is None:
            if isinstance(key, slice):
                return TensorShape.of(None)
            return None
        part = self._dims[key]
        return TensorShape.of(part) if isinstance(key, slice) else part

    def __eq__(self, other: object) -> bool:
        try:
            return self._dims == as_shape(other)._dims
        except (TypeError, ValueError):
            return NotImplemented

    def __hash__(self) -> int:
        return hash(self._dims)

    def __repr__(self) -> str:
        return f"TensorShape({'None' if self._dims is None else list(self._dims)})"

    def __str__(self) -> str:
        if self._dims is None:
            return "<unknown>"
        if len(self._dims) == 1:
            return f"({self._dims[0]},)"
        return f"({', '.join(str(d) for d in self._dims)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return TensorShape, (self._dims,)


def _dimension(d: Any) -> int | None:
    if d is None:
        return None
    try:
        size = d.__index__()
    except AttributeError:
        raise TypeError(f"Dimension value must be integer or None, got {d!r}") from None
    if size < 0:
        raise ValueError(f"Dimension {size} must be >= 0")
    return int(size)


def as_shape(value: Any) -> TensorShape:
    """`value` as a `TensorShape`; returns it unchanged if it is one."""
    return value if type(value) is TensorShape else TensorShape(value)
