"""RaggedTensor and the operations of hr.ragged."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from headrace import errors
from headrace.ops import api as hr, nest, ragged_ops as ragged

ROWS = [[1, 2], [], [3, 4, 5], [6]]
DEEP = [[[1, 2], []], [], [[3], [4, 5, 6], [7]]]
VALUES = [1, 2, 3, 4, 5, 6]


def test_every_way_to_make_one():
    R = hr.RaggedTensor
    made = [
        ragged.constant(ROWS),
        R.from_row_splits(VALUES, [0, 2, 2, 5, 6]),
        R.from_row_lengths(VALUES, [2, 0, 3, 1]),
        R.from_value_rowids(VALUES, [0, 0, 2, 2, 2, 3]),
        R.from_value_rowids(VALUES, [0, 0, 2, 2, 2, 3], nrows=4),
        R.from_row_starts(VALUES, [0, 2, 2, 5]),
        R.from_row_limits(VALUES, [2, 2, 5, 6]),
        R.from_nested_row_splits(VALUES, [[0, 2, 2, 5, 6]]),
        R.from_nested_row_lengths(VALUES, [[2, 0, 3, 1]]),
        R.from_nested_value_rowids(VALUES, [[0, 0, 2, 2, 2, 3]]),
        R.from_tensor([[1, 2, 0], [0, 0, 0], [3, 4, 5], [6, 0, 0]], lengths=[2, 0, 3, 1]),
        R.from_tensor([[1, 2, 0], [0, 0, 0], [3, 4, 5], [6, 0, 0]], padding=0),
        R.from_sparse(ragged.constant(ROWS).to_sparse()),
    ]
    for rt in made:
        assert rt.to_list() == ROWS
        assert rt.row_splits.dtype == hr.int64 and rt.dtype == hr.int32
    assert R.from_row_splits(VALUES, np.array([0, 6], np.int32)).row_splits.dtype == hr.int32


def test_repr_and_str():
    assert repr(ragged.constant([[1], [2, 3]])) == "<hr.RaggedTensor [[1], [2, 3]]>"
    assert repr(ragged.constant([["a"], []])) == "<hr.RaggedTensor [[b'a'], []]>"


def test_parts(tf):
    for rows in (ROWS, DEEP):
        ours, theirs = ragged.constant(rows), tf.ragged.constant(rows)
        assert ours.to_list() == theirs.to_list() == rows
        assert ours.ragged_rank == theirs.ragged_rank
        assert ours.shape.as_list() == theirs.shape.as_list()
        for name in (
            "row_lengths",
            "value_rowids",
            "nrows",
            "row_starts",
            "row_limits",
            "bounding_shape",
        ):
            a, b = getattr(ours, name)().numpy(), getattr(theirs, name)().numpy()
            np.testing.assert_array_equal(a, b, err_msg=name)
            assert a.dtype == b.dtype, name
        for name in ("nested_row_splits", "nested_row_lengths", "nested_value_rowids"):
            a, b = getattr(ours, name), getattr(theirs, name)
            if callable(a):
                a, b = a(), b()
            assert [t.numpy().tolist() for t in a] == [t.numpy().tolist() for t in b]
        np.testing.assert_array_equal(ours.flat_values, theirs.flat_values.numpy())


CONSTANTS = [
    ([], {}),
    ([[]], {}),
    ([[], []], {"dtype": "int32"}),
    ([1, 2], {}),
    (3, {}),
    ([[1.5], []], {}),
    ([["a"], ["b", "c"]], {}),
    ([[[1, 2], [3, 4]], [[5, 6]]], {"ragged_rank": 1}),
    ([[[1, 2], [3, 4]], [[5, 6]]], {"inner_shape": (2,)}),
    ([[], [[1, 2]]], {"ragged_rank": 1, "inner_shape": (2,)}),
    ([[1], [2, 3]], {"row_splits_dtype": "int32"}),
]


@pytest.mark.parametrize(("rows", "kwargs"), CONSTANTS, ids=str)
def test_constant_is_tensorflows(tf, rows, kwargs):
    theirs_kwargs = {k: tf.dtypes.as_dtype(v) if "dtype" in k else v for k, v in kwargs.items()}
    ours, theirs = ragged.constant(rows, **kwargs), tf.ragged.constant(rows, **theirs_kwargs)
    assert ours.dtype.name == theirs.dtype.name
    assert ours.shape.as_list() == theirs.shape.as_list()
    if isinstance(ours, hr.RaggedTensor):
        assert ours.to_list() == theirs.to_list()
        assert ours.row_splits.dtype.name == theirs.row_splits.dtype.name
    else:
        np.testing.assert_array_equal(ours, theirs.numpy())


DENSE = [
    (ROWS, {}),
    (ROWS, {"default_value": -1}),
    (ROWS, {"shape": [None, 2]}),
    (ROWS, {"shape": [6, 4]}),
    (ROWS, {"shape": [2, None]}),
    (DEEP, {}),
    (DEEP, {"default_value": 9}),
    (DEEP, {"shape": [4, None, 2]}),
    ([["a"], [], ["b", "c"]], {}),
    ([["a"], [], ["b", "c"]], {"default_value": "?"}),
    ([[], []], {"shape": [2, 2]}),
]


@pytest.mark.parametrize(("rows", "kwargs"), DENSE, ids=str)
def test_to_tensor_is_tensorflows(tf, rows, kwargs):
    got = ragged.constant(rows).to_tensor(**kwargs).numpy()
    want = tf.ragged.constant(rows).to_tensor(**kwargs).numpy()
    np.testing.assert_array_equal(got, want)
    assert got.dtype == want.dtype


KEYS = {
    "row": lambda r: r[2],
    "row-from-behind": lambda r: r[-2],
    "rows": lambda r: r[1:3],
    "every-second": lambda r: r[::2],
    "backwards": lambda r: r[::-1],
    "element": lambda r: r[2, 1],
    "part-of-row": lambda r: r[2, 1:],
    "heads": lambda r: r[:, :2],
    "tails": lambda r: r[:, -2:],
    "middle": lambda r: r[1:, 1:-1],
    "reversed-rows": lambda r: r[:, ::-1],
    "steps": lambda r: r[:, ::2],
    "all": lambda r: r[...],
}


@pytest.mark.parametrize("rows", [ROWS, DEEP], ids=["flat", "deep"])
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_indexing_is_tensorflows(tf, rows, key):
    got, want = key(ragged.constant(rows)), key(tf.ragged.constant(rows))
    assert isinstance(got, hr.RaggedTensor) == isinstance(want, tf.RaggedTensor)
    as_list = (
        (lambda t: t.to_list())
        if isinstance(got, hr.RaggedTensor)
        else (lambda t: t.numpy().tolist())
    )
    assert as_list(got) == as_list(want)


@given(
    st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=5),
    *[st.none() | st.integers(-6, 6)] * 2,
    st.none() | st.integers(-3, 3).filter(bool),
)
def test_a_range_of_every_row_is_what_python_gives(rows, start, stop, step):
    rt = hr.RaggedTensor.from_row_lengths(
        np.array([v for r in rows for v in r], np.int64), [len(r) for r in rows]
    )
    assert rt[:, start:stop:step].to_list() == [r[start:stop:step] for r in rows]
    assert rt[start:stop:step].to_list() == rows[start:stop:step]


def test_joining():
    a, b = ragged.constant(ROWS), ragged.constant([[7], [8, 9], [], [10]])
    assert hr.concat([a, b], 0).to_list() == [*ROWS, [7], [8, 9], [], [10]]
    assert hr.concat([a, b], 1).to_list() == [[1, 2, 7], [8, 9], [3, 4, 5], [6, 10]]
    assert hr.stack([a, b]).to_list() == [ROWS, [[7], [8, 9], [], [10]]]
    assert hr.gather(a, [2, 0, 2]).to_list() == [[3, 4, 5], [1, 2], [3, 4, 5]]
    assert list(map(lambda r: r.numpy().tolist(), a)) == ROWS and len(a) == 4


def test_arithmetic_keeps_the_rows():
    a = ragged.constant([[1.0], [], [2.0, 3.0]])
    assert (a * 2.0 + a).to_list() == [[3.0], [], [6.0, 9.0]]
    assert (1.0 - a).to_list() == [[0.0], [], [-1.0, -2.0]]
    assert (-a).to_list() == [[-1.0], [], [-2.0, -3.0]]
    assert (a > 1.5).to_list() == [[False], [], [True, True]]
    assert ragged.map_flat_values(hr.sqrt, a * a).to_list() == a.to_list()
    assert hr.cast(a, hr.int32).dtype == hr.int32


def test_merge_dims_and_levels():
    deep = ragged.constant(DEEP)
    assert deep.merge_dims(0, 1).to_list() == [[1, 2], [], [3], [4, 5, 6], [7]]
    assert deep.merge_dims(1, 2).to_list() == [[1, 2], [], [3, 4, 5, 6, 7]]
    assert deep.merge_dims(0, 2).numpy().tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert deep.row_lengths(axis=2).to_list() == [[2, 0], [], [1, 3, 1]]
    assert deep.with_flat_values(deep.flat_values * 2)[0].to_list() == [[2, 4], []]
    assert deep.with_row_splits_dtype(hr.int32).values.row_splits.dtype == hr.int32


def test_uniform_rows_are_known_to_be():
    rt = hr.RaggedTensor.from_uniform_row_length(VALUES, 2)
    assert rt.shape == [3, 2] and rt.uniform_row_length.numpy() == 2
    assert rt.to_tensor().numpy().tolist() == [[1, 2], [3, 4], [5, 6]]
    assert rt[:, 1].numpy().tolist() == [2, 4, 6]
    assert rt[:, ::-1].shape == [3, 2] and rt[:, 1:].shape == [3, 1] and rt[1:].shape == [2, 2]
    assert hr.RaggedTensor.from_tensor(np.ones((3, 4))).shape == [3, 4]
    inner = hr.RaggedTensor.from_uniform_row_length(ragged.constant(ROWS), 2)
    assert inner.to_list() == [ROWS[:2], ROWS[2:]] and inner.shape == [2, 2, None]
    spec = hr.type_spec_from_value(inner)
    assert spec.from_components(list(inner._components())).shape == [2, 2, None]


def test_to_sparse(tf):
    for rows in (ROWS, DEEP):
        ours, theirs = ragged.constant(rows).to_sparse(), tf.ragged.constant(rows).to_sparse()
        for part in ("indices", "values", "dense_shape"):
            np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part).numpy())


def test_numpy_rows(tf):
    got, want = ragged.constant(ROWS).numpy(), tf.ragged.constant(ROWS).numpy()
    assert got.dtype == want.dtype and [g.tolist() for g in got] == [w.tolist() for w in want]
    assert ragged.constant([[1, 2], [3, 4]]).numpy().tolist() == [[1, 2], [3, 4]]


def test_small_operations(tf):
    assert ragged.range([2, 0, 3]).to_list() == tf.ragged.range([2, 0, 3]).to_list()
    assert (
        ragged.range([1, 5], [4, 0], [1, -2]).to_list()
        == tf.ragged.range([1, 5], [4, 0], [1, -2]).to_list()
    )
    assert ragged.row_splits_to_segment_ids([0, 2, 2, 3]).numpy().tolist() == [0, 0, 2]
    assert ragged.segment_ids_to_row_splits([0, 0, 2], 4).numpy().tolist() == [0, 2, 2, 3, 3]
    mask = [[True, False], [], [False, True, True], [True]]
    assert ragged.boolean_mask(ragged.constant(ROWS), ragged.constant(mask)).to_list() == [
        [1],
        [],
        [4, 5],
        [6],
    ]
    dense = [[1, 2], [3, 4]], [[True, False], [True, True]]
    assert ragged.boolean_mask(*dense).to_list() == tf.ragged.boolean_mask(*dense).to_list()


def test_stack_of_rows_of_any_length(tf):
    for parts in ([[1], [2, 3]], [1, 2], [ragged.constant(ROWS), ragged.constant(ROWS)[:1]]):
        got = ragged.stack(parts)
        theirs = [
            tf.ragged.constant(p.to_list()) if isinstance(p, hr.RaggedTensor) else p
            for p in parts
        ]
        want = tf.ragged.stack(theirs)
        if isinstance(got, hr.RaggedTensor):
            assert (
                got.to_list() == want.to_list() and got.shape.as_list() == want.shape.as_list()
            )
        else:
            assert got.numpy().tolist() == want.numpy().tolist()


def test_lengths_of_several_levels(tf):
    x = np.arange(24).reshape(2, 3, 4)
    lengths = [[3, 1], [0, 4, 2, 1]]
    got, want = hr.RaggedTensor.from_tensor(x, lengths), tf.RaggedTensor.from_tensor(x, lengths)
    assert got.to_list() == want.to_list()
    got, want = (lib.RaggedTensor.from_tensor(x, ragged_rank=2) for lib in (hr, tf))
    assert got.to_list() == want.to_list() and got.shape.as_list() == want.shape.as_list()


def test_gradients_flow_through_the_values():
    values = hr.constant([1.0, 2.0, 3.0])
    with hr.GradientTape() as tape:
        tape.watch(values)
        rt = hr.RaggedTensor.from_row_lengths(values, [1, 2])
        y = hr.reduce_sum(rt.to_tensor() ** 2) + hr.reduce_sum(rt[1] * 10.0)
    np.testing.assert_array_equal(tape.gradient(y, values), [2, 14, 16])


def test_functions_take_and_return_ragged_tensors():
    spec = hr.RaggedTensorSpec([None, None], hr.int32)

    @hr.function(input_signature=[spec])
    def f(rt):
        return rt.to_tensor(), rt * 2, rt[1:], rt.row_lengths(), rt[0]

    dense, twice, rest, lengths, first = f(ragged.constant(ROWS))
    assert dense.numpy().tolist() == ragged.constant(ROWS).to_tensor().numpy().tolist()
    assert twice.to_list() == [[2, 4], [], [6, 8, 10], [12]]
    assert rest.to_list() == ROWS[1:] and lengths.numpy().tolist() == [2, 0, 3, 1]
    assert first.numpy().tolist() == [1, 2]


def test_specs():
    spec = hr.RaggedTensorSpec([None, None], hr.int32)
    assert repr(spec) == "RaggedTensorSpec(TensorShape([None, None]), hr.int32, 1, hr.int64)"
    rt = ragged.constant(ROWS)
    assert hr.type_spec_from_value(rt) == hr.RaggedTensorSpec([4, None], hr.int32, 1)
    assert spec.is_compatible_with(rt) and not spec.is_compatible_with(hr.cast(rt, hr.int64))
    assert spec == hr.RaggedTensorSpec.from_value(rt).most_specific_common_supertype([spec])
    assert (
        hr.RaggedTensorSpec([2, None], "int32").most_specific_common_supertype(
            [hr.RaggedTensorSpec([2, None], "int64")]
        )
        is None
    )
    assert nest.flatten([rt])[0] is rt
    with pytest.raises(ValueError, match="less than rank"):
        hr.RaggedTensorSpec([None, None], ragged_rank=2)
    with pytest.raises(ValueError, match="known rank"):
        hr.RaggedTensorSpec()


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: hr.RaggedTensor.from_row_splits([1, 2], [1, 2]),
            errors.InvalidArgumentError,
            "start with 0, got 1",
        ),
        (
            lambda: hr.RaggedTensor.from_row_splits([1, 2], [0, 2, 1, 2]),
            errors.InvalidArgumentError,
            "not decrease",
        ),
        (
            lambda: hr.RaggedTensor.from_row_splits([1, 2], [0, 3]),
            errors.InvalidArgumentError,
            "number of values, 2, got 3",
        ),
        (lambda: hr.RaggedTensor.from_row_splits([1, 2], []), ValueError, "may not be empty"),
        (lambda: hr.RaggedTensor.from_row_splits(1, [0, 1]), ValueError, "at least one axis"),
        (
            lambda: hr.RaggedTensor.from_row_lengths([1, 2], [3, -1]),
            errors.InvalidArgumentError,
            ">= 0",
        ),
        (
            lambda: hr.RaggedTensor.from_value_rowids([1, 2], [1, 0]),
            errors.InvalidArgumentError,
            "not decrease",
        ),
        (
            lambda: hr.RaggedTensor.from_value_rowids([1, 2], [0, 1], nrows=1),
            errors.InvalidArgumentError,
            "< nrows",
        ),
        (
            lambda: hr.RaggedTensor.from_row_splits([1, 2], [0.0, 2.0]),
            ValueError,
            "int32 or int64",
        ),
        (lambda: hr.RaggedTensor.from_tensor([1, 2]), ValueError, "ragged_rank"),
        (
            lambda: hr.RaggedTensor.from_uniform_row_length([1, 2], -1),
            ValueError,
            "greater than or equal",
        ),
        (lambda: ragged.constant([1, [2]]), ValueError, "same nesting depth|nesting"),
        (
            lambda: ragged.constant(ROWS)[4],
            errors.InvalidArgumentError,
            "slice index 4 of dimension 0",
        ),
        (lambda: ragged.constant(ROWS)[:, 0], ValueError, "inner ragged dimension"),
        (
            lambda: ragged.constant(ROWS) + ragged.constant([[1]]),
            errors.InvalidArgumentError,
            "identical ragged splits",
        ),
        (lambda: ragged.constant(ROWS).row_lengths(axis=2), ValueError, "ragged_rank"),
    ],
)
def test_errors_name_the_rule(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_operators_spread_a_column_along_the_rows():
    rt = hr.RaggedTensor.from_row_splits([1, 2, 3], [0, 2, 3])
    column = hr.constant([[10], [20]])
    assert (rt + column).to_list() == (column + rt).to_list() == [[11, 12], [23]]
    assert (column - rt).to_list() == [[9, 8], [17]]
    assert (rt > hr.constant([[1], [3]])).to_list() == [[False, True], [False]]
    assert (2**rt).to_list() == [[2, 4], [8]]
