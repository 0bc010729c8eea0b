"""Unknown sizes that are one and the same are known as such, and others are not."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph import trace
from headrace.ops.graph.execute import compile_graph
from headrace.ops.graph.passes import optimize
from headrace.ops.graph.sizes import sizes_of

RNG = np.random.default_rng(0)


def gradients(fn):
    def both(*args):
        with hr.GradientTape() as tape:
            tape.watch(args)
            y = fn(*args)
            loss = hr.reduce_sum(y * y)
        return tape.gradient(loss, args)

    return both


def count(graph, name):
    """Calls in the graph, those in kernels included."""
    return sum(
        (str(n.attrs["program"]) if n.type == "_Fused" else n.type).count(name) for n in graph
    )


ONE_BATCH = {
    "elementwise": lambda x, w: hr.exp(x) * x + hr.tanh(x),
    "residual": lambda x, w: x + hr.matmul(hr.nn.relu(x * 2.0), w),
    "einsum": lambda x, w: x + hr.einsum("bi,ij->bj", x, w) * x,
    "reductions": lambda x, w: hr.reduce_max(x, -1) * hr.reduce_sum(x, -1),
    "softmax": lambda x, w: x * hr.nn.softmax(x) + hr.nn.log_softmax(x),
    "reshaped": lambda x, w: x + hr.reshape(hr.reshape(x, [-1, 2, 4]) * 2.0, [-1, 8]),
    "reshaped back": lambda x, w: x + hr.reshape(hr.sin(x), hr.shape(x)),
    "transposed": lambda x, w: x + hr.transpose(hr.transpose(hr.exp(x)) * 2.0),
}


@pytest.mark.parametrize("name", ONE_BATCH)
def test_no_sums_over_one_batch(name):
    specs = (hr.TensorSpec([None, 8]), hr.TensorSpec([8, 8]))
    traced = trace(gradients(ONE_BATCH[name]), specs).graph
    graph = optimize(traced)
    assert count(traced, "_SumTo") and not count(graph, "_SumTo")
    for rows in (1, 5):
        arrays = [RNG.normal(size=(rows, 8)).astype("f4"), RNG.normal(size=(8, 8)).astype("f4")]
        got = compile_graph(traced)(*arrays)
        for g, w in zip(got, compile_graph(traced, [])(*arrays), strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)


TWO_BATCHES = {
    "elementwise": lambda x, y: x * y,
    "a row and a batch": lambda x, y: hr.exp(x) * 2.0 + y,
    "einsum": lambda x, y: hr.einsum("bi,bi->bi", x, y) + x,
    "joined": lambda x, y: hr.concat([x, x], 0) + y,
    "sums of all": lambda x, y: x + hr.reduce_sum(y, 0),
}


@pytest.mark.parametrize("name", TWO_BATCHES)
@pytest.mark.parametrize("rows", [(1, 4), (4, 1), (4, 4), (1, 1), (2, 4)])
def test_sums_over_two_batches_stay(name, rows):
    def fn(x, y):
        return gradients(TWO_BATCHES[name])(x, y)

    spec = hr.TensorSpec([None, 8])
    graph = trace(fn, (spec, spec)).graph
    arrays = [RNG.normal(size=(n, 8)).astype("f4") for n in rows]
    try:
        want = compile_graph(graph, [])(*arrays)
    except hr.errors.InvalidArgumentError:
        return  # such sizes do not go together
    for g, w in zip(compile_graph(graph)(*arrays), want, strict=True):
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)
    if name in ("elementwise", "a row and a batch", "joined"):
        assert count(optimize(graph), "_SumTo")


def test_sizes_hold_for_what_runs():
    def fn(x, y):
        h = hr.nn.relu(hr.matmul(x, y))
        t = hr.einsum("bi,bj->ijb", h, x)
        return h, t, hr.reshape(t, [8, -1]), hr.reduce_max(t, 0), hr.expand_dims(h, 1), h + x

    graph = trace(fn, (hr.TensorSpec([None, 8]), hr.TensorSpec([8, None]))).graph
    sizes = sizes_of(graph)
    results = compile_graph(graph, [])(np.ones((3, 8), "f4"), np.ones((8, 8), "f4"))
    values = {}
    for t, array in zip(graph.outputs, results, strict=True):
        for size, dim in zip(sizes[id(t)], array.shape, strict=True):
            assert values.setdefault(size, dim) == dim
