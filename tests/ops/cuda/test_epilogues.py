"""Bias and relu over a convolution's result, in one launch."""

import numpy as np
import pytest
from ptx_device import PtxDevice

import headrace as hr
from headrace.ops.cuda import device, epilogues, nvrtc, overrides
from headrace.ops.primitive import get_primitive

pytestmark = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
ATTRS = {"strides": (1, 1, 1, 1), "padding": "SAME", "explicit_paddings": (),
         "data_format": "NHWC", "dilations": (1, 1, 1, 1)}  # fmt: skip


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_bias_and_relu(name, relu):
    kind = hr.as_dtype(name).np_dtype
    rng = np.random.default_rng(0)
    x, bias = rng.normal(size=(2, 3, 5, 6)).astype(kind), rng.normal(size=6).astype(kind)
    x[0, 0, 0, 0] = np.nan
    want = (x.astype("f8") + bias.astype("f8")).astype(kind)
    if relu:
        want = np.maximum(want, kind.type(0))
    with device.use(PtxDevice()) as gpu:
        out = epilogues.add_bias(x, bias, relu)
    assert out is x and len(gpu.launches) == 1
    np.testing.assert_array_equal(out.astype("f8"), want.astype("f8"))


@pytest.mark.parametrize("relu", [False, True])
def test_a_convolution_with_bias(relu):
    assert overrides
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s).astype("f4") for s in ((2, 6, 6, 3), (3, 3, 3, 4), (4,))]
    primitive = get_primitive("_ConvolutionBiasActivation")
    want = primitive.impl(*arrays, relu=relu, **ATTRS)
    with device.use(PtxDevice()) as gpu:
        got = primitive.form("gpu")(*arrays, relu=relu, **ATTRS)
    assert [name for name, _, _ in gpu.launches] == ["loop"]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_integers_are_left_to_the_generic_form():
    x = np.ones((2, 3), "i4")
    assert epilogues.add_bias(x, x[0], True) is NotImplemented
