"""MixUp and CutMix: each image of a batch mixed with another one, and their labels alike."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.random_sampling import stateless_gamma
from .augmentation_base import Draws, RandomImageLayer, factor_range
from .augmentation_filters import box_mask, stretch

__all__ = ["CutMix", "MixUp", "beta"]


def _order(draws: Draws) -> Any:
    """The batch's positions in random order."""
    keys = draws.one(0.0, 1.0, draws.batch)
    return hr.argsort(keys, stable=True)


def beta(draws: Draws, alpha: Any, count: Any) -> Any:
    """`count` numbers of the beta distribution (`alpha`, `alpha`), as shares of two gammas."""
    seed = draws.seeds.next()
    shape = draws.dims(count)
    alpha = hr.fill(shape, hr.cast(alpha, hr.float32))
    a = stateless_gamma(shape, seed, alpha=alpha)
    b = stateless_gamma(shape, seed + 12, alpha=alpha)
    return a / (a + b)


def _mixed(x: Any, others: Any, weight: Any) -> Any:
    weight = hr.reshape(weight, [-1] + [1] * (x.shape.rank - 1))
    return weight * x + (1.0 - weight) * others


class _Mixing(RandomImageLayer):
    """A layer that draws an order and a weight ``[batch]`` of each image's own label."""

    def _change_labels(self, labels: Any, drawn: Any) -> Any:
        order, weight = drawn[:2]
        labels = hr.cast(labels, hr.float32) if not labels.dtype.is_floating else labels
        weight = hr.cast(weight, labels.dtype)
        return _mixed(labels, hr.gather(labels, order), weight)

    def _box_change(self, drawn: Any, height: Any, width: Any) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} mixes no bounding boxes; leave them out of its data"
        )


class MixUp(_Mixing):
    """Weighted means of two images, and of their labels (Zhang et al., 2018).

    Args:
        alpha: of the beta distribution of the weights.
        data_format: see `ImageLayer`.
        seed: Python int for repeatable draws.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.alpha = alpha

    def _draw(self, draws: Draws) -> Any:
        return _order(draws), beta(draws, self.alpha, draws.batch)

    def _change(self, images: Any, drawn: Any) -> Any:
        order, weight = drawn
        return _mixed(images, hr.gather(images, order), hr.cast(weight, images.dtype))

    def _change_masks(self, masks: Any, drawn: Any) -> Any:
        order, weight = drawn
        x = hr.cast(masks, hr.float32)
        return _mixed(x, hr.gather(x, order), weight)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha}


class CutMix(_Mixing):
    """Images with a box of another one pasted in, labels weighted by area (Yun et al., 2019).

    Args:
        factor: range of the beta distribution's parameter: f for (0, f), or two numbers in
            [0, 1].
        seed: Python int for repeatable draws.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.factor = factor_range(factor, (0, 1))

    def _draw(self, draws: Draws) -> Any:
        alpha = draws.one(*self.factor, dtype=draws.dtype) + 1e-6
        share = hr.sqrt(1.0 - beta(draws, alpha, draws.batch))
        x0, x1 = stretch(draws, draws.width, share)
        y0, y1 = stretch(draws, draws.height, share)
        box = box_mask(draws.height, draws.width, (x0, x1, y0, y1), draws.dtype)
        whole = hr.cast(draws.width * draws.height, x0.dtype)
        weight = 1.0 - (x1 - x0) * (y1 - y0) / whole
        return _order(draws), weight, box

    def _change(self, images: Any, drawn: Any) -> Any:
        order, _, box = drawn
        return hr.where(box, hr.gather(images, order), images)

    _change_masks = _change

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "factor": self.factor}
