"""Products over threads: the parts make the whole, errors come out, threads sleep and end."""

import os
import threading

import numpy as np
import pytest

from headrace.ops import blas, workers

SIZES = [
    (256, 300, 512),
    (512, 300, 256),
    (1024, 64, 130),
    (8, 4096, 1024),
    (3, 5, 7),
    (700, 1, 9000),
]


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr(workers, "_wanted", 3)
    monkeypatch.setattr(blas, "_MIN_WORK", 1000)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n,k,m", SIZES)
@pytest.mark.parametrize("layout", ["plain", "transposed"])
def test_parts_make_the_whole(three_threads, n, k, m, dtype, layout):
    rng = np.random.default_rng(n + m)
    x, y = rng.normal(size=(n, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype)
    if layout == "transposed":
        x, y = np.asfortranarray(x), np.asfortranarray(y)
    out = blas.gemm(x, y)
    assert out.dtype == dtype and out.shape == (n, m)
    np.testing.assert_allclose(
        out, np.einsum("ik,kj->ij", x.astype("f8"), y.astype("f8")), rtol=1e-3, atol=1e-3
    )


def test_products_from_many_threads_do_not_mix(three_threads):
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(128, 200)).astype("f4") for _ in range(8)]
    y = rng.normal(size=(200, 160)).astype("f4")
    want = [x @ y for x in xs]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.allclose(blas.gemm(xs[i], y), want[i], rtol=1e-4, atol=1e-4):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(xs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_an_error_in_a_part_comes_out(three_threads):
    with pytest.raises(ValueError, match="matmul"):
        blas.gemm(np.ones((300, 300), "f4"), np.ones((301, 300), "f4"))


def test_one_thread_and_another_blas_go_straight_to_numpy(monkeypatch):
    x = np.ones((300, 300), "f4")
    monkeypatch.setattr(workers, "_wanted", 1)
    assert blas.gemm(x, x)[0, 0] == 300
    monkeypatch.setattr(blas, "_one_blas_thread", lambda: False)
    assert blas.gemm(x, x)[0, 0] == 300


def test_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(workers, "_wanted", None)
    assert workers.count() >= 1
    workers.set_count(5)
    assert workers.count() == 5
    workers.set_count(0)
    assert workers.count() == len(os.sched_getaffinity(0))
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        workers.set_count(-1)


def test_every_part_runs_once_and_the_caller_helps():
    ran = []
    workers.spread([lambda i=i: ran.append(i) for i in range(50)])
    assert sorted(ran) == list(range(50))
    workers.spread([])


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_threads_of_its_own(three_threads):
    import subprocess
    import sys

    source = """
import os, warnings, numpy as np
warnings.simplefilter("ignore")
from headrace.ops import blas, workers
workers._wanted, blas._MIN_WORK = 2, 1000
x = np.ones((300, 300), "f4")
blas.gemm(x, x)
child = os.fork()
if child == 0:
    os._exit(0 if blas.gemm(x, x)[0, 0] == 300 else 1)
print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "0", done.stderr


def test_one_of_many_threads_does_not_spread_its_work():
    counts = []

    def work():
        workers.one_of_many()
        counts.append(workers.count())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert counts == [1] and workers.count() == len(os.sched_getaffinity(0))
