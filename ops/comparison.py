"""Comparisons, logical functions, and the bitwise ones behind Python's operators.

Comparisons give booleans and broadcast; strings compare by bytes.  None of these functions has
a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .convert import to_tensor
from .primitive import Primitive
from .shape_rules import BOOL, FLOATS, INTEGERS, binary as same_dtype, comparison, same
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = [
    "approximate_equal", "bitwise_and", "bitwise_invert", "bitwise_or", "bitwise_xor",
    "equal", "greater", "greater_equal", "left_shift", "less", "less_equal", "logical_and",
    "logical_not", "logical_or", "logical_xor", "not_equal", "right_shift",
]  # fmt: skip


def _no_gradient(op: Any, g: Any) -> Any:
    return None, None


def _comparison(
    name: str, impl: Callable[..., Any], sign: str, types: tuple[Any, ...] | None
) -> Primitive:
    return Primitive(
        name,
        "x: T, y: T",
        impl=impl,
        shape=comparison(name),
        vjp=_no_gradient,
        batch=batch_rules.elementwise,
        types={"T": types} if types else None,
        elementwise=f"a {sign} b",
    )


def equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether x == y, elementwise.

    >>> equal([1, 2, 3], 2).numpy()
    array([False,  True, False])
    """
    return Equal(x, y)


def not_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether x != y, elementwise."""
    return NotEqual(x, y)


def less(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether x < y, elementwise."""
    return Less(x, y)


def less_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether x <= y, elementwise."""
    return LessEqual(x, y)


def greater(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether x > y, elementwise."""
    return Greater(x, y)


def greater_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether x >= y, elementwise."""
    return GreaterEqual(x, y)


_ORDERED = FLOATS + INTEGERS
Equal = _comparison("Equal", np.equal, "==", None)
NotEqual = _comparison("NotEqual", np.not_equal, "!=", None)
Less = _comparison("Less", np.less, "<", _ORDERED)
LessEqual = _comparison("LessEqual", np.less_equal, "<=", _ORDERED)
Greater = _comparison("Greater", np.greater, ">", _ORDERED)
GreaterEqual = _comparison("GreaterEqual", np.greater_equal, ">=", _ORDERED)


def approximate_equal(
    x: Any, y: Any, tolerance: float = 1e-5, name: str | None = None
) -> Tensor:
    """Whether |x - y| < tolerance, elementwise; the shapes must be equal."""
    return ApproximateEqual(x, y, tolerance=float(tolerance))


def _approximate_equal_shape(x: Any, y: Any, *, tolerance: float) -> TensorSpec:
    return TensorSpec(x.shape.merge_with(y.shape), dtypes.bool)


ApproximateEqual = Primitive(
    "ApproximateEqual",
    "x: T, y: T",
    impl=lambda x, y, *, tolerance: abs(x - y) < tolerance,
    shape=_approximate_equal_shape,
    vjp=_no_gradient,
    check_first=True,
    batch=lambda ctx, x, y, **attrs: ctx.primitive.call_flat(
        batch_rules.all_batched(ctx, (x, y)), attrs
    ),
)


# -- logic ------------------------------------------------------------------------------------


def _logical(name: str, impl: Callable[..., Any], sign: str) -> Primitive:
    return Primitive(
        name,
        "x: T, y: T",
        impl=impl,
        shape=comparison(name),
        vjp=_no_gradient,
        batch=batch_rules.elementwise,
        types={"T": BOOL},
        elementwise=f"a {sign} b",
    )


def logical_and(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x and y elementwise, of booleans."""
    return LogicalAnd(x, y)


def logical_or(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x or y elementwise, of booleans."""
    return LogicalOr(x, y)


def logical_xor(x: Any, y: Any, name: str = "LogicalXor") -> Tensor:
    """Whether exactly one of x and y is true, elementwise, of booleans."""
    return LogicalAnd(LogicalOr(x, y), LogicalNot(LogicalAnd(x, y)))


def logical_not(x: Any, name: str | None = None) -> Tensor:
    """Not x elementwise, of booleans."""
    return LogicalNot(x)


LogicalAnd = _logical("LogicalAnd", np.logical_and, "and")
LogicalOr = _logical("LogicalOr", np.logical_or, "or")
LogicalNot = Primitive(
    "LogicalNot",
    "x: T",
    impl=np.logical_not,
    shape=same,
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
    types={"T": BOOL},
    elementwise="not a",
)


# -- bits -------------------------------------------------------------------------------------


def _bitwise(name: str, impl: Callable[..., Any], sign: str) -> Primitive:
    return Primitive(
        name,
        "x: T, y: T",
        impl=impl,
        shape=same_dtype(name),
        vjp=_no_gradient,
        batch=batch_rules.elementwise,
        types={"T": INTEGERS},
        elementwise=f"a {sign} b",
    )


def bitwise_and(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x & y of integers, elementwise."""
    return BitwiseAnd(x, y)


def bitwise_or(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x | y of integers, elementwise."""
    return BitwiseOr(x, y)


def bitwise_xor(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x ^ y of integers, elementwise."""
    return BitwiseXor(x, y)


def bitwise_invert(x: Any, name: str | None = None) -> Tensor:
    """~x of integers, elementwise."""
    return Invert(x)


def left_shift(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x << y of integers, elementwise; shifts are cut to [0, bits)."""
    return LeftShift(x, y)


def right_shift(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x >> y of integers, elementwise, keeping the sign; shifts are cut to [0, bits)."""
    return RightShift(x, y)


def _shift(ufunc: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y: ufunc(x, y.clip(0, 8 * y.dtype.itemsize - 1).astype(y.dtype))


BitwiseAnd = _bitwise("BitwiseAnd", np.bitwise_and, "&")
BitwiseOr = _bitwise("BitwiseOr", np.bitwise_or, "|")
BitwiseXor = _bitwise("BitwiseXor", np.bitwise_xor, "^")
LeftShift = _bitwise("LeftShift", _shift(np.left_shift), "<<")
RightShift = _bitwise("RightShift", _shift(np.right_shift), ">>")
Invert = Primitive(
    "Invert",
    "x: T",
    impl=np.invert,
    shape=same,
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
    types={"T": INTEGERS},
    elementwise="~a",
)


# -- what Python's operators call -------------------------------------------------------------


def _of_bools(x: Any, y: Any) -> bool:
    return (x if hasattr(x, "dtype") else y).dtype == dtypes.bool


def and_(x: Any, y: Any) -> Tensor:
    """x & y: logical for booleans, bitwise for integers."""
    return LogicalAnd(x, y) if _of_bools(x, y) else BitwiseAnd(x, y)


def or_(x: Any, y: Any) -> Tensor:
    """x | y: logical for booleans, bitwise for integers."""
    return LogicalOr(x, y) if _of_bools(x, y) else BitwiseOr(x, y)


def xor_(x: Any, y: Any) -> Tensor:
    """x ^ y: logical for booleans, bitwise for integers."""
    return logical_xor(x, y) if _of_bools(x, y) else BitwiseXor(x, y)


def invert(x: Any) -> Tensor:
    """~x: logical for booleans, bitwise for integers."""
    return LogicalNot(x) if x.dtype == dtypes.bool else Invert(x)


def equal_operator(x: Any, y: Any) -> Any:
    """x == y of a tensor: elementwise; False where y is None or the shapes do not broadcast."""
    if y is None:
        return False
    return _compare(Equal, x, y, False)


def not_equal_operator(x: Any, y: Any) -> Any:
    """x != y of a tensor: elementwise; True where y is None or the shapes do not broadcast."""
    if y is None:
        return True
    return _compare(NotEqual, x, y, True)


def _compare(primitive: Primitive, x: Any, y: Any, if_incompatible: bool) -> Any:
    x = to_tensor(x, None)
    y = y if isinstance(y, Tensor) else to_tensor(y, x.dtype)
    if not _broadcastable(x.shape, y.shape):
        return Tensor.of(np.array(if_incompatible))
    return primitive(x, y)


def _broadcastable(a: TensorShape, b: TensorShape) -> bool:
    x, y = a.dims, b.dims
    if x == y or x is None or y is None:
        return True
    return all(
        p == q or p == 1 or q == 1 or None in (p, q)
        for p, q in zip(reversed(x), reversed(y), strict=False)
    )
