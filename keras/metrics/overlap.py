"""Intersection over union of classes, from a confusion matrix: for segmentation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ...ops import api as hr
from ..backend import epsilon
from .metric import Metric

__all__ = ["BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]


class IoU(Metric):
    """The mean, over some classes, of ``|target and prediction| / |target or prediction|``.

    Classes that neither targets nor predictions hold do not count; nor do samples whose target
    or prediction is no class number.

    Args:
        num_classes: number of classes.
        target_class_ids: the classes averaged over.
        name: default: the class's name in snake case.
        dtype: of the counts; default ``"int"``, for which sample weights are whole numbers.
        ignore_class: samples with this target do not count.
        sparse_y_true: whether targets are class numbers; else one-hot or scores.
        sparse_y_pred: whether predictions are class numbers; else scores.
        axis: the classes' axis of scores.

    Raises:
        ValueError: a class in `target_class_ids` is out of range.

    >>> round(float(IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1])), 4)
    0.3333
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Iterable[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ):
        super().__init__(name=name, dtype=dtype or "int")
        self._direction = "up"
        self.target_class_ids = list(target_class_ids)
        if max(self.target_class_ids) >= num_classes:
            raise ValueError(
                f"Target class id {max(self.target_class_ids)} is out of range, which is [0, "
                f"{num_classes})."
            )
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes), "zeros", dtype=self.dtype, name="total_confusion_matrix"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count one batch."""
        true = self._classes(y_true, self.sparse_y_true)
        pred = self._classes(y_pred, self.sparse_y_pred)
        count = self.num_classes
        inside = hr.logical_and(_between(true, count), _between(pred, count))
        if self.ignore_class is not None:
            ignored = hr.constant(self.ignore_class, dtype=hr.int64)
            inside = hr.logical_and(inside, hr.not_equal(true, ignored))
        if sample_weight is None:
            weights = hr.cast(inside, self.dtype)
        else:
            weights = hr.convert_to_tensor(sample_weight)
            whole = not hr.as_dtype(self.dtype).is_floating
            if whole and hasattr(sample_weight, "dtype") and weights.dtype.is_floating:
                warnings.warn(
                    "You are passing weight as `float`, but dtype is `int`. This may result in "
                    "an incorrect weight due to type casting. Consider using integer weights.",
                    stacklevel=2,
                )
            weights = hr.cast(weights, self.dtype)
            if len(weights.shape) > 1:
                weights = hr.reshape(weights, [-1])
            weights = hr.broadcast_to(weights, hr.shape(true))
            weights = hr.where(inside, weights, hr.zeros_like(weights))
        zero = hr.zeros_like(true)
        cell = hr.where(inside, true, zero) * count + hr.where(inside, pred, zero)
        matrix = hr.unsorted_segment_sum(weights, cell, count * count)
        self.total_cm.assign_add(hr.reshape(matrix, [count, count]))

    def _classes(self, values: Any, sparse: bool) -> Any:
        """Class numbers, int64 ``[samples]``."""
        values = hr.convert_to_tensor(values)
        if not sparse:
            values = hr.argmax(values, axis=self.axis)
        return hr.reshape(hr.cast(values, hr.int64), [-1])

    def result(self) -> Any:
        """The mean so far, 0 before the first sample."""
        counts = self.total_cm.read_value()
        both = hr.tensor_diag_part(counts)
        either = hr.reduce_sum(counts, axis=0) + hr.reduce_sum(counts, axis=1) - both
        chosen = hr.constant(self.target_class_ids, dtype=hr.int32)
        both, either = (hr.cast(hr.gather(x, chosen), hr.float32) for x in (both, either))
        seen = either > 1e-9
        shares = hr.where(seen, both / (either + epsilon()), hr.zeros_like(both))
        number = hr.reduce_sum(hr.cast(seen, hr.float32))
        return hr.reduce_sum(shares) / (number + epsilon())

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }

    def _config_without(self, *keys: str) -> dict[str, Any]:
        """The config of a subclass that does not take the arguments `keys`."""
        return {k: v for k, v in IoU.get_config(self).items() if k not in keys}


def _between(classes: Any, count: int) -> Any:
    zero, end = hr.constant(0, dtype=hr.int64), hr.constant(count, dtype=hr.int64)
    return hr.logical_and(classes >= zero, classes < end)


class BinaryIoU(IoU):
    """`IoU` of scores that mean class 1 from a threshold on.

    Args:
        target_class_ids: the classes averaged over.
        threshold: smallest score of class 1.
        name: default: the class's name in snake case.
        dtype: see `IoU`.
    """

    def __init__(
        self,
        target_class_ids: Iterable[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(2, target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count one batch."""
        scores = hr.cast(hr.convert_to_tensor(y_pred), hr.float32)
        positive = hr.cast(scores >= hr.constant(self.threshold, dtype=hr.float32), hr.int64)
        super().update_state(y_true, positive, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        fixed = ("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")
        return {**self._config_without(*fixed), "threshold": self.threshold}


class MeanIoU(IoU):
    """`IoU` averaged over all classes.

    Args:
        num_classes: number of classes.
        **others: see `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ):
        super().__init__(
            num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true,
            sparse_y_pred, axis,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return self._config_without("target_class_ids")


class OneHotIoU(IoU):
    """`IoU` of one-hot targets.

    Args:
        num_classes: number of classes.
        target_class_ids: the classes averaged over.
        **others: see `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Iterable[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ):
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return self._config_without("sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """`IoU` of one-hot targets, averaged over all classes.

    Args:
        num_classes: number of classes.
        **others: see `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return self._config_without("target_class_ids", "sparse_y_true")
