"""Losses of overlap, for segmentation: Dice and Tversky."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..backend import epsilon
from .loss import PlainLoss
from .reduction import same_dtype

__all__ = ["Dice", "Tversky", "dice", "tversky"]


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """``1 - 2 * |both| / (|y_true| + |y_pred|)``, sums over `axis` (all axes if None)."""
    y_true, y_pred = same_dtype(y_true, y_pred)
    both = hr.reduce_sum(y_true * y_pred, axis=axis)
    sizes = hr.reduce_sum(y_true, axis=axis) + hr.reduce_sum(y_pred, axis=axis)
    return 1.0 - 2.0 * both / (sizes + epsilon())


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None
) -> Any:
    """``1 - |both| / (|both| + alpha * |y_true only| + beta * |y_pred only|)``.

    Sums are over `axis` (all axes if None).  Salehi et al. 2017.
    """
    y_true, y_pred = same_dtype(y_true, y_pred)
    both = hr.reduce_sum(y_true * y_pred, axis=axis)
    missed = hr.reduce_sum(y_true * (1.0 - y_pred), axis=axis)
    extra = hr.reduce_sum((1.0 - y_true) * y_pred, axis=axis)
    return 1.0 - both / (both + alpha * missed + beta * extra + epsilon())


class Dice(PlainLoss):
    """1 minus the Dice coefficient, twice the overlap over the sizes.

    Args:
        reduction: see `Loss`.
        name: of the loss.
        axis: axes summed over; all of them (the batch too) if None.
        dtype: see `Loss`.

    >>> round(float(Dice()([[1.0, 1.0]], [[1.0, 0.0]])), 4)
    0.3333
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "dice",
        axis: Any = None,
        dtype: Any = None,
    ):
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(PlainLoss):
    """1 minus the Tversky index: Dice with weights for the two kinds of error.

    Args:
        alpha: weight of what only the target holds.
        beta: weight of what only the prediction holds.
        reduction: see `Loss`.
        name: of the loss.
        axis: axes summed over; all of them (the batch too) if None.
        dtype: see `Loss`.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ):
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)
