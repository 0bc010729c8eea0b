"""Contrast limited adaptive histogram equalisation (Zuiderveld 1994)."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.row_counts import counts_per_row
from .augmentation_base import ImageLayer, in_range

__all__ = ["ContrastLimitedAdaptiveHistogramEqualization"]

_LEVELS = 256


class ContrastLimitedAdaptiveHistogramEqualization(ImageLayer):
    """Images equalised tile by tile, what is between tiles interpolated.

    Args:
        value_range: lowest and highest value.
        clip_limit: how many times the mean a level of a tile's histogram may count; what is
            above is spread over all levels.  0 for no limit.
        tile_grid_size: how many tiles down and across.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    trains_only = False

    def __init__(
        self,
        value_range: Any = (0, 255),
        clip_limit: float = 4.0,
        tile_grid_size: Any = (8, 8),
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = value_range
        self.clip_limit = clip_limit
        self.tile_grid_size = tile_grid_size

    def _change(self, images: Any, drawn: Any) -> Any:
        x = in_range(hr.cast(images, hr.float32), self.value_range, (0, 255))
        x = in_range(self._equalised(x), (0, 255), self.value_range)
        return hr.cast(x, images.dtype)

    def _equalised(self, images: Any) -> Any:
        rows, columns = self.tile_grid_size
        height, width, channels = (int(n) for n in images.shape[1:])
        high, wide = -(-height // rows), -(-width // columns)
        pads = [[0, 0], [0, high * rows - height], [0, wide * columns - width], [0, 0]]
        padded = hr.pad(images, pads, mode="SYMMETRIC")
        levels = hr.cast(hr.minimum(hr.maximum(padded, 0.0), 255.0), hr.int32)
        tables = self._tables(levels, rows, columns, high, wide, channels)
        # Each pixel lies between the middles of four tiles; the outer ones are repeated.
        y0, y1, wy = _between(high, rows)
        x0, x1, wx = _between(wide, columns)
        size = _LEVELS
        base = hr.reshape(hr.range(channels) * size, [1, 1, 1, -1]) + levels

        def looked_up(y: Any, x: Any) -> Any:
            tile = hr.reshape(y, [1, -1, 1, 1]) * columns + hr.reshape(x, [1, 1, -1, 1])
            return hr.gather(tables, base + tile * (channels * size), axis=1, batch_dims=1)

        wy, wx = hr.reshape(wy, [1, -1, 1, 1]), hr.reshape(wx, [1, 1, -1, 1])
        top = looked_up(y0, x0) * (1.0 - wx) + looked_up(y0, x1) * wx
        bottom = looked_up(y1, x0) * (1.0 - wx) + looked_up(y1, x1) * wx
        return (top * (1.0 - wy) + bottom * wy)[:, :height, :width]

    def _tables(
        self, levels: Any, rows: int, columns: int, high: int, wide: int, channels: int
    ) -> Any:
        """The new value of each tile's levels: ``[batch, tiles * channels * levels]``."""
        tiles = hr.reshape(levels, [-1, rows, high, columns, wide, channels])
        tiles = hr.transpose(tiles, [0, 1, 3, 5, 2, 4])
        flat = hr.reshape(tiles, [-1, high * wide])
        counts = counts_per_row(flat, _LEVELS, dtype=hr.float32)
        if self.clip_limit > 0:
            limit = self.clip_limit * (high * wide) / _LEVELS
            clipped = hr.minimum(counts, limit)
            rest = hr.reduce_sum(counts - clipped, axis=-1, keepdims=True)
            counts = clipped + rest / _LEVELS
        sums = hr.cumsum(counts, axis=-1)
        least = hr.reduce_min(sums, axis=-1, keepdims=True)
        span = high * wide - least
        table = (sums - least) * 255.0 / hr.where(hr.equal(span, 0.0), hr.ones_like(span), span)
        table = hr.minimum(hr.maximum(table, 0.0), 255.0)
        return hr.reshape(table, [-1, rows * columns * channels * _LEVELS])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "value_range": self.value_range,
            "clip_limit": self.clip_limit,
            "tile_grid_size": self.tile_grid_size,
        }


def _between(size: int, count: int) -> tuple[Any, Any, Any]:
    """For every pixel the tiles whose middles it lies between, and the second's weight."""
    at = (hr.range(size * count, dtype=hr.float32) - size / 2.0) / size
    low = hr.floor(at)
    first = hr.cast(low, hr.int32)
    return (
        hr.minimum(hr.maximum(first, 0), count - 1),
        hr.minimum(hr.maximum(first + 1, 0), count - 1),
        at - low,
    )
