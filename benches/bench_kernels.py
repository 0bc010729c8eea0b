"""Kernels beside what they replace: fused chains, products over threads, records, resizing.

.venv/bin/pytest benches/bench_kernels.py --benchmark-enable
"""

import numpy as np
import pytest

import headrace as hr
from headrace.io import jit
from headrace.io.parse_plan import ParsePlan
from headrace.io.parse_raw import parse_raw
from headrace.io.tfrecord import RecordReader
from headrace.keras.optimizers.updates import update
from headrace.ops import blas
from headrace.ops.graph import llvm, trace
from headrace.ops.graph.execute import compile_graph
from headrace.ops.image_resample import resample
from headrace.ops.image_weights import taps
from headrace.ops.string_array import StringArray

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


def test_parsing_features(benchmark):
    """1,600 records of 27 ints and 13 floats."""
    assert jit.ensure_compiled()
    ints = [f"i{k}" for k in range(27)]
    floats = [f"f{k}" for k in range(13)]

    def record():
        feature = {
            key: hr.train.Feature(int64_list=hr.train.Int64List(value=[value]))
            for key, value in zip(ints, RNG.integers(0, 1 << 20, 27).tolist(), strict=True)
        } | {
            key: hr.train.Feature(float_list=hr.train.FloatList(value=[value]))
            for key, value in zip(floats, RNG.random(13).tolist(), strict=True)
        }
        features = hr.train.Features(feature=feature)
        return hr.train.Example(features=features).SerializeToString()

    serialized = StringArray.from_values([record() for _ in range(1600)])
    features = {key: hr.io.FixedLenFeature([], hr.int64) for key in ints}
    features |= {key: hr.io.FixedLenFeature([], hr.float32) for key in floats}
    benchmark(parse_raw, serialized, ParsePlan.from_features(features))


def test_checking_records(benchmark, tmp_path):
    """1,600 records of 640 bytes: reading, framing and CRC."""
    assert jit.ensure_compiled()
    path = tmp_path / "records"
    with hr.io.TFRecordWriter(str(path)) as writer:
        for _ in range(1600):
            writer.write(RNG.bytes(640))

    def read():
        with RecordReader(path) as reader:
            return sum(len(chunk) for chunk in iter(reader.read_chunk, None))

    assert benchmark(read) == 1600


@pytest.mark.parametrize("size", [(256, 256), (1080, 1920)])
def test_resizing(benchmark, size):
    """An image of bytes to 224 x 224, bilinear."""
    image = RNG.integers(0, 255, (*size, 3), dtype=np.uint8)
    rows, cols = (taps("bilinear", n, 224, False) for n in size)
    resample(image, rows, cols)
    llvm.wait()
    benchmark(resample, image, rows, cols)


@pytest.mark.parametrize("size", [512, 784 * 512])
def test_launching(benchmark, size):
    """An Adam update: of few numbers it is all overhead."""
    arrays = tuple(RNG.random(size, np.float32) for _ in range(4))
    scalars = [np.float32(v) for v in (1e-3, 0.1, 1e-3, 1e-7)]
    update("adam", arrays, *scalars)
    llvm.wait()
    assert benchmark(update, "adam", arrays, *scalars)
