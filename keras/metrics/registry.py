"""Names of the metrics: `get`, `serialize`, `deserialize`."""

from __future__ import annotations

from typing import Any

from ..lookup import Lookup
from . import (
    accuracies,
    auc,
    confusion,
    constrained,
    correlation,
    f_score,
    hinges,
    overlap,
    probabilistic,
    r2_score,
    reduction,
    regression,
)
from .metric import Metric

__all__ = ["deserialize", "get", "serialize"]

_classes = [
    found
    for module in (
        accuracies, auc, confusion, constrained, correlation, f_score, hinges, overlap,
        probabilistic, r2_score, reduction, regression,
    )
    for found in (getattr(module, name) for name in module.__all__ if name != "PlainMetric")
    if isinstance(found, type)
]  # fmt: skip
_lookup = Lookup(
    "metric",
    Metric,
    [Metric, *_classes],
    {
        "bce": probabilistic.BinaryCrossentropy,
        "BCE": probabilistic.BinaryCrossentropy,
        "mae": regression.MeanAbsoluteError,
        "MAE": regression.MeanAbsoluteError,
        "mape": regression.MeanAbsolutePercentageError,
        "MAPE": regression.MeanAbsolutePercentageError,
        "mse": regression.MeanSquaredError,
        "MSE": regression.MeanSquaredError,
        "msle": regression.MeanSquaredLogarithmicError,
        "MSLE": regression.MeanSquaredLogarithmicError,
    },
)
deserialize = _lookup.deserialize


def serialize(metric: Any) -> Any:
    """The config dictionary that `deserialize` turns back into `metric`."""
    return _lookup.serialize(metric)


def get(identifier: Any) -> Any:
    """The metric object or function meant by a name, a config, a class or a callable.

    Raises:
        ValueError: the name is unknown or the type is not one of those.
    """
    return _lookup.get(identifier)
