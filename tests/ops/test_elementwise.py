"""Functions of one number: each through the harness, at the edges and in every float dtype."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of

from headrace import errors
from headrace.ops import api as hr

X = np.array([[-2.3, -0.7, 0.4], [1.2, 0.9, 3.1]])
INSIDE = np.array([[-0.9, -0.4, 0.15], [0.3, 0.62, 0.88]])  # of (-1, 1)
ABOVE = np.array([[0.2, 0.7, 1.4], [1.2, 2.9, 3.1]])  # positive
OVER_1 = ABOVE + 1.1
ALL = ("float32", "float64", "float16", "bfloat16")
WIDE = ("float32", "float64")


def unary(name, x, path=None, kinds=ALL, **more):
    def peer(tf):
        found = tf
        for part in (path or f"math.{name}").split("."):
            found = getattr(found, part)
        return found

    return Case(name, getattr(hr, name), (x,), peer, kinds=kinds, **more)


CASES = [
    unary("negative", X),
    unary("abs", X),
    unary("sign", X),
    unary("square", X),
    unary("sqrt", ABOVE),
    unary("rsqrt", ABOVE),
    unary("reciprocal", X),
    unary("exp", X),
    unary("expm1", X),
    unary("log", ABOVE),
    unary("log1p", ABOVE),
    unary("sigmoid", X),
    unary("log_sigmoid", X),
    unary("tanh", X),
    unary("sin", X),
    unary("cos", X),
    unary("tan", INSIDE),
    unary("asin", INSIDE),
    unary("acos", INSIDE),
    unary("atan", X),
    unary("sinh", X),
    unary("cosh", X),
    unary("asinh", X),
    unary("acosh", OVER_1),
    unary("atanh", INSIDE),
    unary("floor", X, grad=False),
    unary("ceil", X, grad=False),
    unary("rint", X, grad=False, kinds=WIDE),
    unary("round", X, grad=False),
    unary("is_nan", X),
    unary("is_inf", X),
    unary("is_finite", X),
    unary("erf", X),
    unary("erfc", X),
    unary("erfinv", INSIDE, kinds=WIDE),
    unary("lgamma", ABOVE, tolerance=2e-5, kinds=WIDE),
    unary("digamma", ABOVE, tolerance=5e-5, kinds=WIDE),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_matches_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


SHAPES = [(), (0,), (1,), (2, 0, 3), (17,), (3, 1, 2)]


@pytest.mark.parametrize("case", [pytest.param(c, id=c.id) for c in CASES])
def test_any_shape_keeps_its_shape(case):
    """0-d, empty, odd and strided arrays are treated as any other."""
    for shape in SHAPES:
        x = np.full(shape, 1.5 if case.id == "acosh" else 0.5, np.float32)
        got = case.fn(hr.constant(x))
        assert got.shape.as_list() == list(shape)
        assert isinstance(got.numpy(), (np.ndarray, np.generic))
    wide = (
        np.linspace(1.1, 1.9, 12, dtype=np.float32).reshape(3, 4)
        if case.id == "acosh"
        else (np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(3, 4))
    )
    np.testing.assert_array_equal(
        case.fn(hr.Tensor.of(wide.T)).numpy(),
        case.fn(hr.constant(np.ascontiguousarray(wide.T))).numpy(),
    )


EDGES = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1.5,
        2.5,
        -2.5,
        100.0,
        -100.0,
        1e30,
        -1e30,
        np.inf,
        -np.inf,
        np.nan,
    ]
)


@pytest.mark.peers
@pytest.mark.parametrize(
    "case",
    [pytest.param(c, id=c.id) for c in CASES if c.id not in ("erfinv", "digamma", "lgamma")],
)
def test_special_values_match_tensorflow(tf, case):
    """Zeros, infinities, NaN and huge numbers, without any warning."""
    x = EDGES.astype(np.float32)
    if case.id in ("sin", "cos", "tan"):
        x = x[np.abs(x) < 1e29]  # the peer's argument reduction gives up on huge angles
    want = case.peer(tf)(tf.constant(x)).numpy()
    got = case.fn(hr.constant(x)).numpy()
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["exp", "log", "sqrt", "sigmoid", "tanh", "sin", "erf", "is_nan", "floor"]
)
def test_integers_are_refused(name):
    with pytest.raises(
        errors.InvalidArgumentError, match="not in the list of allowed values"
    ) as caught:
        getattr(hr, name)(hr.constant([1, 2]))
    assert "int32" in str(caught.value)


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "int64"])
@pytest.mark.parametrize("name", ["abs", "square", "negative", "sign"])
def test_integer_functions_match_tensorflow(tf, name, kind):
    info = np.iinfo(kind)
    if info.min == 0 and name in ("negative", "sign", "abs"):
        pytest.skip("TensorFlow has no kernel for it")
    x = np.array([info.min, info.max, 0, 1, 5], kind)
    if (kind, name) in {("uint8", "square"), ("int8", "square"), ("int16", "square")}:
        x = x[2:]
    got = getattr(hr, name)(hr.constant(x)).numpy()
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, getattr(tf.math, name)(tf.constant(x)).numpy())


def test_round_goes_to_even():
    np.testing.assert_array_equal(
        hr.round([0.5, 1.5, 2.5, -0.5]).numpy(), [0.0, 2.0, 2.0, -0.0]
    )
    x = hr.constant([1, 2])
    assert hr.round(x) is x


@pytest.mark.peers
@pytest.mark.parametrize(
    "name",
    ["abs", "real", "imag", "conj", "exp", "log", "sqrt", "tanh", "sign", "square", "negative"],
)
@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_complex_numbers_match_tensorflow(tf, name, kind):
    x = np.array([1 + 2j, -0.5 + 0.1j, 0.3 - 2j], kind)
    theirs, ours = tf.constant(x), hr.constant(x)
    with tf.GradientTape() as t1, hr.GradientTape() as t2:
        t1.watch(theirs)
        t2.watch(ours)
        want = getattr(tf.math, name)(theirs)
        got = getattr(hr, name)(ours)
    assert got.dtype.name == want.dtype.name
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5)
    if name != "sign":
        np.testing.assert_allclose(
            t2.gradient(got, ours).numpy(),
            t1.gradient(want, theirs).numpy(),
            rtol=1e-4,
            atol=1e-5,
        )


def test_sparse_tensors_keep_their_structure():
    sparse = hr.SparseTensor([[0, 1]], [4.0], [2, 2])
    assert hr.sqrt(sparse).values.numpy().tolist() == [2.0]
