"""Losses in raw form: cross-entropies from logits, L2."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import cast, sum_to
from .array_module import array_module
from .array_shape import expand_dims, transpose
from .binary_primitives import Masked
from .convert import to_tensor
from .elementwise import exp, log
from .errors import InvalidArgumentError
from .math_ops import maximum
from .nn_activations import softplus
from .primitive import Primitive
from .reductions import reduce_sum
from .shape_rules import FLOATS, broadcast
from .softmax_ops import last_max, last_sum, log_softmax, softmax
from .static_args import static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "l2_loss", "log_poisson_loss", "sigmoid_cross_entropy_with_logits",
    "softmax_cross_entropy_with_logits", "sparse_softmax_cross_entropy_with_logits",
    "weighted_cross_entropy_with_logits",
]  # fmt: skip


def l2_loss(t: Any, name: str | None = None) -> Tensor:
    """sum(x * x) / 2, a scalar."""
    return L2Loss(t)


def _l2_loss_impl(t: Any) -> Any:
    if t.dtype.itemsize == 2:
        return _l2_loss_impl(t.astype(np.float32)).astype(t.dtype)
    flat = t.reshape(-1)
    return array_module(t).dot(flat, flat) * t.dtype.type(0.5)


def _l2_loss_batch(ctx: Any, t: Any) -> Any:
    rank = batch_rules.rank_of(ctx)
    return reduce_sum(t * t, list(range(1, rank + 1))) * 0.5


L2Loss = Primitive(
    "L2Loss",
    "t: T",
    impl=_l2_loss_impl,
    shape=lambda t: TensorSpec([], t.dtype),
    vjp=lambda op, g: (op.inputs[0] * g,),
    batch=_l2_loss_batch,
    types={"T": FLOATS},
)


# -- softmax cross-entropy --------------------------------------------------------------------


def softmax_cross_entropy_with_logits(
    labels: Any, logits: Any, axis: Any = -1, name: str | None = None
) -> Tensor:
    """-sum(labels * log_softmax(logits)) along `axis`.

    Args:
        labels: probabilities, of the logits' shape or broadcasting to it; converted to their
            dtype.
        logits: floats.
        axis: the axis of the classes.
        name: ignored.

    Returns:
        The losses, of the logits' shape without `axis`.
    """
    logits = to_tensor(logits, None)
    labels = to_tensor(labels, None if hasattr(labels, "dtype") else logits.dtype)
    small = logits.dtype in (dtypes.float16, dtypes.bfloat16)
    wide = cast(logits, dtypes.float32) if small else logits
    labels = cast(labels, wide.dtype)
    axis = static_int(axis, "softmax_cross_entropy_with_logits", "axis")
    rank = wide.shape.rank
    if axis != -1 and rank is not None and axis % rank != rank - 1:
        perm = [i for i in range(rank) if i != axis % rank] + [axis % rank]
        wide, labels = transpose(wide, perm), transpose(labels, perm)
    loss, _ = SoftmaxCrossEntropyWithLogits(wide, labels)
    return cast(loss, logits.dtype) if small else loss


def _xent_impl(features: Any, labels: Any) -> Any:
    xp = array_module(features)
    z = features - last_max(xp, features)
    e = xp.exp(z)
    total = last_sum(e)
    z -= xp.log(total)
    e /= total
    if z.shape != labels.shape:
        return -(z * labels).sum(axis=-1), e - labels
    z *= labels
    loss = z.sum(axis=-1)
    e -= labels
    return -loss, e


def _xent_shape(features: Any, labels: Any) -> Any:
    name = "SoftmaxCrossEntropyWithLogits"
    try:
        shape = broadcast(features.shape, labels.shape, name)
    except InvalidArgumentError:
        raise InvalidArgumentError(
            "logits and labels must be broadcastable: "
            f"logits_size={features.shape} labels_size={labels.shape} "
            f"[Op:{name}]",
            op=name,
        ) from None
    if shape.rank == 0:
        raise InvalidArgumentError(
            f"logits must have at least one axis, got shape {shape} [Op:{name}]", op=name
        )
    loss = TensorSpec(None if shape.rank is None else shape[:-1], features.dtype)
    return loss, TensorSpec(shape, features.dtype)


def _xent_vjp(op: Any, grad_loss: Any, grad_backprop: Any) -> Any:
    features, labels = op.inputs
    found = None
    for_labels = None
    if grad_loss is not None:
        spread = expand_dims(grad_loss, -1)
        found = spread * op.outputs[1]
        for_labels = -spread * log_softmax(features)
    if grad_backprop is not None:  # second order: the backprop output is softmax - labels
        p = softmax(features)
        further = (grad_backprop - reduce_sum(grad_backprop * p, -1, True)) * p
        found = further if found is None else found + further
        for_labels = -grad_backprop if for_labels is None else for_labels - grad_backprop
    return sum_to(found, features), sum_to(for_labels, labels)


def _xent_batch(ctx: Any, *tensors: Any) -> Any:
    return ctx.primitive(*batch_rules.aligned(ctx, tensors))


SoftmaxCrossEntropyWithLogits = Primitive(
    "SoftmaxCrossEntropyWithLogits",
    "features: T, labels: T",
    impl=_xent_impl,
    shape=_xent_shape,
    vjp=_xent_vjp,
    batch=_xent_batch,
    types={"T": FLOATS},
    check_first=True,
    partial_grads=True,
)


def sparse_softmax_cross_entropy_with_logits(
    labels: Any, logits: Any, name: str | None = None
) -> Tensor:
    """-log_softmax(logits)[labels]: cross-entropy with one class number per example.

    Args:
        labels: integers [...], each in [0, classes).
        logits: floats [..., classes].
        name: ignored.

    Returns:
        The losses, [...].

    Raises:
        ValueError: the shapes do not fit.
        InvalidArgumentError: a label is out of range.
    """
    logits = to_tensor(logits, None)
    labels = to_tensor(labels, None)
    have, want = labels.shape.rank, logits.shape.rank
    if want == 0:
        raise ValueError("`logits` cannot be a scalar. Received logits with shape ().")
    if have is not None and want is not None and have != want - 1:
        raise ValueError(
            "`labels.shape.rank` must equal `logits.shape.rank - 1`. "
            f"Received: labels.shape={labels.shape} of "
            f"rank {have} and logits.shape={logits.shape} of rank {want}"
        )
    if (
        have is not None
        and want is not None
        and not labels.shape.is_compatible_with(logits.shape[:-1])
    ):
        raise ValueError(
            "`labels.shape` must equal `logits.shape` except "
            "for the last dimension. Received: "
            f"labels.shape={labels.shape} and logits.shape={logits.shape}"
        )
    small = logits.dtype in (dtypes.float16, dtypes.bfloat16)
    wide = cast(logits, dtypes.float32) if small else logits
    loss, _ = SparseSoftmaxCrossEntropyWithLogits(wide, labels)
    return cast(loss, logits.dtype) if small else loss


def _sparse_xent_impl(features: Any, labels: Any) -> Any:
    xp = array_module(features)
    classes = features.shape[-1]
    flat = labels.reshape(-1)
    # Read as unsigned, a negative label is larger than any class.
    if flat.size and int(flat.view(f"u{flat.dtype.itemsize}").max()) >= classes:
        wrong = flat[(flat < 0) | (flat >= classes)][0]
        shown = " ".join(str(v) for v in flat[:10].tolist()) + ("..." if flat.size > 10 else "")
        raise InvalidArgumentError(
            f"Received a label value of {wrong} which is outside the valid range of "
            f"[0, {classes}).  Label values: {shown}"
        )
    z = xp.ascontiguousarray(features - last_max(xp, features))
    e = xp.exp(z)
    total = last_sum(e)
    where = xp.arange(0, flat.size * classes, max(classes, 1))
    where += flat
    loss = xp.log(total).reshape(-1)
    loss -= z.reshape(-1)[where]
    e /= total
    e.reshape(-1)[where] -= e.dtype.type(1)
    return loss.reshape(labels.shape), e


def _sparse_xent_shape(features: Any, labels: Any) -> Any:
    name = "SparseSoftmaxCrossEntropyWithLogits"
    if features.shape.rank is None:
        return TensorSpec(labels.shape, features.dtype), TensorSpec(None, features.dtype)
    if features.shape.rank == 0 or not labels.shape.is_compatible_with(features.shape[:-1]):
        raise InvalidArgumentError(
            "logits and labels must have the same first dimension, "
            f"got logits shape {features.shape} and labels "
            f"shape {labels.shape} [Op:{name}]",
            op=name,
        )
    lead = labels.shape.merge_with(features.shape[:-1])
    return TensorSpec(lead, features.dtype), TensorSpec(features.shape, features.dtype)


def _sparse_xent_vjp(op: Any, grad_loss: Any, grad_backprop: Any) -> Any:
    found = None
    if grad_loss is not None:
        found = expand_dims(grad_loss, -1) * op.outputs[1]
    if grad_backprop is not None:
        p = softmax(op.inputs[0])
        further = (grad_backprop - reduce_sum(grad_backprop * p, -1, True)) * p
        found = further if found is None else found + further
    return found, None


SparseSoftmaxCrossEntropyWithLogits = Primitive(
    "SparseSoftmaxCrossEntropyWithLogits",
    "features: T, labels: Tlabels",
    impl=_sparse_xent_impl,
    shape=_sparse_xent_shape,
    vjp=_sparse_xent_vjp,
    partial_grads=True,
    check_first=True,
    batch=lambda ctx, *xs: ctx.primitive(*batch_rules.all_batched(ctx, xs)),
    types={"T": FLOATS, "Tlabels": (dtypes.int32, dtypes.int64)},
)


# -- sigmoid cross-entropy --------------------------------------------------------------------


def sigmoid_cross_entropy_with_logits(
    labels: Any = None, logits: Any = None, name: str | None = None
) -> Tensor:
    """-z * log(sigmoid(x)) - (1 - z) * log(1 - sigmoid(x)) for labels z, logits x, elementwise.

    Raises:
        ValueError: the shapes differ.
    """
    logits, labels = _logits_labels(labels, logits)
    return softplus(logits) - logits * labels


def _logits_labels(labels: Any, logits: Any) -> tuple[Tensor, Tensor]:
    logits = to_tensor(logits, None)
    labels = to_tensor(labels, None if hasattr(labels, "dtype") else logits.dtype)
    if not labels.shape.is_compatible_with(logits.shape):
        raise ValueError(
            "`logits` and `labels` must have the same shape, "
            f"received ({logits.shape} vs {labels.shape})."
        )
    return logits, labels


def weighted_cross_entropy_with_logits(
    labels: Any = None, logits: Any = None, pos_weight: Any = None, name: str | None = None
) -> Tensor:
    """The sigmoid cross-entropy with positive labels weighted by `pos_weight`, elementwise."""
    logits, labels = _logits_labels(labels, logits)
    weight = 1 + (to_tensor(pos_weight, logits.dtype) - 1) * labels
    return (1 - labels) * logits + weight * (softplus(-logits))


def log_poisson_loss(
    targets: Any, log_input: Any, compute_full_loss: bool = False, name: str | None = None
) -> Tensor:
    """exp(c) - z * c for targets z and logarithms c of the prediction, elementwise; with
    `compute_full_loss` Stirling's approximation of log(z!) is added where z > 1."""
    c = to_tensor(log_input, None)
    z = to_tensor(targets, c.dtype)
    result = exp(c) - c * z
    if compute_full_loss:
        safe = maximum(z, 1)
        result += Masked(safe * log(safe) - safe + 0.5 * log(2 * np.pi * safe), z > 1)
    return result
