"""RandomElasticTransform: images whose pixels are moved by smooth noise."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..ops.image_family import moved_by_noise
from .augmentation_base import Draws, RandomImageLayer, factor_range

__all__ = ["RandomElasticTransform"]

_INTERPOLATIONS = ("nearest", "bilinear")
_FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


class RandomElasticTransform(RandomImageLayer):
    """Images distorted at random (Simard et al. 2003), all of a batch equally far.

    Args:
        factor: the chance: f for (0, f), or two numbers in [0, 1].
        scale: how far: f for (0, f), or two numbers in [0, 1].
        interpolation: ``"nearest"`` or ``"bilinear"``.
        fill_mode: what is outside: ``"constant"``, ``"nearest"``, ``"wrap"``, ``"mirror"``,
            ``"reflect"``.
        fill_value: of pixels outside, with ``"constant"``.
        value_range: lowest and highest value; results are clipped to it.
        seed: Python int for repeatable draws.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: Any = (0, 255),
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = factor_range(factor, (0, 1))
        self.scale = factor_range(scale, (0, 1), "scale")
        for name, value, known in (
            ("interpolation", interpolation, _INTERPOLATIONS),
            ("fill_mode", fill_mode, _FILL_MODES),
        ):
            if value not in known:
                raise NotImplementedError(f"Unknown `{name}` {value}. Expected of one {known}.")
        self.interpolation = interpolation
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.value_range = value_range

    def _draw(self, draws: Draws) -> Any:
        if self.scale[1] == 0 or self.factor[1] == 0:
            return None
        happens = draws.happens(self.factor)
        far = draws.one(*self.scale, dtype=draws.dtype)
        return happens, far, draws.seeds.next()

    def _moved(self, images: Any, drawn: Any, interpolation: str) -> Any:
        happens, far, seed = drawn
        height, width = images.shape[1], images.shape[2]
        moved = moved_by_noise(
            images,
            max(height, width) * 0.1 * far,
            min(height, width) * 0.05 * far,
            min(height, width) * 0.05 * self.scale[1],
            interpolation,
            self.fill_mode,
            self.fill_value,
            seed,
        )
        return hr.where(happens, hr.cast(moved, images.dtype), images)

    def _change(self, images: Any, drawn: Any) -> Any:
        if drawn is None:
            return images
        moved = self._moved(images, drawn, self.interpolation)
        low, high = (hr.cast(v, moved.dtype) for v in self.value_range)
        return hr.minimum(hr.maximum(moved, low), high)

    def _change_masks(self, masks: Any, drawn: Any) -> Any:
        return masks if drawn is None else self._moved(masks, drawn, "nearest")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "factor": self.factor,
            "scale": self.scale,
            "interpolation": self.interpolation,
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "value_range": self.value_range,
        }
