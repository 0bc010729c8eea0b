"""Indexing with brackets, slice and strided_slice."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from headrace import errors
from headrace.ops import api as hr
from headrace.ops.graph import batch_graph, trace

from .harness import check_against_tensorflow, check_laws, each, peers_of
from .test_array_shape import A, S, op

CASES = [
    op("row", lambda m, x: x[1], A, kinds=("float32", "bfloat16")),
    op("row-from-behind", lambda m, x: x[-1], A),
    op("element", lambda m, x: x[1, 2, -4], A),
    op("ranges", lambda m, x: x[:, 1:, ::2], A),
    op("backwards", lambda m, x: x[::-1, 2::-1, -1:-4:-2], A),
    op("cut-off", lambda m, x: x[:9, -9:2, 5:], A),
    op("new-axes", lambda m, x: x[None, 1, ..., None], A),
    op("dots-in-the-middle", lambda m, x: x[0, ..., 1], A),
    op("dots-of-nothing", lambda m, x: x[0, 1, ..., 2], A),
    op("only-dots", lambda m, x: x[...], A),
    op("scalar-dots", lambda m, x: x[..., None], 3.0),
    op("strings", lambda m, x: x[::-1, 1], S),
    op("string", lambda m, x: x[0, 1], S),
    op("slice", lambda m, x: m.slice(x, [0, 1, 2], [2, -1, 1]), A),
    op("slice-empty", lambda m, x: m.slice(x, [2, 0, 0], [0, 3, 4]), A),
    op("slice-strings", lambda m, x: m.slice(x, [0, 1], [2, 1]), S),
    op("strided_slice", lambda m, x: m.strided_slice(x, [0, 0], [2, 3], [1, 2]), A),
    op(
        "strided_slice-masks",
        lambda m, x: m.strided_slice(
            x,
            [0, 1, 0, 7],
            [0, 2, 0, 7],
            [1, 1, 1, 1],
            begin_mask=1,
            end_mask=1,
            shrink_axis_mask=2,
            new_axis_mask=8,
            ellipsis_mask=4,
        ),
        A,
    ),
    op("strided_slice-no-strides", lambda m, x: m.strided_slice(x, [1, 0, 0], [2, 2, 2]), A),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_like_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


RANGES = st.builds(
    slice, *[st.none() | st.integers(-6, 6)] * 2, st.none() | st.integers(-3, 3).filter(bool)
)


@given(st.tuples(RANGES | st.integers(-2, 1), RANGES, RANGES | st.just(None)))
def test_any_key_gives_what_numpy_gives(key):
    x = hr.constant(A)
    want = A[key]
    np.testing.assert_array_equal(x[key], want)
    graph = trace(lambda t: t[key], (hr.TensorSpec(A.shape, "float64"),)).graph
    assert graph.outputs[0].shape.as_list() == list(want.shape)
    np.testing.assert_array_equal(graph.compile()(A)[0], want)
    unknown = trace(lambda t: t[key], (hr.TensorSpec([None, None, None], "float64"),)).graph
    assert unknown.outputs[0].shape.is_compatible_with(want.shape)


def test_an_eager_index_is_a_view():
    x = hr.constant(A)
    assert np.shares_memory(x[1]._value, x._value)
    assert np.shares_memory(x[:, 1:]._value, x._value)


def test_tensors_are_indices():
    x, i = hr.constant(A), hr.constant(1)
    np.testing.assert_array_equal(x[i], A[1])
    np.testing.assert_array_equal(x[i:, hr.constant(-1, hr.int64)], A[1:, -1])
    np.testing.assert_array_equal(x[np.int64(1), np.array(2)], A[1, 2])


KEYS = {
    "row": lambda x, i: x[i],
    "column": lambda x, i: x[:, i],
    "last": lambda x, i: x[..., i],
    "several": lambda x, i: x[i, None, i],
    "negative": lambda x, i: x[i - 2, ::-1],
    "range": lambda x, i: x[:, i:],
    "window": lambda x, i: x[i, i : i + 2, None],
    "backwards": lambda x, i: x[i::-1, ..., i],
    "step": lambda x, i: x[:, :: i + 1],
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("i", [0, 1])
def test_computed_keys(key, i):
    """A key with parts that the traced function computes: value and gradient."""
    x = hr.constant(A)
    want = key(A, i)
    got = hr.function(key)(x, hr.constant(i))
    np.testing.assert_array_equal(got, want)

    @hr.function
    def slope(x, i):
        with hr.GradientTape() as tape:
            tape.watch(x)
            y = hr.reduce_sum(key(x, i) ** 2)
        return hr.convert_to_tensor(tape.gradient(y, x))

    mark = np.zeros_like(A)
    places = np.arange(A.size).reshape(A.shape)
    mark.reshape(-1)[key(places, i).reshape(-1)] = 1
    np.testing.assert_allclose(slope(x, hr.constant(i)), 2 * A * mark)


def test_a_boolean_mask_selects():
    x = hr.constant(A)
    np.testing.assert_array_equal(x[hr.constant([True, False])], A[[True, False]])
    np.testing.assert_array_equal(x[x > 1.0], A[A > 1])
    np.testing.assert_array_equal(hr.function(lambda t: t[t > 1.0])(x), A[A > 1])


def test_variables_index_as_tensors_do():
    v = hr.Variable(A)
    with hr.GradientTape() as tape:
        y = v[1, 0]
    np.testing.assert_array_equal(y, A[1, 0])
    g = hr.convert_to_tensor(tape.gradient(y, v)).numpy()
    assert g[1, 0].tolist() == [1] * 4 and g.sum() == 4


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda x: x[2],
            errors.InvalidArgumentError,
            "slice index 2 of dimension 0 out of bounds",
        ),
        (
            lambda x: x[0, -4],
            errors.InvalidArgumentError,
            "slice index -4 of dimension 1 out of bounds",
        ),
        (lambda x: x[0, 0, 0, 0], errors.InvalidArgumentError, "input has only 3 dims"),
        (lambda x: hr.constant(1)[0], errors.InvalidArgumentError, "slice scalar"),
        (lambda x: x[..., 0, ...], errors.InvalidArgumentError, "Multiple ellipses"),
        (lambda x: x[::0], errors.InvalidArgumentError, "non-zero"),
        (lambda x: x[1.5], TypeError, "valid indices, got 1.5"),
        (lambda x: x[[0, 1]], TypeError, "hr.gather"),
        (lambda x: x["a"], TypeError, "valid indices"),
        (lambda x: x[hr.constant(1.0)], TypeError, "valid indices"),
        (
            lambda x: hr.slice(x, [0, 4, 0], [1, 1, 1]),
            errors.InvalidArgumentError,
            r"begin\[1\] in \[0, 3\], but got 4",
        ),
        (
            lambda x: hr.slice(x, [0, 1, 0], [1, 3, 1]),
            errors.InvalidArgumentError,
            r"size\[1\] in \[0, 2\], but got 3",
        ),
        (lambda x: hr.slice(x, [0], [1]), errors.InvalidArgumentError, "of size 3, but got 1"),
        (lambda x: hr.strided_slice(x, [0], [1], [0]), errors.InvalidArgumentError, "non-zero"),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
def test_errors_name_the_rule(call, kind, text, traced):
    with pytest.raises(kind, match=text):
        (hr.function(call) if traced else call)(hr.constant(A))


def test_windows_of_a_block_start_where_each_element_says():
    """The batch rule of a slice of constant size whose begin differs from element to "
    "element."""
    from headrace.ops.graph.batching import batch_graph

    specs = (hr.TensorSpec([3, 4], "float64"), hr.TensorSpec([2], "int32"))
    graph = trace(lambda x, at: hr.slice(x, at, [2, 3]), specs).graph
    block = np.stack([A[0], A[1], A[0] + 1])
    begin = np.array([[0, 0], [1, 1], [1, 0]], np.int32)
    (got,) = batch_graph(graph).graph.compile()(block, begin)
    for g, x, (i, j) in zip(got, block, begin, strict=True):
        np.testing.assert_array_equal(g, x[i : i + 2, j : j + 3])
    with pytest.raises(errors.InvalidArgumentError, match=r"begin\[0\]|size\[0\]"):
        batch_graph(graph).graph.compile()(block, begin + 1)


INDEXED = {
    "row": lambda x, i: x[i],
    "column": lambda x, i: x[:, i],
    "negative": lambda x, i: x[..., i - 3],
    "size": lambda x, i: hr.size(x) + i,
    "squeezed": lambda x, i: hr.squeeze(x[:, :1]),
    "table": lambda x, i: hr.gather(A[0], i, axis=1),
    "written": lambda x, i: hr.tensor_scatter_nd_update(x, [[i, i]], [9.0]),
}


@pytest.mark.parametrize("fn", INDEXED.values(), ids=INDEXED)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_blocks_of_computed_indices(fn, known):
    """Elements that index by their own numbers, in a block, give what a loop gives."""
    from headrace.ops.graph.batching import batch_graph

    specs = (
        hr.TensorSpec([3, 4] if known else [None, None], "float64"),
        hr.TensorSpec([], "int32"),
    )
    graph = trace(fn, specs).graph
    block, i = np.stack([A[0], A[1], A[0] * 2]), np.array([2, 0, 1], np.int32)
    batched = batch_graph(graph)
    (got,) = batched.graph.compile()(block, i)
    for k in range(3):
        np.testing.assert_array_equal(got[k], graph.compile()(block[k], i[k])[0])


def test_a_block_of_windows_into_one_shared_tensor():
    table = hr.range(10)
    graph = trace(lambda i: hr.slice(table, [i], [3]), (hr.TensorSpec([], "int32"),)).graph
    got = batch_graph(graph).graph.compile()(np.array([0, 4, 7], np.int32))[0]
    assert got.tolist() == [[0, 1, 2], [4, 5, 6], [7, 8, 9]]
