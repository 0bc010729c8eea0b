"""Spectra over time: short-time Fourier transforms, lapped cosine transforms, mel weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes
from .array_join import concat, split
from .array_sort import reverse
from .convert import to_tensor
from .dtypes import as_dtype
from .fft_ops import irfft, rfft
from .signal_cosine import Resized, dct
from .signal_frames import frame, overlap_and_add, positive_int
from .signal_windows import hann_window, vorbis_window
from .static_args import static_int
from .tensor import Tensor

__all__ = [
    "inverse_mdct", "inverse_stft", "inverse_stft_window_fn", "linear_to_mel_weight_matrix",
    "mdct", "stft",
]  # fmt: skip

Window = Callable[..., Any]


def _power_of_two(n: int) -> int:
    return 1 << max(0, math.ceil(math.log2(n)))


def stft(
    signals: Any,
    frame_length: Any,
    frame_step: Any,
    fft_length: Any = None,
    window_fn: Window | None = hann_window,
    pad_end: bool = False,
    name: str | None = None,
) -> Tensor:
    """The short-time Fourier transform: [..., samples] to [..., frames, fft_length // 2 + 1].

    Args:
        signals: float32 or float64.
        frame_length, frame_step: samples of a frame, and between frames; known while tracing.
        fft_length: by default the next power of two from `frame_length` on.
        window_fn: called with ``frame_length, dtype=``; None for no window.
        pad_end: fill frames at the end up with zeros.
    """
    x = to_tensor(signals, None)
    length = positive_int(frame_length, "stft", "frame_length")
    size = _power_of_two(length) if fft_length is None else static_int(fft_length, "stft", "")
    frames = frame(x, length, frame_step, pad_end=pad_end)
    if window_fn is not None:
        frames = frames * window_fn(length, dtype=frames.dtype)
    return rfft(frames, [size])


def inverse_stft(
    stfts: Any,
    frame_length: Any,
    frame_step: Any,
    fft_length: Any = None,
    window_fn: Window | None = hann_window,
    name: str | None = None,
) -> Tensor:
    """Samples [..., samples] from short-time spectra [..., frames, fft_length // 2 + 1].

    Args:
        stfts: complex64 or complex128.
        frame_length, frame_step, fft_length: those of `stft`.
        window_fn: as for `stft`; see `inverse_stft_window_fn` for an exact inverse.
    """
    x = to_tensor(stfts, None)
    if x.shape.rank is not None and x.shape.rank < 2:
        raise ValueError(f"Shape {x.shape} must have rank at least 2")
    length = positive_int(frame_length, "inverse_stft", "frame_length")
    size = _power_of_two(length) if fft_length is None else static_int(fft_length, "stft", "")
    frames = irfft(x, [size])
    if size != length:
        frames = Resized(frames, length=length)
    if window_fn is not None:
        frames = frames * window_fn(length, dtype=x.dtype.real_dtype)
    return overlap_and_add(frames, frame_step)


def inverse_stft_window_fn(
    frame_step: Any, forward_window_fn: Window = hann_window, name: str | None = None
) -> Window:
    """The window function with which `inverse_stft` undoes `stft`.

    Args:
        frame_step: samples between frames.
        forward_window_fn: the window function given to `stft`.

    Returns:
        A function of ``frame_length, dtype``: Griffin and Lim, "Signal estimation from modified
        short-time Fourier transform", 1984, equation 7.
    """
    step = positive_int(frame_step, "inverse_stft_window_fn", "frame_step")

    def window(frame_length: Any, dtype: Any) -> Tensor:
        length = positive_int(frame_length, "inverse_stft_window_fn", "frame_length")
        forward = to_tensor(forward_window_fn(length, dtype=dtype), None).numpy()
        rows = -(-length // step)
        squares = np.zeros(rows * step, forward.dtype)
        squares[:length] = forward * forward
        total = np.tile(squares.reshape(rows, step).sum(0), rows)[:length]
        safe = np.where(total == 0, 1, total)
        return Tensor.of(np.where(total == 0, 0, forward / safe).astype(forward.dtype))

    return window


# -- lapped cosine transforms -----------------------------------------------------------------


def mdct(
    signals: Any,
    frame_length: Any,
    window_fn: Window | None = vorbis_window,
    pad_end: bool = False,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The modified cosine transform: [..., samples] to [..., frames, frame_length / 2].

    Args:
        signals: float32 or float64.
        frame_length: a multiple of 4, known while tracing; frames overlap by half.
        window_fn: called with ``frame_length, dtype=``; None for a flat one of sqrt(1/2).
        pad_end: fill frames at the end up with zeros.
        norm: None or ``"ortho"``, the cosine transform's.

    Raises:
        ValueError: `frame_length` is no multiple of 4.
    """
    x = to_tensor(signals, None)
    length = positive_int(frame_length, "mdct", "frame_length")
    if length % 4:
        raise ValueError("The frame length must be a multiple of 4.")
    frames = frame(x, length, length // 2, pad_end=pad_end)
    if window_fn is not None:
        frames = frames * window_fn(length, dtype=frames.dtype)
    else:
        frames = frames * math.sqrt(0.5)
    a, b, c, d = split(frames, 4, axis=-1)
    folded = concat([-reverse(c, [-1]) - d, a - reverse(b, [-1])], -1)
    return dct(folded, type=4, norm=norm)


def inverse_mdct(
    mdcts: Any,
    window_fn: Window | None = vorbis_window,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """Samples [..., samples] from `mdct`'s result [..., frames, frame_length / 2].

    Args:
        mdcts: float32 or float64, the last axis of known size.
        window_fn, norm: those given to `mdct`.

    Raises:
        ValueError: fewer than two axes, or an unknown `norm`.
    """
    x = to_tensor(mdcts, None)
    if x.shape.rank is not None and x.shape.rank < 2:
        raise ValueError(f"Shape {x.shape} must have rank at least 2")
    half = x.shape[-1]
    if half is None:
        raise ValueError("inverse_mdct: the size of the last axis must be known")
    if norm not in (None, "ortho"):
        raise ValueError(f"Unknown normalization. Expected None or 'ortho', got: {norm}")
    found = dct(x, type=4, norm=norm)
    if norm is None:
        found = found * (0.5 / half)
    a, b = split(found, 2, axis=-1)
    frames = concat([b, -reverse(b, [-1]), -reverse(a, [-1]), -a], -1)
    if window_fn is not None:
        frames = frames * window_fn(2 * half, dtype=x.dtype)
    else:
        frames = frames * math.sqrt(0.5)
    return overlap_and_add(frames, half)


# -- mel --------------------------------------------------------------------------------------


def _mel(hertz: Any) -> Any:
    """HTK's mel scale."""
    return 1127.0 * np.log(1.0 + hertz / 700.0)


def linear_to_mel_weight_matrix(
    num_mel_bins: int = 20,
    num_spectrogram_bins: Any = 129,
    sample_rate: Any = 8000,
    lower_edge_hertz: Any = 125.0,
    upper_edge_hertz: Any = 3800.0,
    dtype: Any = dtypes.float32,
    name: str | None = None,
) -> Tensor:
    """The matrix [spectrogram bins, mel bins] that sums linear bands to mel bands: triangles of
    height 1 on HTK's mel scale.

    Args:
        num_mel_bins: bands of the result.
        num_spectrogram_bins: bands of the spectrogram, 0 to half the `sample_rate`.
        sample_rate: samples per second.
        lower_edge_hertz, upper_edge_hertz: frequencies that the mel bands lie between.
        dtype: a float dtype.

    Raises:
        ValueError: a number of bins, a rate or an edge is out of range, or `dtype` is no float.
    """
    dtype = as_dtype(dtype)
    rate, low, high = (
        float(np.asarray(v)) for v in (sample_rate, lower_edge_hertz, upper_edge_hertz)
    )
    if num_mel_bins <= 0:
        raise ValueError(f"num_mel_bins must be positive. Got: {num_mel_bins}")
    if low < 0:
        raise ValueError(f"lower_edge_hertz must be non-negative. Got: {low}")
    if low >= high:
        raise ValueError(f"lower_edge_hertz {low:.1f} >= upper_edge_hertz {high:.1f}")
    if rate <= 0:
        raise ValueError(f"sample_rate must be positive. Got: {rate}")
    if high > rate / 2:
        raise ValueError(
            "upper_edge_hertz must not be larger than the Nyquist frequency (sample_rate / 2). "
            f"Got {high} for sample_rate: {rate}"
        )
    if not dtype.is_floating:
        raise ValueError(f"dtype must be a floating point type. Got: {dtype}")
    bins = positive_int(num_spectrogram_bins, "linear_to_mel_weight_matrix", "bins")
    bands = _mel(np.linspace(0.0, rate / 2, bins)[1:])[:, None]
    edges = np.linspace(_mel(low), _mel(high), num_mel_bins + 2)
    rising = (bands - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bands) / (edges[2:] - edges[1:-1])
    # The band of frequency 0 takes no part, as in HTK.
    out = np.zeros((bins, num_mel_bins))
    out[1:] = np.maximum(0.0, np.minimum(rising, falling))
    return Tensor.of(out.astype(dtype.np_dtype))
