"""Choices and loops on blocks: a batch equals a loop over its elements."""

import numpy as np
import pytest

import headrace as hr
from headrace.data.functions import UserFunction
from headrace.ops.graph import batch_graph, trace

RNG = np.random.default_rng(5)
X = np.concatenate([[0.0, -0.5], RNG.normal(size=30) * 3]).astype(np.float32)
V = RNG.normal(size=(24, 3)).astype(np.float32)
N = RNG.integers(-3, 9, 40)


def elementwise_branches(x):
    if x > 0.5:
        return x * 2.0
    elif x < -1.0:
        return -x
    return x + 1.0


def costly_branches(v):
    if hr.reduce_sum(v) > 0.0:
        return hr.sort(v) * hr.reduce_max(v)
    return hr.reverse(v, [0])


def guarded_gather(n):
    if 0 <= n < 4:
        return hr.gather(hr.constant([10, 20, 30, 40]), n)
    return -1


def division_stays_guarded(n):
    return 12 // n if n != 0 else n


def strings(n):
    if n > 4:
        return hr.strings.as_string(n)
    return hr.constant("few")


def own_iterations(n):
    s = hr.constant(0, hr.int64)
    i = n
    while i > 0:
        s += i * n
        i -= 2
    return s, i


def same_iterations(v):
    acc = hr.zeros([3])
    for i in hr.range(4):
        acc = hr.tanh(acc + v * hr.cast(i, hr.float32))
    return acc


def scan_with_an_array(v):
    out = hr.TensorArray(hr.float32, size=3, element_shape=[])
    total = 0.0
    for i in hr.range(hr.size(v) * 1):
        total = total * 0.5 + v[i]
        out = out.write(i, total)
    return out.stack()


def loop_in_branch(n):
    if n > 2:
        k = n
        while k > 3:
            k -= 3
        return k
    return n


def break_inside(n):
    total = hr.constant(0, hr.int64)
    for i in hr.range(10):
        k = hr.cast(i, hr.int64)
        if k * k > n:
            break
        if k == 1:
            continue
        total += k
    return total


def two_results(x):
    if x > 0.0:
        a, b = x, hr.constant([1.0, 2.0]) * x
    else:
        a, b = -x, hr.zeros([2])
    return {"a": a, "b": b}


def switched(n):
    fns = [lambda: n * 2, lambda: hr.reduce_sum(hr.fill([3], n)), lambda: -n]
    return hr.switch_case(hr.cast(n, hr.int32), fns)


CASES = [
    (elementwise_branches, X), (costly_branches, V), (guarded_gather, N), (strings, N),
    (division_stays_guarded, N), (own_iterations, N), (same_iterations, V),
    (scan_with_an_array, V), (loop_in_branch, N), (break_inside, N), (two_results, X),
    (switched, N),
]  # fmt: skip


def _function(fn, data):
    spec = hr.TensorSpec(data.shape[1:], data.dtype)
    return UserFunction(fn, spec)


@pytest.mark.parametrize(("fn", "data"), CASES, ids=lambda p: getattr(p, "__name__", ""))
def test_a_block_equals_its_elements(fn, data):
    function = _function(fn, data)
    on_blocks = function.vectorized()
    assert on_blocks.mode == "block", on_blocks.why_not
    ds = hr.data.Dataset.from_tensor_slices(data)
    found = [hr.nest.flatten(e) for e in ds.map(fn).as_numpy_iterator()]
    assert len(found) == len(data)
    for row, parts in zip(data, found, strict=True):
        want = hr.nest.flatten(fn(hr.constant(row)))
        for a, b in zip(parts, want, strict=True):
            b = hr.convert_to_tensor(b).numpy()
            if isinstance(b, (bytes, str)):
                assert a == b
            else:
                np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("fn", "data"), [c for c in CASES if c[0] in (guarded_gather, own_iterations)]
)
def test_an_empty_block_has_no_rows(fn, data):
    ds = hr.data.Dataset.from_tensor_slices(data).filter(lambda n: n > 1000).map(fn)
    assert list(ds) == []


def test_cheap_branches_are_selected_and_others_run_on_their_rows():
    for fn, data, node in (
        (elementwise_branches, X, "SelectV2"),
        (costly_branches, V, "_IfBlock"),
    ):
        graph = batch_graph(_function(fn, data).traced.graph).graph
        types = [n.type for n in graph.nodes]
        assert node in types and "StatelessIf" not in types


def test_an_error_in_a_branch_names_the_element_that_chose_it():
    def fn(n):
        if n > 5:
            return hr.gather(hr.constant([1, 2, 3]), n)
        return hr.constant(0)

    ds = iter(hr.data.Dataset.range(10).map(fn))
    assert [int(next(ds)) for _ in range(6)] == [0] * 6
    with pytest.raises(hr.errors.InvalidArgumentError, match="element 6"):
        next(ds)


def test_assertions_run_on_blocks_and_name_the_element():
    def fn(n):
        assert n < 7, "too large"
        return n * 2

    assert _function(fn, N).vectorized().mode == "block"
    ds = iter(hr.data.Dataset.range(10).map(fn))
    assert [int(next(ds)) for _ in range(7)] == list(range(0, 14, 2))
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"too large[\s\S]*element 7"):
        next(ds)


def test_each_element_draws_from_its_own_stream_in_a_branch():
    def fn(n):
        if n % 2 == 0:
            return hr.random.normal([2], seed=4)
        return hr.zeros([2])

    whole = list(hr.data.Dataset.range(12).map(fn).as_numpy_iterator())
    plain = hr.data.Dataset.range(12).map(lambda n: hr.random.normal([2], seed=4))
    drawn = list(plain.as_numpy_iterator())
    for n, row in enumerate(whole):
        np.testing.assert_array_equal(row, drawn[n] if n % 2 == 0 else [0.0, 0.0])


def test_shapes_that_differ_by_branch_run_row_by_row():
    def fn(n):
        if n > 1:
            return hr.zeros([3])
        return hr.zeros([1])

    ds = hr.data.Dataset.range(4).map(fn)
    assert [e.shape for e in ds.as_numpy_iterator()] == [(1,), (1,), (3,), (3,)]


def test_a_choice_on_blocks_has_gradients():
    def fn(v, w):
        if hr.reduce_sum(v) > 0.0:
            return hr.reduce_sum(hr.sort(v) * w)
        return hr.reduce_sum(v * v) * w[0]

    traced = hr.function(lambda v, w: fn(v, w))
    graph = traced.get_concrete_function(hr.constant(V[0]), hr.constant(V[1])).graph
    block = batch_graph(graph, [True, False])
    rows, w = hr.constant(V), hr.constant(V[1])
    with hr.GradientTape() as tape:
        tape.watch([rows, w])
        args = [rows, w] + ([hr.range(len(V), dtype=hr.int64)] if block.needs_index else [])
        y = block.graph.replay(args)[0]
    found = tape.gradient(y, [rows, w])
    with hr.GradientTape() as tape:
        tape.watch([rows, w])
        want = hr.add_n([fn(rows[k], w) for k in range(len(V))])
    for a, b in zip(found, tape.gradient(want, [rows, w]), strict=True):
        a, b = hr.convert_to_tensor(a).numpy(), hr.convert_to_tensor(b).numpy()
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_draws_in_loops_have_no_batched_form():
    def fn(n):
        return hr.while_loop(
            lambda i, s: i < n, lambda i, s: (i + 1, s + hr.random.normal([])), (n * 0, 0.0)
        )[1]

    function = _function(fn, N).vectorized()
    assert function.mode == "graph" and "random" in function.why_not


def test_the_traced_graph_says_what_it_is():
    graph = trace(
        lambda x: hr.cond(x > 0, lambda: x, lambda: -x), (hr.TensorSpec([], "int32"),)
    )
    assert "graph true_fn" in graph.graph.pretty()
