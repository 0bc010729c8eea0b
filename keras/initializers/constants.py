"""Initializers without chance: zeros, ones, a constant, the identity matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from ..backend import floatx
from .initializer import Initializer, finish

__all__ = ["STFT", "Constant", "Identity", "Ones", "Zeros"]


class Zeros(Initializer):
    """Zeros everywhere."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Zeros of `shape`."""
        return finish(np.zeros(tuple(shape), hr.as_dtype(dtype or floatx()).np_dtype), dtype)


class Ones(Initializer):
    """Ones everywhere."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Ones of `shape`."""
        return finish(np.ones(tuple(shape), hr.as_dtype(dtype or floatx()).np_dtype), dtype)


class Constant(Initializer):
    """One value everywhere, or an array that broadcasts to the shape.

    Args:
        value: Python number or array-like.
    """

    def __init__(self, value: Any = 0.0):
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """The value, spread over `shape`."""
        np_dtype = hr.as_dtype(dtype or floatx()).np_dtype
        values = np.asarray(self.value).astype(np_dtype)
        return finish(np.array(np.broadcast_to(values, tuple(shape))), dtype)

    def get_config(self) -> dict[str, Any]:
        """The value; arrays become lists."""
        value = self.value
        return {"value": value.tolist() if isinstance(value, np.ndarray) else value}


class Identity(Initializer):
    """A matrix with `gain` on its diagonal.

    Args:
        gain: the diagonal's value.
    """

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """``gain * eye``; raises ValueError unless `shape` has two axes."""
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        np_dtype = hr.as_dtype(dtype or floatx()).np_dtype
        return finish(self.gain * np.eye(*shape, dtype=np_dtype), dtype)

    def get_config(self) -> dict[str, Any]:
        """The gain (Keras itself drops it; its `from_config` takes it)."""
        return {"gain": self.gain}


class STFT(Initializer):
    """Kernels of a convolution that computes a short-time Fourier transform.

    Args:
        side: ``"real"`` (cosines) or ``"imag"`` (sines).
        window: name of a window of `scipy.signal.get_window`, an array ``[frame_length]``, or
            None.
        scaling: ``"density"`` or ``"spectrum"``: what the window is divided by (the root of its
            squares' sum, its sum), or None.
        periodic: whether the window is periodic rather than symmetric.

    Raises:
        ValueError: an unknown side, window or scaling.
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ):
        if side not in ("real", "imag"):
            raise ValueError(f"side should be 'real' or 'imag', not {side}")
        if isinstance(window, str):
            _window(window, 1, periodic)  # Refuses unknown names.
        if scaling not in (None, "density", "spectrum"):
            raise ValueError(
                "Scaling is invalid, it must be `None`, 'density' or 'spectrum'. Received "
                f"scaling={scaling}"
            )
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """A kernel ``[frame_length, channels, fft_length // 2 + 1]`` (1 channel is broadcast).

        Raises:
            ValueError: the window is not of length `frame_length`.
        """
        frame, _, bins = shape
        turns = np.arange(frame)[:, None, None] * np.arange(bins) / (2 * (bins - 1))
        angles = -2 * np.pi * turns
        kernel = np.cos(angles) if self.side == "real" else np.sin(angles)
        if self.window is not None:
            window = self.window
            if isinstance(window, str):
                window = _window(window, frame, self.periodic)
            window = np.asarray(window, np.float64)
            if window.shape != (frame,):
                raise ValueError(
                    "The shape of `window` must be equal to [frame_length]. Received: window "
                    f"shape={window.shape}, frame_length={frame}"
                )
            if self.scaling == "density":
                window = window / np.sqrt(np.sum(np.square(window)))
            elif self.scaling == "spectrum":
                window = window / np.sum(np.abs(window))
            kernel = kernel * window[:, None, None]
        return finish(kernel, dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        window = self.window
        return {
            "side": self.side,
            "window": window.tolist() if isinstance(window, np.ndarray) else window,
            "periodic": self.periodic,
            "scaling": self.scaling,
        }


def _window(name: str, length: int, periodic: bool) -> Any:
    from scipy.signal import get_window

    return get_window(name, length, periodic)
