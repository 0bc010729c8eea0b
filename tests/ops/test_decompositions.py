"""Factorisations, solutions and functions of matrices (hr.linalg)."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of, same

import headrace as hr
from headrace import errors

RNG = np.random.default_rng(5)
WIDE = ("float32", "float64")


def rand(*shape):
    return RNG.uniform(-1.0, 1.0, shape)


def case(id, fn, *args, **more):
    """`fn(library, *tensors)` with Headrace and with TensorFlow."""
    more = {"kinds": WIDE, "tolerance": None, **more}
    if more["tolerance"] is None and more["kinds"] == ("float32",):
        more["tolerance"] = 1e-4
    return Case(id, lambda *ts: fn(hr, *ts), args, lambda tf: lambda *ts: fn(tf, *ts), **more)


def near_identity(lib, x, scale=0.3):
    """Well conditioned and not symmetric."""
    n = x.shape[-1]
    eye = lib.linalg.diag(lib.ones_like(x[..., 0]) * np.array(2.0, x.dtype.as_numpy_dtype))
    assert n is None or n == x.shape[-2]
    return x * np.array(scale, x.dtype.as_numpy_dtype) + eye


def positive(lib, x):
    return lib.matmul(near_identity(lib, x), near_identity(lib, x), transpose_b=True)


def spread(*shape):
    """Well separated eigenvalues and singular values."""
    x = 0.2 * rand(*shape)
    i = np.arange(min(shape[-2:]))
    x[..., i, i] += 1.0 + 2.0 * i
    return x


def squares(lib, v):
    return v * v


CASES = [
    case("cholesky", lambda lib, x: lib.linalg.cholesky(positive(lib, x)), rand(3, 3)),
    case("cholesky-stack", lambda lib, x: lib.linalg.cholesky(positive(lib, x)), rand(2, 3, 3)),
    case("logdet", lambda lib, x: lib.linalg.logdet(positive(lib, x)), rand(2, 3, 3)),
    case(
        "cholesky_solve",
        lambda lib, x, b: lib.linalg.cholesky_solve(lib.linalg.cholesky(positive(lib, x)), b),
        rand(2, 3, 3),
        rand(2, 3, 2),
    ),
    case("det", lambda lib, x: lib.linalg.det(x), rand(2, 3, 3), tolerance=1e-5),
    case("det-1", lambda lib, x: lib.linalg.det(x), rand(3, 3), tolerance=1e-5),
    case("slogdet", lambda lib, x: lib.linalg.slogdet(near_identity(lib, x)), rand(2, 3, 3)),
    case("inv", lambda lib, x: lib.linalg.inv(near_identity(lib, x)), rand(2, 3, 3)),
    case(
        "inv-adjoint",
        lambda lib, x: lib.linalg.inv(near_identity(lib, x), adjoint=True),
        rand(3, 3),
        tolerance=1e-4,
    ),
    case("adjoint", lambda lib, x: lib.linalg.adjoint(x), rand(2, 2, 3)),
    case(
        "solve",
        lambda lib, a, b: lib.linalg.solve(near_identity(lib, a), b),
        rand(2, 3, 3),
        rand(2, 3, 2),
    ),
    case(
        "solve-adjoint",
        lambda lib, a, b: lib.linalg.solve(near_identity(lib, a), b, adjoint=True),
        rand(3, 3),
        rand(3, 2),
    ),
    *[
        case(
            f"triangular_solve-{lower}-{flag}-{len(shape)}",
            lambda lib, a, b, lower=lower, flag=flag: lib.linalg.triangular_solve(
                near_identity(lib, a), b, lower=lower, adjoint=flag
            ),
            rand(*shape, 3, 3),
            rand(3, 2) if not shape else rand(2, 3, 2),
        )
        for lower in (True, False)
        for flag in (True, False)
        for shape in ((), (2,), (2, 1))
    ],
    case(
        "lu_reconstruct",
        lambda lib, x: lib.linalg.lu_reconstruct(*lib.linalg.lu(near_identity(lib, x))),
        rand(2, 3, 3),
        grad=False,
    ),
    case(
        "lu_solve",
        lambda lib, x, b: lib.linalg.lu_solve(*lib.linalg.lu(x), b),
        rand(2, 3, 3),
        rand(2, 3, 2),
        grad=False,
        batch=False,
        tolerance=1e-3,
    ),
    case(
        "lu_matrix_inverse",
        lambda lib, x: lib.linalg.lu_matrix_inverse(*lib.linalg.lu(near_identity(lib, x))),
        rand(3, 3),
        grad=False,
    ),
    case("lu", lambda lib, x: lib.linalg.lu(x), rand(2, 4, 4), grad=False, batch=False),
    case(
        "lu-int64",
        lambda lib, x: lib.linalg.lu(x, lib.int64),
        rand(4, 4),
        grad=False,
        batch=False,
    ),
    case("expm", lambda lib, x: lib.linalg.expm(x), rand(2, 3, 3), tolerance=1e-5),
    case("sqrtm", lambda lib, x: lib.linalg.sqrtm(near_identity(lib, x)), rand(2, 3, 3)),
    case("pinv-tall", lambda lib, x: lib.linalg.pinv(x), spread(2, 4, 3)),
    case("pinv-wide", lambda lib, x: lib.linalg.pinv(x), spread(3, 4)),
    case("matrix_rank", lambda lib, x: lib.linalg.matrix_rank(x), rand(2, 3, 4), grad=False),
    case("rank-1", lambda lib, x: lib.linalg.matrix_rank(x), np.ones((3, 4)), grad=False),
    *[
        case(
            f"lstsq-{shape}-{l2}",
            lambda lib, a, b, l2=l2: lib.linalg.lstsq(a, b, l2_regularizer=l2),
            spread(*shape),
            rand(*shape[:-1], 2),
        )
        for shape in ((2, 4, 3), (3, 4), (3, 3))
        for l2 in (0.0, 0.5)
    ],
    case(
        "lstsq-exact",
        lambda lib, a, b: lib.linalg.lstsq(a, b, fast=False),
        spread(4, 3),
        rand(4, 2),
        grad=False,
    ),
    case("normalize", lambda lib, x: lib.linalg.normalize(x, axis=-1), rand(2, 3)),
    case("normalize-1", lambda lib, x: lib.linalg.normalize(x, ord=1, axis=0), rand(2, 3)),
    case("norm-2", lambda lib, x: lib.linalg.norm(x, 2, [-2, -1]), spread(4, 3)),
    case("norm-2-axes", lambda lib, x: lib.linalg.norm(x, 2, [0, 2], True), rand(3, 2, 3)),
    # spectra; vectors enter through what does not depend on their signs
    case("eigvalsh", lambda lib, x: lib.linalg.eigvalsh(x), spread(2, 3, 3)),
    case("eigh-values", lambda lib, x: lib.linalg.eigh(x)[0], spread(3, 3)),
    case(
        "eigh-vectors",
        lambda lib, x: squares(lib, lib.linalg.eigh(x)[1]),
        spread(2, 3, 3),
    ),
    case("svd-values", lambda lib, x: lib.linalg.svd(x, compute_uv=False), rand(2, 3, 4)),
    *[
        case(
            f"svd-{m}x{n}-{full}",
            lambda lib, x, full=full: [
                squares(lib, t) for t in lib.linalg.svd(x, full_matrices=full)
            ],
            spread(m, n),
        )
        for m, n, full in (
            (3, 3, False),
            (4, 3, False),
            (2, 4, False),
            (4, 3, True),
            (2, 3, True),
            (3, 3, True),
        )
    ],
    case("qr", lambda lib, x: lib.linalg.qr(x), spread(2, 4, 3)),
    case("qr-square", lambda lib, x: lib.linalg.qr(x), spread(3, 3)),
    case("qr-wide", lambda lib, x: lib.linalg.qr(x), spread(2, 4)),
    case("qr-full", lambda lib, x: lib.linalg.qr(x, full_matrices=True), spread(2, 4)),
    case(
        "qr-full-tall",
        lambda lib, x: lib.linalg.qr(x, full_matrices=True),
        spread(4, 2),
        grad=False,
    ),
    case(
        "eigh_tridiagonal",
        lambda lib, a, b: lib.linalg.eigh_tridiagonal(a, b),
        rand(4),
        rand(3),
        grad=False,
        tolerance=1e-5,
        batch=False,
    ),
    case(
        "eigh_tridiagonal-i",
        lambda lib, a, b: lib.linalg.eigh_tridiagonal(a, b, select="i", select_range=(1, 2)),
        rand(4),
        rand(3),
        grad=False,
        tolerance=1e-5,
        batch=False,
    ),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_peers(tf, case, kind):
    tolerance = case.tolerance or (3e-4 if kind == "float32" else None)
    chosen = Case(**{**case.__dict__, "tolerance": tolerance})
    check_against_tensorflow(tf, chosen, kind)


class TestComplex:
    """Complex matrices: values are TensorFlow's, factorisations multiply back."""

    X = (rand(3, 3) + 1j * rand(3, 3)).astype(np.complex128)

    @pytest.mark.parametrize("name", ["det", "inv", "expm", "logm", "sqrtm", "adjoint"])
    def test_values(self, tf, name):
        x = self.X + 2 * np.eye(3)
        same(getattr(hr.linalg, name)(x), getattr(tf.linalg, name)(x), 1e-8)

    @pytest.mark.parametrize("ord", ["euclidean", 1, 2, np.inf, 3])
    def test_norms(self, tf, ord):
        for axis in (0, (0, 1)) if ord != 3 else (0,):
            same(hr.norm(self.X, ord, axis), tf.norm(self.X, ord, axis))
        for ours, theirs in zip(
            hr.linalg.normalize(self.X, ord, 0),
            tf.linalg.normalize(self.X, ord, 0),
            strict=True,
        ):
            same(ours, theirs)

    def test_products(self):
        x = hr.constant(self.X)
        s, u, v = hr.linalg.svd(x)
        assert s.dtype == hr.float64
        back = hr.matmul(u * hr.cast(s, u.dtype), v, adjoint_b=True)
        np.testing.assert_allclose(back.numpy(), self.X, atol=1e-12)
        q, r = hr.linalg.qr(x)
        np.testing.assert_allclose(hr.matmul(q, r).numpy(), self.X, atol=1e-12)
        e, w = hr.linalg.eig(x)
        np.testing.assert_allclose((x @ w).numpy(), (w * e).numpy(), atol=1e-12)
        np.testing.assert_allclose(
            hr.linalg.expm(hr.linalg.logm(x)).numpy(), self.X, atol=1e-10
        )

    @pytest.mark.parametrize("name", ["inv", "expm", "eigvalues", "svd", "qr", "eigh"])
    def test_gradients(self, tf, name):
        """Of real functions of complex matrices, free of the choice of vectors' phases."""

        def loss(lib, x):
            f = lib.linalg
            if name == "eigvalues":
                return lib.reduce_sum(lib.abs(f.eigvals(x)) ** 3)
            if name == "svd":
                s, u, v = f.svd(x)
                mixed = lib.matmul(u[:, :1], v[:, :1], adjoint_b=True)
                return lib.reduce_sum(lib.math.real(mixed)) + lib.reduce_sum(s[:2])
            if name == "qr":
                return lib.reduce_sum(lib.math.real(f.qr(x)[0]) ** 2)
            if name == "eigh":
                e, v = f.eigh(lib.matmul(x, x, adjoint_b=True))
                mixed = lib.matmul(v[:, :1], v[:, :1], adjoint_b=True)
                return lib.reduce_sum(lib.math.imag(mixed) ** 2) + e_real(lib, e)
            return lib.reduce_sum(lib.math.real(getattr(f, name)(x)) ** 2)

        def e_real(lib, e):
            return lib.reduce_sum(lib.math.real(e[1:]))

        found = []
        for lib in (hr, tf):
            x = lib.constant(self.X + np.diag([2.0, 3.0, 5.0]))
            with lib.GradientTape() as tape:
                tape.watch(x)
                y = loss(lib, x)
            found.append(tape.gradient(y, x).numpy())
        same(*found, 1e-8)


@pytest.mark.parametrize("name", ["sqrtm", "logm", "pinv"])
def test_complex_gradients_by_differences(name):
    """TensorFlow's gradient of sqrtm leaves a conjugation out; the others it lacks."""
    x = TestComplex.X + np.diag([2.0, 3.0, 5.0])

    def loss(x):
        return hr.reduce_sum(hr.math.real(getattr(hr.linalg, name)(x)) ** 2)

    with hr.GradientTape() as tape:
        t = hr.constant(x)
        tape.watch(t)
        y = loss(t)
    found = tape.gradient(y, t).numpy()
    for index in np.ndindex(x.shape):
        for unit in (1, 1j):
            step = np.zeros_like(x)
            step[index] = 1e-6 * unit
            slope = (loss(x + step).numpy() - loss(x - step).numpy()) / 2e-6
            got = found[index].real if unit == 1 else found[index].imag
            assert abs(slope - got) < 1e-6


def test_eig_of_real_matrices(tf):
    x = rand(2, 4, 4)
    key = np.lexsort
    for dtype in ("float32", "float64"):
        ours, theirs = (lib.linalg.eigvals(lib.constant(x, dtype)).numpy() for lib in (hr, tf))
        assert ours.dtype == theirs.dtype
        for a, b in zip(ours, theirs, strict=True):
            a, b = (v[key((v.imag.round(3), v.real.round(3)))] for v in (a, b))
            np.testing.assert_allclose(a, b, atol=1e-5)
    e, v = hr.eig(x)
    np.testing.assert_allclose((x @ v.numpy()), v.numpy() * e.numpy()[:, None, :], atol=1e-12)


def test_eig_gradient(tf):
    def loss(lib, x):
        e, v = lib.linalg.eig(x)
        return lib.reduce_sum(lib.abs(e) ** 3) + lib.reduce_sum(lib.abs(v) ** 3)

    found = []
    for lib in (hr, tf):
        x = lib.constant(TestComplex.X.real + np.diag([1.0, 2.0, 4.0]))
        with lib.GradientTape() as tape:
            tape.watch(x)
            y = loss(lib, x)
        found.append(tape.gradient(y, x).numpy())
    same(*found, 1e-8)


def test_lu_and_logm_have_gradients():
    """Which TensorFlow lacks: checked by differences alone."""
    check_laws(
        Case("lu", lambda x: hr.linalg.lu(near_identity(hr, x))[0], (rand(3, 3),), second=True)
    )

    def through_complex(x):
        return hr.math.real(hr.linalg.logm(hr.cast(near_identity(hr, x), "complex128")))

    check_laws(Case("logm", through_complex, (rand(3, 3),)))


def test_eigh_tridiagonal_by_range():
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 0.5, 0.5])
    every, vectors = hr.linalg.eigh_tridiagonal(a, b, eigvals_only=False)
    full = np.diag(a) + np.diag(b, 1) + np.diag(b, -1)
    np.testing.assert_allclose(full @ vectors.numpy(), vectors.numpy() * every.numpy())
    low, high = every.numpy()[0], every.numpy()[2]
    some, columns = hr.linalg.eigh_tridiagonal(a, b, False, "v", (low + 1e-9, high + 1e-9))
    np.testing.assert_array_equal(some, every[1:3])
    np.testing.assert_array_equal(columns, vectors[:, 1:3])
    with pytest.raises(ValueError, match="select"):
        hr.linalg.eigh_tridiagonal(a, b, select="x")
    with pytest.raises(ValueError, match="select_range"):
        hr.linalg.eigh_tridiagonal(a, b, select="i", select_range=(3, 1))


class TestErrors:
    @pytest.mark.parametrize("name", ["inv", "lu"])
    def test_singular(self, tf, name):
        for lib, kind in ((hr, errors.InvalidArgumentError), (tf, None)):
            with pytest.raises(kind or tf.errors.InvalidArgumentError, match="invertible"):
                getattr(lib.linalg, name)(lib.zeros([2, 2]))

    def test_singular_system(self):
        with pytest.raises(errors.InvalidArgumentError, match="not invertible"):
            hr.linalg.solve(hr.zeros([2, 2]), hr.ones([2, 1]))
        with pytest.raises(errors.InvalidArgumentError, match="not invertible"):
            hr.linalg.triangular_solve(hr.zeros([2, 2]), hr.ones([2, 1]))
        with pytest.raises(errors.InvalidArgumentError, match="rank deficient"):
            hr.linalg.lstsq(hr.zeros([3, 2]), hr.ones([3, 1]))

    def test_not_positive(self):
        with pytest.raises(errors.InvalidArgumentError, match="was not successful"):
            hr.linalg.cholesky([[1.0, 2.0], [2.0, 1.0]])

    @pytest.mark.parametrize("name", ["cholesky", "det", "inv", "eigh", "eig", "expm", "lu"])
    @pytest.mark.parametrize("shape", [(2, 3), (3,)])
    def test_not_square(self, name, shape):
        with pytest.raises(errors.InvalidArgumentError, match=r"square|at least 2-dim"):
            getattr(hr.linalg, name)(np.ones(shape, np.float32))

    def test_sizes(self):
        with pytest.raises(errors.InvalidArgumentError, match="incompatible"):
            hr.linalg.solve(np.eye(3), np.ones((2, 1)))
        with pytest.raises(errors.InvalidArgumentError, match="outer dimensions"):
            hr.linalg.solve(np.ones((2, 3, 3)), np.ones((3, 1)))

    def test_integers(self):
        with pytest.raises(errors.InvalidArgumentError, match="allowed values"):
            hr.linalg.inv(np.eye(2, dtype=np.int32))
        with pytest.raises(TypeError, match="float"):
            hr.linalg.pinv(np.eye(2, dtype=np.int32))


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("cholesky", [(0, 0)]),
        ("inv", [(0, 2, 2)]),
        ("det", [(0, 2, 2)]),
        ("det", [(0, 0)]),
        ("eigh", [(0, 2, 2)]),
        ("svd", [(0, 2, 3)]),
        ("qr", [(0, 3, 2)]),
        ("lu", [(0, 2, 2)]),
        ("expm", [(0, 2, 2)]),
        ("sqrtm", [(0, 2, 2)]),
        ("solve", [(0, 2, 2), (0, 2, 1)]),
        ("solve", [(2, 2), (2, 0)]),
        ("triangular_solve", [(0, 2, 2), (0, 2, 1)]),
        ("lstsq", [(0, 3, 2), (0, 3, 1)]),
    ],
)
def test_empty(tf, name, shapes):
    ours, theirs = (
        getattr(lib.linalg, name)(*[lib.constant(np.ones(s, np.float32)) for s in shapes])
        for lib in (hr, tf)
    )
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
    for a, b in pairs:
        same(a, b)
