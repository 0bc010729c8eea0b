"""Non-maximum suppression: of boxes that overlap, the one with the highest score.

Boxes are [y1, x1, y2, x2] with any two opposite corners.  Candidates are sorted by score once;
each kept one is compared with all that are left in a few array operations.  With a soft
suppression (Bodla et al., "Soft-NMS", ICCV 2017) scores fall with overlap instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .batch_loop import merge_block, split_block, uneven
from .block_axis import broadcast_to_block
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .static_args import static_int
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = [
    "combined_non_max_suppression", "non_max_suppression", "non_max_suppression_overlaps",
    "non_max_suppression_padded", "non_max_suppression_with_scores",
]  # fmt: skip

_HALF = (dtypes.float16, dtypes.float32)


# -- the selection ----------------------------------------------------------------------------


class Boxes:
    """Boxes with their corners in order, and the overlaps of one with others."""

    def __init__(self, boxes: np.ndarray):
        b = boxes if boxes.dtype == np.float64 else boxes.astype(np.float32)
        self.low = np.minimum(b[:, :2], b[:, 2:])
        self.high = np.maximum(b[:, :2], b[:, 2:])
        side = self.high - self.low
        self.area = side[:, 0] * side[:, 1]

    def __call__(self, one: int, others: np.ndarray) -> np.ndarray:
        """Intersection over union; 0 where a box has no area."""
        low = np.maximum(self.low[one], self.low[others])
        high = np.minimum(self.high[one], self.high[others])
        side = np.maximum(high - low, 0)
        shared = side[:, 0] * side[:, 1]
        areas = self.area[others]
        if not self.area[one] > 0:
            return np.zeros(len(others), shared.dtype)
        found = shared / (self.area[one] + areas - shared)
        return np.where(areas > 0, found, 0)


def select_boxes(
    overlap: Any, scores: np.ndarray, most: int, threshold: float, least: float
) -> np.ndarray:
    """Places of the kept boxes, best first."""
    order = np.argsort(-scores, kind="stable")
    left = order[scores[order] > least]
    kept = []
    while len(left) and len(kept) < most:
        one, left = left[0], left[1:]
        kept.append(one)
        if len(left):
            left = left[~(overlap(one, left) > threshold)]
    return np.array(kept, np.int32)


def _select_softly(
    overlap: Any, scores: np.ndarray, most: int, least: float, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Places and fallen scores of the kept boxes, best first."""
    left = np.flatnonzero(scores > least)
    now = scores[left].astype(np.float32)
    kept, values = [], []
    while len(left) and len(kept) < most:
        k = int(now.argmax())
        one = left[k]
        kept.append(one)
        values.append(now[k])
        left, now = np.delete(left, k), np.delete(now, k)
        now = now * np.exp(np.float32(-0.5 / sigma) * overlap(one, left) ** 2)
        more = now > least
        left, now = left[more], now[more]
    return np.array(kept, np.int32), np.array(values, scores.dtype)


def _check(boxes: Any, scores: Any, op: str) -> None:
    if boxes.shape.rank not in (2, None) or (
        boxes.shape.rank == 2 and boxes.shape[1] not in (4, None)
    ):
        raise InvalidArgumentError(
            f"boxes must be of shape [num_boxes, 4], got {boxes.shape} [Op:{op}]", op=op
        )
    if scores.shape.rank not in (1, None):
        raise InvalidArgumentError(
            f"scores must be a vector, got shape {scores.shape} [Op:{op}]", op=op
        )
    if (
        boxes.shape.rank == 2
        and scores.shape.rank == 1
        and None not in (boxes.shape[0], scores.shape[0])
        and boxes.shape[0] != scores.shape[0]
    ):
        raise InvalidArgumentError(
            f"scores has incompatible shape: {scores.shape} for boxes {boxes.shape} [Op:{op}]",
            op=op,
        )


def _check_numbers(most: Any, threshold: Any, op: str) -> tuple[int, float]:
    if int(most) < 0:
        raise InvalidArgumentError(
            f"max_output_size must not be negative, got {int(most)} [Op:{op}]", op=op
        )
    if not 0 <= float(threshold) <= 1:
        raise InvalidArgumentError(
            f"iou_threshold must be in [0, 1], got {float(threshold)} [Op:{op}]", op=op
        )
    return int(most), float(threshold)


_LOWEST = -np.inf


def _hard_impl(
    boxes: Any, scores: Any, most: Any, iou: Any = 0.5, least: Any = _LOWEST, *,
    iou_threshold: float | None = None,
) -> Any:  # fmt: skip
    limit = iou if iou_threshold is None else iou_threshold
    most, limit = _check_numbers(most, limit, "NonMaxSuppression")
    return select_boxes(Boxes(boxes), scores, most, limit, float(least))


def _hard_shape(boxes: Any, scores: Any, *_: Any, **__: Any) -> TensorSpec:
    _check(boxes, scores, "NonMaxSuppression")
    return TensorSpec([None], dtypes.int32)


_NONE = {"check_first": True, "vjp": lambda op, *gs: (None,) * len(op.inputs)}
_UNEVEN = _NONE | {"batch": uneven}

NonMaxSuppression = Primitive(
    "NonMaxSuppression",
    "boxes: float32, scores: float32, max_output_size: int32",
    impl=_hard_impl,
    shape=_hard_shape,
    defaults={"iou_threshold": 0.5},
    **_UNEVEN,
)
NonMaxSuppressionV2 = Primitive(
    "NonMaxSuppressionV2",
    "boxes: T, scores: T, max_output_size: int32, iou_threshold: Tt",
    impl=_hard_impl,
    shape=_hard_shape,
    types={"T": _HALF},
    **_UNEVEN,
)
NonMaxSuppressionV3 = Primitive(
    "NonMaxSuppressionV3",
    "boxes: T, scores: T, max_output_size: int32, iou_threshold: Tt, score_threshold: Tt",
    impl=_hard_impl,
    shape=_hard_shape,
    types={"T": _HALF},
    **_UNEVEN,
)


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros(size, values.dtype)
    out[: len(values)] = values
    return out


def _kept_shape(boxes: Any, scores: Any, most: Any, padded: bool) -> TensorSpec:
    """Of the places of kept boxes: of known size where they are padded to a known one."""
    spec = _hard_shape(boxes, scores)
    size = constant_value(most) if padded else None
    return spec if size is None or size < 0 else TensorSpec([int(size)], spec.dtype)


def _v4_impl(
    boxes: Any, scores: Any, most: Any, iou: Any, least: Any, *, pad_to_max_output_size: bool
) -> Any:
    kept = _hard_impl(boxes, scores, most, iou, least)
    count = np.array(len(kept), np.int32)
    return (_padded(kept, int(most)) if pad_to_max_output_size else kept), count


NonMaxSuppressionV4 = Primitive(
    "NonMaxSuppressionV4",
    "boxes: T, scores: T, max_output_size: int32, iou_threshold: Tt, score_threshold: Tt",
    impl=_v4_impl,
    shape=lambda boxes, scores, most, *_, pad_to_max_output_size: (
        _kept_shape(boxes, scores, most, pad_to_max_output_size),
        TensorSpec([], dtypes.int32),
    ),
    types={"T": _HALF},
    defaults={"pad_to_max_output_size": False},
    **_UNEVEN,
)


def _v5_impl(
    boxes: Any, scores: Any, most: Any, iou: Any, least: Any, sigma: Any, *,
    pad_to_max_output_size: bool,
) -> Any:  # fmt: skip
    most, limit = _check_numbers(most, iou, "NonMaxSuppressionV5")
    if float(sigma) < 0:
        raise InvalidArgumentError(f"soft_nms_sigma must not be negative, got {float(sigma)}")
    if float(sigma) > 0:
        found = _select_softly(Boxes(boxes), scores, most, float(least), float(sigma))
    else:
        kept = select_boxes(Boxes(boxes), scores, most, limit, float(least))
        found = kept, scores[kept]
    count = np.array(len(found[0]), np.int32)
    if pad_to_max_output_size:
        found = _padded(found[0], most), _padded(found[1], most)
    return (*found, count)


def _v5_shape(boxes: Any, scores: Any, most: Any, *_: Any, pad_to_max_output_size: bool) -> Any:
    kept = _kept_shape(boxes, scores, most, pad_to_max_output_size)
    return kept, TensorSpec(kept.shape, scores.dtype), TensorSpec([], dtypes.int32)


NonMaxSuppressionV5 = Primitive(
    "NonMaxSuppressionV5",
    "boxes: T, scores: T, max_output_size: int32, iou_threshold: T, score_threshold: T, "
    "soft_nms_sigma: T",
    impl=_v5_impl,
    shape=_v5_shape,
    types={"T": _HALF},
    defaults={"pad_to_max_output_size": False},
    **_UNEVEN,
)


def _overlaps_impl(overlaps: Any, scores: Any, most: Any, limit: Any, least: Any) -> Any:
    def overlap(one: int, others: np.ndarray) -> np.ndarray:
        return overlaps[others, one]

    return select_boxes(overlap, scores, int(most), float(limit), float(least))


def _overlaps_shape(overlaps: Any, scores: Any, *_: Any) -> TensorSpec:
    name = "NonMaxSuppressionWithOverlaps"
    if overlaps.shape.rank not in (2, None) or (
        overlaps.shape.is_fully_defined() and overlaps.shape[0] != overlaps.shape[1]
    ):
        raise InvalidArgumentError(
            f"overlaps must be square, got shape {overlaps.shape} [Op:{name}]", op=name
        )
    return TensorSpec([None], dtypes.int32)


NonMaxSuppressionWithOverlaps = Primitive(
    "NonMaxSuppressionWithOverlaps",
    "overlaps: float32, scores: float32, max_output_size: int32, overlap_threshold: float32, "
    "score_threshold: float32",
    impl=_overlaps_impl,
    shape=_overlaps_shape,
    **_UNEVEN,
)


# -- public -----------------------------------------------------------------------------------


def _floats(boxes: Any, scores: Any) -> tuple[Tensor, Tensor]:
    return to_tensor(boxes, None), to_tensor(scores, None)


def non_max_suppression(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = float("-inf"),
    name: str | None = None,
) -> Tensor:
    """Places of the boxes that no better kept box overlaps by more than `iou_threshold`, best
    first: int32 [at most max_output_size].

    Args:
        boxes: float32 [num_boxes, 4] of [y1, x1, y2, x2].
        scores: float32 [num_boxes]; of equal ones the first comes first.
        max_output_size: how many to keep at most.
        iou_threshold: in [0, 1].
        score_threshold: boxes must score more than this.
        name: ignored.

    >>> boxes = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9], [2.0, 2.0, 3.0, 3.0]]
    >>> non_max_suppression(boxes, [0.9, 0.8, 0.7], 5).numpy()
    array([0, 2], dtype=int32)
    """
    boxes, scores = _floats(boxes, scores)
    limits = (to_tensor(v, boxes.dtype) for v in (iou_threshold, score_threshold))
    return NonMaxSuppressionV3(boxes, scores, max_output_size, *limits)


def non_max_suppression_with_scores(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = float("-inf"),
    soft_nms_sigma: float = 0.0,
    name: str | None = None,
) -> tuple[Tensor, Tensor]:
    """`non_max_suppression` with the kept boxes' scores.

    With `soft_nms_sigma` above 0 overlapping boxes are not dropped: their scores are multiplied
    by exp(-overlap**2 / (2 * sigma)), and `iou_threshold` does not count.
    """
    boxes, scores = _floats(boxes, scores)
    limits = (
        to_tensor(v, boxes.dtype) for v in (iou_threshold, score_threshold, soft_nms_sigma)
    )
    kept, values, _ = NonMaxSuppressionV5(
        boxes, scores, max_output_size, *limits, pad_to_max_output_size=False
    )
    return kept, values


def non_max_suppression_overlaps(
    overlaps: Any,
    scores: Any,
    max_output_size: Any,
    overlap_threshold: float = 0.5,
    score_threshold: float = float("-inf"),
    name: str | None = None,
) -> Tensor:
    """`non_max_suppression` for given `overlaps` [num_boxes, num_boxes], of any measure."""
    return NonMaxSuppressionWithOverlaps(
        overlaps, scores, max_output_size, overlap_threshold, score_threshold
    )


def _batch_impl(
    boxes: Any, scores: Any, most: Any, iou: Any, least: Any, *, sorted_input: bool
) -> Any:
    size, limit = _check_numbers(most, iou, "NonMaxSuppressionPadded")
    lead = boxes.shape[:-2]
    flat, each = boxes.reshape((-1, *boxes.shape[-2:])), scores.reshape((-1, scores.shape[-1]))
    out = np.zeros((len(flat), size), np.int32)
    counts = np.zeros(len(flat), np.int32)
    for k, (b, s) in enumerate(zip(flat, each, strict=True)):
        kept = select_boxes(Boxes(b), s, size, limit, float(least))
        out[k, : len(kept)] = kept
        counts[k] = len(kept)
    return out.reshape((*lead, size)), counts.reshape(lead)


def _batch_shape(boxes: Any, scores: Any, most: Any, *_: Any, **__: Any) -> Any:
    if boxes.shape.rank is None:
        return TensorSpec(None, dtypes.int32), TensorSpec(None, dtypes.int32)
    lead, size = boxes.shape[:-2], constant_value(most)
    known = None if size is None or size < 0 else int(size)
    return (
        TensorSpec(lead.concatenate(TensorShape([known])), dtypes.int32),
        TensorSpec(lead, dtypes.int32),
    )


def _batch_batch(ctx: Any, boxes: Any, scores: Any, *limits: Any, **attrs: Any) -> Any:
    """The block axis is one more axis in front of the boxes'."""
    if any(ctx.batched[2:]):
        return uneven(ctx, boxes, scores, *limits, **attrs)
    boxes, scores = _both_batched(ctx, boxes, scores)
    return _NonMaxSuppressionBatch.call_flat((boxes, scores, *limits), attrs)


def _both_batched(ctx: Any, boxes: Any, scores: Any) -> tuple[Any, Any]:
    if not ctx.batched[0]:
        return broadcast_to_block(boxes, scores), scores
    return boxes, scores if ctx.batched[1] else broadcast_to_block(scores, boxes)


_NonMaxSuppressionBatch: Primitive = Primitive(
    "_NonMaxSuppressionBatch",
    "boxes: T, scores: T, max_output_size: int32, iou_threshold: float32, "
    "score_threshold: float32",
    impl=_batch_impl,
    shape=_batch_shape,
    batch=_batch_batch,
    **_NONE,
)


def non_max_suppression_padded(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = float("-inf"),
    pad_to_max_output_size: bool = False,
    name: str | None = None,
    sorted_input: bool = False,
    canonicalized_coordinates: bool = False,
    tile_size: int = 512,
) -> tuple[Tensor, Tensor]:
    """`non_max_suppression` of one or (where padded) many sets of boxes.

    Args:
        boxes: [..., num_boxes, 4].
        scores: [..., num_boxes].
        max_output_size, iou_threshold, score_threshold, name: as there.
        pad_to_max_output_size: fill up with 0 to [..., max_output_size].
        sorted_input, canonicalized_coordinates, tile_size: taken for TensorFlow's sake.

    Returns:
        The places, int32, and how many of them count, int32 [...].

    Raises:
        ValueError: several sets without padding.
    """
    boxes, scores = _floats(boxes, scores)
    if boxes.shape.rank == 2:
        limits = (to_tensor(v, boxes.dtype) for v in (iou_threshold, score_threshold))
        return NonMaxSuppressionV4(
            boxes, scores, max_output_size, *limits,
            pad_to_max_output_size=bool(pad_to_max_output_size),
        )  # fmt: skip
    if not pad_to_max_output_size:
        raise ValueError(
            "'pad_to_max_output_size' (value False) must be True for batched input, got boxes "
            f"of shape {boxes.shape}"
        )
    return _NonMaxSuppressionBatch(
        boxes, scores, max_output_size, iou_threshold, score_threshold,
        sorted_input=bool(sorted_input),
    )  # fmt: skip


# -- all classes of a batch -------------------------------------------------------------------


def _combined_impl(
    boxes: Any, scores: Any, per_class: Any, most: Any, iou: Any, least: Any, *,
    pad_per_class: bool, clip_boxes: bool,
) -> Any:  # fmt: skip
    name = "CombinedNonMaxSuppression"
    per_class, limit = _check_numbers(per_class, iou, name)
    n, _, classes = scores.shape
    total = int(most)
    if total <= 0:
        raise InvalidArgumentError(f"max_total_size must be > 0, got {total} [Op:{name}]")
    size = min(total, per_class * classes) if pad_per_class else total
    out = np.zeros((n, size, 4), np.float32)
    values = np.zeros((n, size), np.float32)
    labels = np.zeros((n, size), np.float32)
    counts = np.zeros(n, np.int32)
    for b in range(n):
        places, kinds = [], []
        shared = Boxes(boxes[b, :, 0]) if boxes.shape[2] == 1 else None
        for c in np.flatnonzero((scores[b] > least).any(0)).tolist():
            overlap = Boxes(boxes[b, :, c]) if shared is None else shared
            kept = select_boxes(overlap, scores[b, :, c], per_class, limit, float(least))
            places.append(kept)
            kinds.append(np.full(len(kept), c))
        if not places:
            continue
        place, kind = np.concatenate(places), np.concatenate(kinds)
        found = scores[b, place, kind]
        best = np.argsort(-found, kind="stable")[:size]
        place, kind = place[best], kind[best]
        k = counts[b] = len(best)
        out[b, :k] = boxes[b, place, 0 if shared is not None else kind]
        values[b, :k], labels[b, :k] = found[best], kind
    return (out.clip(0, 1) if clip_boxes else out), values, labels, counts


def _combined_shape(
    boxes: Any, scores: Any, per_class: Any, most: Any, *_: Any, pad_per_class: bool, **__: Any
) -> Any:

    name = "CombinedNonMaxSuppression"
    if boxes.shape.rank not in (4, None) or scores.shape.rank not in (3, None):
        raise InvalidArgumentError(
            f"boxes must be 4-D and scores 3-D, got shapes {boxes.shape} and {scores.shape} "
            f"[Op:{name}]",
            op=name,
        )
    n, _, classes = scores.shape.as_list() if scores.shape.rank == 3 else (None,) * 3
    if boxes.shape.rank == 4 and None not in (boxes.shape[2], classes):
        if boxes.shape[2] not in (1, classes):
            raise InvalidArgumentError(
                f"third dimension of boxes must be either 1 or equal to the third dimension of "
                f"scores, got {boxes.shape[2]} and {classes} [Op:{name}]",
                op=name,
            )
    size, each = constant_value(most), constant_value(per_class)
    rows = None if size is None else int(size)
    if pad_per_class:
        known = None not in (rows, each, classes)
        rows = min(rows, int(each) * classes) if known else None
    return (
        TensorSpec([n, rows, 4], dtypes.float32),
        TensorSpec([n, rows], dtypes.float32),
        TensorSpec([n, rows], dtypes.float32),
        TensorSpec([n], dtypes.int32),
    )


def _combined_batch(ctx: Any, boxes: Any, scores: Any, *limits: Any, **attrs: Any) -> Any:
    """The block axis joins that of the images."""
    if any(ctx.batched[2:]):
        return uneven(ctx, boxes, scores, *limits, **attrs)
    boxes, scores = _both_batched(ctx, boxes, scores)
    merged = (merge_block(boxes), merge_block(scores), *limits)
    found = CombinedNonMaxSuppression.call_flat(merged, attrs)
    return tuple(split_block(t, scores) for t in found)


CombinedNonMaxSuppression: Primitive = Primitive(
    "CombinedNonMaxSuppression",
    "boxes: float32, scores: float32, max_output_size_per_class: int32, max_total_size: int32, "
    "iou_threshold: float32, score_threshold: float32",
    impl=_combined_impl,
    shape=_combined_shape,
    defaults={"pad_per_class": False, "clip_boxes": True},
    batch=_combined_batch,
    **_NONE,
)


def combined_non_max_suppression(
    boxes: Any,
    scores: Any,
    max_output_size_per_class: Any,
    max_total_size: Any,
    iou_threshold: float = 0.5,
    score_threshold: float = float("-inf"),
    pad_per_class: bool = False,
    clip_boxes: bool = True,
    name: str | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Non-maximum suppression of each class of each image, then the best of all classes.

    Args:
        boxes: float32 [batch, num_boxes, q, 4]; q is 1 for boxes shared by all classes, else
            the number of classes.
        scores: float32 [batch, num_boxes, classes].
        max_output_size_per_class, max_total_size: how many to keep at most.
        iou_threshold, score_threshold, name: as in `non_max_suppression`.
        pad_per_class: the results have min(max_total_size, max_output_size_per_class *
            classes) rows instead of max_total_size.
        clip_boxes: to [0, 1].

    Returns:
        Boxes [batch, rows, 4], scores and classes (float32) [batch, rows], filled up with 0,
        and how many count: int32 [batch].
    """
    static_int(max_total_size, "CombinedNonMaxSuppression", "max_total_size")
    return CombinedNonMaxSuppression(
        boxes, scores, max_output_size_per_class, max_total_size, iou_threshold,
        score_threshold, pad_per_class=bool(pad_per_class), clip_boxes=bool(clip_boxes),
    )  # fmt: skip
