"""Images with inverted, reduced, solarised or equalised tones."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.row_counts import counts_per_row
from .augmentation_base import (
    Draws,
    ImageLayer,
    RandomImageLayer,
    factor_range,
    in_range,
    value_range_of,
)

__all__ = [
    "AutoContrast",
    "Equalization",
    "RandomInvert",
    "RandomPosterization",
    "Solarization",
]


class RandomInvert(RandomImageLayer):
    """Images turned into their negatives at random.

    Args:
        factor: the chance: f for (0, f), or two numbers in [0, 1].
        value_range: lowest and highest value.
        seed: Python int for repeatable draws.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = factor_range(factor, (0, 1))
        self.value_range = value_range

    def _draw(self, draws: Draws) -> Any:
        return draws.happens(self.factor)

    def _change(self, images: Any, drawn: Any) -> Any:
        return hr.where(drawn, hr.cast(self.value_range[1], images.dtype) - images, images)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {"factor": self.factor, "value_range": self.value_range}
        return {**super().get_config(), **config}


class RandomPosterization(RandomImageLayer):
    """Images with fewer bits per value.

    Args:
        factor: how many bits stay: f for 1 to below f, or two numbers in [1, 8].
        value_range: lowest and highest value.
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
        self.factor = factor_range(factor, (1, 8))
        self.value_range = value_range_of(value_range)

    def _draw(self, draws: Draws) -> Any:
        low, high = self.factor
        if low == high:
            return hr.cast(hr.fill(draws.dims(draws.batch), 8 - int(low)), hr.uint8)
        bits = draws.uniform(int(low), int(high), dtype="int64")
        return hr.cast(8 - bits, hr.uint8)

    def _change(self, images: Any, drawn: Any) -> Any:
        shift = hr.reshape(drawn, [-1, 1, 1, 1])
        whole = hr.cast(in_range(images, self.value_range, (0, 255)), hr.uint8)
        fewer = hr.left_shift(hr.right_shift(whole, shift), shift)
        return in_range(hr.cast(fewer, images.dtype), (0, 255), self.value_range)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {"factor": self.factor, "value_range": self.value_range}
        return {**super().get_config(), **config}


class Solarization(RandomImageLayer):
    """Images with a number added, and values above a threshold inverted.

    Args:
        addition_factor: f for (0, f), or two numbers in [0, 1]: shares of 255.
        threshold_factor: likewise.
        value_range: lowest and highest value.
        seed: Python int for repeatable draws.
        **kwargs: see `ImageLayer` and `Layer`.
    """

    def __init__(
        self,
        addition_factor: Any = 0.0,
        threshold_factor: Any = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, **kwargs)
        self.addition_factor = _share(addition_factor, "addition_factor")
        self.threshold_factor = _share(threshold_factor, "threshold_factor")
        self.value_range = value_range_of(value_range)

    def _draw(self, draws: Draws) -> Any:
        return tuple(
            draws.uniform(low, high * 255, 1, 1, 1, dtype=draws.dtype)
            for low, high in (self.addition_factor, self.threshold_factor)
        )

    def _change(self, images: Any, drawn: Any) -> Any:
        additions, thresholds = drawn
        x = in_range(images, self.value_range, (0, 255)) + additions
        x = hr.minimum(hr.maximum(x, 0.0), 255.0)
        x = hr.where(x < thresholds, x, 255 - x)
        return in_range(x, (0, 255), self.value_range)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "addition_factor": self.addition_factor,
            "threshold_factor": self.threshold_factor,
        }


def _share(factor: Any, name: str) -> tuple[float, float]:
    both = factor if isinstance(factor, (tuple, list)) else [0, factor]
    if len(both) != 2 or any(not isinstance(f, (int, float)) or not 0 <= f <= 1 for f in both):
        raise ValueError(
            f"The `{name}` argument should be a number (or a list of two numbers) in the range "
            f"[0, 1]. Received: {name}={factor}"
        )
    low, high = sorted(both)
    return low, high


class AutoContrast(ImageLayer):
    """Images with each channel's values spread over the whole range.

    Args:
        value_range: lowest and highest value.
        **kwargs: see `ImageLayer` and `Layer`.
    """

    trains_only = False

    def __init__(self, value_range: Any = (0, 255), **kwargs: Any):
        super().__init__(**kwargs)
        self.value_range = value_range_of(value_range)

    def _change(self, images: Any, drawn: Any) -> Any:
        x = in_range(images, self.value_range, (0, 255))
        low = hr.reduce_min(x, axis=[1, 2], keepdims=True)
        high = hr.reduce_max(x, axis=[1, 2], keepdims=True)
        even = hr.equal(low, high)  # one tone: nothing to spread
        scale = 255.0 / hr.where(even, hr.ones_like(high), high - low)
        spread = hr.minimum(hr.maximum(x * scale + -low * scale, 0.0), 255.0)
        return hr.where(even, images, in_range(spread, (0, 255), self.value_range))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "value_range": self.value_range}


class Equalization(ImageLayer):
    """Images with the values of each channel spread so that all are about equally frequent.

    The frequencies are those of the whole batch, as in Keras; in a pipeline over single images,
    those of each image.

    Args:
        value_range: lowest and highest value.
        bins: of the histogram.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        bins: int = 256,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.bins = bins
        self.value_range = value_range_of(value_range)

    def _change(self, images: Any, drawn: Any) -> Any:
        bins = self.bins
        channels = images.shape[-1]
        rows = hr.reshape(hr.transpose(images, [3, 0, 1, 2]), [channels, -1])
        rows = in_range(rows, self.value_range, (0, 255))
        places = hr.cast(hr.cast(rows, hr.float32) * (bins - 1) / 255.0, hr.int32)
        places = hr.minimum(hr.maximum(places, 0), bins - 1)
        counts = counts_per_row(places, bins, dtype=hr.float32)
        sums = hr.cumsum(counts, axis=-1)
        # The first bin that holds anything has the smallest sum above 0.
        first = hr.where(sums > 0, sums, hr.fill(hr.shape(sums), 3e38))
        least = hr.reduce_min(first, axis=-1, keepdims=True)
        span = sums[:, -1:] - least
        table = (sums - least) * 255 / hr.where(span > 0, span, hr.ones_like(span))
        table = hr.minimum(hr.maximum(hr.round(table), 0.0), 255.0)
        at = hr.cast(
            hr.minimum(hr.maximum(rows / 255.0 * (bins - 1), 0.0), bins - 1.0), hr.int32
        )
        found = hr.cast(hr.gather(table, at, batch_dims=1), rows.dtype)
        found = hr.where(span > 0, found, rows)
        found = in_range(found, (0, 255), self.value_range)
        sizes = hr.shape(images)
        shape = hr.stack([sizes[3], sizes[0], sizes[1], sizes[2]])
        back = hr.transpose(hr.reshape(found, shape), [1, 2, 3, 0])
        return hr.ensure_shape(back, images.shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "bins": self.bins, "value_range": self.value_range}
