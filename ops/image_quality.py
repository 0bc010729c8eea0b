"""How images differ and how rough they are: psnr, ssim, total_variation, gradients, edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import api as hr
from .convert import to_tensor
from .errors import InvalidArgumentError
from .image_dtypes import convert_image_dtype
from .tensor import Tensor

__all__ = ["image_gradients", "psnr", "sobel_edges", "ssim", "total_variation"]


def total_variation(images: Any, name: str | None = None) -> Tensor:
    """The sum of the absolute differences of neighbouring pixels, per image.

    Args:
        images: [batch, height, width, channels] or [height, width, channels].

    Raises:
        ValueError: another number of axes.
    """
    x = to_tensor(images, None)
    if x.shape.rank not in (3, 4):
        raise ValueError(f"'images' must be either 3 or 4-dimensional, got shape {x.shape}.")
    down = x[..., 1:, :, :] - x[..., :-1, :, :]
    across = x[..., :, 1:, :] - x[..., :, :-1, :]
    axes = [-3, -2, -1]
    return hr.reduce_sum(hr.abs(down), axes) + hr.reduce_sum(hr.abs(across), axes)


def image_gradients(image: Any) -> tuple[Tensor, Tensor]:
    """Differences to the pixel below and to the right; zeros in the last row and column.

    Args:
        image: [batch, height, width, channels].

    Raises:
        ValueError: another number of axes.
    """
    x = to_tensor(image, None)
    if x.shape.rank != 4:
        raise ValueError(
            f"image_gradients expects a 4D tensor [batch_size, h, w, d], not {x.shape}."
        )
    down = hr.pad(x[:, 1:] - x[:, :-1], [[0, 0], [0, 1], [0, 0], [0, 0]])
    across = hr.pad(x[:, :, 1:] - x[:, :, :-1], [[0, 0], [0, 0], [0, 1], [0, 0]])
    return down, across


def sobel_edges(image: Any) -> Tensor:
    """Sobel's derivatives along height and width, [batch, height, width, channels, 2].

    Args:
        image: floats [batch, height, width, channels], two pixels or more a side.
    """
    x = hr.pad(to_tensor(image, None), [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT")
    smooth = x[:, :, :-2] + 2.0 * x[:, :, 1:-1] + x[:, :, 2:]
    wide = x[:, :, 2:] - x[:, :, :-2]
    down = smooth[:, 2:] - smooth[:, :-2]
    across = wide[:, :-2] + 2.0 * wide[:, 1:-1] + wide[:, 2:]
    return hr.stack([down, across], -1)


def image_pair(a: Any, b: Any, max_val: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Both images and the range as float32, the images checked to fit."""
    x, y = to_tensor(a, None), to_tensor(b, None)
    for image in (x, y):
        if image.shape.rank is not None and image.shape.rank < 3:
            raise ValueError(f"images need at least three axes, got shape {image.shape}")
    if x.shape.rank is not None and y.shape.rank is not None:
        ends = [hr.TensorShape(i.shape.dims[-3:]) for i in (x, y)]
        if not ends[0].is_compatible_with(ends[1]):
            raise ValueError(f"Two images are not compatible: {x.shape} and {y.shape}")
    most = convert_image_dtype(hr.cast(to_tensor(max_val, None), x.dtype), hr.float32)
    return convert_image_dtype(x, hr.float32), convert_image_dtype(y, hr.float32), most


def psnr(a: Any, b: Any, max_val: Any, name: str | None = None) -> Tensor:
    """The peak signal-to-noise ratio between images, in decibels, float32 [...].

    Args:
        a, b: [..., height, width, channels].
        max_val: the span of the values.

    Raises:
        ValueError: the images do not fit each other.
    """
    x, y, most = image_pair(a, b, max_val)
    error = hr.reduce_mean(hr.squared_difference(x, y), [-3, -2, -1])
    tens = float(np.log(10.0))
    return 20.0 * hr.log(most) / tens - float(np.float32(10.0 / tens)) * hr.log(error)


def ssim(
    img1: Any,
    img2: Any,
    max_val: Any,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    return_index_map: bool = False,
) -> Tensor:
    """The structural similarity of images (Wang et al., IEEE Trans. Image Processing 13, 2004).

    Args:
        img1, img2: [..., height, width, channels].
        max_val: the span of the values.
        filter_size, filter_sigma: of the Gaussian window.
        k1, k2: constants that keep quotients finite.
        return_index_map: one number per place of the window, not their mean.

    Returns:
        float32 [...], or [..., height - filter_size + 1, width - filter_size + 1].

    Raises:
        ValueError: the images do not fit each other.
        InvalidArgumentError: they are smaller than the window.
    """
    x, y, most = image_pair(img1, img2, max_val)
    both, _ = ssim_maps(x, y, most, filter_size, filter_sigma, k1, k2)
    return hr.reduce_mean(both, [-1] if return_index_map else [-3, -2, -1])


def ssim_maps(
    x: Tensor, y: Tensor, most: Any, filter_size: int, filter_sigma: float, k1: float, k2: float
) -> tuple[Tensor, Tensor]:
    """Luminance times structure, and structure, at each place of the window."""
    for image in (x, y):
        for n in (image.shape.dims or ())[-3:-1]:
            if n is not None and n < filter_size:
                raise InvalidArgumentError(
                    f"images must be at least filter_size={filter_size} a side, got shape "
                    f"{image.shape} [Op:SSIM]",
                    op="SSIM",
                )
    places = np.arange(filter_size) - (filter_size - 1) / 2.0
    bell = np.exp(-0.5 * (places / filter_sigma) ** 2)
    weights = (bell / bell.sum()).astype(np.float32).tolist()

    def windowed(z: Tensor) -> Tensor:
        """Means under the window, which is separable."""
        height, width = (hr.shape(z)[k] - (filter_size - 1) for k in (-3, -2))
        tall = hr.add_n([w * z[..., k : height + k, :, :] for k, w in enumerate(weights)])
        return hr.add_n([w * tall[..., k : width + k, :] for k, w in enumerate(weights)])

    c1, c2 = (k1 * most) ** 2, (k2 * most) ** 2
    mean0, mean1 = windowed(x), windowed(y)
    product = mean0 * mean1 * 2.0
    squares = hr.square(mean0) + hr.square(mean1)
    luminance = (product + c1) / (squares + c1)
    structure = (windowed(x * y) * 2.0 - product + c2) / (
        windowed(hr.square(x) + hr.square(y)) - squares + c2
    )
    return luminance * structure, structure
