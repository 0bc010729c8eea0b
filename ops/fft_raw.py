"""`hr.fftnd` and its kin: the raw operations at the top level, which take every argument.

`hr.signal.fftnd` and its kin (`fft_nd`) infer lengths and axes and scale the result.
"""

from __future__ import annotations

from typing import Any

from . import dtypes
from .fft_nd import FFTND, IFFTND, IRFFTND, RFFTND
from .tensor import Tensor

__all__ = ["fftnd", "ifftnd", "irfftnd", "rfftnd"]


def fftnd(input: Any, fft_length: Any, axes: Any, name: str | None = None) -> Tensor:
    """The discrete Fourier transform of complex numbers over `axes`, cut or zero-padded to
    `fft_length` first."""
    return FFTND(input, fft_length, axes)


def ifftnd(input: Any, fft_length: Any, axes: Any, name: str | None = None) -> Tensor:
    """The inverse of `fftnd`."""
    return IFFTND(input, fft_length, axes)


def rfftnd(
    input: Any,
    fft_length: Any,
    axes: Any,
    Tcomplex: Any = dtypes.complex64,
    name: str | None = None,
) -> Tensor:
    """The half spectrum of real numbers over `axes`, half along the last of them.

    The result is complex64 for float32 and complex128 for float64, whatever `Tcomplex` says.
    """
    return RFFTND(input, fft_length, axes)


def irfftnd(
    input: Any,
    fft_length: Any,
    axes: Any,
    Treal: Any = dtypes.float32,
    name: str | None = None,
) -> Tensor:
    """Real numbers from their half spectrum over `axes`.

    The result is float32 for complex64 and float64 for complex128, whatever `Treal` says.
    """
    return IRFFTND(input, fft_length, axes)
