"""Window functions, made of Python numbers: a trace holds them as constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .dtypes import DType, as_dtype
from .static_args import static_ints
from .tensor import Tensor

__all__ = [
    "hamming_window", "hann_window", "kaiser_bessel_derived_window", "kaiser_window",
    "vorbis_window",
]  # fmt: skip


def _checked(window_length: Any, dtype: Any, name: str) -> tuple[int, DType]:
    dtype = as_dtype(dtype)
    if not dtype.is_floating:
        raise ValueError(f"dtype must be a floating point type. Found {dtype}")
    shape = getattr(window_length, "shape", ())
    if len(tuple(shape)):
        raise ValueError(f"{name}: window_length must be a scalar, got shape {shape}")
    (length,) = static_ints(window_length, name, "window_length")
    if length < 0:
        raise ValueError(f"{name}: window_length must not be negative, got {length}")
    return length, dtype


def _tensor(values: Any, dtype: DType) -> Tensor:
    return Tensor.of(np.asarray(values, np.float64).astype(dtype.np_dtype))


def _raised_cosine(
    name: str, window_length: Any, periodic: Any, dtype: Any, a: float, b: float
) -> Tensor:
    length, dtype = _checked(window_length, dtype, name)
    if length == 1:
        return _tensor([1.0], dtype)
    # Odd lengths have one form for both; TensorFlow's rule.
    n = length - 1 + (1 if bool(periodic) and length % 2 == 0 else 0)
    with np.errstate(all="ignore"):
        angle = 2 * np.pi * np.arange(length) / n
    return _tensor(a - b * np.cos(angle), dtype)


def hann_window(
    window_length: Any,
    periodic: Any = True,
    dtype: Any = dtypes.float32,
    name: str | None = None,
) -> Tensor:
    """The Hann window, [window_length].

    Args:
        window_length: known while tracing.
        periodic: of even lengths, a period of the cosine is `window_length` samples and not one
            less.
        dtype: a float dtype.

    Raises:
        ValueError: another dtype, or a length that is no number.
    """
    return _raised_cosine("hann_window", window_length, periodic, dtype, 0.5, 0.5)


def hamming_window(
    window_length: Any,
    periodic: Any = True,
    dtype: Any = dtypes.float32,
    name: str | None = None,
) -> Tensor:
    """The Hamming window, [window_length]; the arguments are those of `hann_window`."""
    return _raised_cosine("hamming_window", window_length, periodic, dtype, 0.54, 0.46)


def kaiser_window(
    window_length: Any,
    beta: Any = 12.0,
    dtype: Any = dtypes.float32,
    name: str | None = None,
) -> Tensor:
    """The Kaiser window, [window_length], of the shape parameter `beta`.

    Raises:
        ValueError: no float dtype, or a length that is no number.
    """
    length, dtype = _checked(window_length, dtype, "kaiser_window")
    return _tensor(np.kaiser(length, float(beta)), dtype)


def kaiser_bessel_derived_window(
    window_length: Any,
    beta: Any = 12.0,
    dtype: Any = dtypes.float32,
    name: str | None = None,
) -> Tensor:
    """The Kaiser-Bessel-derived window, [window_length], of even length.

    Raises:
        ValueError: no float dtype, or a length that is no number.
    """
    length, dtype = _checked(window_length, dtype, "kaiser_bessel_derived_window")
    sums = np.cumsum(np.kaiser(length // 2 + 1, float(beta)))
    half = np.sqrt(sums[:-1] / sums[-1])
    return _tensor(np.concatenate([half, half[::-1]]), dtype)


def vorbis_window(
    window_length: Any, dtype: Any = dtypes.float32, name: str | None = None
) -> Tensor:
    """The Vorbis codec's window, [window_length].

    Raises:
        ValueError: no float dtype, or a length that is no number.
    """
    length, dtype = _checked(window_length, dtype, "vorbis_window")
    inner = np.sin(np.pi / max(length, 1) * (np.arange(length) + 0.5))
    return _tensor(np.sin(np.pi / 2 * inner**2), dtype)
