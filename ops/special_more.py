"""More special functions: Bessel's, incomplete gamma and beta functions, zeta and others.

Array forms are SciPy's, loaded when one is first used; gradients are TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import ones_like, sum_to, zeros_like
from .array_gather import where
from .array_module import array_module
from .convert import to_tensor
from .division import divide_no_nan
from .elementwise import Exp, Log, Neg, Sign, Square, imag, real, unary_call, unary_primitive
from .math_ops import complex
from .primitive import Primitive
from .reductions import reduce_sum
from .shape_rules import COMPLEX, FLOATS, binary, broadcast
from .special_functions import Lgamma, Polygamma, special
from .tensor import Tensor
from .tensor_spec import TensorSpec
from .trigonometry import cos, sin

__all__ = [
    "angle", "bessel_i0", "bessel_i0e", "bessel_i1", "bessel_i1e", "bessel_j0", "bessel_j1",
    "bessel_k0", "bessel_k0e", "bessel_k1", "bessel_k1e", "bessel_y0", "bessel_y1", "betainc",
    "dawsn", "erfcinv", "expint", "fresnel_cos", "fresnel_sin", "igamma", "igammac", "lbeta",
    "ndtri", "nextafter", "polygamma", "reciprocal_no_nan", "spence", "zeta",
]  # fmt: skip

_DOUBLE = (dtypes.float32, dtypes.float64)


# -- functions of one number ------------------------------------------------------------------


def _declare(
    name: str, function: str, slope: Callable[[Any, Any], Any], doc: str, types: Any = FLOATS
) -> tuple[Primitive, Callable[..., Tensor]]:
    """A primitive from SciPy's `function`, and its public function.

    ``slope(x, y)`` is the derivative at x, where the value is y.
    """
    primitive = unary_primitive(
        name,
        special(function),
        None,
        lambda op, g: (g * slope(op.inputs[0], op.outputs[0]),),
        types,
    )

    def call(x: Any, name: str | None = None) -> Tensor:
        return unary_call(primitive, x)

    call.__doc__ = doc
    return primitive, call


def _over(y: Any, x: Any, at_zero: float) -> Any:
    """y / x, `at_zero` where x is 0."""
    zero = x == 0
    return where(zero, ones_like(x) * at_zero, y / where(zero, ones_like(x), x))


BesselI0, bessel_i0 = _declare(
    "BesselI0",
    "i0",
    lambda x, y: BesselI1(x),
    "The modified Bessel function of the first kind, order 0, elementwise.",
)
BesselI0e, bessel_i0e = _declare(
    "BesselI0e",
    "i0e",
    lambda x, y: BesselI1e(x) - Sign(x) * y,
    "exp(-|x|) * bessel_i0(x) elementwise.",
)
BesselI1, bessel_i1 = _declare(
    "BesselI1",
    "i1",
    lambda x, y: BesselI0(x) - _over(y, x, 0.5),
    "The modified Bessel function of the first kind, order 1, elementwise.",
)
BesselI1e, bessel_i1e = _declare(
    "BesselI1e",
    "i1e",
    lambda x, y: BesselI0e(x) - y * Sign(x) - _over(y, x, 0.5),
    "exp(-|x|) * bessel_i1(x) elementwise.",
)
BesselJ0, bessel_j0 = _declare(
    "BesselJ0",
    "j0",
    lambda x, y: Neg(BesselJ1(x)),
    "The Bessel function of the first kind, order 0, elementwise.",
)
BesselJ1, bessel_j1 = _declare(
    "BesselJ1",
    "j1",
    lambda x, y: BesselJ0(x) - _over(y, x, 0.5),
    "The Bessel function of the first kind, order 1, elementwise.",
)
BesselK0, bessel_k0 = _declare(
    "BesselK0",
    "k0",
    lambda x, y: Neg(BesselK1(x)),
    "The modified Bessel function of the second kind, order 0, elementwise.",
)
BesselK0e, bessel_k0e = _declare(
    "BesselK0e",
    "k0e",
    lambda x, y: y - BesselK1e(x),
    "exp(x) * bessel_k0(x) elementwise.",
)
BesselK1, bessel_k1 = _declare(
    "BesselK1",
    "k1",
    lambda x, y: Neg(BesselK0(x)) - y / x,
    "The modified Bessel function of the second kind, order 1, elementwise.",
)
BesselK1e, bessel_k1e = _declare(
    "BesselK1e",
    "k1e",
    lambda x, y: y * (1 - 1 / x) - BesselK0e(x),
    "exp(x) * bessel_k1(x) elementwise.",
)
BesselY0, bessel_y0 = _declare(
    "BesselY0",
    "y0",
    lambda x, y: Neg(BesselY1(x)),
    "The Bessel function of the second kind, order 0, elementwise.",
)
BesselY1, bessel_y1 = _declare(
    "BesselY1",
    "y1",
    lambda x, y: BesselY0(x) - y / x,
    "The Bessel function of the second kind, order 1, elementwise.",
)
Dawsn, dawsn = _declare(
    "Dawsn",
    "dawsn",
    lambda x, y: 1 - 2 * x * y,
    "Dawson's integral exp(-x**2) * integral of exp(t**2) from 0 to x, elementwise.",
)
Expint, expint = _declare(
    "Expint",
    "expi",
    lambda x, y: Exp(x) / x,
    "The exponential integral Ei(x) elementwise.",
)
FresnelCos, fresnel_cos = _declare(
    "FresnelCos",
    "fresnel_cos",
    lambda x, y: cos(Square(x) * (np.pi / 2)),
    "Fresnel's cosine integral elementwise.",
)
FresnelSin, fresnel_sin = _declare(
    "FresnelSin",
    "fresnel_sin",
    lambda x, y: sin(Square(x) * (np.pi / 2)),
    "Fresnel's sine integral elementwise.",
)
Spence, spence = _declare(
    "Spence",
    "spence",
    lambda x, y: _spence_slope(x),
    "Spence's integral of log(t) / (1 - t) from 1 to x, elementwise.",
)
Ndtri, ndtri = _declare(
    "Ndtri",
    "ndtri",
    lambda x, y: Exp(Square(y) * 0.5) * float(np.sqrt(2 * np.pi)),
    "The inverse of the standard normal distribution function, elementwise.",
    _DOUBLE,
)


def _fresnel(part: int) -> Callable[..., Any]:
    def impl(x: Any) -> Any:
        import scipy.special as library

        wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x
        return library.fresnel(wide)[part].astype(x.dtype, copy=False)

    return impl


for _primitive, _part in ((FresnelSin, 0), (FresnelCos, 1)):
    _primitive.impl = _primitive.host = _fresnel(_part)


def _spence_slope(x: Any) -> Any:
    one = x == 1
    safe = where(one, ones_like(x) * 2, x)
    return where(one, -ones_like(x), Log(safe) / (1 - safe))


def erfcinv(x: Any, name: str | None = None) -> Tensor:
    """The inverse of `erfc` elementwise."""
    x = to_tensor(x, None)
    return -ndtri(x * 0.5) * float(np.sqrt(0.5))


def lbeta(x: Any, name: str | None = None) -> Tensor:
    """The logarithm of the beta function of the numbers along the last axis, in absolute value:
    sum(lgamma(x)) - lgamma(sum(x)); -inf where there are none."""
    x = to_tensor(x, None)
    return reduce_sum(Lgamma(x), -1) - Lgamma(reduce_sum(x, -1))


def reciprocal_no_nan(x: Any, name: str | None = None) -> Tensor:
    """1 / x elementwise, 0 where x is 0."""
    x = to_tensor(x, None)
    return divide_no_nan(ones_like(x), x)


# -- angles, neighbours -----------------------------------------------------------------------


def angle(input: Any, name: str | None = None) -> Tensor:
    """The argument of complex numbers elementwise, in (-pi, pi]; pi or 0 of real ones."""
    x = to_tensor(input, None)
    if x.dtype.is_complex:
        return Angle(x)
    zero = zeros_like(x)
    return where(x < zero, zero + float(np.pi), zero)


def _angle_vjp(op: Any, g: Any) -> Any:
    (z,) = op.inputs
    turned = 1 / complex(imag(z), real(z))
    return (-complex(g, g * 0) * turned,)


Angle = Primitive(
    "Angle",
    "input: T",
    impl=lambda x, **_: array_module(x).angle(x),
    shape=lambda x, **_: TensorSpec(x.shape, x.dtype.real_dtype),
    vjp=_angle_vjp,
    batch=batch_rules.unary,
    types={"T": COMPLEX},
)


def nextafter(x1: Any, x2: Any, name: str | None = None) -> Tensor:
    """The next float after `x1` in the direction of `x2` elementwise."""
    return NextAfter(x1, x2)


NextAfter = Primitive(
    "NextAfter",
    "x1: T, x2: T",
    impl=lambda a, b: array_module(a).nextafter(a, b),
    shape=binary("NextAfter"),
    vjp=lambda op, g: (sum_to(g, op.inputs[0]), zeros_like(op.inputs[1])),
    batch=batch_rules.elementwise,
    types={"T": _DOUBLE},
)


# -- incomplete gamma and beta functions ------------------------------------------------------


def igamma(a: Any, x: Any, name: str | None = None) -> Tensor:
    """The lower regularised incomplete gamma function P(a, x) elementwise."""
    return Igamma(a, x)


def igammac(a: Any, x: Any, name: str | None = None) -> Tensor:
    """The upper regularised incomplete gamma function Q(a, x) = 1 - P(a, x) elementwise."""
    return Igammac(a, x)


def _igamma_vjp(op: Any, g: Any) -> Any:
    a, x = op.inputs
    density = Exp(-x + (a - 1) * Log(x) - Lgamma(a))
    return sum_to(g * IgammaGradA(a, x), a), sum_to(g * density, x)


Igamma = Primitive(
    "Igamma",
    "a: T, x: T",
    impl=special("gammainc"),
    shape=binary("Igamma"),
    vjp=_igamma_vjp,
    batch=batch_rules.elementwise,
    types={"T": FLOATS},
)
Igammac = Primitive(
    "Igammac",
    "a: T, x: T",
    impl=special("gammaincc"),
    shape=binary("Igammac"),
    vjp=lambda op, g: tuple(Neg(found) for found in _igamma_vjp(op, g)),
    batch=batch_rules.elementwise,
    types={"T": FLOATS},
)

# Weights of the central difference of order 8.
_STENCIL = (4 / 5, -1 / 5, 4 / 105, -1 / 280)


def _igamma_grad_impl(a: Any, x: Any) -> Any:
    """dP/da by central differences: P is smooth in a over sqrt(a), which is what the step goes
    by, so that the error is near the rounding of P."""
    from scipy.special import gammainc

    a64, x64 = a.astype(np.float64), x.astype(np.float64)
    step = np.minimum(0.01 * np.maximum(1.0, np.sqrt(np.abs(a64))), a64 / 8)
    total = np.zeros(np.broadcast_shapes(a.shape, x.shape))
    for k, weight in enumerate(_STENCIL, 1):
        total = total + weight * (gammainc(a64 + k * step, x64) - gammainc(a64 - k * step, x64))
    return np.asarray(total / step).astype(a.dtype)


IgammaGradA = Primitive(
    "IgammaGradA",
    "a: T, x: T",
    impl=_igamma_grad_impl,
    shape=binary("IgammaGradA"),
    batch=batch_rules.elementwise,
    types={"T": _DOUBLE},
)


def betainc(a: Any, b: Any, x: Any, name: str | None = None) -> Tensor:
    """The regularised incomplete beta function I_x(a, b); only `x` has a gradient."""
    return Betainc(a, b, x)


def _betainc_shape(a: Any, b: Any, x: Any) -> TensorSpec:
    both = broadcast(a.shape, b.shape, "Betainc")
    return TensorSpec(broadcast(both, x.shape, "Betainc"), a.dtype)


def _betainc_vjp(op: Any, g: Any) -> Any:
    a, b, x = op.inputs
    log_beta = Lgamma(a) + Lgamma(b) - Lgamma(a + b)
    density = Exp((b - 1) * Log(1 - x) + (a - 1) * Log(x) - log_beta)
    return None, None, sum_to(g * density, x)


Betainc = Primitive(
    "Betainc",
    "a: T, b: T, x: T",
    impl=special("betainc"),
    shape=_betainc_shape,
    vjp=_betainc_vjp,
    batch=batch_rules.elementwise,
    types={"T": _DOUBLE},
)


# -- zeta -------------------------------------------------------------------------------------


def polygamma(a: Any, x: Any, name: str | None = None) -> Tensor:
    """The derivative of order `a` (whole numbers) of `digamma` at x, elementwise."""
    return Polygamma(a, x)


def zeta(x: Any, q: Any, name: str | None = None) -> Tensor:
    """Hurwitz's zeta function, the sum of (k + q)**-x, elementwise; there is a gradient of `q`
    only."""
    return Zeta(x, q)


Zeta = Primitive(
    "Zeta",
    "x: T, q: T",
    impl=special("zeta"),
    shape=binary("Zeta"),
    vjp=lambda op, g: (
        None,
        sum_to(g * (-op.inputs[0] * Zeta(op.inputs[0] + 1, op.inputs[1])), op.inputs[1]),
    ),
    batch=batch_rules.elementwise,
    types={"T": _DOUBLE},
)
