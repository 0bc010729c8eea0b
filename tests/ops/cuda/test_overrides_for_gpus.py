"""The forms registered for GPUs give what the generic forms give."""

import importlib

import numpy as np
import pytest
from ptx_device import PtxDevice

import headrace as hr
from headrace.ops.cuda import device, norms, nvrtc
from headrace.ops.primitive import get_primitive

pytestmark = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
RNG = np.random.default_rng
F4 = hr.float32


@pytest.fixture(autouse=True)
def gpu():
    importlib.import_module("headrace.ops.cuda.overrides")
    with device.use(PtxDevice()) as found:
        yield found


def arrays(*shapes):
    return [RNG(i).normal(size=s).astype("f4") for i, s in enumerate(shapes)]


IMAGE = (2, 6, 6, 3)
POOL = {"ksize": (1, 2, 2, 1), "strides": (1, 2, 2, 1), "padding": "SAME",
        "data_format": "NHWC", "explicit_paddings": ()}  # fmt: skip
PLAIN_POOL = {k: v for k, v in POOL.items() if k != "explicit_paddings"}
FIRST = {**POOL, "ksize": (1, 1, 3, 3), "strides": (1, 1, 2, 2), "data_format": "NCHW"}
INDICES = np.array([[1, 4], [0, 1]])
CALLS = {
    "MaxPool": lambda: (arrays(IMAGE), POOL),
    "MaxPool channels first": lambda: (arrays((2, 3, 7, 6)), FIRST),
    "AvgPool": lambda: (arrays(IMAGE), PLAIN_POOL),
    "AvgPoolGrad": lambda: ([np.array(IMAGE), *arrays((2, 3, 3, 3))], PLAIN_POOL),
    "_BatchNorm": lambda: (arrays((8, 5, 4), 4, 4), {"epsilon": 1e-3}),
    "SoftmaxCrossEntropyWithLogits": lambda: (arrays((6, 5), (6, 5)), {}),
    "SparseSoftmaxCrossEntropyWithLogits": lambda: ([*arrays((6, 5)), np.arange(6) % 5], {}),
    "GatherV2": lambda: ([*arrays((5, 3)), INDICES], {"axis": 0, "batch_dims": 0}),
    "GatherV2 of columns": lambda: ([*arrays((5, 5)), INDICES], {"axis": 1, "batch_dims": 0}),
    "_GatherGrad": lambda: ([*arrays((3, 2, 2), (3, 5)), INDICES],
                            {"axis": 1, "batch_dims": 0}),
    "StatelessRandomUniform": lambda: ([np.array([3, 5]), np.array([7, 9])], {"dtype": F4}),
    "StatelessRandomNormal": lambda: ([np.array([3, 5]), np.array([7, 9])], {"dtype": F4}),
    "_StatelessBits": lambda: ([np.array([9]), np.array([7, 9])], {"dtype": hr.uint32}),
    "Conv2D": lambda: (arrays(IMAGE, (3, 3, 3, 2)),
                       {"strides": (1, 1, 1, 1), "padding": "SAME", "data_format": "NHWC",
                        "dilations": (1, 1, 1, 1), "explicit_paddings": ()}),
    "MatMul": lambda: (arrays((3, 4), (4, 5)), {"transpose_a": False, "transpose_b": False}),
}  # fmt: skip
BY_LIBRARIES = {"Conv2D", "MatMul", "GatherV2 of columns"}


@pytest.mark.parametrize("call", CALLS)
def test_forms(gpu, call):
    primitive = get_primitive(call.split()[0])
    assert "gpu" in primitive.overrides
    given, attrs = CALLS[call]()
    got = primitive.form("gpu")(*given, **attrs)
    want = primitive.impl(*given, **attrs)
    got, want = (v if isinstance(v, tuple) else (v,) for v in (got, want))
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape and g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-5)
    assert bool(gpu.launches) is (call not in BY_LIBRARIES)


@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_batch_norm_and_its_gradient(mean):
    x, g, scale, offset = arrays((40, 6), (40, 6), 6, 6)
    x += np.float32(mean)
    y, m, v = norms.batch_norm(x, scale, offset, 1e-3)
    wide = x.astype("f8")
    np.testing.assert_allclose(m, wide.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(v, wide.var(0), rtol=1e-4)
    normal = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-3)
    close = 1e-3 if mean else 1e-5
    np.testing.assert_allclose(y, normal * scale + offset, rtol=close, atol=close)
    got = norms.batch_norm_grad(g, x, scale, m, v, 1e-3)
    want = get_primitive("_BatchNormGrad").impl(
        g.astype("f8"), wide, scale.astype("f8"), wide.mean(0), wide.var(0), epsilon=1e-3
    )
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=10 * close, atol=10 * close)


def test_batch_norm_of_16_bit_floats():
    bf = hr.bfloat16.np_dtype
    x, scale, offset = arrays((40, 6), 6, 6)
    y, m, _ = norms.batch_norm(x.astype(bf), scale, offset, 1e-3)
    assert y.dtype == bf and m.dtype == np.float32
    want, _, _ = norms.batch_norm(x, scale, offset, 1e-3)
    np.testing.assert_allclose(y.astype("f4"), want, rtol=5e-2, atol=5e-2)


def test_stateful_draws_take_their_part_of_the_stream():
    uniform = get_primitive("RandomUniform")
    attrs = {"dtype": F4, "seed": 5, "seed2": 6}
    hr.random.set_seed(1)
    want = [uniform.impl(np.array([7]), **attrs) for _ in range(2)]
    hr.random.set_seed(1)
    got = [uniform.form("gpu")(np.array([7]), **attrs) for _ in range(2)]
    np.testing.assert_array_equal(got, want)


def test_what_stands_for_a_gpu_has_no_kernels(gpu, monkeypatch):
    monkeypatch.setattr(device, "_used", [])
    got = get_primitive("MaxPool").form("gpu")(*arrays(IMAGE), **POOL)
    assert got.shape == (2, 3, 3, 3) and not gpu.launches
