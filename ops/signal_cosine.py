"""Discrete cosine transforms of types 1 to 4 over the last axis, and mel cepstra made of them.

Values are SciPy's (pocketfft).  A gradient is the transposed transform, again one of these.
"""

from __future__ import annotations

from typing import Any

from . import batch_rules, dtypes
from .array_basics import cast, shape
from .array_module import array_module, scipy_module
from .convert import to_tensor
from .errors import UnimplementedError
from .fft_ops import Fit
from .primitive import Primitive
from .static_args import static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["dct", "idct", "mfccs_from_log_mel_spectrograms"]


def _check(x: Any, kind: int, n: int | None, axis: int, norm: str | None) -> None:
    if axis != -1:
        raise UnimplementedError(f"axis must be -1. Got: {axis}")
    if n is not None and n < 1:
        raise ValueError("n should be a positive integer or None")
    if kind not in (1, 2, 3, 4):
        raise ValueError("Types I, II, III and IV (I)DCT are supported.")
    if kind == 1:
        if norm == "ortho":
            raise ValueError("Normalization is not supported for the Type-I DCT.")
        if x.shape[-1] is not None and x.shape[-1] < 2:
            raise ValueError("Type-I DCT requires the dimension to be greater than one.")
    if norm not in (None, "ortho"):
        raise ValueError(f"Unknown normalization. Expected None or 'ortho', got: {norm}")


def dct(
    input: Any,
    type: int = 2,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The discrete cosine transform over the last axis, as SciPy defines it.

    Args:
        input: float32 or float64, [..., samples].
        type: 1, 2, 3 or 4.
        n: the transform's length, to which the input is cut or padded with zeros.
        axis: must be -1.
        norm: None, or ``"ortho"`` for an orthogonal transform (not of type 1).

    Raises:
        ValueError: `type`, `n` or `norm` is not supported.
        UnimplementedError: another axis.
    """
    x = to_tensor(input, None)
    length = None if n is None else static_int(n, "dct", "n")
    _check(x, type, length, axis, norm)
    if length is not None:
        x = Resized(x, length=length)
    return _Dct(x, kind=int(type), ortho=norm == "ortho", transposed=False)


def idct(
    input: Any,
    type: int = 2,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The inverse of `dct` of that type, times 2 * samples without ``norm="ortho"`` (type 1:
    2 * (samples - 1)); the arguments are those of `dct`."""
    _check(to_tensor(input, None), {2: 3, 3: 2}.get(type, type), n, axis, norm)
    return dct(input, {2: 3, 3: 2}.get(type, type), n, axis, norm)


Resized = Primitive(
    "_Resized",
    "x: T",
    impl=lambda x, *, length: resized_array(x, length),
    shape=lambda x, *, length: TensorSpec(
        x.shape[:-1].concatenate([length]) if x.shape.rank is not None else None, x.dtype
    ),
    vjp=lambda op, g: (Fit(g, op.inputs[0], axes=(-1,)),),
    batch=batch_rules.unary,
)


def resized_array(x: Any, length: int) -> Any:
    if x.shape[-1] >= length:
        return x[..., :length].copy()
    out = array_module(x).zeros((*x.shape[:-1], length), x.dtype)
    out[..., : x.shape[-1]] = x
    return out


def _dct_impl(x: Any, *, kind: int, ortho: bool, transposed: bool) -> Any:
    if not x.size:
        return x.copy()
    library = scipy_module("fft", x)
    if not transposed or kind == 4:
        return library.dct(x, kind, norm="ortho" if ortho else None)
    if ortho:  # orthogonal: the transposed transform is the inverse
        return library.dct(x, {2: 3, 3: 2}[kind], norm="ortho")
    if kind == 2:
        return library.dct(x, 3) + x[..., :1]
    if kind == 3:
        out = library.dct(x, 2)
        out[..., 0] /= 2
        return out
    # Type 1 is a symmetric matrix times diag(1/2, 1, ..., 1, 1/2).
    ends = x.copy()
    ends[..., [0, -1]] *= 2
    out = library.dct(ends, 1)
    out[..., [0, -1]] /= 2
    return out


def _dct_vjp(op: Any, g: Any) -> Any:
    attrs = op.attrs
    return (_Dct(g, **{**attrs, "transposed": not attrs["transposed"]}),)


_Dct = Primitive(
    "_Dct",
    "input: T",
    impl=_dct_impl,
    shape=lambda x, **_: TensorSpec(x.shape, x.dtype),
    vjp=_dct_vjp,
    batch=batch_rules.unary,
    types={"T": (dtypes.float32, dtypes.float64)},
)


def mfccs_from_log_mel_spectrograms(
    log_mel_spectrograms: Any, name: str | None = None
) -> Tensor:
    """Mel-frequency cepstral coefficients of log mel spectrograms, both [..., mel bins],
    scaled as HTK does.

    Raises:
        ValueError: there are no mel bins.
    """
    x = to_tensor(log_mel_spectrograms, None)
    bins = x.shape[-1] if x.shape.rank else None
    if bins == 0:
        raise ValueError(f"num_mel_bins must be positive. Got: {x}")
    if bins is None:
        return dct(x) * (cast(shape(x)[-1], x.dtype) * 2.0) ** -0.5
    return dct(x) * (bins * 2.0) ** -0.5
