"""Images sharpened, blurred, or with a box of them erased."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from .augmentation_base import Draws, RandomImageLayer, factor_range, value_range_of

__all__ = ["RandomErasing", "RandomGaussianBlur", "RandomSharpness", "box_mask"]


class RandomSharpness(RandomImageLayer):
    """Images sharpened or smoothed.

    Args:
        factor: f for (0, f), or two numbers in [0, 1]: 0 is smooth, 0.5 as it is, 1 sharp.
        value_range: lowest and highest value; results are clipped to it.
        data_format: see `ImageLayer`.
        seed: Python int for repeatable draws.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = factor_range(factor, (0, 1))
        self.value_range = value_range_of(value_range)

    def _draw(self, draws: Draws) -> Any:
        return draws.uniform(*self.factor)

    def _change(self, images: Any, drawn: Any) -> Any:
        kernel = np.full((3, 3, 1, 1), 1 / 13)
        kernel[1, 1] = 5 / 13
        kernel = np.tile(kernel, [1, 1, images.shape[-1], 1])
        kernel = hr.cast(hr.constant(kernel), images.dtype)
        smooth = hr.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "SAME")
        times = hr.reshape(hr.cast(drawn * 2, images.dtype), [-1, 1, 1, 1])
        return _clipped(images + (1.0 - times) * (smooth - images), self.value_range)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {"factor": self.factor, "value_range": self.value_range}
        return {**super().get_config(), **config}


def _clipped(images: Any, value_range: Any) -> Any:
    low, high = (hr.cast(v, images.dtype) for v in value_range)
    return hr.minimum(hr.maximum(images, low), high)


class RandomGaussianBlur(RandomImageLayer):
    """Images blurred at random, all of a batch alike.

    Args:
        factor: the chance: f for (0, f), or two numbers in [0, 1].
        kernel_size: an odd number, or two: height and width of what is averaged.
        sigma: f for (0, f), or two numbers in [0, 1]: width of the bell curve in pixels.
        value_range: lowest and highest value; results are clipped to it.
        data_format: see `ImageLayer`.
        seed: Python int for repeatable draws.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        kernel_size: Any = 3,
        sigma: Any = 1.0,
        value_range: Any = (0, 255),
        data_format: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = factor_range(factor, (0, 1))
        pair = kernel_size if isinstance(kernel_size, (tuple, list)) else (kernel_size,) * 2
        if len(pair) != 2 or any(n % 2 == 0 for n in pair):
            raise ValueError(
                "kernel_size must be an odd number, or two. Received: "
                f"kernel_size={kernel_size}"
            )
        self.kernel_size = tuple(pair)
        self.sigma = factor_range(sigma, (0, 1), "sigma")
        self.value_range = value_range

    def _draw(self, draws: Draws) -> Any:
        return draws.happens(self.factor), draws.one(*self.sigma, 2, dtype=draws.dtype) + 1e-6

    def _change(self, images: Any, drawn: Any) -> Any:
        happens, sigma = drawn
        lines = []
        for i, size in enumerate(self.kernel_size):
            x = hr.constant(np.arange(size) - (size - 1) / 2, dtype=images.dtype)
            line = hr.exp(-0.5 * hr.square(x / hr.cast(sigma[i], images.dtype)))
            lines.append(line / hr.reduce_sum(line))
        # As in Keras the second curve runs down and the first across.
        kernel = hr.reshape(lines[1], [-1, 1]) * hr.reshape(lines[0], [1, -1])
        kernel = hr.reshape(kernel, [*self.kernel_size, 1, 1])
        kernel = hr.tile(kernel, [1, 1, images.shape[-1], 1])
        blurred = hr.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "SAME")
        return _clipped(hr.where(happens, blurred, images), self.value_range)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "factor": self.factor,
            "kernel_size": self.kernel_size,
            "sigma": self.sigma,
            "value_range": self.value_range,
        }


def box_mask(height: Any, width: Any, corners: Any, dtype: str) -> Any:
    """bool ``[batch, height, width, 1]``: pixels from x0 to below x1 and y0 to below y1.

    Args:
        height, width: of the images.
        corners: x0, x1, y0, y1, each ``[batch]``.
        dtype: that they are compared in.
    """
    x0, x1, y0, y1 = (hr.reshape(c, [-1, 1, 1, 1]) for c in corners)
    y = hr.reshape(hr.cast(hr.range(height), dtype), [1, -1, 1, 1])
    x = hr.reshape(hr.cast(hr.range(width), dtype), [1, 1, -1, 1])
    across = hr.logical_and(x >= x0, x < x1)
    return hr.logical_and(across, hr.logical_and(y >= y0, y < y1))


def stretch(draws: Draws, length: Any, share: Any) -> tuple[Any, Any]:
    """Start and end of stretches of a `share` of `length`, at random places."""
    whole = hr.cast(length, draws.dtype)
    long = hr.cast(share, draws.dtype) * whole
    start = draws.uniform(0, 1, dtype=draws.dtype) * (whole - long)
    return start, start + long


class RandomErasing(RandomImageLayer):
    """Images with a random box filled.

    Args:
        factor: the chance: f for (0, f), or two numbers in [0, 1].
        scale: area of the box as a share of the image's: f for (0, f), or two numbers.
        fill_value: a number, or three; normal noise if None.
        value_range: lowest and highest value; what is filled in is clipped to it.
        seed: Python int for repeatable draws.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = factor_range(factor, (0, 1))
        self.scale = factor_range(scale, (0, 1), "scale")
        numbers = fill_value if isinstance(fill_value, (tuple, list)) else [fill_value]
        if fill_value is not None and (
            len(numbers) not in (1, 3) or not all(isinstance(v, (int, float)) for v in numbers)
        ):
            raise ValueError(
                "The `fill_value` argument should be a number (or a list of three numbers). "
                f"Received: fill_value={fill_value}"
            )
        self.fill_value = fill_value
        self.value_range = value_range

    def _draw(self, draws: Draws) -> Any:
        share = hr.sqrt(draws.uniform(*self.scale, 2, dtype=draws.dtype))
        across = stretch(draws, draws.width, share[:, 0])
        down = stretch(draws, draws.height, share[:, 1])
        box = box_mask(draws.height, draws.width, (*across, *down), draws.dtype)
        happens = draws.happens(self.factor)
        if self.fill_value is None:
            noise = draws.normal(draws.batch, draws.height, draws.width, draws.channels)
            fill = noise * hr.cast(self.value_range[1], draws.dtype)
        else:
            fill = hr.cast(hr.constant(np.array(self.fill_value, np.float64)), draws.dtype)
        return hr.logical_and(box, happens), _clipped(fill, self.value_range)

    def _change(self, images: Any, drawn: Any) -> Any:
        box, fill = drawn
        return hr.where(box, hr.cast(fill, images.dtype), images)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "factor": self.factor,
            "scale": self.scale,
            "fill_value": self.fill_value,
            "value_range": self.value_range,
        }
