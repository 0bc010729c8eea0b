"""Images with other brightness, contrast, saturation, hue, or with less colour."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.image_colour import hsv_to_rgb, rgb_to_hsv
from .. import backend
from .augmentation_base import (
    Draws,
    RandomImageLayer,
    factor_range,
    in_range,
    value_range_of,
)

__all__ = [
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomGrayscale",
    "RandomHue",
    "RandomSaturation",
]


class _Ranged(RandomImageLayer):
    """A layer with a factor, on images with values in a known range."""

    _bounds: tuple[float, float] = (-1, 1)

    def __init__(self, factor: Any, value_range: Any, seed: Any, **kwargs: Any):
        super().__init__(seed=seed, **kwargs)
        self.factor: Any = factor_range(factor, self._bounds)
        self.value_range: Any = value_range_of(value_range)

    def _clipped(self, images: Any) -> Any:
        low, high = (hr.cast(v, images.dtype) for v in self.value_range)
        return hr.minimum(hr.maximum(images, low), high)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "factor": self.factor,
            "value_range": self.value_range,
        }


class RandomBrightness(_Ranged):
    """Images with a random number added.

    Args:
        factor: f for (-f, f), or two numbers in [-1, 1]: shares of the range of values.
        value_range: lowest and highest value; results are clipped to it.
        seed: Python int for repeatable draws.
        **kwargs: see `ImageLayer` and `Layer`.
    """

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any
    ):
        super().__init__(factor, value_range, seed, **kwargs)

    def _draw(self, draws: Draws) -> Any:
        low, high = self.value_range
        return draws.uniform(*self.factor, 1, 1, 1) * float(high - low)

    def _change(self, images: Any, drawn: Any) -> Any:
        return self._clipped(images + hr.cast(drawn, images.dtype))


class RandomContrast(_Ranged):
    """Images with the distance of values from their channel's mean multiplied.

    Args:
        factor: f for (1 - f, 1 + f), or two numbers l, u in [0, 1] for (1 - l, 1 + u).
        value_range: lowest and highest value; results are clipped to it.
        seed: Python int for repeatable draws.
        **kwargs: see `ImageLayer` and `Layer`.
    """

    _bounds = (0, 1)

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, **kwargs: Any
    ):
        super().__init__(factor, value_range, seed, **kwargs)
        self.value_range = value_range

    def _draw(self, draws: Draws) -> Any:
        low, high = 1.0 - self.factor[0], 1.0 + self.factor[1]
        return draws.uniform(low, high, 1, 1, 1, dtype=draws.dtype)

    def _change(self, images: Any, drawn: Any) -> Any:
        columns = hr.reduce_mean(images, axis=1, keepdims=True)
        mean = hr.reduce_mean(columns, axis=2, keepdims=True)
        return self._clipped((images - mean) * hr.cast(drawn, images.dtype) + mean)


class RandomSaturation(_Ranged):
    """RGB images with more or less colour.

    Args:
        factor: f for (0, f), or two numbers in [0, 1]: 0 is grey, 0.5 as it is, 1 full colour.
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
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def _draw(self, draws: Draws) -> Any:
        factor = draws.uniform(*self.factor)
        return factor / (1 - factor + backend.epsilon())

    def _change(self, images: Any, drawn: Any) -> Any:
        hsv = rgb_to_hsv(images)
        times = hr.cast(hr.reshape(drawn, [-1, 1, 1]), images.dtype)
        wide = self._clipped(hsv[..., 1] * times)
        return hsv_to_rgb(hr.stack([hsv[..., 0], wide, hsv[..., 2]], -1))


class RandomHue(_Ranged):
    """RGB images with their colours turned.

    Args:
        factor: f for (0, f), or two numbers in [0, 1]: shares of half the circle of colours.
        value_range: lowest and highest value.
        data_format: see `ImageLayer`.
        seed: Python int for repeatable draws.
        **kwargs: see `Layer`.
    """

    _bounds = (0, 1)

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        data_format: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)
        self.value_range = value_range

    def _draw(self, draws: Draws) -> Any:
        sign = hr.where(draws.uniform(0.0, 1.0) > 0.5, -1.0, 1.0)
        return sign * draws.uniform(*self.factor) * 0.5

    def _change(self, images: Any, drawn: Any) -> Any:
        hsv = rgb_to_hsv(in_range(images, self.value_range, (0, 1)))
        hue = hsv[..., 0] + hr.cast(hr.reshape(drawn, [-1, 1, 1]), images.dtype)
        hue = hr.where(hue > 1.0, hue - 1.0, hue)
        hue = hr.where(hue < 0.0, hue + 1.0, hue)
        rgb = hsv_to_rgb(hr.stack([hue, hsv[..., 1], hsv[..., 2]], -1))
        rgb = hr.minimum(hr.maximum(rgb, 0.0), 1.0)
        return in_range(rgb, (0, 1), self.value_range)


_GREY = (0.2989, 0.5870, 0.1140)


def _grey(images: Any) -> Any:
    """RGB images as one channel; one channel as it is."""
    channels = images.shape[-1]
    if channels == 1:
        return images
    if channels != 3:
        raise ValueError(
            "Invalid channel size: expected 3 (RGB) or 1 (Grayscale). Received input with "
            f"shape: images.shape={images.shape}"
        )
    return hr.reduce_sum(
        images * hr.constant(_GREY, dtype=images.dtype), axis=-1, keepdims=True
    )


class RandomColorDegeneration(_Ranged):
    """RGB images moved towards grey.

    Args:
        factor: f for (0, f), or two numbers in [0, 1]: 1 is grey.
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
        super().__init__(factor, value_range, seed, data_format=data_format, **kwargs)

    def _draw(self, draws: Draws) -> Any:
        return draws.uniform(*self.factor, 1, 1, 1)

    def _change(self, images: Any, drawn: Any) -> Any:
        towards = hr.cast(drawn, images.dtype) * (_grey(images) - images)
        return self._clipped(images + towards)


class RandomGrayscale(RandomImageLayer):
    """RGB images turned grey with a given chance; they keep their three channels.

    Args:
        factor: the chance.
        data_format: see `ImageLayer`.
        seed: Python int for repeatable draws.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        factor: float = 0.5,
        data_format: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        if factor < 0 or factor > 1:
            raise ValueError(f"`factor` should be between 0 and 1. Received: factor={factor}")
        self.factor = factor

    def _draw(self, draws: Draws) -> Any:
        return hr.reshape(draws.uniform(0, 1) < self.factor, [-1, 1, 1, 1])

    def _change(self, images: Any, drawn: Any) -> Any:
        return hr.where(drawn, _grey(images), images)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {**super().get_config(), "factor": self.factor}
        if self.seed is None:
            del config["seed"]  # Keras's files hold none, and its layer takes one
        return config


class RandomColorJitter(RandomImageLayer):
    """Random brightness, contrast, saturation and hue, one after the other.

    Args:
        value_range: lowest and highest value.
        brightness_factor: see `RandomBrightness`; None leaves it alone.
        contrast_factor: see `RandomContrast`.
        saturation_factor: see `RandomSaturation`.
        hue_factor: see `RandomHue`.
        seed: Python int for repeatable draws.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        value_range: Any = (0, 255),
        brightness_factor: Any = None,
        contrast_factor: Any = None,
        saturation_factor: Any = None,
        hue_factor: Any = None,
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.value_range = value_range
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        kinds = (
            (RandomBrightness, brightness_factor),
            (RandomContrast, contrast_factor),
            (RandomSaturation, saturation_factor),
            (RandomHue, hue_factor),
        )
        dtype = kwargs.get("dtype")
        self._parts = [
            kind(factor, value_range=value_range, seed=seed, dtype=dtype)
            for kind, factor in kinds
            if factor is not None
        ]

    def _draw(self, draws: Draws) -> Any:
        return [part._draw(draws) for part in self._parts]

    def _change(self, images: Any, drawn: Any) -> Any:
        for part, numbers in zip(self._parts, drawn, strict=True):
            images = part._change(images, numbers)
        return images

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "brightness_factor": self.brightness_factor,
            "contrast_factor": self.contrast_factor,
            "saturation_factor": self.saturation_factor,
            "hue_factor": self.hue_factor,
        }
