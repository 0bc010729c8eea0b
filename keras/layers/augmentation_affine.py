"""Images turned, zoomed, moved, sheared and seen in perspective, all by one sampling "
"operation."""

from __future__ import annotations

import math
from typing import Any

from ...ops import api as hr
from ...ops.decompositions import solve
from ...ops.image_projective import projective_transform
from .augmentation_base import Draws, RandomImageLayer, factor_range
from .augmentation_boxes import affine_change

__all__ = [
    "RandomPerspective",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
]

_FILL_MODES = ("reflect", "wrap", "constant", "nearest")
_INTERPOLATIONS = ("nearest", "bilinear")


class _Projective(RandomImageLayer):
    """A layer whose draw is a map ``[batch, 8]`` from output to input pixels.

    Args:
        fill_mode: what is outside: ``"reflect"``, ``"wrap"``, ``"constant"``, ``"nearest"``.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        fill_value: of pixels outside, with ``"constant"``.
        seed, data_format, **kwargs: see `RandomImageLayer`.
    """

    def __init__(
        self, fill_mode: str, interpolation: str, fill_value: float, seed: Any, **kwargs: Any
    ):
        super().__init__(seed=seed, **kwargs)
        for name, value, known in (
            ("fill_mode", fill_mode, _FILL_MODES),
            ("interpolation", interpolation, _INTERPOLATIONS),
        ):
            if value not in known:
                raise NotImplementedError(f"Unknown `{name}` {value}. Expected of one {known}.")
        self.fill_mode = fill_mode
        self.interpolation = interpolation
        self.fill_value = fill_value

    def _map(self, draws: Draws) -> Any:
        raise NotImplementedError

    def _draw(self, draws: Draws) -> Any:
        return hr.cast(self._map(draws), hr.float32)

    def _sampled(self, images: Any, maps: Any, interpolation: str) -> Any:
        return projective_transform(
            images, maps, self.fill_value, interpolation.upper(), self.fill_mode.upper()
        )

    def _change(self, images: Any, drawn: Any) -> Any:
        return self._sampled(images, drawn, self.interpolation)

    def _change_masks(self, masks: Any, drawn: Any) -> Any:
        return self._sampled(masks, drawn, "nearest")

    def _box_change(self, drawn: Any, height: Any, width: Any) -> Any:
        return affine_change(drawn)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "fill_mode": self.fill_mode,
            "interpolation": self.interpolation,
            "fill_value": self.fill_value,
        }


def _rows(*columns: Any) -> Any:
    """Maps ``[batch, 8]`` from columns ``[batch]``; numbers stand for the whole column."""
    like = next(c for c in columns if not isinstance(c, (int, float)))
    return hr.stack(
        [hr.zeros_like(like) + c if isinstance(c, (int, float)) else c for c in columns], 1
    )


def _half(size: Any) -> Any:
    return (size - 1) / 2 if isinstance(size, int) else (hr.cast(size, hr.float32) - 1.0) / 2.0


class RandomRotation(_Projective):
    """Images turned around their middle by a random angle.

    Args:
        factor: shares of a full turn: a number f for (-f, f), or two; positive ones turn
            against the clock.
        fill_mode: what is outside: ``"reflect"``, ``"wrap"``, ``"constant"``, ``"nearest"``.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        seed: Python int for repeatable draws.
        fill_value: of pixels outside, with ``"constant"``.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            fill_mode, interpolation, fill_value, seed, data_format=data_format, **kwargs
        )
        self.factor = factor_range(factor or 0.0)

    def _map(self, draws: Draws) -> Any:
        degrees = draws.uniform(self.factor[0] * 360.0, self.factor[1] * 360.0)
        angle = degrees * (math.pi / 180.0)
        cos, sin = hr.cos(angle), hr.sin(angle)
        x, y = _half(draws.width), _half(draws.height)
        return _rows(cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos, 0, 0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "factor": self.factor}


class _TwoFactors(_Projective):
    """A layer with a factor for the height and one for the width."""

    _open = False  # whether -1 itself is too little

    def __init__(self, height_factor: Any, width_factor: Any, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.height_factor = height_factor
        self.width_factor = width_factor
        self.height_lower, self.height_upper = self._range(height_factor, "height_factor")
        if width_factor is not None:
            self.width_lower, self.width_upper = self._range(width_factor, "width_factor")

    def _range(self, factor: Any, name: str) -> tuple[float, float]:
        both = factor if isinstance(factor, (tuple, list)) else [factor]
        numbers = all(isinstance(f, (int, float)) for f in both)
        if not numbers or len(both) > 2 or any(self._outside(f) for f in both):
            low = "(-1.0" if self._open else "[-1.0"
            raise ValueError(
                f"The `{name}` argument should be a number (or a list of two numbers) in the "
                f"range {low}, 1.0]. Received: {name}={factor}"
            )
        return factor_range(factor, (-1, 1), name)

    def _outside(self, f: float) -> bool:
        return f > 1.0 or f < -1.0 or (self._open and f == -1.0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "height_factor": self.height_factor,
            "width_factor": self.width_factor,
        }


class RandomZoom(_TwoFactors):
    """Images made larger or smaller around their middle.

    Args:
        height_factor: f for (-f, f), or two numbers in (-1, 1]; positive ones zoom out.
        width_factor: of the width; that of the height if None, so that the aspect stays.
        fill_mode, interpolation, seed, fill_value, data_format: see `RandomRotation`.
        **kwargs: see `Layer`.
    """

    _open = True

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            height_factor,
            width_factor,
            fill_mode,
            interpolation,
            fill_value,
            seed,
            data_format=data_format,
            **kwargs,
        )

    def _map(self, draws: Draws) -> Any:
        h = draws.uniform(1.0 + self.height_lower, 1.0 + self.height_upper)
        w = h
        if self.width_factor is not None:
            w = draws.uniform(1.0 + self.width_lower, 1.0 + self.width_upper)
        x, y = _half(draws.width) * (1.0 - w), _half(draws.height) * (1.0 - h)
        return _rows(w, 0, x, 0, h, y, 0, 0)


class RandomTranslation(_TwoFactors):
    """Images moved up, down and sideways.

    Args:
        height_factor: f for (-f, f), or two numbers in [-1, 1]: shares of the height, down.
        width_factor: shares of the width, to the right.
        fill_mode, interpolation, seed, fill_value, data_format: see `RandomRotation`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            height_factor,
            width_factor,
            fill_mode,
            interpolation,
            fill_value,
            seed,
            data_format=data_format,
            **kwargs,
        )

    def _map(self, draws: Draws) -> Any:
        down = draws.uniform(self.height_lower, self.height_upper)
        right = draws.uniform(self.width_lower, self.width_upper)
        down = down * hr.cast(draws.height, down.dtype)
        right = right * hr.cast(draws.width, right.dtype)
        return _rows(1, 0, -right, 0, 1, -down, 0, 0)


class RandomShear(_Projective):
    """Images slanted along their width and height.

    Args:
        x_factor: f for (0, f), or two numbers in [0, 1]: how far rows move sideways per row.
        y_factor: how far columns move down per column.
        interpolation, fill_mode, fill_value, data_format, seed: see `RandomRotation`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        x_factor: Any = 0.0,
        y_factor: Any = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            fill_mode, interpolation, fill_value, seed, data_format=data_format, **kwargs
        )
        self.x_factor = _shear_range(x_factor, "x_factor")
        self.y_factor = _shear_range(y_factor, "y_factor")

    def _map(self, draws: Draws) -> Any:
        sign = hr.where(draws.uniform(0, 1, dtype=draws.dtype) > 0.5, -1.0, 1.0)
        y = draws.uniform(*self.y_factor, dtype=draws.dtype)
        x = draws.uniform(*self.x_factor, dtype=draws.dtype)
        sign = hr.cast(sign, x.dtype)
        return _rows(1, x * sign, 0, y * sign, 1, 0, 0, 0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "x_factor": self.x_factor, "y_factor": self.y_factor}


def _shear_range(factor: Any, name: str) -> tuple[float, float]:
    low, high = factor if isinstance(factor, (tuple, list)) else (-factor, factor)
    # (-f, f) is what a number f becomes, and so what a config holds.
    if not (0 <= low <= 1 or low == -high) or not 0 <= high <= 1:
        raise ValueError(
            f"The `{name}` argument should be a number (or a list of two numbers) in the range "
            f"[0, 1.0]. Received: {name}={factor}"
        )
    return min(low, high), max(low, high)


class RandomPerspective(_Projective):
    """Images seen from aside: their corners moved at random.

    Args:
        factor: chance of a change: f for (0, f), or two numbers in [0, 1].
        scale: how far corners move, in [0, 1].
        interpolation, fill_value, seed, data_format: see `RandomRotation`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            "constant", interpolation, fill_value, seed, data_format=data_format, **kwargs
        )
        self.factor = factor_range(factor, (0, 1))
        self.scale = scale
        if not 0.0 <= scale <= 1.0:
            raise ValueError(
                "The `scale` argument should be a number in the range [0,1]. Received: "
                f"scale={scale}"
            )

    def _draw(self, draws: Draws) -> Any:
        happens = draws.happens(self.factor)
        moved = draws.uniform(-0.5 * self.scale, 0.5 * self.scale, 4, 2, dtype=draws.dtype)
        right, bottom = (hr.cast(n, hr.float32) - 1.0 for n in (draws.width, draws.height))
        zero = hr.zeros_like(right)
        start = hr.reshape(
            hr.stack([zero, zero, right, zero, zero, bottom, right, bottom]), [1, 4, 2]
        )
        start = start + hr.zeros_like(moved)
        return happens, _homography(start, start + start * moved)

    def _change(self, images: Any, drawn: Any) -> Any:
        return hr.where(drawn[0], self._sampled(images, drawn[1], self.interpolation), images)

    def _change_masks(self, masks: Any, drawn: Any) -> Any:
        return hr.where(drawn[0], self._sampled(masks, drawn[1], "nearest"), masks)

    def _box_change(self, drawn: Any, height: Any, width: Any) -> Any:
        raise NotImplementedError(
            "RandomPerspective changes no bounding boxes; leave them out of its data"
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {**super().get_config(), "factor": self.factor, "scale": self.scale}
        del config["fill_mode"]
        return config


def _homography(start: Any, end: Any) -> Any:
    """Maps ``[batch, 8]`` that take the points `end` ``[batch, 4, 2]`` to `start`."""
    (u, v), (x, y) = ((p[..., 0], p[..., 1]) for p in (start, end))
    one, zero = hr.ones_like(x), hr.zeros_like(x)
    across = hr.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1)
    down = hr.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1)
    rows = hr.concat([across, down], 1)
    wanted = hr.expand_dims(hr.concat([u, v], 1), -1)
    return hr.cast(hr.squeeze(solve(rows, wanted), axis=-1), hr.float32)
