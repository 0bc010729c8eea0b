"""Memory of devices: it is counted, given back, flat over steps; running out of it is told."""

import gc

import numpy as np
import pytest

import headrace as hr
from headrace.ops.devices import devices

info = hr.config.experimental.get_memory_info


@pytest.fixture(autouse=True)
def _devices(gpus):
    """All tests here need them; they begin with what is held given back."""
    gc.collect()
    hr.config.experimental.reset_memory_stats("GPU:0")
    yield
    devices.backend.set_limit(0, 0)


def test_what_is_held_is_counted(gpus):
    before = info("GPU:0")["current"]
    x = hr.zeros([1 << 18]) + 1.0
    assert info("gpu:0")["current"] - before >= 1 << 20
    assert info("GPU:0")["peak"] >= info("GPU:0")["current"]
    del x
    gc.collect()
    hr.config.experimental.reset_memory_stats("GPU:0")
    after = info("GPU:0")
    assert after["current"] <= before and after["peak"] <= before + (1 << 19)
    assert info("CPU:0") == {"current": 0, "peak": 0}
    with pytest.raises(ValueError, match=r"GPU:9.*GPU:0"):
        info("GPU:9")


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_it_is_flat_over_steps(gpus, compiled):
    steps = 1000 if gpus.real else 100
    w = hr.Variable(np.ones((64, 64), np.float32))
    x = hr.constant(np.ones((32, 64), np.float32))
    optimizer = hr.keras.optimizers.SGD(1e-3)

    def step(x):
        with hr.GradientTape() as tape:
            loss = hr.reduce_mean(hr.tanh(x @ w))
        optimizer.apply_gradients([(tape.gradient(loss, w), w)])
        return loss

    run = hr.function(step) if compiled else step
    for _ in range(10):
        run(x)
    gc.collect()
    before = info("GPU:0")["current"]
    for _ in range(steps):
        run(x)
    gc.collect()
    assert info("GPU:0")["current"] <= before + 4096


def test_running_out_names_the_largest_and_can_be_recovered_from(gpus):
    big = hr.Variable(np.zeros((1024, 1024), np.float32), name="big")
    limit = info("GPU:0")["current"] + (3 << 20)
    devices.backend.set_limit(0, limit)
    with pytest.raises(hr.errors.ResourceExhaustedError) as caught:
        hr.concat([big, big], 0)
    text = str(caught.value)
    assert "big" in text and "float32[1024, 1024]" in text and "GPU:0" in text
    assert isinstance(caught.value, MemoryError)
    # Nothing is broken: what fits goes on, and the rest as soon as there is room.
    assert float(hr.reduce_sum(big)) == 0.0
    devices.backend.set_limit(0, 0)
    assert hr.concat([big, big], 0).shape == (2048, 1024)


def test_unused_blocks_are_given_back_before_it_fails(gpus):
    x = hr.zeros([1 << 20])  # 4 MiB, kept by the pool when it is dropped
    kept = info("GPU:0")["current"]
    del x
    gc.collect()
    devices.backend.set_limit(0, kept + (1 << 20))
    y = hr.ones([(1 << 20) + 1024])  # fits only where the old block is not kept
    assert float(hr.reduce_sum(y)) == (1 << 20) + 1024
