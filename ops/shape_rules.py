"""Shape rules that many primitives share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import dtypes
from .dtypes import DType
from .errors import InvalidArgumentError
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = [
    "BOOL",
    "FLOATS",
    "INTEGERS",
    "NUMERIC",
    "axes_of",
    "axis_of",
    "binary",
    "broadcast",
    "comparison",
    "same",
]

FLOATS = (dtypes.bfloat16, dtypes.float16, dtypes.float32, dtypes.float64)
COMPLEX = (dtypes.complex64, dtypes.complex128)
INTEGERS = (
    dtypes.int8,
    dtypes.int16,
    dtypes.int32,
    dtypes.int64,
    dtypes.uint8,
    dtypes.uint16,
    dtypes.uint32,
    dtypes.uint64,
)
NUMERIC = FLOATS + INTEGERS + COMPLEX
BOOL = (dtypes.bool,)


def broadcast(a: TensorShape, b: TensorShape, name: str) -> TensorShape:
    """The shape of `a` and `b` broadcast against each other.

    Raises:
        InvalidArgumentError: they do not fit; the text is TensorFlow's.
    """
    x, y = a.dims, b.dims
    if x is None or y is None:
        return TensorShape.of(None)
    if x == y:
        return a
    out: list[int | None] = []
    rank = max(len(x), len(y))
    x = (1,) * (rank - len(x)) + x
    y = (1,) * (rank - len(y)) + y
    for p, q in zip(x, y, strict=True):
        if p == 1:
            out.append(q)
        elif q == 1 or p == q:
            out.append(p)
        elif p is None or q is None:
            out.append(p if q is None else q)
        else:
            raise InvalidArgumentError(
                f"Incompatible shapes: {_bracket(a)} vs. {_bracket(b)} [Op:{name}]", op=name
            )
    return TensorShape.of(tuple(out))


def _bracket(shape: TensorShape) -> str:
    return "[" + ",".join("?" if d is None else str(d) for d in shape.dims or ()) + "]"


def same(x: Any, *others: Any, **attrs: Any) -> TensorSpec:
    """Shape and dtype of the (first) input."""
    return TensorSpec(x.shape, x.dtype)


def binary(name: str, dtype: DType | None = None) -> Callable[..., TensorSpec]:
    """The rule of an elementwise function of two inputs."""

    def shape(x: Any, y: Any) -> TensorSpec:
        return TensorSpec(broadcast(x.shape, y.shape, name), dtype or x.dtype)

    return shape


def comparison(name: str) -> Callable[..., TensorSpec]:
    """The rule of an elementwise function of two inputs that gives booleans."""
    return binary(name, dtypes.bool)


def to_dtype(dtype: DType) -> Callable[..., TensorSpec]:
    """The rule of an elementwise function of one input that gives `dtype`."""

    def shape(x: Any, **attrs: Any) -> TensorSpec:
        return TensorSpec(x.shape, dtype)

    return shape


def axis_of(axis: int, rank: int, name: str, what: str = "axis") -> int:
    """`axis` counted from the front.

    Raises:
        InvalidArgumentError: it is not in [-rank, rank).
    """
    if not -rank <= axis < rank:
        raise InvalidArgumentError(
            f"{name}: {what} must be in the range [{-rank}, {rank}), got {axis} [Op:{name}]",
            op=name,
        )
    return axis + rank if axis < 0 else axis


def axes_of(axis: Any, rank: int, name: str) -> tuple[int, ...]:
    """Reduction axes, sorted and counted from the front; all where `axis` is None."""
    if axis is None:
        return tuple(range(rank))
    items = (axis,) if isinstance(axis, int) else tuple(axis)
    found = [axis_of(int(a), rank, name, "reduction axis") for a in items]
    if len(set(found)) != len(found):
        raise InvalidArgumentError(
            f"Invalid reduction arguments: Axes contains duplicate dimension: {items} "
            f"[Op:{name}]",
            op=name,
        )
    return tuple(sorted(found))
