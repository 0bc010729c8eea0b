"""Normalized rows pass the harness; fused, forward and backward are one kernel each."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph import trace
from headrace.ops.graph.execute import compile_graph
from headrace.ops.layer_norm import normalized_rows

from .harness import Case, check_against_tensorflow, check_laws, each, peers_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 5)).astype("f4")


def peer(tf):
    def fn(x):
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        return centred * tf.math.rsqrt(
            tf.reduce_mean(centred * centred, -1, keepdims=True) + 1e-3
        )

    return fn


CASES = [
    Case("rows", lambda x: normalized_rows(x, 1e-3), (X,), peer, kinds=("float32", "float64")),
    Case("one row", lambda x: normalized_rows(x, 1e-3), (X[0, 0],), peer),
    Case("rows of one", lambda x: normalized_rows(x, 1e-3), (X[..., :1],), peer),
    Case("far from zero", lambda x: normalized_rows(x + 100.0, 1e-3), (X,), grad=False),
    Case("no rows", lambda x: normalized_rows(x, 1e-3), (X[:0],), peer, grad=False),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_matches_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


@pytest.mark.parametrize("size", [3, 64, 300])
@pytest.mark.parametrize("values", ["normal", "far from zero", "equal", "with nan and inf"])
def test_kernels_equal_array_forms(size, values):
    rng = np.random.default_rng(1)
    x, r, g = rng.normal(size=(3, 4, 200, size)).astype("f4")
    if values == "far from zero":
        x += 1000
    if values == "equal":
        x[...], r[...] = 3, 0
    if values == "with nan and inf":
        x[0, 0, 0], x[1, 1, 1], g[2, 2, 2] = np.nan, np.inf, np.inf
    scale, shift = rng.normal(size=(2, size)).astype("f4")

    def fn(x, r, g, scale, shift):
        inputs = (x, scale, shift)
        with hr.GradientTape() as tape:
            tape.watch(inputs)
            y = normalized_rows(x + r, 1e-3) * scale + shift
        return y, tape.gradient(y, inputs, g)

    arrays = (x, r, g, scale, shift)
    graph = trace(fn, tuple(hr.TensorSpec(a.shape, a.dtype) for a in arrays)).graph
    run, plain = compile_graph(graph), compile_graph(graph, [])
    kernels = [n for n in run.graph if n.type == "_Fused"]
    assert len(kernels) <= 2
    for got, want in zip(run(*arrays), plain(*arrays), strict=True):
        finite = np.isfinite(want)
        np.testing.assert_array_equal(np.isfinite(got), finite)
        bound = 2e-4 * max(1.0, float(np.abs(want[finite]).max(initial=0)))
        np.testing.assert_allclose(got[finite], want[finite], rtol=2e-4, atol=bound)


def test_a_gradient_reads_three_arrays():
    def fn(x, w):
        with hr.GradientTape() as tape:
            tape.watch(w)
            y = hr.matmul(normalized_rows(hr.matmul(x, w) + x, 1e-3) * 2.0, w)
            loss = hr.reduce_sum(y * y)
        return tape.gradient(loss, w)

    graph = trace(fn, (hr.TensorSpec([None, 64]), hr.TensorSpec([64, 64]))).graph
    first, *_, last = [n for n in compile_graph(graph).graph if n.type == "_Fused"]
    full = [t for t in first.outputs if t.shape[-1] == 64]
    assert len(full) == 2 and len(first.outputs) == 3, "the result, the rows and their factors"
    assert "_LayerNormGrad" in str(last.attrs["program"])
    assert len([t for t in last.inputs if t.shape.rank]) == 3
