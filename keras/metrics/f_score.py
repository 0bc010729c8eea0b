"""F-scores: means of precision and recall, per class or together."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..backend import epsilon
from .metric import Metric

__all__ = ["F1Score", "FBetaScore"]

_COUNTS = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")


class FBetaScore(Metric):
    """``(1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall)``.

    Args:
        average: None for one score per class, ``"micro"`` (counts of all classes together),
            ``"macro"`` (mean of the classes) or ``"weighted"`` (by the number of targets).
        beta: weight of recall, a float above 0.
        threshold: a float in (0, 1]: scores above it are positive; None: the largest of each
            row.
        name: of the metric.
        dtype: see `Metric`.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self._direction = "up"
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                "Invalid `average` argument value. Expected one of: {None, 'micro', 'macro', "
                f"'weighted'}}. Received: average={average}"
            )
        if not isinstance(beta, float):
            raise ValueError(
                "Invalid `beta` argument value. It should be a Python float. Received: "
                f"beta={beta} of type '{type(beta)}'"
            )
        if beta <= 0.0:
            raise ValueError(
                f"Invalid `beta` argument value. It should be > 0. Received: beta={beta}"
            )
        if threshold is not None:
            if not isinstance(threshold, float):
                raise ValueError(
                    "Invalid `threshold` argument value. It should be a Python float. "
                    f"Received: threshold={threshold} of type '{type(threshold)}'"
                )
            if not 0.0 < threshold <= 1.0:
                raise ValueError(
                    "Invalid `threshold` argument value. It should verify 0 < threshold <= 1. "
                    f"Received: threshold={threshold}"
                )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self.axis = None if average == "micro" else 0
        self._built = False

    def _build(self, true: Any, pred: Any) -> None:
        for known, why in (
            (len(pred) == 2 and len(true) == 2, ""),
            (len(pred) == 2 and None not in (pred[-1], true[-1]),
             ", with output_dim fully defined (not None)"),
        ):  # fmt: skip
            if not known:
                raise ValueError(
                    f"FBetaScore expects 2D inputs with shape (batch_size, output_dim){why}. "
                    f"Received input shapes: y_pred.shape={tuple(pred)} and "
                    f"y_true.shape={tuple(true)}."
                )
        shape = () if self.average == "micro" else (pred[-1],)
        for name in _COUNTS:
            setattr(self, name, self.add_variable(shape, "zeros", dtype=self.dtype, name=name))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count one batch, ``[batch, classes]``."""
        true = hr.cast(hr.convert_to_tensor(y_true), self.dtype)
        scores = hr.cast(hr.convert_to_tensor(y_pred), self.dtype)
        if not self._built:
            self._build(true.shape, scores.shape)
        if self.threshold is None:
            largest = hr.reduce_max(scores, axis=-1, keepdims=True)
            positive = hr.logical_and(scores >= largest, hr.abs(scores) > 1e-9)
        else:
            positive = scores > hr.constant(self.threshold, dtype=scores.dtype)
        pred = hr.cast(positive, self.dtype)
        weights = None
        if sample_weight is not None:
            weights = hr.expand_dims(
                hr.cast(hr.convert_to_tensor(sample_weight), self.dtype), 1
            )
        new = (pred * true, pred * (1.0 - true), (1.0 - pred) * true, true)
        for name, values in zip(_COUNTS, new, strict=True):
            values = values if weights is None else values * weights
            getattr(self, name).assign_add(hr.reduce_sum(values, axis=self.axis))

    def result(self) -> Any:
        """The score so far: a scalar, or ``[classes]`` without `average`."""
        hits, wrong, missed, targets = (getattr(self, name).read_value() for name in _COUNTS)
        precision = hits / (hits + wrong + epsilon())
        recall = hits / (hits + missed + epsilon())
        square = self.beta**2
        score = precision * recall / (square * precision + recall + epsilon()) * (1 + square)
        if self.average == "weighted":
            return hr.reduce_sum(score * (targets / (hr.reduce_sum(targets) + epsilon())))
        return score if self.average is None else hr.reduce_mean(score)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "average": self.average,
            "beta": self.beta,
            "threshold": self.threshold,
        }


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall.

    Args:
        average: see `FBetaScore`.
        threshold: see `FBetaScore`.
        name: of the metric.
        dtype: see `Metric`.

    >>> score = F1Score(average="micro", threshold=0.5)
    >>> round(float(score([[1, 0], [1, 1]], [[0.9, 0.8], [0.2, 0.7]])), 4)
    0.6667
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: Any = None,
    ):
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {key: value for key, value in super().get_config().items() if key != "beta"}
