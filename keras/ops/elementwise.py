"""Elementwise operations: arithmetic, powers, trigonometry, rounding.

Integers take part in what is a fraction as `floatx`; several arguments meet in the dtype of
`result_type`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...ops import api as hr
from ...ops.special_more import angle as _angle, bessel_i0, nextafter as _nextafter
from .op import operations
from .values import as_tensor, dtype_name, floating, promoted

op = operations("numpy")


def _unary(
    name: str, function: Callable[[Any], Any], text: str, float_only: bool = True
) -> Any:
    def compute(x: Any) -> Any:
        return function(floating(x)[0] if float_only else as_tensor(x))

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = text
    return op()(compute)


def _binary(name: str, function: Callable[..., Any], text: str) -> Any:
    def compute(x1: Any, x2: Any) -> Any:
        return function(*promoted(x1, x2))

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = text
    return op(tensors=2)(compute)


def _with_booleans(function: Callable[..., Any], of_booleans: Callable[..., Any]) -> Any:
    """`function`, where tensors of booleans have another meaning."""

    def compute(x1: Any, x2: Any) -> Any:
        return (of_booleans if dtype_name(x1) == "bool" else function)(x1, x2)

    return compute


def _in_32_bits(function: Callable[..., Any]) -> Any:
    """`function` of booleans and small integers in int32, back in their own dtype."""

    def compute(*values: Any) -> Any:
        dtype = dtype_name(values[0])
        if dtype not in ("bool", "int8", "int16", "uint8", "uint16", "uint32"):
            return function(*values)
        return hr.cast(function(*(hr.cast(v, "int64") for v in values)), dtype)

    return compute


add = _binary("add", _with_booleans(hr.add, hr.logical_or), "``x1 + x2``.")
subtract = _binary("subtract", hr.subtract, "``x1 - x2``.")
multiply = _binary("multiply", _with_booleans(hr.multiply, hr.logical_and), "``x1 * x2``.")
maximum = _binary("maximum", _in_32_bits(hr.maximum), "The larger of the two.")
minimum = _binary("minimum", _in_32_bits(hr.minimum), "The smaller of the two.")


@op(tensors=2)
def divide(x1: Any, x2: Any) -> Any:
    """``x1 / x2``, a fraction also of integers."""
    return hr.divide(*floating(x1, x2))


@op("TrueDivide", tensors=2)
def true_divide(x1: Any, x2: Any) -> Any:
    """``x1 / x2``, a fraction also of integers."""
    return hr.divide(*floating(x1, x2))


@op(tensors=2)
def divide_no_nan(x1: Any, x2: Any) -> Any:
    """``x1 / x2``; 0 where `x2` is 0."""
    return hr.divide_no_nan(*floating(x1, x2))


def _numbers(x1: Any, x2: Any) -> list[Any]:
    """Both in their common dtype, booleans as int32."""
    x1, x2 = promoted(x1, x2)
    return [hr.cast(x, "int32") for x in (x1, x2)] if dtype_name(x1) == "bool" else [x1, x2]


@op(tensors=2)
def floor_divide(x1: Any, x2: Any) -> Any:
    """The quotient rounded down."""
    return hr.floordiv(*_numbers(x1, x2))


@op(tensors=2)
def mod(x1: Any, x2: Any) -> Any:
    """The remainder, of the sign of `x2`."""
    return hr.floormod(*_numbers(x1, x2))


@op(tensors=2)
def fmod(x1: Any, x2: Any) -> Any:
    """The remainder, of the sign of `x1`."""
    return hr.truncatemod(*_numbers(x1, x2))


@op(tensors=2)
def power(x1: Any, x2: Any) -> Any:
    """`x1` to the power of `x2`."""
    return hr.pow(*_numbers(x1, x2))


@op(tensors=2)
def fmax(x1: Any, x2: Any) -> Any:
    """The larger of the two; the other where one is NaN."""
    x1, x2 = promoted(x1, x2)
    if not x1.dtype.is_floating:
        return maximum(x1, x2)
    return hr.where(hr.is_nan(x1), x2, hr.where(hr.is_nan(x2), x1, hr.maximum(x1, x2)))


@op(tensors=2)
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of the two; the other where one is NaN."""
    x1, x2 = promoted(x1, x2)
    if not x1.dtype.is_floating:
        return minimum(x1, x2)
    return hr.where(hr.is_nan(x1), x2, hr.where(hr.is_nan(x2), x1, hr.minimum(x1, x2)))


@op(tensors=2)
def arctan2(x1: Any, x2: Any) -> Any:
    """The angle of the point with height `x1` and width `x2`."""
    return hr.atan2(*floating(x1, x2))


@op(tensors=2)
def hypot(x1: Any, x2: Any) -> Any:
    """``sqrt(x1 ** 2 + x2 ** 2)`` without overflow on the way."""
    x1, x2 = floating(x1, x2)
    large = hr.maximum(hr.abs(x1), hr.abs(x2))
    small = hr.minimum(hr.abs(x1), hr.abs(x2))
    share = hr.divide_no_nan(small, large)
    return large * hr.sqrt(1.0 + hr.square(share))


@op(tensors=2)
def logaddexp(x1: Any, x2: Any) -> Any:
    """``log(exp(x1) + exp(x2))``."""
    x1, x2 = floating(x1, x2)
    difference = x1 - x2
    summed = hr.maximum(x1, x2) + hr.log1p(hr.exp(-hr.abs(difference)))
    return hr.where(hr.is_nan(difference), x1 + x2, summed)


@op(tensors=2)
def logaddexp2(x1: Any, x2: Any) -> Any:
    """``log2(2 ** x1 + 2 ** x2)``."""
    x1, x2 = floating(x1, x2)
    difference = x1 - x2
    power_of_two = hr.exp(-hr.abs(difference) * math.log(2))
    summed = hr.maximum(x1, x2) + hr.log1p(power_of_two) / math.log(2)
    return hr.where(hr.is_nan(difference), x1 + x2, summed)


@op(tensors=2)
def heaviside(x1: Any, x2: Any) -> Any:
    """0 where `x1` is negative, 1 where it is positive, `x2` where it is 0."""
    x1, x2 = floating(x1, x2)
    one, zero = hr.ones_like(x1), hr.zeros_like(x1)
    return hr.where(x1 < 0, zero, hr.where(x1 > 0, one, x2))


@op(tensors=2)
def nextafter(x1: Any, x2: Any) -> Any:
    """The number after `x1` in the direction of `x2`."""
    x1, x2 = floating(x1, x2)
    dtype = dtype_name(x1)
    if dtype in ("float32", "float64"):
        return _nextafter(x1, x2)
    wide = [hr.cast(x, "float32") for x in (x1, x2)]
    return hr.cast(_nextafter(*wide), dtype)


@op(tensors=2)
def ldexp(x1: Any, x2: Any) -> Any:
    """``x1 * 2 ** x2`` for integers `x2`.

    Raises:
        TypeError: `x2` holds no integers.
    """
    x2 = as_tensor(x2)
    if not x2.dtype.is_integer:
        raise TypeError(
            f"ldexp exponent must be an integer type. Received: x2 dtype={dtype_name(x2)}"
        )
    x1, exponent = floating(x1, x2)
    return x1 * hr.pow(hr.constant(2, exponent.dtype), exponent)


def _gcd(a: Any, b: Any) -> Any:
    a, b = hr.abs(a), hr.abs(b)
    shape = hr.broadcast_dynamic_shape(hr.shape(a), hr.shape(b))
    a, b = hr.broadcast_to(a, shape), hr.broadcast_to(b, shape)

    def step(a: Any, b: Any) -> Any:
        safe = hr.where(b == 0, hr.ones_like(b), b)
        return hr.where(b == 0, a, b), hr.where(b == 0, b, hr.floormod(a, safe))

    return hr.while_loop(lambda a, b: hr.reduce_any(b != 0), step, (a, b))[0]


gcd = _binary("gcd", _in_32_bits(_gcd), "The greatest common divisor of integers.")


@op(tensors=2)
def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiple of integers."""
    x1, x2 = promoted(x1, x2)

    def compute(a: Any, b: Any) -> Any:
        divisor = _gcd(a, b)
        safe = hr.where(divisor == 0, hr.ones_like(divisor), divisor)
        return hr.floordiv(hr.abs(a), safe) * hr.abs(b)

    return _in_32_bits(compute)(x1, x2)


exp = _unary("exp", hr.exp, "e to the power of `x`.")
exp2 = _unary("exp2", lambda x: hr.pow(hr.constant(2, x.dtype), x), "2 to the power of `x`.")
expm1 = _unary("expm1", hr.expm1, "``exp(x) - 1``, exact for small `x`.")
log = _unary("log", hr.log, "The natural logarithm.")
log1p = _unary("log1p", hr.log1p, "``log(1 + x)``, exact for small `x`.")
log2 = _unary("log2", lambda x: hr.log(x) / math.log(2), "The logarithm to the base of 2.")
log10 = _unary("log10", lambda x: hr.log(x) / math.log(10), "The logarithm to the base of 10.")
sqrt = _unary("sqrt", hr.sqrt, "The square root.")
sin = _unary("sin", hr.sin, "Sine.")
cos = _unary("cos", hr.cos, "Cosine.")
tan = _unary("tan", hr.tan, "Tangent.")
sinh = _unary("sinh", hr.sinh, "Hyperbolic sine.")
cosh = _unary("cosh", hr.cosh, "Hyperbolic cosine.")
tanh = _unary("tanh", hr.tanh, "Hyperbolic tangent.")
arcsin = _unary("arcsin", hr.asin, "The angle with this sine.")
arccos = _unary("arccos", hr.acos, "The angle with this cosine.")
arctan = _unary("arctan", hr.atan, "The angle with this tangent.")
arcsinh = _unary("arcsinh", hr.asinh, "Inverse of the hyperbolic sine.")
arccosh = _unary("arccosh", hr.acosh, "Inverse of the hyperbolic cosine.")
arctanh = _unary("arctanh", hr.atanh, "Inverse of the hyperbolic tangent.")
deg2rad = _unary("deg2rad", lambda x: x * (math.pi / 180), "Degrees as radians.")
rad2deg = _unary("rad2deg", lambda x: x * (180 / math.pi), "Radians as degrees.")
cbrt = _unary(
    "cbrt", lambda x: hr.sign(x) * hr.pow(hr.abs(x), hr.constant(1 / 3, x.dtype)), "Cube root."
)


def _i0(x: Any) -> Any:
    dtype = dtype_name(x)
    wide = x if dtype in ("float32", "float64") else hr.cast(x, "float32")
    return hr.cast(bessel_i0(wide), dtype)


i0 = _unary("i0", _i0, "The modified Bessel function of the first kind, order 0.")


def _sinc(x: Any) -> Any:
    scaled = x * math.pi
    safe = hr.where(x == 0, hr.ones_like(x), scaled)
    return hr.where(x == 0, hr.ones_like(x), hr.sin(safe) / safe)


sinc = _unary("sinc", _sinc, "``sin(pi * x) / (pi * x)``, 1 at 0.")


def _rounding(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function(x) if x.dtype.is_floating else floating(x)[0]


ceil = _unary("ceil", _rounding(hr.ceil), "Rounded up, a float.", False)
floor = _unary("floor", _rounding(hr.floor), "Rounded down, a float.", False)


def _trunc(x: Any) -> Any:
    if not x.dtype.is_floating:
        return x
    return hr.where(x < 0, hr.ceil(x), hr.floor(x))


trunc = _unary("trunc", _trunc, "Rounded towards 0.", False)


@op()
def round(x: Any, decimals: int = 0) -> Any:
    """Rounded to `decimals` digits behind the point, halves to the even neighbour."""
    x = as_tensor(x)
    if x.dtype.is_integer or dtype_name(x) == "bool":
        number = hr.cast(x, "int32") if dtype_name(x) == "bool" else x
        if decimals >= 0:
            return number
        factor = hr.cast(10**-decimals, "float64")
        rounded = hr.round(hr.cast(number, "float64") / factor) * factor
        return hr.cast(rounded, x.dtype)
    factor = hr.cast(10.0**decimals, x.dtype)
    return hr.round(x * factor) / factor if decimals else hr.round(x)


def _abs(x: Any) -> Any:
    unsigned = dtype_name(x) == "bool" or dtype_name(x).startswith("uint")
    return x if unsigned else hr.abs(x)


absolute = _unary("absolute", _abs, "The absolute value.", False)
fabs = _unary("fabs", hr.abs, "The absolute value, a float.")


def abs(x: Any) -> Any:
    """The absolute value."""
    return absolute(x)


negative = _unary("negative", hr.negative, "``-x``.", False)
reciprocal = _unary("reciprocal", hr.reciprocal, "``1 / x``.", False)


def _square(x: Any) -> Any:
    return hr.square(hr.cast(x, "int32") if dtype_name(x) == "bool" else x)


square = _unary("square", _square, "``x * x``.", False)


def _sign(x: Any) -> Any:
    dtype = dtype_name(x)
    if dtype not in ("bool", "uint8", "uint16", "uint32", "int8", "int16"):
        return hr.sign(x)
    return hr.cast(hr.sign(hr.cast(x, "int32")), dtype)


sign = _unary("sign", _sign, "-1, 0 or 1.", False)


def _signbit(x: Any) -> Any:
    dtype = dtype_name(x)
    if dtype == "bool" or dtype.startswith("uint"):
        return hr.zeros_like(x, dtype="bool")
    if dtype.startswith("int"):
        return x < 0
    wide = hr.cast(x, "float32") if dtype != "float64" else x
    bits = hr.bitcast(wide, "int64" if dtype == "float64" else "int32")
    return bits < 0


signbit = _unary("signbit", _signbit, "Whether the sign is negative; that of -0.0 is.", False)


def _complex_part(function: Callable[[Any], Any], of_real: Callable[[Any], Any]) -> Any:
    return lambda x: function(x) if dtype_name(x).startswith("complex") else of_real(x)


real = _unary("real", _complex_part(hr.real, lambda x: x), "The real part.", False)
imag = _unary("imag", _complex_part(hr.imag, hr.zeros_like), "The imaginary part.", False)
conjugate = _unary("conjugate", _complex_part(hr.conj, lambda x: x), "The conjugate.", False)


def conj(x: Any) -> Any:
    """The complex conjugate."""
    return conjugate(x)


def _real_angle(x: Any) -> Any:
    x = floating(x)[0]
    turned = hr.where(x < 0, hr.constant(math.pi, x.dtype), hr.zeros_like(x))
    return hr.where(hr.is_nan(x), x, turned)


angle = _unary("angle", _complex_part(_angle, _real_angle), "The angle of a number.", False)
copy = _unary("copy", hr.identity, "A copy.", False)


@op()
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """`x` cut to the range from `x_min` to `x_max`."""
    x = as_tensor(x)
    if dtype_name(x) == "bool":
        x = hr.cast(x, "int32")
    low, high = (hr.cast(as_tensor(v), x.dtype) for v in (x_min, x_max))
    return hr.minimum(hr.maximum(x, low), high)


@op()
def nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and infinities replaced, infinities by the largest number of the dtype."""
    x = as_tensor(x)
    if not x.dtype.is_floating:
        return x
    high = x.dtype.max if posinf is None else posinf
    low = x.dtype.min if neginf is None else neginf
    x = hr.where(hr.is_nan(x), hr.cast(nan, x.dtype), x)
    x = hr.where(hr.logical_and(hr.is_inf(x), x > 0), hr.cast(high, x.dtype), x)
    return hr.where(hr.logical_and(hr.is_inf(x), x < 0), hr.cast(low, x.dtype), x)


__all__ = [
    "abs",
    "absolute",
    "add",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "ceil",
    "clip",
    "conj",
    "conjugate",
    "copy",
    "cos",
    "cosh",
    "deg2rad",
    "divide",
    "divide_no_nan",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "gcd",
    "heaviside",
    "hypot",
    "i0",
    "imag",
    "lcm",
    "ldexp",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nan_to_num",
    "negative",
    "nextafter",
    "power",
    "rad2deg",
    "real",
    "reciprocal",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]  # fmt: skip
