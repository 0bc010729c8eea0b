"""The kernel of large products gives what BLAS gives, for any sizes and layouts."""

import ctypes
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from headrace.ops import blas, object_code, workers
from headrace.ops.graph import llvm
from headrace.ops.kernels import build, calls, matmul, memory
from headrace.ops.kernels.code import Code
from headrace.ops.kernels.matmul_code import MATMUL, scratch_bytes, write_matmul


@pytest.fixture(scope="module", params=[4, 8, 16], ids="width {}".format)
def run(request):
    """A function (x, y, out, add) for vectors of a width, whatever this machine's is."""
    code = Code(request.param)
    write_matmul(code)
    (address,) = object_code.load(llvm.compile_object(code.text()), "matmul_part")
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)

    def run(x, y, out, add=False):
        (m, k), n = x.shape, y.shape[1]
        size = scratch_bytes(request.param, n, k)
        raw = np.full(size + 128, 77, np.uint8)
        start = -memory.address(raw) % 64
        of_x, of_y = matmul._layout(x), matmul._layout(y)
        where = calls.parameters(
            MATMUL, a=x, a_row=of_x[0], b=y, b_row=of_y[0], c=out, c_row=out.strides[0],
            m=m, n=n, k=k, turn_a=of_x[1], turn_b=of_y[1], add=int(add),
            scratch=memory.address(raw) + start,
        )  # fmt: skip
        kernel(memory.address(where))
        assert (raw[start + size :] == 77).all(), "wrote behind its memory"

    return run


def matrix(rng, rows, columns, turned):
    if turned:
        return rng.normal(size=(columns, rows)).astype("f4").T
    return rng.normal(size=(rows, columns)).astype("f4")


SIZES = [(2, 2, 2), (14, 16, 32), (13, 7, 33), (31, 513, 65), (5, 3, 1100), (250, 1030, 70)]


@pytest.mark.parametrize("m,k,n", SIZES)
def test_any_layout(run, m, k, n):
    rng = np.random.default_rng(0)
    for turn_x, turn_y in product([False, True], repeat=2):
        x, y = matrix(rng, m, k, turn_x), matrix(rng, k, n, turn_y)
        frame = np.full((m + 2, n + 9), 5, "f4")  # what is around the result is not touched
        out = frame[1:-1, 3:-6]
        want = x.astype("f8") @ y
        run(x, y, out)
        np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-4 * k**0.5)
        run(x, y, out, add=True)
        np.testing.assert_allclose(out, 2 * want, rtol=1e-4, atol=2e-4 * k**0.5)
        out[...] = 5
        assert (frame == 5).all()


@settings(max_examples=30, deadline=None)
@given(
    m=st.integers(2, 60), k=st.integers(2, 60), n=st.integers(2, 80), turn=st.integers(0, 3),
    odd=st.sampled_from([np.nan, np.inf, -np.inf, 1e-42, 3e38]),
)  # fmt: skip
def test_values_stay_in_their_rows_and_columns(run, m, k, n, turn, odd):
    rng = np.random.default_rng(m * k * n)
    x, y = matrix(rng, m, k, turn & 1), matrix(rng, k, n, turn & 2)
    x[m // 2, k - 1] = y[0, n - 1] = odd
    out = np.empty((m, n), "f4")
    run(x, y, out)
    with np.errstate(all="ignore"):
        want = (x.astype("f8") @ y).astype("f4")
    np.testing.assert_array_equal(np.isnan(out), np.isnan(want))
    near = np.isfinite(want) & (np.abs(want) < 1e30)
    np.testing.assert_allclose(out[near], want[near], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("m,k,n", [(300, 100, 64), (64, 100, 300), (48, 48, 48)])
def test_gemm_uses_it(monkeypatch, threads, m, k, n):
    assert build.ensure_compiled(100)
    monkeypatch.setattr(workers, "_wanted", threads)
    monkeypatch.setattr(calls, "_SERIAL_WORK", 0)
    monkeypatch.setattr(matmul, "MIN_WORK", 1)
    rng = np.random.default_rng(0)
    for turn_x, turn_y in product([False, True], repeat=2):
        x, y = matrix(rng, m, k, turn_x), matrix(rng, k, n, turn_y)
        assert matmul.matmul(x, y) is not None
        np.testing.assert_allclose(blas.gemm(x, y), x.astype("f8") @ y, rtol=1e-4, atol=1e-3)


def test_other_layouts_and_dtypes_are_blas(monkeypatch):
    monkeypatch.setattr(matmul, "MIN_WORK", 1)
    x = np.ones((96, 96), "f4")
    assert matmul.matmul(x[::2, ::2], x[:48]) is None
    assert matmul.matmul(x.astype("f8"), x) is None
    assert matmul.matmul(x[:8], x) is None
    np.testing.assert_array_equal(blas.gemm(x[::2, ::2], x[:48]), np.full((48, 96), 48, "f4"))
