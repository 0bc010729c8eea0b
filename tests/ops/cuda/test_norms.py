"""Batch normalization on GPUs: cuDNN's graphs and the chains give the generic numbers."""

import importlib

import fake_cudnn
import numpy as np
import pytest
from ptx_device import PtxDevice

import headrace as hr
from headrace.ops.cuda import device, frontend, norms, nvrtc
from headrace.ops.primitive import get_primitive

pytestmark = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
CLOSE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 1e-4}
SHAPES = {
    "rows": (12, 16),
    "steps": (3, 4, 8),
    "images": (2, 3, 4, 8),
    "volumes": (2, 2, 3, 2, 8),
}


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    importlib.import_module("headrace.ops.cuda.overrides")
    for module in (frontend, norms):
        monkeypatch.setattr(module, "frontend", lambda: fake_cudnn)
    monkeypatch.setattr(fake_cudnn.pygraph, "executed", [])
    frontend._graphs.clear()
    with device.use(PtxDevice()) as found:
        yield found


def arrays(shape, dtype):
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=shape).astype(hr.as_dtype(dtype).np_dtype) for _ in "xg")
    scale, offset = (rng.normal(size=shape[-1:]).astype("f4") for _ in "so")
    return x * x.dtype.type(2) + x.dtype.type(1), g, scale, offset


def close(got, want, dtype):
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(
            a.astype("f4"), b.astype("f4"), rtol=CLOSE[dtype], atol=CLOSE[dtype]
        )


def there_and_back(x, g, scale, offset):
    """By the GPU's forms and by the generic ones."""
    norm, grad = get_primitive("_BatchNorm"), get_primitive("_BatchNormGrad")
    attrs = {"epsilon": 1e-3}
    for run, back in ((norm.form("gpu"), grad.form("gpu")), (norm.impl, grad.impl)):
        y, mean, variance = run(x, scale, offset, **attrs)
        yield [y, mean, variance, *back(g, x, scale, mean, variance, **attrs)]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_by_cudnn(shape, dtype):
    close(*there_and_back(*arrays(shape, dtype)), dtype)
    assert fake_cudnn.pygraph.executed == ["batchnorm", "batchnorm_backward"]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2, 3, 4, 6), "bfloat16"), ((2, 3, 4, 12), "float16"), ((2, 3, 4, 8), "float32")],
    ids=["6 channels", "12 channels", "float32"],
)
def test_by_the_chains(shape, dtype, gpu):
    close(*there_and_back(*arrays(shape, dtype)), dtype)
    assert not fake_cudnn.pygraph.executed and gpu.launches


def test_without_an_engine_by_the_chains(gpu, monkeypatch):
    monkeypatch.setattr(fake_cudnn, "_no_norm", lambda kind, x: "No valid engine configs")
    close(*there_and_back(*arrays((2, 3, 4, 8), "bfloat16")), "bfloat16")
    assert not fake_cudnn.pygraph.executed and gpu.launches


@pytest.mark.parametrize("data_format", ["NHWC", "NCHW"])
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_tensorflows_operation(data_format, factor):
    x, g, scale, offset = arrays((2, 3, 4, 8), "bfloat16")
    if data_format == "NCHW":
        x, g = (np.ascontiguousarray(a.transpose(0, 3, 1, 2)) for a in (x, g))
    mean, variance = np.full(8, 0.5, "f4"), np.full(8, 2, "f4")
    attrs = {"epsilon": 1e-3, "data_format": data_format, "is_training": True}
    norm, grad = (get_primitive(f"FusedBatchNorm{n}V3") for n in ("", "Grad"))
    found = []
    for run, back in ((norm.form("gpu"), grad.form("gpu")), (norm.impl, grad.impl)):
        out = run(x, scale, offset, mean, variance, exponential_avg_factor=factor, **attrs)
        found.append([*out, *back(g, x, scale, *out[3:], **attrs)])
    close(*found, "bfloat16")
    assert fake_cudnn.pygraph.executed == ["batchnorm", "batchnorm_backward"]


def test_given_statistics_are_no_matter_for_cudnn():
    x, _, scale, offset = arrays((2, 3, 4, 8), "bfloat16")
    attrs = {"epsilon": 1e-3, "data_format": "NHWC", "is_training": False,
             "exponential_avg_factor": 1.0}  # fmt: skip
    norm = get_primitive("FusedBatchNormV3")
    given = (x, scale, offset, np.zeros(8, "f4"), np.ones(8, "f4"))
    close(norm.form("gpu")(*given, **attrs), norm.impl(*given, **attrs), "bfloat16")
    assert not fake_cudnn.pygraph.executed


def test_small_variances_are_not_below_zero():
    x = np.full((16, 8), 3, "f2")
    _, mean, variance = norms.batch_norm(x, np.ones(8, "f4"), np.zeros(8, "f4"), 1e-3)
    np.testing.assert_array_equal(mean, 3)
    assert ((variance >= 0) & (variance < 1e-8)).all()
    assert fake_cudnn.pygraph.executed == ["batchnorm"]


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float32"])
def test_the_layer_normalizes_what_it_is_given(dtype):
    layer = hr.keras.layers.BatchNormalization(dtype=dtype)
    x = hr.constant(np.random.default_rng(0).normal(3, 2, (64, 8)).astype("f4"))
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = hr.reduce_sum(hr.cast(y, "float32") ** 3)
    kind = layer.compute_dtype
    assert y.dtype.name == kind
    rounded = hr.cast(hr.cast(x, kind), "float64").numpy()
    want = (rounded - rounded.mean(0)) / np.sqrt(rounded.var(0) + 1e-3)
    np.testing.assert_allclose(hr.cast(y, "float64"), want, rtol=CLOSE[kind], atol=CLOSE[kind])
    np.testing.assert_allclose(layer.moving_mean, 0.01 * rounded.mean(0), rtol=1e-3)
    full = hr.keras.layers.BatchNormalization()
    with hr.GradientTape() as exact:
        exact.watch(x)
        total = hr.reduce_sum(full(x, training=True) ** 3)
    close = 20 * CLOSE[kind]
    np.testing.assert_allclose(
        tape.gradient(loss, x), exact.gradient(total, x), rtol=close, atol=close
    )
