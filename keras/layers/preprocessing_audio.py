"""MelSpectrogram: sounds as the power of their frequencies over time, on the mel scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from ...ops.signal_spectral import stft
from .preprocessing_base import DataLayer, as_tensor

__all__ = ["MelSpectrogram"]


class MelSpectrogram(DataLayer):
    """Sounds ``[..., samples]`` as mel spectrograms ``[..., num_mel_bins, frames]``.

    Args:
        fft_length: samples of a transform.
        sequence_stride: samples between two frames.
        sequence_length: samples of a frame; `fft_length` if None.
        window: ``"hann"`` or ``"hamming"``.
        sampling_rate: samples per second.
        num_mel_bins: how many bands.
        min_freq, max_freq: of the bands, in hertz; half the sampling rate if None.
        power_to_db: give decibels.
        top_db: decibels below the greatest value at which values are cut.
        mag_exp: power of the magnitudes: 1 for energy, 2 for power.
        min_power: least power that decibels are taken of.
        ref_power: that has 0 decibels.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: str = "hann",
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.fft_length = fft_length
        self.sequence_stride = sequence_stride
        self.sequence_length = sequence_length or fft_length
        if self.fft_length < self.sequence_length:
            raise ValueError(
                "`fft_length` must be greater than or equal to `sequence_length`. Received: "
                f"`sequence_length`={self.sequence_length}, `fft_length`={self.fft_length}."
            )
        if window not in ("hann", "hamming"):
            raise ValueError(f"window must be 'hann' or 'hamming', got {window!r}")
        self.window = window
        self.sampling_rate = sampling_rate
        self.num_mel_bins = num_mel_bins
        self.min_freq = min_freq
        self.max_freq = max_freq or int(sampling_rate / 2)
        self.power_to_db = power_to_db
        self.top_db = top_db
        self.mag_exp = mag_exp
        self.min_power = min_power
        self.ref_power = ref_power
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The spectrograms."""
        wide = "float64" if self.compute_dtype == "float64" else "float32"
        x = as_tensor(inputs, wide)
        half = self.fft_length // 2
        x = hr.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[half, half]], mode="REFLECT")
        found = stft(
            x,
            self.fft_length,
            self.sequence_stride,
            self.fft_length,
            window_fn=lambda length, dtype: hr.cast(hr.constant(self._window()), dtype),
        )
        spectrum = hr.pow(hr.abs(found), hr.cast(self.mag_exp, wide))
        bands = hr.tensordot(spectrum, hr.cast(hr.constant(self._bands()), wide), axes=1)
        if self.power_to_db:
            bands = self._decibels(bands)
        rank = bands.shape.rank
        swapped = hr.transpose(bands, [*range(rank - 2), rank - 1, rank - 2])
        return hr.cast(swapped, self.compute_dtype)

    def _window(self) -> np.ndarray:
        """The periodic window, in the middle of a transform's samples."""
        n = self.sequence_length
        a = 0.5 if self.window == "hann" else 0.54
        curve = a - (1 - a) * np.cos(2 * np.pi * np.arange(n) / n)
        left = (self.fft_length - n) // 2
        return np.pad(curve, [left, self.fft_length - n - left])

    def _bands(self) -> np.ndarray:
        """Weights ``[frequencies, num_mel_bins]`` of overlapping triangles on the mel scale."""

        def mel(hertz: Any) -> Any:
            return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)

        count = self.fft_length // 2 + 1
        places = mel(np.linspace(0.0, self.sampling_rate / 2.0, count)[1:])[:, None]
        edges = np.linspace(mel(self.min_freq), mel(self.max_freq), self.num_mel_bins + 2)
        low, middle, high = edges[:-2], edges[1:-1], edges[2:]
        up, down = (places - low) / (middle - low), (high - places) / (high - middle)
        return np.pad(np.maximum(0.0, np.minimum(up, down)), [[1, 0], [0, 0]])

    def _decibels(self, x: Any) -> Any:
        least = hr.cast(self.min_power, x.dtype)
        found = hr.log(hr.maximum(x, least)) * (10.0 / np.log(10.0))
        found = found - 10.0 * float(np.log10(max(abs(self.ref_power), self.min_power)))
        return hr.maximum(found, hr.reduce_max(found) - self.top_db)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The shape of the spectrograms."""
        samples = input_shape[-1]
        frames = None if samples is None else samples // self.sequence_stride + 1
        if samples is not None and self.fft_length % 2:
            frames = (samples - 1) // self.sequence_stride + 1
        return (*tuple(input_shape)[:-1], self.num_mel_bins, frames)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = (
            "fft_length", "sequence_stride", "sequence_length", "window", "sampling_rate",
            "num_mel_bins", "min_freq", "max_freq", "power_to_db", "top_db", "mag_exp",
            "min_power", "ref_power",
        )  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
