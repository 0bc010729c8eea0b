"""Brightness, contrast, hue, saturation, gamma and JPEG quality of images, also at random.

Integers are adjusted as floats in [0, 1] and scaled back.
"""

from __future__ import annotations

from typing import Any

from . import api as hr
from .convert import to_tensor
from .image_colour import hsv_to_rgb, rgb_to_hsv
from .image_decode import decode_jpeg
from .image_dtypes import as_float, convert_image_dtype
from .image_encode import EncodeJpegVariableQuality
from .random_ops import random_uniform, stateless_uniform
from .tensor import Tensor

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_jpeg_quality",
    "adjust_saturation",
    "per_image_standardization",
    "random_brightness",
    "random_contrast",
    "random_hue",
    "random_jpeg_quality",
    "random_saturation",
    "stateless_random_brightness",
    "stateless_random_contrast",
    "stateless_random_hue",
    "stateless_random_jpeg_quality",
    "stateless_random_saturation",
]


def adjust_brightness(image: Any, delta: Any) -> Tensor:
    """`image` with `delta`, in (-1, 1) for images in [0, 1], added to all its values."""
    x, own = as_float(image)
    return convert_image_dtype(x + hr.cast(to_tensor(delta, None), x.dtype), own, saturate=True)


def adjust_contrast(images: Any, contrast_factor: Any) -> Tensor:
    """`images` with the distance of each value from its channel's mean multiplied.

    Args:
        images: [..., height, width, channels].
        contrast_factor: float scalar.
    """
    x, own = as_float(images)
    _at_least_3d(x)
    mean = hr.reduce_mean(x, axis=[-3, -2], keepdims=True)
    factor = hr.cast(to_tensor(contrast_factor, None), x.dtype)
    return convert_image_dtype((x - mean) * factor + mean, own, saturate=True)


def adjust_gamma(image: Any, gamma: Any = 1, gain: Any = 1) -> Tensor:
    """``gain * image ** gamma``.

    Raises:
        ValueError: `gamma` is negative.
    """
    if not isinstance(gamma, Tensor) and gamma < 0:
        raise ValueError(f"Gamma should be a non-negative real number, got {gamma}.")
    x, own = as_float(image)
    powered = hr.pow(x, hr.cast(to_tensor(gamma, None), x.dtype))
    return convert_image_dtype(
        hr.cast(to_tensor(gain, None), x.dtype) * powered, own, saturate=True
    )


def adjust_hue(image: Any, delta: Any, name: str | None = None) -> Tensor:
    """RGB `image` [..., 3] with its hue turned by `delta`, a share of the circle in [-1, 1].

    Raises:
        ValueError: `delta` is known and not in [-1, 1].
        InvalidArgumentError: the last axis is not of size 3.
    """
    known = delta if not isinstance(delta, Tensor) else None
    if known is not None and not -1 <= known <= 1:
        raise ValueError(f"delta must be in the interval [-1, 1], got {known}")
    x, own = as_float(image)
    hsv = rgb_to_hsv(_at_least_3d(x))
    turned = hr.floormod(hsv[..., 0] + hr.cast(to_tensor(delta, None), x.dtype), 1.0)
    rgb = hsv_to_rgb(hr.stack([turned, hsv[..., 1], hsv[..., 2]], -1))
    return convert_image_dtype(rgb, own)


def adjust_saturation(image: Any, saturation_factor: Any, name: str | None = None) -> Tensor:
    """RGB `image` [..., 3] with its saturation multiplied and clipped to [0, 1].

    Raises:
        InvalidArgumentError: the last axis is not of size 3.
    """
    x, own = as_float(image)
    hsv = rgb_to_hsv(_at_least_3d(x))
    factor = hr.cast(to_tensor(saturation_factor, None), x.dtype)
    wide = hr.minimum(hr.maximum(hsv[..., 1] * factor, 0.0), 1.0)
    rgb = hsv_to_rgb(hr.stack([hsv[..., 0], wide, hsv[..., 2]], -1))
    return convert_image_dtype(rgb, own)


def adjust_jpeg_quality(
    image: Any, jpeg_quality: Any, dct_method: str = "", name: str | None = None
) -> Tensor:
    """What is left of `image` after it has been a JPEG file.

    Args:
        image: [height, width, 1 or 3].
        jpeg_quality: int32 scalar in [0, 100].
        dct_method: see `decode_jpeg`.
    """
    x = to_tensor(image, None)
    channels = x.shape.dims[-1] if x.shape.rank else None
    file = EncodeJpegVariableQuality(
        convert_image_dtype(x, hr.uint8, saturate=True),
        hr.cast(to_tensor(jpeg_quality, None), hr.int32),
    )
    back = decode_jpeg(file, channels=channels or 0, dct_method=dct_method)
    return convert_image_dtype(back, x.dtype, saturate=True)


def per_image_standardization(image: Any) -> Tensor:
    """`image` shifted to mean 0 and scaled to variance 1, each image of a batch by itself.

    A deviation below ``1 / sqrt(size)`` counts as that much, so that even images stay finite.

    Args:
        image: [..., height, width, channels].

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: fewer than three axes.
    """
    x = hr.cast(_at_least_3d(to_tensor(image, None)), hr.float32)
    axes = [-1, -2, -3]
    count = hr.cast(hr.reduce_prod(hr.shape(x)[-3:]), hr.float32)
    mean = hr.reduce_mean(x, axis=axes, keepdims=True)
    deviation = hr.reduce_std(x, axis=axes, keepdims=True)
    return (x - mean) / hr.maximum(deviation, hr.rsqrt(count))


def _at_least_3d(x: Tensor) -> Tensor:
    if x.shape.rank is not None and x.shape.rank < 3:
        raise ValueError(f"'image' (shape {x.shape}) must be at least three-dimensional.")
    return x


# -- at random --------------------------------------------------------------------------------


def _deltas(max_delta: float, most: float | None = None) -> tuple[float, float]:
    if max_delta < 0:
        raise ValueError(f"max_delta must be non-negative, got {max_delta}.")
    if most is not None and max_delta > most:
        raise ValueError(f"max_delta must be <= {most}, got {max_delta}.")
    return -max_delta, max_delta


def _bounds(lower: float, upper: float) -> tuple[float, float]:
    if upper <= lower:
        raise ValueError(f"upper must be > lower, got lower={lower}, upper={upper}.")
    if lower < 0:
        raise ValueError(f"lower must be non-negative, got {lower}.")
    return lower, upper


def _qualities(low: int, high: int) -> tuple[int, int]:
    if not (0 <= low <= 100 and 0 <= high <= 100):
        raise ValueError(f"jpeg encoding range must be between 0 and 100, got {low} to {high}.")
    if low >= high:
        raise ValueError(
            f"`min_jpeg_quality` must be less than `max_jpeg_quality`, got {low} and {high}."
        )
    return low, high


def random_brightness(image: Any, max_delta: float, seed: int | None = None) -> Tensor:
    """`adjust_brightness` by a random delta in [-max_delta, max_delta).

    Raises:
        ValueError: `max_delta` is negative.
    """
    return adjust_brightness(image, random_uniform([], *_deltas(max_delta), seed=seed))


def stateless_random_brightness(image: Any, max_delta: float, seed: Any) -> Tensor:
    """`random_brightness` decided by `seed` (two integers) alone."""
    low, high = _deltas(max_delta)
    return adjust_brightness(image, stateless_uniform([], seed, low, high))


def random_contrast(image: Any, lower: float, upper: float, seed: int | None = None) -> Tensor:
    """`adjust_contrast` by a random factor in [lower, upper).

    Raises:
        ValueError: the bounds are negative or not in order.
    """
    return adjust_contrast(image, random_uniform([], *_bounds(lower, upper), seed=seed))


def stateless_random_contrast(image: Any, lower: float, upper: float, seed: Any) -> Tensor:
    """`random_contrast` decided by `seed` (two integers) alone."""
    low, high = _bounds(lower, upper)
    return adjust_contrast(image, stateless_uniform([], seed, low, high))


def random_hue(image: Any, max_delta: float, seed: int | None = None) -> Tensor:
    """`adjust_hue` by a random delta in [-max_delta, max_delta).

    Raises:
        ValueError: `max_delta` is not in [0, 0.5].
    """
    return adjust_hue(image, random_uniform([], *_deltas(max_delta, 0.5), seed=seed))


def stateless_random_hue(image: Any, max_delta: float, seed: Any) -> Tensor:
    """`random_hue` decided by `seed` (two integers) alone."""
    low, high = _deltas(max_delta, 0.5)
    return adjust_hue(image, stateless_uniform([], seed, low, high))


def random_saturation(
    image: Any, lower: float, upper: float, seed: int | None = None
) -> Tensor:
    """`adjust_saturation` by a random factor in [lower, upper).

    Raises:
        ValueError: the bounds are negative or not in order.
    """
    return adjust_saturation(image, random_uniform([], *_bounds(lower, upper), seed=seed))


def stateless_random_saturation(
    image: Any, lower: float, upper: float, seed: Any = None
) -> Tensor:
    """`random_saturation` decided by `seed` (two integers) alone."""
    low, high = _bounds(lower, upper)
    return adjust_saturation(image, stateless_uniform([], seed, low, high))


def random_jpeg_quality(
    image: Any, min_jpeg_quality: int, max_jpeg_quality: int, seed: int | None = None
) -> Tensor:
    """`adjust_jpeg_quality` to a random quality in [min_jpeg_quality, max_jpeg_quality).

    Raises:
        ValueError: the bounds are not in [0, 100] or not in order.
    """
    low, high = _qualities(min_jpeg_quality, max_jpeg_quality)
    return adjust_jpeg_quality(image, random_uniform([], low, high, dtype=hr.int32, seed=seed))


def stateless_random_jpeg_quality(
    image: Any, min_jpeg_quality: int, max_jpeg_quality: int, seed: Any
) -> Tensor:
    """`random_jpeg_quality` decided by `seed` (two integers) alone."""
    low, high = _qualities(min_jpeg_quality, max_jpeg_quality)
    return adjust_jpeg_quality(image, stateless_uniform([], seed, low, high, dtype=hr.int32))
