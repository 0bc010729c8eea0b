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
from .cuda.recording import unseen
from .errors import InvalidArgumentError
from .primitive import Primitive
from .shape_rules import COMPLEX, FLOATS, INTEGERS, NUMERIC, same, to_dtype
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "abs", "ceil", "conj", "exp", "expm1", "floor", "imag", "is_finite", "is_inf", "is_nan",
    "log", "log1p", "negative", "real", "reciprocal", "rint", "round", "rsqrt", "sigmoid",
    "sign", "sqrt", "square", "tanh",
]  # fmt: skip

INEXACT = FLOATS + COMPLEX


def unary_primitive(
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


Neg = unary_primitive("Neg", np.negative, "-a", lambda op, g: (Neg(g),), NUMERIC)


def abs(x: Any, name: str | None = None) -> Tensor:
    """|x| elementwise; of complex numbers the modulus, as a real tensor."""
    if hasattr(x, "_with_values"):
        return x._with_values(abs(x.values))
    x = to_tensor(x, None)
    return ComplexAbs(x) if x.dtype.is_complex else Abs(x)


Abs = unary_primitive(
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


Sign = unary_primitive(
    "Sign",
    np.sign,
    "where(a > 0, 1, where(a < 0, -1, where(a == 0, 0, a)))",
    lambda op, g: (g * 0,),
    NUMERIC,
)


def square(x: Any, name: str | None = None) -> Tensor:
    """x * x elementwise."""
    return unary_call(Square, x)


Square = unary_primitive(
    "Square", np.square, "a * a", lambda op, g: (g * (conj_of(op.inputs[0]) * 2),), NUMERIC
)


def sqrt(x: Any, name: str | None = None) -> Tensor:
    """The square root elementwise; NaN of negative reals."""
    return unary_call(Sqrt, x)


Sqrt = unary_primitive(
    "Sqrt", np.sqrt, "sqrt(a)", lambda op, g: (g * 0.5 / conj_of(op.outputs[0]),)
)


def _rsqrt_impl(x: Any) -> Any:
    return 1 / array_module(x).sqrt(x)


def rsqrt(x: Any, name: str | None = None) -> Tensor:
    """1 / sqrt(x) elementwise."""
    return unary_call(Rsqrt, x)


def _rsqrt_vjp(op: Any, g: Any) -> Any:
    y = conj_of(op.outputs[0])
    return (g * -0.5 * (y * y * y),)


Rsqrt = unary_primitive("Rsqrt", _rsqrt_impl, "1 / sqrt(a)", _rsqrt_vjp)


def reciprocal(x: Any, name: str | None = None) -> Tensor:
    """1 / x elementwise."""
    return unary_call(Reciprocal, x)


def _reciprocal_impl(x: Any) -> Any:
    if x.dtype.kind in "iu":
        _no_zeros(x)
    return array_module(x).reciprocal(x)


def _no_zeros(x: Any) -> None:
    if not unseen(x) and not x.all():
        raise InvalidArgumentError("Integer division by zero")


def _reciprocal_vjp(op: Any, g: Any) -> Any:
    y = conj_of(op.outputs[0])
    return (Neg(g) * y * y,)


Reciprocal = unary_primitive("Reciprocal", _reciprocal_impl, "1 / a", _reciprocal_vjp, NUMERIC)


# -- exponentials and logarithms --------------------------------------------------------------


def exp(x: Any, name: str | None = None) -> Tensor:
    """e to the power x elementwise."""
    return unary_call(Exp, x)


Exp = unary_primitive("Exp", np.exp, "exp(a)", lambda op, g: (g * conj_of(op.outputs[0]),))


def expm1(x: Any, name: str | None = None) -> Tensor:
    """exp(x) - 1 elementwise, exact near 0."""
    return unary_call(Expm1, x)


Expm1 = unary_primitive(
    "Expm1", np.expm1, "expm1(a)", lambda op, g: (g * conj_of(Exp(op.inputs[0])),)
)


def log(x: Any, name: str | None = None) -> Tensor:
    """The natural logarithm elementwise; -inf of 0, NaN of negative reals."""
    return unary_call(Log, x)


Log = unary_primitive("Log", np.log, "log(a)", lambda op, g: (g / conj_of(op.inputs[0]),))


def log1p(x: Any, name: str | None = None) -> Tensor:
    """log(1 + x) elementwise, exact near 0."""
    return unary_call(Log1p, x)


Log1p = unary_primitive(
    "Log1p", np.log1p, "log1p(a)", lambda op, g: (g / conj_of(op.inputs[0] + 1),)
)


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


Sigmoid = unary_primitive(
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
    batch=batch_rules.same_shaped,
    elementwise="(1 - a) * a * b",
)


def tanh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic tangent elementwise."""
    return unary_call(Tanh, x)


Tanh = unary_primitive(
    "Tanh", np.tanh, "tanh(a)", lambda op, g: (TanhGrad(conj_of(op.outputs[0]), g),)
)


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
    batch=batch_rules.same_shaped,
    elementwise="(1 - a * a) * b",
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


Floor = unary_primitive("Floor", np.floor, "floor(a)", _none, FLOATS)
Ceil = unary_primitive("Ceil", np.ceil, "ceil(a)", _none, FLOATS)
Rint = unary_primitive("Rint", np.rint, "rint(a)", _none, FLOATS)
Round = unary_primitive("Round", np.rint, "rint(a)", _none, FLOATS)


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


Conj = unary_primitive("Conj", np.conjugate, None, lambda op, g: (Conj(g),), COMPLEX)
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
