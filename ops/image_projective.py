"""ImageProjectiveTransformV3: images sampled at places that a projective map gives.

Each output pixel (x, y) takes the image's value at
``((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)`` with ``k = c0 x + c1 y + 1``, as the
TensorFlow kernel of that name does in float32.  A block of images is sampled at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import shape as shape_of
from .block_axis import broadcast_to_block
from .convert import to_tensor
from .errors import InvalidArgumentError, UnimplementedError
from .graph.graph import constant_value
from .primitive import Primitive
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["projective_transform"]

_FILLS = ("CONSTANT", "NEAREST", "REFLECT", "WRAP")
_METHODS = ("NEAREST", "BILINEAR")
_PIXELS = 1 << 16  # sampled at a time: what the caches hold of coordinates and weights


def projective_transform(
    images: Any,
    transforms: Any,
    fill_value: float = 0.0,
    interpolation: str = "BILINEAR",
    fill_mode: str = "REFLECT",
    output_shape: Any = None,
) -> Tensor:
    """`images` sampled at the places that `transforms` give.

    Args:
        images: ``[..., height, width, channels]``.
        transforms: float32 ``[..., 8]``: a0, a1, a2, b0, b1, b2, c0, c1, from output to input
            coordinates.  One, or one for each image.
        fill_value: of places outside, with ``CONSTANT``.
        interpolation: ``NEAREST`` or ``BILINEAR``.
        fill_mode: ``CONSTANT``, ``NEAREST``, ``REFLECT`` or ``WRAP``.
        output_shape: int32 ``[2]``; the images' height and width if None.

    Returns:
        ``[..., new_height, new_width, channels]`` of the images' dtype.

    Raises:
        ValueError: `interpolation` or `fill_mode` is none of those.
    """
    for name, value, known in (
        ("interpolation", interpolation, _METHODS),
        ("fill_mode", fill_mode, _FILLS),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}")
    x = to_tensor(images, None)
    if output_shape is None:
        dims = list(x.shape[-3:-1])
        if None in dims:
            output_shape = shape_of(x)[-3:-1]
        else:
            output_shape = np.array(dims, np.int32)
    return ImageProjectiveTransformV3(
        x,
        transforms,
        output_shape,
        to_tensor(fill_value, dtypes.float32),
        interpolation=interpolation,
        fill_mode=fill_mode,
    )


def _impl(
    images: Any, transforms: Any, output_shape: Any, fill: Any, *, interpolation: str,
    fill_mode: str,
) -> np.ndarray:  # fmt: skip
    lead, (height, width, channels) = images.shape[:-3], images.shape[-3:]
    rows, columns = (int(n) for n in output_shape)
    count = int(np.prod(lead, dtype=np.int64))
    given = int(np.prod(transforms.shape[:-1], dtype=np.int64))
    if transforms.shape[-1:] != (8,) or given not in (1, count):
        raise InvalidArgumentError(
            f"transforms must be [1, 8] or one of 8 numbers for each of {count} images, got "
            f"shape {list(transforms.shape)}"
        )
    flat = images.reshape(count, height * width, channels)
    maps = np.broadcast_to(transforms.reshape(given, 8), (count, 8))
    out = np.empty((count, rows * columns, channels), images.dtype)
    y, x = np.divmod(np.arange(rows * columns, dtype=np.int64), max(columns, 1))
    x, y = x.astype(np.float32), y.astype(np.float32)
    step = max(1, _PIXELS // max(rows * columns, 1))
    sample = _bilinear if interpolation == "BILINEAR" else _nearest
    for at in range(0, count, step):
        m = maps[at : at + step, :, None]
        k = m[:, 6] * x + m[:, 7] * y + np.float32(1)
        nowhere = k == 0
        k = np.where(nowhere, np.float32(1), k)
        u = _mapped((m[:, 0] * x + m[:, 1] * y + m[:, 2]) / k, width, fill_mode)
        v = _mapped((m[:, 3] * x + m[:, 4] * y + m[:, 5]) / k, height, fill_mode)
        found = sample(_Reader(flat[at : at + step], height, width, fill), u, v)
        if nowhere.any():
            found[nowhere] = fill
        out[at : at + step] = found
    return out.reshape(*lead, rows, columns, channels)


class _Reader:
    """Pixels of some images by row and column; `fill` for places outside."""

    def __init__(self, images: Any, height: int, width: int, fill: Any):
        self.flat = images.reshape(-1, images.shape[-1])
        self.height, self.width = height, width
        self.base = (np.arange(images.shape[0], dtype=np.int64) * (height * width))[:, None]
        self.fill = fill

    def __call__(self, v: Any, u: Any, dtype: Any) -> np.ndarray:
        inside = (u >= 0) & (u < self.width) & (v >= 0) & (v < self.height)
        column = np.where(inside, u, 0).astype(np.int64)
        row = np.where(inside, v, 0).astype(np.int64)
        if not self.flat.size:
            return np.full((*u.shape, self.flat.shape[1]), self.fill, dtype)
        found = self.flat[self.base + row * self.width + column].astype(dtype, copy=False)
        if not inside.all():
            found[~inside] = self.fill
        return found


def _nearest(read: _Reader, u: Any, v: Any) -> np.ndarray:
    return read(_rounded(v), _rounded(u), read.flat.dtype)


def _rounded(x: Any) -> Any:
    """Halves away from zero, as C's round."""
    return np.copysign(np.floor(np.abs(x) + np.float32(0.5)), x)


def _bilinear(read: _Reader, u: Any, v: Any) -> np.ndarray:
    dtype = np.float64 if read.flat.dtype == np.float64 else np.float32
    left, top = np.floor(u), np.floor(v)
    right, bottom = left + 1, top + 1
    across, back = (u - left)[..., None], (right - u)[..., None]
    upper = back * read(top, left, dtype) + across * read(top, right, dtype)
    lower = back * read(bottom, left, dtype) + across * read(bottom, right, dtype)
    out = (bottom - v)[..., None] * upper + (v - top)[..., None] * lower
    return out.astype(read.flat.dtype, copy=False)


def _mapped(x: np.ndarray, size: int, mode: str) -> np.ndarray:
    """Coordinates brought inside of [0, size - 1] as `mode` says."""
    if mode == "CONSTANT":
        return x
    low, high = np.float32(0), np.float32(max(size - 1, 0))
    if mode == "REFLECT" and size > 1:
        twice = np.float32(2 * size)
        down = np.where(x < twice, twice * np.trunc(-x / twice) + x, x)
        down = np.where(down < -size, down + twice, -down - 1)
        up = x - twice * np.trunc(x / twice)
        up = np.where(up >= size, twice - up - 1, up)
        x = np.where(x < 0, down, np.where(x > high, up, x))
    elif mode == "WRAP" and size > 1:
        down = x + np.float32(size) * (np.trunc(-x / high) + 1)
        up = x - np.float32(size) * np.trunc(x / high)
        x = np.where(x < 0, down, np.where(x > high, up, x))
    return np.clip(x, low, high)


def _shape(
    images: Any, transforms: Any, output_shape: Any, fill: Any, *, interpolation: str,
    fill_mode: str,
) -> TensorSpec:  # fmt: skip
    shape = images.shape
    if shape.rank is None:
        return TensorSpec(None, images.dtype)
    size = constant_value(output_shape)
    dims = [None, None] if size is None else [int(n) for n in size]
    return TensorSpec([*shape[:-3], *dims, shape[-1]], images.dtype)


def _batch(
    ctx: Any, images: Any, transforms: Any, output_shape: Any, fill: Any, **attrs: Any
) -> Any:
    per_image = ctx.element_shapes[1].num_elements() != 8
    several = ctx.element_shapes[0][:-3].num_elements() != 1
    if ctx.batched[2] or ctx.batched[3] or (several and ctx.batched[1] != per_image):
        raise UnimplementedError(
            "primitive ImageProjectiveTransformV3: one size, fill value or transform per "
            "element, for several images",
            op="ImageProjectiveTransformV3",
        )
    if not ctx.batched[0]:
        images = broadcast_to_block(images, transforms)
    return ImageProjectiveTransformV3(images, transforms, output_shape, fill, **attrs)


ImageProjectiveTransformV3 = Primitive(
    "ImageProjectiveTransformV3",
    "images: T, transforms: float32, output_shape: int32, fill_value: float32",
    impl=_impl,
    shape=_shape,
    batch=_batch,
    defaults={"interpolation": "BILINEAR", "fill_mode": "CONSTANT"},
)
