"""Which pixels of an axis a resized one is made of, and with which weights.

Every way to resize is separable and linear, so it is one table per axis: result i is the sum of
``weights[i, t] * pixels[starts[i] + t]``.  The tables are TensorFlow's, computed in float32 as
its kernels do; pixel centres lie at half coordinates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["METHODS", "Taps", "taps", "taps_reversed"]

_F = np.float32


class Taps(NamedTuple):
    """The table of one axis.

    Attributes:
        starts: int32 [result], the first pixel each result looks at.
        weights: float32 [result, count]; where fewer pixels are meant, the rest weigh 0.
    """

    starts: np.ndarray
    weights: np.ndarray


def _lanczos(radius: float) -> Callable[[np.ndarray], np.ndarray]:
    def kernel(x: np.ndarray) -> np.ndarray:
        near = np.where(x <= 1e-3, 1.0, x) * np.pi
        value = radius * np.sin(near) * np.sin(near / radius) / (near * near)
        return np.where(x > radius, 0.0, np.where(x <= 1e-3, 1.0, value))

    return kernel


def _gaussian(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 1.5, 0.0, np.exp(-x * x / (2.0 * 0.5**2)))


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - x, 0.0)


def _keys(x: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -0.5 (IEEE Trans. ASSP 29, 1981)."""
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    near = ((1.5 * x - 2.5) * x) * x + 1.0
    return np.where(x >= 2.0, 0.0, np.where(x >= 1.0, far, near))


def _mitchell(x: np.ndarray) -> np.ndarray:
    """Mitchell and Netravali's cubic with B = C = 1/3 (SIGGRAPH 1988)."""
    far = (((-7.0 / 18.0) * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0
    near = (((7.0 / 6.0) * x - 2.0) * x) * x + 8.0 / 9.0
    return np.where(x >= 2.0, 0.0, np.where(x >= 1.0, far, near))


_KERNELS = {
    "lanczos3": (_lanczos(3.0), 3.0),
    "lanczos5": (_lanczos(5.0), 5.0),
    "gaussian": (_gaussian, 1.5),
    "mitchellcubic": (_mitchell, 2.0),
    "bilinear": (_triangle, 1.0),
    "bicubic": (_keys, 2.0),
}
METHODS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian",
           "mitchellcubic")  # fmt: skip


@functools.lru_cache(maxsize=1024)
def taps(method: str, size: int, result: int, antialias: bool) -> Taps:
    """The table for an axis of `size` pixels resized to `result`."""
    if method == "nearest":
        at = np.floor(_centres(result) * (_F(size) / _F(result))).astype(np.int64)
        found = Taps(np.clip(at, 0, size - 1), np.ones((result, 1), _F))
    elif method == "area":
        found = _area(size, result)
    elif method == "bilinear" and not antialias:
        found = _bilinear(size, result)
    elif method == "bicubic" and not antialias:
        found = _bicubic(size, result)
    else:
        found = _filtered(*_KERNELS[method], size, result, antialias)
    starts, weights = np.ascontiguousarray(found.starts, np.int32), found.weights
    return Taps(starts, np.ascontiguousarray(weights, _F))


def _centres(result: int) -> np.ndarray:
    return np.arange(result, dtype=_F) + _F(0.5)


def _gathered(index: np.ndarray, weights: np.ndarray, size: int) -> Taps:
    """Taps of weights for consecutive pixels from `index` on, some of which may lie outside and
    weigh for the nearest inside."""
    count = min(weights.shape[1], size)
    starts = np.clip(index, 0, size - count)
    out = np.zeros((len(index), count), _F)
    rows = np.arange(len(index))
    for t in range(weights.shape[1]):
        np.add.at(out, (rows, np.clip(index + t, 0, size - 1) - starts), weights[:, t])
    return Taps(starts, out)


def _bilinear(size: int, result: int) -> Taps:
    at = _centres(result) * (_F(size) / _F(result)) - _F(0.5)
    low = np.floor(at)
    part = at - low
    return _gathered(low.astype(np.int64), np.stack([_F(1) - part, part], 1), size)


def _bicubic(size: int, result: int) -> Taps:
    """TensorFlow looks the weights up in a table of 1024 steps; pixels outside do not count."""
    at = _centres(result) * (_F(size) / _F(result)) - _F(0.5)
    low = np.floor(at)
    step = np.rint((at - low) * _F(1024)) / 1024.0
    weights = np.stack([_keys(abs(step - k)) for k in (-1.0, 0.0, 1.0, 2.0)], 1)
    index = low.astype(np.int64) - 1
    places = index[:, None] + np.arange(4)
    weights[(places < 0) | (places >= size)] = 0.0
    return _gathered(index, _normal(weights), size)


def _normal(weights: np.ndarray) -> np.ndarray:
    total = weights.sum(1, keepdims=True)
    solid = abs(total) >= 1000.0 * np.finfo(_F).tiny
    return np.where(solid, weights / np.where(solid, total, 1.0), weights)


def _area(size: int, result: int) -> Taps:
    scale = _F(size) / _F(result)
    low = np.arange(result, dtype=_F) * scale
    high = (np.arange(result, dtype=_F) + _F(1)) * scale
    first, last = np.floor(low).astype(np.int64), np.ceil(high).astype(np.int64)
    places = first[:, None] + np.arange(max(int((last - first).max(initial=1)), 1))
    covered = np.minimum(places + 1, high[:, None]) - np.maximum(places, low[:, None])
    return _gathered(first, np.maximum(covered, 0) / scale, size)


def _filtered(kernel: Callable[[np.ndarray], np.ndarray], radius: float, size: int,
              result: int, antialias: bool) -> Taps:  # fmt: skip
    """A filter around each centre, as wide as a result's pixel where `antialias` is set."""
    step = _F(1) / (_F(result) / _F(size))
    wide = max(step, _F(1)) if antialias else _F(1)
    centres = _centres(result) * step
    reach = _F(radius) * wide
    first = np.maximum(np.ceil(centres - reach - _F(0.5)).astype(np.int64), 0)
    last = np.minimum(np.floor(centres + reach - _F(0.5)).astype(np.int64), size - 1)
    count = max(int((last - first).max(initial=0)) + 1, 1)
    places = first[:, None] + np.arange(count)
    weights = kernel(abs((places + _F(0.5) - centres[:, None]) / wide))
    weights[places > last[:, None]] = 0.0
    return _gathered(first, _normal(weights), size)


@functools.lru_cache(maxsize=256)
def taps_reversed(method: str, size: int, new_size: int, antialias: bool) -> Taps:
    """The table of `taps` for results in reverse order."""
    table = taps(method, size, new_size, antialias)
    starts, weights = (np.ascontiguousarray(part[::-1]) for part in table)
    return Taps(starts, weights)
