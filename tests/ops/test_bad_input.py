"""Bad input: TensorFlow's kind of error, eagerly and traced, with the user's line."""

import re
import sys
import traceback

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph.fused import MIN_SIZE

F, B = "float32", "bool"


def ones(*shape, dtype=F):
    return np.ones(shape, dtype)


def ints(*values):
    return np.array(values, np.int32)


# Name: what is computed with which library, inputs, a part of the message that must be shared.
BAD = {
    "add": (lambda f, a, b: a + b, (ones(2, 3), ones(4, 5)), "[2,3] vs. [4,5]"),
    "maximum": (lambda f, a, b: f.maximum(a, b), (ones(2, 3), ones(4)), "[2,3] vs. [4]"),
    "chain": (
        lambda f, a, b: f.exp(f.tanh(a) * 2.0) + f.sin(b),
        (ones(2, 3), ones(4, 5)),
        "[2,3] vs. [4,5]",
    ),
    "large chain": (
        lambda f, a, b: f.reduce_sum(f.exp(f.tanh(a) * 2.0) + f.sin(b), -1),
        (ones(MIN_SIZE, 3), ones(MIN_SIZE, 5)),
        f"[{MIN_SIZE},3] vs. [{MIN_SIZE},5]",
    ),
    "less": (lambda f, a, b: a < b, (ones(2, 3), ones(2, 4)), "[2,3] vs. [2,4]"),
    "logical_and": (
        lambda f, a, b: f.logical_and(a, b),
        (ones(2, dtype=B), ones(3, dtype=B)),
        "[2] vs. [3]",
    ),
    "matmul": (lambda f, a, b: f.matmul(a, b), (ones(2, 3), ones(4, 5)), "[2,3]"),
    "batch matmul": (lambda f, a, b: f.matmul(a, b), (ones(2, 2, 3), ones(2, 4, 5)), "[2,2,3]"),
    "concat": (lambda f, a, b: f.concat([a, b], 0), (ones(2, 3), ones(2, 4)), "ConcatOp"),
    "stack": (lambda f, a, b: f.stack([a, b]), (ones(2), ones(3)), "hapes of all inputs"),
    "bias_add": (lambda f, a, b: f.nn.bias_add(a, b), (ones(2, 3), ones(4)), ""),
    "reshape": (lambda f, a: f.reshape(a, [7]), (ones(2, 3),), "6 values"),
    "where": (
        lambda f, c, a, b: f.where(c, a, b),
        (ones(2, dtype=B), ones(3), ones(4)),
        "",
    ),
    "split": (lambda f, a: f.split(a, 2), (ones(3),), ""),
    "gather": (lambda f, a, i: f.gather(a, i), (ones(3), ints(0, 3)), "[0, 3)"),
    "gather negative": (lambda f, a, i: f.gather(a, i), (ones(3), ints(-1)), "= -1 is not in"),
    "gather rows": (lambda f, a, i: f.gather(a, i, axis=1), (ones(2, 4), ints(9)), "[0, 4)"),
    "gather_nd": (
        lambda f, a, i: f.gather_nd(a, i), (ones(3, 2), ints(0, 2).reshape(1, 2)), "[0, 2]",
    ),
    "embedding": (
        lambda f, a, i: f.nn.embedding_lookup(a, i), (ones(3, 2), ints(5)), "[0, 3)",
    ),
    "scatter": (
        lambda f, a, i: f.tensor_scatter_nd_update(a, i, [1.0]),
        (ones(3), ints(7).reshape(1, 1)),
        "",
    ),
    "scatter_nd": (lambda f, i, u: f.scatter_nd(i, u, [3]), (ints([7]), ones(1)), ""),
    "segment_sum": (
        lambda f, a, i: f.math.segment_sum(a, i), (ones(2), ints(1, 0)), "",
    ),
    "floordiv": (lambda f, a, b: a // b, (ints(1, 2), ints(1, 0)), "by zero"),
    "floormod": (lambda f, a, b: a % b, (ints(1, 2), ints(1, 0)), "by zero"),
    "truncatediv": (lambda f, a, b: f.truncatediv(a, b), (ints(1), ints(0)), "by zero"),
    "truncatemod": (lambda f, a, b: f.truncatemod(a, b), (ints(1), ints(0)), "by zero"),
    "sparse_xent": (
        lambda f, y, x: f.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=x),
        (ints(0, 1, 2), ones(2, 3)),
        "",
    ),
    "conv": (
        lambda f, x, k: f.nn.conv2d(x, k, 1, "SAME"),
        (ones(1, 4, 4, 3), ones(2, 2, 5, 7)),
        "",
    ),
    "slice": (lambda f, a: f.slice(a, [2], [5]), (ones(3),), ""),
    "top_k": (lambda f, a: f.math.top_k(a, 9), (ones(3),), ""),
    "one axis": (lambda f, a: f.reduce_sum(a, 4), (ones(2, 3),), ""),
    "transpose": (lambda f, a: f.transpose(a, [0]), (ones(2, 3),), ""),
    "expand_dims": (lambda f, a: f.expand_dims(a, 9), (ones(2),), ""),
    "squeeze": (lambda f, a: f.squeeze(a, [0]), (ones(2),), ""),
    "inverse": (lambda f, a: f.linalg.inv(a), (0 * ones(2, 2),), "not invertible"),
    "pad": (lambda f, a: f.pad(a, [[1, 1]]), (ones(2, 3),), ""),
    "tile": (lambda f, a: f.tile(a, [2]), (ones(2, 3),), ""),
    "broadcast_to": (lambda f, a: f.broadcast_to(a, [4]), (ones(3),), ""),
}  # fmt: skip

MODES = ["eager", "traced", "unknown sizes"]


def attempt(lib, mode, fn, arrays):
    """The error of `fn` with the library `lib`, or None."""
    inputs = [lib.constant(a) for a in arrays]

    def call(*args):
        return fn(lib, *args)

    try:
        if mode == "eager":
            call(*inputs)
        elif mode == "traced":
            lib.function(call, autograph=False)(*inputs)
        else:
            specs = [lib.TensorSpec([None] * a.ndim, a.dtype) for a in arrays]
            lib.function(call, input_signature=specs, autograph=False)(*inputs)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", BAD)
def test_every_mode_names_the_users_line(name, mode):
    fn, arrays, part = BAD[name]
    error = attempt(hr, mode, fn, arrays)
    assert isinstance(error, (ValueError, IndexError)), error
    assert part in str(error)
    line = fn.__code__.co_firstlineno
    if getattr(error, "place", None) is None:  # refused before any call: Python's own lines
        places = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
        assert any(f == __file__ and line <= n <= line + 2 for f, n in places)
    else:
        assert "[Op:" in str(error)
        file, number = error.place
        assert file == __file__ and line <= number <= line + 2
        if "(node " in str(error):
            assert f"traced at {file}:{number}" in str(error)
            assert re.search(r"inputs: \w+\[[\d,]*\]", str(error))
        else:
            assert f"Called at {file}:{number}" in "".join(error.__notes__)


@pytest.mark.peers
@pytest.mark.parametrize("mode", MODES)
def test_kinds_are_those_of_tensorflow(mode):
    tf = pytest.importorskip("tensorflow")
    different = []
    for name, (fn, arrays, _) in BAD.items():
        ours, theirs = attempt(hr, mode, fn, arrays), attempt(tf, mode, fn, arrays)
        kind = type(theirs).__name__
        if kind == "InternalError":  # "Unexpected error in binary operator", of a zero divisor
            assert "truncate" in name and isinstance(ours, hr.errors.InvalidArgumentError)
            continue
        if isinstance(theirs, tf.errors.OpError):
            same = isinstance(ours, getattr(hr.errors, kind.lstrip("_"), ()))
        else:
            same = theirs is not None and isinstance(ours, type(theirs))
        if not same:
            different.append((name, kind, type(ours).__name__))
    assert not different


def test_dtypes_that_differ_name_both_and_the_line():
    line = sys._getframe().f_lineno + 2
    with pytest.raises(hr.errors.InvalidArgumentError, match="float tensor but is a") as found:
        hr.add(hr.constant(1.0), hr.constant(1))
    assert found.value.place == (__file__, line)


@pytest.mark.parametrize("size", [3, MIN_SIZE])
def test_an_error_in_a_fused_chain_names_its_call(size):
    @hr.function(input_signature=[hr.TensorSpec([None, None])] * 2)
    def chain(a, b):
        c = hr.exp(a) * 2.0
        d = hr.tanh(c)
        return d + hr.sin(b)

    assert "_Fused" in {
        n.type
        for n in chain.get_concrete_function(*chain.input_signature).graph.compile().graph
    }
    with pytest.raises(hr.errors.InvalidArgumentError) as found:
        chain(hr.ones([size, 3]), hr.ones([size, 4]))
    line = chain.python_function.__code__.co_firstlineno + 4
    assert f"[Op:AddV2] (node AddV2, inputs: float32[{size},3], float32[{size},4]" in str(
        found.value
    )
    assert str(found.value).endswith(f"traced at {__file__}:{line})")


def test_an_error_in_a_branch_or_a_gradient_names_the_line_of_the_call():
    @hr.function(input_signature=[hr.TensorSpec([None]), hr.TensorSpec([None])])
    def branch(a, b):
        return hr.cond(hr.reduce_sum(a) > 0, lambda: a + b, lambda: a)

    with pytest.raises(hr.errors.InvalidArgumentError, match=r"\[2\] vs. \[3\]") as found:
        branch(hr.ones([2]), hr.ones([3]))
    assert found.value.place[1] == branch.python_function.__code__.co_firstlineno + 2
    assert str(found.value).count("traced at") == 1

    @hr.function
    def gradient(a):
        with hr.GradientTape() as tape:
            tape.watch(a)
            b = hr.tanh(a)
        return tape.gradient(b, a)

    nodes = gradient.get_concrete_function(hr.TensorSpec([None])).graph.nodes
    first = gradient.python_function.__code__.co_firstlineno
    assert {n.place[1] - first for n in nodes if n.type == "TanhGrad"} <= {4}
    assert 4 in {n.place[1] - first for n in nodes}


def test_map_functions_run_on_blocks_with_their_lines():
    indices = hr.data.Dataset.range(8)
    table = hr.constant([1.0, 2.0, 3.0])
    line = sys._getframe().f_lineno + 1
    dataset = indices.map(lambda i: hr.gather(table, i))
    got = []
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"not in \[0, 3\)") as found:
        for value in dataset:
            got.append(float(value))
    assert got == [1.0, 2.0, 3.0]
    assert f"{__file__}:{line}" in str(found.value)


# -- values that wrap, as in TensorFlow -------------------------------------------------------

WRAPS = {
    "add": lambda f, a, b: a + b,
    "sub": lambda f, a, b: -a - b,
    "mul": lambda f, a, b: a * b,
    "neg": lambda f, a, b: -a,
    "abs": lambda f, a, b: f.abs(a),
    "square": lambda f, a, b: f.square(a),
    "sum": lambda f, a, b: f.reduce_sum(f.stack([a, b]), 0),
    "prod": lambda f, a, b: f.reduce_prod(f.stack([a, b, b]), 0),
    "cumsum": lambda f, a, b: f.cumsum(a),
    "chain": lambda f, a, b: (a * b + a) * b - a,
    "cast": lambda f, a, b: f.cast(a, "int8"),
}


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint64"])
def test_integers_wrap_as_in_tensorflow(dtype):
    tf = pytest.importorskip("tensorflow")
    info = np.iinfo(dtype)
    a = np.array([info.max, info.min, info.max, 3], dtype)
    b = np.array([1, info.max, info.max, 100], dtype)
    for name, fn in WRAPS.items():
        if info.min == 0 and name in ("neg", "abs", "sub"):
            continue
        want = fn(tf, tf.constant(a), tf.constant(b)).numpy()
        for mode in (lambda f: f, hr.function):
            got = mode(lambda x, y, fn=fn: fn(hr, x, y))(hr.constant(a), hr.constant(b))
            np.testing.assert_array_equal(got.numpy(), want, err_msg=f"{name} {dtype}")


# -- enable_check_numerics --------------------------------------------------------------------


@pytest.fixture
def checked():
    hr.debugging.enable_check_numerics()
    yield
    hr.debugging.disable_check_numerics()


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("fn", "op", "kinds"),
    [
        (lambda x: hr.math.log(x), "Log", "1 -Inf, 1 NaN"),
        (lambda x: hr.exp(x * 1e3) * 2.0, "Exp", "1 +Inf"),
        (lambda x: 1.0 + hr.sqrt(x), "Sqrt", "1 NaN"),
        (lambda x: hr.reduce_sum(x / 0.0), "RealDiv", "1 -Inf, 1 +Inf, 1 NaN"),
    ],
)
def test_the_first_call_with_such_a_value_is_named(checked, fn, op, kinds, traced):
    run = hr.function(fn) if traced else fn
    with pytest.raises(hr.errors.InvalidArgumentError) as found:
        run(hr.constant([-1.0, 0.0, 1.0]))
    text = str(found.value)
    assert f'op "{op}"' in text and f"({kinds})" in text
    assert f"{fn.__code__.co_firstlineno} [Op:{op}]" in text
    assert ("graph op" in text) == traced


def test_it_holds_for_functions_compiled_before_and_ends(checked):
    hr.debugging.disable_check_numerics()
    log = hr.function(lambda x: hr.math.log(x))
    zero = hr.constant([0.0])
    assert np.isneginf(log(zero).numpy())
    hr.debugging.enable_check_numerics()
    hr.debugging.enable_check_numerics()  # a second time changes nothing
    with pytest.raises(hr.errors.InvalidArgumentError):
        log(zero)
    hr.debugging.disable_check_numerics()
    hr.debugging.disable_check_numerics()
    assert np.isneginf(log(zero).numpy())
    from headrace.ops.context import recording

    assert recording.count == 0


def test_it_finds_what_training_makes(checked):
    model = hr.keras.Sequential([hr.keras.Input((2,)), hr.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2), "f"), np.ones((4, 1), "f"), verbose=0)
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"Detected Infinity or NaN"):
        model.fit(np.full((4, 2), 1e30, "f"), np.ones((4, 1), "f"), verbose=0)


@pytest.mark.peers
def test_it_raises_where_tensorflow_does(checked):
    tf = pytest.importorskip("tensorflow")
    values = np.array([-1.0, 0.0, 2.0, np.inf, np.nan], np.float32)
    calls = {
        "log": lambda f, x: f.math.log(x),
        "reshape": lambda f, x: f.reshape(x, [5, 1]),
        "add": lambda f, x: x + 1.0,
        "isnan": lambda f, x: f.math.is_nan(x),
        "concat": lambda f, x: f.concat([x, x], 0),
        "gather": lambda f, x: f.gather(x, [0]),
        "identity": lambda f, x: f.identity(x),
        "cast": lambda f, x: f.cast(x, "float64"),
    }
    for name, call in calls.items():
        for given in (values, values[:3]):
            tf.debugging.enable_check_numerics()
            try:
                raised = False
                try:
                    call(tf, tf.constant(given))
                except tf.errors.InvalidArgumentError:
                    raised = True
            finally:
                tf.debugging.disable_check_numerics()
            ours = attempt(hr, "eager", lambda f, x, c=call: c(f, x), (given,))
            assert (ours is not None) == raised, name
