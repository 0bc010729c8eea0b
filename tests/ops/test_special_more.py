"""Bessel functions, incomplete gamma and beta functions, zeta (hr.math, hr.math.special)."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of, same

import headrace as hr
from headrace import errors

RNG = np.random.default_rng(9)
POSITIVE = RNG.uniform(0.3, 4.0, (2, 3))
SIGNED = np.where(RNG.uniform(size=(2, 3)) < 0.5, -1, 1) * POSITIVE
UNIT = RNG.uniform(0.05, 0.95, (2, 3))


def case(id, fn, *args, **more):
    """`fn(library, *tensors)` with Headrace and with TensorFlow."""
    return Case(
        id,
        lambda *ts: fn(hr, *ts),
        args,
        lambda tf: lambda *ts: fn(tf, *ts),
        **{"kinds": ("float32", "float64"), **more},
    )


CASES = [
    *[
        case(name, lambda lib, x, f=name: getattr(lib.math.special, f)(x), SIGNED)
        for name in (
            "bessel_i0", "bessel_i0e", "bessel_i1", "bessel_i1e", "bessel_j0", "bessel_j1",
            "dawsn", "fresnel_cos", "fresnel_sin",
        )
    ],
    *[
        case(name, lambda lib, x, f=name: getattr(lib.math.special, f)(x), POSITIVE)
        for name in (
            "bessel_k0", "bessel_k0e", "bessel_k1", "bessel_k1e", "bessel_y0", "bessel_y1",
            "expint", "spence",
        )
    ],
    case("ndtri", lambda lib, x: lib.math.ndtri(x), UNIT),
    case("erfcinv", lambda lib, x: lib.math.erfcinv(x), UNIT),
    case("lbeta", lambda lib, x: lib.math.lbeta(x), POSITIVE),
    case("reciprocal_no_nan", lambda lib, x: lib.math.reciprocal_no_nan(x), SIGNED),
    case("angle", lambda lib, x: lib.math.angle(x), SIGNED),
    case("angle-complex", lambda lib, x: lib.math.angle(lib.complex(x, x * x)), SIGNED),
    case("igamma", lambda lib, a, x: lib.math.igamma(a, x), POSITIVE, POSITIVE[::-1] + 0.1,
         second=False),
    case("igammac", lambda lib, a, x: lib.math.igammac(a, x), POSITIVE[0], POSITIVE,
         second=False),
    case("betainc", lambda lib, x: lib.math.betainc(x * 0 + 2.5, 1.5, x), UNIT, second=False),
    case("zeta", lambda lib, q: lib.math.zeta(q * 0 + 2.5, q), POSITIVE),
    case("polygamma", lambda lib, x: lib.math.polygamma(x[0] * 0 + 2, x), POSITIVE),
]  # fmt: skip


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_peers(tf, case, kind):
    # TensorFlow's single precision is a few units worse than SciPy's.
    tolerance = 2e-4 if kind == "float32" else 1e-8
    chosen = Case(**{**case.__dict__, "tolerance": tolerance})
    check_against_tensorflow(tf, chosen, kind)


@pytest.mark.parametrize("name", ["bessel_i0", "bessel_j1", "dawsn", "fresnel_sin", "spence"])
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_small_dtypes(name, kind):
    """Computed in single precision and rounded once."""
    x = hr.cast(POSITIVE, kind)
    f = getattr(hr.math.special, name)
    same(f(x), hr.cast(f(hr.cast(x, "float32")), kind))


@pytest.mark.parametrize("name", ["bessel_i0", "bessel_i1e", "bessel_j1", "spence"])
def test_special_values(tf, name):
    x = np.array([0.0, 1.0, np.inf, np.nan, 1e-30], np.float32)
    ours, theirs = (getattr(lib.math.special, name)(x).numpy() for lib in (hr, tf))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("name", ["bessel_i1", "bessel_j1", "bessel_i1e"])
def test_gradient_at_zero(name):
    """1 / 2, where TensorFlow gives 1."""
    x = hr.constant([0.0])
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = getattr(hr.math.special, name)(x)
    assert tape.gradient(y, x).numpy() == [0.5]


def test_nextafter(tf):
    a, b = np.array([1.0, -1.0, 0.0]), np.array([2.0, -2.0, -1.0])
    for kind in ("float32", "float64"):
        ours, theirs = (
            lib.math.nextafter(lib.cast(a, kind), lib.cast(b, kind)) for lib in (hr, tf)
        )
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_gradient_in_a_is_exact(tf):
    a = np.array([1e-3, 0.5, 3.0, 40.0, 1e3])
    for factor in (0.5, 1.0, 1.5):
        ours, theirs = (lib.raw_ops.IgammaGradA(a=a, x=a * factor).numpy() for lib in (hr, tf))
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-12)


def test_empty_and_lbeta_of_nothing(tf):
    same(hr.math.ndtri(np.zeros((0, 2))), tf.math.ndtri(np.zeros((0, 2))))
    same(hr.math.lbeta(np.zeros((2, 0))), tf.math.lbeta(np.zeros((2, 0))))


def test_shapes_that_do_not_fit():
    with pytest.raises(errors.InvalidArgumentError, match="Incompatible shapes"):
        hr.math.igamma(np.ones(2), np.ones(3))


def test_names(tf):
    theirs = {n for n in dir(tf.math) if not n.startswith("_")}
    assert theirs <= set(dir(hr.math))
    theirs = {n for n in dir(tf.math.special) if not n.startswith("_")}
    assert theirs <= set(dir(hr.math.special))
