"""Pooling, moves between space and batch or channels, patches, fused normalizations."""

import dataclasses

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of

import headrace
from headrace import errors
from headrace.ops import api as hr
from headrace.ops.graph.passes.dead_nodes import dead_nodes
from headrace.ops.graph.passes.pool_gradients import pool_gradients
from headrace.ops.graph.trace import trace
from headrace.ops.norm_ops import batch_norm_training

RNG = np.random.default_rng(4)


def distinct(*shape):
    """Values apart from each other, so that no maximum moves while differences are taken."""
    return RNG.permutation(np.arange(np.prod(shape)) / 10.0).reshape(shape)


X = distinct(2, 5, 4, 2)
LINE, CUBE = distinct(2, 6, 2), distinct(1, 3, 4, 3, 2)
FLOAT = ("float32",)
THREE = ("float32", "float64", "bfloat16")
NO_SECOND = {"peer": {"second": False}}  # TensorFlow has none


def op(name, *args, fn, tag, space="nn", kinds=FLOAT, **more):
    home = getattr(headrace, space) if space else headrace
    return Case(
        f"{name}-{tag}",
        lambda *xs: fn(getattr(home, name), *xs),
        args,
        lambda tf: lambda *xs: fn(getattr(getattr(tf, space) if space else tf, name), *xs),
        kinds=kinds,
        **more,
    )


def pools(name, x, *args, tag, **more):
    return op(name, x, fn=lambda f, x: f(x, *args), tag=tag, **more)


# TensorFlow's gradient of the gradient counts ties otherwise; second gradients of a linear
# backward pass are zero.
CASES = [
    pools("max_pool", X, 2, 2, "VALID", tag="2-valid", kinds=THREE),
    pools("max_pool", X, 3, 2, "SAME", tag="3-same"),
    pools("max_pool", X, [2, 3], 1, "SAME", tag="overlapping"),
    pools("max_pool", X, 2, 2, [[0, 0], [1, 0], [0, 1], [0, 0]], tag="explicit",
          notes=NO_SECOND),
    pools("max_pool1d", LINE, 2, 2, "SAME", tag="line"),
    pools("max_pool3d", CUBE, 2, 1, "SAME", tag="cube"),
    pools("avg_pool", X, 2, 2, "VALID", tag="2-valid", kinds=THREE),
    pools("avg_pool", X, 3, 2, "SAME", tag="3-same"),
    pools("avg_pool1d", LINE, 3, 2, "SAME", tag="line"),
    pools("avg_pool3d", CUBE, 2, 1, "SAME", tag="cube"),
    pools("pool", X, [2, 2], "MAX", [1, 1], "VALID", None, [2, 1], tag="dilated"),
    pools("pool", X, [2, 2], "AVG", [1, 1], "VALID", None, [2, 2], tag="dilated-mean"),
    op("max_pool_with_argmax", X, fn=lambda f, x: f(x, 2, 2, "VALID"), tag="2",
       notes=NO_SECOND),
    op("max_pool_with_argmax", X, tag="batch", notes=NO_SECOND, batch=False,
       fn=lambda f, x: f(x, 3, 2, "SAME", include_batch_in_index=True)),
    op("space_to_depth", X[:, :4], fn=lambda f, x: f(x, 2), tag="2"),
    op("depth_to_space", distinct(1, 2, 3, 8), fn=lambda f, x: f(x, 2), tag="2"),
    op("space_to_batch", X, fn=lambda f, x: f(x, [2, 2], [[1, 0], [2, 0]]), tag="padded"),
    op("batch_to_space", distinct(8, 2, 3, 2), space="", tag="crops",
       fn=lambda f, x: f(x, [2, 2], [[1, 0], [0, 2]])),
    op("extract_patches", X, space="image", tag="strided",
       fn=lambda f, x: f(x, [1, 3, 2, 1], [1, 2, 1, 1], [1, 1, 2, 1], "SAME")),
    op("lrn", X / 5, fn=lambda f, x: f(x, 1, 1.5, 0.4, 0.6), tag="1", notes=NO_SECOND),
    op("FusedBatchNormV3", X / 3, np.array([0.7, 1.3]), np.array([0.1, -0.2]),
       space="raw_ops", tag="training", batch=False,
       notes={"float_scale": True},
       fn=lambda f, x, s, o: f(x=x, scale=s, offset=o, mean=s[:0], variance=s[:0])[0]),
]  # fmt: skip


@each(CASES)
def test_laws(case):
    check_laws(case)


@pytest.mark.peers
@peers_of(CASES)
def test_tensorflow(tf, case, kind):
    case = dataclasses.replace(case, **case.notes.get("peer", {}))
    check_against_tensorflow(tf, case, kind)


NORM = Case(
    "batch_norm_training",
    lambda x, s, o: batch_norm_training(x, s, o, 0.01)[0],
    (X / 7, np.array([0.7, 1.3]), np.array([0.1, -0.2])),
    # Not by `moments`: its gradient stops at the mean, and second ones come out wrong.
    lambda tf: (
        lambda x, s, o: tf.raw_ops.FusedBatchNormV3(
            x=x, scale=s, offset=o, mean=s[:0], variance=s[:0], epsilon=0.01
        )[0]
    ),
)


def test_batch_norm_laws():
    check_laws(NORM)


@pytest.mark.peers
def test_batch_norm_is_tensorflows(tf):
    check_against_tensorflow(tf, NORM, "float32")


@pytest.mark.parametrize("of", [0, 1, 2])
def test_batch_norm_second_order(of):
    """The gradient's gradient is that of the formula written in plain operations."""
    rng = np.random.default_rng(of)
    arrays = [rng.normal(size=s) for s in [(3, 4, 2), (2,), (2,)]]
    probe, outer_probe = rng.normal(size=(3, 4, 2)), rng.normal(size=arrays[of].shape)

    def formula(x, s, o):
        mean = hr.reduce_mean(x, [0, 1])
        variance = hr.reduce_mean((x - mean) ** 2, [0, 1])
        return (x - mean) * hr.rsqrt(variance + 0.01) * s + o

    found = []
    for call in (formula, lambda *a: batch_norm_training(*a, 0.01)[0]):
        tensors = [hr.constant(a) for a in arrays]
        with hr.GradientTape() as outer:
            outer.watch(tensors)
            with hr.GradientTape() as inner:
                inner.watch(tensors)
                y = hr.reduce_sum(call(*tensors) * probe)
            g = hr.reduce_sum(inner.gradient(y, tensors[of]) * outer_probe)
        if hr.is_tensor(g):
            found.append(outer.gradient(g, tensors, unconnected_gradients="zero"))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_batch_norm_statistics_have_gradients():
    x = hr.constant(X / 7)
    with hr.GradientTape(persistent=True) as tape:
        tape.watch(x)
        _, mean, variance = batch_norm_training(x, hr.ones(2, hr.float64),
                                                   hr.zeros(2, hr.float64), 0.01)  # fmt: skip
        means, variances = hr.moments(x, [0, 1, 2])
    np.testing.assert_allclose(mean, means)
    np.testing.assert_allclose(variance, variances)
    np.testing.assert_allclose(tape.gradient(mean, x), tape.gradient(means, x))
    np.testing.assert_allclose(
        tape.gradient(variance, x), tape.gradient(variances, x), atol=1e-12
    )


@pytest.mark.peers
@pytest.mark.parametrize("training", [True, False])
def test_fused_batch_norm_is_tensorflows(tf, training):
    x = (X / 3).astype("f")
    vectors = [np.array(v, "f") for v in ([0.7, 1.3], [0.1, -0.2], [0.3, 0.1], [1.5, 0.8])]
    factor = 0.3 if training else 1.0

    def run(lib):
        with lib.GradientTape() as tape:
            ts = [lib.constant(a) for a in (x, *vectors)]
            tape.watch(ts)
            y, mean, variance, *_ = lib.raw_ops.FusedBatchNormV3(
                x=ts[0], scale=ts[1], offset=ts[2], mean=ts[3], variance=ts[4],
                is_training=training, exponential_avg_factor=factor,
            )  # fmt: skip
            total = lib.reduce_sum(y * y * ts[0])
        return [y, mean, variance, *tape.gradient(total, ts[:3])]

    for got, want in zip(run(headrace), run(tf), strict=True):
        np.testing.assert_allclose(got, want, rtol=3e-5, atol=3e-5)


@pytest.mark.peers
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("data_format", ["NHWC", "NCHW", "NDHWC", "NCDHW"])
def test_fused_batch_norm_to_second_order(tf, training, data_format):
    """Gradients of all results of the gradient are TensorFlow's, which knows channels last."""
    rng = np.random.default_rng(5)
    shape = (2, 3, 4, 2) if len(data_format) == 4 else (2, 3, 2, 2, 2)
    vectors = [np.array(v, "f") for v in ([0.7, 1.3], [0.1, -0.2], [0.3, 0.1], [1.5, 0.8])]
    x, probe, outer_probe = (rng.normal(size=shape).astype("f") for _ in range(3))
    sums = rng.normal(size=(2, 2)).astype("f")
    ahead, back = range(len(shape)), range(len(shape))
    if data_format[1] == "C":
        ahead, back = [0, len(shape) - 1, *ahead[1:-1]], [0, *back[2:], 1]

    def run(lib, data_format, ahead, back):
        ts = [lib.constant(a) for a in (x.transpose(ahead), *vectors, probe.transpose(ahead))]
        with lib.GradientTape() as outer:
            outer.watch(ts)
            with lib.GradientTape() as inner:
                inner.watch(ts[:3])
                y = lib.raw_ops.FusedBatchNormV3(
                    x=ts[0], scale=ts[1], offset=ts[2], mean=ts[3], variance=ts[4],
                    is_training=training, data_format=data_format,
                )[0]  # fmt: skip
            dx, dscale, doffset = inner.gradient(y, ts[:3], ts[5])
            total = lib.reduce_sum(dx * dx * outer_probe.transpose(ahead))
            total += lib.reduce_sum(dscale * sums[0]) + lib.reduce_sum(doffset * sums[1])
        by_x, by_scale, by_probe = outer.gradient(total, [ts[0], ts[1], ts[5]])
        return by_x.numpy().transpose(back), by_scale.numpy(), by_probe.numpy().transpose(back)

    ours = run(headrace, data_format, ahead, back)
    last = "NHWC" if len(shape) == 4 else "NDHWC"
    theirs = run(tf, last, range(len(shape)), range(len(shape)))
    for got, want in zip(ours, theirs, strict=True):
        assert np.abs(want).max() > 0.01
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_the_first_of_equal_elements_is_the_maximum():
    x = hr.constant(np.zeros((1, 2, 2, 1)))
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.max_pool(x, 2, 2, "VALID")
    assert tape.gradient(y, x).numpy().ravel().tolist() == [1, 0, 0, 0]


def test_integers_and_channels_first():
    x = np.arange(16, dtype="i4").reshape(1, 4, 4, 1)
    want = [5, 7, 13, 15]
    assert hr.max_pool(x, 2, 2, "VALID").numpy().ravel().tolist() == want
    nchw = x.transpose(0, 3, 1, 2)
    assert hr.max_pool2d(nchw, 2, 2, "VALID", "NCHW").numpy().ravel().tolist() == want


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hr.max_pool(X, 7, 1, "VALID"), "would be negative"),
        (lambda: hr.max_pool(X, 0, 1, "VALID"), "must be positive"),
        (lambda: hr.max_pool(X, [1, 2, 2, 2], 1, "VALID"), "not yet supported on the batch"),
        (lambda: hr.space_to_depth(X, 2), "divisible by"),
        (lambda: hr.depth_to_space(X, 2), "divisible by: 4"),
        (lambda: hr.space_to_batch(X, [2, 2], [[0, 0], [0, 0]]), "not divisible by block"),
        (lambda: hr.batch_to_space(X, [2, 2], [[0, 0], [0, 0]]), "not divisible by product"),
        (lambda: hr.lrn(X[0]), "4-dimensional"),
    ],
)
def test_errors(call, words):
    with pytest.raises(errors.InvalidArgumentError, match=words):
        call()


def gradient_of_pooled_relu(pooled=True):
    """A graph of the gradients of max_pool(relu(x + bias)) for x and bias."""

    def fn(x, bias):
        with hr.GradientTape() as tape:
            tape.watch([x, bias])
            h = hr.relu(hr.bias_add(x, bias))
            y = hr.max_pool(h, 3, 2, "SAME") if pooled else h
            loss = hr.reduce_sum(y * y)
        return tape.gradient(loss, [x, bias])

    specs = [hr.TensorSpec([2, 7, 6, 4], "float32"), hr.TensorSpec([4], "float32")]
    return fn, trace(fn, tuple(specs), name="step").graph


def test_relu_and_bias_gradients_are_taken_of_pooled_gradients():
    fn, graph = gradient_of_pooled_relu()
    made = dead_nodes(pool_gradients(graph))
    sizes = {n.type: n.inputs[0].shape.as_list() for n in made.nodes if n.inputs}
    assert sizes["ReluGrad"] == sizes["BiasAddGrad"] == [2, 4, 3, 4]
    x = RNG.normal(size=(2, 7, 6, 4)).astype("f")
    bias = RNG.normal(size=4).astype("f")
    for got, want in zip(
        made.compile()(x, bias), fn(*map(hr.constant, (x, bias))), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_graphs_without_pooling_and_exact_ones_stay():
    _, plain = gradient_of_pooled_relu(pooled=False)
    assert pool_gradients(plain) is plain
    _, graph = gradient_of_pooled_relu()
    graph.exact = True
    assert pool_gradients(graph) is graph
