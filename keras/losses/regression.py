"""Losses of real-valued targets: squared, absolute, relative errors, Huber, log-cosh, cosine.

The functions return one loss per sample: the mean (for cosine similarity the sum) over the last
axis.  The classes add reduction, sample weights and configs.
"""

from __future__ import annotations

import math
from typing import Any

from ...ops import api as hr
from ..backend import epsilon
from .loss import PlainLoss
from .reduction import same_dtype, squeeze_or_expand_to_same_rank

__all__ = [
    "CosineSimilarity",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "cosine_similarity",
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
]


def pair(y_true: Any, y_pred: Any) -> Any:
    """Both as tensors of `y_pred`'s dtype and, if a last axis of 1 allows it, of one rank."""
    return squeeze_or_expand_to_same_rank(*same_dtype(y_true, y_pred))


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((y_true - y_pred) ** 2)`` over the last axis."""
    y_true, y_pred = pair(y_true, y_pred)
    return hr.reduce_mean(hr.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """``mean(|y_true - y_pred|)`` over the last axis."""
    y_true, y_pred = pair(y_true, y_pred)
    return hr.reduce_mean(hr.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """``100 * mean(|y_true - y_pred| / max(|y_true|, epsilon))`` over the last axis."""
    y_true, y_pred = pair(y_true, y_pred)
    floor = hr.constant(epsilon(), dtype=y_pred.dtype)
    return 100.0 * hr.reduce_mean(
        hr.abs((y_true - y_pred) / hr.maximum(hr.abs(y_true), floor)), axis=-1
    )


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((log(y_true + 1) - log(y_pred + 1)) ** 2)`` over the last axis."""
    y_true, y_pred = pair(y_true, y_pred)
    floor = hr.constant(epsilon(), dtype=y_pred.dtype)
    first = hr.log(hr.maximum(y_pred, floor) + 1.0)
    second = hr.log(hr.maximum(y_true, floor) + 1.0)
    return hr.reduce_mean(hr.square(first - second), axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The negative cosine of the angle along `axis`: -1 where both point the same way."""
    y_true, y_pred = pair(y_true, y_pred)
    return -hr.reduce_sum(_unit(y_true, axis) * _unit(y_pred, axis), axis=axis)


def _unit(x: Any, axis: int) -> Any:
    """`x` scaled to length 1 along `axis`; vectors of zeros stay zero."""
    norm2 = hr.reduce_sum(hr.square(x), axis=axis, keepdims=True)
    return x * hr.rsqrt(hr.maximum(norm2, hr.constant(epsilon() ** 2, dtype=x.dtype)))


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Half the squared error up to an error of `delta`, straight on from there."""
    y_true, y_pred = pair(y_true, y_pred)
    error = y_pred - y_true
    size = hr.abs(error)
    bend = hr.constant(delta, dtype=y_pred.dtype)
    return hr.reduce_mean(
        hr.where(size <= bend, 0.5 * hr.square(error), bend * size - 0.5 * hr.square(bend)),
        axis=-1,
    )


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis."""
    y_true, y_pred = pair(y_true, y_pred)
    x = y_pred - y_true
    return hr.reduce_mean(x + hr.softplus(-2.0 * x) - math.log(2.0), axis=-1)


class MeanSquaredError(PlainLoss):
    """Mean of the squared errors.

    >>> MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]).numpy()
    np.float32(0.5)
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_error",
        dtype: Any = None,
    ):
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(PlainLoss):
    """Mean of the absolute errors."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_error",
        dtype: Any = None,
    ):
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(PlainLoss):
    """Mean of the absolute errors in percent of the target."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_absolute_percentage_error",
        dtype: Any = None,
    ):
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(PlainLoss):
    """Mean of the squared differences of ``log(x + 1)``."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ):
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class LogCosh(PlainLoss):
    """Mean of ``log(cosh(error))``: a smooth absolute error."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "log_cosh",
        dtype: Any = None,
    ):
        super().__init__(log_cosh, reduction, name, dtype)


class Huber(PlainLoss):
    """Squared error up to `delta`, absolute from there.

    >>> Huber(delta=1.0)([[0.0, 0.0]], [[0.5, 3.0]]).numpy()
    np.float32(1.3125)
    """

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "huber_loss",
        dtype: Any = None,
    ):
        super().__init__(huber, reduction, name, dtype, delta=delta)


class CosineSimilarity(PlainLoss):
    """The negative cosine of the angle along `axis`: -1 where both point the same way."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "cosine_similarity",
        dtype: Any = None,
    ):
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)
