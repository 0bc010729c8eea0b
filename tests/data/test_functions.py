"""User functions: the three ways to run, specs by tf.data's rules, errors, composition."""

import collections
import traceback

import numpy as np
import pytest

import headrace as hr
from headrace.data.block import Block
from headrace.data.columns import ListColumn, RaggedColumn
from headrace.data.composition import compose
from headrace.data.functions import UserFunction, check_predicate
from headrace.data.structure import Structure
from headrace.ops import errors
from headrace.ops.string_array import StringArray
from headrace.ops.tensor_spec import TensorSpec

SCALAR = TensorSpec([], "int64")
Point = collections.namedtuple("Point", "x y")


def ints(*values):
    return Block([np.array(values, np.int64)], len(values), Structure(SCALAR))


def ran(function, block, first=0):
    """The rows before the first that fails, and its error."""
    out, caught = function.run_block(block, first)
    return out, caught and caught.take()


def run(function, block, first=0):
    out, error = ran(function, block, first)
    assert error is None
    return [row if len(row) > 1 else row[0] for row in out.rows()]


def values(function, block):
    return [np.asarray(v).tolist() for v in run(function, block)]


# -- the three ways ------------------------------------------------------------------


def test_a_traced_function_runs_by_the_block_once_vectorized_and_is_called_once():
    calls = []

    def twice(x):
        calls.append(x)
        return x * 2

    function = UserFunction(twice, SCALAR)
    assert (function.mode, function.why_not) == ("graph", None)
    on_blocks = function.vectorized()
    assert on_blocks.mode == "block"
    assert on_blocks.vectorized() is on_blocks
    for one in (function, on_blocks):
        assert values(one, ints(1, 2, 3)) == [2, 4, 6]
    assert len(calls) == 1
    assert function.output_spec == SCALAR
    assert not function.is_stateful


def test_an_untraceable_function_runs_once_per_element_in_order_on_eager_tensors():
    seen = []

    def odd(x):
        if x.numpy() > 2:
            seen.append(int(x))
        return x

    function = UserFunction(odd, SCALAR, line="train.py:7")
    assert function.mode == "eager"
    assert function.is_stateful
    assert ".numpy() value was asked for" in function.why_not
    assert "test_functions.py:" in function.why_not
    assert function.output_spec is None
    assert values(function, ints(3, 1, 5)) == [3, 1, 5]
    assert seen == [3, 5]
    assert function.output_spec == SCALAR


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x.numpy(),
        lambda x: int(x),
        lambda x: float(x),
        lambda x: f"{x}",
        lambda x: np.log1p(x),
        lambda x: x if bool(x) else -x,
        lambda x: sum(v for v in x),
    ],
    ids=["numpy", "int", "float", "format", "ufunc", "bool", "iteration"],
)
def test_what_needs_values_makes_a_function_eager(fn):
    assert UserFunction(fn, TensorSpec([None], "int64")).mode == "eager"


def test_another_error_while_tracing_is_the_users_bug_and_names_the_line():
    def broken(x):
        return x + undefined  # noqa: F821

    with pytest.raises(NameError, match="undefined") as caught:
        UserFunction(broken, SCALAR, line="train.py:7")
    assert "train.py:7" in "".join(traceback.format_exception(caught.value))


def test_a_dtype_error_while_tracing_is_raised_as_tensorflow_does():
    with pytest.raises((TypeError, ValueError)):
        UserFunction(lambda x: x + 1.5, SCALAR)


def test_a_function_that_changes_a_variable_is_traced_but_runs_in_order():
    total = hr.Variable(0, dtype=hr.int64)
    function = UserFunction(lambda x: total.assign_add(x), SCALAR)
    assert function.vectorized() is function
    assert function.is_stateful
    assert "changes state" in function.why_not
    assert values(function, ints(1, 2, 3)) == [1, 3, 6]


def test_a_variable_that_is_read_is_read_when_the_block_runs():
    scale = hr.Variable(2, dtype=hr.int64)
    function = UserFunction(lambda x: x * scale, SCALAR).vectorized()
    assert function.mode == "block"
    assert values(function, ints(1, 2)) == [2, 4]
    scale.assign(10)
    assert values(function, ints(1, 2)) == [10, 20]


# -- arguments and results -----------------------------------------------------------


@pytest.mark.parametrize("vectorized", [False, True])
def test_structures_of_arguments_and_results(vectorized):
    spec = (SCALAR, {"b": SCALAR, "a": TensorSpec([2], "float32")})
    block = Block(
        [np.array([1, 2]), np.ones((2, 2), np.float32), np.array([5, 6])], 2, Structure(spec)
    )

    def fn(x, d):
        return {"p": Point(x, d["b"]), "list": [x, d["b"]], "none": None, "const": 7,
                "text": "t", "array": np.arange(3)}  # fmt: skip

    function = UserFunction(fn, spec)
    if vectorized:
        function = function.vectorized()
    out, error = ran(function, block)
    assert error is None
    assert out.structure.spec == {
        "p": Point(SCALAR, SCALAR), "list": TensorSpec([2], "int64"), "none": None,
        "const": TensorSpec([], "int32"), "text": TensorSpec([], "string"),
        "array": TensorSpec([3], "int64"),
    }  # fmt: skip
    element = out.structure.pack(out.row(1))
    assert np.asarray(element["list"]).tolist() == [2, 6]
    assert element["p"].y == 6
    assert element["none"] is None
    assert element["const"] == 7
    assert element["text"].item() == b"t"
    assert element["array"].tolist() == [0, 1, 2]


def test_a_bare_dict_is_one_argument_and_so_is_a_named_tuple():
    spec = {"a": SCALAR}
    assert UserFunction(lambda d: d["a"], spec).output_spec == SCALAR
    assert UserFunction(lambda p: p.x, Point(SCALAR, SCALAR)).output_spec == SCALAR


def test_the_spec_of_eager_results_keeps_rank_and_forgets_sizes():
    function = UserFunction(lambda x: np.zeros((int(x), 2)), SCALAR)
    out, _ = ran(function, ints(3, 1))
    assert function.output_spec == TensorSpec([None, None], "float64")
    assert isinstance(out.columns[0], RaggedColumn)
    assert [r.shape for (r,) in out.rows()] == [(3, 2), (1, 2)]


def test_learn_runs_once():
    calls = []
    function = UserFunction(lambda x: calls.append(x.numpy()) or x, SCALAR)
    function.learn([np.asarray(4)])
    function.learn([np.asarray(5)])
    assert calls == [4]
    assert function.output_spec == SCALAR


@pytest.mark.parametrize(
    "second", [1.5, [1, 2], (1, 2)], ids=["another dtype", "another rank", "another structure"]
)
def test_eager_results_must_agree(second):
    function = UserFunction(lambda x: x if x.numpy() < 2 else second, SCALAR)
    out, error = ran(function, ints(0, 1, 2))
    assert out.num_rows == 2
    assert isinstance(error, errors.InvalidArgumentError)
    assert "every element" in str(error)


def test_results_that_vary_in_shape_become_ragged_columns():
    function = UserFunction(lambda x: hr.range(x), SCALAR).vectorized()
    out, error = ran(function, ints(2, 0, 3))
    assert error is None
    assert [np.asarray(r).tolist() for (r,) in out.rows()] == [[0, 1], [], [0, 1, 2]]


@pytest.mark.parametrize("kind", ["ragged", "list"])
def test_columns_of_varying_shapes_run_row_by_row(kind):
    rows = [np.array([1.0, 2.0]), np.array([3.0])]
    column = (
        RaggedColumn(np.concatenate(rows), np.array([0, 2, 3]))
        if kind == "ragged"
        else ListColumn(rows)
    )
    spec = TensorSpec([None], "float64")
    function = UserFunction(lambda x: hr.reduce_sum(x), spec).vectorized()
    assert values(function, Block([column], 2, Structure(spec))) == [3.0, 3.0]


def test_strings():
    spec = TensorSpec([], "string")
    block = Block([StringArray.from_values([b"a", b"bcd"])], 2, Structure(spec))
    function = UserFunction(lambda s: hr.strings.length(s), spec).vectorized()
    assert values(function, block) == [1, 3]


def test_results_independent_of_the_element_cost_no_memory():
    function = UserFunction(lambda x: hr.zeros([1000]), SCALAR).vectorized()
    out, _ = ran(function, ints(*range(50)))
    assert out.columns[0].shape == (50, 1000)
    assert out.columns[0].strides[0] == 0


def test_large_intermediate_results_are_made_in_pieces():
    def fn(x):
        wide = hr.fill([1 << 16], x)  # 512 KiB an element
        return hr.reduce_sum(wide) // (x - 150)

    function = UserFunction(fn, SCALAR).vectorized()
    assert function._most_rows == 64
    out, error = ran(function, ints(*range(200)))
    assert out.num_rows == 150
    assert out.columns[0].tolist() == [(k << 16) // (k - 150) for k in range(150)]
    assert "element 150" in str(error)
    assert values(function, ints(*range(100))) == out.columns[0][:100].tolist()


def test_sparse_results_of_dense_arguments():
    def fn(x):
        indices = hr.zeros([1, 1], hr.int64)
        return hr.SparseTensor(indices, hr.stack([x]), hr.constant([3], hr.int64))

    for one in (UserFunction(fn, SCALAR), UserFunction(fn, SCALAR).vectorized()):
        out, error = ran(one, ints(5, 6))
        assert error is None
        assert [np.asarray(r.values).tolist() for (r,) in out.rows()] == [[5], [6]]


def test_sparse_arguments_and_datasets_as_results_of_python_functions():
    spec = hr.SparseTensorSpec([3], hr.int64)
    value = hr.SparseTensor([[1]], hr.constant([7], hr.int64), [3])
    block = Block([ListColumn([value])], 1, Structure(spec))
    function = UserFunction(lambda s: s.values * 2, spec)
    assert np.asarray(run(function.vectorized(), block)[0]).tolist() == [14]
    eager = UserFunction(lambda x: (hr.data.Dataset.range(int(x.numpy())), value, None), SCALAR)
    out, error = ran(eager, ints(2, 3))
    assert error is None
    assert [len(d) for d, _, _ in out.rows()] == [2, 3]
    assert eager.run_block(ints(4))[1] is None


def test_a_python_result_must_stay_none_where_it_was():
    function = UserFunction(lambda x: (x, None if x.numpy() < 1 else x), SCALAR)
    out, error = ran(function, ints(0, 1))
    assert out.num_rows == 1
    assert "where it returned" in str(error)


def test_random_numbers_in_functions_without_a_block_form_still_come():
    def fn(x):
        return hr.random.uniform([x], seed=1)

    function = UserFunction(fn, TensorSpec([], "int32"))
    block = Block([np.array([2, 3], np.int32)], 2, Structure(TensorSpec([], "int32")))
    out, error = ran(function.vectorized(), block)
    assert error is None
    assert [r.shape for (r,) in out.rows()] == [(2,), (3,)]


# -- errors --------------------------------------------------------------------------


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("bad", [0, 1, 63, 64, 99])
def test_rows_before_the_failing_one_come_first_and_the_error_names_it(vectorized, bad):
    function = UserFunction(lambda x: 10 // x, SCALAR)
    if vectorized:
        function = function.vectorized()
    numbers = np.arange(1, 101)
    numbers[bad] = 0
    out, error = ran(function, ints(*numbers), 1000)
    assert out.num_rows == bad
    assert isinstance(error, errors.InvalidArgumentError)
    assert f"(element {1000 + bad} of <lambda>)" in str(error)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ValueError("a"), errors.InvalidArgumentError),
        (TypeError("a"), errors.InvalidArgumentError),
        (KeyError("a"), errors.UnknownError),
        (StopIteration(), errors.OutOfRangeError),
        (MemoryError(), errors.ResourceExhaustedError),
        (NotImplementedError(), errors.UnimplementedError),
        (errors.DataLossError("a"), errors.DataLossError),
    ],
    ids=lambda v: getattr(v, "__name__", type(v).__name__),
)
def test_python_exceptions_become_the_kinds_py_function_gives(raised, kind):
    def fn(x):
        x.numpy()
        raise raised

    out, error = ran(UserFunction(fn, SCALAR), ints(1), 5)
    assert out.num_rows == 0
    assert type(error) is kind
    assert error.__cause__ is raised
    assert "(element 5 of fn)" in str(error)


def test_keyboard_interrupt_is_not_an_error_of_an_element():
    def fn(x):
        x.numpy()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        UserFunction(fn, SCALAR).run_block(ints(1))


def test_run_row_raises():
    function = UserFunction(lambda x: 10 // x, SCALAR)
    assert function.run_row([np.asarray(2)]) == [5]
    with pytest.raises(errors.InvalidArgumentError, match=r"element 3"):
        function.run_row([np.asarray(0)], 3)


# -- predicates ----------------------------------------------------------------------


@pytest.mark.parametrize("vectorized", [False, True])
def test_run_mask(vectorized):
    function = UserFunction(lambda x: x % 2 == 0, SCALAR, what="filter")
    if vectorized:
        function = function.vectorized()
    mask, error = function.run_mask(ints(1, 2, 4))
    assert error is None
    assert mask.tolist() == [False, True, True]
    assert function.run_mask(ints())[0].tolist() == []


@pytest.mark.parametrize(
    "fn",
    [lambda x: x, lambda x: (x > 1, x > 1), lambda x: hr.stack([x > 1, x > 1])],
    ids=["int", "tuple", "vector"],
)  # fmt: skip
def test_a_predicate_must_return_a_scalar_bool(fn):
    with pytest.raises(ValueError, match=r"must return a `hr\.bool` scalar"):
        check_predicate(UserFunction(fn, SCALAR))


def test_an_eager_predicate_is_checked_when_it_runs():
    function = UserFunction(lambda x: x.numpy(), SCALAR)
    check_predicate(function)
    mask, error = function.run_mask(ints(1, 2))
    assert len(mask) == 0
    assert isinstance(error.take(), errors.InvalidArgumentError)


# -- composition and randomness ------------------------------------------------------


def test_compose_is_one_graph():
    f = UserFunction(lambda x: (x, x * 2), SCALAR)
    g = UserFunction(lambda a, b: {"sum": a + b}, f.output_spec)
    h = compose(f, g)
    assert h.name == "<lambda>+<lambda>"
    assert h.output_spec == {"sum": SCALAR}
    assert values(h.vectorized(), ints(1, 2)) == [3, 6]
    assert values(h, ints(1, 2)) == [3, 6]


def test_compose_needs_traces():
    f = UserFunction(lambda x: x, SCALAR)
    assert compose(f, UserFunction(lambda x: x.numpy(), SCALAR)) is None
    assert compose(UserFunction(lambda x: x.numpy(), SCALAR), f) is None


@pytest.mark.parametrize("first", [0, 7])
def test_random_numbers_depend_on_the_elements_position_not_on_the_block(first):
    function = UserFunction(lambda x: hr.random.uniform([2], seed=3), SCALAR)
    on_blocks = function.vectorized()
    assert on_blocks.mode == "block"
    block = ints(*range(10))
    whole = values(on_blocks, block)
    parts = []
    for k in (0, 4, 5):
        part = block[k : {0: 4, 4: 5, 5: 10}[k]]
        out, _ = ran(on_blocks, part, k)
        parts += out.columns[0].tolist()
    assert parts == whole
    assert len({tuple(v) for v in whole}) == 10
    shifted = on_blocks.run_block(block, first)[0].columns[0]
    assert (shifted[0].tolist() == whole[0]) == (first == 0)
    assert values(function, block) == whole


def dropout(**seed):
    layer = hr.keras.layers.Dropout(0.5, **seed)
    return lambda x: layer(hr.ones([8]), training=True)


DRAWS = {
    "map": lambda ds, **seed: ds.map(lambda x: hr.random.uniform([], **seed)),
    "parallel": lambda ds, **seed: ds.map(
        lambda x: hr.random.uniform([], **seed), num_parallel_calls=2
    ),
    "two maps": lambda ds, **seed: ds.map(lambda x: hr.random.normal([], **seed)).map(
        lambda x: x * 2.0
    ),
    "filter": lambda ds, **seed: ds.filter(lambda x: hr.random.uniform([], **seed) > 0.5),
    "layer": lambda ds, **seed: ds.map(dropout(**seed)),
    "shuffle": lambda ds, **seed: ds.map(lambda x: hr.random.shuffle(hr.range(9), **seed)),
    "strings": lambda ds, **seed: ds.map(lambda x: hr.random.shuffle(list("abcdefg"), **seed)),
    "sizes": lambda ds, **seed: ds.map(lambda x: hr.random.uniform([x % 3 + 1], **seed)),
    "orders": lambda ds, **seed: ds.map(
        lambda x: hr.random.shuffle(hr.range(x % 4 + 2), **seed)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DRAWS)
def test_every_pass_draws_anew_unless_a_seed_was_chosen(kind):
    def passes(dataset):
        return [[np.asarray(x).tolist() for x in dataset] for _ in range(2)]

    one, two = passes(DRAWS[kind](hr.data.Dataset.range(100)))
    assert one != two
    one, two = passes(DRAWS[kind](hr.data.Dataset.range(100), seed=5))
    assert one == two
    repeated = [
        np.asarray(x).tolist() for x in DRAWS[kind](hr.data.Dataset.range(50)).repeat(2)
    ]
    half = len(repeated) // 2
    assert repeated[:half] != repeated[half:]
    hr.random.set_seed(3)
    if kind != "layer":  # whose generator drew its seed when it was made
        one, two = passes(DRAWS[kind](hr.data.Dataset.range(100)))
        assert one == two


@pytest.mark.parametrize("kind", DRAWS)
def test_a_restored_pass_goes_on_with_its_own_draws(kind):
    dataset = DRAWS[kind](hr.data.Dataset.range(60))
    with iter(dataset) as iterator:
        for _ in range(5):
            next(iterator)
        state = iterator.state()
        rest = [np.asarray(x).tolist() for x in iterator]
    with iter(dataset) as iterator:
        iterator.restore(state)
        assert [np.asarray(x).tolist() for x in iterator] == rest


def test_python_that_is_not_traced_draws_by_the_element_too():
    def fn(x):
        drawn = hr.random.uniform([2], seed=3)
        again = hr.random.uniform([2], seed=3)
        assert x.numpy() >= 0 and not np.array_equal(drawn, again)
        return drawn, again

    dataset = hr.data.Dataset.range(9).map(fn)
    assert "eager" in dataset.explain() or "Python" in dataset.explain()
    one, two = ([np.asarray(x).tolist() for x in dataset] for _ in range(2))
    assert one == two
    with iter(dataset) as iterator:
        for _ in range(4):
            next(iterator)
        state = iterator.state()
    hr.random.uniform([5], seed=3)  # others draw meanwhile
    with iter(dataset) as iterator:
        iterator.restore(state)
        assert [np.asarray(x).tolist() for x in iterator] == one[4:]


@pytest.mark.parametrize("rows", [0, 1, 7])
@pytest.mark.parametrize("own", [False, True])
def test_shuffled_rows_are_those_of_blocks(own, rows):
    def fn(x):
        values = hr.range(rows, dtype="int64")
        return hr.random.shuffle(values + x if own else values, seed=2)

    function = UserFunction(fn, SCALAR)
    block = ints(*range(20))
    on_blocks = function.vectorized()
    assert on_blocks.mode == "block"
    found = values(on_blocks, block)
    assert values(function, block) == found
    for k, row in enumerate(found):
        assert sorted(row) == [v + k * own for v in range(rows)]
    if rows > 1:
        assert len({tuple(v - k * own for v in r) for k, r in enumerate(found)}) > 10


def test_an_error_counts_elements_from_the_pass():
    def fn(x):
        return hr.debugging.check_numerics(1.0 / hr.cast(x - 3, "float32"), "x") + (
            hr.random.uniform([])
        )

    with pytest.raises(ValueError, match="element 3 of fn"):
        list(hr.data.Dataset.range(9).map(fn))
