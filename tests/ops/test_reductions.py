"""Reductions, arg-extrema and scans over every kind of axis."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of

from headrace import errors
from headrace.ops import api as hr

X = np.array([[[1.3, -2.1, 0.4], [2.2, 0.9, -3.1]], [[0.3, 1.7, -0.2], [-1.1, 0.6, 2.5]]])
POSITIVE = np.abs(X) + 0.1
INTS = np.array([[7, -7, 5], [2, -3, 9]], np.int32)
B = np.array([[True, False, True], [True, True, True]])
ALL = ("float32", "float64", "float16", "bfloat16")
WIDE = ("float32", "float64")
AXES = {"all": None, "0": 0, "last": -1, "pair": [0, 2], "unsorted": (-1, 0), "none": []}


def over_axes(name, x, kinds=ALL, **more):
    cases = []
    for label, axis in AXES.items():
        for keepdims in (False, True):
            cases.append(
                Case(
                    f"{name}-{label}{'-keep' if keepdims else ''}",
                    lambda t, axis=axis, k=keepdims: getattr(hr, name)(
                        t, axis=axis, keepdims=k
                    ),
                    (x,),
                    lambda tf, axis=axis, k=keepdims: (
                        lambda t: getattr(tf.math, name)(t, axis=axis, keepdims=k)
                    ),
                    kinds=kinds if label in ("all", "last") and not keepdims else ("float32",),
                    **more,
                )
            )
    return cases


def along(name, x, tag="", kinds=WIDE, **attrs):
    cases = []
    for axis in (0, 1, -1):
        cases.append(
            Case(
                f"{name}{tag}-{axis}",
                lambda t, axis=axis: getattr(hr, name)(t, axis=axis, **attrs),
                (x,),
                lambda tf, axis=axis: lambda t: getattr(tf.math, name)(t, axis=axis, **attrs),
                kinds=kinds,
            )
        )
    return cases


CASES = [
    *over_axes("reduce_sum", X),
    *over_axes("reduce_mean", X),
    *over_axes("reduce_prod", X),
    *over_axes("reduce_max", X),
    *over_axes("reduce_min", X),
    *over_axes("reduce_logsumexp", X, kinds=WIDE),
    *over_axes("reduce_variance", X, kinds=WIDE),
    *over_axes("reduce_std", X, kinds=WIDE)[:-2],  # of single elements it has no derivative
    *over_axes("reduce_euclidean_norm", X, kinds=WIDE),
    *along("argmax", X),
    *along("argmin", X),
    *along("cumsum", X),
    *along("cumsum", X, "-exclusive", exclusive=True),
    *along("cumsum", X, "-reverse", reverse=True),
    *along("cumsum", X, "-both", exclusive=True, reverse=True),
    *along("cumprod", X),
    *along("cumprod", X, "-both", exclusive=True, reverse=True),
    *along("cumulative_logsumexp", X),
    Case(
        "sum-int",
        lambda t: hr.reduce_sum(t, 0),
        (INTS,),
        lambda tf: lambda t: tf.reduce_sum(t, 0),
    ),
    Case(
        "mean-int",
        lambda t: hr.reduce_mean(t, 1),
        (INTS,),
        lambda tf: lambda t: tf.reduce_mean(t, 1),
    ),
    Case(
        "max-int",
        lambda t: hr.reduce_max(t, 1),
        (INTS,),
        lambda tf: lambda t: tf.reduce_max(t, 1),
    ),
    Case(
        "cumsum-int", lambda t: hr.cumsum(t, 1), (INTS,), lambda tf: lambda t: tf.cumsum(t, 1)
    ),
    Case("all", lambda t: hr.reduce_all(t, 1), (B,), lambda tf: lambda t: tf.reduce_all(t, 1)),
    Case(
        "any",
        lambda t: hr.reduce_any(~t, 0, keepdims=True),
        (B,),
        lambda tf: lambda t: tf.reduce_any(~t, 0, keepdims=True),
    ),
    Case("all-everything", hr.reduce_all, (B,), lambda tf: tf.reduce_all),
    Case(
        "count_nonzero",
        lambda t: hr.count_nonzero(t, 1),
        (INTS,),
        lambda tf: lambda t: tf.math.count_nonzero(t, 1),
    ),
    Case(
        "argmax-int32",
        lambda t: hr.argmax(t, 1, output_type=hr.int32),
        (X,),
        lambda tf: lambda t: tf.argmax(t, 1, output_type=tf.int32),
    ),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_matches_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


NAMES = ["reduce_sum", "reduce_mean", "reduce_prod", "reduce_max", "reduce_min"]


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (0, 2), ()])
def test_empty_and_scalar_inputs_match_tensorflow(tf, name, shape):
    for axis in [None, *range(len(shape))]:
        for kind in ("float32", "int32"):
            if name == "reduce_mean" and kind == "int32":
                continue  # an integer mean of nothing stops TensorFlow's process
            x = np.ones(shape, kind)
            want = getattr(tf, name)(x, axis).numpy()
            got = getattr(hr, name)(hr.constant(x), axis).numpy()
            np.testing.assert_array_equal(got, want)
            assert got.dtype == want.dtype


@pytest.mark.parametrize("name", [*NAMES, "reduce_logsumexp"])
def test_bad_axes(name):
    x = hr.ones([2, 3])
    with pytest.raises(
        errors.InvalidArgumentError,
        match=r"Invalid reduction dimension 2 for input with 2 dimension",
    ):
        getattr(hr, name)(x, 2)
    with pytest.raises(errors.InvalidArgumentError, match="duplicate"):
        getattr(hr, name)(x, [0, -2])


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "int64"])
def test_integer_sums_wrap_and_means_are_cut(tf, kind):
    x = np.array([100, 100, 27, -3, -4] if kind != "uint8" else [200, 100, 27], kind)
    for name in ("reduce_sum", "reduce_mean", "reduce_prod", "reduce_max"):
        want = getattr(tf, name)(x).numpy()
        got = getattr(hr, name)(hr.constant(x)).numpy()
        assert got.dtype == x.dtype
        if name != "reduce_mean" or kind in ("int32", "int64"):
            assert got == want
    assert hr.reduce_mean([-1, -2]).numpy() == -1 and hr.reduce_mean([1, 2]).numpy() == 1


def test_prod_gradient_is_exact_at_zeros():
    x = hr.constant([2.0, 0.0, 3.0])
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.reduce_prod(x)
    assert tape.gradient(y, x).numpy().tolist() == [0.0, 6.0, 0.0]


def test_equal_extrema_share_the_gradient():
    x = hr.constant([2.0, 1.0, 2.0])
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.reduce_max(x)
    assert tape.gradient(y, x).numpy().tolist() == [0.5, 0.0, 0.5]


def test_logsumexp_does_not_overflow():
    assert hr.reduce_logsumexp([1000.0, 1000.0]).numpy() == pytest.approx(
        1000 + np.log(2), rel=1e-6
    )
    assert hr.reduce_logsumexp([-np.inf, -np.inf]).numpy() == -np.inf
    assert hr.reduce_logsumexp([np.inf, 0.0]).numpy() == np.inf


def test_16_bit_sums_accumulate_in_float32():
    x = hr.ones([4096], hr.float16)
    assert hr.reduce_sum(x).numpy() == 4096
    assert hr.reduce_sum(hr.ones([1000], hr.bfloat16)).numpy() == 1000
    assert hr.reduce_sum(hr.ones([1000], hr.bfloat16)).dtype is hr.bfloat16


def test_arg_extrema():
    assert hr.argmax([[1, 5, 5], [7, 0, 1]]).numpy().tolist() == [1, 0, 0]
    assert hr.argmax([1, 5, 5]).dtype is hr.int64
    assert hr.argmin([3.0, 1.0, 1.0]).numpy() == 1
    with pytest.raises(errors.InvalidArgumentError, match="empty"):
        hr.argmax(hr.ones([2, 0]), 1)
    with pytest.raises(errors.InvalidArgumentError, match="dimension"):
        hr.argmax(hr.ones([2]), 1)


def test_count_nonzero_of_strings_and_bools():
    assert hr.count_nonzero(["", "a", "b"]).numpy() == 2
    assert hr.count_nonzero([[True, False], [True, True]], axis=1).numpy().tolist() == [1, 2]
    assert hr.count_nonzero([0.0, 1.0], dtype=hr.int32).dtype is hr.int32


def test_variance_of_integers_is_refused():
    with pytest.raises(TypeError, match="integer type"):
        hr.reduce_variance([1, 2])


def test_axis_may_be_a_known_tensor():
    x = hr.ones([2, 3])
    assert hr.reduce_sum(x, hr.constant([1])).numpy().tolist() == [3, 3]

    @hr.function
    def summed(t):
        return hr.reduce_sum(t, hr.constant(0))

    assert summed(x).numpy().tolist() == [2, 2, 2]


# -- segments ---------------------------------------------------------------------------------

DATA = np.array([[1.2, -0.4], [2.3, 0.7], [-0.6, 1.9], [0.8, 2.2], [1.1, -1.5]])
SORTED = np.array([0, 0, 2, 2, 3], np.int32)
IDS = np.array([2, 0, 2, -1, 0], np.int32)


def segment(name, ids=SORTED):
    return Case(
        name,
        lambda d: getattr(hr, name)(d, ids),
        (DATA,),
        lambda tf: lambda d: getattr(tf.math, name)(d, ids),
        batch=False,
        kinds=WIDE,
    )


def unsorted(name):
    name = f"unsorted_{name}"
    return Case(
        name,
        lambda d: getattr(hr, name)(d, IDS, 4),
        (DATA,),
        lambda tf: lambda d: getattr(tf.math, name)(d, IDS, 4),
        batch=False,
        kinds=WIDE,
    )


SEGMENTS = [
    *[segment(f"segment_{k}") for k in ("sum", "mean", "prod", "max", "min")],
    *[unsorted(f"segment_{k}") for k in ("sum", "mean", "sqrt_n", "prod", "max", "min")],
]


@pytest.mark.parametrize("case", [pytest.param(c, id=c.id) for c in SEGMENTS])
def test_segments_match_tensorflow(tf, case):
    second = case.id not in ("segment_prod", "unsorted_segment_prod")
    check_against_tensorflow(
        tf, Case(case.id, case.fn, case.args, case.peer, second=second), "float32"
    )


@each([c for c in SEGMENTS if "segment_sum" in c.id or "segment_mean" in c.id])
def test_segment_laws(case):
    check_laws(Case(case.id, case.fn, case.args, batch=False, notes={"dynamic_shape": True}))


def test_segment_errors():
    with pytest.raises(errors.InvalidArgumentError, match="not increasing"):
        hr.segment_sum([1.0, 2.0], [1, 0])
    with pytest.raises(errors.InvalidArgumentError, match="same size"):
        hr.segment_sum([1.0, 2.0], [0])
    with pytest.raises(errors.InvalidArgumentError, match="out of range"):
        hr.unsorted_segment_sum([1.0, 2.0], [0, 5], 3)
    assert hr.unsorted_segment_sum(
        hr.zeros([0, 2]), hr.zeros([0], hr.int32), 2
    ).numpy().tolist() == [[0, 0], [0, 0]]
    assert hr.unsorted_segment_sum(
        [[1.0, 2.0], [4.0, 8.0]], [[0, 1], [1, 1]], 2
    ).numpy().tolist() == [1, 14]
