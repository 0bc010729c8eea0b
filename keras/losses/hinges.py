"""Hinge losses, of targets -1 and 1 (0 and 1 are converted) or of one-hot targets."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .loss import PlainLoss
from .reduction import same_dtype

__all__ = [
    "CategoricalHinge",
    "Hinge",
    "SquaredHinge",
    "categorical_hinge",
    "hinge",
    "squared_hinge",
]


def _signs(y_true: Any) -> Any:
    """Targets of -1 and 1: as they are, unless all are 0 or 1."""
    binary = hr.reduce_all(hr.logical_or(hr.equal(y_true, 0.0), hr.equal(y_true, 1.0)))
    return hr.where(binary, 2.0 * y_true - 1.0, y_true)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(max(1 - y_true * y_pred, 0))`` over the last axis."""
    y_true, y_pred = same_dtype(y_true, y_pred)
    return hr.reduce_mean(hr.maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(max(1 - y_true * y_pred, 0) ** 2)`` over the last axis."""
    y_true, y_pred = same_dtype(y_true, y_pred)
    return hr.reduce_mean(hr.square(hr.maximum(1.0 - _signs(y_true) * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """``max(neg - pos + 1, 0)``: the best wrong class should score 1 below the right one."""
    y_true, y_pred = same_dtype(y_true, y_pred)
    positive = hr.reduce_sum(y_true * y_pred, axis=-1)
    negative = hr.reduce_max((1.0 - y_true) * y_pred, axis=-1)
    return hr.maximum(negative - positive + 1.0, 0.0)


class Hinge(PlainLoss):
    """``mean(max(1 - y_true * y_pred, 0))``; targets -1 and 1, or 0 and 1."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "hinge",
        dtype: Any = None,
    ):
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(PlainLoss):
    """``mean(max(1 - y_true * y_pred, 0) ** 2)``; targets -1 and 1, or 0 and 1."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "squared_hinge",
        dtype: Any = None,
    ):
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(PlainLoss):
    """``max(neg - pos + 1, 0)`` of one-hot targets."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_hinge",
        dtype: Any = None,
    ):
        super().__init__(categorical_hinge, reduction, name, dtype)
