"""CTC, non-maximum suppression and sets on blocks: the batch rule where results have one size,
row by row where it depends on values; either way the same as a loop."""

import warnings

import numpy as np
import pytest
from harness import Case, check_batch, each, same

import headrace as hr
from headrace.data import Dataset, Options

RNG = np.random.default_rng(11)
LOGITS = RNG.normal(size=(6, 2, 4))
LABELS, LENGTHS, TIMES = np.array([[1, 2, 2], [3, 0, 0]]), np.array([3, 1]), np.array([6, 4])
PLACES = np.array([[0, 0], [0, 1], [1, 0]])
LIMITS = (np.float32(0.4), np.float32(0.2))
BOXES = RNG.uniform(0, 1, (12, 4)).astype("f")
SCORES = (RNG.permutation(12) / 12).astype("f")
WIDE, KINDS = RNG.uniform(0, 1, (2, 9, 3, 4)).astype("f"), RNG.uniform(0, 1, (2, 9, 3))
image, nn = hr.image, hr.nn


def suppressed(raw, *more):
    def call(boxes, scores):
        named = zip(("iou_threshold", "score_threshold", "soft_nms_sigma"), more, strict=False)
        return getattr(hr.raw_ops, raw)(
            boxes=boxes, scores=scores, max_output_size=5, pad_to_max_output_size=True,
            **dict(named),
        )  # fmt: skip

    return call


EVEN = [
    Case("ctc_loss", lambda y, x, n, t: nn.ctc_loss(y, x, n, t),
         (LABELS, LOGITS, LENGTHS, TIMES)),
    Case("ctc_loss-sparse",
         lambda x, y: hr.raw_ops.CTCLoss(
             inputs=x, labels_indices=PLACES, labels_values=y,
             sequence_length=hr.constant(TIMES, hr.int32)),
         (LOGITS, np.array([1, 2, 0], np.int32))),
    Case("ctc_unique_labels", nn.ctc_unique_labels, (LABELS,)),
    Case("padded", suppressed("NonMaxSuppressionV4", *LIMITS), (BOXES, SCORES)),
    Case("padded-soft", suppressed("NonMaxSuppressionV5", *LIMITS, np.float32(0.3)),
         (BOXES, SCORES)),
    Case("padded-many",
         lambda b, s: image.non_max_suppression_padded(
             b, s, 4, 0.4, 0.1, pad_to_max_output_size=True),
         (BOXES.reshape(2, 6, 4), SCORES.reshape(2, 6))),
    Case("combined", lambda b, s: image.combined_non_max_suppression(b, s, 3, 6, 0.4, 0.2),
         (WIDE, KINDS.astype("f"))),
    Case("set_size",
         lambda v: hr.sets.size(hr.SparseTensor(PLACES, v, [2, 3])), (np.array([5, 5, 7]),)),
]  # fmt: skip


@each(EVEN)
def test_blocks_equal_loops(case):
    check_batch(case, [np.asarray(a) for a in case.args])


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_of_a_block_of_losses(sparse):
    logits = hr.constant(RNG.normal(size=(3, 6, 2, 4)))

    def loss(x):
        if not sparse:
            return nn.ctc_loss(LABELS, x, LENGTHS, TIMES)
        labels = hr.SparseTensor(PLACES, np.array([1, 2, 3], np.int32), [2, 3])
        return nn.ctc_loss(labels, x, None, TIMES, blank_index=0)

    found = []
    for run in (hr.vectorized_map, lambda fn, x: hr.stack([fn(row) for row in hr.unstack(x)])):
        with hr.GradientTape() as tape, warnings.catch_warnings():
            warnings.simplefilter("error")  # no falling back
            tape.watch(logits)
            total = hr.reduce_sum(run(loss, logits) * [[1.0, 2.0]])
        found.append(tape.gradient(total, logits).numpy())
    same(*found)


def test_a_label_of_another_row_is_not_taken():
    places = np.array([[[0, 0], [1, 0]], [[0, 0], [2, 0]]])

    def loss(i):
        return hr.raw_ops.CTCLoss(
            inputs=LOGITS, labels_indices=i, labels_values=np.array([1, 2], np.int32),
            sequence_length=np.array([6, 4], np.int32),
        )[0]  # fmt: skip

    assert hr.vectorized_map(loss, places[:1]).shape == [1, 2]
    with pytest.raises(hr.errors.InvalidArgumentError, match="must name a batch"):
        hr.vectorized_map(loss, places)


# -- results of varying size ------------------------------------------------------------------

ROWS = RNG.uniform(0, 1, (20, 12, 5)).astype("f")
SETS = RNG.integers(0, 5, (20, 2, 2, 4))


def _overlaps(row):
    return image.non_max_suppression_overlaps(hr.matmul(row, row, transpose_b=True) / 3,
                                              row[:, 4], 5, 0.5, 0.2)  # fmt: skip


def _decoded(decode):
    return lambda row: hr.sparse.to_dense(
        decode(hr.reshape(row * 4, [6, 2, 5]), hr.constant([6, 3]))[0][0]
    )


UNEVEN = {
    "plain": (ROWS, lambda r: image.non_max_suppression(r[:, :4], r[:, 4], 6, 0.3, 0.2)),
    "scores": (ROWS, lambda r: image.non_max_suppression_with_scores(
        r[:, :4], r[:, 4], 6, 0.3, 0.2, 0.4)),
    "overlaps": (ROWS, _overlaps),
    "greedy": (ROWS, _decoded(nn.ctc_greedy_decoder)),
    "beams": (ROWS, _decoded(lambda x, n: nn.ctc_beam_search_decoder(x, n, 8))),
    "collapsed": (SETS, lambda r: nn.collapse_repeated(r[0], [4, 3])),
    "intersection": (SETS, lambda r: hr.sparse.to_dense(hr.sets.intersection(r[0], r[1]))),
    "union of sparse": (SETS, lambda r: hr.sparse.to_dense(
        hr.sets.union(r[0], hr.sparse.from_dense(r[1])))),
    "sizes": (SETS, lambda r: hr.sets.size(hr.sparse.from_dense(r[0]))),
}  # fmt: skip


@pytest.mark.parametrize("name", UNEVEN)
def test_row_parts_equal_single_elements(name):
    rows, fn = UNEVEN[name]
    dataset = Dataset.from_tensor_slices(rows).map(lambda r: (fn(r), hr.reduce_sum(r)))
    slow = Options()
    slow.experimental_optimization.apply_default_optimizations = False
    assert "by the block" in dataset.explain()
    found = [hr.nest.flatten(list(d)) for d in (dataset, dataset.with_options(slow))]
    for (
        got,
        want,
    ) in zip(*found, strict=True):
        same(got.numpy(), want.numpy())
    eager = hr.nest.flatten([fn(hr.constant(r)) for r in rows[:3]])
    first = hr.nest.flatten([e[0] for e in list(dataset.take(3))])
    for got, want in zip(first, eager, strict=True):
        same(got.numpy(), want.numpy())


def test_a_map_over_rows_says_that_it_loops():
    def kept(row):
        return image.non_max_suppression(row[:, :4], row[:, 4], 1, 0.3)

    with pytest.warns(UserWarning, match="NonMaxSuppressionV3 has results whose sizes differ"):
        found = hr.vectorized_map(kept, ROWS)
    same(found.numpy(), np.stack([kept(hr.constant(r)).numpy() for r in ROWS]))
    with pytest.raises(hr.errors.UnimplementedError, match="NonMaxSuppressionV3"):
        hr.vectorized_map(kept, ROWS, fallback_to_while_loop=False)
