"""draw_bounding_boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .errors import InvalidArgumentError
from .primitive import Primitive
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["draw_bounding_boxes"]

# TensorFlow's colours: yellow, blue, red, lime, purple, olive, maroon, navy, aqua, fuchsia.
_COLOURS = np.array(
    [
        [1, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 1], [0, 1, 0, 1], [0.5, 0, 0.5, 1],
        [0.5, 0.5, 0, 1], [0.5, 0, 0, 1], [0, 0, 0.5, 1], [0, 1, 1, 1], [1, 0, 1, 1],
    ],
    np.float32,
)  # fmt: skip


def draw_bounding_boxes(
    images: Any, boxes: Any, colors: Any, name: str | None = None
) -> Tensor:
    """`images` with the outlines of `boxes`, one pixel wide.

    Args:
        images: float32 or float16 [batch, height, width, 1, 3 or 4].
        boxes: float32 [batch, num_boxes, 4] of [y1, x1, y2, x2] in [0, 1].
        colors: [num_colors, channels], taken in turn; None for ten of TensorFlow's.
        name: ignored.

    Raises:
        InvalidArgumentError: shapes do not fit.
    """
    if colors is None:
        return DrawBoundingBoxes(images, boxes)
    return DrawBoundingBoxesV2(images, boxes, colors)


def _draw_impl(images: Any, boxes: Any, colors: Any = None) -> Any:
    n, height, width, depth = images.shape
    table = _COLOURS if colors is None or not colors.size else colors
    if table.shape[1] < depth:
        raise InvalidArgumentError(
            f"colors must have equal or more channels than images, expected {depth} got "
            f"{table.shape[1]} [Op:DrawBoundingBoxes]",
            op="DrawBoundingBoxes",
        )
    table = table[:, :depth].astype(images.dtype)
    if depth == 1 and table is not colors and (colors is None or not colors.size):
        table = np.ones_like(table)
    out = images.copy()
    scale = np.array([height - 1, width - 1] * 2, np.float32)
    pixels = (boxes * scale).astype(np.int64)
    for b in range(n):
        for k, (top, left, bottom, right) in enumerate(pixels[b].tolist()):
            if top > bottom or left > right:
                continue
            if top >= height or bottom < 0 or left >= width or right < 0:
                continue
            color = table[k % len(table)]
            rows = slice(max(top, 0), min(bottom, height - 1) + 1)
            columns = slice(max(left, 0), min(right, width - 1) + 1)
            if top >= 0:
                out[b, top, columns] = color
            if bottom < height:
                out[b, bottom, columns] = color
            if left >= 0:
                out[b, rows, left] = color
            if right < width:
                out[b, rows, right] = color
    return out


def _draw_shape(images: Any, boxes: Any, *_: Any) -> TensorSpec:
    name = "DrawBoundingBoxes"
    if images.shape.rank not in (4, None):
        raise InvalidArgumentError(
            f"The rank of the images should be 4, got shape {images.shape} [Op:{name}]", op=name
        )
    if images.shape.rank == 4 and images.shape[3] not in (1, 3, 4, None):
        raise InvalidArgumentError(
            f"Channel depth should be either 1 (GRY), 3 (RGB), or 4 (RGBA), got "
            f"{images.shape[3]} [Op:{name}]",
            op=name,
        )
    if boxes.shape.rank not in (3, None) or (
        boxes.shape.rank == 3 and boxes.shape[2] not in (4, None)
    ):
        raise InvalidArgumentError(
            f"boxes must be of shape [batch, num_boxes, 4], got {boxes.shape} [Op:{name}]",
            op=name,
        )
    return TensorSpec(images.shape, images.dtype)


_COMMON = {
    "impl": _draw_impl,
    "shape": _draw_shape,
    "types": {"T": (dtypes.float32, dtypes.float16)},
    "check_first": True,
}
DrawBoundingBoxes = Primitive("DrawBoundingBoxes", "images: T, boxes: float32", **_COMMON)
DrawBoundingBoxesV2 = Primitive(
    "DrawBoundingBoxesV2", "images: T, boxes: float32, colors: float32", **_COMMON
)
