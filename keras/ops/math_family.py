"""Segments, transforms of signals, special functions: what Keras keeps in ``ops.math``."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.decompositions import logdet as _logdet
from ...ops.fft_ops import fft as _fft, fft2d, ifft2d, irfft as _irfft, rfft as _rfft
from ...ops.signal_frames import frame
from ...ops.signal_spectral import inverse_stft, inverse_stft_window_fn, stft as _stft
from ...ops.signal_windows import hamming_window, hann_window
from .op import operations
from .values import as_tensor, dtype_name, floating

op = operations("math")


def _segments(kind: str, text: str) -> Any:
    in_order = getattr(hr, f"segment_{kind}")
    in_any_order = getattr(hr, f"unsorted_segment_{kind}")

    def compute(
        data: Any, segment_ids: Any, num_segments: Any = None, sorted: bool = False
    ) -> Any:
        data, segment_ids = as_tensor(data), as_tensor(segment_ids)
        if sorted:
            if num_segments is not None:
                raise ValueError(
                    "Argument `num_segments` cannot be set when sorted is True. Received: "
                    f"num_segments={num_segments}, sorted={sorted}."
                )
            return in_order(data, segment_ids)
        if num_segments is None:
            num_segments = hr.cast(hr.reduce_max(segment_ids) + 1, "int32")
        return in_any_order(data, segment_ids, num_segments)

    compute.__name__ = compute.__qualname__ = f"segment_{kind}"
    compute.__doc__ = text
    return op(tensors=2)(compute)


segment_sum = _segments("sum", "The sums of the rows of `data` with the same segment id.")
segment_max = _segments("max", "The largest of the rows of `data` with the same segment id.")
segment_min = _segments("min", "The smallest of the rows of `data` with the same segment id.")
segment_prod = _segments("prod", "The products of the rows of `data` with the same segment id.")


@op("TopK")
def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """The `k` largest along the last axis, ``values`` and ``indices``."""
    return hr.top_k(as_tensor(x), k, sorted=sorted)


@op(tensors=2)
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether each target is among the `k` largest predictions."""
    return hr.in_top_k(as_tensor(targets), as_tensor(predictions), k)


@op()
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """``log(sum(exp(x)))`` along `axis`."""
    return hr.reduce_logsumexp(floating(x)[0], axis=axis, keepdims=keepdims)


@op("CDist", tensors=2)
def cdist(x: Any, y: Any) -> Any:
    """The distances of every row of `x` from every row of `y`.

    Raises:
        ValueError: they have fewer than two axes, or rows of different lengths.
    """
    x, y = as_tensor(x), as_tensor(y)
    if len(x.shape) < 2 or len(y.shape) < 2 or x.shape[-1] != y.shape[-1]:
        raise ValueError(
            "`cdist` inputs must have rank >= 2 and rows of one length. Received: "
            f"{x.shape}, {y.shape}"
        )
    difference = hr.expand_dims(x, -2) - hr.expand_dims(y, -3)
    return hr.sqrt(hr.reduce_sum(hr.square(difference), axis=-1))


@op()
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """Windows of the last axis: ``[..., windows, sequence_length]``."""
    return frame(as_tensor(x), sequence_length, sequence_stride)


def _complex(x: Any) -> Any:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(
            f"Input `x` should be a tuple of two tensors - real and imaginary. Received: x={x}"
        )
    real, imaginary = floating(*x)
    return hr.complex(real, imaginary)


def _pair(x: Any) -> tuple[Any, Any]:
    return hr.real(x), hr.imag(x)


@op("FFT")
def fft(x: Any) -> Any:
    """The discrete Fourier transform of the last axis of ``(real, imaginary)``."""
    return _pair(_fft(_complex(x)))


@op("FFT2")
def fft2(x: Any) -> Any:
    """The transform of the last two axes of ``(real, imaginary)``."""
    return _pair(fft2d(_complex(x)))


@op("IFFT2")
def ifft2(x: Any) -> Any:
    """The inverse of `fft2`."""
    return _pair(ifft2d(_complex(x)))


def _length(n: int | None) -> Any:
    return None if n is None else [n]


@op("RFFT")
def rfft(x: Any, fft_length: int | None = None) -> Any:
    """The transform of real numbers, the half that says all: ``(real, imaginary)``."""
    return _pair(_rfft(as_tensor(x), fft_length=_length(fft_length)))


@op("IRFFT")
def irfft(x: Any, fft_length: int | None = None) -> Any:
    """The real numbers that `rfft` has transformed."""
    return _irfft(_complex(x), fft_length=_length(fft_length))


def _window(window: Any, sequence_length: int, fft_length: int, dtype: Any) -> Any:
    """The window's values with zeros around them, ``[fft_length]``.

    Raises:
        ValueError: an unknown name, or values of another length.
    """
    if isinstance(window, str):
        known = {"hann": hann_window, "hamming": hamming_window}
        if window not in known:
            raise ValueError(
                'If a string is passed to `window`, it must be one of `"hann"`, `"hamming"`. '
                f"Received: window={window}"
            )
        values = known[window](sequence_length, periodic=True, dtype=dtype)
    else:
        values = as_tensor(window, dtype_name(hr.zeros([], dtype)))
    if len(values.shape) != 1 or values.shape[0] != sequence_length:
        raise ValueError(
            "The shape of `window` must be equal to [sequence_length]. Received: window "
            f"shape={values.shape}"
        )
    before = (fft_length - sequence_length) // 2
    return hr.pad(values, [[before, fft_length - sequence_length - before]])


@op("STFT")
def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """Short-time Fourier transforms ``(real, imaginary)``, each ``[..., windows, bins]``.

    Args:
        x: samples ``[..., time]``, float32 or float64.
        sequence_length: samples of a window.
        sequence_stride: from one window to the next.
        fft_length: length of the transform, at least that of a window.
        window: ``"hann"``, ``"hamming"``, values, or None.
        center: reflect the ends so that windows are centred on their samples.

    Raises:
        TypeError: `x` has another dtype.
        ValueError: the transform is shorter than the window, or the window is unknown.
    """
    x = as_tensor(x)
    if dtype_name(x) not in ("float32", "float64"):
        raise TypeError(
            f"Invalid input type. Expected `float32` or `float64`. Received: {dtype_name(x)}"
        )
    if fft_length < sequence_length:
        raise ValueError(
            "`fft_length` must equal or larger than `sequence_length`. Received: "
            f"sequence_length={sequence_length}, fft_length={fft_length}"
        )
    if center:
        half = fft_length // 2
        x = hr.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[half, half]], mode="REFLECT")
    values = None if window is None else _window(window, sequence_length, fft_length, x.dtype)
    transformed = _stft(
        x,
        frame_length=fft_length,
        frame_step=sequence_stride,
        fft_length=fft_length,
        window_fn=None if values is None else lambda length, dtype: values,
    )
    return _pair(transformed)


@op("ISTFT")
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """The samples that `stft` has transformed, `length` of them."""
    spectra = _complex(x)
    window_fn = None
    if window is not None:
        values = _window(window, sequence_length, fft_length, hr.real(spectra).dtype)
        window_fn = inverse_stft_window_fn(sequence_stride, lambda length, dtype: values)
    samples = inverse_stft(
        spectra,
        frame_length=fft_length,
        frame_step=sequence_stride,
        fft_length=fft_length,
        window_fn=window_fn,
    )
    start = fft_length // 2 if center else 0
    if length is not None:
        return samples[..., start : start + length]
    return samples[..., start:-start] if start else samples


@op()
def rsqrt(x: Any) -> Any:
    """``1 / sqrt(x)``."""
    return hr.rsqrt(floating(x)[0])


@op()
def erf(x: Any) -> Any:
    """The error function."""
    return hr.erf(floating(x)[0])


@op()
def erfc(x: Any) -> Any:
    """1 less the error function."""
    return hr.erfc(floating(x)[0])


@op()
def erfinv(x: Any) -> Any:
    """The inverse of the error function."""
    (x,) = floating(x)
    half = dtype_name(x) in ("float16", "bfloat16")
    return hr.cast(hr.erfinv(hr.cast(x, "float32") if half else x), x.dtype)


@op()
def logdet(x: Any) -> Any:
    """The logarithm of the determinant of positive definite matrices."""
    return _logdet(as_tensor(x))


@op("ViewAsComplex")
def view_as_complex(x: Any) -> Any:
    """``[..., 2]``, real and imaginary, as complex numbers ``[...]``.

    Raises:
        ValueError: the last axis is not 2.
    """
    x = as_tensor(x)
    if not len(x.shape) or x.shape[-1] != 2:
        raise ValueError(
            "Last dimension of input must be size 2 (real and imaginary). Received shape: "
            f"{x.shape}"
        )
    return hr.complex(x[..., 0], x[..., 1])


@op("ViewAsReal")
def view_as_real(x: Any) -> Any:
    """Complex numbers ``[...]`` as ``[..., 2]``, real and imaginary."""
    return hr.stack(_pair(as_tensor(x)), axis=-1)


__all__ = [
    "cdist", "erf", "erfc", "erfinv", "extract_sequences", "fft", "fft2", "ifft2", "in_top_k",
    "irfft", "istft", "logdet", "logsumexp", "rfft", "rsqrt", "segment_max", "segment_min",
    "segment_prod", "segment_sum", "stft", "top_k", "view_as_complex", "view_as_real",
]  # fmt: skip
