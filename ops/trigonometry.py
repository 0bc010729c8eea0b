"""Trigonometric and hyperbolic functions and their inverses, elementwise, in radians."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import Neg, Reciprocal, Sqrt, Square, conj_of, unary_call, unary_primitive
from .tensor import Tensor

__all__ = [
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "sin", "sinh", "tan",
]  # fmt: skip


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


Sin = unary_primitive("Sin", np.sin, "sin(a)", lambda op, g: (g * conj_of(Cos(op.inputs[0])),))
Cos = unary_primitive(
    "Cos", np.cos, "cos(a)", lambda op, g: (Neg(g) * conj_of(Sin(op.inputs[0])),)
)
Tan = unary_primitive(
    "Tan", np.tan, "tan(a)", lambda op, g: (g * conj_of(Square(Reciprocal(Cos(op.inputs[0])))),)
)
Asin = unary_primitive(
    "Asin", np.arcsin, "asin(a)", lambda op, g: (g / conj_of(Sqrt(1 - Square(op.inputs[0]))),)
)
Acos = unary_primitive(
    "Acos",
    np.arccos,
    "acos(a)",
    lambda op, g: (Neg(g) / conj_of(Sqrt(1 - Square(op.inputs[0]))),),
)
Atan = unary_primitive(
    "Atan", np.arctan, "atan(a)", lambda op, g: (g / conj_of(Square(op.inputs[0]) + 1),)
)
Sinh = unary_primitive(
    "Sinh", np.sinh, "sinh(a)", lambda op, g: (g * conj_of(Cosh(op.inputs[0])),)
)
Cosh = unary_primitive(
    "Cosh", np.cosh, "cosh(a)", lambda op, g: (g * conj_of(Sinh(op.inputs[0])),)
)
Asinh = unary_primitive(
    "Asinh", np.arcsinh, "asinh(a)", lambda op, g: (g / conj_of(Cosh(op.outputs[0])),)
)
Acosh = unary_primitive(
    "Acosh", np.arccosh, "acosh(a)", lambda op, g: (g / conj_of(Sinh(op.outputs[0])),)
)
Atanh = unary_primitive(
    "Atanh", np.arctanh, "atanh(a)", lambda op, g: (g / conj_of(1 - Square(op.inputs[0])),)
)
