"""Compiled exponentials and logarithms: how far they are from the exact value."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph import llvm, trace
from headrace.ops.graph.execute import compile_graph

EXACT = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh,
}  # fmt: skip
SPECIALS = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, 3.4e38, -3.4e38, 88.72, 88.73,
     -87.4, -103.9, -104.1, 1.0, -1.0], "f4"
)  # fmt: skip


def bit_patterns(seed):
    """Floats of every exponent and both signs."""
    rng = np.random.default_rng(seed)
    every = rng.integers(0, 2**32, 400_000, np.uint64).astype(np.uint32).view(np.float32)
    usual = rng.normal(size=200_000).astype("f4") * rng.choice([0.01, 1, 20], 200_000)
    return np.concatenate([SPECIALS, every, usual.astype("f4")])


def kernel(fn, x):
    run = compile_graph(trace(fn, (hr.TensorSpec([None]),)).graph)
    (out,) = run(x)
    llvm.wait()
    (program,) = [n.attrs["program"] for n in run.graph if n.type == "_Fused"]
    assert any(program._kernels.values())
    return out


def error_in_ulps(got, exact):
    with np.errstate(over="ignore"):
        rounded = exact.astype("f4")
    assert np.array_equal(np.isnan(got), np.isnan(rounded))
    infinite = np.isinf(got) | np.isinf(rounded)
    far = infinite & (got != rounded)
    # The largest float and infinity are neighbours.
    assert (np.abs(exact[far]) > 3.4028e38).all()
    firm = ~(np.isnan(got) | infinite)
    unit = np.spacing(np.maximum(np.abs(rounded[firm]), np.float32(2.0**-126))).astype("f8")
    return np.abs(got[firm].astype("f8") - exact[firm]) / unit


@pytest.mark.parametrize("name", EXACT)
def test_error(name):
    x = bit_patterns(len(name))
    fn = getattr(hr.math, name, None) or getattr(hr, name)
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype("f8"))
    assert error_in_ulps(kernel(fn, x), exact).max() < 4


def test_error_of_erf():
    special = pytest.importorskip("scipy.special")
    x = bit_patterns(1)
    with np.errstate(all="ignore"):
        exact = special.erf(x.astype("f8"))
    assert error_in_ulps(kernel(hr.math.erf, x), exact).max() < 4


@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh"])
def test_zeros_keep_their_sign(name):
    x = np.tile(np.array([0.0, -0.0], "f4"), 2048)
    assert np.array_equal(np.signbit(kernel(getattr(hr.math, name), x)), np.signbit(x))
