"""Means of regression errors; cosine similarity; the root of the mean squared error."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..losses.reduction import squeeze_or_expand_to_same_rank
from ..losses.regression import (
    cosine_similarity as negative_cosine,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from .reduction import Mean, PlainMetric

__all__ = [
    "CosineSimilarity",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "RootMeanSquaredError",
]


class MeanSquaredError(PlainMetric):
    """Mean of the squared errors."""

    def __init__(self, name: str = "mean_squared_error", dtype: Any = None):
        super().__init__(mean_squared_error, name=name, dtype=dtype)
        self._direction = "down"


class MeanAbsoluteError(PlainMetric):
    """Mean of the absolute errors."""

    def __init__(self, name: str = "mean_absolute_error", dtype: Any = None):
        super().__init__(mean_absolute_error, name=name, dtype=dtype)
        self._direction = "down"


class MeanAbsolutePercentageError(PlainMetric):
    """Mean of the absolute errors in percent of the target."""

    def __init__(self, name: str = "mean_absolute_percentage_error", dtype: Any = None):
        super().__init__(mean_absolute_percentage_error, name=name, dtype=dtype)
        self._direction = "down"


class MeanSquaredLogarithmicError(PlainMetric):
    """Mean of the squared differences of ``log(x + 1)``."""

    def __init__(self, name: str = "mean_squared_logarithmic_error", dtype: Any = None):
        super().__init__(mean_squared_logarithmic_error, name=name, dtype=dtype)
        self._direction = "down"


class LogCoshError(PlainMetric):
    """Mean of ``log(cosh(error))``."""

    def __init__(self, name: str = "logcosh", dtype: Any = None):
        super().__init__(log_cosh, name=name, dtype=dtype)
        self._direction = "down"


def _cosine(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    return -negative_cosine(y_true, y_pred, axis=axis)


class CosineSimilarity(PlainMetric):
    """Mean cosine of the angle between targets and predictions along `axis`."""

    def __init__(self, name: str = "cosine_similarity", dtype: Any = None, axis: int = -1):
        super().__init__(_cosine, name=name, dtype=dtype, axis=axis)
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        """Name, dtype and axis (which Keras itself drops)."""
        return {"name": self.name, "dtype": self.dtype, "axis": self._fn_kwargs["axis"]}


class RootMeanSquaredError(Mean):
    """Root of the mean of all squared errors."""

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of targets and predictions."""
        y_true = hr.cast(hr.convert_to_tensor(y_true), self.dtype)
        y_pred = hr.cast(hr.convert_to_tensor(y_pred), self.dtype)
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        super().update_state(hr.square(y_pred - y_true), sample_weight=sample_weight)

    def result(self) -> Any:
        """The root so far."""
        return hr.sqrt(super().result())
