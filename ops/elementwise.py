"""Functions of one number, elementwise: powers and roots, exponentials, trigonometry, rounding,
classification and the special functions (from SciPy, loaded when one is first used).

Infinities and NaN are values: dispatch and compiled graphs run every `impl` with NumPy's
floating-point warnings off.  float16 and bfloat16 are computed in their own dtype where NumPy
or ml_dtypes have the loop, else through float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import cast
from .array_module import array_module
from .convert import to_tensor
from .errors import InvalidArgumentError
from .primitive import Primitive
from .shape_rules import COMPLEX, FLOATS, INTEGERS, NUMERIC, same, to_dtype
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "conj", "cos", "cosh",
    "digamma", "erf", "erfc", "erfinv", "exp", "expm1", "floor", "imag", "is_finite",
    "is_inf", "is_nan", "lgamma", "log", "log1p", "negative", "real", "reciprocal", "rint",
    "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh",
]  # fmt: skip

INEXACT = FLOATS + COMPLEX


def _unary(
    name: str,
    impl: Callable[..., Any],
    elementwise: str | None,
    vjp: Callable[..., Any] | None,
    types: tuple[Any, ...] = INEXACT,
) -> Primitive:
    return Primitive(
        name,
        "x: T",
        impl=impl,
        shape=same,
        vjp=vjp,
        batch=batch_rules.unary,
        types={"T": types},
        elementwise=elementwise,
    )


def unary_call(primitive: Primitive, x: Any) -> Any:
    """`primitive(x)`; sparse and ragged tensors keep their structure."""
    if hasattr(x, "_with_values"):
        return x._with_values(primitive(x.values))
    return primitive(x)


def conj_of(x: Any) -> Any:
    """The conjugate where `x` is complex, else `x` itself."""
    return conj(x) if x.dtype.is_complex else x


# -- sign, powers and roots -------------------------------------------------------------------


def negative(x: Any, name: str | None = None) -> Tensor:
    """-x elementwise."""
    return unary_call(Neg, x)


Neg = _unary("Neg", np.negative, "-a", lambda op, g: (Neg(g),), NUMERIC)


def abs(x: Any, name: str | None = None) -> Tensor:
    """|x| elementwise; of complex numbers the modulus, as a real tensor."""
    if hasattr(x, "_with_values"):
        return x._with_values(abs(x.values))
    x = to_tensor(x, None)
    return ComplexAbs(x) if x.dtype.is_complex else Abs(x)


Abs = _unary(
    "Abs", np.absolute, "abs(a)", lambda op, g: (g * Sign(op.inputs[0]),), FLOATS + INTEGERS
)


def _real_of(x: Any) -> TensorSpec:
    return TensorSpec(x.shape, x.dtype.real_dtype)


def _complex_abs_vjp(op: Any, g: Any) -> Any:
    return (cast(g, op.inputs[0].dtype) * Sign(op.inputs[0]),)


ComplexAbs = Primitive(
    "ComplexAbs",
    "x: T",
    impl=np.absolute,
    shape=_real_of,
    vjp=_complex_abs_vjp,
    batch=batch_rules.unary,
    types={"T": COMPLEX},
)


def sign(x: Any, name: str | None = None) -> Tensor:
    """-1, 0 or 1 by the sign of each element; x / |x| of complex numbers."""
    return unary_call(Sign, x)


Sign = _unary(
    "Sign",
    np.sign,
    "where(a > 0, 1, where(a < 0, -1, where(a == 0, 0, a)))",
    lambda op, g: (g * 0,),
    NUMERIC,
)


def square(x: Any, name: str | None = None) -> Tensor:
    """x * x elementwise."""
    return unary_call(Square, x)


Square = _unary(
    "Square", np.square, "a * a", lambda op, g: (g * (conj_of(op.inputs[0]) * 2),), NUMERIC
)


def sqrt(x: Any, name: str | None = None) -> Tensor:
    """The square root elementwise; NaN of negative reals."""
    return unary_call(Sqrt, x)


Sqrt = _unary("Sqrt", np.sqrt, "sqrt(a)", lambda op, g: (g * 0.5 / conj_of(op.outputs[0]),))


def _rsqrt_impl(x: Any) -> Any:
    return 1 / array_module(x).sqrt(x)


def rsqrt(x: Any, name: str | None = None) -> Tensor:
    """1 / sqrt(x) elementwise."""
    return unary_call(Rsqrt, x)


def _rsqrt_vjp(op: Any, g: Any) -> Any:
    y = conj_of(op.outputs[0])
    return (g * -0.5 * (y * y * y),)


Rsqrt = _unary("Rsqrt", _rsqrt_impl, "1 / sqrt(a)", _rsqrt_vjp)


def reciprocal(x: Any, name: str | None = None) -> Tensor:
    """1 / x elementwise."""
    return unary_call(Reciprocal, x)


def _reciprocal_impl(x: Any) -> Any:
    if x.dtype.kind in "iu":
        _no_zeros(x)
    return array_module(x).reciprocal(x)


def _no_zeros(x: Any) -> None:
    if not x.all():
        raise InvalidArgumentError("Integer division by zero")


def _reciprocal_vjp(op: Any, g: Any) -> Any:
    y = conj_of(op.outputs[0])
    return (Neg(g) * y * y,)


Reciprocal = _unary("Reciprocal", _reciprocal_impl, "1 / a", _reciprocal_vjp, NUMERIC)


# -- exponentials and logarithms --------------------------------------------------------------


def exp(x: Any, name: str | None = None) -> Tensor:
    """e to the power x elementwise."""
    return unary_call(Exp, x)


Exp = _unary("Exp", np.exp, "exp(a)", lambda op, g: (g * conj_of(op.outputs[0]),))


def expm1(x: Any, name: str | None = None) -> Tensor:
    """exp(x) - 1 elementwise, exact near 0."""
    return unary_call(Expm1, x)


Expm1 = _unary("Expm1", np.expm1, "expm1(a)", lambda op, g: (g * conj_of(Exp(op.inputs[0])),))


def log(x: Any, name: str | None = None) -> Tensor:
    """The natural logarithm elementwise; -inf of 0, NaN of negative reals."""
    return unary_call(Log, x)


Log = _unary("Log", np.log, "log(a)", lambda op, g: (g / conj_of(op.inputs[0]),))


def log1p(x: Any, name: str | None = None) -> Tensor:
    """log(1 + x) elementwise, exact near 0."""
    return unary_call(Log1p, x)


Log1p = _unary("Log1p", np.log1p, "log1p(a)", lambda op, g: (g / conj_of(op.inputs[0] + 1),))


def sigmoid(x: Any, name: str | None = None) -> Tensor:
    """1 / (1 + exp(-x)) elementwise."""
    return unary_call(Sigmoid, x)


def _sigmoid_impl(x: Any) -> Any:
    xp = array_module(x)
    y = xp.empty_like(x)
    xp.negative(x, out=y)
    xp.exp(y, out=y)
    y += y.dtype.type(1)
    return xp.reciprocal(y, out=y)


Sigmoid = _unary(
    "Sigmoid",
    _sigmoid_impl,
    "1 / (1 + exp(-a))",
    lambda op, g: (SigmoidGrad(op.outputs[0], g),),
)


def _sigmoid_grad_impl(y: Any, dy: Any) -> Any:
    xp = array_module(y)
    out = xp.empty_like(y)
    xp.subtract(y.dtype.type(1), y, out=out)
    out *= y
    out *= dy
    return out


def _sigmoid_grad_vjp(op: Any, gg: Any) -> Any:
    y, dy = op.inputs
    return gg * dy * (1 - 2 * y), SigmoidGrad(y, gg)


SigmoidGrad = Primitive(
    "SigmoidGrad",
    "y: T, dy: T",
    impl=_sigmoid_grad_impl,
    shape=same,
    vjp=_sigmoid_grad_vjp,
    batch=batch_rules.elementwise,
    elementwise="(1 - a) * a * b",
)


def tanh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic tangent elementwise."""
    return unary_call(Tanh, x)


Tanh = _unary("Tanh", np.tanh, "tanh(a)", lambda op, g: (TanhGrad(conj_of(op.outputs[0]), g),))


def _tanh_grad_impl(y: Any, dy: Any) -> Any:
    xp = array_module(y)
    out = xp.empty_like(y)
    xp.multiply(y, y, out=out)
    xp.subtract(y.dtype.type(1), out, out=out)
    out *= dy
    return out


def _tanh_grad_vjp(op: Any, gg: Any) -> Any:
    y, dy = op.inputs
    return gg * dy * y * -2, TanhGrad(y, gg)


TanhGrad = Primitive(
    "TanhGrad",
    "y: T, dy: T",
    impl=_tanh_grad_impl,
    shape=same,
    vjp=_tanh_grad_vjp,
    batch=batch_rules.elementwise,
    elementwise="(1 - a * a) * b",
)


# -- trigonometry -----------------------------------------------------------------------------


def sin(x: Any, name: str | None = None) -> Tensor:
    """The sine elementwise, of radians."""
    return unary_call(Sin, x)


def cos(x: Any, name: str | None = None) -> Tensor:
    """The cosine elementwise, of radians."""
    return unary_call(Cos, x)


def tan(x: Any, name: str | None = None) -> Tensor:
    """The tangent elementwise, of radians."""
    return unary_call(Tan, x)


def asin(x: Any, name: str | None = None) -> Tensor:
    """The inverse sine elementwise, in radians."""
    return unary_call(Asin, x)


def acos(x: Any, name: str | None = None) -> Tensor:
    """The inverse cosine elementwise, in radians."""
    return unary_call(Acos, x)


def atan(x: Any, name: str | None = None) -> Tensor:
    """The inverse tangent elementwise, in radians."""
    return unary_call(Atan, x)


def sinh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic sine elementwise."""
    return unary_call(Sinh, x)


def cosh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic cosine elementwise."""
    return unary_call(Cosh, x)


def asinh(x: Any, name: str | None = None) -> Tensor:
    """The inverse hyperbolic sine elementwise."""
    return unary_call(Asinh, x)


def acosh(x: Any, name: str | None = None) -> Tensor:
    """The inverse hyperbolic cosine elementwise."""
    return unary_call(Acosh, x)


def atanh(x: Any, name: str | None = None) -> Tensor:
    """The inverse hyperbolic tangent elementwise."""
    return unary_call(Atanh, x)


Sin = _unary("Sin", np.sin, "sin(a)", lambda op, g: (g * conj_of(Cos(op.inputs[0])),))
Cos = _unary("Cos", np.cos, "cos(a)", lambda op, g: (Neg(g) * conj_of(Sin(op.inputs[0])),))
Tan = _unary(
    "Tan", np.tan, "tan(a)", lambda op, g: (g * conj_of(Square(Reciprocal(Cos(op.inputs[0])))),)
)
Asin = _unary(
    "Asin", np.arcsin, "asin(a)", lambda op, g: (g / conj_of(Sqrt(1 - Square(op.inputs[0]))),)
)
Acos = _unary(
    "Acos",
    np.arccos,
    "acos(a)",
    lambda op, g: (Neg(g) / conj_of(Sqrt(1 - Square(op.inputs[0]))),),
)
Atan = _unary(
    "Atan", np.arctan, "atan(a)", lambda op, g: (g / conj_of(Square(op.inputs[0]) + 1),)
)
Sinh = _unary("Sinh", np.sinh, "sinh(a)", lambda op, g: (g * conj_of(Cosh(op.inputs[0])),))
Cosh = _unary("Cosh", np.cosh, "cosh(a)", lambda op, g: (g * conj_of(Sinh(op.inputs[0])),))
Asinh = _unary(
    "Asinh", np.arcsinh, "asinh(a)", lambda op, g: (g / conj_of(Cosh(op.outputs[0])),)
)
Acosh = _unary(
    "Acosh", np.arccosh, "acosh(a)", lambda op, g: (g / conj_of(Sinh(op.outputs[0])),)
)
Atanh = _unary(
    "Atanh", np.arctanh, "atanh(a)", lambda op, g: (g / conj_of(1 - Square(op.inputs[0])),)
)


# -- rounding and classification --------------------------------------------------------------


def _none(op: Any, g: Any) -> Any:
    return (None,)


def floor(x: Any, name: str | None = None) -> Tensor:
    """The largest whole number not above x, elementwise."""
    return unary_call(Floor, x)


def ceil(x: Any, name: str | None = None) -> Tensor:
    """The smallest whole number not below x, elementwise."""
    return unary_call(Ceil, x)


def rint(x: Any, name: str | None = None) -> Tensor:
    """The nearest whole number elementwise; halves go to the even neighbour."""
    return unary_call(Rint, x)


def round(x: Any, name: str | None = None) -> Tensor:
    """The nearest whole number elementwise, halves to even; integers stay as they are."""
    if not hasattr(x, "_with_values"):
        x = to_tensor(x, None)
    return x if x.dtype.is_integer else unary_call(Round, x)


Floor = _unary("Floor", np.floor, "floor(a)", _none, FLOATS)
Ceil = _unary("Ceil", np.ceil, "ceil(a)", _none, FLOATS)
Rint = _unary("Rint", np.rint, "rint(a)", _none, FLOATS)
Round = _unary("Round", np.rint, "rint(a)", _none, FLOATS)


def _classify(name: str, impl: Callable[..., Any], elementwise: str) -> Primitive:
    return Primitive(
        name,
        "x: T",
        impl=impl,
        shape=to_dtype(dtypes.bool),
        vjp=_none,
        batch=batch_rules.unary,
        types={"T": FLOATS},
        elementwise=elementwise,
    )


def is_nan(x: Any, name: str | None = None) -> Tensor:
    """Whether each element is NaN."""
    return unary_call(IsNan, x)


def is_inf(x: Any, name: str | None = None) -> Tensor:
    """Whether each element is an infinity."""
    return unary_call(IsInf, x)


def is_finite(x: Any, name: str | None = None) -> Tensor:
    """Whether each element is neither NaN nor an infinity."""
    return unary_call(IsFinite, x)


IsNan = _classify("IsNan", np.isnan, "a != a")
IsInf = _classify("IsInf", np.isinf, "isinf(a)")
IsFinite = _classify("IsFinite", np.isfinite, "isfinite(a)")


# -- special functions ------------------------------------------------------------------------


def special(name: str) -> Callable[..., Any]:
    """SciPy's (on devices CuPy's) special function `name`; small float dtypes are kept."""

    def impl(*arrays: Any) -> Any:
        if array_module(*arrays) is np:
            import scipy.special as library
        else:
            import cupyx.scipy.special as library
        fn = getattr(library, name)
        dtype = arrays[0].dtype
        if dtype.itemsize == 2:
            return fn(*[a.astype(np.float32) for a in arrays]).astype(dtype)
        return fn(*arrays)

    return impl


_TWO_OVER_ROOT_PI = 2 / np.sqrt(np.pi)


def erf(x: Any, name: str | None = None) -> Tensor:
    """The Gauss error function elementwise."""
    return unary_call(Erf, x)


def erfc(x: Any, name: str | None = None) -> Tensor:
    """1 - erf(x) elementwise, exact for large x."""
    return unary_call(Erfc, x)


def erfinv(x: Any, name: str | None = None) -> Tensor:
    """The inverse of `erf` elementwise."""
    return unary_call(Erfinv, x)


def lgamma(x: Any, name: str | None = None) -> Tensor:
    """log |Gamma(x)| elementwise."""
    return unary_call(Lgamma, x)


def digamma(x: Any, name: str | None = None) -> Tensor:
    """The derivative of `lgamma` elementwise."""
    return unary_call(Digamma, x)


def _gauss(x: Any) -> Any:
    return Exp(-Square(x)) * float(_TWO_OVER_ROOT_PI)


Erf = _unary("Erf", special("erf"), "erf(a)", lambda op, g: (g * _gauss(op.inputs[0]),), FLOATS)
Erfc = _unary(
    "Erfc", special("erfc"), "erfc(a)", lambda op, g: (Neg(g) * _gauss(op.inputs[0]),), FLOATS
)
Erfinv = _unary(
    "Erfinv", special("erfinv"), None, lambda op, g: (g / _gauss(op.outputs[0]),), FLOATS
)
Lgamma = _unary(
    "Lgamma", special("gammaln"), None, lambda op, g: (g * Digamma(op.inputs[0]),), FLOATS
)
Digamma = _unary(
    "Digamma",
    special("psi"),
    None,
    lambda op, g: (g * Polygamma(op.inputs[0] * 0 + 1, op.inputs[0]),),
    FLOATS,
)


def _polygamma_impl(a: Any, x: Any) -> Any:
    import scipy.special

    # polygamma is only given for integer orders by SciPy; the zeta form is its definition.
    a64, x64 = a.astype(np.float64), x.astype(np.float64)
    sign = np.where(np.mod(a64, 2) == 0, -1.0, 1.0)
    value = sign * scipy.special.gamma(a64 + 1) * scipy.special.zeta(a64 + 1, x64)
    return np.where(a64 == 0, scipy.special.psi(x64), value).astype(x.dtype)


Polygamma = Primitive(
    "Polygamma",
    "a: T, x: T",
    impl=_polygamma_impl,
    shape=lambda a, x: TensorSpec(x.shape, x.dtype),
    vjp=lambda op, g: (None, g * Polygamma(op.inputs[0] + 1, op.inputs[1])),
    batch=batch_rules.elementwise,
    types={"T": (dtypes.float32, dtypes.float64)},
)


# -- complex numbers --------------------------------------------------------------------------


def real(input: Any, name: str | None = None) -> Tensor:
    """The real part; real tensors come back as they are."""
    x = to_tensor(input, None)
    return Real(x) if x.dtype.is_complex else x


def imag(input: Any, name: str | None = None) -> Tensor:
    """The imaginary part; zeros for real tensors."""
    x = to_tensor(input, None)
    return Imag(x) if x.dtype.is_complex else x * 0


def conj(x: Any, name: str | None = None) -> Tensor:
    """The complex conjugate; real tensors come back as they are."""
    x = to_tensor(x, None)
    return Conj(x) if x.dtype.is_complex else x


Conj = _unary("Conj", np.conjugate, None, lambda op, g: (Conj(g),), COMPLEX)
Real = Primitive(
    "Real",
    "input: T",
    impl=lambda x: x.real.copy(),
    shape=_real_of,
    batch=batch_rules.unary,
    vjp=lambda op, g: (cast(g, op.inputs[0].dtype),),
    types={"T": COMPLEX},
)
Imag = Primitive(
    "Imag",
    "input: T",
    impl=lambda x: x.imag.copy(),
    shape=_real_of,
    batch=batch_rules.unary,
    vjp=lambda op, g: (cast(g, op.inputs[0].dtype) * to_tensor(1j, op.inputs[0].dtype),),
    types={"T": COMPLEX},
)
