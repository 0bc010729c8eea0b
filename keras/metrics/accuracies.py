"""Accuracies: how often predictions equal, or contain, the targets."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..backend import floatx
from ..losses.reduction import squeeze_or_expand_to_same_rank
from .reduction import PlainMetric

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


def _matches(a: Any, b: Any) -> Any:
    return hr.cast(hr.equal(a, b), floatx())


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where both are equal, else 0, element by element."""
    y_pred = hr.convert_to_tensor(y_pred)
    y_true = hr.cast(hr.convert_to_tensor(y_true), y_pred.dtype)
    return _matches(*squeeze_or_expand_to_same_rank(y_true, y_pred))


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """1 where ``y_pred > threshold`` agrees with the target 0 or 1, element by element."""
    y_true, y_pred = squeeze_or_expand_to_same_rank(
        hr.convert_to_tensor(y_true), hr.convert_to_tensor(y_pred)
    )
    positive = y_pred > hr.cast(threshold, y_pred.dtype)
    return _matches(y_true, hr.cast(positive, y_true.dtype))


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is that of the one-hot target."""
    labels = hr.argmax(hr.convert_to_tensor(y_true), axis=-1)
    return _matches(labels, hr.argmax(hr.convert_to_tensor(y_pred), axis=-1))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is that of the target class number."""
    y_pred = hr.convert_to_tensor(y_pred)
    y_true = hr.convert_to_tensor(y_true)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = hr.squeeze(y_true, -1)
    # Numbers are compared as integers: float32 would round large ones.
    found = hr.argmax(y_pred, axis=-1)
    matches = _matches(hr.cast(y_true, hr.int64), hr.cast(found, hr.int64))
    if len(matches.shape) > 1 and matches.shape[-1] == 1:
        matches = hr.squeeze(matches, -1)
    return matches


def _in_top_k(labels: Any, scores: Any, k: int) -> Any:
    """1 where fewer than `k` scores of a row exceed that of its label; shapes as `labels`."""
    known = scores.shape[-1]
    classes = hr.range(hr.shape(scores)[-1] if known is None else known)
    chosen = hr.equal(hr.expand_dims(hr.cast(labels, hr.int32), -1), classes)
    own = hr.reduce_sum(hr.where(chosen, scores, hr.zeros_like(scores)), axis=-1, keepdims=True)
    better = hr.reduce_sum(hr.cast(scores > own, hr.int32), axis=-1)
    # Labels out of range and rows that are not finite count as misses, as in TensorFlow.
    valid = hr.logical_and(
        hr.reduce_any(chosen, axis=-1), hr.reduce_all(hr.is_finite(scores), axis=-1)
    )
    inside = hr.logical_and(better < hr.constant(k, dtype=hr.int32), valid)
    return hr.cast(inside, floatx())


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where the one-hot target is among the `k` largest predictions."""
    labels = hr.argmax(hr.convert_to_tensor(y_true), axis=-1)
    return _in_top_k(labels, hr.convert_to_tensor(y_pred), k)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """1 where the target class number is among the `k` largest predictions.

    With `from_sorted_ids`, `y_pred` holds class numbers, best first.
    """
    y_pred = hr.convert_to_tensor(y_pred)
    y_true = hr.convert_to_tensor(y_true)
    if from_sorted_ids:
        found = hr.equal(hr.expand_dims(hr.cast(y_true, y_pred.dtype), -1), y_pred[..., :k])
        return hr.cast(hr.reduce_any(found, axis=-1), floatx())
    return _in_top_k(y_true, y_pred, k)


class Accuracy(PlainMetric):
    """How often predictions equal targets."""

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(accuracy, name=name, dtype=dtype)
        self._direction = "up"


class BinaryAccuracy(PlainMetric):
    """How often ``y_pred > threshold`` agrees with targets of 0 and 1."""

    _keys = ("threshold",)

    def __init__(
        self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ):
        super().__init__(binary_accuracy, name=name, dtype=dtype, threshold=threshold)
        self.threshold = threshold
        self._direction = "up"


class CategoricalAccuracy(PlainMetric):
    """How often the largest prediction is that of the one-hot target."""

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None):
        super().__init__(categorical_accuracy, name=name, dtype=dtype)
        self._direction = "up"


class SparseCategoricalAccuracy(PlainMetric):
    """How often the largest prediction is that of the target class number.

    >>> SparseCategoricalAccuracy()([1, 0], [[0.1, 0.9], [0.2, 0.8]]).numpy()
    np.float32(0.5)
    """

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None):
        super().__init__(sparse_categorical_accuracy, name=name, dtype=dtype)
        self._direction = "up"


class TopKCategoricalAccuracy(PlainMetric):
    """How often the one-hot target is among the `k` largest predictions."""

    _keys = ("k",)

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: Any = None):
        super().__init__(top_k_categorical_accuracy, name=name, dtype=dtype, k=k)
        self.k = k
        self._direction = "up"


class SparseTopKCategoricalAccuracy(PlainMetric):
    """How often the target class number is among the `k` largest predictions."""

    def __init__(
        self,
        k: int = 5,
        name: str = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ):
        super().__init__(
            sparse_top_k_categorical_accuracy,
            name=name,
            dtype=dtype,
            k=k,
            from_sorted_ids=from_sorted_ids,
        )
        self.k = k
        self.from_sorted_ids = from_sorted_ids
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; `from_sorted_ids` only where set."""
        config = {"name": self.name, "dtype": self.dtype, "k": self.k}
        return {**config, "from_sorted_ids": True} if self.from_sorted_ids else config
