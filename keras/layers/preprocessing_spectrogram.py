"""STFTSpectrogram: short-time Fourier transforms by convolution with cosines and sines."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ...ops import api as hr
from .. import backend, initializers
from ..engine.input_spec import InputSpec
from ..engine.layer import Layer
from .convolution import formats, window_count

__all__ = ["STFTSpectrogram"]

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(Layer):
    """Spectrograms of audio ``[batch, time, channels]``.

    The kernels are weights: they begin as those of the transform and can be trained on.

    Args:
        mode: ``"log"``, ``"magnitude"``, ``"psd"`` (power), ``"real"``, ``"imag"``,
            ``"angle"`` or ``"stft"`` (real and imaginary parts one behind the other).
        frame_length: samples of a frame.
        frame_step: from frame to frame; half a frame if None.
        fft_length: bins are half as many and one; the next power of two of a frame if None.
        window: name of a window of `scipy.signal`, values, or None.
        periodic: whether the window is periodic rather than symmetric.
        scaling: ``"density"``, ``"spectrum"`` or None.
        padding: ``"valid"`` or ``"same"``.
        expand_dims: frequencies on an axis of their own, before the channels.
        data_format: ``"channels_last"`` or ``"channels_first"``.
        **kwargs: see `Layer`.

    Raises:
        ValueError: an unusable argument.
    """

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ):
        _check(mode, frame_length, frame_step, fft_length, padding)
        super().__init__(**kwargs)
        self.mode = mode
        self.frame_length = frame_length
        self.frame_step = frame_step
        self.fft_length = fft_length
        self.window = window
        self.periodic = periodic
        self.scaling = scaling
        self.padding = padding
        self.expand_dims = expand_dims
        self.data_format = formats(data_format)
        self.input_spec = InputSpec(ndim=3)
        self._kernels = {
            side: initializers.STFT(side, window, scaling, periodic)
            for side, without in (("real", "imag"), ("imag", "real"))
            if mode != without
        }

    @property
    def _step(self) -> int:
        return self.frame_step or self.frame_length // 2

    @property
    def _bins(self) -> int:
        length = self.fft_length or 2 ** math.ceil(math.log2(self.frame_length))
        return length // 2 + 1

    def build(self, input_shape: Any) -> None:
        """Create the kernels ``[frame_length, 1, bins]``."""
        for side, initializer in self._kernels.items():
            weight = self.add_weight(
                name=f"{side}_kernel",
                shape=(self.frame_length, 1, self._bins),
                initializer=initializer,
            )
            setattr(self, f"{side}_kernel", weight)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The spectrograms.

        Raises:
            TypeError: bfloat16 or integers.
        """
        if inputs.dtype.name not in ("float16", "float32", "float64"):
            raise TypeError(
                "Invalid input type. Expected `float16`, `float32` or `float64`. Received: "
                f"input type={inputs.dtype.name}"
            )
        signals = inputs
        if self.data_format == "channels_last":
            signals = hr.transpose(inputs, [0, 2, 1])
        found = [
            self._framed(signals, getattr(self, f"{side}_kernel")) for side in self._kernels
        ]  # each [batch, channels, frames, bins]
        if self.mode in ("real", "imag"):
            return self._arranged(found[0])
        real, imaginary = found
        if self.mode == "angle":
            return self._arranged(hr.atan2(imaginary, real))
        if self.mode == "stft":
            return self._arranged(hr.concat([real, imaginary], axis=-1))
        power = hr.square(real) + hr.square(imaginary)
        if self.mode == "psd":  # each bin but the ends stands for two frequencies
            middle = hr.pad(power[..., 1:-1], [[0, 0], [0, 0], [0, 0], [1, 1]])
            return self._arranged(power + middle)
        least = hr.cast(backend.epsilon(), power.dtype)
        magnitude = self._arranged(hr.sqrt(hr.maximum(power, least)))
        return magnitude if self.mode == "magnitude" else hr.log(hr.maximum(magnitude, least))

    def _framed(self, signals: Any, kernel: Any) -> Any:
        channels, time = signals.shape[1], hr.shape(signals)[2]
        rows = hr.reshape(signals, hr.stack([-1, time, 1]))
        rows = hr.ensure_shape(rows, (None, signals.shape[2], 1))
        frames = hr.convolution(
            rows, hr.cast(kernel, signals.dtype), [self._step], self.padding.upper()
        )
        return hr.reshape(frames, hr.stack([-1, channels, hr.shape(frames)[1], self._bins]))

    def _arranged(self, x: Any) -> Any:
        """From ``[batch, channels, frames, bins]`` to the layer's order."""
        first = self.data_format == "channels_first"
        if self.expand_dims:
            return x if first else hr.transpose(x, [0, 2, 3, 1])
        channels, bins = x.shape[1], x.shape[3]
        x = hr.transpose(x, [0, 1, 3, 2] if first else [0, 2, 1, 3])
        sizes = hr.shape(x)
        if first:
            return hr.reshape(x, hr.stack([sizes[0], channels * bins, sizes[3]]))
        return hr.reshape(x, hr.stack([sizes[0], sizes[1], channels * bins]))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(batch, frames, frequencies)`` in the layer's order."""
        shape = tuple(input_shape)
        first = self.data_format == "channels_first"
        channels, time = (shape[1], shape[2]) if first else (shape[2], shape[1])
        bins = self._bins * (2 if self.mode == "stft" else 1)
        frames = window_count(time, self.frame_length, self._step, self.padding)
        if self.expand_dims:
            rest = (channels, frames, bins) if first else (frames, bins, channels)
            return (shape[0], *rest)
        flat = None if channels is None else channels * bins
        return (shape[0], flat, frames) if first else (shape[0], frames, flat)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "mode": self.mode,
            "frame_length": self.frame_length,
            "frame_step": self.frame_step,
            "fft_length": self.fft_length,
            "window": self.window,
            "periodic": self.periodic,
            "scaling": self.scaling,
            "padding": self.padding,
            "data_format": self.data_format,
            "expand_dims": self.expand_dims,
        }


def _check(
    mode: str, frame_length: int, frame_step: int | None, fft_length: int | None, padding: str
) -> None:
    if frame_step is not None and not 1 <= frame_step <= frame_length:
        raise ValueError(
            "`frame_step` should be a positive integer not greater than `frame_length`. "
            f"Received frame_step={frame_step}, frame_length={frame_length}"
        )
    if fft_length is not None and fft_length < frame_length:
        raise ValueError(
            "`fft_length` should be not less than `frame_length`. Received "
            f"fft_length={fft_length}, frame_length={frame_length}"
        )
    if fft_length is not None and fft_length & (fft_length - 1):
        warnings.warn(
            "`fft_length` is recommended to be a power of two. Received "
            f"fft_length={fft_length}",
            stacklevel=3,
        )
    if mode not in _MODES:
        raise ValueError(
            f"Output mode is invalid, it must be one of {', '.join(_MODES)}. Received: "
            f"mode={mode}"
        )
    if padding not in ("valid", "same"):
        raise ValueError(
            f"Padding is invalid, it should be 'valid', 'same'. Received: padding={padding}"
        )
