"""Fused chains as CUDA: what the PTX computes is what the calls give one by one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from ptx_device import PtxDevice

import headrace as hr
from headrace.ops.cuda import device, loops, nvrtc
from headrace.ops.cuda.loop_source import loop_source, shape_for
from headrace.ops.graph import fused, trace
from headrace.ops.graph.execute import compile_graph
from headrace.ops.graph.loop_steps import for_gpus
from headrace.ops.graph.loops import Step
from headrace.ops.graph.passes.fuse_loops import fuse_loops

pytestmark = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")


def fused_calls(fn, specs, positive=False):
    """The fused chains of a function, each with arrays for it."""
    rng = np.random.default_rng(1)
    for node in compile_graph(trace(fn, tuple(specs)).graph).graph:
        if node.type == "_Fused":
            arrays = [rng.normal(size=t.shape.dims) for t in node.inputs]
            if positive:
                arrays = [np.abs(a) + 0.1 for a in arrays]
            kinds = [t.dtype.np_dtype for t in node.inputs]
            given = tuple(np.asarray(a, k) for a, k in zip(arrays, kinds, strict=True))
            yield node.attrs["program"], given


def compare(program, arrays, tolerance=1e-5, gpu=None):
    gpu = gpu or PtxDevice()
    with np.errstate(all="ignore"):
        want = program.run_calls(arrays)
    with device.use(gpu):
        got = loops.run(program, arrays)
    assert got is not None
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape and g.dtype == w.dtype
        if g.dtype.kind in "fV":
            g, w = g.astype("f8"), w.astype("f8")
            scale = max(1.0, float(np.abs(w[np.isfinite(w)]).max(initial=0)))
            np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance * scale)
        else:
            np.testing.assert_array_equal(g, w)
    return gpu


def layer_norm(x, g, b):
    mean, variance = hr.nn.moments(x, [-1], keepdims=True)
    return hr.nn.batch_normalization(x, mean, variance, b, g, 1e-3)


def gradients(fn):
    def both(*args):
        with hr.GradientTape() as tape:
            tape.watch(args)
            y = fn(*args)
            loss = hr.reduce_sum(y * y * y)
        return y, tape.gradient(loss, args)

    return both


CHAINS = {
    "softmax": (hr.nn.softmax, "x"),
    "log softmax": (hr.nn.log_softmax, "x"),
    "gelu": (hr.nn.gelu, "x"),
    "gelu by tanh": (lambda x: hr.nn.gelu(x, approximate=True), "x"),
    "bias and relu": (lambda x, b: hr.nn.relu(hr.nn.bias_add(x, b)), "xb"),
    "layer norm": (layer_norm, "xbb"),
    "sums of all kinds": (
        lambda x: (hr.reduce_sum(x * 2.0), hr.reduce_sum(x * 2.0, -1),
                   hr.reduce_sum(x * x, [0]), hr.reduce_mean(x + 1.0),
                   hr.reduce_mean(x + 1.0, -1, keepdims=True)),
        "x"),
    "extrema": (lambda x: (hr.reduce_max(x * 2.0, -1), hr.reduce_min(x - 1.0)), "x"),
    "normalised rows": (lambda x: hr.math.l2_normalize(x, -1), "x"),
    "two passes back": (lambda x: (x - hr.reduce_max(x, -1, keepdims=True)) * hr.exp(x), "x"),
    "per row": (lambda x: hr.math.log(1.0 + hr.reduce_sum(hr.square(x), -1)) * 0.5, "x"),
    "softmax back": (gradients(hr.nn.softmax), "x"),
    "layer norm back": (gradients(layer_norm), "xbb"),
    "gelu back": (gradients(hr.nn.gelu), "x"),
}  # fmt: skip
SHAPES = {"matrix": (70, 48), "three axes": (6, 16, 40), "one long row": (1, 5001),
          "short rows": (1200, 3), "wide rows": (5, 700)}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("name", CHAINS)
def test_chain(name, shape):
    fn, letters = CHAINS[name]
    specs = [hr.TensorSpec(shape if c == "x" else shape[-1:]) for c in letters]
    found = list(fused_calls(fn, specs, "log" in name or "norm" in name))
    for program, arrays in found:
        compare(program, arrays, 1e-4)
    assert found


F4, F8 = hr.float32, hr.float64


def chain(inputs, steps, outputs, reuse=None):
    """A program of steps alone."""
    return fused.Program(
        [hr.as_dtype(t) for t in inputs], [False] * len(inputs), [], [],
        [Step(*s) for s in steps], outputs, "test", reuse=reuse, least=1,
    )  # fmt: skip


def run_on(program, arrays, gpu=None):
    gpu = gpu or PtxDevice()
    with device.use(gpu):
        return loops.run(program, arrays)


@pytest.mark.parametrize("name", ["float64", "float16", "bfloat16", "int8", "uint8", "int16",
                                  "uint16", "int32", "uint32", "int64", "uint64"])  # fmt: skip
def test_dtypes(name):
    dtype = hr.as_dtype(name)
    rng = np.random.default_rng(0)
    if dtype.is_floating:
        x, y = (rng.normal(size=(40, 52)).astype(dtype.np_dtype) for _ in "xy")
    else:
        x, y = (
            rng.integers(dtype.min, dtype.max, (40, 52), dtype.np_dtype, True) for _ in "xy"
        )
    program = chain([name, name], [
        ("map", (0, 1), dtype, "a * b + 3"), ("map", (2, 0), dtype, "max(-a, b)"),
        ("map", (3, 1), hr.bool, "a < b"), ("map", (4, 3, 0), dtype, "where(a, b, c)"),
        ("cast", (5,), F4), ("cast", (4,), F8), ("reduce", (5,), dtype, "max", "last", False),
    ], [3, 4, 6, 7, 8])  # fmt: skip
    first = (x * y + x.dtype.type(3)).astype(x.dtype)
    if dtype.size == 2 and dtype.is_floating:  # computed with as float32
        first = x.astype("f4") * y.astype("f4") + np.float32(3)
    second = np.maximum(-first, x.astype(first.dtype))
    third = second < y.astype(first.dtype)
    fourth = np.where(third, second, x.astype(first.dtype))
    close = dict(rtol=2e-2, atol=2e-2) if dtype.size == 2 else dict(rtol=1e-6)
    got = run_on(program, (x, y))
    assert [g.dtype for g in got] == [x.dtype, np.bool_, np.float32, np.float64, x.dtype]
    for g, w in zip(got, (second, third, fourth, third, fourth.max(-1)), strict=True):
        if dtype.is_floating:
            np.testing.assert_allclose(g.astype("f8"), w.astype("f8"), **close)
        else:
            np.testing.assert_array_equal(g, w.astype(g.dtype))


@pytest.mark.parametrize("cols", [1, 2, 31, 32, 33, 128, 513, 2048, 4100, 20000])
def test_rows_of_all_lengths(cols):
    # Teams of part of a warp, of a warp, of a block; rows held in registers or read again.
    rng = np.random.default_rng(cols)
    x = rng.normal(size=(9, cols)).astype("f4")
    program = chain(["float32"], [
        ("reduce", (0,), F4, "max", "last", True), ("map", (0, 1), F4, "exp(a - b)"),
        ("reduce", (2,), F4, "sum", "last", True), ("map", (2, 3), F4, "a / b"),
        ("reduce", (4,), F4, "sum", "lead", False), ("reduce", (4,), F4, "max", "all", False),
    ], [4, 5, 6])  # fmt: skip
    power = np.exp(x - x.max(-1, keepdims=True))
    want = power / power.sum(-1, keepdims=True)
    soft, columns, top = run_on(program, (x,))
    np.testing.assert_allclose(soft, want, rtol=1e-5)
    np.testing.assert_allclose(columns, want.sum(0), rtol=1e-5)
    np.testing.assert_allclose(top, want.max(), rtol=1e-5)


def test_special_values_go_where_they_go_in_the_calls():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-44, 3e38] * 9, "f4").reshape(7, 9)
    program = chain(["float32"], [
        ("map", (0,), F4, "max(a, 1)"), ("map", (0,), F4, "where(a > 0, a, expm1(a))"),
        ("reduce", (0,), F4, "max", "last", False), ("reduce", (0,), F4, "min", "all", False),
        ("map", (0,), hr.bool, "isfinite(a)"), ("map", (0,), hr.bool, "isinf(a)"),
        ("map", (0,), F4, "tanh(a) + erf(a) + sqrt(abs(a)) + log1p(max(a, 0))"),
    ], [1, 2, 3, 4, 5, 6, 7])  # fmt: skip
    got = run_on(program, (x,))
    with np.errstate(all="ignore"):
        want = [np.maximum(x, 1), np.where(x > 0, x, np.expm1(x)), x.max(-1), x.min(),
                np.isfinite(x), np.isinf(x),
                np.tanh(x) + np.vectorize(math.erf)(x) + np.sqrt(np.abs(x))
                + np.log1p(np.maximum(x, 0))]  # fmt: skip
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(np.asarray(g, "f8"), np.asarray(w, "f8"), rtol=1e-5)


def test_results_are_written_over_inputs():
    program = chain(["float32"] * 4, [
        ("map", (1, 2, 3), F4, "a + (b - a) * c"), ("map", (0, 4), F4, "a - b"),
    ], [4, 5], reuse={0: 1, 1: 0})  # fmt: skip
    var, m, grad = (np.random.default_rng(i).normal(size=1003).astype("f4") for i in range(3))
    share = np.array(0.1, "f4")
    new = m + (grad - m) * share
    want = var - new
    got = run_on(program, (var, m, grad, share))
    assert got[0] is m and got[1] is var
    np.testing.assert_allclose(m, new, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(var, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_packs_are_as_wide_as_arrays_allow(offset):
    room = np.random.default_rng(0).normal(size=4100).astype("f4")
    start = (-room.__array_interface__["data"][0] // 4 + offset) % 4  # from 16 bytes
    x = room[start : start + 4001]
    program = chain(["float32"], [("map", (0,), F4, "a * 2 + 1")], [1])
    np.testing.assert_array_equal(run_on(program, (x,))[0], x * 2 + 1)
    (kernel,) = loops.kernels(program)
    assert f"Pack<float, {[4, 1, 2][offset]}>" in kernel.source


def test_places_beyond_32_bits():
    # Such arrays do not fit here: the kernel for them runs on a small one.
    program = chain(["float32", "float32"], [("map", (0, 1), F4, "a * b"),
                    ("reduce", (2,), F4, "sum", "lead", False)], [2, 3])  # fmt: skip
    plan = program.plan([(12, 8), (8,)], 1)
    shape = shape_for(plan.nest, 2, 8, 1 << 31, 4)
    assert shape.wide
    source = loop_source("k", program.inputs, program.steps, [2, 3], plan.nest, {}, shape)
    x, y = np.arange(96, dtype="f4").reshape(12, 8), np.arange(8, dtype="f4")
    out, parts = np.empty((12, 8), "f4"), np.empty((256 // shape.team, 8), "f4")
    PtxDevice().launch(device.Kernel(source, "k"), 1, 256,
                       [x, y, out, parts, *(np.int64(n) for n in (12, 8, 96))])  # fmt: skip
    np.testing.assert_array_equal(out, x * y)
    np.testing.assert_allclose(parts.sum(0), (x * y).sum(0))


def test_what_no_kernel_knows_stays_with_the_calls():
    program = chain(["complex64"], [("map", (0,), hr.complex64, "a * a")], [1])
    assert run_on(program, (np.ones((4, 4), "c8"),)) is None


STEPS = {
    "exp": lambda v, w: hr.exp(-hr.abs(v)),
    "add": lambda v, w: v + w,
    "row": lambda v, w: v * w[:1],
    "mean": lambda v, w: v - hr.reduce_mean(v, -1, keepdims=True),
    "top": lambda v, w: v - hr.reduce_max(v, -1, keepdims=True),
    "scale": lambda v, w: v * (1.0 / (1.0 + hr.reduce_sum(hr.abs(v)))),
    "rows": lambda v, w: v + hr.expand_dims(hr.reduce_mean(v * w, -1), -1),
    "columns": lambda v, w: v - hr.reduce_mean(v, 0),
    "softmax": lambda v, w: hr.nn.softmax(v),
    "where": lambda v, w: hr.where(v > w, v, 0.5 * w),
    "tanh": lambda v, w: hr.tanh(v),
}


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9)), min_size=2, max_size=9
    ),
    st.sampled_from([(60, 50), (40, 64), (1030, 2)]),
)
def test_random_programs(steps, shape):
    def fn(x, y):
        values = [x, y]
        for name, which in steps:
            values.append(STEPS[name](values[-1], values[which % len(values)]))
        return values[-1], values[len(values) // 2], hr.reduce_sum(values[-1], 0)

    for program, given_arrays in fused_calls(fn, [hr.TensorSpec(shape)] * 2):
        compare(program, given_arrays, 1e-3)
        for kernel in loops.kernels(program):
            nvrtc.compile_source(kernel.source, "sm_75")


MIXED = {
    "bias, gelu": lambda x, b: hr.nn.gelu(hr.nn.bias_add(x, b)),
    "softmax": lambda x, b: hr.nn.softmax(x + b),
    "relu of a sum": lambda x, b: hr.nn.relu(x * 2.0 + b),
    "casts": lambda x, b: hr.cast(hr.cast(x, "float32") * 3.0 + 1.0, b.dtype) + b,
    "sums": lambda x, b: (hr.reduce_sum(x * b, 0), hr.reduce_mean(x * b, -1)),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", MIXED)
def test_chains_of_16_bit_floats_are_kernels_of_gpus(name, dtype):
    specs = (hr.TensorSpec([64, 48], dtype), hr.TensorSpec([48], dtype))
    graph = trace(MIXED[name], specs).graph
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s.shape.dims).astype(s.dtype.np_dtype) for s in specs]
    with for_gpus():
        made = fuse_loops(graph)
    nodes = [n for n in made if n.type == "_Fused"]
    assert nodes
    # Where such a graph runs on a CPU after all, it runs call by call.
    want = compile_graph(graph, [])(*arrays)
    for g, w in zip(compile_graph(made, [])(*arrays), want, strict=True):
        np.testing.assert_array_equal(g, w)
    for node in nodes:
        given = tuple(
            np.asarray(rng.normal(size=t.shape.dims), t.dtype.np_dtype) for t in node.inputs
        )
        compare(node.attrs["program"], given, 3e-2)


def test_float64_has_its_exponentials_on_gpus():
    graph = trace(hr.nn.softmax, (hr.TensorSpec([64, 48], "float64"),)).graph
    with for_gpus():
        (program,) = (n.attrs["program"] for n in fuse_loops(graph) if n.type == "_Fused")
    x = np.random.default_rng(0).normal(size=(64, 48))
    (got,) = run_on(program, (x,))
    np.testing.assert_allclose(got, np.exp(x) / np.exp(x).sum(-1, keepdims=True), rtol=1e-12)
