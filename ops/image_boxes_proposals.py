"""generate_bounding_box_proposals: regions of interest from a network's scores and deltas.

S. Ren et al., "Faster R-CNN" (NIPS 2015), section 3.1: the best boxes are decoded against
their anchors, clipped to the image, small ones dropped, and overlapping ones suppressed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import dtypes
from .errors import InvalidArgumentError
from .image_boxes import Boxes, select_boxes
from .primitive import Primitive
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["generate_bounding_box_proposals"]

_NAME = "GenerateBoundingBoxProposals"
_LARGEST = math.log(1000.0 / 16.0)  # boxes grow no further than this


def generate_bounding_box_proposals(
    scores: Any,
    bbox_deltas: Any,
    image_info: Any,
    anchors: Any,
    nms_threshold: float = 0.7,
    pre_nms_topn: int = 6000,
    min_size: float = 16,
    post_nms_topn: int = 300,
    name: str | None = None,
) -> tuple[Tensor, Tensor]:
    """The best boxes of each image that do not overlap.

    Args:
        scores: float32 [images, height, width, anchors].
        bbox_deltas: float32 [images, height, width, 4 * anchors] of [dy, dx, dh, dw].
        image_info: float32 [images, 5] that starts with height, width and scale.
        anchors: float32 [height * width * anchors, 4], or [anchors, 4] for all places alike,
            of [y1, x1, y2, x2].
        nms_threshold: boxes that overlap a better one by more are dropped.
        pre_nms_topn: how many of the best scores are looked at.
        min_size: the least side of a box, times the image's scale.
        post_nms_topn: how many boxes are given back, filled up with 0.
        name: ignored.

    Returns:
        float32 [images, post_nms_topn, 4] and their scores [images, post_nms_topn].
    """
    return GenerateBoundingBoxProposals(
        scores, bbox_deltas, image_info, anchors, nms_threshold, pre_nms_topn, min_size,
        post_nms_topn=int(post_nms_topn),
    )  # fmt: skip


def _decoded(anchors: Any, deltas: Any, info: Any) -> np.ndarray:
    size = anchors[:, 2:] - anchors[:, :2]
    middle = anchors[:, :2] + size / 2 + deltas[:, :2] * size
    half = np.exp(np.minimum(deltas[:, 2:], np.float32(_LARGEST))) * size / 2
    boxes = np.concatenate([middle - half, middle + half], 1)
    return np.clip(boxes, 0, np.array([info[0], info[1]] * 2, np.float32))


def _impl(
    scores: Any, deltas: Any, info: Any, anchors: Any, limit: Any, first: Any, least: Any, *,
    post_nms_topn: int,
) -> Any:  # fmt: skip
    images = len(scores)
    rois = np.zeros((images, post_nms_topn, 4), np.float32)
    found = np.zeros((images, post_nms_topn), np.float32)
    flat, steps = scores.reshape((images, -1)), deltas.reshape((images, -1, 4))
    count = flat.shape[1]
    if len(anchors) == 0 or count % len(anchors):
        raise InvalidArgumentError(
            f"anchors must be one per place, {count}, or one per anchor of a place, got "
            f"{len(anchors)} [Op:{_NAME}]",
            op=_NAME,
        )
    for b in range(images):
        best = np.argsort(-flat[b], kind="stable")[: int(first)]
        boxes = _decoded(anchors[best % len(anchors)], steps[b, best], info[b])
        sides = boxes[:, 2:] - boxes[:, :2]
        big = (sides >= float(least) * info[b, 2]).all(1)
        boxes, best = boxes[big], best[big]
        kept = select_boxes(Boxes(boxes), flat[b, best], post_nms_topn, float(limit), -np.inf)
        rois[b, : len(kept)], found[b, : len(kept)] = boxes[kept], flat[b, best[kept]]
    return rois, found


def _shape(scores: Any, deltas: Any, info: Any, *_: Any, post_nms_topn: int) -> Any:
    for what, t, rank in (
        ("scores", scores, 4),
        ("bbox_deltas", deltas, 4),
        ("image_info", info, 2),
    ):
        if t.shape.rank not in (rank, None):
            raise InvalidArgumentError(
                f"{what} must be of rank {rank}, got shape {t.shape} [Op:{_NAME}]", op=_NAME
            )
    n = None if scores.shape.rank is None else scores.shape[0]
    return (
        TensorSpec([n, post_nms_topn, 4], dtypes.float32),
        TensorSpec([n, post_nms_topn], dtypes.float32),
    )


GenerateBoundingBoxProposals = Primitive(
    _NAME,
    "scores: float32, bbox_deltas: float32, image_info: float32, anchors: float32, "
    "nms_threshold: float32, pre_nms_topn: int32, min_size: float32",
    impl=_impl,
    shape=_shape,
    check_first=True,
    defaults={"post_nms_topn": 300},
)
