"""Losses over sampled classes: noise-contrastive estimation and sampled softmax."""

from __future__ import annotations

from typing import Any

from .array_basics import cast, ones_like, reshape, shape as shape_of, stop_gradient, zeros_like
from .array_index import getitem
from .array_join import concat, stack
from .array_scatter import scatter_nd
from .array_shape import expand_dims
from .candidate_sampling import compute_accidental_hits, log_uniform_candidate_sampler
from .convert import to_tensor
from .elementwise import log
from .linalg_ops import matmul
from .nn_losses import sigmoid_cross_entropy_with_logits, softmax_cross_entropy_with_logits
from .nn_ops import embedding_lookup
from .reductions import reduce_sum
from .tensor import Tensor

__all__ = ["nce_loss", "sampled_softmax_loss"]


def _sampled_logits(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: int, num_classes: int,
    num_true: int, sampled_values: Any, remove_hits: bool, seed: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Logits of the true and the sampled classes [batch, num_true + num_sampled], corrected for
    how often each is expected in a sample, and their labels."""
    labels = cast(to_tensor(labels, None), "int64")
    inputs = to_tensor(inputs, None)
    if sampled_values is None:
        sampled_values = log_uniform_candidate_sampler(
            labels, num_true, num_sampled, True, num_classes, seed
        )
    sampled, true_count, sampled_count = (stop_gradient(s) for s in sampled_values)
    sampled = cast(sampled, "int64")
    # One lookup for both, so that a variable gets one gradient.
    ids = concat([reshape(labels, [-1]), sampled], 0)
    rows = cast(embedding_lookup(weights, ids), inputs.dtype)
    shifts = cast(embedding_lookup(biases, ids), inputs.dtype)
    n = num_true * shape_of(labels)[0]
    true_rows = reshape(
        getitem(rows, slice(None, n)), concat([[-1, num_true], shape_of(rows)[1:]], 0)
    )
    true_logits = reduce_sum(expand_dims(inputs, 1) * true_rows, -1)
    true_logits = true_logits + reshape(getitem(shifts, slice(None, n)), [-1, num_true])
    others = matmul(inputs, getitem(rows, slice(n, None)), transpose_b=True)
    others = others + getitem(shifts, slice(n, None))
    if remove_hits:
        at, place, lowest = compute_accidental_hits(labels, sampled, num_true)
        cells = stack([cast(at, "int64"), place], axis=1)
        size = cast(stack([shape_of(labels)[0], num_sampled]), "int64")
        others = others + scatter_nd(cells, cast(lowest, inputs.dtype), size)
    true_logits = true_logits - cast(log(true_count), inputs.dtype)
    others = others - cast(log(sampled_count), inputs.dtype)
    logits = concat([true_logits, others], 1)
    return logits, concat([ones_like(true_logits) / num_true, zeros_like(others)], 1)


def nce_loss(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: int, num_classes: int,
    num_true: int = 1, sampled_values: Any = None, remove_accidental_hits: bool = False,
    name: str = "nce_loss",
) -> Tensor:  # fmt: skip
    """The noise-contrastive estimation loss of each example, [batch].

    Args:
        weights: [num_classes, dim].
        biases: [num_classes].
        labels: int64 [batch, num_true].
        inputs: [batch, dim].
        num_sampled: negative classes to draw for the batch.
        num_classes: number of classes.
        num_true: true classes per example.
        sampled_values: what a candidate sampler gave; drawn log-uniformly if None.
        remove_accidental_hits: leave out sampled classes that are true ones.
        name: ignored.
    """
    logits, targets = _sampled_logits(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values,
        remove_accidental_hits,
    )  # fmt: skip
    return reduce_sum(sigmoid_cross_entropy_with_logits(labels=targets, logits=logits), 1)


def sampled_softmax_loss(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: int, num_classes: int,
    num_true: int = 1, sampled_values: Any = None, remove_accidental_hits: bool = True,
    seed: int | None = None, name: str = "sampled_softmax_loss",
) -> Tensor:  # fmt: skip
    """The cross-entropy of a softmax over the true and few sampled classes, [batch]; see
    `nce_loss`.  An underestimate of the full softmax, for training only."""
    logits, targets = _sampled_logits(
        weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values,
        remove_accidental_hits, seed,
    )  # fmt: skip
    return softmax_cross_entropy_with_logits(labels=stop_gradient(targets), logits=logits)
