"""Metrics read off the confusion matrix: its four counts, precision and recall."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .confusion_matrix import NEGATIVE, Counts, are_evenly_spread, as_thresholds, count_matrix
from .metric import Metric

__all__ = [
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "Recall",
    "TrueNegatives",
    "TruePositives",
]


class _Count(Metric):
    """One of the four counts, per threshold.

    Args:
        thresholds: float or list of floats in [0, 1]; default 0.5.
        name: default: the class's name in snake case.
        dtype: see `Metric`.
    """

    _which: str

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = as_thresholds(thresholds)
        self._even = are_evenly_spread(self.thresholds)
        self.accumulator = self.add_variable(
            (len(self.thresholds),), "zeros", name="accumulator"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count one batch."""
        counts = count_matrix(
            y_true, y_pred, self.thresholds, sample_weight=sample_weight, even=self._even
        )
        self.accumulator.assign_add(getattr(counts, self._which))

    def result(self) -> Any:
        """The count: a scalar for one threshold, else a vector."""
        total = self.accumulator.read_value()
        return total[0] if len(self.thresholds) == 1 else total

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_Count):
    """Number of true samples predicted true.

    >>> TruePositives()([0, 1, 1, 1], [1.0, 0.0, 1.0, 1.0]).numpy()
    np.float32(2.0)
    """

    _which = "true_positives"


class FalsePositives(_Count):
    """Number of false samples predicted true."""

    _which = "false_positives"


class TrueNegatives(_Count):
    """Number of false samples predicted false."""

    _which = "true_negatives"


class FalseNegatives(_Count):
    """Number of true samples predicted false."""

    _which = "false_negatives"


class _Share(Metric):
    """True positives divided by themselves and another count.

    Args:
        thresholds: float or list of floats in [0, 1]; default 0.5, or none with `top_k`.
        top_k: count the k largest scores as positive, in place of a threshold.
        class_id: look at this class only.
        name: default: the class's name in snake case.
        dtype: see `Metric`.
    """

    _other: str

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self._direction = "up"
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self.thresholds = as_thresholds(thresholds, 0.5 if top_k is None else NEGATIVE)
        self._even = are_evenly_spread(self.thresholds)
        shape = (len(self.thresholds),)
        self.true_positives = self.add_variable(shape, "zeros", name="true_positives")
        self._rest = self.add_variable(shape, "zeros", name=self._other)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count one batch."""
        counts: Counts = count_matrix(
            y_true,
            y_pred,
            self.thresholds,
            sample_weight=sample_weight,
            top_k=self.top_k,
            class_id=self.class_id,
            even=self._even,
        )
        self.true_positives.assign_add(counts.true_positives)
        self._rest.assign_add(getattr(counts, self._other))

    def result(self) -> Any:
        """The share, 0 where nothing was counted; a scalar for one threshold."""
        hits = self.true_positives.read_value()
        share = hr.divide_no_nan(hits, hits + self._rest.read_value())
        return share[0] if len(self.thresholds) == 1 else share

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "thresholds": self.init_thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
        }


class Precision(_Share):
    """Share of the samples predicted true that are."""

    _other = "false_positives"

    @property
    def false_positives(self) -> Any:
        """The variable that counts them."""
        return self._rest


class Recall(_Share):
    """Share of the true samples that are predicted true."""

    _other = "false_negatives"

    @property
    def false_negatives(self) -> Any:
        """The variable that counts them."""
        return self._rest
