"""The rest of hr.nn against TensorFlow: morphology, sampling, moments, sparse lookups..."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of, same

import headrace as hr

RNG = np.random.default_rng(11)
IMAGE = RNG.permutation(2 * 5 * 6 * 2).reshape(2, 5, 6, 2) / 10.0
FILTER = RNG.permutation(3 * 2 * 2).reshape(3, 2, 2) / 7.0
ROWS = RNG.normal(size=(5, 3))
IDS = np.array([0, 2, 2, 4, 1], np.int32)
SEGMENTS = np.array([0, 0, 1, 3, 3], np.int32)
NUMBERS = RNG.normal(size=(3, 7))


def nn(name, *args, fn=None, tag="", where="nn", **more):
    call = fn or (lambda f, *xs: f(*xs))
    return Case(
        f"{name}{tag}",
        lambda *xs: call(getattr(getattr(hr, where), name), *xs),
        args,
        lambda tf: lambda *xs: call(getattr(getattr(tf, where), name), *xs),
        **more,
    )


def _window(padding, strides=(1, 1, 1, 1), rates=(1, 1, 1, 1)):
    more = {"data_format": "NHWC", "strides": strides, "dilations": rates, "padding": padding}
    return lambda f, x, k: f(x, k, **more)


# TensorFlow has no second derivatives of these.
ONCE = {"second": False, "notes": {"second_law": True}}
SECTION = {"batch": False, "notes": {"dynamic_shape": True}}

CASES = [
    nn("dilation2d", IMAGE, FILTER, fn=_window("VALID"), **ONCE),
    nn("dilation2d", IMAGE, FILTER, fn=_window("SAME", (1, 2, 1, 1)), tag="-same", **ONCE),
    nn("erosion2d", IMAGE, FILTER, fn=_window("SAME", rates=(1, 1, 2, 1)), **ONCE),
    nn("normalize_moments", ROWS[0], ROWS[1], fn=lambda f, m, v: f(m * 0 + 4.0, m, v, 0.5)),
    nn(
        "weighted_moments",
        NUMBERS,
        np.abs(NUMBERS),
        fn=lambda f, x, w: f(x, [1], w),
        kinds=("float32", "float64", "float16"),
    ),
    nn("weighted_moments", NUMBERS, fn=lambda f, x: f(x, [0], 2.0, keepdims=True), tag="-keep"),
    nn("sufficient_statistics", NUMBERS, fn=lambda f, x: f(x, [1], keepdims=True)[:3]),
    nn(
        "sufficient_statistics", NUMBERS, fn=lambda f, x: f(x, [0], shift=0.5)[:3], tag="-shift"
    ),
    nn(
        "batch_norm_with_global_normalization",
        IMAGE,
        fn=lambda f, x: f(x, x[0, 0, 0], x[0, 0, 1] + 1.0, x[0, 0, 2], x[0, 0, 3], 1e-3, True),
    ),
    nn("isotonic_regression", NUMBERS, **ONCE),
    nn("isotonic_regression", NUMBERS, fn=lambda f, x: f(x, False, 0), tag="-rising", **ONCE),
    nn("approx_max_k", NUMBERS, fn=lambda f, x: f(x, 3), second=False),
    *[
        nn(
            name,
            ROWS,
            IDS,
            SEGMENTS,
            where="sparse",
            fn=lambda f, x, i, s: f(x, i, s),
            kinds=("float32", "float64"),
            **SECTION,
        )
        for name in ("segment_sum", "segment_mean", "segment_sqrt_n")
    ],
    *[
        nn(
            name,
            ROWS,
            IDS,
            SEGMENTS,
            where="sparse",
            tag="-num",
            fn=lambda f, x, i, s: f(x, i, s, num_segments=6),
            batch=False,
        )
        for name in ("segment_sum", "segment_mean", "segment_sqrt_n")
    ],
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_against_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_with_space_to_batch_is_tensorflows(tf, padding):
    outs = []
    for lib in (tf, hr):
        window = lib.constant(np.arange(12.0).reshape(3, 2, 2, 1), lib.float32)

        def op(x, space, pad, lib=lib, window=window):
            return lib.nn.conv2d(x, window, 1, pad)

        image = lib.constant(IMAGE, lib.float32)
        found = lib.nn.with_space_to_batch(image, [2, 3], padding, op, filter_shape=[3, 2])
        outs.append(found.numpy())
    same(outs[1], outs[0])
    with pytest.raises(ValueError, match="dilation_rate"):
        hr.nn.with_space_to_batch(image, [0, 1], padding, op)


# -- fractional pooling -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fractional_max_pool", "fractional_avg_pool"])
@pytest.mark.parametrize("pseudo", [False, True])
@pytest.mark.parametrize("overlapping", [False, True])
def test_fractional_pools_are_tensorflows(tf, name, pseudo, overlapping):
    x = RNG.normal(size=(2, 11, 9, 3)).astype(np.float32)
    ratio = [1, 1.44, 2.3, 1]
    outs, grads = [], []
    for lib in (tf, hr):
        value = lib.constant(x)
        with lib.GradientTape() as tape:
            tape.watch(value)
            found = getattr(lib.nn, name)(value, ratio, pseudo, overlapping, seed=5)
            total = lib.reduce_sum(found[0] * found[0])
        outs.append([f.numpy() for f in found])
        grads.append(tape.gradient(total, value).numpy())
    for got, want in zip(*reversed(outs), strict=True):
        same(got, want)
    same(grads[1], grads[0], 1e-4)


def test_fractional_pool_draws_anew_and_keeps_its_sizes():
    x = hr.random.uniform([1, 40, 40, 1])
    cuts = {tuple(hr.nn.fractional_max_pool(x, 1.5)[1].numpy().tolist()) for _ in range(5)}
    assert len(cuts) > 1
    for cut in cuts:
        steps = np.diff(cut)
        assert cut[0] == 0 and cut[-1] == 40 and set(steps) == {1, 2}
    with pytest.raises(ValueError, match="pooling_ratio"):
        hr.nn.fractional_max_pool(x, 0.5)


# -- sampling ---------------------------------------------------------------------------------

TRUE = np.array([[0, 3], [5, 1]], np.int64)
SAMPLERS = {
    "uniform": lambda lib, **a: lib.random.uniform_candidate_sampler(
        TRUE, 2, range_max=8, **a
    ),
    "log_uniform": lambda lib, **a: lib.random.log_uniform_candidate_sampler(
        TRUE, 2, range_max=8, **a
    ),
    "learned": lambda lib, **a: lib.nn.learned_unigram_candidate_sampler(
        TRUE, 2, range_max=8, **a
    ),
    "fixed": lambda lib, **a: lib.nn.fixed_unigram_candidate_sampler(
        TRUE, 2, range_max=8, distortion=0.7, unigrams=[1, 2, 3, 4, 5, 6, 7.0],
        num_reserved_ids=1, **a
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLERS)
def test_expected_counts_with_replacement_are_tensorflows(tf, name):
    theirs = SAMPLERS[name](tf, num_sampled=5, unique=False, seed=3)
    ours = SAMPLERS[name](hr, num_sampled=5, unique=False, seed=3)
    same(ours[1].numpy(), theirs[1].numpy())
    assert ours[0].dtype == hr.int64 and ours[0].shape == [5] and ours[2].shape == [5]


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_follow_their_distribution(name):
    hr.random.set_seed(1)
    n = 4000
    ids, _, counts = (
        v.numpy() for v in SAMPLERS[name](hr, num_sampled=n, unique=False, seed=9)
    )
    found = np.bincount(ids, minlength=8)
    for k in np.unique(ids):
        want = counts[ids == k][0]
        assert abs(found[k] - want) < 5 * np.sqrt(want) + 1, (k, found[k], want)


@pytest.mark.parametrize("name", SAMPLERS)
def test_unique_samples(name):
    if name == "fixed":
        return  # one class has no weight
    ids, true, counts = (v.numpy() for v in SAMPLERS[name](hr, num_sampled=8, unique=True))
    assert sorted(ids) == list(range(8))
    assert (true > 0).all() and (true <= 1).all() and (counts <= 1).all()
    with pytest.raises(hr.errors.InvalidArgumentError, match="range is too small"):
        SAMPLERS[name](hr, num_sampled=9, unique=True)


def test_accidental_hits_are_tensorflows(tf):
    sampled = np.array([3, 1, 7, 0, 3], np.int64)
    ours = hr.nn.compute_accidental_hits(TRUE, sampled, 2)
    theirs = tf.nn.compute_accidental_hits(TRUE, sampled, 2)
    for got, want in zip(ours, theirs, strict=True):
        same(got.numpy(), want.numpy())


@pytest.mark.parametrize("name", ["nce_loss", "sampled_softmax_loss"])
@pytest.mark.parametrize("remove", [False, True])
def test_sampled_losses_are_tensorflows(tf, name, remove):
    weights = RNG.normal(size=(8, 4)).astype(np.float32)
    biases = RNG.normal(size=8).astype(np.float32)
    inputs = RNG.normal(size=(2, 4)).astype(np.float32)
    drawn = (
        np.array([3, 1, 7], np.int64),
        RNG.uniform(0.1, 1, (2, 2)).astype(np.float32),
        RNG.uniform(0.1, 1, 3).astype(np.float32),
    )
    results = []
    for lib in (tf, hr):
        args = [lib.constant(v) for v in (weights, biases, inputs)]
        with lib.GradientTape() as tape:
            tape.watch(args)
            loss = getattr(lib.nn, name)(
                args[0], args[1], lib.constant(TRUE), args[2], 3, 8, 2,
                sampled_values=tuple(lib.constant(d) for d in drawn),
                remove_accidental_hits=remove,
            )  # fmt: skip
        grads = [lib.convert_to_tensor(g).numpy() for g in tape.gradient(loss, args)]
        results.append([loss.numpy(), *grads])
    for got, want in zip(*reversed(results), strict=True):
        same(got, want, 1e-5)


# -- sparse lookups ---------------------------------------------------------------------------


@pytest.mark.parametrize("combiner", [None, "sum", "mean", "sqrtn"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_embedding_lookup_sparse_is_tensorflows(tf, combiner, weighted, max_norm):
    table = RNG.normal(size=(6, 3)).astype(np.float32)
    places = [[0, 0], [0, 2], [1, 1], [2, 0], [2, 1]]
    results = []
    for lib in (tf, hr):
        params = lib.constant(table)
        ids = lib.SparseTensor(places, np.array([1, 4, 4, 0, 5], np.int64), [3, 4])
        weights = lib.SparseTensor(places, np.array([0.5, 2, 1, 3, 1], np.float32), [3, 4])
        with lib.GradientTape() as tape:
            tape.watch(params)
            out = lib.nn.embedding_lookup_sparse(
                params, ids, weights if weighted else None, combiner, max_norm
            )
        grad = lib.convert_to_tensor(tape.gradient(out, params))
        results.append((out.numpy(), grad.numpy()))
    for got, want in zip(*reversed(results), strict=True):
        same(got, want, 1e-5)


@pytest.mark.parametrize("default", [None, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_safe_embedding_lookup_sparse_is_tensorflows(tf, default, weighted):
    table = RNG.normal(size=(6, 3)).astype(np.float32)
    places = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 1, 1]]
    outs = []
    for lib in (tf, hr):
        ids = lib.SparseTensor(places, np.array([1, -1, -3, 5], np.int64), [2, 2, 2])
        weights = lib.SparseTensor(places, np.array([0.5, 2, 1, 3], np.float32), [2, 2, 2])
        found = lib.nn.safe_embedding_lookup_sparse(
            lib.constant(table), ids, weights if weighted else None, default_id=default
        )
        outs.append(found.numpy())
    same(outs[1], outs[0])


def test_ragged_ids():
    ids = hr.ragged.constant([[1, 2], [3]])
    out = hr.nn.embedding_lookup_sparse(hr.constant(np.eye(4, dtype=np.float32)), ids, None)
    assert out.numpy().tolist() == [[0, 0.5, 0.5, 0], [0, 0, 0, 1]]
    with pytest.raises(TypeError, match="sp_ids must be"):
        hr.nn.embedding_lookup_sparse(hr.ones([2, 2]), [[1]], None)


def test_segment_errors():
    with pytest.raises(hr.errors.InvalidArgumentError, match="not increasing"):
        hr.sparse.segment_sum([[1.0], [2.0]], [0, 1], [1, 0])
    with pytest.raises(hr.errors.InvalidArgumentError, match="same size"):
        hr.sparse.segment_sum([[1.0], [2.0]], [0, 1], [1])
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"\[0, 2\)"):
        hr.sparse.segment_mean([[1.0], [2.0]], [0, 2], [0, 0])


# -- losses over replicas, dropout ------------------------------------------------------------


def test_average_and_regularization_losses(tf):
    loss = [1.0, 2.0, 5.0]
    for extra in ({}, {"sample_weight": [1.0, 0.5, 2.0]}, {"global_batch_size": 8}):
        ours = hr.nn.compute_average_loss(hr.constant(loss), **extra)
        theirs = tf.nn.compute_average_loss(tf.constant(loss), **extra)
        same(ours.numpy(), theirs.numpy())
    assert hr.nn.scale_regularization_loss([1.0, 2.0]).numpy() == 3
    with hr.distribute.OneDeviceStrategy("/cpu:0").scope(), pytest.raises(RuntimeError):
        hr.nn.compute_average_loss(loss)


def test_experimental_dropout_is_tensorflows(tf):
    ours = hr.nn.experimental.stateless_dropout(hr.ones([4, 5]), 0.4, seed=[1, 2])
    theirs = tf.nn.experimental.stateless_dropout(tf.ones([4, 5]), 0.4, seed=[1, 2])
    same(ours.numpy(), theirs.numpy())
    half = hr.nn.experimental.general_dropout(
        hr.ones([4]), 0.5, lambda shape, dtype: hr.constant([0.2, 0.5, 0.7, 0.4], dtype)
    )
    assert half.numpy().tolist() == [0, 2, 2, 0]
