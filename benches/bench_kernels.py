"""Kernels beside what they replace: fused chains, products over threads, record parsing.

.venv/bin/pytest benches/bench_kernels.py --benchmark-enable
"""

import numpy as np
import pytest

import headrace as hr
from headrace.io import jit
from headrace.ops import blas
from headrace.ops.graph import llvm, trace
from headrace.ops.graph.execute import compile_graph

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (512, 784), dtype=np.uint8)


def scale(x):
    return hr.cast(x, "float32") / 255.0 - 0.5


@pytest.mark.parametrize("form", ["kernel", "numpy"])
def test_scaling_images(benchmark, form):
    graph = trace(scale, (hr.TensorSpec([None, 784], "uint8"),)).graph
    run = compile_graph(graph, None if form == "kernel" else [])
    run(IMAGES)
    llvm.wait()
    benchmark(run, IMAGES)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n,k,m", [(32, 784, 512), (128, 784, 512), (1024, 1024, 1024)])
def test_products(benchmark, monkeypatch, n, k, m, threads):
    monkeypatch.setattr(blas, "_wanted", threads)
    x, y = RNG.random((n, k), "f4"), RNG.random((k, m), "f4")
    benchmark(blas.gemm, x, y)


@pytest.mark.parametrize("form", ["kernel", "plain"])
def test_parsing_an_image_record(benchmark, monkeypatch, form):
    """512 records of 784 bytes and a label."""
    if form == "kernel":
        assert jit.ensure_compiled()
    else:
        monkeypatch.setattr(jit, "kernels", lambda *names: None)
    record = hr.train.Example(
        features=hr.train.Features(
            feature={
                "image": hr.train.Feature(
                    bytes_list=hr.train.BytesList(value=[IMAGES[0].tobytes()])
                ),
                "label": hr.train.Feature(int64_list=hr.train.Int64List(value=[3])),
            }
        )
    ).SerializeToString()
    serialized = hr.constant([record] * 512)
    features = {
        "image": hr.io.FixedLenFeature([], hr.string),
        "label": hr.io.FixedLenFeature([], hr.int64),
    }
    benchmark(hr.io.parse_example, serialized, features)
