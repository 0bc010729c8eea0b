"""Focal cross-entropies: samples that are already right count less (Lin et al. 2018)."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .crossentropy import Crossentropy, clip, elementwise_binary, prepare_categorical
from .reduction import same_dtype

__all__ = [
    "BinaryFocalCrossentropy",
    "CategoricalFocalCrossentropy",
    "binary_focal_crossentropy",
    "categorical_focal_crossentropy",
]


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Binary cross-entropy weighted by ``(1 - p_t) ** gamma`` (Lin et al. 2018)."""
    y_true, y_pred = same_dtype(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        y_pred = hr.sigmoid(y_pred)
    entropy = elementwise_binary(y_true, y_pred, False)
    p_t = y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)
    focal = hr.pow(1.0 - p_t, gamma) * entropy
    if apply_class_balancing:
        focal = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * focal
    return hr.reduce_mean(focal, axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Categorical cross-entropy weighted by ``alpha * (1 - p) ** gamma`` (Lin et al. 2018)."""
    y_true, y_pred = prepare_categorical(
        y_true, y_pred, label_smoothing, axis, "categorical_focal_crossentropy"
    )
    if from_logits:
        y_pred = hr.softmax(y_pred, axis=axis)
    p = clip(y_pred / hr.reduce_sum(y_pred, axis=axis, keepdims=True))
    weights = hr.pow(1.0 - p, gamma) * hr.constant(alpha, dtype=p.dtype)
    return hr.reduce_sum(weights * (-y_true * hr.log(p)), axis=axis)


class BinaryFocalCrossentropy(Crossentropy):
    """Binary cross-entropy that weighs easy samples down.

    Args:
        apply_class_balancing: whether to weigh the classes by `alpha` and ``1 - alpha``.
        alpha: weight of class 1.
        gamma: power of ``1 - p``.
        **others: see `Crossentropy`.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ):
        super().__init__(
            binary_focal_crossentropy, reduction, name, dtype,
            apply_class_balancing=apply_class_balancing, alpha=alpha, gamma=gamma,
            from_logits=from_logits, label_smoothing=label_smoothing, axis=axis,
        )  # fmt: skip


class CategoricalFocalCrossentropy(Crossentropy):
    """Categorical cross-entropy that weighs easy samples down.

    Args:
        alpha: weight, one for all classes or one per class.
        gamma: power of ``1 - p``.
        **others: see `Crossentropy`.
    """

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ):
        super().__init__(
            categorical_focal_crossentropy, reduction, name, dtype,
            alpha=alpha, gamma=gamma,
            from_logits=from_logits, label_smoothing=label_smoothing, axis=axis,
        )  # fmt: skip
