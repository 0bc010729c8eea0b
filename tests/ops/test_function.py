"""hr.function: one trace per signature, the result of the Python function, graph passes."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph import Graph, batch_graph, trace
from headrace.ops.graph.execute import compile_graph


def test_a_signature_is_traced_once():
    calls = []

    @hr.function
    def f(x, flag):
        calls.append(flag)
        return x + 1 if flag else x - 1

    x = hr.constant([1.0, 2.0])
    assert f(x, True).numpy().tolist() == [2.0, 3.0]
    assert f(x, True).numpy().tolist() == [2.0, 3.0]
    assert f(x, False).numpy().tolist() == [0.0, 1.0]
    assert calls == [True, False]
    f(hr.constant([1.0]), True)
    assert calls == [True, False, True]


def test_input_signature_serves_every_size():
    calls = []

    @hr.function(input_signature=[hr.TensorSpec([None, 2])])
    def f(x):
        calls.append(x.shape.as_list())
        return hr.reduce_sum(x)

    assert [float(f(np.ones((n, 2), np.float32))) for n in (1, 3)] == [2.0, 6.0]
    assert calls == [[None, 2]]
    with pytest.raises(TypeError, match="does not fit"):
        f(hr.zeros([2, 3]))


def test_structures_and_keywords_come_back_as_they_are():
    @hr.function
    def f(d, *, scale):
        return {"y": d["a"] * scale, "z": (d["b"], None)}

    out = f({"a": hr.constant(2.0), "b": hr.constant(1)}, scale=3.0)
    assert float(out["y"]) == 6.0 and int(out["z"][0]) == 1 and out["z"][1] is None


def test_variables_are_read_when_the_graph_runs():
    v = hr.Variable(1.0)
    f = hr.function(lambda x: x * v)
    assert float(f(hr.constant(2.0))) == 2.0
    v.assign(5.0)
    assert float(f(hr.constant(2.0))) == 10.0


def test_assignments_run_in_order_every_call():
    v = hr.Variable(0.0)

    @hr.function
    def f():
        v.assign_add(1.0)
        first = v.read_value()
        v.assign(v * 10.0)
        return first, v.read_value()

    assert [float(t) for t in f()] == [1.0, 10.0]
    assert [float(t) for t in f()] == [11.0, 110.0]


def test_gradients_flow_through_a_function_to_second_order():
    f = hr.function(lambda x: x * x * x)
    x = hr.constant(2.0)
    with hr.GradientTape() as outer:
        outer.watch(x)
        with hr.GradientTape() as inner:
            inner.watch(x)
            y = f(x)
        dy = inner.gradient(y, x)
    assert float(dy) == 12.0 and float(outer.gradient(dy, x)) == 12.0


def test_a_function_that_needs_values_runs_eagerly_after_one_warning():
    @hr.function
    def f(x):
        return x + 1.0 if x.numpy() > 0 else x - 1.0

    with pytest.warns(UserWarning, match=r"runs eagerly.*\.numpy\(\).*test_function.py:\d"):
        assert float(f(hr.constant(1.0))) == 2.0
    assert float(f(hr.constant(-1.0))) == -2.0


def test_a_symbolic_tensor_kept_outside_says_what_to_do():
    kept = []
    hr.function(lambda x: kept.append(x) or x)(hr.constant(1.0))
    with pytest.raises(TypeError, match="Return it from that function"):
        kept[0] + 1.0


def test_methods_are_traced_per_instance():
    class Model:
        def __init__(self, w):
            self.w = hr.Variable(w)

        @hr.function
        def call(self, x):
            return x * self.w

    a, b = Model(2.0), Model(3.0)
    x = hr.constant(1.0)
    assert [float(a.call(x)), float(b.call(x)), float(a.call(x))] == [2.0, 3.0, 2.0]


def _graph(fn, *specs) -> Graph:
    return trace(fn, specs).graph


def test_passes_drop_dead_and_repeated_nodes():
    graph = _graph(lambda x: (hr.exp(x), x * x + x * x)[1], hr.TensorSpec([None]))
    run = compile_graph(graph)
    assert [n.type for n in run.graph].count("Exp") == 0
    assert "Mul" in graph.pretty() and graph.pretty().count("Mul(") == 2
    program = next(n for n in run.graph if n.type == "_Fused").attrs["program"]
    assert program.name == "Mul, AddV2"


def test_random_nodes_are_neither_merged_nor_dropped_from_outputs():
    hr.random.set_seed(1)
    f = hr.function(lambda: (hr.random.uniform([4]), hr.random.uniform([4])))
    a, b = f()
    assert not np.array_equal(a.numpy(), b.numpy())
    assert not np.array_equal(f()[0].numpy(), a.numpy())


def test_optimised_equals_unoptimised():
    def fn(x, y):
        h = hr.nn.relu(hr.matmul(x, y) + 1.0)
        return hr.reduce_mean(h * h - h / 2.0, axis=0), hr.cast(h > 1.0, "int32")

    graph = _graph(fn, hr.TensorSpec([None, 5]), hr.TensorSpec([5, 7]))
    rng = np.random.default_rng(0)
    args = rng.normal(size=(11, 5)).astype("f4"), rng.normal(size=(5, 7)).astype("f4")
    for fast, plain in zip(
        compile_graph(graph)(*args), compile_graph(graph, [])(*args), strict=True
    ):
        np.testing.assert_array_equal(fast, plain)


def test_batched_graph_equals_a_loop():
    def fn(x, y):
        return hr.reshape(x, [2, 2]) + y, hr.reduce_sum(x) * y[0], hr.constant(3)

    graph = _graph(fn, hr.TensorSpec([4]), hr.TensorSpec([2]))
    batched = batch_graph(graph)
    assert batched.out_batched == [True, True, False]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4)).astype("f4"), rng.normal(size=(6, 2)).astype("f4")
    block = batched.graph.compile()(x, y)
    for i in range(6):
        for got, want in zip(block[:2], graph.compile()(x[i], y[i])[:2], strict=True):
            np.testing.assert_allclose(got[i], want, rtol=1e-6)


def test_an_error_in_a_compiled_graph_names_the_node():
    f = hr.function(lambda x, i: hr.gather(x, i))
    with pytest.raises(hr.errors.InvalidArgumentError, match="indices"):
        f(hr.constant([1.0, 2.0]), hr.constant([5]))


def test_reduce_retracing_opens_the_sizes_that_differ():
    shapes = []

    @hr.function(reduce_retracing=True)
    def f(x, scale):
        shapes.append(x.shape.as_list())
        return hr.reduce_sum(x) * scale

    for n in (4, 3, 2, 7):
        assert float(f(hr.ones([n, 2]), 2.0)) == n * 4.0
    assert shapes == [[4, 2], [None, 2]] and f.experimental_get_tracing_count() == 2
    f(hr.ones([5, 3]), 2.0)
    f(hr.ones([6, 9]), 2.0)
    assert shapes[2:] == [[None, None]]
    f(hr.ones([5, 3]), 3.0)
    assert len(shapes) == 4


def test_reduce_retracing_traces_as_often_as_tensorflow(tf):
    counts = []
    for lib in (hr, tf):
        f = lib.function(lambda x: x * 2.0, reduce_retracing=True)
        for n in (3, 4, 5, 3):
            f(lib.ones([n, 2]))
        counts.append(f.experimental_get_tracing_count())
    assert counts[0] == counts[1]


def test_gradients_of_variables_flow_through_a_function():
    v = hr.Variable(2.0)
    f = hr.function(lambda x: v * v * x)
    with hr.GradientTape() as tape:
        y = f(hr.constant(3.0))
    assert float(tape.gradient(y, v)) == 12.0


def test_one_trace_serves_every_leading_size():
    shapes = []

    @hr.function
    def f(x, y):
        shapes.append((x.shape.as_list(), y.shape.as_list()))
        return hr.reduce_sum(x, 1) + y

    for n in (8, 3, 5, 8, 1):
        assert f(hr.ones([n, 4]), hr.ones([n])).numpy().tolist() == [5.0] * n
    assert shapes == [([8, 4], [8]), ([None, 4], [None])]
    assert f.experimental_get_tracing_count() == 2
    f(hr.ones([8, 6]), hr.ones([8]))  # another size that is not a batch's: another trace
    assert shapes[2:] == [([8, 6], [8])]


def test_a_function_that_needs_its_leading_size_gets_a_trace_for_each():
    shapes = []

    @hr.function
    def f(x):
        shapes.append(x.shape.as_list())
        return x / x.shape[0]

    for n in (4, 2, 8, 2):
        assert f(hr.ones([n, 1])).numpy()[0, 0] == 1 / n
    assert [s for s in shapes if s[0] is not None] == [[4, 1], [2, 1], [8, 1]]


def test_the_input_signature_stands_for_the_arguments():
    f = hr.function(lambda x: x * 2.0, input_signature=[hr.TensorSpec([None, 2])])
    concrete = f.get_concrete_function()
    assert concrete.graph.inputs[0].shape.as_list() == [None, 2]
    assert "1 calls traced" in f.explain()
    assert concrete is f.get_concrete_function(hr.ones([3, 2]))
