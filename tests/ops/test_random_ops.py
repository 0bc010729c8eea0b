"""Random numbers: TensorFlow's own for the same seeds, streams, and one stream per element."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph import batch_graph, trace

KINDS = ("uniform", "normal", "truncated_normal")
DTYPES = ("float32", "float64", "float16", "bfloat16")


@pytest.mark.parametrize("shape", [(0,), (1,), (7, 5), (1001,)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_stateless_numbers_are_tensorflows(tf, kind, dtype, shape):
    seed = [17, 2**33 + 5]
    ours = getattr(hr.random, f"stateless_{kind}")(shape, seed, dtype=dtype)
    theirs = getattr(tf.random, f"stateless_{kind}")(shape, seed, dtype=dtype)
    assert ours.dtype.name == dtype and ours.shape.as_list() == list(shape)
    # The bits are the same; sine, cosine and logarithm may differ in the last place.
    atol = {"float16": 1e-5, "bfloat16": 1e-4}.get(dtype, 2e-6)
    rtol = {"float16": 1e-3, "bfloat16": 1e-2}.get(dtype, 1e-5)
    np.testing.assert_allclose(
        ours.numpy().astype("f8"), theirs.numpy().astype("f8"), rtol=rtol, atol=atol
    )


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers_are_tensorflows(tf, dtype):
    ours = hr.random.stateless_uniform([100], [1, 2], -50, 1000, dtype)
    theirs = tf.random.stateless_uniform([100], [1, 2], -50, 1000, dtype)
    np.testing.assert_array_equal(ours, theirs)


def test_stateful_streams_are_tensorflows_and_go_on(tf):
    for m in (hr, tf):
        m.random.set_seed(7)
    for _ in range(3):
        for draw in (
            lambda m: m.random.uniform([3], seed=3),
            lambda m: m.random.normal([4]),
            lambda m: m.random.uniform([2], 0, 9, "int32"),
        ):
            np.testing.assert_allclose(draw(hr), draw(tf), rtol=1e-5, atol=1e-6)


def test_generator_numbers_are_tensorflows(tf):
    ours, theirs = hr.random.Generator.from_seed(5), tf.random.Generator.from_seed(5)
    for _ in range(2):
        np.testing.assert_allclose(ours.normal([6]), theirs.normal([6]), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours.uniform([6]), theirs.uniform([6]), rtol=1e-6)
        np.testing.assert_array_equal(ours.state.numpy(), theirs.state.numpy())


def test_the_same_global_seed_gives_the_same_numbers():
    found = []
    for _ in range(2):
        hr.random.set_seed(3)
        found.append(
            [hr.random.normal([2]).numpy().tolist(), hr.random.uniform([2]).numpy().tolist()]
        )
    assert found[0] == found[1]


def test_a_generator_goes_on_from_its_state_and_splits():
    g = hr.random.Generator.from_seed(1)
    g.normal([3])
    later = hr.random.Generator.from_state(g.state.numpy())
    assert g.normal([5]).numpy().tolist() == later.normal([5]).numpy().tolist()
    a, b = g.split(2)
    assert a.normal([4]).numpy().tolist() != b.normal([4]).numpy().tolist()
    g.reset_from_seed(1)
    assert g.state.numpy().tolist() == [1, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_element_of_a_block_has_its_own_stream(kind):
    draw = getattr(hr.random, kind)
    graph = trace(lambda x: draw([3], seed=4) + x, (hr.TensorSpec([]),)).graph
    batched = batch_graph(graph)
    assert batched.needs_index
    run = batched.graph.compile()
    zeros = np.zeros(8, "f4")
    whole = run(zeros, np.arange(8))[0]
    parts = np.concatenate(
        [run(zeros[:3], np.arange(3))[0], run(zeros[3:], np.arange(3, 8))[0]]
    )
    np.testing.assert_array_equal(whole, parts)
    assert len({row.tobytes() for row in whole}) == 8


def test_shuffle_is_a_permutation():
    x = np.arange(100)
    shuffled = hr.random.shuffle(x, seed=1).numpy()
    assert sorted(shuffled.tolist()) == x.tolist() and shuffled.tolist() != x.tolist()


def test_truncated_normals_stay_within_two_deviations():
    x = hr.random.stateless_truncated_normal([20000], [1, 1], mean=3.0, stddev=2.0).numpy()
    assert abs(x - 3).max() < 4.0 and abs(x.mean() - 3) < 0.05


def test_bad_arguments():
    with pytest.raises(ValueError, match="maxval"):
        hr.random.uniform([2], dtype="int32")
    with pytest.raises(hr.errors.InvalidArgumentError, match="minval < maxval"):
        hr.random.uniform([2], 5, 5, "int32")
