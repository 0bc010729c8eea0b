"""Fused elementwise kernels: the compiled form has the bits of the NumPy form."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import headrace as hr
from headrace.ops.graph import fused, llvm, trace
from headrace.ops.graph.execute import compile_graph
from headrace.ops.graph.loops import Step

SPECIALS = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42, 3.4e38, -3.4e38], "f4")

CHAINS = {
    "scale bytes": (lambda x, y: hr.cast(x, "float32") / 255.0 - 0.5, "uint8", "float32"),
    "axpy": (lambda x, y: x * 2.0 + y, "float32", "float32"),
    "relu": (lambda x, y: hr.nn.relu(x + y) * 3.0, "float32", "float32"),
    "maximum and minimum": (
        lambda x, y: hr.minimum(hr.maximum(x, y), 1.0),
        "float32",
        "float32",
    ),
    "comparison and selection": (lambda x, y: hr.where(x > y, x - y, -x), "float32", "float32"),
    "mask": (lambda x, y: hr.cast(x > y, "float32") * x, "float32", "float32"),
    "integers": (lambda x, y: (x * 3 + y) - 7, "int32", "int32"),
    "small integers": (lambda x, y: hr.cast(x + y, "int32") * 2, "uint8", "uint8"),
    "doubles": (lambda x, y: hr.square(x) - y * y, "float64", "float64"),
}


def _values(dtype, shape, rng):
    kind = np.dtype(dtype).kind
    if kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    out = rng.normal(size=shape).astype(dtype)
    flat = out.reshape(-1)
    at = rng.integers(0, flat.size, min(flat.size, 64))
    flat[at] = rng.choice(SPECIALS, len(at))
    return out


LAYOUTS = {
    "full": ((64, 96), (64, 96)),
    "row": ((64, 96), (96,)),
    "column": ((64, 96), (64, 1)),
    "scalar": ((64, 96), ()),
    "vector": ((5000,), (5000,)),
    "three axes": ((4, 32, 48), (48,)),
    "both broadcast": ((64, 1), (96,)),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_kernel_and_steps_have_the_same_bits(chain, layout, request):
    fn, xt, yt = chain
    xs, ys = layout
    run = compile_graph(trace(fn, (hr.TensorSpec(xs, xt), hr.TensorSpec(ys, yt))).graph)
    rng = np.random.default_rng(len(xs))
    x, y = _values(xt, xs, rng), _values(yt, ys, rng)
    by_steps = run(x, y)[0]
    llvm.wait()
    by_kernel = run(x, y)[0]
    assert by_kernel.dtype == by_steps.dtype
    np.testing.assert_array_equal(by_kernel, by_steps)
    if by_steps.dtype.kind == "f":
        # NumPy's own maximum and minimum differ in the sign of a zero from loop to loop.
        firm = ~np.isnan(by_steps)
        if "relu" in request.node.name or "maximum" in request.node.name:
            firm &= by_steps != 0
        assert np.array_equal(np.signbit(by_kernel[firm]), np.signbit(by_steps[firm]))


def test_the_kernel_is_really_used():
    graph = trace(lambda x: x * 2.0 + 1.0, (hr.TensorSpec([None]),)).graph
    run = compile_graph(graph)
    program = next(n for n in run.graph if n.type == "_Fused").attrs["program"]
    x = np.ones(10000, "f4")
    run(x)
    llvm.wait()
    assert program._kernels["fss", False] is not None
    assert program.exact
    assert run(x)[0].tolist() == [3.0] * 10000


def test_rows_with_gaps_are_read_in_place():
    run = compile_graph(
        trace(
            lambda x: hr.cast(x, "float32") * 2.0, (hr.TensorSpec([None, 64], "uint8"),)
        ).graph
    )
    whole = np.arange(128 * 80, dtype=np.uint8).reshape(128, 80)
    run(whole[:, :64])
    llvm.wait()
    np.testing.assert_array_equal(run(whole[:, :64])[0], whole[:, :64].astype("f4") * 2)


def test_float_to_int_stays_with_numpy():
    run = compile_graph(
        trace(lambda x: hr.cast(x * 2.0, "int32") + 1, (hr.TensorSpec([None]),)).graph
    )
    assert "Cast" in [n.type for n in run.graph]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(["add", "sub", "mul", "max", "neg", "relu"]), min_size=2, max_size=12
    ),
    st.integers(0, 99),
)
def test_random_chains(steps, seed):
    apply = {
        "add": lambda v, y: v + y,
        "sub": lambda v, y: y - v,
        "mul": lambda v, y: v * 0.5,
        "max": hr.maximum,
        "neg": lambda v, y: -v,
        "relu": lambda v, y: hr.nn.relu(v),
    }

    def fn(x, y):
        for step in steps:
            x = apply[step](x, y)
        return x

    graph = trace(fn, (hr.TensorSpec([70, 50]), hr.TensorSpec([50]))).graph
    run, plain = compile_graph(graph), compile_graph(graph, [])
    rng = np.random.default_rng(seed)
    x, y = _values("float32", (70, 50), rng), _values("float32", (50,), rng)
    run(x, y)
    llvm.wait()
    np.testing.assert_array_equal(run(x, y)[0], plain(x, y)[0])


def test_results_go_where_they_are_wanted():
    f4 = hr.float32
    program = fused.Program(
        [f4, f4], [False, False], [], [],
        [Step("map", (0, 1), f4, "a * b"), Step("map", (0, 2), f4, "tanh(a) + b")], [2, 3], "2",
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(40, 3, 64)).astype("f4")
    y = np.zeros((40, 2, 64), "f4")
    assert program.launch((x[:, 1], x[:, 2]), out=(y[:, 1], y[:, 0])) is not None
    np.testing.assert_array_equal(y[:, 1], x[:, 1] * x[:, 2])
    np.testing.assert_allclose(
        y[:, 0], np.tanh(x[:, 1]) + x[:, 1] * x[:, 2], rtol=1e-5, atol=1e-6
    )
