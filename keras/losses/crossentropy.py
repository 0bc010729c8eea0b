"""Cross-entropies: binary, categorical (one-hot targets), sparse categorical (class numbers),
and the focal forms of the first two.

Probabilities are cut to ``[epsilon, 1 - epsilon]`` before their logarithm is taken.  Where a
prediction is known to come from `softmax` or `sigmoid`, its logits are used instead, as Keras
does (see `activations.logits`).
"""

from __future__ import annotations

import warnings
from typing import Any

from ...ops import api as hr
from ..activations.logits import logits_of
from ..backend import epsilon
from ..engine.masks import set_mask
from .loss import LossFunctionWrapper

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "sparse_categorical_crossentropy",
]


def _logits(y_pred: Any, from_logits: bool, activation: str, loss: str) -> tuple[Any, bool]:
    """``(y_pred or its logits, whether these are logits)``."""
    found = logits_of(y_pred, activation)
    if found is None:
        return y_pred, from_logits
    if from_logits:
        warnings.warn(
            f'"`{loss}` received `from_logits=True`, but the `output` argument was produced by '
            f"a {activation.capitalize()} activation and thus does not represent logits. "
            "Was this intended?",
            stacklevel=4,
        )
    return found, True


def _check_same_shape(target: Any, output: Any) -> None:
    if len(target.shape) != len(output.shape):
        raise ValueError(
            "Arguments `target` and `output` must have the same rank (ndim). Received: "
            f"target.shape={tuple(target.shape)}, output.shape={tuple(output.shape)}"
        )
    if not target.shape.is_compatible_with(output.shape):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. Received: "
            f"target.shape={tuple(target.shape)}, output.shape={tuple(output.shape)}"
        )


def _clip(probabilities: Any) -> Any:
    return hr.clip_by_value(probabilities, epsilon(), 1.0 - epsilon())


def _pair(y_true: Any, y_pred: Any) -> Any:
    y_pred = hr.convert_to_tensor(y_pred)
    return hr.cast(hr.convert_to_tensor(y_true), y_pred.dtype), y_pred


def _elementwise_binary(y_true: Any, y_pred: Any, from_logits: bool) -> Any:
    _check_same_shape(y_true, y_pred)
    y_pred, from_logits = _logits(y_pred, from_logits, "sigmoid", "binary_crossentropy")
    if from_logits:
        return hr.sigmoid_cross_entropy_with_logits(labels=y_true, logits=y_pred)
    y_pred = _clip(y_pred)
    return -(y_true * hr.log(y_pred) + (1.0 - y_true) * hr.log(1.0 - y_pred))


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """``mean(-(y_true * log(p) + (1 - y_true) * log(1 - p)))`` over `axis`."""
    y_true, y_pred = _pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return hr.reduce_mean(_elementwise_binary(y_true, y_pred, from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Binary cross-entropy weighted by ``(1 - p_t) ** gamma`` (Lin et al. 2018)."""
    y_true, y_pred = _pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        y_pred = hr.sigmoid(y_pred)
    entropy = _elementwise_binary(y_true, y_pred, False)
    p_t = y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)
    focal = hr.pow(1.0 - p_t, gamma) * entropy
    if apply_class_balancing:
        focal = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * focal
    return hr.reduce_mean(focal, axis=axis)


def _prepare_categorical(
    y_true: Any, y_pred: Any, label_smoothing: float, axis: Any, loss: str
) -> Any:
    if isinstance(axis, bool):
        raise ValueError(
            f"`axis` must be of type `int`. Received: axis={axis} of type {type(axis)}"
        )
    y_true, y_pred = _pair(y_true, y_pred)
    if y_pred.shape[-1] == 1:
        warnings.warn(
            f"In loss {loss}, expected y_pred.shape to be (batch_size, num_classes) with "
            f"num_classes > 1. Received: y_pred.shape={tuple(y_pred.shape)}. Consider using "
            "'binary_crossentropy' if you only have 2 classes.",
            SyntaxWarning,
            stacklevel=4,
        )
    if label_smoothing:
        classes = y_true.shape[-1]
        if classes is None:
            share = label_smoothing / hr.cast(hr.shape(y_true)[-1], y_pred.dtype)
        else:
            share = label_smoothing / classes
        y_true = y_true * (1.0 - label_smoothing) + share
    return y_true, y_pred


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """``-sum(y_true * log(p))`` along `axis`; probabilities are scaled to sum to 1 first."""
    y_true, y_pred = _prepare_categorical(
        y_true, y_pred, label_smoothing, axis, "categorical_crossentropy"
    )
    if len(y_true.shape) < 1:
        raise ValueError(
            "Arguments `target` and `output` must be at least rank 1. Received: "
            f"target.shape={tuple(y_true.shape)}, output.shape={tuple(y_pred.shape)}"
        )
    _check_same_shape(y_true, y_pred)
    y_pred, from_logits = _logits(y_pred, from_logits, "softmax", "categorical_crossentropy")
    if from_logits:
        return hr.softmax_cross_entropy_with_logits(labels=y_true, logits=y_pred, axis=axis)
    y_pred = _clip(y_pred / hr.reduce_sum(y_pred, axis=axis, keepdims=True))
    return -hr.reduce_sum(y_true * hr.log(y_pred), axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Categorical cross-entropy weighted by ``alpha * (1 - p) ** gamma`` (Lin et al. 2018)."""
    y_true, y_pred = _prepare_categorical(
        y_true, y_pred, label_smoothing, axis, "categorical_focal_crossentropy"
    )
    if from_logits:
        y_pred = hr.softmax(y_pred, axis=axis)
    p = _clip(y_pred / hr.reduce_sum(y_pred, axis=axis, keepdims=True))
    weights = hr.pow(1.0 - p, gamma) * hr.constant(alpha, dtype=p.dtype)
    return hr.reduce_sum(weights * (-y_true * hr.log(p)), axis=axis)


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Any:
    """``-log(p[y_true])`` for class numbers `y_true`; `ignore_class` gets loss 0 and a mask.

    Raises:
        ValueError: shapes do not fit, or `axis` is not the last one.
    """
    y_pred = hr.convert_to_tensor(y_pred)
    y_true = hr.convert_to_tensor(y_true)
    rank = len(y_pred.shape)
    if rank < 1:
        raise ValueError(
            "Argument `output` must be at least rank 1. Received: "
            f"output.shape={tuple(y_pred.shape)}"
        )
    if axis not in (-1, rank - 1):
        raise ValueError(f"Only axis=-1 is currently supported. Received: axis={axis}")
    if len(y_true.shape) == rank and y_true.shape[-1] == 1:
        y_true = hr.squeeze(y_true, axis=-1)
    if len(y_true.shape) != rank - 1:
        raise ValueError(
            "Argument `output` must have rank (ndim) `target.ndim - 1`. Received: "
            f"target.shape={tuple(y_true.shape)}, output.shape={tuple(y_pred.shape)}"
        )
    if not y_true.shape.is_compatible_with(y_pred.shape[:-1]):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last "
            f"dimension: target.shape={tuple(y_true.shape)}, output.shape={tuple(y_pred.shape)}"
        )
    y_true = hr.cast(y_true, hr.int64)
    y_pred, from_logits = _logits(
        y_pred, from_logits, "softmax", "sparse_categorical_crossentropy"
    )
    valid = None
    if ignore_class is not None:
        valid = hr.not_equal(y_true, hr.constant(ignore_class, dtype=hr.int64))
        y_true = hr.where(valid, y_true, hr.zeros_like(y_true))
        y_pred = hr.where(hr.expand_dims(valid, -1), y_pred, hr.zeros_like(y_pred))
    if not from_logits:
        y_pred = hr.log(_clip(y_pred))
    loss = hr.sparse_softmax_cross_entropy_with_logits(labels=y_true, logits=y_pred)
    if valid is not None:
        loss = hr.where(valid, loss, hr.zeros_like(loss))
        set_mask(loss, valid)
    return loss


sparse_categorical_crossentropy._integer_targets = True  # type: ignore[attr-defined]


class BinaryCrossentropy(LossFunctionWrapper):
    """Cross-entropy of yes/no targets.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: in [0, 1]; moves targets this far towards 0.5.
        axis: the axis averaged over.
        reduction: see `Loss`.
        name: of the loss.
        dtype: see `Loss`.

    >>> round(float(BinaryCrossentropy()([[1.0]], [[0.5]])), 4)
    0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: Any = None,
    ):
        super().__init__(
            binary_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "reduction": self.reduction, **self._fn_kwargs}


class CategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of one-hot targets.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: in [0, 1]; moves targets this far towards the uniform distribution.
        axis: the classes' axis.
        reduction: see `Loss`.
        name: of the loss.
        dtype: see `Loss`.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: Any = None,
    ):
        super().__init__(
            categorical_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "reduction": self.reduction, **self._fn_kwargs}


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of class numbers.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        ignore_class: class number whose samples do not count, e.g. padding.
        reduction: see `Loss`.
        axis: the classes' axis; only the last is supported.
        name: of the loss.
        dtype: see `Loss`.

    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> round(float(loss([1], [[0.0, 2.0]])), 4)
    0.1269
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ):
        super().__init__(
            sparse_categorical_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
        self.from_logits = from_logits
        self.ignore_class = ignore_class

    def get_config(self) -> dict[str, Any]:
        """Name, reduction, from_logits and ignore_class."""
        return {
            "name": self.name,
            "reduction": self.reduction,
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Binary cross-entropy that weighs easy samples down (Lin et al. 2018).

    Args:
        apply_class_balancing: whether to weigh the classes by `alpha` and ``1 - alpha``.
        alpha: weight of class 1.
        gamma: power of ``1 - p``.
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: in [0, 1]; moves targets this far towards 0.5.
        axis: the axis averaged over.
        reduction: see `Loss`.
        name: of the loss.
        dtype: see `Loss`.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ):
        super().__init__(
            binary_focal_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "reduction": self.reduction, **self._fn_kwargs}


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Categorical cross-entropy that weighs easy samples down (Lin et al. 2018).

    Args:
        alpha: weight, one for all classes or one per class.
        gamma: power of ``1 - p``.
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: in [0, 1]; moves targets this far towards the uniform distribution.
        axis: the classes' axis.
        reduction: see `Loss`.
        name: of the loss.
        dtype: see `Loss`.
    """

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ):
        super().__init__(
            categorical_focal_crossentropy,
            reduction=reduction,
            name=name,
            dtype=dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "reduction": self.reduction, **self._fn_kwargs}
