"""Division of two tensors in all its roundings, and the remainders.

As in TensorFlow, division by zero gives infinities and NaN of floats, an error of integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast, sum_to
from .array_module import array_module
from .binary_primitives import ORDERED, binary_primitive, no_gradient
from .convert import to_tensor
from .cuda.recording import unseen
from .elementwise import Neg, conj_of
from .errors import InvalidArgumentError
from .shape_rules import COMPLEX, FLOATS
from .tensor import Tensor

__all__ = [
    "divide", "divide_no_nan", "floordiv", "floormod", "mod", "realdiv", "truediv",
    "truncatediv", "truncatemod", "xdivy",
]  # fmt: skip


_TRUEDIV_DTYPE = {
    dtypes.int8: dtypes.float32,
    dtypes.uint8: dtypes.float32,
    dtypes.int16: dtypes.float32,
    dtypes.uint16: dtypes.float32,
    dtypes.int32: dtypes.float64,
    dtypes.int64: dtypes.float64,
    dtypes.uint32: dtypes.float64,
    dtypes.uint64: dtypes.float64,
}


def truediv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise as Python 3 has it: integers are converted first, those of 8 and 16
    bits to float32, the others to float64.

    Raises:
        TypeError: the dtypes differ.
    """
    x, y = _pair(x, y)
    if x.dtype is not y.dtype:
        raise TypeError(
            f"`x` and `y` must have the same dtype, got {x.dtype!r} != {y.dtype!r}."
        )
    if x.dtype.is_integer:
        to = _TRUEDIV_DTYPE[x.dtype]
        x, y = cast(x, to), cast(y, to)
    return RealDiv(x, y)


def _pair(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors; a tensor's dtype is offered to the other if that is no tensor."""
    if not isinstance(x, Tensor):
        have = (
            getattr(y, "dtype", None)
            if isinstance(y, Tensor) or hasattr(y, "_is_headrace_value")
            else None
        )
        x = _offered(x, have)
    return x, y if isinstance(y, Tensor) else _offered(y, x.dtype)


def _offered(value: Any, dtype: Any) -> Tensor:
    try:
        return to_tensor(value, dtype)
    except (TypeError, ValueError):
        return to_tensor(value, None)


def divide(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise; see `truediv`."""
    return truediv(x, y)


def realdiv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise of floats."""
    return RealDiv(x, y)


def _div_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    y = conj_of(y)
    gx = RealDiv(g, y)
    return sum_to(gx, x), sum_to(Neg(gx * conj_of(op.outputs[0])), y)


RealDiv = binary_primitive("RealDiv", np.true_divide, "a / b", _div_vjp, FLOATS + COMPLEX)


def _truncate_div_impl(x: Any, y: Any) -> Any:
    xp = array_module(x)
    if x.dtype.kind not in "iu":
        return xp.true_divide(x, y)
    _check_divisor(y)
    return xp.floor_divide(x - xp.fmod(x, y), y)


def _check_divisor(y: Any) -> None:
    if not unseen(y) and not y.all():
        raise InvalidArgumentError("Integer division by zero")


Div = binary_primitive("Div", _truncate_div_impl, None, _div_vjp)


def truncatediv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y of integers elementwise, rounded towards zero.

    Raises:
        InvalidArgumentError: a divisor is 0.
    """
    return TruncateDiv(x, y)


TruncateDiv = binary_primitive("TruncateDiv", _truncate_div_impl, None, no_gradient)


def truncatemod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The remainder of `truncatediv`: it has the sign of x."""
    return TruncateMod(x, y)


def _truncate_mod_impl(x: Any, y: Any) -> Any:
    if y.dtype.kind in "iu":
        _check_divisor(y)
    return array_module(x).fmod(x, y)


TruncateMod = binary_primitive("TruncateMod", _truncate_mod_impl, None, no_gradient, ORDERED)


def floordiv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise, rounded down.

    Raises:
        InvalidArgumentError: a divisor is the integer 0.
    """
    return FloorDiv(x, y)


def _floor_div_impl(x: Any, y: Any) -> Any:
    xp = array_module(x)
    if y.dtype.kind in "iu":
        _check_divisor(y)
        return xp.floor_divide(x, y)
    # floor(x / y) and not NumPy's floor_divide, which corrects the quotient's rounding.
    return xp.floor(xp.true_divide(x, y))


FloorDiv = binary_primitive("FloorDiv", _floor_div_impl, None, no_gradient, ORDERED)


def floormod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The remainder of `floordiv`: it has the sign of y, as Python's %.

    Raises:
        InvalidArgumentError: a divisor is the integer 0.
    """
    return FloorMod(x, y)


def mod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The remainder of `floordiv`; the same as `floormod`."""
    return FloorMod(x, y)


def _floor_mod_impl(x: Any, y: Any) -> Any:
    if y.dtype.kind in "iu":
        _check_divisor(y)
    return array_module(x).remainder(x, y)


def _floor_mod_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g, x), sum_to(g * Neg(FloorDiv(x, y)), y)


FloorMod = binary_primitive("FloorMod", _floor_mod_impl, None, _floor_mod_vjp, ORDERED)


def divide_no_nan(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise, and 0 wherever y is 0; integers are converted as in `truediv`."""
    x, y = _pair(x, y)
    if x.dtype.is_integer and x.dtype is y.dtype:
        to = _TRUEDIV_DTYPE[x.dtype]
        x, y = cast(x, to), cast(y, to)
    return DivNoNan(x, y)


def _div_no_nan_impl(x: Any, y: Any) -> Any:
    xp = array_module(x)
    return xp.where(y == 0, y.dtype.type(0), xp.true_divide(x, y))


def _div_no_nan_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    y_ = conj_of(y)
    gx = DivNoNan(g, y_)
    return sum_to(gx, x), sum_to(Neg(gx * conj_of(op.outputs[0])), y)


DivNoNan = binary_primitive(
    "DivNoNan", _div_no_nan_impl, "where(b == 0, 0, a / b)", _div_no_nan_vjp, FLOATS + COMPLEX
)


def xdivy(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise, and 0 wherever x is 0."""
    return Xdivy(x, y)


def zero_at_zero(x: Any, value: Any) -> Any:
    """`value`, and 0 where `x` is 0."""
    return array_module(x).where(x == 0, x.dtype.type(0), value)


def _xdivy_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    some = nonzero(x)
    return sum_to(g * Xdivy(some, y), x), sum_to(g * Xdivy(Neg(x), y * y), y)


def nonzero(x: Any) -> Any:
    """1 where x is not 0, else 0, in x's dtype."""
    return cast(cast(x, dtypes.bool), x.dtype)


Xdivy = binary_primitive(
    "Xdivy",
    lambda x, y: zero_at_zero(x, x / y),
    "where(a == 0, 0, a / b)",
    _xdivy_vjp,
    FLOATS + COMPLEX,
)
