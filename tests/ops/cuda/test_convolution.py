"""Convolution on GPUs: the form by cuDNN's graphs gives what the generic form gives."""

import importlib

import fake_cudnn
import numpy as np
import pytest
from ptx_device import PtxDevice

import headrace as hr
from headrace.ops.cuda import convolution, device, frontend
from headrace.ops.primitive import get_primitive

CLOSE = {"float32": 1e-4, "float16": 4e-3, "bfloat16": 3e-2}
NAMES = {
    "image": ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"),
    "volume": ("Conv3D", "Conv3DBackpropInputV2", "Conv3DBackpropFilterV2"),
    "depthwise": tuple(
        f"DepthwiseConv2dNative{part}" for part in ("", "BackpropInput", "BackpropFilter")
    ),
}
PLAIN = {"padding": "VALID", "strides": 1, "dilations": 1}
CASES = {
    "plain": ("image", (2, 5, 6, 3), (3, 3, 3, 4), PLAIN),
    "same": ("image", (2, 5, 6, 3), (3, 3, 3, 4), {**PLAIN, "padding": "SAME"}),
    "padding that differs": ("image", (2, 6, 8, 3), (3, 3, 3, 4),
                             {**PLAIN, "padding": "SAME", "strides": 2}),
    "dilated": ("image", (1, 9, 8, 2), (3, 2, 2, 3), {**PLAIN, "dilations": 2}),
    "groups": ("image", (2, 5, 5, 6), (3, 3, 2, 9), {**PLAIN, "padding": "SAME"}),
    "volume": ("volume", (2, 4, 5, 4, 2), (2, 3, 2, 2, 3), {**PLAIN, "padding": "SAME"}),
    "depthwise": ("depthwise", (2, 5, 6, 3), (3, 3, 3, 2), {**PLAIN, "padding": "SAME"}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    importlib.import_module("headrace.ops.cuda.overrides")
    for module in (frontend, convolution):
        monkeypatch.setattr(module, "frontend", lambda: fake_cudnn)
    monkeypatch.setattr(fake_cudnn.pygraph, "executed", [])
    frontend._graphs.clear()
    with device.use(PtxDevice()):
        yield


def attributes(kind, given, first):
    """What a primitive is called with."""
    rank = 5 if kind == "volume" else 4

    def spread(value):
        return (1, 1, *[value] * (rank - 2)) if first else (1, *[value] * (rank - 2), 1)

    letters = "NCDHW" if rank == 5 else "NCHW"
    return {
        "padding": given["padding"], "strides": spread(given["strides"]),
        "dilations": spread(given["dilations"]),
        "data_format": letters if first else f"N{letters[2:]}C",
        **({} if rank == 5 else {"explicit_paddings": ()}),
    }  # fmt: skip


@pytest.mark.parametrize("first", [False, True], ids=["channels last", "channels first"])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", CASES)
def test_the_way_there_and_both_ways_back(name, dtype, first):
    kind, shape, filters, given = CASES[name]
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(hr.as_dtype(dtype).np_dtype) for s in (shape, filters))
    if first:
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    attrs = attributes(kind, given, first)
    forward, by_input, by_filter = (get_primitive(n) for n in NAMES[kind])
    wide = [a.astype("f4") for a in (x, w)]
    y = forward.impl(*wide, **attrs)
    g = rng.normal(size=y.shape).astype(x.dtype)
    sizes = [np.array(a.shape, np.int32) for a in (x, w)]
    calls = [
        (forward, (x, w)), (by_input, (sizes[0], w, g)), (by_filter, (x, sizes[1], g)),
    ]  # fmt: skip
    for primitive, args in calls:
        got = primitive.form("gpu")(*args, **attrs)
        plain = [a if a.dtype == np.int32 else a.astype("f4") for a in args]
        want = primitive.impl(*plain, **attrs)
        assert got.shape == want.shape and got.dtype == x.dtype
        close = CLOSE[dtype]
        np.testing.assert_allclose(
            got.astype("f4"), want, rtol=close, atol=close * max(1, np.abs(want).max())
        )
    assert fake_cudnn.pygraph.executed == ["conv_fprop", "conv_dgrad", "conv_wgrad"]
