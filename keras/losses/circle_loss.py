"""Circle loss: embeddings of one class near, of others apart (Sun et al. 2020)."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..engine.masks import set_mask
from .loss import PlainLoss

__all__ = ["Circle", "circle"]


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Any:
    """One loss per embedding, ``[batch]``; samples of loss 0 are masked.

    Args:
        y_true: class numbers, ``[batch]`` or ``[batch, 1]``.
        y_pred: embeddings of length 1, ``[batch, features]``.
        ref_labels: class numbers of `ref_embeddings`; default `y_true`.
        ref_embeddings: what embeddings are compared with, ``[references, features]``; default
            `y_pred`.
        remove_diagonal: whether not to compare embedding i with reference i.
        gamma: scale of the loss.
        margin: how far from the best similarity a pair may be.
    """
    y_pred = hr.convert_to_tensor(y_pred)
    labels = hr.reshape(hr.cast(hr.convert_to_tensor(y_true), hr.int32), [-1])
    others = y_pred if ref_embeddings is None else hr.convert_to_tensor(ref_embeddings)
    other_labels = labels
    if ref_labels is not None:
        other_labels = hr.reshape(hr.cast(hr.convert_to_tensor(ref_labels), hr.int32), [-1])
    distance = hr.relu(1.0 - hr.matmul(y_pred, others, transpose_b=True))
    same = hr.equal(hr.expand_dims(labels, 1), hr.expand_dims(other_labels, 0))
    pulled = same
    if remove_diagonal:
        rows = hr.expand_dims(hr.range(hr.size(labels)), 1)
        columns = hr.expand_dims(hr.range(hr.size(other_labels)), 0)
        pulled = hr.logical_and(same, hr.not_equal(rows, columns))
    # In similarities s = 1 - distance, the paper's optima are 1 + margin and -margin.
    near = -gamma * hr.relu(margin + distance) * (margin - distance)
    far = gamma * hr.relu(1.0 + margin - distance) * (1.0 - margin - distance)
    loss = hr.softplus(_logsumexp(near, pulled) + _logsumexp(far, hr.logical_not(same)))
    set_mask(loss, loss > 0.0)
    return loss


def _logsumexp(values: Any, chosen: Any) -> Any:
    """``log(sum(exp(values)))`` of the chosen ones of each row; -infinity for none."""
    outside = hr.constant(float("-inf"), dtype=values.dtype)
    return hr.reduce_logsumexp(hr.where(chosen, values, outside), axis=1)


circle._integer_targets = True  # type: ignore[attr-defined]


class Circle(PlainLoss):
    """Circle loss of embeddings with class numbers as targets.

    Args:
        gamma: scale of the loss.
        margin: how far from the best similarity a pair may be.
        remove_diagonal: whether not to compare an embedding with itself.
        **others: see `Loss`.
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "circle",
        dtype: Any = None,
    ):
        super().__init__(
            circle, reduction, name, dtype,
            gamma=gamma, margin=margin, remove_diagonal=remove_diagonal,
        )  # fmt: skip
