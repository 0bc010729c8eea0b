"""Decoders of connectionist temporal classification, and helpers for its labels.

`ctc_greedy_decoder` takes the best class at each time; `ctc_beam_search_decoder` follows the
best prefixes, each with the probability that it ends in a blank and that it does not (A.
Graves, "Supervised Sequence Labelling with Recurrent Neural Networks", 2012, section 7.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .batch_loop import folded, uneven
from .convert import to_tensor
from .ctc import collapsed
from .errors import InvalidArgumentError
from .primitive import Primitive
from .sparse_tensor import SparseTensor
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "collapse_repeated", "ctc_beam_search_decoder", "ctc_greedy_decoder", "ctc_unique_labels",
]  # fmt: skip

_FLOATS = {"T": (dtypes.float32, dtypes.float64)}


def _checked_times(inputs: Any, times: Any, op: str) -> None:
    steps, n = inputs.shape[:2]
    if len(times) != n:
        raise InvalidArgumentError(
            f"len(sequence_length) != batch_size. len(sequence_length): {len(times)} "
            f"batch_size: {n} [Op:{op}]",
            op=op,
        )
    if n and int(times.max()) > steps:
        raise InvalidArgumentError(
            f"sequence_length({int(times.argmax())}) <= {steps} is required, got "
            f"{int(times.max())} [Op:{op}]",
            op=op,
        )


def _check_ranks(inputs: Any, times: Any, op: str) -> None:
    if inputs.shape.rank not in (3, None) or times.shape.rank not in (1, None):
        raise InvalidArgumentError(
            f"inputs must be of rank 3 and sequence_length a vector, got shapes "
            f"{inputs.shape} and {times.shape} [Op:{op}]",
            op=op,
        )


def _sparse_parts(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices, values and shape of the matrix with these rows."""
    lengths = np.array([len(r) for r in rows], np.int64)
    row = np.repeat(np.arange(len(rows)), lengths)
    column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    values = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int64)
    shape = np.array([len(rows), int(lengths.max()) if len(rows) else 0], np.int64)
    return np.stack([row, column], 1).astype(np.int64), values, shape


# -- greedy -----------------------------------------------------------------------------------


def _greedy_impl(inputs: Any, times: Any, *, merge_repeated: bool, blank_index: int) -> Any:
    _checked_times(inputs, times, "CTCGreedyDecoder")
    steps, n, classes = inputs.shape
    blank = blank_index + classes if blank_index < 0 else blank_index
    if not 0 <= blank < classes:
        raise InvalidArgumentError(
            f"blank_index must lie in [{-classes}, {classes}), got {blank_index} "
            "[Op:CTCGreedyDecoder]",
            op="CTCGreedyDecoder",
        )
    best = inputs.argmax(-1)
    valid = np.arange(steps)[:, None] < times
    top = np.take_along_axis(inputs, best[..., None], 2)[..., 0]
    score = -np.where(valid, top, 0).sum(0, dtype=inputs.dtype)
    keep = valid & (best != blank)
    if merge_repeated:
        keep[1:] &= best[1:] != best[:-1]
    counts = keep.sum(0)
    batch, time = np.nonzero(keep.T)
    column = np.arange(len(batch)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = np.array([n, int(counts.max()) if n else 0], np.int64)
    return (
        np.stack([batch, column], 1).astype(np.int64),
        best[time, batch].astype(np.int64),
        shape,
        score[:, None].astype(inputs.dtype),
    )


def _greedy_shape(inputs: Any, times: Any, **_: Any) -> Any:
    _check_ranks(inputs, times, "CTCGreedyDecoder")
    n = None if inputs.shape.rank is None else inputs.shape[1]
    return (
        TensorSpec([None, 2], dtypes.int64),
        TensorSpec([None], dtypes.int64),
        TensorSpec([2], dtypes.int64),
        TensorSpec([n, 1], inputs.dtype),
    )


CTCGreedyDecoder = Primitive(
    "CTCGreedyDecoder",
    "inputs: T, sequence_length: int32",
    impl=_greedy_impl,
    shape=_greedy_shape,
    vjp=lambda op, *gs: (None, None),
    batch=uneven,
    types=_FLOATS,
    check_first=True,
    defaults={"merge_repeated": False, "blank_index": -1},
)


def ctc_greedy_decoder(
    inputs: Any, sequence_length: Any, merge_repeated: bool = True,
    blank_index: int | None = None,
) -> tuple[list[SparseTensor], Tensor]:  # fmt: skip
    """The best class at each time, repeated ones merged, blanks left out.

    Args:
        inputs: floats [time, batch, classes].
        sequence_length: int32 [batch].
        merge_repeated: whether a class repeated in time is one label.
        blank_index: the class of blanks; the last by default.

    Returns:
        A list of one int64 `SparseTensor` [batch, longest], and [batch, 1]: the negated sums of
        the greatest inputs.
    """
    indices, values, shape, score = CTCGreedyDecoder(
        inputs,
        sequence_length,
        merge_repeated=bool(merge_repeated),
        blank_index=-1 if blank_index is None else int(blank_index),
    )
    return [SparseTensor(indices, values, shape)], score


# -- beam search ------------------------------------------------------------------------------


class _Beam:
    """The best prefixes of one sequence.

    A prefix is a node of a tree: its parent's number and its last label.  `blank` and `label`
    are log probabilities that the time so far spells it, ending in a blank or in its label.
    """

    def __init__(self, classes: int, width: int):
        self.classes, self.width = classes, width
        self.parents, self.labels = [-1], [-1]
        self.children: dict[tuple[int, int], int] = {}
        self.nodes = np.array([0])
        self.blank, self.label = np.array([0.0]), np.array([-np.inf])

    def step(self, log_p: np.ndarray) -> None:
        """Go on by one time; the last class of `log_p` is the blank."""
        nodes, count = self.nodes, len(self.nodes)
        total = np.logaddexp(self.blank, self.label)
        last = np.array([self.labels[k] for k in nodes])
        place = {node: i for i, node in enumerate(nodes.tolist())}
        # Longer prefixes: after its own last label only by way of a blank.
        longer = total[:, None] + log_p[None, :-1]
        own = np.flatnonzero(last >= 0)
        longer[own, last[own]] = self.blank[own] + log_p[last[own]]
        blank = total + log_p[-1]
        label = np.where(last >= 0, self.label + log_p[last], -np.inf)
        # A longer prefix that is in the beam already joins it.
        for i, node in enumerate(nodes.tolist()):
            parent = place.get(self.parents[node])
            if parent is not None:
                k = self.labels[node]
                label[i] = np.logaddexp(label[i], longer[parent, k])
                longer[parent, k] = -np.inf
        scores = np.concatenate([np.logaddexp(blank, label), longer.reshape(-1)])
        if len(scores) > self.width:
            chosen = np.sort(np.argpartition(-scores, self.width - 1)[: self.width])
        else:
            chosen = np.arange(len(scores))
        chosen = chosen[np.isfinite(scores[chosen])]
        old = chosen[chosen < count]
        new = chosen[chosen >= count] - count
        self.nodes = np.concatenate([nodes[old], self._grown(nodes, new)]).astype(np.int64)
        self.blank = np.concatenate([blank[old], np.full(len(new), -np.inf)])
        self.label = np.concatenate([label[old], longer.reshape(-1)[new]])

    def _grown(self, nodes: np.ndarray, cells: np.ndarray) -> list[int]:
        found = []
        for cell in cells.tolist():
            parent, label = int(nodes[cell // (self.classes - 1)]), cell % (self.classes - 1)
            node = self.children.get((parent, label))
            if node is None:
                node = self.children[parent, label] = len(self.parents)
                self.parents.append(parent)
                self.labels.append(label)
            found.append(node)
        return found

    def best(self, count: int, merge: bool) -> tuple[list[np.ndarray], np.ndarray]:
        """The labels of the `count` best prefixes, best first, and their log probabilities."""
        scores = np.logaddexp(self.blank, self.label)
        order = np.argsort(-scores, kind="stable")[:count]
        if len(order) < count:
            raise InvalidArgumentError(
                f"Less leaf candidates in the beam than requested top_paths: {len(order)} vs "
                f"{count} [Op:CTCBeamSearchDecoder]",
                op="CTCBeamSearchDecoder",
            )
        rows = []
        for node in self.nodes[order].tolist():
            row = []
            while node > 0:
                if not (merge and row and row[-1] == self.labels[node]):
                    row.append(self.labels[node])
                node = self.parents[node]
            rows.append(np.array(row[::-1], np.int64))
        return rows, scores[order]


def _beam_impl(
    inputs: Any, times: Any, *, beam_width: int, top_paths: int, merge_repeated: bool
) -> Any:
    _checked_times(inputs, times, "CTCBeamSearchDecoder")
    n, classes = inputs.shape[1:]
    x = inputs.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
    paths: list[list[np.ndarray]] = [[] for _ in range(top_paths)]
    scores = np.zeros((n, top_paths))
    for b in range(n):
        beam = _Beam(classes, beam_width)
        for t in range(int(times[b])):
            beam.step(log_p[t, b])
        rows, scores[b] = beam.best(top_paths, merge_repeated)
        for path, row in zip(paths, rows, strict=True):
            path.append(row)
    parts = [_sparse_parts(path) for path in paths]
    return (
        *(p[0] for p in parts),
        *(p[1] for p in parts),
        *(p[2] for p in parts),
        scores.astype(inputs.dtype),
    )


def _beam_shape(
    inputs: Any, times: Any, *, beam_width: int, top_paths: int, merge_repeated: bool
) -> Any:
    _check_ranks(inputs, times, "CTCBeamSearchDecoder")
    if not 0 < top_paths <= beam_width:
        raise InvalidArgumentError(
            f"top_paths must be positive and at most beam_width, got {top_paths} and "
            f"{beam_width} [Op:CTCBeamSearchDecoder]",
            op="CTCBeamSearchDecoder",
        )
    n = None if inputs.shape.rank is None else inputs.shape[1]
    return (
        *[TensorSpec([None, 2], dtypes.int64)] * top_paths,
        *[TensorSpec([None], dtypes.int64)] * top_paths,
        *[TensorSpec([2], dtypes.int64)] * top_paths,
        TensorSpec([n, top_paths], inputs.dtype),
    )


CTCBeamSearchDecoder = Primitive(
    "CTCBeamSearchDecoder",
    "inputs: T, sequence_length: int32",
    impl=_beam_impl,
    shape=_beam_shape,
    vjp=lambda op, *gs: (None, None),
    batch=uneven,
    types=_FLOATS,
    check_first=True,
    defaults={"merge_repeated": True},
)


def ctc_beam_search_decoder(
    inputs: Any, sequence_length: Any, beam_width: int = 100, top_paths: int = 1
) -> tuple[list[SparseTensor], Tensor]:
    """The `top_paths` most probable label sequences, by beam search; the last class is blank.

    Args:
        inputs: logits [time, batch, classes].
        sequence_length: int32 [batch].
        beam_width: how many prefixes are followed.
        top_paths: how many are given back.

    Returns:
        A list of `top_paths` int64 `SparseTensor` [batch, longest], and their log
        probabilities [batch, top_paths].

    Raises:
        InvalidArgumentError: more `top_paths` than prefixes.
    """
    found = CTCBeamSearchDecoder(
        inputs, sequence_length, beam_width=int(beam_width), top_paths=int(top_paths),
        merge_repeated=False,
    )  # fmt: skip
    k = int(top_paths)
    parts = zip(found[:k], found[k : 2 * k], found[2 * k : 3 * k], strict=True)
    return [SparseTensor(*p) for p in parts], found[-1]


# -- labels -----------------------------------------------------------------------------------


def _unique_impl(labels: Any) -> Any:
    n, width = labels.shape
    values = np.zeros((n, width), np.int64)
    places = np.zeros((n, width), np.int32)
    # Each element's group is the first place of an equal one; groups are numbered in order.
    first = (labels[:, :, None] == labels[:, None, :]).argmax(2) if width else places
    is_first = first == np.arange(width)
    number = np.cumsum(is_first, 1) - 1
    row, column = np.nonzero(is_first)
    values[row, number[row, column]] = labels[row, column]
    places[:] = np.take_along_axis(number, first, 1) if width else 0
    return values, places


_UniqueLabels = Primitive(
    "_CTCUniqueLabels",
    "labels: T",
    impl=_unique_impl,
    shape=lambda x: (TensorSpec(x.shape, dtypes.int64), TensorSpec(x.shape, dtypes.int32)),
    vjp=lambda op, *gs: (None,),
    batch=folded(0),
)


def ctc_unique_labels(labels: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """The different labels of each row of [batch, most], in order and padded with 0 (int64),
    and where each label stands among them (int32).

    >>> [v.numpy().tolist() for v in ctc_unique_labels([[3, 4, 4, 3]])]
    [[[3, 4, 0, 0]], [[0, 1, 1, 0]]]
    """
    return _UniqueLabels(labels)


_Collapse = Primitive(
    "_CollapseRepeated",
    "labels: T, seq_length: L",
    impl=lambda labels, lengths: (
        lambda out, counts: (out.astype(labels.dtype), counts.astype(lengths.dtype))
    )(*collapsed(labels, lengths)),
    shape=lambda labels, lengths: (
        TensorSpec([labels.shape[0], None], labels.dtype),
        TensorSpec(lengths.shape, lengths.dtype),
    ),
    vjp=lambda op, *gs: (None, None),
    batch=uneven,
)


def collapse_repeated(
    labels: Any, seq_length: Any, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """Labels [batch, most] without those equal to the one before, padded with 0 to the longest
    row, and the new lengths.

    >>> collapse_repeated([[1, 1, 2, 2, 1]], [5])[0].numpy()
    array([[1, 2, 1]], dtype=int32)
    """
    return _Collapse(to_tensor(labels, None), seq_length)
