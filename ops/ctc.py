"""Connectionist temporal classification: the loss of label sequences without alignment.

A. Graves et al., "Connectionist Temporal Classification" (ICML 2006).  One forward and one
backward recursion over time, each a few operations on [batch, 2 * labels + 1] log
probabilities in float64, give the loss and its gradient at once.  Between and around the
labels stand blanks; a path moves on by one state, or by two where that skips the blank between
two different labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import cast, reshape, shape
from .array_gather import where
from .array_index import getitem
from .array_join import concat
from .array_shape import expand_dims, transpose
from .batch_loop import merge_block, split_block
from .block_axis import broadcast_to_block
from .convert import to_tensor
from .errors import InvalidArgumentError
from .primitive import Primitive
from .sparse_tensor import SparseTensor
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["ctc_loss"]


# -- the recursions ---------------------------------------------------------------------------


def _log_sum(*terms: np.ndarray) -> np.ndarray:
    """log of the sum of exps; -inf where all are."""
    top = np.maximum.reduce(terms)
    safe = np.where(np.isfinite(top), top, 0)
    total = np.zeros_like(top)
    for t in terms:
        total += np.exp(t - safe)
    return np.log(total) + safe


def _moved(a: np.ndarray, by: int) -> np.ndarray:
    """Columns moved right by `by` (left where negative), -inf coming in."""
    out = np.full_like(a, -np.inf)
    if by > 0:
        out[:, by:] = a[:, :-by]
    else:
        out[:, :by] = a[:, -by:]
    return out


def loss_and_gradient(
    logits: np.ndarray, labels: np.ndarray, label_lengths: np.ndarray,
    logit_lengths: np.ndarray, blank: int, merge_repeated: bool = True,
    floor: float = -np.inf,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Losses [batch] and their gradients [time, batch, classes] for the logits, float64.

    Args:
        logits: [time, batch, classes].
        labels: integers [batch, most], of which the first `label_lengths` count.
        label_lengths, logit_lengths: [batch].
        blank: the class of blanks.
        merge_repeated: a label repeated in time is one label.
        floor: log weight of starting or ending in another state than labels allow.
    """
    steps, n, classes = logits.shape
    x = logits.astype(np.float64)
    top = x.max(-1, keepdims=True) if classes else x
    x = x - np.where(np.isfinite(top), top, 0)
    log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
    strict = floor == -np.inf
    most = (int(label_lengths.max()) if n else 0) if strict else labels.shape[1]
    states = 2 * most + 1
    # The state's class: blank, label 0, blank, label 1, ..., blank.
    classes_of = np.full((n, states), blank, np.int64)
    valid = (np.arange(most) < label_lengths[:, None]) | (not strict)
    classes_of[:, 1::2] = np.where(valid, labels[:, :most], blank)
    is_label = np.zeros(states, bool)
    is_label[1::2] = True
    skip = np.zeros((n, states), bool)
    skip[:, 3::2] = (classes_of[:, 3::2] != classes_of[:, 1:-2:2]) | (not merge_repeated)
    skip = np.where(skip, 0.0, -np.inf)
    stay = np.where(~is_label | merge_repeated, 0.0, -np.inf)
    at = np.arange(n)
    emitted = log_p[:, at[:, None], classes_of] if steps else np.zeros((0, n, states))

    def advance(a: np.ndarray) -> np.ndarray:
        return _log_sum(a + stay, _moved(a, 1), _moved(a, 2) + skip)

    forward = np.empty((steps, n, states))
    state = np.full((n, states), -np.inf)
    state[:, 0] = 0
    for t in range(steps):
        if t == 0:
            state = advance(np.full((n, states), floor))
            state[:, :2] = 0
            state = state + emitted[0]
        else:
            state = advance(state) + emitted[t]
        forward[t] = state
    ends = np.full((n, states), floor)
    ends[at, 2 * label_lengths] = 0
    some = label_lengths > 0
    ends[at[some], 2 * label_lengths[some] - 1] = 0
    last = np.maximum(logit_lengths - 1, 0)
    empty = logit_lengths == 0
    final = forward[last, at] + ends if steps else ends
    loss = -_log_sum(*final.T) if n else np.zeros(0)
    loss = np.where(empty, 0.0, loss)

    known = np.where(np.isfinite(loss), loss, 0)
    skip_ahead = _moved(skip, -2)
    gradient = np.zeros((steps, n, classes))
    probability = np.exp(log_p)
    behind = np.full((n, states), -np.inf)
    rows = np.repeat(at, states) * classes + classes_of.reshape(-1)
    for t in range(steps - 1, -1, -1):
        if t < steps - 1:
            ahead = behind + emitted[t + 1]
            behind = _log_sum(ahead + stay, _moved(ahead, -1), _moved(ahead, -2) + skip_ahead)
        behind = np.where((t == logit_lengths - 1)[:, None], ends, behind)
        # Without any path the loss is infinite, and the softmax all there is to the gradient.
        share = np.exp(forward[t] + behind + known[:, None])
        found = np.bincount(rows, share.reshape(-1), n * classes).reshape(n, classes)
        gradient[t] = probability[t] - found
    gradient[np.arange(steps)[:, None] >= logit_lengths] = 0
    return loss, gradient


# -- the raw op: sparse labels, blanks last ---------------------------------------------------


def _check_places(indices: Any, n: int, op: str) -> None:
    if len(indices) and (int(indices[:, 0].min()) < 0 or int(indices[:, 0].max()) >= n):
        raise InvalidArgumentError(
            f"labels_indices must name a batch of [0, {n}) [Op:{op}]", op=op
        )


def _dense_labels(indices: Any, values: Any, n: int, op: str) -> tuple[Any, Any]:
    _check_places(indices, n, op)
    rows = indices[:, 0]
    lengths = np.bincount(rows, minlength=n).astype(np.int64)
    order = np.argsort(rows, kind="stable")
    starts = np.cumsum(lengths) - lengths
    labels = np.zeros((n, int(lengths.max()) if n else 0), np.int64)
    labels[rows[order], np.arange(len(rows)) - starts[rows[order]]] = values[order]
    return labels, lengths


def _checked(labels: Any, lengths: Any, logits: Any, times: Any, lenient: bool, op: str) -> Any:
    """Which rows have enough time for their labels."""
    steps, _, classes = logits.shape
    if len(times) and int(times.max()) > steps:
        bad = int(times.argmax())
        raise InvalidArgumentError(
            f"sequence_length({bad}) <= {steps} is required, got {int(times[bad])} [Op:{op}]",
            op=op,
        )
    if (lengths == 0).any():
        b = int(np.flatnonzero(lengths == 0)[0])
        raise InvalidArgumentError(
            f"Labels length is zero in batch {b}; dense labels may be empty [Op:{op}]", op=op
        )
    valid = np.arange(labels.shape[1]) < lengths[:, None]
    if (valid & ((labels < 0) | (labels >= classes - 1))).any():
        b = int(np.flatnonzero((valid & ((labels < 0) | (labels >= classes - 1))).any(1))[0])
        raise InvalidArgumentError(
            f"Saw a non-null label (index >= num_classes - 1) following a null label, batch: "
            f"{b} num_classes: {classes} labels: {labels[b][valid[b]].tolist()} [Op:{op}]",
            op=op,
        )
    short = (lengths > times) & (times > 0)
    if short.any() and not lenient:
        b = int(np.flatnonzero(short)[0])
        raise InvalidArgumentError(
            f"Not enough time for target transition sequence (required: "
            f"{int(lengths[b])}, available: {int(times[b])}){b}. Pass fewer labels "
            f"or more time, or ignore_longer_outputs_than_inputs [Op:{op}]",
            op=op,
        )
    return ~short


def _ctc_impl(
    logits: Any, indices: Any, values: Any, times: Any, *, preprocess_collapse_repeated: bool,
    ctc_merge_repeated: bool, ignore_longer_outputs_than_inputs: bool,
) -> Any:  # fmt: skip
    n, classes = logits.shape[1:]
    labels, lengths = _dense_labels(indices, values, n, "CTCLoss")
    if preprocess_collapse_repeated:
        labels, lengths = collapsed(labels, lengths)
    lenient = ignore_longer_outputs_than_inputs
    fits = _checked(labels, lengths, logits, times, lenient, "CTCLoss")
    loss, gradient = loss_and_gradient(
        logits, labels, np.where(fits, lengths, 0), times.astype(np.int64), classes - 1,
        ctc_merge_repeated,
    )  # fmt: skip
    loss[~fits] = 0
    gradient[:, ~fits] = 0
    return loss.astype(logits.dtype), gradient.astype(logits.dtype)


def collapsed(labels: Any, lengths: Any) -> tuple[Any, Any]:
    """Rows without labels equal to the one before them, moved to the front."""
    valid = np.arange(labels.shape[1]) < lengths[:, None]
    keep = valid.copy()
    keep[:, 1:] &= labels[:, 1:] != labels[:, :-1]
    counts = keep.sum(1)
    out = np.zeros((len(labels), int(counts.max()) if len(counts) else 0), labels.dtype)
    out[np.arange(out.shape[1]) < counts[:, None]] = labels[keep]
    return out, counts


def _ctc_shape(logits: Any, indices: Any, values: Any, times: Any, **_: Any) -> Any:
    for what, t, rank in (
        ("inputs", logits, 3), ("labels_indices", indices, 2), ("labels_values", values, 1),
        ("sequence_length", times, 1),
    ):  # fmt: skip
        if t.shape.rank not in (rank, None):
            raise InvalidArgumentError(
                f"{what} is not of rank {rank}, got shape {t.shape} [Op:CTCLoss]", op="CTCLoss"
            )
    n = None if logits.shape.rank is None else logits.shape[1]
    return TensorSpec([n], logits.dtype), TensorSpec(logits.shape, logits.dtype)


def _block_batch(ctx: Any, *tensors: Any, **attrs: Any) -> Any:
    """The block axis joins that of the examples, in the recursions' second axis."""
    like = next(t for t, b in zip(tensors, ctx.batched, strict=True) if b)
    tensors = tuple(
        t if b else broadcast_to_block(t, like)
        for t, b in zip(tensors, ctx.batched, strict=True)
    )
    times = tensors[-1]
    merged = []
    for arg, t in zip(ctx.primitive.args, tensors, strict=True):
        if arg.name in ("inputs", "logits"):
            t = transpose(t, [1, 0, 2, 3])
            sizes = shape(t)
            t = reshape(t, concat([sizes[:1], sizes[1:2] * sizes[2:3], sizes[3:]], 0))
        elif arg.name == "labels_indices":
            t = _MergedPlaces(t, times)
        else:
            t = merge_block(t)
        merged.append(t)
    loss, gradient = ctx.primitive.call_flat(tuple(merged), attrs)
    sizes = shape(gradient)
    gradient = reshape(gradient, concat([sizes[:1], shape(times), sizes[2:]], 0))
    return split_block(loss, times), transpose(gradient, [1, 0, 2, 3])


def _merged_places_impl(indices: Any, times: Any) -> Any:
    count, n = times.shape
    _check_places(indices.reshape((-1, 2)), n, "CTCLoss")
    moved = indices + np.arange(count)[:, None, None] * np.array([n, 0])
    return moved.reshape((-1, 2))


_MergedPlaces = Primitive(
    "_CTCMergedPlaces",
    "labels_indices: int64, sequence_length: int32",
    impl=_merged_places_impl,
    shape=lambda *_: TensorSpec([None, 2], dtypes.int64),
    vjp=lambda op, g: (None, None),
)


def _first_order_only(op: Any, g: Any) -> Any:
    raise LookupError(
        "Gradient explicitly disabled. Reason: the second derivative of ctc_loss is not "
        "available. Wrap the first one in hr.stop_gradient."
    )


def _scaled(gradient: Any, g: Any) -> Tensor:
    """The gradient of each example times that of its loss."""
    once = _Once(gradient)
    return once * expand_dims(expand_dims(g, 0), -1)


_Once = Primitive(
    "_OnceDifferentiable",
    "x: T",
    impl=lambda x: x,
    shape=lambda x: TensorSpec(x.shape, x.dtype),
    vjp=_first_order_only,
    batch=batch_rules.unary,
)

CTCLoss = Primitive(
    "CTCLoss",
    "inputs: T, labels_indices: int64, labels_values: int32, sequence_length: int32",
    impl=_ctc_impl,
    shape=_ctc_shape,
    vjp=lambda op, g, _: (_scaled(op.outputs[1], g), None, None, None),
    batch=_block_batch,
    types={"T": (dtypes.float32, dtypes.float64)},
    check_first=True,
    defaults={
        "preprocess_collapse_repeated": False, "ctc_merge_repeated": True,
        "ignore_longer_outputs_than_inputs": False,
    },
)  # fmt: skip


# -- dense labels -----------------------------------------------------------------------------


# Labels that do not fit into the time cost as much as TensorFlow makes them: finitely.
_LOG_ZERO = float(np.float32(np.log(1e-307)))


def _dense_impl(
    labels: Any, logits: Any, label_lengths: Any, times: Any, *, blank: int
) -> tuple[Any, Any]:
    lengths = np.minimum(label_lengths.astype(np.int64), labels.shape[1])
    known = np.where(np.arange(labels.shape[1]) < lengths[:, None], labels, 0)
    if known.size and (int(known.min()) < 0 or int(known.max()) >= logits.shape[2]):
        raise InvalidArgumentError(
            f"labels must lie in [0, {logits.shape[2]}), got {int(known.min())} to "
            f"{int(known.max())}"
        )
    steps = np.minimum(times.astype(np.int64), len(logits))
    loss, gradient = loss_and_gradient(logits, labels, lengths, steps, blank)
    lost = np.isinf(loss)
    if lost.any():
        loss[lost], gradient[:, lost] = loss_and_gradient(
            logits[:, lost], labels[lost], lengths[lost], steps[lost], blank, floor=_LOG_ZERO
        )
    return loss.astype(logits.dtype), gradient.astype(logits.dtype)


def _dense_shape(labels: Any, logits: Any, *_: Any, blank: int) -> Any:
    if labels.shape.rank not in (2, None) or logits.shape.rank not in (3, None):
        raise InvalidArgumentError(
            f"labels must be a matrix and logits of rank 3, got shapes {labels.shape} and "
            f"{logits.shape} [Op:CTCLoss]"
        )
    n = None if logits.shape.rank is None else logits.shape[1]
    return TensorSpec([n], logits.dtype), TensorSpec(logits.shape, logits.dtype)


_DenseCTCLoss = Primitive(
    "_DenseCTCLoss",
    "labels: L, logits: T, label_length: A, logit_length: B",
    impl=_dense_impl,
    shape=_dense_shape,
    vjp=lambda op, g, _: (None, _scaled(op.outputs[1], g), None, None),
    batch=_block_batch,
    check_first=True,
)


def ctc_loss(
    labels: Any,
    logits: Any,
    label_length: Any,
    logit_length: Any,
    logits_time_major: bool = True,
    unique: Any = None,
    blank_index: int | None = None,
    name: str | None = None,
) -> Tensor:
    """The negative log probability of each label sequence, summed over its alignments: [batch].

    Args:
        labels: integers [batch, most], or a `SparseTensor` of int32.
        logits: floats [time, batch, classes], [batch, time, classes] unless
            `logits_time_major`.
        label_length: [batch]; ignored (may be None) with sparse labels.
        logit_length: [batch].
        logits_time_major: the order of the axes of `logits`.
        unique: taken for TensorFlow's sake.
        blank_index: the class of blanks; 0 by default, must be given with sparse labels;
            negative ones count from the end.
        name: ignored.

    Raises:
        ValueError: sparse labels without `blank_index`.
        InvalidArgumentError: a label out of range, or (sparse labels) none, or more of them
            than fit into the time.  Dense labels that do not fit have a large loss, about 707.
    """
    logits = to_tensor(logits, None)
    if logits.shape.rank not in (3, None):
        raise ValueError(f"logits must be of rank 3, got shape {logits.shape}")
    if not logits_time_major:
        logits = transpose(logits, [1, 0, 2])
    classes = logits.shape[2]
    if blank_index is not None and blank_index < 0:
        if classes is None:
            raise ValueError(
                f"blank_index must not be negative while the number of classes is unknown, got "
                f"{blank_index}"
            )
        blank_index += classes
    if not isinstance(labels, SparseTensor):
        found = _DenseCTCLoss(
            labels, logits, label_length, logit_length, blank=int(blank_index or 0)
        )
        return found[0]
    if blank_index is None:
        raise ValueError(
            "Argument `blank_index` must be provided when labels is a SparseTensor."
        )
    values = cast(labels.values, dtypes.int32)
    if classes is None or blank_index != classes - 1:
        logits = concat(
            [
                getitem(logits, (Ellipsis, slice(None, blank_index))),
                getitem(logits, (Ellipsis, slice(blank_index + 1, None))),
                getitem(logits, (Ellipsis, slice(blank_index, blank_index + 1))),
            ],
            2,
        )
        values = where(values < blank_index, values, values - 1)
    return CTCLoss.raw(
        inputs=logits,
        labels_indices=labels.indices,
        labels_values=values,
        sequence_length=cast(to_tensor(logit_length, None), dtypes.int32),
    )[0]
