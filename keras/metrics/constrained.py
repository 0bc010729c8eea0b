"""The best of one rate where another reaches a value: e.g. precision at a recall of 0.9."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .confusion_matrix import count_matrix
from .metric import Metric

__all__ = [
    "PrecisionAtRecall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
]

_COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


def _precision(tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
    return hr.divide_no_nan(tp, tp + fp)


def _recall(tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
    return hr.divide_no_nan(tp, tp + fn)


def _specificity(tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
    return hr.divide_no_nan(tn, tn + fp)


class _BestWhere(Metric):
    """The largest ``_best`` over the thresholds at which ``_fixed`` is at least a value.

    Args:
        value: between 0 and 1; a subclass's first argument, by the name `_argument`.
        num_thresholds: number of thresholds, evenly spread over [0, 1].
        class_id: look at this class only.
        name: default: the class's name in snake case.
        dtype: see `Metric`.

    Raises:
        ValueError: an argument is out of its range.
    """

    _argument: str
    _fixed: Any
    _best: Any

    def __init__(
        self,
        value: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        if value < 0 or value > 1:
            raise ValueError(
                f"Argument `{self._argument}` must be in the range [0, 1]. Received: "
                f"{self._argument}={value}"
            )
        super().__init__(name=name, dtype=dtype)
        self._direction = "up"
        if num_thresholds <= 0:
            raise ValueError(
                "Argument `num_thresholds` must be an integer > 0. Received: "
                f"num_thresholds={num_thresholds}"
            )
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        setattr(self, self._argument, value)
        last = num_thresholds - 1
        self.thresholds = [0.5] if last == 0 else [i / last for i in range(num_thresholds)]
        for count in _COUNTS:
            setattr(self, count, self.add_variable((num_thresholds,), "zeros", name=count))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count one batch."""
        counts = count_matrix(
            y_true,
            y_pred,
            self.thresholds,
            sample_weight=sample_weight,
            class_id=self.class_id,
            even=self.num_thresholds > 1,
        )
        for name in _COUNTS:
            getattr(self, name).assign_add(getattr(counts, name))

    def result(self) -> Any:
        """The best so far, 0 where the value is not reached."""
        counts = [getattr(self, name).read_value() for name in _COUNTS]
        fixed, best = type(self)._fixed(*counts), type(self)._best(*counts)
        reached = fixed >= hr.constant(self.value, dtype=fixed.dtype)
        return hr.reduce_max(hr.where(reached, best, hr.zeros_like(best)))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "class_id": self.class_id,
            "num_thresholds": self.num_thresholds,
            self._argument: self.value,
        }


class SensitivityAtSpecificity(_BestWhere):
    """The best sensitivity at which specificity is at least `specificity`.

    Args:
        specificity: in [0, 1].
        num_thresholds: number of thresholds, evenly spread over [0, 1].
        class_id: look at this class only.
        name: default: the class's name in snake case.
        dtype: see `Metric`.

    >>> metric = SensitivityAtSpecificity(0.5)
    >>> round(float(metric([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8])), 4)
    0.5
    """

    _argument, _fixed, _best = "specificity", _specificity, _recall

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_BestWhere):
    """The best specificity at which sensitivity is at least `sensitivity`.

    Args:
        sensitivity: in [0, 1].
        **others: see `SensitivityAtSpecificity`.
    """

    _argument, _fixed, _best = "sensitivity", _recall, _specificity

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_BestWhere):
    """The best precision at which recall is at least `recall`.

    Args:
        recall: in [0, 1].
        **others: see `SensitivityAtSpecificity`.
    """

    _argument, _fixed, _best = "recall", _recall, _precision

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_BestWhere):
    """The best recall at which precision is at least `precision`.

    Args:
        precision: in [0, 1].
        **others: see `SensitivityAtSpecificity`.
    """

    _argument, _fixed, _best = "precision", _precision, _recall

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(precision, num_thresholds, class_id, name, dtype)
