"""The special functions: error functions, log-gamma and its derivatives.

Their array forms are SciPy's (CuPy's on a device), loaded when one is first used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import sum_to
from .array_module import scipy_module
from .elementwise import Exp, Neg, Square, unary_call, unary_primitive
from .primitive import Primitive
from .shape_rules import FLOATS, binary
from .tensor import Tensor

__all__ = [
    "digamma", "erf", "erfc", "erfinv", "lgamma",
]  # fmt: skip


def special(name: str) -> Callable[..., Any]:
    """SciPy's (on devices CuPy's) special function `name`; small float dtypes are kept."""

    def impl(*arrays: Any) -> Any:
        fn = getattr(scipy_module("special", *arrays), name)
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


Erf = unary_primitive(
    "Erf", special("erf"), "erf(a)", lambda op, g: (g * _gauss(op.inputs[0]),), FLOATS
)
Erfc = unary_primitive(
    "Erfc", special("erfc"), "erfc(a)", lambda op, g: (Neg(g) * _gauss(op.inputs[0]),), FLOATS
)
Erfinv = unary_primitive(
    "Erfinv", special("erfinv"), None, lambda op, g: (g / _gauss(op.outputs[0]),), FLOATS
)
Lgamma = unary_primitive(
    "Lgamma", special("gammaln"), None, lambda op, g: (g * Digamma(op.inputs[0]),), FLOATS
)
Digamma = unary_primitive(
    "Digamma",
    special("psi"),
    None,
    lambda op, g: (g * Polygamma(op.inputs[0] * 0 + 1, op.inputs[0]),),
    FLOATS,
)


def _polygamma_impl(a: Any, x: Any) -> Any:
    library = scipy_module("special", a, x)
    # polygamma is only given for integer orders by SciPy; the zeta form is its definition.
    a64, x64 = a.astype(np.float64), x.astype(np.float64)
    sign = np.where(np.mod(a64, 2) == 0, -1.0, 1.0)
    value = sign * library.gamma(a64 + 1) * library.zeta(a64 + 1, x64)
    return np.where(a64 == 0, library.psi(x64), value).astype(x.dtype)


Polygamma = Primitive(
    "Polygamma",
    "a: T, x: T",
    impl=_polygamma_impl,
    shape=binary("Polygamma"),
    vjp=lambda op, g: (
        None,
        sum_to(g * Polygamma(op.inputs[0] + 1, op.inputs[1]), op.inputs[1]),
    ),
    batch=batch_rules.elementwise,
    types={"T": (dtypes.float32, dtypes.float64)},
)
