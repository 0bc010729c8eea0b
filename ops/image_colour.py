"""Colour spaces of images: grey, HSV, YIQ and YUV, each from RGB and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import api as hr
from .convert import to_tensor
from .errors import InvalidArgumentError
from .image_dtypes import convert_image_dtype
from .tensor import Tensor

__all__ = [
    "grayscale_to_rgb",
    "hsv_to_rgb",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "rgb_to_yiq",
    "rgb_to_yuv",
    "yiq_to_rgb",
    "yuv_to_rgb",
]

# Rows are red, green and blue.
_YIQ = ((0.299, 0.59590059, 0.2115), (0.587, -0.27455667, -0.52273617),
        (0.114, -0.32134392, 0.31119955))  # fmt: skip
_YIQ_BACK = ((1, 1, 1), (0.95598634, -0.27201283, -1.10674021),
             (0.6208248, -0.64720424, 1.70423049))  # fmt: skip
_YUV = ((0.299, -0.14714119, 0.61497538), (0.587, -0.28886916, -0.51496512),
        (0.114, 0.43601035, -0.10001026))  # fmt: skip
_YUV_BACK = ((1, 1, 1), (0, -0.394642334, 2.03206185),
             (1.13988303, -0.58062185, 0))  # fmt: skip
_LUMA = (0.2989, 0.5870, 0.1140)  # ITU-R BT.601


def rgb_to_grayscale(images: Any, name: str | None = None) -> Tensor:
    """The brightness of RGB `images` [..., 3], of the same dtype, [..., 1]."""
    x = to_tensor(images, None)
    gray = hr.tensordot(convert_image_dtype(x, hr.float32), hr.constant(_LUMA), [[-1], [0]])
    return convert_image_dtype(hr.expand_dims(gray, -1), x.dtype)


def grayscale_to_rgb(images: Any, name: str | None = None) -> Tensor:
    """`images` [..., 1] with their channel three times, [..., 3].

    Raises:
        ValueError: the last axis is not of size 1.
    """
    x = to_tensor(images, None)
    if x.shape.rank is not None and (not x.shape.rank or x.shape.dims[-1] not in (1, None)):
        raise ValueError(
            f"The input must be grayscale, with a last axis of size 1, got shape {x.shape}."
        )
    return hr.concat([x, x, x], -1)


def _channels(x: Tensor, op: str) -> list[Tensor]:
    rank = x.shape.rank
    if rank is not None and (rank < 1 or x.shape.dims[-1] not in (3, None)):
        raise InvalidArgumentError(
            f"input must have 3 channels in its last axis, got shape {x.shape} [Op:{op}]", op=op
        )
    return [x[..., k] for k in range(3)]


def rgb_to_hsv(images: Any, name: str | None = None) -> Tensor:
    """Hue, saturation and value, each in [0, 1], of RGB `images` [..., 3] of floats.

    Raises:
        InvalidArgumentError: the last axis is not of size 3.
    """
    red, green, blue = _channels(to_tensor(images, None), "RGBToHSV")
    value = hr.maximum(hr.maximum(red, green), blue)
    span = value - hr.minimum(hr.minimum(red, green), blue)
    zero = hr.zeros_like(value)
    # Where the span is zero the hue is, and the quotient, which is infinite, goes unused.
    norm = hr.divide_no_nan(hr.ones_like(span) / 6.0, span)
    hue = hr.where(
        hr.equal(red, value),
        norm * (green - blue),
        hr.where(
            hr.equal(green, value),
            norm * (blue - red) + 2.0 / 6.0,
            norm * (red - green) + 4.0 / 6.0,
        ),
    )
    hue = hr.where(span > 0.0, hr.where(hue < 0.0, hue + 1.0, hue), zero)
    saturation = hr.where(value > 0.0, hr.divide_no_nan(span, value), zero)
    return hr.stack([hue, saturation, value], -1)


def hsv_to_rgb(images: Any, name: str | None = None) -> Tensor:
    """RGB of `images` [..., 3] of hue, saturation and value in [0, 1].

    Raises:
        InvalidArgumentError: the last axis is not of size 3.
    """
    hue, saturation, value = _channels(to_tensor(images, None), "HSVToRGB")
    six = hue * 6.0
    shares = (
        hr.abs(six - 3.0) - 1.0,
        2.0 - hr.abs(six - 2.0),
        2.0 - hr.abs(six - 4.0),
    )
    grey = 1.0 - saturation
    return hr.stack(
        [(grey + saturation * hr.minimum(hr.maximum(s, 0.0), 1.0)) * value for s in shares], -1
    )


def _mixed(images: Any, kernel: Any) -> Tensor:
    x = to_tensor(images, None)
    matrix = Tensor.of(np.array(kernel, x.dtype.np_dtype))
    return hr.tensordot(x, matrix, [[-1], [0]])


def rgb_to_yiq(images: Any) -> Tensor:
    """The YIQ values of RGB `images` [..., 3] in [0, 1]."""
    return _mixed(images, _YIQ)


def yiq_to_rgb(images: Any) -> Tensor:
    """The RGB values of YIQ `images` [..., 3]."""
    return _mixed(images, _YIQ_BACK)


def rgb_to_yuv(images: Any) -> Tensor:
    """The YUV values of RGB `images` [..., 3] in [0, 1]."""
    return _mixed(images, _YUV)


def yuv_to_rgb(images: Any) -> Tensor:
    """The RGB values of YUV `images` [..., 3]."""
    return _mixed(images, _YUV_BACK)
