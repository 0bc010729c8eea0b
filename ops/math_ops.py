"""Arithmetic on two tensors: sums, products, powers, extrema and their relatives;
division has a module of its own.

Both inputs have one dtype and broadcast against each other.  Integer overflow wraps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes, elementwise
from .array_basics import cast, sum_to
from .array_module import array_module
from .binary_primitives import ORDERED, Masked, binary_primitive
from .convert import to_tensor
from .division import Xdivy, nonzero, zero_at_zero
from .elementwise import Conj, Log, Log1p, Neg, conj_of
from .errors import InvalidArgumentError
from .indexed_slices import IndexedSlices
from .primitive import Primitive
from .shape_rules import COMPLEX, FLOATS, NUMERIC, binary, broadcast
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "add", "add_n", "atan2", "complex", "maximum", "minimum", "multiply", "multiply_no_nan",
    "polyval", "pow", "squared_difference", "subtract", "xlog1py", "xlogy",
]  # fmt: skip


# -- sums, differences, products --------------------------------------------------------------


def add(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x + y elementwise, with broadcasting; strings are joined.

    >>> add([1, 2], 3).numpy()
    array([4, 5], dtype=int32)
    """
    return AddV2(x, y)


def _add_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g, x), sum_to(g, y)


AddV2 = binary_primitive("AddV2", np.add, "a + b", _add_vjp, (*NUMERIC, dtypes.string))


def subtract(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x - y elementwise, with broadcasting."""
    return Sub(x, y)


def _sub_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g, x), sum_to(Neg(g), y)


Sub = binary_primitive("Sub", np.subtract, "a - b", _sub_vjp)


def multiply(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x * y elementwise, with broadcasting."""
    return Mul(x, y)


def _mul_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    for_x, for_y = op.needs or (True, True)
    return (
        sum_to(Mul(g, conj_of(y)), x) if for_x else None,
        sum_to(Mul(g, conj_of(x)), y) if for_y else None,
    )


Mul = binary_primitive("Mul", np.multiply, "a * b", _mul_vjp)


def multiply_no_nan(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x * y elementwise, and 0 wherever y is 0, even if x is infinite or NaN."""
    return MulNoNan(x, y)


def _mul_no_nan_impl(x: Any, y: Any) -> Any:
    return array_module(x).where(y == 0, y.dtype.type(0), x * y)


def _mul_no_nan_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(MulNoNan(g, conj_of(y)), x), sum_to(MulNoNan(conj_of(x), g), y)


MulNoNan = binary_primitive(
    "MulNoNan", _mul_no_nan_impl, "where(b == 0, 0, a * b)", _mul_no_nan_vjp, FLOATS + COMPLEX
)


def squared_difference(x: Any, y: Any, name: str | None = None) -> Tensor:
    """(x - y) * (x - y) elementwise; of complex numbers conj(x - y) * (x - y)."""
    return SquaredDifference(x, y)


def _squared_difference_impl(x: Any, y: Any) -> Any:
    xp = array_module(x)
    d = xp.subtract(x, y)
    return d * d.conj() if d.dtype.kind == "c" else xp.multiply(d, d)


def _squared_difference_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    d = g * ((x - y) * 2)
    return sum_to(d, x), sum_to(Neg(d), y)


SquaredDifference = binary_primitive(
    "SquaredDifference", _squared_difference_impl, "(a - b) * (a - b)", _squared_difference_vjp
)


def add_n(inputs: Any, name: str | None = None) -> Tensor:
    """The sum of a list of tensors (or `IndexedSlices`) of one shape and dtype.

    Raises:
        ValueError: the list is empty.
    """
    if isinstance(inputs, (Tensor, IndexedSlices)):
        inputs = [inputs]
    inputs = list(inputs)
    if not inputs:
        raise ValueError(
            "Inputs must be an iterable of at least one "
            "Tensor/IndexedSlices with the same dtype and shape."
        )
    tensors = [to_tensor(x, None) for x in inputs]
    return tensors[0] if len(tensors) == 1 else AddN(tensors)


def _add_n_impl(*arrays: Any) -> Any:
    total = arrays[0] + arrays[1]
    if not total.ndim:
        return sum(arrays[2:], start=total)
    for a in arrays[2:]:
        total += a
    return total


def _add_n_shape(*tensors: Any) -> TensorSpec:
    shape = tensors[0].shape
    for t in tensors[1:]:
        if not shape.is_compatible_with(t.shape):
            raise InvalidArgumentError(
                f"Shapes must be equal: {shape} and {t.shape} [Op:AddN]", op="AddN"
            )
        shape = shape.merge_with(t.shape)
    return TensorSpec(shape, tensors[0].dtype)


AddN = Primitive(
    "AddN",
    "inputs: N * T",
    impl=_add_n_impl,
    shape=_add_n_shape,
    vjp=lambda op, g: (g,) * len(op.inputs),
    batch=lambda ctx, *xs: AddN(list(batch_rules.all_batched(ctx, xs))),
    types={"T": NUMERIC},
    check_first=True,
)


# -- powers, logarithms and angles of two numbers ---------------------------------------------


def pow(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x to the power y elementwise.

    Raises:
        InvalidArgumentError: an integer is raised to a negative integer.
    """
    return Pow(x, y)


def _pow_impl(x: Any, y: Any) -> Any:
    if x.dtype.kind == "i" and y.size and y.min() < 0:
        raise InvalidArgumentError("Integers to negative integer powers are not allowed")
    return array_module(x).power(x, y)


def _pow_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    z = op.outputs[0]
    if x.dtype.is_complex:
        x_, y_, z_ = Conj(x), Conj(y), Conj(z)
        some = nonzero(x)
        logs = Log(x_ + (1 - some)) * some
        return sum_to(g * y_ * Pow(x_, y_ - 1), x), sum_to(g * z_ * logs, y)
    gx = sum_to(g * (y * Pow(x, y - 1)), x)
    if op.needs and not op.needs[1]:
        return gx, None
    positive = x > 0
    return gx, sum_to(g * (z * Masked(Log(x), positive)), y)


Pow = binary_primitive("Pow", _pow_impl, "pow(a, b)", _pow_vjp)


def xlogy(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x * log(y) elementwise, and 0 wherever x is 0."""
    return Xlogy(x, y)


def _xlogy_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g * Xlogy(nonzero(x), y), x), sum_to(g * Xdivy(x, y), y)


Xlogy = binary_primitive(
    "Xlogy",
    lambda x, y: zero_at_zero(x, x * array_module(x).log(y)),
    "where(a == 0, 0, a * log(b))",
    _xlogy_vjp,
    FLOATS + COMPLEX,
)


def xlog1py(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x * log(1 + y) elementwise, and 0 wherever x is 0."""
    return Xlog1py(x, y)


def _xlog1py_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g * Masked(Log1p(y), cast(x, dtypes.bool)), x), sum_to(g * Xdivy(x, y + 1), y)


Xlog1py = binary_primitive(
    "Xlog1py",
    lambda x, y: zero_at_zero(x, x * array_module(x).log1p(y)),
    "where(a == 0, 0, a * log1p(b))",
    _xlog1py_vjp,
    FLOATS + COMPLEX,
)


def atan2(y: Any, x: Any, name: str | None = None) -> Tensor:
    """The angle in (-pi, pi] of the point (x, y), elementwise."""
    return Atan2(y, x)


def _atan2_vjp(op: Any, g: Any) -> Any:
    y, x = op.inputs
    scaled = g / (x * x + y * y)
    return sum_to(x * scaled, y), sum_to(Neg(y) * scaled, x)


def _atan2_impl(y: Any, x: Any) -> Any:
    return array_module(y).arctan2(y, x)


Atan2 = Primitive(
    "Atan2",
    "y: T, x: T",
    impl=_atan2_impl,
    shape=binary("Atan2"),
    vjp=_atan2_vjp,
    batch=batch_rules.elementwise,
    types={"T": FLOATS},
    elementwise="atan2(a, b)",
)


# -- maximum and minimum ----------------------------------------------------------------------


def maximum(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The larger of x and y elementwise; NaN if either is."""
    return Maximum(x, y)


def minimum(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The smaller of x and y elementwise; NaN if either is."""
    return Minimum(x, y)


def _maximum_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    gx = Masked(g, x >= y)
    return sum_to(gx, x), sum_to(g - gx, y)


def _minimum_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    gx = Masked(g, x <= y)
    return sum_to(gx, x), sum_to(g - gx, y)


Maximum = binary_primitive("Maximum", np.maximum, "max(a, b)", _maximum_vjp, ORDERED)
Minimum = binary_primitive("Minimum", np.minimum, "min(a, b)", _minimum_vjp, ORDERED)


# -- others -----------------------------------------------------------------------------------


def complex(real: Any, imag: Any, name: str | None = None) -> Tensor:
    """The complex tensor real + i * imag of two float32 or float64 tensors."""
    return Complex(real, imag)


def _complex_impl(real: Any, imag: Any) -> Any:
    return real + imag * (np.complex64(1j) if real.dtype == np.float32 else np.complex128(1j))


def _complex_shape(real: Any, imag: Any) -> TensorSpec:
    dtype = dtypes.complex64 if real.dtype is dtypes.float32 else dtypes.complex128
    return TensorSpec(broadcast(real.shape, imag.shape, "Complex"), dtype)


def _complex_vjp(op: Any, g: Any) -> Any:
    return sum_to(elementwise.real(g), op.inputs[0]), sum_to(elementwise.imag(g), op.inputs[1])


Complex = Primitive(
    "Complex",
    "real: T, imag: T",
    impl=_complex_impl,
    shape=_complex_shape,
    vjp=_complex_vjp,
    batch=batch_rules.elementwise,
    types={"T": (dtypes.float32, dtypes.float64)},
)


def polyval(coeffs: Any, x: Any, name: str | None = None) -> Tensor:
    """The polynomial with the list of coefficients `coeffs`, highest power first, at x."""
    if not isinstance(coeffs, list):
        raise ValueError(f"Argument coeffs must be list type. Received type {type(coeffs)}.")
    x = to_tensor(x, None)
    if not coeffs:
        return x * 0
    coeffs = [to_tensor(c, x.dtype) for c in coeffs]
    p = coeffs[0] + x * 0
    for c in coeffs[1:]:
        p = c + p * x
    return p
