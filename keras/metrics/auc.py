"""AUC: the area under the ROC or precision-recall curve, summed over many thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from ..backend import epsilon
from ..engine.serialization import deserialize_keras_object
from .confusion_matrix import are_evenly_spread, count_matrix
from .metric import Metric

__all__ = ["AUC"]

_CURVES = ("ROC", "PR")
_METHODS = ("interpolation", "majoring", "minoring")
_COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


class AUC(Metric):
    """Area under a curve through the confusion matrices at `num_thresholds` thresholds.

    Args:
        num_thresholds: number of thresholds, evenly spread over [0, 1].
        curve: ``"ROC"`` or ``"PR"`` (precision-recall).
        summation_method: ``"interpolation"`` (trapezoids; for PR the interpolation of Davis &
            Goadrich 2006), ``"minoring"`` or ``"majoring"`` (lower or upper rectangles).
        name: default ``"auc"``.
        dtype: see `Metric`.
        thresholds: thresholds in (0, 1) in place of the evenly spread ones.
        multi_label: compute one area per column and average them.
        num_labels: number of columns, known before the first batch.
        label_weights: weights of the columns (of the labels, if not `multi_label`).
        from_logits: whether predictions are logits.

    Raises:
        ValueError: `num_thresholds` below 2, an unknown curve or method, or `num_labels`
            without `multi_label`.

    >>> round(float(AUC()([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])), 2)
    0.75
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ):
        super().__init__(name=name, dtype=dtype)
        self._direction = "up"
        if str(curve).upper() not in _CURVES:
            raise ValueError(
                f'Invalid AUC curve value: "{curve}". Expected values are {list(_CURVES)}'
            )
        if str(summation_method).lower() not in _METHODS:
            raise ValueError(
                f'Invalid AUC summation method value: "{summation_method}". '
                f"Expected values are {list(_METHODS)}"
            )
        if num_labels and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        self.curve = str(curve).upper()
        self.summation_method = str(summation_method).lower()
        self._given_thresholds = thresholds is not None
        if thresholds is not None:
            inner = sorted(thresholds)
            self._even = are_evenly_spread([0.0, *inner, 1.0])
        else:
            if num_thresholds <= 1:
                raise ValueError(
                    "Argument `num_thresholds` must be an integer > 1. Received: "
                    f"num_thresholds={num_thresholds}"
                )
            inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
            self._even = num_thresholds > 2
        self.num_thresholds = len(inner) + 2
        self._thresholds = [0.0 - epsilon(), *inner, 1.0 + epsilon()]
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else np.asarray(label_weights)
        self._from_logits = from_logits
        self._built = False
        if not multi_label:
            self._build(None)
        elif num_labels:
            self._build((None, num_labels))

    @property
    def thresholds(self) -> list[float]:
        """The thresholds, one just below 0 and one just above 1 included."""
        return list(self._thresholds)

    def _build(self, shape: Any) -> None:
        size: tuple[int, ...] = (self.num_thresholds,)
        if self.multi_label:
            if len(shape) != 2:
                raise ValueError(
                    "`y_pred` must have rank 2 when `multi_label=True`. Found rank "
                    f"{len(shape)}. Full shape received for `y_pred`: {tuple(shape)}"
                )
            size = (self.num_thresholds, shape[1])
        for name in _COUNTS:
            setattr(self, name, self.add_variable(size, "zeros", name=name))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count one batch."""
        y_pred = hr.convert_to_tensor(y_pred)
        if not self._built:
            self._build(y_pred.shape)
        if self._from_logits:
            y_pred = hr.sigmoid(y_pred)
        counts = count_matrix(
            y_true,
            y_pred,
            self._thresholds,
            sample_weight=sample_weight,
            multi_label=self.multi_label,
            label_weights=None if self.multi_label else self.label_weights,
            even=self._even,
        )
        for name in _COUNTS:
            getattr(self, name).assign_add(getattr(counts, name))

    def result(self) -> Any:
        """The area so far."""
        tp, fp, tn, fn = (getattr(self, name).read_value() for name in _COUNTS)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._average(_interpolated_pr(tp, fp, fn))
        recall = hr.divide_no_nan(tp, tp + fn)
        if self.curve == "ROC":
            x, y = hr.divide_no_nan(fp, fp + tn), recall
        else:
            x, y = recall, hr.divide_no_nan(tp, tp + fp)
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        elif self.summation_method == "minoring":
            heights = hr.minimum(y[:-1], y[1:])
        else:
            heights = hr.maximum(y[:-1], y[1:])
        return self._average((x[:-1] - x[1:]) * heights)

    def _average(self, pieces: Any) -> Any:
        """The sum of the pieces; their weighted mean over labels if there are several."""
        area = hr.reduce_sum(pieces, axis=0)
        if not self.multi_label:
            return area
        if self.label_weights is None:
            return hr.reduce_mean(area)
        weights = hr.cast(self.label_weights, area.dtype)
        return hr.divide_no_nan(hr.reduce_sum(area * weights), hr.reduce_sum(weights))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; thresholds only if they were given."""
        weights = self.label_weights
        config = {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if weights is None else weights.tolist(),
            "from_logits": self._from_logits,
        }
        if self._given_thresholds:
            config["thresholds"] = self._thresholds[1:-1]
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """The metric that `config` describes; Keras writes label weights as a tensor."""
        return cls(**deserialize_keras_object(config))


def _interpolated_pr(tp: Any, fp: Any, fn: Any) -> Any:
    """Areas between neighbouring thresholds, precision interpolated by true positives.

    Between two thresholds true positives grow linearly with predicted positives p, so precision
    is ``slope + intercept / p`` and its integral over recall has the logarithm below.
    """
    zero = hr.zeros_like(tp[1:])
    gained = tp[:-1] - tp[1:]
    predicted = tp + fp
    slope = hr.divide_no_nan(gained, hr.maximum(predicted[:-1] - predicted[1:], zero))
    intercept = tp[1:] - slope * predicted[1:]
    both = hr.logical_and(predicted[:-1] > 0.0, predicted[1:] > 0.0)
    ratio = hr.where(
        both,
        hr.divide_no_nan(predicted[:-1], hr.maximum(predicted[1:], zero)),
        hr.ones_like(zero),
    )
    return hr.divide_no_nan(
        slope * (gained + intercept * hr.log(ratio)), hr.maximum(tp[1:] + fn[1:], zero)
    )
