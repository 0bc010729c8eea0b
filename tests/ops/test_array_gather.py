"""gather, gather_nd, boolean_mask and where."""

import numpy as np
import pytest

from headrace import errors
from headrace.ops import api as hr

from .harness import Case, check_against_tensorflow, check_laws, each, peers_of
from .test_array_shape import A, B, S, op

K = np.array([1, 0, 1, 1])
J = np.array([[2, 0], [1, 1]], np.int32)
C = np.array([[True, False, True], [False, False, True]])

CASES = [
    op("gather", lambda m, x, i: m.gather(x, i), A, K, kinds=("float32", "bfloat16")),
    op("gather-matrix", lambda m, x, i: m.gather(x, i, axis=1), A, J),
    op("gather-last", lambda m, x, i: m.gather(x, i, axis=-1), A, J),
    op("gather-scalar", lambda m, x, i: m.gather(x, i, axis=1), A, np.int32(2)),
    op("gather-none", lambda m, x, i: m.gather(x, i, axis=0), A, K[:0]),
    op("gather-batch", lambda m, x, i: m.gather(x, i, batch_dims=1), A, J),
    op("gather-batch-axis", lambda m, x, i: m.gather(x, i, axis=2, batch_dims=1), A, J),
    op("gather-batch-negative", lambda m, x, i: m.gather(x, i, axis=1, batch_dims=-1), A, J),
    op("gather-strings", lambda m, x, i: m.gather(x, i, axis=1), S, K),
    op("gather-strings-batch", lambda m, x, i: m.gather(x, i, batch_dims=1), S, J % 2),
    op("gather_nd", lambda m, x, i: m.gather_nd(x, i), A, np.array([[1, 1], [0, 0], [1, 0]])),
    op(
        "gather_nd-elements",
        lambda m, x, i: m.gather_nd(x, i),
        A,
        np.array([[[1, 1, 0]], [[0, 1, 0]]]),
    ),
    op("gather_nd-rows", lambda m, x, i: m.gather_nd(x, i), A, np.array([[1], [1], [0]])),
    op(
        "gather_nd-whole",
        lambda m, x, i: m.gather_nd(x, i),
        A,
        np.zeros((2, 0), np.int32),
        grad=False,
    ),
    Case("gather_nd-whole-gradient", hr.gather_nd, (A, np.zeros((2, 0), np.int32))),
    op(
        "gather_nd-batch",
        lambda m, x, i: m.gather_nd(x, i, batch_dims=1),
        A,
        np.array([[[2, 0]], [[1, 2]]]),
    ),
    op("gather_nd-strings", lambda m, x, i: m.gather_nd(x, i), S, np.array([[1, 1], [0, 1]])),
    op("boolean_mask", lambda m, x: m.boolean_mask(x, C), A, batch=False, dynamic_shape=True),
    op(
        "boolean_mask-axis",
        lambda m, x: m.boolean_mask(x, C[0], axis=1),
        A,
        batch=False,
        dynamic_shape=True,
    ),
    op(
        "boolean_mask-strings",
        lambda m, x: m.boolean_mask(x, C[:, 1:]),
        S,
        batch=False,
        dynamic_shape=True,
    ),
    op("where", lambda m, c, x, y: m.where(c, x, y), C, A[:, :, 0], A[:, :, 1]),
    op("where-broadcast", lambda m, c, x, y: m.where(c, x, y), C, A[:1, :, 0], 7.5),
    op(
        "where-row",
        lambda m, c, x, y: m.where(c, x, y),
        C[0],
        A[:, :, 0],
        A[:, :, 1],
        kinds=("float32", "bfloat16"),
    ),
    op("where-strings", lambda m, c, x: m.where(c, x, "none"), C[:, :2], S),
    op("where-integers", lambda m, c, x: m.where(c, x, -1), C, B),
    op("where-places", lambda m, c: m.where(c), C, batch=False, dynamic_shape=True),
    op("where-nonzero", lambda m, x: m.where(x), B, batch=False, dynamic_shape=True),
    Case("where-scalar", hr.where, (True,), batch=False, notes={"dynamic_shape": True}),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_like_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


def test_the_gradient_of_a_gather_of_rows_is_sparse():
    x = hr.constant(A)
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.gather(x, [1, 1]) * 2.0
    g = tape.gradient(y, x)
    assert isinstance(g, hr.IndexedSlices)
    assert g.indices.numpy().tolist() == [1, 1] and g.shape == x.shape
    dense = hr.convert_to_tensor(g).numpy()
    assert dense[0].sum() == 0 and (dense[1] == 4).all()


def test_sparse_gradients_of_several_gathers_add_up():
    v = hr.Variable(A)

    @hr.function
    def slope():
        with hr.GradientTape() as tape:
            y = hr.reduce_sum(hr.gather(v, [0, 1, 1])) + hr.reduce_sum(hr.gather(v, [1]))
        return tape.gradient(y, v)

    dense = hr.convert_to_tensor(slope()).numpy()
    assert (dense[0] == 1).all() and (dense[1] == 3).all()


def test_gathering_many_repeated_rows_sums_exactly():
    """The fast path for repeated rows gives what element-wise addition gives."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 7, 200)
    weights = rng.normal(size=(200, 5))
    want = np.zeros((9, 5))
    np.add.at(want, rows, weights)
    x = hr.constant(np.zeros((9, 5)))
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.reduce_sum(hr.gather(x, rows) * weights)
    np.testing.assert_allclose(hr.convert_to_tensor(tape.gradient(y, x)), want, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: hr.gather([1, 2], [0, 5]),
            errors.InvalidArgumentError,
            r"indices\[1\] = 5 is not in \[0, 2\)",
        ),
        (
            lambda: hr.gather([1, 2], [-1]),
            errors.InvalidArgumentError,
            r"indices\[0\] = -1 is not in \[0, 2\)",
        ),
        (lambda: hr.gather([1, 2], 2), errors.InvalidArgumentError, r"indices = 2 is not in"),
        (
            lambda: hr.gather(A, J + 1, axis=1),
            errors.InvalidArgumentError,
            r"indices\[0,0\] = 3 is not in \[0, 3\)",
        ),
        (lambda: hr.gather(A, K, axis=3), errors.InvalidArgumentError, r"range \[-3, 3\)"),
        (
            lambda: hr.gather(A, [[0]], batch_dims=1),
            errors.InvalidArgumentError,
            r"params.shape\[0\]: 2 should be equal",
        ),
        (lambda: hr.gather(A, [1.0]), errors.InvalidArgumentError, "Tindices"),
        (lambda: hr.gather(1, [0]), errors.InvalidArgumentError, "at least 1 dimensional"),
        (
            lambda: hr.gather_nd(A, [[0, 3]]),
            errors.InvalidArgumentError,
            r"indices\[0\] = \[0, 3\] does not index into param shape \[2,3,4\]",
        ),
        (
            lambda: hr.gather_nd(A, [[0, 1, 2, 3]]),
            errors.InvalidArgumentError,
            "must be <= params rank",
        ),
        (lambda: hr.gather_nd(A, 0), errors.InvalidArgumentError, "at least a vector"),
        (lambda: hr.boolean_mask(A, True), ValueError, "mask cannot be scalar"),
        (lambda: hr.boolean_mask(A, [True]), ValueError, "incompatible"),
        (lambda: hr.where(C, 1, None), ValueError, "both be non-None or both be None"),
        (
            lambda: hr.where(C, hr.constant([1, 2]), 1),
            errors.InvalidArgumentError,
            "Incompatible shapes",
        ),
        (
            lambda: hr.where(C, hr.constant(1), hr.constant(1.0)),
            errors.InvalidArgumentError,
            "SelectV2",
        ),
    ],
)
def test_errors_name_the_rule(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_indices_out_of_range_are_found_at_run_time_too():
    f = hr.function(lambda x, i: hr.gather(x, i))
    with pytest.raises(
        errors.InvalidArgumentError, match=r"indices\[1\] = 7 is not in \[0, 5\)"
    ):
        f(hr.range(5), hr.constant([0, 7]))
