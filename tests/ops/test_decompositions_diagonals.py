"""Diagonals, bands and banded systems (hr.linalg)."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of

import headrace as hr
from headrace import errors

RNG = np.random.default_rng(6)
ALIGNMENTS = ("LEFT_RIGHT", "RIGHT_LEFT", "LEFT_LEFT", "RIGHT_RIGHT")


def rand(*shape):
    return RNG.uniform(-1.0, 1.0, shape)


def case(id, fn, *args, **more):
    """`fn(library, *tensors)` with Headrace and with TensorFlow."""
    more = {"kinds": ("float64",), **more}
    return Case(id, lambda *ts: fn(hr, *ts), args, lambda tf: lambda *ts: fn(tf, *ts), **more)


def solvable(lib, d):
    """Diagonals [..., 3, m] with a large one in the middle."""
    more = np.array([0.0, 3.0, 0.0])[:, None] * np.ones(5)
    return d + lib.constant(more, d.dtype)


CASES = [
    case("band", lambda lib, x: lib.linalg.band_part(x, 1, 0), rand(2, 3, 4)),
    case("band-all", lambda lib, x: lib.linalg.band_part(x, -1, 1), rand(4, 3)),
    case("band-int", lambda lib, x: lib.linalg.band_part(x, 0, -1), np.arange(9).reshape(3, 3)),
    *[
        case(f"diag_part-{k}", lambda lib, x, k=k: lib.linalg.diag_part(x, k=k), rand(2, 3, 4))
        for k in (0, 1, -2, (0, 0), (1, 1))
    ],
    *[
        case(
            f"diag_part-{k}-{align}",
            lambda lib, x, k=k, a=align: lib.linalg.diag_part(x, k=k, padding_value=9, align=a),
            rand(4, 3),
        )
        for k in ((-1, 1), (-3, 2), (1, 2))
        for align in ALIGNMENTS
    ],
    case("diag", lambda lib, d: lib.linalg.diag(d), rand(2, 3)),
    case("diag-k", lambda lib, d: lib.linalg.diag(d, k=-2, padding_value=7), rand(3)),
    case("diag-sizes", lambda lib, d: lib.linalg.diag(d, k=1, num_rows=3, num_cols=5), rand(3)),
    case("diag-int", lambda lib, d: lib.linalg.diag(d), np.arange(3)),
    *[
        case(
            f"diag-{align}",
            lambda lib, d, a=align: lib.linalg.diag(d, k=(-1, 1), align=a),
            rand(2, 3, 4),
        )
        for align in ALIGNMENTS
    ],
    *[
        case(
            f"set_diag-{k}-{align}",
            lambda lib, x, d, k=k, a=align: lib.linalg.set_diag(x, d, k=k, align=a),
            rand(2, 3, 4),
            rand(2, *shape),
        )
        for k, shape in ((0, (3,)), (-1, (2,)), ((-1, 1), (3, 3)))
        for align in ALIGNMENTS[:2]
    ],
    case(
        "tridiagonal_matmul",
        lambda lib, d, x: lib.linalg.tridiagonal_matmul(d, x),
        rand(2, 3, 5),
        rand(2, 5, 2),
    ),
    case(
        "tridiagonal_matmul-sequence",
        lambda lib, a, m, b, x: lib.linalg.tridiagonal_matmul([a, m, b], x, "sequence"),
        rand(5),
        rand(5),
        rand(5),
        rand(5, 2),
        batch=False,
        notes={"unknown": False},
    ),
    case(
        "tridiagonal_matmul-matrix",
        lambda lib, d, x: lib.linalg.tridiagonal_matmul(d, x, "matrix"),
        rand(5, 5),
        rand(5, 2),
    ),
    case(
        "tridiagonal_solve",
        lambda lib, d, x: lib.linalg.tridiagonal_solve(solvable(lib, d), x),
        rand(2, 3, 5),
        rand(2, 5, 2),
    ),
    case(
        "tridiagonal_solve-vector",
        lambda lib, d, x: lib.linalg.tridiagonal_solve(solvable(lib, d), x),
        rand(3, 5),
        rand(5),
    ),
    case(
        "tridiagonal_solve-transposed",
        lambda lib, d, x: lib.linalg.tridiagonal_solve(solvable(lib, d), x, transpose_rhs=True),
        rand(3, 5),
        rand(2, 5),
    ),
    *[
        case(
            f"banded-{lower}-{adjoint}",
            lambda lib, a, b, lower=lower, adjoint=adjoint: lib.linalg.banded_triangular_solve(
                a + lib.constant([[3.0], [0.0]] if lower else [[0.0], [3.0]], a.dtype),
                b,
                lower=lower,
                adjoint=adjoint,
            ),
            rand(2, 5),
            rand(2, 5, 2),
        )
        for lower in (True, False)
        for adjoint in (True, False)
    ],
]


@each([c for c in CASES if not c.notes])
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_peers(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


def test_one_band():
    """Where TensorFlow's gradient has the wrong shape."""
    args = (rand(1, 4) + 3, rand(4, 2))
    check_laws(Case("one", hr.linalg.banded_triangular_solve, args))


def test_vector_beside_bands():
    """TensorFlow takes such a right side for a matrix; here it is one column."""
    bands = np.array([[2.0, 3.0, 4.0], [0.0, 1.0, 1.0]])
    x = hr.linalg.banded_triangular_solve(bands, np.ones(3))
    full = np.diag(bands[0]) + np.diag(bands[1, 1:], -1)
    np.testing.assert_allclose(full @ x.numpy(), np.ones(3))


def test_complex_tridiagonal():
    d = rand(3, 5) + 1j * rand(3, 5) + np.array([0, 3, 0])[:, None]
    b = rand(5, 2) + 1j * rand(5, 2)
    x = hr.linalg.tridiagonal_solve(d, b)
    np.testing.assert_allclose(hr.linalg.tridiagonal_matmul(d, x).numpy(), b)


class TestErrors:
    def test_band_too_large(self):
        with pytest.raises(errors.InvalidArgumentError, match="num_lower"):
            hr.linalg.band_part(np.ones((2, 3)), 3, 0)

    @pytest.mark.parametrize("k", [3, -3, (2, 1), (0, 5)])
    def test_diagonal_outside(self, k):
        with pytest.raises(errors.InvalidArgumentError, match="diag_index"):
            hr.linalg.diag_part(np.ones((3, 3)), k=k)

    def test_alignment(self):
        with pytest.raises(errors.InvalidArgumentError, match="align"):
            hr.linalg.diag_part(np.ones((3, 3)), align="UP")

    def test_set_diag_shape(self):
        with pytest.raises(errors.InvalidArgumentError, match="shape"):
            hr.linalg.set_diag(np.ones((3, 3)), np.ones(2))

    def test_diag_sizes(self):
        with pytest.raises(errors.InvalidArgumentError, match="rows is too small"):
            hr.linalg.diag(np.ones(3), num_rows=2)

    def test_forms(self):
        with pytest.raises(ValueError, match="diagonals_format"):
            hr.linalg.tridiagonal_solve(np.ones((3, 3)), np.ones(3), "other")
        with pytest.raises(ValueError, match="3 diagonals"):
            hr.linalg.tridiagonal_solve(np.ones((2, 3)), np.ones(3))
        with pytest.raises(ValueError, match="partial_pivoting"):
            hr.linalg.tridiagonal_solve(
                np.ones((3, 3)), np.ones(3), partial_pivoting=False, perturb_singular=True
            )

    def test_singular(self):
        assert np.isnan(hr.linalg.tridiagonal_solve(np.zeros((3, 3)), np.ones(3))).all()
        found = hr.linalg.tridiagonal_solve(
            [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]], [1.0, 1.0], perturb_singular=True
        )
        assert np.isfinite(found).all()
        with pytest.raises(errors.InvalidArgumentError, match="invertible"):
            hr.linalg.banded_triangular_solve(np.zeros((2, 3)), np.ones((3, 1)))


def test_names(tf):
    """Everything of tf.linalg but the LinearOperator classes."""
    theirs = {n for n in dir(tf.linalg) if not n.startswith(("_", "LinearOperator"))}
    assert theirs - set(dir(hr.linalg)) == {"experimental"}
