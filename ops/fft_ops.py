"""Discrete Fourier transforms over the last one, two or three axes: fft, rfft, their inverses.

Values are NumPy's (pocketfft), which computes complex64 in single precision.  A transform's
gradient is its adjoint; those of transforms between real numbers and half spectra are private
primitives here, each the gradient of the other's partner, so that every order follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import UnbatchableShape, shape
from .array_module import array_module
from .convert import convert_to_tensor, to_tensor
from .dtypes import as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .shape_rules import COMPLEX
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = [
    "fft", "fft2d", "fft3d", "ifft", "ifft2d", "ifft3d", "irfft", "irfft2d", "irfft3d", "rfft",
    "rfft2d", "rfft3d",
]  # fmt: skip

REALS = (dtypes.float32, dtypes.float64)


def _check_rank(x: Any, axes: tuple[int, ...], name: str) -> bool:
    """Whether the rank is known; raises where it is too small."""
    if x.shape.rank is None:
        return False
    if x.shape.rank < len(axes):
        raise InvalidArgumentError(
            f"Input must have rank of at least {len(axes)} but got: {x.shape.rank} [Op:{name}]",
            op=name,
        )
    return True


def replaced(dims: TensorShape, axes: tuple[int, ...], sizes: Any) -> TensorShape:
    out = list(dims)
    for a, n in zip(axes, sizes, strict=True):
        out[a] = n
    return TensorShape(out)


def _last(rank: int) -> tuple[int, ...]:
    return tuple(range(-rank, 0))


# -- complex to complex -----------------------------------------------------------------------


def transform(x: Any, axes: tuple[int, ...], inverse: bool, norm: str = "backward") -> Any:
    if not x.size:
        return x.copy()
    fft_module = array_module(x).fft
    if len(axes) == 1:
        return (fft_module.ifft if inverse else fft_module.fft)(x, axis=axes[0], norm=norm)
    return (fft_module.ifftn if inverse else fft_module.fftn)(x, axes=axes, norm=norm)


def _dft_vjp(op: Any, g: Any) -> Any:
    a = op.attrs
    norm = "forward" if a["norm"] == "backward" else "backward"
    return (Dft(g, axes=a["axes"], inverse=not a["inverse"], norm=norm),)


# The transform with its scale free: "backward" scales the inverse, "forward" the other one.
Dft = Primitive(
    "_Dft",
    "input: T",
    impl=lambda x, *, axes, inverse, norm: transform(x, axes, inverse, norm),
    shape=lambda x, **_: TensorSpec(x.shape, x.dtype),
    vjp=_dft_vjp,
    batch=batch_rules.unary,
    types={"T": COMPLEX},
)


def _declare_complex(name: str, rank: int, inverse: bool) -> Primitive:
    axes = _last(rank)

    def rule(x: Any, **_: Any) -> TensorSpec:
        _check_rank(x, axes, name)
        return TensorSpec(x.shape, x.dtype)

    return Primitive(
        name,
        "input: T",
        impl=lambda x: transform(x, axes, inverse),
        shape=rule,
        vjp=lambda op, g: (Dft(g, axes=axes, inverse=not inverse, norm="forward"),),
        batch=batch_rules.unary,
        types={"T": COMPLEX},
        check_first=True,
    )


FFT = _declare_complex("FFT", 1, False)
IFFT = _declare_complex("IFFT", 1, True)
FFT2D = _declare_complex("FFT2D", 2, False)
IFFT2D = _declare_complex("IFFT2D", 2, True)
FFT3D = _declare_complex("FFT3D", 3, False)
IFFT3D = _declare_complex("IFFT3D", 3, True)


def fft(input: Any, name: str | None = None) -> Tensor:
    """The discrete Fourier transform of complex numbers over the last axis."""
    return FFT(input)


def ifft(input: Any, name: str | None = None) -> Tensor:
    """The inverse of `fft`."""
    return IFFT(input)


def fft2d(input: Any, name: str | None = None) -> Tensor:
    """The discrete Fourier transform of complex numbers over the last two axes."""
    return FFT2D(input)


def ifft2d(input: Any, name: str | None = None) -> Tensor:
    """The inverse of `fft2d`."""
    return IFFT2D(input)


def fft3d(input: Any, name: str | None = None) -> Tensor:
    """The discrete Fourier transform of complex numbers over the last three axes."""
    return FFT3D(input)


def ifft3d(input: Any, name: str | None = None) -> Tensor:
    """The inverse of `fft3d`."""
    return IFFT3D(input)


# -- sizes ------------------------------------------------------------------------------------


def _fit_impl(x: Any, like: Any, *, axes: tuple[int, ...]) -> Any:
    sizes = list(x.shape)
    for a in axes:
        sizes[a] = like.shape[a]
    if tuple(sizes) == x.shape:
        return x
    part = tuple(slice(0, min(m, n)) for m, n in zip(sizes, x.shape, strict=True))
    out = array_module(x).zeros(sizes, x.dtype)
    out[part] = x[part]
    return out


def _fit_shape(x: Any, like: Any, *, axes: tuple[int, ...]) -> TensorSpec:
    if x.shape.rank is None or like.shape.rank is None:
        return TensorSpec(None, x.dtype)
    return TensorSpec(replaced(x.shape, axes, [like.shape[a] for a in axes]), x.dtype)


# x cut, or padded with zeros at the end, along axes (counted from the back) to like's sizes.
Fit = Primitive(
    "_Fit",
    "x: T, like: L",
    impl=_fit_impl,
    shape=_fit_shape,
    vjp=lambda op, g: (Fit(g, op.inputs[0], **op.attrs), None),
    batch=lambda ctx, *xs, **attrs: ctx.primitive.call_flat(
        batch_rules.all_batched(ctx, xs), attrs
    ),
)


def to_lengths(x: Any, lengths: Any, axes: tuple[int, ...]) -> Any:
    """The array cut or padded to the transform's lengths."""
    sizes = list(x.shape)
    for a, n in zip(axes, lengths, strict=True):
        sizes[a] = n
    return _fit_impl(x, np.broadcast_to(np.empty((), np.int8), sizes), axes=axes)


def lengths_of(fft_length: Any, axes: tuple[int, ...], name: str) -> list[int]:
    found = np.asarray(fft_length).reshape(-1).tolist()
    if len(found) != len(axes):
        raise InvalidArgumentError(
            f"fft_length must have shape [{len(axes)}], got {len(found)} elements [Op:{name}]",
            op=name,
        )
    if any(n < 0 for n in found):
        raise InvalidArgumentError(f"fft_length must be >= 0, got {found} [Op:{name}]", op=name)
    return found


# -- real numbers and half spectra ------------------------------------------------------------


def _half_weights(x: Any, n: int, middle: float) -> Any:
    """1 for the first (and, for even n, last) entry of a half spectrum, else `middle`."""
    out = array_module(x).full(n // 2 + 1, middle, x.real.dtype)
    out[0] = 1
    if n % 2 == 0:
        out[-1] = 1
    return out


def rfft_array(
    x: Any, lengths: list[int], axes: tuple[int, ...], norm: str = "backward"
) -> Any:
    if not all(lengths) or not x.size:
        complex_dtype = np.result_type(x.dtype, np.complex64)
        sizes = list(x.shape)
        for a, n in zip(axes, lengths, strict=True):
            sizes[a] = n
        sizes[axes[-1]] = lengths[-1] // 2 + 1 if lengths[-1] else 0
        return array_module(x).zeros(sizes, complex_dtype)
    return array_module(x).fft.rfftn(x, lengths, axes, norm)


def irfft_array(
    y: Any, lengths: list[int], axes: tuple[int, ...], norm: str = "backward"
) -> Any:
    if not all(lengths) or not y.size:
        sizes = list(y.shape)
        for a, n in zip(axes, lengths, strict=True):
            sizes[a] = n
        return array_module(y).zeros(sizes, y.real.dtype)
    return array_module(y).fft.irfftn(y, lengths, axes, norm)


def _rfft_impl(x: Any, fft_length: Any, *, axes: tuple[int, ...], **_: Any) -> Any:
    return rfft_array(x, lengths_of(fft_length, axes, "RFFT"), axes)


def _irfft_impl(y: Any, fft_length: Any, *, axes: tuple[int, ...], **_: Any) -> Any:
    return irfft_array(y, lengths_of(fft_length, axes, "IRFFT"), axes)


def _rfft_adjoint_impl(g: Any, fft_length: Any, *, axes: tuple[int, ...]) -> Any:
    lengths = lengths_of(fft_length, axes, "RFFT")
    if not all(lengths):
        return irfft_array(g, lengths, axes)
    spread = (1,) * (-axes[-1] - 1)
    weights = _half_weights(g, lengths[-1], 0.5).reshape((-1, *spread))
    return irfft_array(g * weights, lengths, axes, "forward")


def _irfft_adjoint_impl(g: Any, fft_length: Any, *, axes: tuple[int, ...]) -> Any:
    lengths = lengths_of(fft_length, axes, "IRFFT")
    if not all(lengths):
        return rfft_array(g, lengths, axes)
    spread = (1,) * (-axes[-1] - 1)
    weights = _half_weights(g, lengths[-1], 2.0).reshape((-1, *spread))
    return rfft_array(g, lengths, axes, "forward") * weights


def real_rule(name: str, to_half: bool) -> Callable[..., TensorSpec]:
    def rule(x: Any, fft_length: Any, *, axes: tuple[int, ...], **_: Any) -> TensorSpec:
        if to_half:
            dtype = as_dtype("complex64" if x.dtype.size == 4 else "complex128")
        else:
            dtype = x.dtype.real_dtype
        if not _check_rank(x, axes, name):
            return TensorSpec(None, dtype)
        known = constant_value(fft_length)
        if known is None:
            return TensorSpec(replaced(x.shape, axes, [None] * len(axes)), dtype)
        lengths: list[int | None] = list(lengths_of(known, axes, name))
        if to_half:
            n = lengths[-1] or 0
            lengths[-1] = n // 2 + 1 if n else 0
        return TensorSpec(replaced(x.shape, axes, lengths), dtype)

    return rule


def _lengths_batch(ctx: Any, x: Any, fft_length: Any, **attrs: Any) -> Any:
    if ctx.batched[1]:
        raise UnbatchableShape(ctx.primitive.name)
    return ctx.primitive.call_flat((x, fft_length), attrs)


def _real_primitive(
    name: str, to_half: bool, impl: Callable[..., Any], vjp: Callable[..., Any]
) -> Primitive:
    return Primitive(
        name,
        "input: T, fft_length: int32",
        impl=impl,
        shape=real_rule(name, to_half),
        vjp=vjp,
        batch=_lengths_batch,
        types={"T": REALS if to_half else COMPLEX},
        check_first=True,
    )


def _to_half_vjp(adjoint: str) -> Callable[..., Any]:
    """The gradient by the private primitive `adjoint`, fitted to the input's size."""

    def vjp(op: Any, g: Any) -> Any:
        x, lengths = op.inputs
        axes = op.attrs["axes"]
        found = ADJOINTS[adjoint](g, lengths, axes=axes)
        return Fit(found, x, axes=axes), None

    return vjp


_Rfft = _real_primitive("_Rfft", True, _rfft_impl, _to_half_vjp("rfft"))
_Irfft = _real_primitive("_Irfft", False, _irfft_impl, _to_half_vjp("irfft"))
# The adjoints of the two, for arguments of exactly the transform's sizes.
_RfftAdjoint = _real_primitive(
    "_RfftAdjoint",
    False,
    _rfft_adjoint_impl,
    lambda op, g: (_Rfft(g, op.inputs[1], **op.attrs), None),
)
_IrfftAdjoint = _real_primitive(
    "_IrfftAdjoint",
    True,
    _irfft_adjoint_impl,
    lambda op, g: (_Irfft(g, op.inputs[1], **op.attrs), None),
)
ADJOINTS = {"rfft": _RfftAdjoint, "irfft": _IrfftAdjoint}


def _declare_real(name: str, rank: int, to_half: bool) -> Primitive:
    axes = _last(rank)
    impl = _rfft_impl if to_half else _irfft_impl
    rule = real_rule(name, to_half)
    adjoint = ADJOINTS["rfft" if to_half else "irfft"]

    def vjp(op: Any, g: Any) -> Any:
        x, lengths = op.inputs
        return Fit(adjoint(g, lengths, axes=axes), x, axes=axes), None

    return Primitive(
        name,
        "input: T, fft_length: int32",
        impl=lambda x, n, **_: impl(x, n, axes=axes),
        shape=lambda x, n, **_: rule(x, n, axes=axes),
        vjp=vjp,
        batch=_lengths_batch,
        types={"T": REALS if to_half else COMPLEX},
        check_first=True,
    )


RFFT = _declare_real("RFFT", 1, True)
IRFFT = _declare_real("IRFFT", 1, False)
RFFT2D = _declare_real("RFFT2D", 2, True)
IRFFT2D = _declare_real("IRFFT2D", 2, False)
RFFT3D = _declare_real("RFFT3D", 3, True)
IRFFT3D = _declare_real("IRFFT3D", 3, False)


def real_input(x: Any, rank: int) -> Tensor:
    x = convert_to_tensor(x, dtype_hint=dtypes.float32)
    if x.dtype not in REALS:
        raise ValueError(f"RFFT requires tf.float32 or tf.float64 inputs, got: {x}")
    return _of_rank(x, rank)


def complex_input(x: Any, rank: int) -> Tensor:
    x = convert_to_tensor(x, dtype_hint=dtypes.complex64)
    if x.dtype not in COMPLEX:
        raise ValueError(f"IRFFT requires tf.complex64 or tf.complex128 inputs, got: {x}")
    return _of_rank(x, rank)


def _of_rank(x: Any, rank: int) -> Tensor:
    if x.shape.rank is not None and x.shape.rank < rank:
        raise ValueError(f"Shape {x.shape} must have rank at least {rank}")
    return x


def _own_lengths(x: Any, fft_length: Any, rank: int, spectrum: bool = False) -> Any:
    """int32 lengths: those asked for, or those that the input's sizes imply."""
    if fft_length is not None:
        return to_tensor(fft_length, dtypes.int32)
    dims = x.shape.dims
    if dims is not None and None not in dims[-rank:]:
        own = list(dims[-rank:])
        if spectrum:
            own[-1] = max(0, 2 * (own[-1] - 1))
        return Tensor.of(np.array(own, np.int32))
    found = shape(x)[-rank:]
    if spectrum:
        one = np.array([0] * (rank - 1) + [1], np.int32)
        found = (found - one) * (one + 1)
    return found


def _real_function(primitive: Primitive, rank: int) -> Callable[..., Tensor]:
    def call(input_tensor: Any, fft_length: Any = None, name: str | None = None) -> Tensor:
        x = real_input(input_tensor, rank)
        return primitive(x, _own_lengths(x, fft_length, rank))

    return _named(
        call,
        primitive.name,
        f"""The half spectrum of real numbers over the last {_counted(rank)}.

    Args:
        input_tensor: float32 or float64; cut or padded with zeros to `fft_length`.
        fft_length: [{rank}], lengths of the transform; by default the input's.

    Returns:
        complex64 or complex128, fft_length[-1] // 2 + 1 entries along the last axis.

    Raises:
        ValueError: another dtype, or too few axes.
    """,
    )


def _spectrum_function(primitive: Primitive, rank: int) -> Callable[..., Tensor]:
    def call(input_tensor: Any, fft_length: Any = None, name: str | None = None) -> Tensor:
        x = complex_input(input_tensor, rank)
        return primitive(x, _own_lengths(x, fft_length, rank, spectrum=True))

    return _named(
        call,
        primitive.name,
        f"""Real numbers from their half spectrum over the last {_counted(rank)}.

    Args:
        input_tensor: complex64 or complex128, fft_length[-1] // 2 + 1 entries along the last
            axis; cut or padded with zeros to that.
        fft_length: [{rank}], lengths of the result; by default the input's, with
            2 * (n - 1) for n entries of the last axis.

    Returns:
        float32 or float64.

    Raises:
        ValueError: another dtype, or too few axes.
    """,
    )


def _counted(rank: int) -> str:
    return ("axis", "two axes", "three axes")[rank - 1]


def _named(function: Callable[..., Any], name: str, doc: str) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name.lower()
    function.__doc__ = doc
    return function


rfft = _real_function(RFFT, 1)
rfft2d = _real_function(RFFT2D, 2)
rfft3d = _real_function(RFFT3D, 3)
irfft = _spectrum_function(IRFFT, 1)
irfft2d = _spectrum_function(IRFFT2D, 2)
irfft3d = _spectrum_function(IRFFT3D, 3)
