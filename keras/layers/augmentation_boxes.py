"""Bounding boxes that come with images: their formats, and what moving an image does to "
"them."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .preprocessing_base import as_tensor

__all__ = ["affine_change", "change_boxes", "convert_format"]

_FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh")


def convert_format(
    boxes: Any, source: str, target: str, height: Any = None, width: Any = None
) -> Any:
    """Boxes ``[..., 4]`` of one format in another.

    Args:
        boxes: numbers ``[..., 4]``, or a dictionary with such as ``"boxes"``.
        source, target: ``"xyxy"``, ``"yxyx"``, ``"xywh"``, ``"center_xywh"``, or one of them
            after ``"rel_"``, in shares of the image's size.
        height, width: of the image, where one format is relative and the other is not.

    Raises:
        ValueError: there is no such format.
    """
    if isinstance(boxes, dict):
        return {**boxes, "boxes": convert_format(boxes["boxes"], source, target, height, width)}
    source, target = source.lower(), target.lower()
    for name in (source, target):
        if name.removeprefix("rel_") not in _FORMATS:
            raise ValueError(
                f"Unknown bounding box format {name!r}. Formats: {', '.join(_FORMATS)}, and "
                "each with `rel_` in front."
            )
    x = hr.cast(as_tensor(boxes), hr.float32)
    if source == target:
        return x
    corners = _corners(x, source.removeprefix("rel_"))
    if source.startswith("rel_") != target.startswith("rel_"):
        if height is None or width is None:
            raise ValueError(
                "convert_format needs `height` and `width` for relative formats, got "
                f"height={height}, width={width}"
            )
        scale = hr.cast(hr.stack([width, height, width, height]), hr.float32)
        corners = corners * scale if source.startswith("rel_") else corners / scale
    return _from_corners(corners, target.removeprefix("rel_"))


def _corners(x: Any, kind: str) -> Any:
    a, b, c, d = (x[..., i] for i in range(4))
    if kind == "xyxy":
        return x
    if kind == "yxyx":
        return hr.stack([b, a, d, c], -1)
    if kind == "xywh":
        return hr.stack([a, b, a + c, b + d], -1)
    return hr.stack([a - c / 2, b - d / 2, a + c / 2, b + d / 2], -1)


def _from_corners(x: Any, kind: str) -> Any:
    left, top, right, bottom = (x[..., i] for i in range(4))
    if kind == "xyxy":
        return x
    if kind == "yxyx":
        return hr.stack([top, left, bottom, right], -1)
    w, h = right - left, bottom - top
    if kind == "xywh":
        return hr.stack([left, top, w, h], -1)
    return hr.stack([left + w / 2, top + h / 2, w, h], -1)


def change_boxes(boxes: Any, change: Any, form: str, before: Any, after: Any) -> Any:
    """Boxes after their images were changed.

    Args:
        boxes: ``{"boxes": [..., n, 4], "labels": [..., n]}``; labels of -1, and boxes of no
            area after the change, become -1 all over.
        change: function of corners ``[..., n, 4]`` (x, y, x, y in pixels).
        form: their format.
        before, after: height and width of the images.
    """
    corners = convert_format(boxes["boxes"], form, "xyxy", *before)
    labels = as_tensor(boxes["labels"])
    moved = change(corners)
    height, width = after
    limits = hr.cast(hr.stack([width, height, width, height]), hr.float32)
    moved = hr.minimum(hr.maximum(moved, 0.0), limits)
    area = (moved[..., 2] - moved[..., 0]) * (moved[..., 3] - moved[..., 1])
    there = area > 0
    moved = hr.where(hr.expand_dims(there, -1), moved, hr.fill(hr.shape(moved), -1.0))
    found = convert_format(moved, "xyxy", form, *after)
    found = hr.where(hr.expand_dims(there, -1), found, hr.fill(hr.shape(found), -1.0))
    missing = hr.cast(hr.fill(hr.shape(labels), -1), labels.dtype)
    return {**boxes, "boxes": found, "labels": hr.where(there, labels, missing)}


def affine_change(maps: Any) -> Any:
    """The change of boxes under maps ``[batch, 8]`` from output to input pixels.

    A box becomes the smallest box around its four moved corners.
    """

    def change(corners: Any) -> Any:
        m = hr.reshape(maps, [-1, 8])
        if corners.shape.rank == 2:
            corners, single = hr.expand_dims(corners, 0), True
        else:
            single = False
        a0, a1, a2, b0, b1, b2 = (m[:, i : i + 1] for i in range(6))
        scale = a0 * b1 - a1 * b0
        points = []
        for i, j in ((0, 1), (2, 1), (0, 3), (2, 3)):
            u, v = corners[..., i] - a2, corners[..., j] - b2
            points.append(((b1 * u - a1 * v) / scale, (a0 * v - b0 * u) / scale))
        xs = hr.stack([x for x, _ in points], -1)
        ys = hr.stack([y for _, y in points], -1)
        found = hr.stack(
            [
                hr.reduce_min(xs, axis=-1),
                hr.reduce_min(ys, axis=-1),
                hr.reduce_max(xs, axis=-1),
                hr.reduce_max(ys, axis=-1),
            ],
            -1,
        )
        return hr.squeeze(found, axis=0) if single else found

    return change
