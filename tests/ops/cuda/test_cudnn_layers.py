"""Layers on a GPU that has cuDNN, told on the CPU: CuPy's double, fakes of cuDNN, PTX.

What is told is the whole way: placement, the traced graph's forms, the calls of cuDNN with the
double's own memory, and gradients through what cuDNN kept.
"""

import importlib
import sys
from pathlib import Path

import fake_cudnn
import numpy as np
import pytest
from fake_cudnn_rnn import FakeCudnn
from ptx_device import PtxDevice

import headrace as hr
from headrace.keras import layers
from headrace.ops.cuda import (
    attention,
    convolution,
    device,
    frontend,
    gemm,
    norms,
    nvrtc,
    recurrent,
    recurrent_masks,
)
from headrace.ops.devices import devices
from headrace.ops.graph import placed
from headrace.ops.graph.execute import compile_placed

sys.path.insert(0, str(Path(__file__).parents[1]))
import cupy_double
from device_checks import DoubleBackend

pytestmark = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
X = np.random.default_rng(0).normal(size=(3, 5, 8)).astype("f4")
MASK = np.arange(5) < np.array([5, 2, 1])[:, None]


class Double(PtxDevice):
    """A GPU whose arrays are the double's."""

    xp = property(lambda self: cupy_double.cupy, lambda self, value: None)

    def address(self, array):
        return array.data.ptr

    def constant(self, values):
        return self.xp.asarray(values)

    def launch(self, kernel, grid, block, args, shared=0, touched=()):
        args, touched = (
            [a if isinstance(a, np.generic) else a._a for a in of] for of in (args, touched)
        )
        host = PtxDevice(self.arch)
        host.launch(kernel, grid, block, args, shared, touched)
        self.launches += host.launches


class Backend(DoubleBackend):
    def allow_tensor_float_32(self, allowed):
        """There is none."""


@pytest.fixture
def cudnn(monkeypatch):
    """Computes with one GPU; gives the names of what cuDNN ran."""
    importlib.import_module("headrace.ops.cuda.overrides")
    monkeypatch.setattr(cupy_double.Device, "count", 1)
    monkeypatch.setattr(placed, "_compiled", compile_placed)  # call by call
    for module in (attention, convolution, frontend, norms):
        monkeypatch.setattr(module, "frontend", lambda: fake_cudnn)
    library = FakeCudnn()
    monkeypatch.setattr(recurrent, "cudnn", lambda: library)
    monkeypatch.setattr(gemm, "cublaslt", lambda: None)
    monkeypatch.setattr(fake_cudnn.pygraph, "executed", library.calls)
    frontend._graphs.clear()
    recurrent._layer.cache_clear()
    known = devices.backend, devices.why_none
    devices.use(Backend(cupy_double.cupy, native=True))
    try:
        with device.use(Double()):
            yield library.calls
    finally:
        devices.use(*known)
        recurrent._layer.cache_clear()


def outcome(place, make, traced):
    """Results and gradients of a layer's call."""
    hr.keras.utils.set_random_seed(1)
    with hr.device(place):
        layer, call = make()

        def run(x, mask):
            with hr.GradientTape() as tape:
                tape.watch(x)
                y = call(layer, x, mask)
                total = hr.reduce_sum(hr.cast(y, "float32") ** 2)
            return [y, *tape.gradient(total, [x, *layer.trainable_variables])]

        x, mask = hr.constant(X), hr.constant(MASK)
        call(layer, x, mask)
        found = (hr.function(run) if traced else run)(x, mask)
        return [np.asarray(hr.cast(t, "float32").cpu()) for t in found]


CLOSE = {  # 16-bit floats
    "attention": 2e-2, "causal attention": 4e-3, "normalization": 2e-2,
    "LSTM of bfloat16": 2e-2, "GRU of float16": 4e-3,
}  # fmt: skip
BOTH_WAYS = ["cudnnRNNForward", "cudnnRNNBackwardData_v8", "cudnnRNNBackwardWeights_v8"]
MAKES = {
    "attention": (
        lambda: (layers.MultiHeadAttention(2, 8, dtype="mixed_bfloat16"),
                 lambda layer, x, mask: layer(x, x, attention_mask=mask[:, None, :])),
        ["sdpa", "sdpa_backward"],
    ),
    "causal attention": (
        lambda: (layers.MultiHeadAttention(2, 8, dtype="mixed_float16"),
                 lambda layer, x, mask: layer(x, x, query_mask=mask, use_causal_mask=True)),
        ["sdpa", "sdpa_backward"],
    ),
    "attention of float32": (
        lambda: (layers.MultiHeadAttention(2, 8),
                 lambda layer, x, mask: layer(x, x, attention_mask=mask[:, None, :])),
        [],
    ),
    "normalization": (
        lambda: (layers.BatchNormalization(dtype="mixed_bfloat16"),
                 lambda layer, x, mask: layer(x, training=True)),
        ["batchnorm", "batchnorm_backward"],
    ),
    "LSTM": (
        lambda: (layers.LSTM(4, return_sequences=True),
                 lambda layer, x, mask: layer(x, mask=mask)),
        BOTH_WAYS,
    ),
    "GRU both ways": (
        lambda: (layers.Bidirectional(layers.GRU(4)),
                 lambda layer, x, mask: layer(x, mask=mask)),
        BOTH_WAYS * 2,
    ),
    "LSTM of bfloat16": (
        lambda: (layers.LSTM(4, return_sequences=True, dtype="mixed_bfloat16"),
                 lambda layer, x, mask: layer(x, mask=mask)),
        BOTH_WAYS,
    ),
    "GRU of float16": (
        lambda: (layers.GRU(4, use_bias=False, dtype="mixed_float16"),
                 lambda layer, x, mask: layer(x)),
        BOTH_WAYS,
    ),
    "GRU without cuDNN": (
        lambda: (layers.GRU(4, reset_after=False), lambda layer, x, mask: layer(x, mask=mask)),
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("name", MAKES)
def test_layers(name, traced, cudnn):
    make, calls = MAKES[name]
    want = outcome("cpu:0", make, traced)
    assert cudnn == []
    got = outcome("gpu:0", make, traced)
    # The first call builds the layer; only its way there runs.
    there = [c for c in calls if "ackward" not in c]
    assert sorted(cudnn) == sorted(calls + there)
    close = CLOSE.get(name, 1e-4)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=close, atol=close * max(1, np.abs(b).max()))


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
def test_a_mask_is_read_once_per_step(traced, cudnn, monkeypatch):
    reads, plain = [], recurrent_masks.read
    monkeypatch.setattr(
        recurrent_masks, "read", lambda mask, what: (reads.append(what), plain(mask, what))[1]
    )
    outcome("gpu:0", MAKES["LSTM"][0], traced)
    assert reads == ["LSTM"] * 2  # the layer's first call has only its way there
