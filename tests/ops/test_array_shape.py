"""Operations that change shapes or the order of elements."""

import numpy as np
import pytest

from headrace import errors
from headrace.ops import api as hr
from headrace.ops.graph.trace import trace

from .harness import Case, check_against_tensorflow, check_laws, each, peers_of, values

A = np.arange(24.0).reshape(2, 3, 4) / 7
B = np.arange(6).reshape(2, 3)
S = np.array([[b"a", b"bcd"], [b"", b"e"]], object)


def op(id, call, *args, **notes):
    """A case whose function is the same text for both libraries: `call(lib, *tensors)`."""
    options = {
        k: notes.pop(k) for k in ("grad", "second", "batch", "kinds", "tolerance") if k in notes
    }
    return Case(
        id,
        lambda *a: call(hr, *a),
        args,
        lambda tf: lambda *a: call(tf, *a),
        notes=notes,
        **options,
    )


CASES = [
    op(
        "transpose",
        lambda m, x: m.transpose(x),
        A,
        kinds=("float32", "float64", "float16", "bfloat16"),
    ),
    op("transpose-perm", lambda m, x: m.transpose(x, [1, 2, 0]), A),
    op("transpose-scalar", lambda m, x: m.transpose(x), 3.0),
    op("transpose-empty", lambda m, x: m.transpose(x, [1, 0]), np.zeros((0, 3))),
    op("transpose-strings", lambda m, x: m.transpose(x), S),
    op(
        "transpose-conjugate",
        lambda m, x: m.transpose(x, conjugate=True),
        np.array([[1 + 2j, 3 - 1j]], np.complex64),
        grad=False,
    ),
    op("expand_dims-0", lambda m, x: m.expand_dims(x, 0), A),
    op("expand_dims-2", lambda m, x: m.expand_dims(x, 2), A),
    op("expand_dims-last", lambda m, x: m.expand_dims(x, -1), A),
    op("expand_dims-first-from-behind", lambda m, x: m.expand_dims(x, -4), A),
    op("expand_dims-scalar", lambda m, x: m.expand_dims(x, 0), 3.0),
    op("expand_dims-strings", lambda m, x: m.expand_dims(x, 1), S),
    op("squeeze-axes", lambda m, x: m.squeeze(x, [0, 2]), A.reshape(1, 6, 1, 4)),
    op("squeeze-negative", lambda m, x: m.squeeze(x, -2), A.reshape(1, 6, 1, 4)),
    op("squeeze-strings", lambda m, x: m.squeeze(x, 0), S[None]),
    op("broadcast_to", lambda m, x: m.broadcast_to(x, [4, 2, 3]), A[0, :1, :3]),
    op("broadcast_to-scalar", lambda m, x: m.broadcast_to(x, [2, 2]), 3.0),
    op("broadcast_to-empty", lambda m, x: m.broadcast_to(x, [0, 3]), np.ones((1, 3))),
    op("broadcast_to-strings", lambda m, x: m.broadcast_to(x, [3, 2, 2]), S),
    op("tile", lambda m, x: m.tile(x, [2, 1, 3]), A),
    op("tile-none", lambda m, x: m.tile(x, [0, 2, 1]), A),
    op("tile-scalar", lambda m, x: m.tile(x, np.zeros(0, np.int32)), 3.0),
    op("tile-strings", lambda m, x: m.tile(x, [2, 2]), S),
    op("reverse", lambda m, x: m.reverse(x, [0, -1]), A),
    op("reverse-nothing", lambda m, x: m.reverse(x, np.zeros(0, np.int32)), A),
    op("reverse-strings", lambda m, x: m.reverse(x, [1]), S),
    op("roll", lambda m, x: m.roll(x, [1, -2], [0, 2]), A),
    op("roll-one", lambda m, x: m.roll(x, 7, 1), A),
    op("roll-strings", lambda m, x: m.roll(x, 1, 1), S),
    op("ensure_shape", lambda m, x: m.ensure_shape(x, [None, 3, 4]), A),
    op(
        "unravel_index",
        lambda m, i: m.unravel_index(i, [2, 3]),
        np.array([5, 0, 4]),
    ),
    op("repeat", lambda m, x: m.repeat(x, 3, 1), A),
    op("repeat-flat", lambda m, x: m.repeat(x, 2), A),
    op("repeat-each", lambda m, x: m.repeat(x, [2, 0, 1], 1), A),
    op("repeat-strings", lambda m, x: m.repeat(x, [1, 2], 0), S),
    op("repeat-integers", lambda m, x: m.repeat(x, 2, -1), B),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_like_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


def test_squeeze_drops_every_axis_of_size_one():
    assert hr.squeeze(np.zeros((1, 3, 1))).shape == (3,)


def test_sizes_may_be_computed():
    """Shapes, multiples and shifts that a traced function computes."""

    @hr.function
    def f(x, n):
        return hr.tile(x, [n, 1]), hr.broadcast_to(x, hr.stack([n, 2, 3])), hr.roll(x, n, 0)

    x = np.arange(6).reshape(2, 3)
    tiled, broad, rolled = f(hr.constant(x), hr.constant(3))
    np.testing.assert_array_equal(tiled, np.tile(x, (3, 1)))
    np.testing.assert_array_equal(broad, np.broadcast_to(x, (3, 2, 3)))
    np.testing.assert_array_equal(rolled, np.roll(x, 3, 0))


def test_broadcast_shapes():
    assert hr.broadcast_static_shape([2, 1, None], [3, 1]) == hr.TensorShape([2, 3, None])
    assert hr.broadcast_dynamic_shape([2, 1], [3]).numpy().tolist() == [2, 3]
    with pytest.raises(ValueError, match=r"broadcasting: \(2,\) and \(3,\)"):
        hr.broadcast_static_shape([2], [3])
    with pytest.raises(errors.InvalidArgumentError, match="Incompatible shapes"):
        hr.broadcast_dynamic_shape([2], [3])


def test_lists_of_tensors():
    assert [s.numpy().tolist() for s in hr.shape_n([A, B])] == [[2, 3, 4], [2, 3]]
    a, b = values(hr.identity_n([[1], 2.0]))
    assert a.tolist() == [1] and b == 2


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: hr.transpose(A, [0, 1]), "vector of size 3"),
        (lambda: hr.transpose(A, [0, 1, 1]), "2 is missing from perm"),
        (lambda: hr.transpose(A, [0, 1, 3]), "perm must be in the range"),
        (lambda: hr.expand_dims(A, 5), "dim index 5 for tensor with 3 dimensions"),
        (lambda: hr.squeeze(A, 1), "expected a dimension of 1, got 3"),
        (lambda: hr.squeeze(A, 3), "dim index 3"),
        (lambda: hr.broadcast_to(A, [2, 3, 5]), "Incompatible shapes"),
        (lambda: hr.broadcast_to(A, [4]), "Rank of input"),
        (lambda: hr.tile(A, [1, 2]), "vector of length 3 but got length 2"),
        (lambda: hr.tile(A, [1, 2, -1]), ">= 0"),
        (lambda: hr.reverse(A, [0, 0]), "more than once"),
        (lambda: hr.reverse(A, [3]), r"range \[-3, 3\)"),
        (lambda: hr.roll(A, [1, 2], [0]), "same size"),
        (lambda: hr.roll(1.0, 1, 0), "1-D or higher"),
        (lambda: hr.ensure_shape(A, [2, 3]), "not compatible with expected shape"),
        (lambda: hr.unravel_index([6], [2, 3]), "out of bound"),
        (lambda: hr.repeat(A, [1, 2], 1), "one number >= 0 per element"),
        (lambda: hr.repeat(A, -1, 1), ">= 0"),
    ],
)
def test_errors_name_the_rule(call, text):
    with pytest.raises(errors.InvalidArgumentError, match=text):
        call()


def test_computed_axes_are_refused_with_a_remedy():
    with pytest.raises(errors.UntraceableError, match="Pass a Python integer"):
        trace(hr.expand_dims, (hr.TensorSpec([]), hr.TensorSpec([], "int32")))
