"""Discrete Fourier transforms over any axes, and the order of frequencies: fftnd, fftshift.

TensorFlow has no CPU kernels for the `*nd` functions; their conventions are NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import UnbatchableShape, cast, shape
from .array_gather import gather
from .array_sort import roll
from .convert import to_tensor
from .errors import InvalidArgumentError, UntraceableError
from .fft_ops import (
    ADJOINTS,
    REALS,
    Dft,
    Fit,
    complex_input,
    irfft_array,
    lengths_of,
    real_input,
    real_rule,
    replaced,
    rfft_array,
    to_lengths,
    transform,
)
from .graph.graph import constant_value
from .math_ops import multiply
from .primitive import Primitive
from .reductions import reduce_prod
from .shape_rules import COMPLEX
from .static_args import static_ints
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["fftnd", "fftshift", "ifftnd", "ifftshift", "irfftnd", "rfftnd"]


def _known_axes(axes: Any, x: Any, name: str) -> tuple[int, ...]:
    found = constant_value(axes) if isinstance(axes, Tensor) else axes
    rank = x.ndim
    if found is None or rank is None:
        raise UntraceableError(
            f"{name}: axes and the input's rank must be known while the function is traced"
        )
    out = tuple(int(a) for a in np.asarray(found).reshape(-1))
    if any(not -rank <= a < rank for a in out) or len({a % rank for a in out}) != len(out):
        raise InvalidArgumentError(
            f"axes must be different ones in [{-rank}, {rank}), got {list(out)} [Op:{name}]",
            op=name,
        )
    return tuple(a % rank - rank for a in out)


def _nd_rule(name: str, kind: str) -> Callable[..., TensorSpec]:
    def rule(x: Any, fft_length: Any, axes: Any, **_: Any) -> TensorSpec:
        known = _known_axes(axes, x, name)
        if kind != "complex":
            return real_rule(name, kind == "rfft")(x, fft_length, axes=known)
        lengths = constant_value(fft_length)
        sizes: Any = [None] * len(known)
        if lengths is not None:
            sizes = lengths_of(lengths, known, name)
        return TensorSpec(replaced(x.shape, known, sizes), x.dtype)

    return rule


def _nd_batch(ctx: Any, x: Any, fft_length: Any, axes: Any, **attrs: Any) -> Any:
    if ctx.batched[1] or ctx.batched[2]:
        raise UnbatchableShape(ctx.primitive.name)
    rank = batch_rules.rank_of(ctx)
    found = constant_value(axes)
    if found is None:
        raise UnbatchableShape(ctx.primitive.name)
    counted = np.array([int(a) % rank - rank for a in found.reshape(-1)], np.int32)
    return ctx.primitive.call_flat((x, fft_length, Tensor.of(counted)), attrs)


def _declare_nd(name: str, kind: str, inverse: bool = False) -> Primitive:
    def impl(x: Any, fft_length: Any, axes: Any, **_: Any) -> Any:
        known = _known_axes(np.asarray(axes), x, name)
        lengths = lengths_of(fft_length, known, name)
        if kind == "complex":
            return transform(to_lengths(x, lengths, known), known, inverse)
        return (rfft_array if kind == "rfft" else irfft_array)(x, lengths, known)

    def vjp(op: Any, g: Any) -> Any:
        x, lengths, axes = op.inputs
        known = _known_axes(axes, x, name)
        if kind == "complex":
            found = Dft(g, axes=known, inverse=not inverse, norm="forward")
        else:
            found = ADJOINTS[kind](g, lengths, axes=known)
        return Fit(found, x, axes=known), None, None

    return Primitive(
        name,
        "input: T, fft_length: int32, axes: int32",
        impl=impl,
        shape=_nd_rule(name, kind),
        vjp=vjp,
        batch=_nd_batch,
        types={"T": REALS if kind == "rfft" else COMPLEX},
        check_first=True,
    )


FFTND = _declare_nd("FFTND", "complex")
IFFTND = _declare_nd("IFFTND", "complex", inverse=True)
RFFTND = _declare_nd("RFFTND", "rfft")
IRFFTND = _declare_nd("IRFFTND", "irfft")


def _over_axes(
    primitive: Primitive, x: Tensor, fft_length: Any, axes: Any, norm: str | None, half: bool
) -> Tensor:
    if norm not in (None, "backward", "ortho", "forward"):
        raise ValueError(f"norm must be None, 'backward', 'ortho' or 'forward', got {norm!r}")
    rank = x.shape.rank
    if axes is None:
        count = rank if fft_length is None else len(static_ints(fft_length, "fftnd", "length"))
        chosen: Any = tuple(range((rank or 0) - count, rank or 0))
    else:
        chosen = static_ints(axes, "fftnd", "axes")
    known = _known_axes(np.array(chosen, np.int32), x, primitive.name)
    if fft_length is None:
        dims = [x.shape[a] for a in known]
        if None in dims:
            lengths = gather(shape(x), np.array(known, np.int32) + np.int32(rank))
            if half:
                one = np.array([0] * (len(known) - 1) + [1], np.int32)
                lengths = (lengths - one) * (one + 1)
        else:
            if half:
                dims[-1] = max(0, 2 * (dims[-1] - 1))
            lengths = Tensor.of(np.array(dims, np.int32))
    else:
        lengths = to_tensor(fft_length, dtypes.int32)
    out = primitive(x, lengths, np.array(known, np.int32))
    if norm in (None, "backward"):
        return out
    size = cast(reduce_prod(lengths), out.dtype)
    inverse = primitive.name.startswith("I")
    if norm == "ortho":
        size = cast(cast(reduce_prod(lengths), dtypes.float64) ** 0.5, out.dtype)
    return multiply(out, size) if inverse else out / size


def fftnd(
    input_tensor: Any,
    fft_length: Any = None,
    axes: Any = None,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The discrete Fourier transform of complex numbers over several axes.

    Args:
        input_tensor: complex64 or complex128.
        fft_length: lengths along `axes`, to which the input is cut or padded with zeros.
        axes: by default all (the last ones where `fft_length` names fewer).
        norm: ``"backward"``, ``"ortho"`` or ``"forward"``: which direction is scaled.

    Raises:
        ValueError: another dtype, or an unknown `norm`.
        InvalidArgumentError: an axis is out of range or named twice.
    """
    return _over_axes(FFTND, complex_input(input_tensor, 0), fft_length, axes, norm, False)


def ifftnd(
    input_tensor: Any,
    fft_length: Any = None,
    axes: Any = None,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The inverse of `fftnd`; see there."""
    return _over_axes(IFFTND, complex_input(input_tensor, 0), fft_length, axes, norm, False)


def rfftnd(
    input_tensor: Any,
    fft_length: Any = None,
    axes: Any = None,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The half spectrum of real numbers over several axes, half along the last of them; see
    `fftnd`."""
    return _over_axes(RFFTND, real_input(input_tensor, 0), fft_length, axes, norm, False)


def irfftnd(
    input_tensor: Any,
    fft_length: Any = None,
    axes: Any = None,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """Real numbers from their half spectrum over several axes; see `fftnd`."""
    return _over_axes(IRFFTND, complex_input(input_tensor, 0), fft_length, axes, norm, True)


# -- order ------------------------------------------------------------------------------------


def _shifted(x: Any, axes: Any, back: bool) -> Tensor:
    x = to_tensor(x, None)
    rank = x.shape.rank
    if axes is None:
        chosen: Any = tuple(range(rank))
    else:
        chosen = static_ints(axes, "fftshift", "axes")
    chosen = tuple(a + rank if a < 0 else a for a in chosen)
    if not chosen:
        return x
    half = gather(shape(x), np.array(chosen, np.int32)) // 2
    return roll(x, -half if back else half, chosen)


def fftshift(x: Any, axes: Any = None, name: str | None = None) -> Tensor:
    """`x` with its zero frequency moved from the start to the centre of `axes` (all)."""
    return _shifted(x, axes, back=False)


def ifftshift(x: Any, axes: Any = None, name: str | None = None) -> Tensor:
    """The inverse of `fftshift`; they differ for odd sizes."""
    return _shifted(x, axes, back=True)
