"""R2Score: the share of the targets' variance that predictions explain."""

from __future__ import annotations

import warnings
from typing import Any

from ...ops import api as hr
from ...ops.context import executing_eagerly
from ..losses.reduction import squeeze_or_expand_to_same_rank
from .metric import Metric

__all__ = ["R2Score"]

_AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")
_SUMS = {"squared_sum": "squared_sum", "sum": "sum", "total_mse": "residual", "count": "count"}


class R2Score(Metric):
    """The coefficient of determination: 1 minus squared errors over the targets' variance.

    Args:
        class_aggregation: None for one score per column, ``"uniform_average"`` or
            ``"variance_weighted_average"``.
        num_regressors: number of independent variables, for the adjusted score; 0: plain.
        name: of the metric.
        dtype: see `Metric`.

    Raises:
        ValueError: an argument is out of its range.

    >>> round(float(R2Score()([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])), 4)
    0.5714
    """

    squared_sum: Any
    sum: Any
    total_mse: Any
    count: Any

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self._direction = "up"
        if class_aggregation not in _AGGREGATIONS:
            raise ValueError(
                "Invalid value for argument `class_aggregation`. Expected one of "
                f"{_AGGREGATIONS}. Received: class_aggregation={class_aggregation}"
            )
        if num_regressors < 0:
            raise ValueError(
                "Invalid value for argument `num_regressors`. Expected a value >= 0. Received: "
                f"num_regressors={num_regressors}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), "zeros", name="num_samples")
        self._built = False

    def _build(self, true: Any, pred: Any) -> None:
        if len(pred) != 2 or len(true) != 2 or None in (pred[-1], true[-1]):
            raise ValueError(
                "R2Score expects 2D inputs with shape (batch_size, output_dim), with "
                "output_dim fully defined (not None). Received input shapes: "
                f"y_pred.shape={tuple(pred)} and y_true.shape={tuple(true)}."
            )
        for attribute, name in _SUMS.items():
            setattr(self, attribute, self.add_variable((pred[-1],), "zeros", name=name))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch, ``[batch, columns]``."""
        true = hr.cast(hr.convert_to_tensor(y_true), self.dtype)
        pred = hr.cast(hr.convert_to_tensor(y_pred), self.dtype)
        true, pred = squeeze_or_expand_to_same_rank(true, pred)
        if not self._built:
            self._build(true.shape, pred.shape)
        weights = hr.cast(hr.convert_to_tensor(1 if sample_weight is None else sample_weight),
                          self.dtype)  # fmt: skip
        if len(weights.shape) == 1:
            weights = hr.expand_dims(weights, 1)
        weights = hr.broadcast_to(weights, hr.shape(true))
        new = {
            "sum": true * weights,
            "squared_sum": true * true * weights,
            "total_mse": hr.square(true - pred) * weights,
            "count": weights,
        }
        for attribute, values in new.items():
            total = getattr(self, attribute)  # of floatx(), as Keras has it
            total.assign_add(hr.cast(hr.reduce_sum(values, axis=0), total.dtype))
        self.num_samples.assign_add(hr.cast(hr.size(true), self.num_samples.dtype))

    def result(self) -> Any:
        """The score so far: a scalar, or ``[columns]`` without `class_aggregation`."""
        total = self.sum.read_value()
        variance = self.squared_sum.read_value() - total * (total / self.count.read_value())
        scores = 1.0 - self.total_mse.read_value() / variance
        scores = hr.where(hr.is_inf(scores), hr.zeros_like(scores), scores)
        if self.class_aggregation == "uniform_average":
            score = hr.reduce_mean(scores)
        elif self.class_aggregation is None:
            score = scores
        else:
            score = hr.reduce_sum(variance * scores) / hr.reduce_sum(variance)
        return score if self.num_regressors == 0 else self._adjusted(score)

    def _adjusted(self, score: Any) -> Any:
        """The score that does not grow with mere numbers of regressors, where it exists."""
        samples = self.num_samples.read_value()
        free = samples - float(self.num_regressors) - 1.0
        if executing_eagerly():
            self._warn(float(free))
        safe = hr.where(free > 0.0, free, hr.ones_like(free))
        return hr.where(free > 0.0, 1.0 - (1.0 - score) * (samples - 1.0) / safe, score)

    def _warn(self, free: float) -> None:
        if free < 0:
            problem = "More independent predictors than datapoints in adjusted R2 score."
        elif free == 0:
            problem = "Division by zero in Adjusted R2 score."
        else:
            return
        warnings.warn(f"{problem} Falling back to standard R2 score.", stacklevel=4)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
