"""Losses under a distribution strategy: averages over the global batch, not the replica's own.

Part of `hr.nn`; it stands here because it asks the strategy, which lies above the operations.
"""

from __future__ import annotations

from typing import Any

from ..distribute import get_strategy, has_strategy, in_cross_replica_context
from ..ops import api as hr
from ..ops.tensor import Tensor

__all__ = ["compute_average_loss", "scale_regularization_loss"]


def _replicas(name: str) -> int:
    if has_strategy() and in_cross_replica_context():
        raise RuntimeError(
            f"You are calling `{name}` in cross replica context, while it was expected to be "
            "called in replica context: call it inside the function given to strategy.run."
        )
    return get_strategy().num_replicas_in_sync


def compute_average_loss(
    per_example_loss: Any, sample_weight: Any = None, global_batch_size: Any = None
) -> Tensor:
    """The sum of the (weighted) losses of a replica's examples over the global batch size.

    Args:
        per_example_loss: floats [batch, ...].
        sample_weight: weights that broadcast to it.
        global_batch_size: by default the replica's batch times the number of replicas.

    Raises:
        ValueError: the losses are a scalar, or `global_batch_size` no scalar.
        TypeError: `global_batch_size` is no integer.

    >>> float(compute_average_loss([1.0, 3.0], global_batch_size=4))
    1.0
    """
    loss = hr.convert_to_tensor(per_example_loss)
    kind = loss.dtype
    if sample_weight is not None:
        weights = hr.cast(hr.convert_to_tensor(sample_weight), "float32")
        loss = hr.cast(loss, "float32")
        if weights.shape.rank is not None and loss.shape.rank is not None:
            for _ in range(loss.shape.rank - weights.shape.rank):
                weights = hr.expand_dims(weights, -1)
        loss = loss * weights
    loss = hr.cast(loss, kind)
    if global_batch_size is None:
        replicas = _replicas("compute_average_loss")
        if loss.shape.rank == 0:
            raise ValueError(
                "global_batch_size must be given for a per_example_loss that is a scalar"
            )
        size = hr.shape(loss)[0] * replicas
    else:
        size = hr.convert_to_tensor(global_batch_size)
        if size.shape.rank not in (0, None):
            raise ValueError(
                f"Argument `global_batch_size` must be scalar, got shape {size.shape}"
            )
        if not size.dtype.is_integer:
            raise TypeError(
                f"Argument `global_batch_size` must be int32 or int64, got {size.dtype.name}"
            )
    return hr.reduce_sum(loss) / hr.cast(size, kind)


def scale_regularization_loss(regularization_loss: Any) -> Tensor:
    """The sum of `regularization_loss` over the number of replicas, which add theirs up.

    >>> float(scale_regularization_loss([1.0, 3.0]))
    4.0
    """
    replicas = _replicas("scale_regularization_loss")
    total = hr.reduce_sum(regularization_loss)
    return total / hr.cast(replicas, total.dtype)
