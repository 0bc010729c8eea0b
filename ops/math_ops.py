"""Arithmetic on two tensors: add, subtract, multiply, divide and their relatives; the functions
of one number come along from `elementwise.py`.

Both inputs have one dtype and broadcast against each other.  As in TensorFlow, integer overflow
wraps, and division by zero gives infinities and NaN of floats, an error of integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes, elementwise
from .array_basics import cast, sum_to
from .array_module import array_module
from .convert import to_tensor
from .elementwise import *  # noqa: F403
from .elementwise import Conj, Log, Log1p, Neg, conj_of
from .errors import InvalidArgumentError
from .indexed_slices import IndexedSlices
from .primitive import Primitive
from .shape_rules import COMPLEX, FLOATS, INTEGERS, NUMERIC, binary, broadcast
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "add", "add_n", "atan2", "complex", "divide", "divide_no_nan", "floordiv", "floormod",
    "maximum", "minimum", "mod", "multiply", "multiply_no_nan", "polyval", "pow", "realdiv",
    "squared_difference", "subtract", "truediv", "truncatediv", "truncatemod", "xdivy",
    "xlog1py", "xlogy", *elementwise.__all__,
]  # fmt: skip

_ORDERED = FLOATS + INTEGERS


def _binary(
    name: str,
    impl: Callable[..., Any],
    expression: str | None,
    vjp: Callable[..., Any],
    types: tuple[Any, ...] = NUMERIC,
) -> Primitive:
    return Primitive(
        name,
        "x: T, y: T",
        impl=impl,
        shape=binary(name),
        vjp=vjp,
        batch=batch_rules.elementwise,
        types={"T": types},
        elementwise=expression,
    )


def _no_gradient(op: Any, g: Any) -> Any:
    return None, None


# -- keep where a mask is set -----------------------------------------------------------------


def masked(x: Any, mask: Any) -> Tensor:
    """`x` where the bool tensor `mask` of the same shape is set, else 0."""
    return Masked(x, mask)


_BITS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def _masked_impl(x: Any, mask: Any) -> Any:
    xp = array_module(x)
    bits = _BITS.get(x.dtype.itemsize)
    if bits is None or x.shape != mask.shape or not x.ndim or not x.flags.c_contiguous:
        return xp.where(mask, x, x.dtype.type(0))
    # The bits of x and all ones or all zeros: several times faster than a choice, which no
    # processor can foresee where the mask looks random.
    keep = mask.astype(bits)
    xp.negative(keep, out=keep)
    keep &= x.view(bits)
    return keep.view(x.dtype)


Masked = Primitive(
    "_Masked",
    "x: T, mask: bool",
    impl=_masked_impl,
    shape=lambda x, mask: TensorSpec(broadcast(x.shape, mask.shape, "_Masked"), x.dtype),
    vjp=lambda op, g: (sum_to(Masked(g, op.inputs[1]), op.inputs[0]), None),
    batch=batch_rules.elementwise,
    elementwise="where(b, a, 0)",
)


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


AddV2 = _binary("AddV2", np.add, "a + b", _add_vjp, (*NUMERIC, dtypes.string))


def subtract(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x - y elementwise, with broadcasting."""
    return Sub(x, y)


def _sub_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g, x), sum_to(Neg(g), y)


Sub = _binary("Sub", np.subtract, "a - b", _sub_vjp)


def multiply(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x * y elementwise, with broadcasting."""
    return Mul(x, y)


def _mul_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(Mul(g, conj_of(y)), x), sum_to(Mul(g, conj_of(x)), y)


Mul = _binary("Mul", np.multiply, "a * b", _mul_vjp)


def multiply_no_nan(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x * y elementwise, and 0 wherever y is 0, even if x is infinite or NaN."""
    return MulNoNan(x, y)


def _mul_no_nan_impl(x: Any, y: Any) -> Any:
    return array_module(x).where(y == 0, y.dtype.type(0), x * y)


def _mul_no_nan_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(MulNoNan(g, conj_of(y)), x), sum_to(MulNoNan(conj_of(x), g), y)


MulNoNan = _binary(
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


SquaredDifference = _binary(
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


# -- division ---------------------------------------------------------------------------------


_TRUEDIV_DTYPE = {
    dtypes.int8: dtypes.float32,
    dtypes.uint8: dtypes.float32,
    dtypes.int16: dtypes.float32,
    dtypes.uint16: dtypes.float32,
    dtypes.int32: dtypes.float64,
    dtypes.int64: dtypes.float64,
    dtypes.uint32: dtypes.float64,
    dtypes.uint64: dtypes.float64,
}


def truediv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise as Python 3 has it: integers are converted first, those of 8 and 16
    bits to float32, the others to float64.

    Raises:
        TypeError: the dtypes differ.
    """
    x, y = _pair(x, y)
    if x.dtype is not y.dtype:
        raise TypeError(
            f"`x` and `y` must have the same dtype, got {x.dtype!r} != {y.dtype!r}."
        )
    if x.dtype.is_integer:
        to = _TRUEDIV_DTYPE[x.dtype]
        x, y = cast(x, to), cast(y, to)
    return RealDiv(x, y)


def _pair(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors; a tensor's dtype is offered to the other if that is no tensor."""
    if not isinstance(x, Tensor):
        have = (
            getattr(y, "dtype", None)
            if isinstance(y, Tensor) or hasattr(y, "_is_headrace_value")
            else None
        )
        x = _offered(x, have)
    return x, y if isinstance(y, Tensor) else _offered(y, x.dtype)


def _offered(value: Any, dtype: Any) -> Tensor:
    try:
        return to_tensor(value, dtype)
    except (TypeError, ValueError):
        return to_tensor(value, None)


def divide(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise; see `truediv`."""
    return truediv(x, y)


def realdiv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise of floats."""
    return RealDiv(x, y)


def _div_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    y = conj_of(y)
    gx = RealDiv(g, y)
    return sum_to(gx, x), sum_to(Neg(gx * conj_of(op.outputs[0])), y)


RealDiv = _binary("RealDiv", np.true_divide, "a / b", _div_vjp, FLOATS + COMPLEX)


def _truncate_div_impl(x: Any, y: Any) -> Any:
    xp = array_module(x)
    if x.dtype.kind not in "iu":
        return xp.true_divide(x, y)
    _check_divisor(y)
    return xp.floor_divide(x - xp.fmod(x, y), y)


def _check_divisor(y: Any) -> None:
    if not y.all():
        raise InvalidArgumentError("Integer division by zero")


Div = _binary("Div", _truncate_div_impl, None, _div_vjp)


def truncatediv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y of integers elementwise, rounded towards zero.

    Raises:
        InvalidArgumentError: a divisor is 0.
    """
    return TruncateDiv(x, y)


TruncateDiv = _binary("TruncateDiv", _truncate_div_impl, None, _no_gradient)


def truncatemod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The remainder of `truncatediv`: it has the sign of x."""
    return TruncateMod(x, y)


def _truncate_mod_impl(x: Any, y: Any) -> Any:
    if y.dtype.kind in "iu":
        _check_divisor(y)
    return array_module(x).fmod(x, y)


TruncateMod = _binary("TruncateMod", _truncate_mod_impl, None, _no_gradient, _ORDERED)


def floordiv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise, rounded down.

    Raises:
        InvalidArgumentError: a divisor is the integer 0.
    """
    return FloorDiv(x, y)


def _floor_div_impl(x: Any, y: Any) -> Any:
    xp = array_module(x)
    if y.dtype.kind in "iu":
        _check_divisor(y)
        return xp.floor_divide(x, y)
    # floor(x / y) and not NumPy's floor_divide, which corrects the quotient's rounding.
    return xp.floor(xp.true_divide(x, y))


FloorDiv = _binary("FloorDiv", _floor_div_impl, None, _no_gradient, _ORDERED)


def floormod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The remainder of `floordiv`: it has the sign of y, as Python's %.

    Raises:
        InvalidArgumentError: a divisor is the integer 0.
    """
    return FloorMod(x, y)


def mod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The remainder of `floordiv`; the same as `floormod`."""
    return FloorMod(x, y)


def _floor_mod_impl(x: Any, y: Any) -> Any:
    if y.dtype.kind in "iu":
        _check_divisor(y)
    return array_module(x).remainder(x, y)


def _floor_mod_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g, x), sum_to(g * Neg(FloorDiv(x, y)), y)


FloorMod = _binary("FloorMod", _floor_mod_impl, None, _floor_mod_vjp, _ORDERED)


def divide_no_nan(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise, and 0 wherever y is 0; integers are converted as in `truediv`."""
    x, y = _pair(x, y)
    if x.dtype.is_integer and x.dtype is y.dtype:
        to = _TRUEDIV_DTYPE[x.dtype]
        x, y = cast(x, to), cast(y, to)
    return DivNoNan(x, y)


def _div_no_nan_impl(x: Any, y: Any) -> Any:
    xp = array_module(x)
    return xp.where(y == 0, y.dtype.type(0), xp.true_divide(x, y))


def _div_no_nan_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    y_ = conj_of(y)
    gx = DivNoNan(g, y_)
    return sum_to(gx, x), sum_to(Neg(gx * conj_of(op.outputs[0])), y)


DivNoNan = _binary(
    "DivNoNan", _div_no_nan_impl, "where(b == 0, 0, a / b)", _div_no_nan_vjp, FLOATS + COMPLEX
)


def xdivy(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y elementwise, and 0 wherever x is 0."""
    return Xdivy(x, y)


def _zero_at_zero(x: Any, value: Any) -> Any:
    return array_module(x).where(x == 0, x.dtype.type(0), value)


def _xdivy_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    some = _nonzero(x)
    return sum_to(g * Xdivy(some, y), x), sum_to(g * Xdivy(Neg(x), y * y), y)


def _nonzero(x: Any) -> Any:
    """1 where x is not 0, else 0, in x's dtype."""
    return cast(cast(x, dtypes.bool), x.dtype)


Xdivy = _binary(
    "Xdivy",
    lambda x, y: _zero_at_zero(x, x / y),
    "where(a == 0, 0, a / b)",
    _xdivy_vjp,
    FLOATS + COMPLEX,
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
        some = _nonzero(x)
        logs = Log(x_ + (1 - some)) * some
        return sum_to(g * y_ * Pow(x_, y_ - 1), x), sum_to(g * z_ * logs, y)
    gx = sum_to(g * (y * Pow(x, y - 1)), x)
    positive = x > 0
    return gx, sum_to(g * (z * Masked(Log(x), positive)), y)


Pow = _binary("Pow", _pow_impl, "pow(a, b)", _pow_vjp)


def xlogy(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x * log(y) elementwise, and 0 wherever x is 0."""
    return Xlogy(x, y)


def _xlogy_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    return sum_to(g * Xlogy(_nonzero(x), y), x), sum_to(g * Xdivy(x, y), y)


Xlogy = _binary(
    "Xlogy",
    lambda x, y: _zero_at_zero(x, x * array_module(x).log(y)),
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


Xlog1py = _binary(
    "Xlog1py",
    lambda x, y: _zero_at_zero(x, x * array_module(x).log1p(y)),
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


Maximum = _binary("Maximum", np.maximum, "max(a, b)", _maximum_vjp, _ORDERED)
Minimum = _binary("Minimum", np.minimum, "min(a, b)", _minimum_vjp, _ORDERED)


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
