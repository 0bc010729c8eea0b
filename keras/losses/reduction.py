"""From one loss per sample to one number: ranks, masks, sample weights, reductions."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.context import current

__all__ = [
    "Reduction",
    "apply_mask",
    "reduce_weighted_values",
    "same_dtype",
    "squeeze_or_expand_to_same_rank",
    "standardize_reduction",
]

_REDUCTIONS = ("sum_over_batch_size", "sum", None, "none", "mean", "mean_with_sample_weight")


class Reduction:
    """Names of the reductions, as TensorFlow 2.0's users write them."""

    AUTO = "auto"
    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"

    @classmethod
    def all(cls) -> tuple[str, ...]:
        """All of them."""
        return (cls.AUTO, cls.NONE, cls.SUM, cls.SUM_OVER_BATCH_SIZE)

    @classmethod
    def validate(cls, key: str) -> None:
        """Refuse a name that is none of them.

        Raises:
            ValueError: it is not.
        """
        if key not in cls.all():
            raise ValueError(f'Invalid Reduction Key: {key}. Expected keys are "{cls.all()}"')


def standardize_reduction(reduction: str | None) -> str | None:
    """`reduction` if it is a known one.

    Raises:
        ValueError: it isn't.
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(
            "Invalid value for argument `reduction`. "
            f"Expected one of {set(_REDUCTIONS)}. Received: reduction={reduction}"
        )
    return reduction


def same_dtype(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both as tensors of the dtype of `y_pred`."""
    y_pred = hr.convert_to_tensor(y_pred)
    return hr.cast(hr.convert_to_tensor(y_true), y_pred.dtype), y_pred


def squeeze_or_expand_to_same_rank(x1: Any, x2: Any, expand_rank_1: bool = True) -> Any:
    """Both tensors, a last axis of size 1 dropped or added if that makes their ranks equal."""
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if rank1 == rank2 + 1 and x1.shape[-1] == 1:
        if rank2 == 1 and expand_rank_1:
            x2 = hr.expand_dims(x2, axis=-1)
        else:
            x1 = hr.squeeze(x1, axis=-1)
    elif rank2 == rank1 + 1 and x2.shape[-1] == 1:
        if rank1 == 1 and expand_rank_1:
            x1 = hr.expand_dims(x1, axis=-1)
        else:
            x2 = hr.squeeze(x2, axis=-1)
    return x1, x2


def count(values: Any, dtype: Any) -> Any:
    """The number of elements of `values`, a scalar of `dtype`."""
    known = values.shape.num_elements()
    if known is not None:
        return hr.constant(known, dtype=dtype)
    return hr.cast(hr.size(values), dtype)


def apply_mask(sample_weight: Any, mask: Any, dtype: Any, reduction: str | None) -> Any:
    """`sample_weight` with 0 where `mask` is False; None if both are None.

    For the means, valid entries also get the weight ``total / valid``: the later division by
    `total` then amounts to one by the number of valid entries.
    """
    if mask is None:
        return sample_weight
    mask = hr.convert_to_tensor(mask)
    weights = hr.cast(mask, dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        valid, whole = hr.reduce_sum(weights), count(mask, dtype)
        if current.replica is not None:  # entries are valid of all replicas' batches
            both = current.replica.all_reduce("SUM", hr.stack([whole, valid]))
            whole, valid = both[0], both[1]
        share = hr.divide_no_nan(whole, valid)
        weights = hr.where(hr.cast(mask, hr.bool), share, hr.zeros_like(weights))
    if sample_weight is None:
        return weights
    weights, sample_weight = squeeze_or_expand_to_same_rank(
        weights, hr.cast(hr.convert_to_tensor(sample_weight), dtype)
    )
    return sample_weight * weights


def _reduce(values: Any, sample_weight: Any, reduction: str | None) -> Any:
    shape = values.shape
    if reduction in (None, "none") or shape.dims in ((), (0,)):
        return values
    total = hr.reduce_sum(values)
    if reduction == "sum":
        return total
    replica = current.replica
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        weight = hr.reduce_sum(sample_weight)
        if replica is not None:
            weight = replica.all_reduce("SUM", weight)
        return hr.divide_no_nan(total, hr.cast(weight, total.dtype))
    known = shape.num_elements()
    if known:
        mean = total / float(known)
    else:
        mean = hr.divide_no_nan(total, count(values, total.dtype))
    return mean if replica is None else share_of_replicas(mean, count(values, "float32"))


def share_of_replicas(mean: Any, number: Any) -> Any:
    """A replica's mean over `number` values as its part of the mean over all replicas' values:
    the parts add up to it."""
    return mean * hr.cast(current.replica.batch_share(number), mean.dtype)


def reduce_weighted_values(
    values: Any,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: str | None = "sum_over_batch_size",
    dtype: Any = None,
) -> Any:
    """`values` weighted, masked and reduced.

    Args:
        values: losses, ``[batch, ...]``.
        sample_weight: broadcasts to `values`, a last axis of size 1 aside.
        mask: booleans, False where `values` do not count.
        reduction: ``"sum_over_batch_size"`` or ``"mean"``, ``"sum"``,
            ``"mean_with_sample_weight"``, ``"none"`` or None.
        dtype: of the result; default that of `values`.
    """
    reduction = standardize_reduction(reduction)
    values = hr.convert_to_tensor(values)
    if dtype is not None:
        values = hr.cast(values, dtype)
    if sample_weight is not None:
        sample_weight = hr.cast(hr.convert_to_tensor(sample_weight), values.dtype)
    sample_weight = apply_mask(sample_weight, mask, values.dtype, reduction)
    if sample_weight is not None:
        values, sample_weight = squeeze_or_expand_to_same_rank(values, sample_weight)
        values = values * sample_weight
    return _reduce(values, sample_weight, reduction)
