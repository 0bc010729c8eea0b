"""Loop fusion: one kernel for chains with reductions gives what the calls give one by one."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import headrace as hr
from headrace.ops import workers
from headrace.ops.graph import fused, llvm, trace
from headrace.ops.graph.execute import compile_graph


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
    "silu": (hr.nn.silu, "x"),
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
}  # fmt: skip
SHAPES = {"matrix": (70, 48), "three axes": (6, 16, 40), "one long row": (1, 5000)}


def arguments(letters, shape, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape if c == "x" else shape[-1:]).astype("f4") for c in letters]


def compare(fn, arrays, fused_wanted=True, tolerance=2e-5):
    specs = tuple(hr.TensorSpec(a.shape, a.dtype) for a in arrays)
    graph = trace(fn, specs).graph
    run, plain = compile_graph(graph), compile_graph(graph, [])
    programs = [n.attrs["program"] for n in run.graph if n.type == "_Fused"]
    assert bool(programs) is fused_wanted
    run(*arrays)
    llvm.wait()
    got, want = run(*arrays), plain(*arrays)
    assert all(any(p._kernels.values()) for p in programs)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape and g.dtype == w.dtype
        scale = max(1.0, float(np.abs(w).max()))
        np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance * scale)
    return run, got


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("name", CHAINS)
def test_chain(name, shape):
    fn, letters = CHAINS[name]
    compare(fn, arguments(letters, shape))


@pytest.mark.parametrize(
    "name", ["softmax", "log softmax", "gelu", "gelu by tanh", "silu", "layer norm"]
)
def test_gradients(name):
    fn, letters = CHAINS[name]
    compare(gradients(fn), arguments(letters, (6, 16, 40)), tolerance=2e-4)


def test_several_threads_make_the_same(monkeypatch):
    monkeypatch.setattr(fused, "_SPREAD", 1)
    monkeypatch.setattr(workers, "_wanted", 3)
    for name in CHAINS:
        fn, letters = CHAINS[name]
        for shape in SHAPES.values():
            compare(fn, arguments(letters, shape))


def test_layer_norm_is_one_kernel():
    run, _ = compare(layer_norm, arguments("xbb", (70, 48)))
    assert [n.type for n in run.graph if n.inputs] == ["_Fused"]


@pytest.mark.parametrize("name", ["gelu", "gelu by tanh", "silu"])
def test_an_activations_kernel_keeps_its_slope_only(name):
    activation, _ = CHAINS[name]

    def fn(x, w):
        with hr.GradientTape() as tape:
            y = hr.matmul(activation(hr.matmul(x, w) + 1.0), w)
            loss = hr.reduce_sum(y * y)
        return tape.gradient(loss, w)

    w = hr.Variable(np.eye(64, dtype="f4"))
    graph = trace(lambda x: fn(x, w), (hr.TensorSpec([None, 64]),)).graph
    kernels = [n for n in compile_graph(graph).graph if n.type == "_Fused"]
    made = next(n for n in kernels if "Slope" in str(n.attrs["program"]))
    assert len(made.outputs) == 2, "the activation and its slope"
    assert str(made.attrs["program"]).count(", ") == 2


def test_what_stands_between_is_not_jumped_over():
    # The sum of the sorted values cannot be in the kernel that makes them.
    def fn(x):
        y = hr.exp(x) * 2.0
        top = hr.sort(y, -1)
        return y + top, hr.reduce_sum(top + y, -1)

    compare(fn, arguments("x", (70, 48)))


def test_the_order_of_effects_stays():
    v = hr.Variable(np.zeros((70, 48), "f4"))

    def fn(x):
        a = hr.exp(x) + v
        v.assign_add(x)
        b = a + v
        v.assign(b * 2.0)
        return b, v.read_value() + a

    graph = trace(fn, (hr.TensorSpec([70, 48]),)).graph
    (x,) = arguments("x", (70, 48))
    got = compile_graph(graph)(x)
    v.assign(np.zeros((70, 48), "f4"))
    want = compile_graph(graph, [])(x)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)


def test_exact_graphs_keep_their_bits():
    def fn(x):
        return hr.exp(x * 2.0 + 1.0), hr.reduce_sum(x * 2.0, -1), hr.nn.relu(x - 1.0) * 3.0

    graph = trace(fn, (hr.TensorSpec([None, 48]),), exact=True).graph
    run, plain = compile_graph(graph), compile_graph(graph, [])
    (x,) = arguments("x", (700, 48))
    run(x)
    llvm.wait()
    for rows in (1, 40, 700):
        for g, w in zip(run(x[:rows]), plain(x[:rows]), strict=True):
            np.testing.assert_array_equal(g, w)


def test_results_do_not_depend_on_when_the_kernel_was_ready():
    graph = trace(hr.nn.gelu, (hr.TensorSpec([None, 64]),)).graph
    (x,) = arguments("x", (500, 64))
    run = compile_graph(graph)
    np.testing.assert_array_equal(run(x)[0], run(x)[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 1e-44])
def test_special_values_go_where_they_go_in_the_calls(value):
    (x,) = arguments("x", (70, 48))
    x[3, 5] = value
    for fn in (hr.nn.softmax, lambda x: hr.reduce_max(x * 1.5, -1), hr.nn.relu,
               lambda x: hr.reduce_sum(hr.abs(x) * 0.5, 0)):  # fmt: skip
        graph = trace(fn, (hr.TensorSpec([70, 48]),)).graph
        got, want = compile_graph(graph)(x)[0], compile_graph(graph, [])(x)[0]
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_results_are_written_over_what_nobody_reads_again():
    def fn(x, w):
        y = hr.matmul(x, w)
        h = hr.nn.relu(hr.nn.bias_add(y, w[0]))
        return hr.reduce_sum(h * hr.exp(-hr.nn.relu(hr.matmul(h, w) * 2.0)), 0)

    specs = (hr.TensorSpec([None, 300]), hr.TensorSpec([300, 300]))
    graph = trace(fn, specs).graph
    run, plain = compile_graph(graph), compile_graph(graph, [])
    programs = [n.attrs["program"] for n in run.graph if n.type == "_Fused"]
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(400, 300)).astype("f4"), rng.normal(size=(300, 300)).astype("f4")
    w /= 300
    kept = x.copy()
    for _ in range(3):
        run(x, w)
    llvm.wait()
    np.testing.assert_allclose(run(x, w)[0], plain(x, w)[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(x, kept)
    assert any(over for p in programs for (_, over), k in p._kernels.items() if k)


def test_a_variable_is_never_written_over():
    v = hr.Variable(np.ones((400, 300), "f4"))

    def fn(x):
        v.assign(hr.exp(x) * 2.0)
        return hr.reduce_sum(hr.tanh(v.read_value() * 0.5) + 1.0)

    graph = trace(fn, (hr.TensorSpec([400, 300]),)).graph
    run = compile_graph(graph)
    x = np.zeros((400, 300), "f4")
    for _ in range(3):
        run(x)
        np.testing.assert_allclose(v.numpy(), 2.0)


STEPS = {
    "exp": lambda v, w: hr.exp(-hr.abs(v)),
    "add": lambda v, w: v + w,
    "row": lambda v, w: v * hr.tanh(w[:1]),
    "mean": lambda v, w: v - hr.reduce_mean(v, -1, keepdims=True),
    "top": lambda v, w: v - hr.reduce_max(v, -1, keepdims=True),
    "scale": lambda v, w: v * (1.0 / (1.0 + hr.reduce_sum(hr.abs(v)))),
    "rows": lambda v, w: v + hr.expand_dims(hr.reduce_mean(v * hr.tanh(w), -1), -1),
    "columns": lambda v, w: v - hr.reduce_mean(v, 0),
    "softmax": lambda v, w: hr.nn.softmax(v),
    # Without a jump at v = w, where the last digits decide about the branch.
    "where": lambda v, w: hr.where(v > w, v, 2.0 * w - v),
    "sort": lambda v, w: hr.sort(v, -1),
    "tanh": lambda v, w: hr.tanh(v),
    "turn": lambda v, w: hr.reverse(v, [0]) + v,
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9)), min_size=2, max_size=9
    ),
    st.integers(0, 5),
    st.booleans(),
)
def test_random_programs(steps, seed, open_rows):
    def every(x, y):
        values = [x, y]
        for name, which in steps:
            other = values[which % len(values)]
            values.append(STEPS[name](values[-1], other))
        return values

    def fn(x, y):
        values = every(x, y)
        return values[-1], values[len(values) // 2], hr.reduce_sum(values[-1], 0)

    rows = None if open_rows else 60
    graph = trace(fn, (hr.TensorSpec([rows, 50]), hr.TensorSpec([rows, 50]))).graph
    run, plain = compile_graph(graph), compile_graph(graph, [])
    arrays = arguments("xx", (60, 50), seed)
    run(*arrays)
    llvm.wait()
    # Differences of large values keep the error of those.
    largest = max(float(np.abs(v).max()) for v in every(*[hr.constant(a) for a in arrays]))
    for g, w in zip(run(*arrays), plain(*arrays), strict=True):
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=1e-3, atol=1e-3 * max(1.0, largest / 10))
