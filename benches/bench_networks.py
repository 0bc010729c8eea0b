"""Kernels of convolutional and recurrent networks, on one thread, beside what they replace.

.venv/bin/pytest benches/bench_networks.py --benchmark-enable --benchmark-timer=time.thread_time
"""

import numpy as np
import pytest

from headrace.ops import recurrent, workers
from headrace.ops.kernels import (
    build,
    convolution,
    pooled,
    pooling,
    recurrent as sequences,
    strided,
)
from headrace.ops.windows import Windows

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    assert build.ensure_compiled()
    monkeypatch.setattr(workers, "_wanted", 1)


def normal(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("form", ["one kernel", "one by one"])
@pytest.mark.parametrize("size,channels,filters", [(28, 1, 32), (13, 32, 64)])
def test_pooled_convolution(benchmark, size, channels, filters, form):
    """Convolution, bias, relu, pooling and their gradients, of a batch of 128."""
    at = Windows((size, size), (3, 3), (1, 1), (1, 1), "VALID")
    x, w, bias = (
        normal(128, size, size, channels),
        normal(3, 3, channels, filters),
        normal(filters),
    )
    halves = Windows(at.out, (2, 2), (2, 2), (1, 1), "VALID")
    g = normal(128, *halves.out, filters)

    def together():
        _, index = pooled.forward(x, w, bias, at)
        pooled.grad_filter(x, w.shape, g, index, at)
        if channels > 1:
            pooled.grad_input(x.shape, w, g, index, at)

    def one_by_one():
        y = convolution.forward(x, w, at, bias, True)
        out = pooling.maximum(y, halves)
        masked = g * (out > 0)
        d = pooling.maximum_grad(y, out, masked, halves)
        convolution.grad_filter(x, w.shape, d, at)
        masked.sum((0, 1, 2))
        if channels > 1:
            convolution.grad_input(x.shape, w, d, at)

    benchmark(together if form == "one kernel" else one_by_one)


@pytest.mark.parametrize("form", ["kernel", "schedule"])
@pytest.mark.parametrize("kind,gates", [("lstm", 4), ("gru", 3)])
def test_sequences(benchmark, monkeypatch, kind, gates, form):
    """[128, 28, 28] to 128 units, forward and backward."""
    if form == "schedule":
        monkeypatch.setattr(sequences, "kernel", lambda name: None)
    shapes = [(128, 28, 28), (28, gates * 128), (128, gates * 128)]
    shapes += [(512,), (128, 128), (128, 128)] if kind == "lstm" else [(2, 384), (128, 128)]
    given = [normal(*s) * 0.1 for s in shapes]
    forward, backward = (getattr(recurrent, f"_{kind}{k}_impl") for k in ("", "_grad"))
    above = [normal(128, 28, 128), *(normal(*s) for s in shapes[4:])]

    def step():
        made = forward(*given)
        backward(*given, made[0], *made[-2:], *above, for_inputs=False)

    step()
    benchmark(step)


@pytest.mark.parametrize("form", ["winograd", "taps"])
@pytest.mark.parametrize("size,channels", [(64, 64), (32, 128), (16, 256)])
def test_stride_two(benchmark, monkeypatch, size, channels, form):
    """Batch 32, to twice as many channels, forward and both gradients."""
    if form == "taps":
        monkeypatch.setattr(strided, "kernel", lambda name: None)
    at = Windows((size, size), (3, 3), (2, 2), (1, 1), "SAME")
    x, w = normal(32, size, size, channels), normal(3, 3, channels, 2 * channels)
    g = normal(32, *at.out, 2 * channels)

    def step():
        convolution.forward(x, w, at)
        convolution.grad_input(x.shape, w, g, at)
        convolution.grad_filter(x, w.shape, g, at)

    benchmark(step)
