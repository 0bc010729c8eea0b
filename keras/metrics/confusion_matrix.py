"""Counting true and false positives and negatives at one or many thresholds.

Predictions above a threshold are positive.  Thresholds spread evenly over [0, 1] are counted by
buckets, in time independent of their number; others by comparing every prediction with each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from ..losses.reduction import squeeze_or_expand_to_same_rank

__all__ = ["Counts", "are_evenly_spread", "as_thresholds", "count_matrix"]

NEGATIVE = -1e10  # what scores outside the top k are set to


class Counts:
    """Counts per threshold (or ``[threshold, label]``) of one batch."""

    def __init__(self, tp: Any, fp: Any, positives: Any, negatives: Any):
        self.true_positives = tp
        self.false_positives = fp
        # Rounding may leave a sum of all just below the sum of some.
        self.false_negatives = hr.relu(positives - tp)
        self.true_negatives = hr.relu(negatives - fp)


def as_thresholds(thresholds: Any, default: float = 0.5) -> list[float]:
    """`thresholds` as a list, `default` for None.

    Raises:
        ValueError: one is outside [0, 1].
    """
    if thresholds is None:
        return [default]
    found = list(thresholds) if isinstance(thresholds, list | tuple) else [thresholds]
    invalid = [t for t in found if t is None or t < 0 or t > 1]
    if invalid:
        raise ValueError(f"Threshold values must be in [0, 1]. Received: {invalid}")
    return found


def are_evenly_spread(thresholds: Any) -> bool:
    """Whether there are three or more thresholds, evenly spaced from 0 to 1."""
    n = len(thresholds)
    if n < 3:
        return False
    even = np.arange(n, dtype=np.float32) / (n - 1)
    return bool(np.allclose(np.asarray(thresholds, np.float64), even, atol=1e-7))


def count_matrix(
    y_true: Any,
    y_pred: Any,
    thresholds: Any,
    *,
    sample_weight: Any = None,
    top_k: int | None = None,
    class_id: int | None = None,
    multi_label: bool = False,
    label_weights: Any = None,
    even: bool = False,
    dtype: Any = "float32",
) -> Counts:
    """The counts of one batch.

    Args:
        y_true: targets, true where not 0.
        y_pred: scores in [0, 1], of `y_true`'s shape.
        thresholds: sorted if `even`.
        sample_weight: broadcasts to `y_pred`.
        top_k: count only the k largest scores of the last axis as predictions.
        class_id: count only this class.
        multi_label: keep the last axis apart: counts are ``[threshold, label]``.
        label_weights: per label, ``[labels]``.
        even: whether the thresholds are spread evenly (see `are_evenly_spread`).
        dtype: of the counts.
    """
    y_pred = hr.cast(hr.convert_to_tensor(y_pred), dtype)
    y_true = hr.cast(hr.convert_to_tensor(y_true), dtype)
    y_pred, y_true = squeeze_or_expand_to_same_rank(y_pred, y_true)
    y_pred.shape.assert_is_compatible_with(y_true.shape)
    if sample_weight is not None:
        sample_weight = hr.expand_dims(hr.cast(hr.convert_to_tensor(sample_weight), dtype), -1)
        _, sample_weight = squeeze_or_expand_to_same_rank(
            y_true, sample_weight, expand_rank_1=False
        )
    if top_k is not None:
        y_pred = _only_top_k(y_pred, top_k)
    if class_id is not None:
        if len(y_pred.shape) == 1:
            raise ValueError(
                "When class_id is provided, y_pred must be a 2D array with shape (num_samples, "
                f"num_classes), found shape: {tuple(y_pred.shape)}"
            )
        y_true = y_true[..., class_id : class_id + 1]
        y_pred = y_pred[..., class_id : class_id + 1]
    weights = hr.ones_like(y_pred)
    if sample_weight is not None:
        weights = weights * sample_weight
    if label_weights is not None:
        weights = weights * hr.cast(label_weights, dtype)
    labels = hr.not_equal(y_true, hr.zeros_like(y_true))
    if not multi_label:
        labels, y_pred, weights = (hr.reshape(t, [-1]) for t in (labels, y_pred, weights))
    zeros = hr.zeros_like(weights)
    positive = hr.where(labels, weights, zeros)
    negative = hr.where(labels, zeros, weights)
    if even and not multi_label:
        tp, fp = _by_bucket(y_pred, positive, negative, len(thresholds), thresholds[0] < 0)
    else:
        grid = np.asarray(thresholds, np.float64).reshape([-1] + [1] * len(y_pred.shape))
        above = hr.expand_dims(y_pred, 0) > hr.cast(hr.constant(grid), dtype)
        tp = hr.reduce_sum(hr.where(above, positive, zeros), axis=1)
        fp = hr.reduce_sum(hr.where(above, negative, zeros), axis=1)
    return Counts(tp, fp, hr.reduce_sum(positive, axis=0), hr.reduce_sum(negative, axis=0))


def _by_bucket(
    y_pred: Any, positive: Any, negative: Any, count: int, first_below_zero: bool
) -> tuple[Any, Any]:
    """Sums of `positive` and `negative` over the predictions above each threshold.

    A prediction p is above thresholds 0 ... b, with bucket b = ceil(p * (count - 1)) - 1.  With
    the first threshold below 0, p = 0 is above that one.
    """
    p = hr.clip_by_value(y_pred, 0.0, 1.0)
    bucket = hr.cast(hr.ceil(p * float(count - 1)), hr.int32) - 1
    if first_below_zero:
        bucket = hr.maximum(bucket, hr.constant(0, dtype=hr.int32))
    sums = (hr.unsorted_segment_sum(values, bucket, count) for values in (positive, negative))
    tp, fp = (hr.cumsum(s, axis=0, reverse=True) for s in sums)
    return tp, fp


def _only_top_k(scores: Any, k: int) -> Any:
    """`scores` with all but the `k` largest of the last axis set far below any threshold."""
    _, indices = hr.top_k(scores, k, sorted=False)
    classes = scores.shape[-1] if scores.shape[-1] is not None else hr.shape(scores)[-1]
    chosen = hr.reduce_sum(hr.one_hot(indices, classes, dtype=scores.dtype), axis=-2)
    return scores * chosen + NEGATIVE * (1.0 - chosen)
