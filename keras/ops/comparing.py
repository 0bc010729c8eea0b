"""Comparisons, logic and bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import api as hr
from .op import operations
from .values import as_tensor, dtype_name, promoted

op = operations("numpy")


def _binary(name: str, function: Callable[..., Any], text: str) -> Any:
    def compute(x1: Any, x2: Any) -> Any:
        return function(*promoted(x1, x2))

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = text
    return op(tensors=2)(compute)


def _ordered(function: Callable[..., Any]) -> Any:
    """A comparison of booleans is one of 0 and 1."""

    def compute(x1: Any, x2: Any) -> Any:
        if dtype_name(x1) == "bool":
            x1, x2 = hr.cast(x1, "int32"), hr.cast(x2, "int32")
        return function(x1, x2)

    return compute


equal = _binary("equal", hr.equal, "Where the two are equal.")
not_equal = _binary("not_equal", hr.not_equal, "Where the two differ.")
greater = _binary("greater", _ordered(hr.greater), "Where ``x1 > x2``.")
greater_equal = _binary("greater_equal", _ordered(hr.greater_equal), "Where ``x1 >= x2``.")
less = _binary("less", _ordered(hr.less), "Where ``x1 < x2``.")
less_equal = _binary("less_equal", _ordered(hr.less_equal), "Where ``x1 <= x2``.")


def _logical(name: str, function: Callable[..., Any], text: str) -> Any:
    def compute(x1: Any, x2: Any) -> Any:
        return function(as_tensor(x1, "bool"), as_tensor(x2, "bool"))

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = text
    return op(tensors=2)(compute)


logical_and = _logical("logical_and", hr.logical_and, "Where both hold.")
logical_or = _logical("logical_or", hr.logical_or, "Where one holds.")
logical_xor = _logical("logical_xor", hr.logical_xor, "Where one of the two holds.")


@op()
def logical_not(x: Any) -> Any:
    """Where it does not hold."""
    return hr.logical_not(as_tensor(x, "bool"))


def _test(name: str, function: Callable[[Any], Any], otherwise: bool, text: str) -> Any:
    def compute(x: Any) -> Any:
        x = as_tensor(x)
        if not x.dtype.is_floating:
            return hr.fill(hr.shape(x), otherwise)
        return function(x)

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = text
    return op()(compute)


def _infinite(sign: int) -> Callable[[Any], Any]:
    return lambda x: hr.logical_and(hr.is_inf(x), x * sign > 0)


isfinite = _test("isfinite", hr.is_finite, True, "Where neither NaN nor infinite.")
isinf = _test("isinf", hr.is_inf, False, "Where infinite.")
isnan = _test("isnan", hr.is_nan, False, "Where not a number.")
isposinf = _test("isposinf", _infinite(1), False, "Where infinite and positive.")
isneginf = _test("isneginf", _infinite(-1), False, "Where infinite and negative.")


@op()
def isreal(x: Any) -> Any:
    """Where the imaginary part is 0."""
    x = as_tensor(x)
    if dtype_name(x).startswith("complex"):
        return hr.equal(hr.imag(x), 0)
    return hr.fill(hr.shape(x), True)


@op(tensors=2, later=("rtol", "atol"))
def isclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Where ``|x1 - x2| <= atol + rtol * |x2|``."""
    x1, x2 = promoted(x1, x2)
    if x1.dtype.is_floating:
        near = hr.abs(x1 - x2) <= hr.cast(atol, x1.dtype) + hr.cast(rtol, x1.dtype) * hr.abs(x2)
        infinite = hr.logical_or(hr.is_inf(x1), hr.is_inf(x2))
        found = hr.where(infinite, hr.equal(x1, x2), near)
        if equal_nan:
            found = hr.logical_or(found, hr.logical_and(hr.is_nan(x1), hr.is_nan(x2)))
        return found
    wide = (hr.cast(x, "float32") for x in (x1, x2))
    return isclose(*wide, rtol=rtol, atol=atol)


@op("AllClose", tensors=2)
def allclose(
    x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Whether `isclose` holds everywhere, a bool scalar."""
    return hr.reduce_all(isclose(x1, x2, rtol, atol, equal_nan))


@op("IsIn", tensors=2)
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Where the element of `x1` is among those of `x2`."""
    x1, x2 = promoted(x1, x2)
    same = hr.equal(hr.expand_dims(x1, -1), hr.reshape(x2, [-1]))
    found = hr.reduce_any(same, axis=-1)
    return hr.logical_not(found) if invert else found


def _bits(name: str, function: Callable[..., Any], text: str) -> Any:
    def compute(x: Any, y: Any) -> Any:
        x, y = promoted(x, y)
        if dtype_name(x) == "bool" and "shift" in name:
            x, y = hr.cast(x, "int32"), hr.cast(y, "int32")
        return function(x, y)

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = text
    return op(tensors=2)(compute)


def _of_booleans(function: Callable[..., Any], logical: Callable[..., Any]) -> Any:
    return lambda x, y: (logical if dtype_name(x) == "bool" else function)(x, y)


_and = _of_booleans(hr.bitwise_and, hr.logical_and)
_or = _of_booleans(hr.bitwise_or, hr.logical_or)
_xor = _of_booleans(hr.bitwise_xor, hr.logical_xor)
bitwise_and = _bits("bitwise_and", _and, "The bits that both have.")
bitwise_or = _bits("bitwise_or", _or, "The bits that either has.")
bitwise_xor = _bits("bitwise_xor", _xor, "The bits that one of the two has.")
bitwise_left_shift = _bits("bitwise_left_shift", hr.left_shift, "`x` shifted left by `y`.")
bitwise_right_shift = _bits("bitwise_right_shift", hr.right_shift, "`x` shifted right by `y`.")
left_shift = _bits("left_shift", hr.left_shift, "`x` shifted left by `y`.")
right_shift = _bits("right_shift", hr.right_shift, "`x` shifted right by `y`.")


def _invert(x: Any) -> Any:
    x = as_tensor(x)
    return hr.logical_not(x) if dtype_name(x) == "bool" else hr.bitwise_invert(x)


@op()
def bitwise_invert(x: Any) -> Any:
    """The bits that `x` has not."""
    return _invert(x)


@op()
def bitwise_not(x: Any) -> Any:
    """The bits that `x` has not."""
    return _invert(x)


__all__ = [
    "allclose", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not",
    "bitwise_or", "bitwise_right_shift", "bitwise_xor", "equal", "greater", "greater_equal",
    "isclose", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "isreal",
    "left_shift", "less", "less_equal", "logical_and", "logical_not", "logical_or",
    "logical_xor", "not_equal", "right_shift",
]  # fmt: skip
