"""CTC's loss, decoders and label helpers against TensorFlow, and the loss against a sum over
all alignments."""

import itertools

import numpy as np
import pytest
from harness import same

import headrace as hr

RNG = np.random.default_rng(3)
LOGITS = (RNG.normal(size=(9, 4, 6)) * 3).astype(np.float32)
LABELS = np.array([[1, 2, 2, 3], [5, 0, 0, 0], [3, 1, 4, 0], [0, 0, 0, 0]])
LENGTHS = np.array([4, 1, 3, 0])
TIMES = np.array([9, 3, 7, 5])
# Sparse labels may not be empty.
PLACES = np.array([[b, i] for b, n in enumerate([4, 1, 3, 1]) for i in range(n)])
VALUES = np.array([LABELS[b, i] or 5 for b, i in PLACES], np.int32)


def _loss(lib, labels, times=TIMES, major=True, **more):
    x = lib.constant(LOGITS if major else LOGITS.transpose(1, 0, 2))
    with lib.GradientTape() as tape:
        tape.watch(x)
        loss = lib.nn.ctc_loss(labels(lib), x, LENGTHS, times, logits_time_major=major, **more)
    return loss.numpy(), tape.gradient(loss, x).numpy()


@pytest.mark.parametrize("blank", [None, 0])
@pytest.mark.parametrize("major", [True, False])
def test_dense_loss_is_tensorflows(tf, blank, major):
    ours, theirs = (
        _loss(lib, lambda lib: lib.constant(LABELS), major=major, blank_index=blank)
        for lib in (hr, tf)
    )
    same(ours[0], theirs[0])
    same(ours[1], theirs[1])


@pytest.mark.parametrize("blank", [0, 2, -1])
def test_sparse_loss_is_tensorflows(tf, blank):
    values = np.where(VALUES == blank % 6, 4, VALUES).astype(np.int32)
    ours, theirs = (
        _loss(lib, lambda lib: lib.SparseTensor(PLACES, values, [4, 4]), blank_index=blank)
        for lib in (hr, tf)
    )
    same(ours[0], theirs[0])
    same(ours[1], theirs[1])


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"preprocess_collapse_repeated": True},
        {"ctc_merge_repeated": False},
        {"ignore_longer_outputs_than_inputs": True},
    ],
)
def test_raw_loss_is_tensorflows(tf, flags):
    times = np.array([9, 1, 2 if "ignore_longer_outputs_than_inputs" in flags else 7, 5])
    values = np.minimum(VALUES, 4).astype(np.int32)
    found = [
        lib.raw_ops.CTCLoss(
            inputs=LOGITS, labels_indices=PLACES, labels_values=values,
            sequence_length=times.astype(np.int32), **flags,
        )
        for lib in (hr, tf)
    ]  # fmt: skip
    for got, want in zip(*found, strict=True):
        same(got.numpy(), want.numpy())


def test_loss_is_the_sum_over_all_alignments():
    x = RNG.normal(size=(5, 1, 3))
    labels = np.array([[1, 1]])
    p = np.exp(x[:, 0]) / np.exp(x[:, 0]).sum(-1, keepdims=True)
    total = 0.0
    for path in itertools.product(range(3), repeat=5):
        merged = [k for k, _ in itertools.groupby(path)]
        if [k for k in merged if k] == [1, 1]:
            total += np.prod(p[np.arange(5), path])
    loss = hr.nn.ctc_loss(labels, hr.constant(x), [2], [5])
    np.testing.assert_allclose(loss.numpy(), [-np.log(total)], rtol=1e-12)


def test_gradient_equals_differences():
    x = RNG.normal(size=(4, 2, 3))

    def loss(x):
        return hr.nn.ctc_loss([[1, 2], [2, 0]], hr.constant(x), [2, 1], [4, 3])

    v = hr.constant(x)
    with hr.GradientTape() as tape:
        tape.watch(v)
        out = hr.nn.ctc_loss([[1, 2], [2, 0]], v, [2, 1], [4, 3])
        total = out[0] * 2.0 + out[1]
    got = tape.gradient(total, v).numpy()
    for index in np.ndindex(x.shape):
        ends = []
        for step in (1e-5, -1e-5):
            y = x.copy()
            y[index] += step
            ends.append(loss(y).numpy() @ [2.0, 1.0])
        assert got[index] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


def test_traced_loss_and_extreme_logits():
    @hr.function
    def step(x):
        return hr.nn.ctc_loss(LABELS, x, LENGTHS, TIMES)

    same(step(LOGITS).numpy(), hr.nn.ctc_loss(LABELS, LOGITS, LENGTHS, TIMES).numpy())
    loss = hr.nn.ctc_loss([[1]], hr.constant([[[2000.0, 0.0]], [[0.0, 2000.0]]]), [1], [2])
    assert loss.numpy().tolist() == [0]
    loss = hr.nn.ctc_loss([[1]], hr.constant([[[2000.0, 0.0]]]), [1], [1])
    assert loss.numpy().tolist() == [2000]


def test_labels_that_do_not_fit(tf):
    times = np.array([2, 3, 7, 5])
    ours, theirs = (
        _loss(lib, lambda lib: lib.constant(LABELS), times=times)[0] for lib in (hr, tf)
    )
    same(ours[1:], theirs[1:])
    assert 700 < ours[0] < 720 and 700 < theirs[0] < 720
    sparse = hr.SparseTensor(PLACES, VALUES, [4, 4])
    with pytest.raises(hr.errors.InvalidArgumentError, match="Not enough time"):
        hr.nn.ctc_loss(sparse, LOGITS, None, times, blank_index=0)
    with pytest.raises(hr.errors.InvalidArgumentError, match="length is zero in batch 3"):
        hr.nn.ctc_loss(
            hr.SparseTensor(PLACES[:-1], VALUES[:-1], [4, 4]),
            LOGITS,
            None,
            TIMES,
            blank_index=0,
        )
    with pytest.raises(ValueError, match="blank_index"):
        hr.nn.ctc_loss(sparse, LOGITS, None, TIMES)
    with pytest.raises(hr.errors.InvalidArgumentError, match="Saw a non-null label"):
        hr.raw_ops.CTCLoss(
            inputs=LOGITS, labels_indices=PLACES, labels_values=VALUES,
            sequence_length=TIMES.astype(np.int32),
        )  # fmt: skip


# -- decoders ---------------------------------------------------------------------------------


def _equal(ours, theirs):
    for part in ("indices", "values", "dense_shape"):
        same(getattr(ours, part).numpy(), getattr(theirs, part).numpy())


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("blank", [None, 0, -2])
def test_greedy_decoder_is_tensorflows(tf, merge, blank):
    times = TIMES.astype(np.int32)
    ours = hr.nn.ctc_greedy_decoder(LOGITS, times, merge, blank)
    theirs = tf.nn.ctc_greedy_decoder(LOGITS, times, merge, blank)
    _equal(ours[0][0], theirs[0][0])
    same(ours[1].numpy(), theirs[1].numpy())


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("merge", [True, False])
def test_beam_search_is_tensorflows(tf, scale, merge):
    x = (RNG.normal(size=(8, 3, 4)) * scale).astype(np.float32)
    times = np.array([8, 1, 5], np.int32)
    more = {"sequence_length": times, "beam_width": 60, "top_paths": 3}
    ours, theirs = (
        lib.raw_ops.CTCBeamSearchDecoder(inputs=x, merge_repeated=merge, **more)
        for lib in (hr, tf)
    )
    theirs = [*theirs[0], *theirs[1], *theirs[2], theirs[3]]
    for got, want in zip(ours, theirs, strict=True):
        same(got.numpy(), want.numpy(), 1e-4 if got.dtype == hr.float32 else None)


def test_beam_search_finds_the_most_probable_labels():
    x = RNG.normal(size=(5, 1, 3))
    p = np.exp(x[:, 0]) / np.exp(x[:, 0]).sum(-1, keepdims=True)
    totals = {}
    for path in itertools.product(range(3), repeat=5):
        key = tuple(k for k, _ in itertools.groupby(path) if k != 2)
        totals[key] = totals.get(key, 0) + np.prod(p[np.arange(5), path])
    best = sorted(totals, key=totals.get, reverse=True)[:4]
    rows, scores = hr.nn.ctc_beam_search_decoder(x, [5], beam_width=1000, top_paths=4)
    assert [tuple(r.values.numpy().tolist()) for r in rows] == best
    np.testing.assert_allclose(scores.numpy()[0], np.log([totals[k] for k in best]))
    with pytest.raises(hr.errors.InvalidArgumentError, match="top_paths"):
        hr.nn.ctc_beam_search_decoder(x, [5], beam_width=2, top_paths=3)


def test_label_helpers_are_tensorflows(tf):
    labels = RNG.integers(0, 4, (5, 7))
    lengths = RNG.integers(0, 8, 5)
    for name, args in (
        ("collapse_repeated", (labels, lengths)),
        ("ctc_unique_labels", (labels,)),
    ):
        ours, theirs = (getattr(lib.nn, name)(*args) for lib in (hr, tf))
        for got, want in zip(ours, theirs, strict=True):
            same(got.numpy(), want.numpy())
