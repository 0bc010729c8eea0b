"""Correlations of targets and predictions along an axis: Pearson's and Lin's concordance."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..backend import epsilon
from ..losses.regression import pair
from .reduction import PlainMetric

__all__ = [
    "ConcordanceCorrelation",
    "PearsonCorrelation",
    "concordance_correlation",
    "pearson_correlation",
]


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Pearson's correlation coefficient along `axis`, in [-1, 1]."""
    y_true, y_pred = pair(y_true, y_pred)
    scores = []
    for values in (y_true, y_pred):
        centred = values - hr.reduce_mean(values, axis=axis, keepdims=True)
        scores.append(centred / hr.reduce_std(centred, axis=axis, keepdims=True))
    return hr.reduce_mean(scores[0] * scores[1], axis=axis)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Lin's concordance correlation coefficient along `axis`: 1 where both are equal."""
    y_true, y_pred = pair(y_true, y_pred)
    mean_true = hr.reduce_mean(y_true, axis=axis, keepdims=True)
    mean_pred = hr.reduce_mean(y_pred, axis=axis, keepdims=True)
    # The mean of the second factor is 0, so it does not matter what the first is centred on.
    covariance = (y_true - mean_pred) * (y_pred - mean_pred)
    spread = (
        hr.reduce_mean(hr.square(y_true - mean_true), axis=axis, keepdims=True)
        + hr.reduce_mean(hr.square(y_pred - mean_pred), axis=axis, keepdims=True)
        + hr.square(mean_true - mean_pred)
    )
    return hr.reduce_mean(2.0 * covariance / (spread + epsilon()), axis=axis)


class PearsonCorrelation(PlainMetric):
    """Mean of `pearson_correlation`.

    Args:
        name: of the metric.
        dtype: see `Metric`.
        axis: along which values are correlated.
    """

    _keys = ("axis",)

    def __init__(self, name: str = "pearson_correlation", dtype: Any = None, axis: int = -1):
        super().__init__(pearson_correlation, name=name, dtype=dtype, axis=axis)
        self.axis = axis
        self._direction = "up"


class ConcordanceCorrelation(PlainMetric):
    """Mean of `concordance_correlation`.

    Args:
        name: of the metric.
        dtype: see `Metric`.
        axis: along which values are correlated.
    """

    _keys = ("axis",)

    def __init__(
        self, name: str = "concordance_correlation", dtype: Any = None, axis: int = -1
    ):
        super().__init__(concordance_correlation, name=name, dtype=dtype, axis=axis)
        self.axis = axis
        self._direction = "up"
