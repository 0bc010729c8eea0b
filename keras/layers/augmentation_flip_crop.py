"""Images mirrored, cut out, and made higher or wider at random."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.image_crop_at import crop_at
from ...ops.image_resize import resize
from ..random import SeedGenerator
from .augmentation_base import Draws, RandomImageLayer
from .preprocessing_base import DataLayer, as_tensor

__all__ = ["RandomCrop", "RandomFlip", "RandomHeight", "RandomWidth"]

_MODES = ("horizontal", "vertical", "horizontal_and_vertical")


class RandomFlip(RandomImageLayer):
    """Images mirrored with a chance of one half.

    Args:
        mode: ``"horizontal"``, ``"vertical"`` or ``"horizontal_and_vertical"`` (both at once).
        seed: Python int for repeatable draws.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {_MODES}, got {mode!r}")
        self.mode = mode

    def _draw(self, draws: Draws) -> Any:
        return draws.uniform(0.0, 1.0, 1, 1, 1) <= 0.5

    def _change(self, images: Any, drawn: Any) -> Any:
        axes = [
            axis for axis, word in ((2, "horizontal"), (1, "vertical")) if word in self.mode
        ]
        return hr.where(drawn, hr.reverse(images, axes), images)

    _change_masks = _change

    def _box_change(self, drawn: Any, height: Any, width: Any) -> Any:
        def change(corners: Any) -> Any:
            left, top, right, bottom = (corners[..., i] for i in range(4))
            if "horizontal" in self.mode:
                left, right = width - right, width - left
            if "vertical" in self.mode:
                top, bottom = height - bottom, height - top
            flipped = hr.stack([left, top, right, bottom], -1)
            chosen = hr.squeeze(drawn, axis=-1)
            chosen = chosen if corners.shape.rank == 3 else hr.squeeze(chosen, axis=0)
            return hr.where(chosen, flipped, corners)

        return change

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "mode": self.mode}


class RandomCrop(RandomImageLayer):
    """In training, a piece of given size from a random place, the same for a whole batch.

    Images that are too small are cut to the right aspect in the middle, and resized.

    Args:
        height, width: size of the piece.
        seed: Python int for repeatable draws.
        data_format: see `ImageLayer`.
        name: see `Layer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        kwargs.pop("factor", None)
        super().__init__(seed=seed, data_format=data_format, name=name, **kwargs)
        self.height = height
        self.width = width

    def _draw(self, draws: Draws) -> Any:
        have = draws.height, draws.width
        if not all(isinstance(n, int) for n in have):
            raise ValueError(
                "RandomCrop requires the input to have a fully defined height and width. "
                f"Received: height={have[0]}, width={have[1]}"
            )
        if have[0] > self.height and have[1] > self.width:
            return tuple(
                hr.cast(draws.one(0.0, float(n - size + 1)), hr.int32)
                for n, size in zip(have, (self.height, self.width), strict=True)
            )
        high = max(min(have[0], int(have[1] * self.height / self.width)), 1)
        wide = max(min(have[1], int(have[0] * self.width / self.height)), 1)
        return (have[0] - high) // 2, (have[1] - wide) // 2

    def _cut(self, images: Any, drawn: Any, method: str) -> Any:
        top, left = drawn
        shape = images.shape
        high, wide = self.height, self.width
        if isinstance(top, int):
            high, wide = min(high, shape[1] - top), min(wide, shape[2] - left)
        piece = crop_at(images, top, left, high, wide)
        if (high, wide) == (self.height, self.width):
            return piece
        return resize(piece, [self.height, self.width], method=method)

    def _change(self, images: Any, drawn: Any) -> Any:
        return self._cut(images, drawn, "bilinear")

    def _change_masks(self, masks: Any, drawn: Any) -> Any:
        return self._cut(masks, drawn, "nearest")

    def _box_change(self, drawn: Any, height: Any, width: Any) -> Any:
        top, left = (hr.cast(n, hr.float32) for n in drawn)
        return lambda corners: corners - hr.stack([left, top, left, top])

    def compute_output_shape(self, input_shape: Any, *args: Any, **kwargs: Any) -> Any:
        """The input's shape with the piece's size."""
        shape = list(input_shape)
        first = self.data_format == "channels_first"
        high, wide = (-2, -1) if first else (-3, -2)
        shape[high], shape[wide] = self.height, self.width
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "height": self.height, "width": self.width}


class _RandomSize(DataLayer):
    """A layer of Keras 2 that resizes one axis of images by a random factor.

    Args:
        factor: f for (-f, f), or two numbers above -1.
        interpolation: see `Resizing`.
        seed: Python int for repeatable draws.
        **kwargs: see `Layer`.
    """

    _axis = -3

    def __init__(
        self,
        factor: Any,
        interpolation: str = "bilinear",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        low, high = factor if isinstance(factor, (tuple, list)) else (-factor, factor)
        if high < low:
            raise ValueError(
                "`factor` argument cannot have an upper bound lesser than the lower bound. "
                f"Received: factor={factor}"
            )
        if low < -1.0 or high < -1.0:
            raise ValueError(
                f"`factor` argument must have values larger than -1. Received: factor={factor}"
            )
        self.factor = factor
        self._low, self._high = low, high
        self.interpolation = interpolation
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self.built = True

    def call(self, inputs: Any, training: Any = True) -> Any:
        """The images, resized in training."""
        x = hr.cast(as_tensor(inputs), self.compute_dtype)
        if not training:
            return x
        rank = x.shape.rank
        factor = hr.stateless_uniform(
            [], self.seed_generator.next(), 1.0 + self._low, 1.0 + self._high
        )
        sizes = hr.shape(x)
        new = hr.cast(factor * hr.cast(sizes[self._axis], hr.float32), hr.int32)
        other = sizes[-2] if self._axis == -3 else sizes[-3]
        size = hr.stack([new, other] if self._axis == -3 else [other, new])
        out = hr.cast(resize(x, size, method=self.interpolation), self.compute_dtype)
        shape = x.shape.as_list()
        shape[rank + self._axis] = None
        return hr.ensure_shape(out, shape)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape, one size unknown."""
        shape = list(input_shape)
        shape[self._axis] = None
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "factor": self.factor,
            "interpolation": self.interpolation,
            "seed": self.seed,
        }


class RandomHeight(_RandomSize):
    """Images made higher or lower at random, as in Keras 2."""


class RandomWidth(_RandomSize):
    """Images made wider or narrower at random, as in Keras 2."""

    _axis = -2
