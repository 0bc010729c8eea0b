"""Metrics that are sums and means of per-sample values, and the wrapper that makes one of a
function of targets and predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import api as hr
from ..engine.masks import get_mask
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from ..losses.reduction import apply_mask, squeeze_or_expand_to_same_rank
from .metric import Metric

__all__ = ["Mean", "MeanMetricWrapper", "PlainMetric", "Sum"]


def _samplewise(
    values: Any, sample_weight: Any, reduce: Callable[..., Any], dtype: Any
) -> tuple[Any, Any]:
    """``(values, weights or None)``, weighted and reduced to one value per sample."""
    mask = get_mask(values)
    values = hr.cast(hr.convert_to_tensor(values), dtype)
    if sample_weight is not None:
        sample_weight = hr.cast(hr.convert_to_tensor(sample_weight), dtype)
        if mask is not None:
            sample_weight = apply_mask(sample_weight, mask, dtype, "sum")
        values, sample_weight = squeeze_or_expand_to_same_rank(values, sample_weight)
        weight_rank, rank = len(sample_weight.shape), len(values.shape)
        if rank > weight_rank:
            values = reduce(values, axis=list(range(weight_rank, rank)))
        if weight_rank:
            sample_weight = hr.broadcast_to(sample_weight, hr.shape(values))
        values = values * sample_weight
        if weight_rank > 1:
            sample_weight = reduce(sample_weight, axis=list(range(1, weight_rank)))
    rank = len(values.shape)
    if rank > 1:
        values = reduce(values, axis=list(range(1, rank)))
    return values, sample_weight


class Sum(Metric):
    """The weighted sum of the given values."""

    def __init__(self, name: str = "sum", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add `values`, weighted."""
        values, _ = _samplewise(values, sample_weight, hr.reduce_sum, self.dtype)
        self.total.assign_add(hr.reduce_sum(values))

    def result(self) -> Any:
        """The sum so far."""
        return hr.cast(self.total.read_value(), self.dtype)


class Mean(Metric):
    """The weighted mean of the given values.

    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean(8.0).numpy()
    np.float32(4.0)
    """

    def __init__(self, name: str = "mean", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")
        self.count = self.add_variable((), "zeros", dtype=self.dtype, name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in `values`, weighted; each sample counts by the sum of its weights."""
        values, sample_weight = _samplewise(values, sample_weight, hr.reduce_mean, self.dtype)
        rank = len(values.shape)
        self.total.assign_add(hr.reduce_sum(values) if rank else values)
        if sample_weight is not None:
            number = hr.reduce_sum(sample_weight) if len(sample_weight.shape) else sample_weight
        elif rank:
            number = hr.cast(hr.size(values), self.dtype)
        else:
            number = hr.constant(1, dtype=self.dtype)
        self.count.assign_add(number)

    def result(self) -> Any:
        """The mean so far; 0 before the first value."""
        return hr.divide_no_nan(self.total.read_value(), self.count.read_value())


class MeanMetricWrapper(Mean):
    """The mean of a function of targets and predictions.

    Args:
        fn: ``fn(y_true, y_pred, **kwargs)``, returning one value per sample.
        name: default: ``"mean_metric_wrapper"``.
        dtype: see `Metric`.
        **kwargs: passed on to `fn`.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ):
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of targets and predictions."""
        mask = get_mask(y_pred)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if mask is not None:
            sample_weight = apply_mask(sample_weight, mask, self.dtype, "sum")
        super().update_state(values, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Name, dtype, the function and its arguments."""
        config = {"fn": serialize_keras_object(self._fn)}
        config.update({k: serialize_keras_object(v) for k, v in self._fn_kwargs.items()})
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """The metric that `config` describes."""
        if "fn" in config:
            config = deserialize_keras_object(config)
        return cls(**config)


class PlainMetric(MeanMetricWrapper):
    """A wrapper whose class fixes the function: its config holds name, dtype and `_keys`."""

    _keys: tuple[str, ...] = ()

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {key: self._fn_kwargs[key] for key in self._keys}
        return {"name": self.name, "dtype": self.dtype, **own}
