"""GELU and SiLU, each as one call, and its slope as another.

The slope depends on the input alone: a graph makes it in the kernel that makes the activation,
and the gradient is one product with it.  By the rules of the smaller operations each is written
with, a gradient would read half a dozen arrays that the activation had to keep.  16-bit floats
go through those, which round where TensorFlow rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import batch_rules
from .array_module import array_module
from .convert import to_tensor
from .elementwise import exp, sigmoid, square, tanh, unary_call
from .math_ops import pow
from .primitive import Primitive
from .shape_rules import FLOATS, same
from .special_functions import erf, special
from .tensor import Tensor

__all__ = ["gelu", "silu", "swish"]

_ROOT_2 = 1.4142135623730951
_DENSITY = 0.3989422804014327  # of a standard normal variable at 0: 1 / sqrt(2 pi)
_INNER = 0.7978845608028654  # sqrt(2 / pi)
_CUBIC = 0.044715


def gelu(features: Any, approximate: bool = False, name: str | None = None) -> Tensor:
    """x * P(X <= x) of a standard normal X, elementwise.

    Args:
        features: floats.
        approximate: use the formula with tanh.
        name: ignored.

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016).
    """
    x = to_tensor(features, None)
    if not x.dtype.is_floating:
        raise ValueError(
            "`features.dtype` must be a floating point tensor. "
            f"Received: features.dtype={x.dtype!r}"
        )
    if x.dtype.size > 2:
        return unary_call(_GeluTanh if approximate else _Gelu, x)
    if approximate:
        return 0.5 * x * (1.0 + tanh(_INNER * (x + _CUBIC * pow(x, 3))))
    return 0.5 * x * (1.0 + erf(x / _ROOT_2))


def silu(features: Any, beta: Any = 1.0) -> Tensor:
    """x * sigmoid(beta * x) elementwise.

    Source: Ramachandran et al., "Searching for activation functions" (2017).
    """
    x = to_tensor(features, None)
    if isinstance(beta, (int, float)) and beta == 1.0:
        if x.dtype.is_floating and x.dtype.size > 2:
            return unary_call(_Silu, x)
        return x * sigmoid(x)
    return x * sigmoid(to_tensor(beta, x.dtype) * x)


swish = silu


# -- array forms: of a function f, f(x) and its slope -----------------------------------------


def _squared(x: Any) -> Any:
    xp = array_module(x)
    return xp.multiply(x, x, out=xp.empty_like(x))  # an array even of a number


def _gelu_impl(x: Any) -> Any:
    out = _erf(x / x.dtype.type(_ROOT_2))
    out += x.dtype.type(1)
    out *= x * x.dtype.type(0.5)  # halved first: large values stay finite
    return out


def _gelu_slope_impl(x: Any) -> Any:
    xp, t = array_module(x), x.dtype.type
    out = _squared(x)
    out *= t(-0.5)
    xp.exp(out, out=out)
    out *= x
    out *= t(_DENSITY)
    below = _erf(x / t(_ROOT_2))
    below += t(1)
    below *= t(0.5)
    out += below
    return out


_erf = special("erf")


def _share(x: Any) -> Any:
    """(1 + tanh(u)) / 2 of the approximation's polynomial u, as a sigmoid of 2 u: without the
    sum, small shares keep their digits."""
    t, xp = x.dtype.type, array_module(x)
    out = _squared(x)
    out *= t(_CUBIC)
    out += t(1)
    out *= x
    out *= t(-2 * _INNER)
    xp.exp(out, out=out)
    out += t(1)
    return xp.reciprocal(out, out=out)


def _gelu_tanh_impl(x: Any) -> Any:
    out = _share(x)
    out *= x
    return out


def _gelu_tanh_slope_impl(x: Any) -> Any:
    t = x.dtype.type
    share = _share(x)
    growth = _squared(x)
    growth *= t(3 * _CUBIC)
    growth += t(1)
    growth *= x
    growth *= t(2 * _INNER)
    growth *= t(1) - share
    growth += t(1)
    growth *= share
    return growth


def _sigmoid(x: Any) -> Any:
    xp = array_module(x)
    out = xp.negative(x, out=xp.empty_like(x))
    xp.exp(out, out=out)
    out += x.dtype.type(1)
    return xp.reciprocal(out, out=out)


def _silu_impl(x: Any) -> Any:
    out = _sigmoid(x)
    out *= x
    return out


def _silu_slope_impl(x: Any) -> Any:
    share = _sigmoid(x)
    out = share.dtype.type(1) - share
    out *= x
    out += out.dtype.type(1)
    out *= share
    return out


# -- second derivatives, in operations --------------------------------------------------------


def _gelu_curve(x: Any) -> Any:
    return exp(square(x) * -0.5) * _DENSITY * (2.0 - square(x))


def _gelu_tanh_curve(x: Any) -> Any:
    bent = tanh(_INNER * (x + _CUBIC * x * square(x)))
    growth = _INNER * (1.0 + 3 * _CUBIC * square(x))
    half = 3 * _INNER * _CUBIC * square(x)  # of x times the growth's own slope
    return (1.0 - square(bent)) * (growth - x * bent * square(growth) + half)


def _silu_curve(x: Any) -> Any:
    share = sigmoid(x)
    return share * (1.0 - share) * (2.0 + x * (1.0 - 2.0 * share))


# -- primitives -------------------------------------------------------------------------------


def _pair(
    name: str,
    impl: Callable[..., Any],
    text: str,
    slope_impl: Callable[..., Any],
    slope_text: str,
    curve: Callable[..., Any],
) -> tuple[Primitive, Primitive]:
    """An activation and its slope."""

    def declare(name: str, impl: Any, text: str, vjp: Any) -> Primitive:
        return Primitive(
            name,
            "features: T",
            impl=impl,
            shape=same,
            vjp=vjp,
            batch=batch_rules.unary,
            types={"T": FLOATS},
            elementwise=text,
        )

    slope = declare(
        f"{name}Slope", slope_impl, slope_text, lambda op, g: (g * curve(op.inputs[0]),)
    )
    return declare(name, impl, text, lambda op, g: (g * slope(op.inputs[0]),)), slope


_Gelu, _GeluSlope = _pair(
    "_Gelu",
    _gelu_impl,
    f"0.5 * a * (1 + erf(a / {_ROOT_2}))",
    _gelu_slope_impl,
    f"0.5 * (1 + erf(a / {_ROOT_2})) + a * exp(-0.5 * (a * a)) * {_DENSITY}",
    _gelu_curve,
)
_TANH_SHARE = f"(1 / (1 + exp({-2 * _INNER} * (a * (1 + {_CUBIC} * (a * a))))))"
_GeluTanh, _GeluTanhSlope = _pair(
    "_GeluTanh",
    _gelu_tanh_impl,
    f"a * {_TANH_SHARE}",
    _gelu_tanh_slope_impl,
    f"{_TANH_SHARE}"
    f" * (1 + {2 * _INNER} * (a * (1 + {3 * _CUBIC} * (a * a))) * (1 - {_TANH_SHARE}))",
    _gelu_tanh_curve,
)
_SHARE = "(1 / (1 + exp(-a)))"
_Silu, _SiluSlope = _pair(
    "_Silu",
    _silu_impl,
    f"a * {_SHARE}",
    _silu_slope_impl,
    f"{_SHARE} * (1 + a * (1 - {_SHARE}))",
    _silu_curve,
)
