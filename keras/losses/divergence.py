"""Losses between distributions or rates: Kullback-Leibler and Poisson."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..backend import epsilon
from .loss import PlainLoss
from .reduction import same_dtype

__all__ = ["KLDivergence", "Poisson", "kl_divergence", "poisson"]


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """``sum(y_true * log(y_true / y_pred))`` over the last axis, both cut to [epsilon, 1]."""
    y_true, y_pred = same_dtype(y_true, y_pred)
    y_true = hr.clip_by_value(y_true, epsilon(), 1.0)
    y_pred = hr.clip_by_value(y_pred, epsilon(), 1.0)
    return hr.reduce_sum(y_true * hr.log(y_true / y_pred), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """``mean(y_pred - y_true * log(y_pred + epsilon))`` over the last axis."""
    y_true, y_pred = same_dtype(y_true, y_pred)
    return hr.reduce_mean(y_pred - y_true * hr.log(y_pred + epsilon()), axis=-1)


class KLDivergence(PlainLoss):
    """Kullback-Leibler divergence of `y_pred` from `y_true`."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "kl_divergence",
        dtype: Any = None,
    ):
        super().__init__(kl_divergence, reduction, name, dtype)


class Poisson(PlainLoss):
    """``mean(y_pred - y_true * log(y_pred))``."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "poisson",
        dtype: Any = None,
    ):
        super().__init__(poisson, reduction, name, dtype)
