"""Biases of several axes are added as rows, and what comes out is the same."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph import trace
from headrace.ops.graph.execute import compile_graph
from headrace.ops.graph.passes import optimize
from headrace.ops.graph.passes.wide_biases import wide_biases

RNG = np.random.default_rng(0)


def fn(x, b):
    with hr.GradientTape() as tape:
        tape.watch(b)
        y = x + b
        loss = hr.reduce_sum(y * y * y)
    return y, tape.gradient(loss, b)


def types(graph):
    return {n.type for n in graph}


@pytest.mark.parametrize("batch", [None, 5])
@pytest.mark.parametrize("turned", [False, True])
def test_rows(batch, turned):
    def run(x, b):
        return fn(b, x)[0] if turned else fn(x, b)

    specs = (hr.TensorSpec([batch, 6, 8, 4]), hr.TensorSpec([8, 4]))
    graph = trace(run, specs).graph
    assert "BiasAdd" in types(wide_biases(graph))
    arrays = RNG.normal(size=(5, 6, 8, 4)).astype("f4"), RNG.normal(size=(8, 4)).astype("f4")
    for g, w in zip(
        compile_graph(graph)(*arrays), compile_graph(graph, [])(*arrays), strict=True
    ):
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("x", "b"),
    [
        ([None, 8], [8]),
        ([None, None, 8, 4], [8, 4]),
        ([None, 8, 4], [8, 1]),
        ([None, 1, 4], [1, 4]),
        ([8, 4], [8, 4]),
        ([None, 1, 4], [8, 4]),
    ],
)
def test_others_stay(x, b):
    graph = trace(lambda x, b: x + b, (hr.TensorSpec(x), hr.TensorSpec(b))).graph
    assert "BiasAdd" not in types(wide_biases(graph))


def test_exact_graphs_keep_the_order_of_sums():
    specs = (hr.TensorSpec([None, 6, 8, 4]), hr.TensorSpec([8, 4]))
    graph = trace(fn, specs).graph
    graph.exact = True
    assert "BiasAddGrad" not in types(optimize(graph))


@pytest.mark.parametrize("rows", [3, 200])
def test_a_large_call_alone_is_a_kernel_and_overwrites_only_what_is_its_own(rows):
    def heads(x, w, b):
        y = hr.einsum("btc,chd->bthd", x, w)
        return y + b, hr.reshape(x, [-1, 64]) + 1.0

    specs = (hr.TensorSpec([None, 32, 64]), hr.TensorSpec([64, 4, 32]), hr.TensorSpec([4, 32]))
    graph = trace(heads, specs).graph
    run, plain = compile_graph(graph), compile_graph(graph, [])
    arrays = [
        RNG.normal(size=[rows if d is None else d for d in s.shape]).astype("f4") for s in specs
    ]
    kept = [a.copy() for a in arrays]
    assert "[BiasAdd]" in [str(n.attrs["program"]) for n in run.graph if n.type == "_Fused"]
    for _ in range(3):
        for g, w in zip(run(*arrays), plain(*arrays), strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)
    for a, k in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(a, k)


def test_long_sums_alone_are_numpys():
    x = np.full([2, 400_000], 0.1, "f4")
    fn = trace(lambda x: (hr.reduce_sum(x, -1), hr.reduce_mean(x)), (hr.TensorSpec(x.shape),))
    run = compile_graph(fn.graph)
    sums, mean = run(x)
    np.testing.assert_allclose(sums, 40_000, rtol=1e-6)
    np.testing.assert_allclose(mean, 0.1, rtol=1e-6)
    assert not any(n.type == "_Fused" for n in run.graph)
