"""CTC: the loss of sequences that are not aligned with their targets (Graves et al. 2006)."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.ctc import ctc_loss
from .loss import PlainLoss

__all__ = ["CTC", "ctc"]


def ctc(y_true: Any, y_pred: Any) -> Any:
    """One negative log likelihood per sequence, ``[batch]``.

    Args:
        y_true: class numbers, ``[batch, most]``; 0 pads and is the blank's number.
        y_pred: logits, ``[batch, time, classes]``.

    Raises:
        ValueError: another rank.
    """
    y_true, y_pred = hr.convert_to_tensor(y_true), hr.convert_to_tensor(y_pred)
    if len(y_true.shape) != 2:
        raise ValueError(
            "Targets `y_true` are expected to be a tensor of shape `(batch_size, max_length)` "
            f"in integer format. Received: y_true.shape={tuple(y_true.shape)}"
        )
    if len(y_pred.shape) != 3:
        raise ValueError(
            "Logits `y_pred` are expected to be a tensor of shape `(batch_size, max_length, "
            f"num_classes)`. Received: y_pred.shape={tuple(y_pred.shape)}"
        )
    y_true = hr.cast(y_true, hr.int32)
    labels = hr.reduce_sum(hr.cast(hr.not_equal(y_true, 0), hr.int32), axis=-1)
    batch, time = hr.shape(y_pred)[0], hr.shape(y_pred)[1]
    # The result has the dtype of the logits, at least float32; float32 is what computes it.
    dtype = hr.float64 if y_pred.dtype == hr.float64 else hr.float32
    loss = ctc_loss(
        y_true,
        hr.cast(y_pred, hr.float32),
        labels,
        hr.fill(hr.expand_dims(batch, 0), time),
        logits_time_major=False,
        blank_index=0,
    )
    return hr.cast(loss, dtype)


ctc._integer_targets = True  # type: ignore[attr-defined]


class CTC(PlainLoss):
    """Connectionist temporal classification of logits; targets padded with 0.

    Args:
        reduction: see `Loss`.
        name: of the loss.
        dtype: see `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "ctc",
        dtype: Any = None,
    ):
        super().__init__(ctc, reduction, name, dtype)
