"""Comparisons, logic, bits, and Python's operators for them."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of

from headrace import errors
from headrace.ops import api as hr

X = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 3.0]])
Y = np.array([[1.0, 1.5, 4.0], [0.0, -2.0, 3.0]])
INTS = np.array([[6, -3, 12], [0, 7, 1]], np.int32)
OTHERS = np.array([[3, 5, 1], [2, 4, 31]], np.int32)
P = np.array([True, True, False, False])
Q = np.array([True, False, True, False])
S = np.array([["a", "bb", ""], ["abc", "x", "zz"]], object)
T = np.array([["a", "bc", ""], ["abd", "", "zz"]], object)


def path(tf, dotted):
    for part in dotted.split("."):
        tf = getattr(tf, part)
    return tf


def case(name, x, y, dotted=None, **more):
    return Case(
        f"{name}-{np.asarray(x).dtype}",
        getattr(hr, name),
        (x, y),
        lambda tf: path(tf, dotted or name),
        **more,
    )


COMPARE = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
CASES = [
    *[
        case(n, X, Y, f"math.{n}", kinds=("float32", "float64", "float16", "bfloat16"))
        for n in COMPARE
    ],
    *[case(n, INTS, OTHERS, f"math.{n}") for n in COMPARE],
    *[
        Case(f"{n}-row", getattr(hr, n), (X, Y[0]), lambda tf, n=n: path(tf, f"math.{n}"))
        for n in COMPARE
    ],
    case("equal", S, T, "math.equal"),
    case("not_equal", S, T, "math.not_equal"),
    Case("equal-string-row", hr.equal, (S, T[0]), lambda tf: tf.equal),
    case("equal", P, Q, "math.equal"),
    case("logical_and", P, Q, "math.logical_and"),
    case("logical_or", P, Q, "math.logical_or"),
    case("logical_xor", P, Q, "math.logical_xor"),
    Case("logical_not", hr.logical_not, (P,), lambda tf: tf.logical_not),
    Case("bitwise_and", hr.bitwise_and, (INTS, OTHERS), lambda tf: tf.bitwise.bitwise_and),
    Case("bitwise_or", hr.bitwise_or, (INTS, OTHERS), lambda tf: tf.bitwise.bitwise_or),
    Case("bitwise_xor", hr.bitwise_xor, (INTS, OTHERS), lambda tf: tf.bitwise.bitwise_xor),
    Case("bitwise_invert", hr.bitwise_invert, (INTS,), lambda tf: tf.bitwise.invert),
    Case("left_shift", hr.left_shift, (INTS, OTHERS), lambda tf: tf.bitwise.left_shift),
    Case("right_shift", hr.right_shift, (INTS, OTHERS), lambda tf: tf.bitwise.right_shift),
    Case(
        "approximate_equal",
        lambda x, y: hr.approximate_equal(x, y, 0.6),
        (X, Y),
        lambda tf: lambda x, y: tf.raw_ops.ApproximateEqual(x=x, y=y, tolerance=0.6),
    ),
    Case(
        "operators-bool",
        lambda p, q: (p & q) | (~p ^ q),
        (P, Q),
        lambda tf: lambda p, q: (p & q) | (~p ^ q),
    ),
    Case(
        "operators-int",
        lambda p, q: (p & q) | (~p ^ q),
        (INTS, OTHERS),
        lambda tf: lambda p, q: (p & q) | (~p ^ q),
    ),
    Case(
        "operators-compare",
        lambda x, y: ((x < y) | (x > y)) == (x != y),
        (X, Y),
        lambda tf: lambda x, y: ((x < y) | (x > y)) == (x != y),
    ),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_matches_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


def test_nan_is_equal_to_nothing():
    x = hr.constant([np.nan, 1.0])
    assert hr.equal(x, x).numpy().tolist() == [False, True]
    assert hr.not_equal(x, x).numpy().tolist() == [True, False]
    assert hr.less(x, 2.0).numpy().tolist() == [False, True]


def test_equality_operators_of_other_shapes_and_none():
    x = hr.constant([1, 2])
    assert (x == None) is False and (x != None) is True  # noqa: E711
    assert (x == hr.constant([1, 2, 3])).numpy() == False  # noqa: E712
    assert (x != hr.constant([1, 2, 3])).numpy() == True  # noqa: E712
    assert (x == [1, 5]).numpy().tolist() == [True, False]
    assert (1 == x).numpy().tolist() == [True, False]


def test_errors():
    with pytest.raises(errors.InvalidArgumentError, match="Incompatible shapes"):
        hr.less(hr.ones([2]), hr.ones([3]))
    with pytest.raises(errors.InvalidArgumentError, match="allowed values"):
        hr.less("a", "b")
    with pytest.raises(errors.InvalidArgumentError):
        hr.logical_and(hr.constant([1]), hr.constant([2]))
    with pytest.raises(errors.InvalidArgumentError, match="allowed values"):
        hr.bitwise_and(1.0, 2.0)
    with pytest.raises(ValueError):
        hr.approximate_equal(hr.ones([2]), hr.ones([3]))


# -- strings, against Python's bytes ----------------------------------------------------------

WORDS = [b"", b"a", b"ab", b"abc", b"b", b"\x00", b"\xff\x00", b"long " * 40, b"abd"]


@pytest.mark.parametrize("shape", [(), (1,), (9,), (3, 3), (0,), (2, 0)])
def test_string_functions_equal_pythons(shape):
    rng = np.random.default_rng(3)
    n = int(np.prod(shape))
    a = [WORDS[i] for i in rng.integers(0, len(WORDS), n)]
    b = [w if rng.random() < 0.5 else WORDS[rng.integers(0, len(WORDS))] for w in a]
    x = (
        hr.constant(np.array([*a, None], object)[:-1].reshape(shape))
        if n
        else hr.zeros(shape, hr.string)
    )
    y = (
        hr.constant(np.array([*b, None], object)[:-1].reshape(shape))
        if n
        else hr.zeros(shape, hr.string)
    )

    def flat(t):
        return np.asarray(t.numpy(), object).reshape(-1).tolist()

    assert flat(hr.equal(x, y)) == [p == q for p, q in zip(a, b, strict=True)]
    assert flat(hr.not_equal(x, y)) == [p != q for p, q in zip(a, b, strict=True)]
    assert flat(hr.add(x, y)) == [p + q for p, q in zip(a, b, strict=True)]
    for other in WORDS:
        assert flat(x == other) == [p == other for p in a]
        assert flat(other + x) == [other + p for p in a]


def test_string_views_compare_by_what_they_show():
    x = hr.constant(["one", "two", "one", "three"])
    assert (x[::2] == x[0]).numpy().tolist() == [True, True]
    assert (x[::-1] == x).numpy().tolist() == [False, False, False, False]
    assert (x[1:3] + x[:2]).numpy().tolist() == [b"twoone", b"onetwo"]
