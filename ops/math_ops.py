"""Arithmetic on two tensors: add, subtract, multiply, divide and their relatives.

Both inputs have one dtype and broadcast against each other.  Integer overflow wraps, division
of floats by zero gives infinities and NaN, as in TensorFlow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import sum_to
from .array_module import array_module
from .primitive import Primitive
from .shape_rules import binary
from .tensor import Tensor

__all__ = ["add", "multiply", "negative", "subtract"]


def _quiet(fn: Any) -> Any:
    """`fn` with NumPy's floating-point warnings off: infinities and NaN are values here."""
    return np.errstate(all="ignore")(fn)


def add(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x + y elementwise, with broadcasting; strings are joined."""
    return AddV2(x, y)


def _add_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g, x), sum_to(g, y)


AddV2 = Primitive(
    "AddV2", "x: T, y: T", impl=np.add, shape=binary("AddV2"), vjp=_add_vjp, batch=batch_rules.elementwise,
    elementwise="a + b",
)  # fmt: skip


def subtract(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x - y elementwise, with broadcasting."""
    return Sub(x, y)


def _sub_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g, x), sum_to(negative(g), y)


Sub = Primitive(
    "Sub", "x: T, y: T", impl=np.subtract, shape=binary("Sub"), vjp=_sub_vjp, batch=batch_rules.elementwise,
    elementwise="a - b",
)  # fmt: skip


def multiply(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x * y elementwise, with broadcasting."""
    return Mul(x, y)


def _mul_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g * y, x), sum_to(g * x, y)


Mul = Primitive(
    "Mul", "x: T, y: T", impl=np.multiply, shape=binary("Mul"), vjp=_mul_vjp, batch=batch_rules.elementwise,
    elementwise="a * b",
)  # fmt: skip


def negative(x: Any, name: str | None = None) -> Tensor:
    """-x elementwise."""
    return Neg(x)


Neg = Primitive(
    "Neg", "x: T", impl=np.negative, shape=lambda x: binary("Neg")(x, x), vjp=lambda op, g: (negative(g),),
    batch=batch_rules.unary, elementwise="-a",
)  # fmt: skip

assert array_module
