"""Cross-entropies: binary, categorical (one-hot targets), sparse categorical (class numbers),
and the generalized one, which wrong labels harm less.  Their focal forms are in `focal`.

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
from .loss import PlainLoss
from .reduction import same_dtype

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "categorical_generalized_cross_entropy",
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


def check_same_shape(target: Any, output: Any) -> None:
    """Refuse targets and predictions of different shapes."""
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


def clip(probabilities: Any) -> Any:
    """`probabilities` cut to ``[epsilon, 1 - epsilon]``."""
    return hr.clip_by_value(probabilities, epsilon(), 1.0 - epsilon())


def elementwise_binary(y_true: Any, y_pred: Any, from_logits: bool) -> Any:
    """One cross-entropy per element."""
    check_same_shape(y_true, y_pred)
    y_pred, from_logits = _logits(y_pred, from_logits, "sigmoid", "binary_crossentropy")
    if from_logits:
        return hr.sigmoid_cross_entropy_with_logits(labels=y_true, logits=y_pred)
    y_pred = clip(y_pred)
    return -(y_true * hr.log(y_pred) + (1.0 - y_true) * hr.log(1.0 - y_pred))


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """``mean(-(y_true * log(p) + (1 - y_true) * log(1 - p)))`` over `axis`."""
    y_true, y_pred = same_dtype(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return hr.reduce_mean(elementwise_binary(y_true, y_pred, from_logits), axis=axis)


def prepare_categorical(
    y_true: Any, y_pred: Any, label_smoothing: float, axis: Any, loss: str
) -> Any:
    """Both of one dtype, the targets smoothed; warns where there is a single class."""
    if isinstance(axis, bool):
        raise ValueError(
            f"`axis` must be of type `int`. Received: axis={axis} of type {type(axis)}"
        )
    y_true, y_pred = same_dtype(y_true, y_pred)
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
    y_true, y_pred = prepare_categorical(
        y_true, y_pred, label_smoothing, axis, "categorical_crossentropy"
    )
    if len(y_true.shape) < 1:
        raise ValueError(
            "Arguments `target` and `output` must be at least rank 1. Received: "
            f"target.shape={tuple(y_true.shape)}, output.shape={tuple(y_pred.shape)}"
        )
    check_same_shape(y_true, y_pred)
    y_pred, from_logits = _logits(y_pred, from_logits, "softmax", "categorical_crossentropy")
    if from_logits:
        return hr.softmax_cross_entropy_with_logits(labels=y_true, logits=y_pred, axis=axis)
    y_pred = clip(y_pred / hr.reduce_sum(y_pred, axis=axis, keepdims=True))
    return -hr.reduce_sum(y_true * hr.log(y_pred), axis=axis)


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
        y_pred = hr.log(clip(y_pred))
    loss = hr.sparse_softmax_cross_entropy_with_logits(labels=y_true, logits=y_pred)
    if valid is not None:
        loss = hr.where(valid, loss, hr.zeros_like(loss))
        set_mask(loss, valid)
    return loss


sparse_categorical_crossentropy._integer_targets = True  # type: ignore[attr-defined]


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """``(1 - p[y_true] ** q) / q`` for class numbers `y_true` (Zhang & Sabuncu 2018).

    Between the mean absolute error (q = 1) and the cross-entropy (q towards 0).
    """
    y_pred = hr.convert_to_tensor(y_pred)
    classes = y_pred.shape[-1] if y_pred.shape[-1] is not None else hr.shape(y_pred)[-1]
    chosen = hr.one_hot(
        hr.cast(hr.convert_to_tensor(y_true), hr.int32), classes, dtype=y_pred.dtype
    )
    p = hr.reduce_sum(y_pred * chosen, axis=-1)
    return (1.0 - hr.pow(p, hr.constant(q, dtype=p.dtype))) / q


categorical_generalized_cross_entropy._integer_targets = True  # type: ignore[attr-defined]


class Crossentropy(PlainLoss):
    """Base of the cross-entropies, with the arguments that most of them take.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: in [0, 1]; moves targets this far towards 0.5 (binary) or the uniform
            distribution (categorical).
        axis: the axis averaged over (binary) or that of the classes (categorical).
        reduction: see `Loss`.
        name: of the loss.
        dtype: see `Loss`.
    """


class BinaryCrossentropy(Crossentropy):
    """Cross-entropy of yes/no targets.

    Args:
        **others: see `Crossentropy`.

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
            binary_crossentropy, reduction, name, dtype,
            from_logits=from_logits, label_smoothing=label_smoothing, axis=axis,
        )  # fmt: skip


class CategoricalCrossentropy(Crossentropy):
    """Cross-entropy of one-hot targets.

    Args:
        **others: see `Crossentropy`.
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
            categorical_crossentropy, reduction, name, dtype,
            from_logits=from_logits, label_smoothing=label_smoothing, axis=axis,
        )  # fmt: skip


class SparseCategoricalCrossentropy(Crossentropy):
    """Cross-entropy of class numbers.

    Args:
        ignore_class: class number whose samples do not count, e.g. padding.
        axis: the classes' axis; only the last is supported.
        **others: see `Crossentropy`.

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
            sparse_categorical_crossentropy, reduction, name, dtype,
            from_logits=from_logits, ignore_class=ignore_class, axis=axis,
        )  # fmt: skip


class CategoricalGeneralizedCrossEntropy(PlainLoss):
    """Cross-entropy of class numbers that wrong labels harm less (Zhang & Sabuncu 2018).

    Args:
        q: in (0, 1), the power of the label's probability; small ones are near the
            cross-entropy, large ones near the mean absolute error.
        **others: see `Loss`.

    Raises:
        ValueError: `q` is not in (0, 1).
    """

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ):
        if not 0 < q < 1:
            raise ValueError(f"q must be in the interval (0, 1). Received: q={q}")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)
