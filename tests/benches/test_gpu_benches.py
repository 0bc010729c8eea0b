"""The benches of a GPU: without one they say so; their networks train on a CPU, too."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr

BENCHES = Path(hr.__file__).parent / "benches"
SCRIPTS = ["gpu_train_steps.py", "gpu_fused_chains.py", "gpu_host_to_device.py"]


@pytest.mark.processes
@pytest.mark.skipif(bool(hr.config.list_physical_devices("GPU")), reason="there is a GPU")
@pytest.mark.parametrize("script", SCRIPTS)
def test_without_a_device_they_refuse(script):
    done = subprocess.run(
        [sys.executable, str(BENCHES / script)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"{script} needs a GPU: CuPy ")


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm"])
def test_a_step_lowers_the_loss(name, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHES))
    import gpu_train_steps
    from gpu_networks import NETWORKS

    network = NETWORKS[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, *network.shape)).astype("f4")
    y = rng.integers(0, network.classes, 8).astype(np.int32)
    before = hr.keras.mixed_precision.global_policy()
    try:
        step = gpu_train_steps.headrace_step(network, x, y)
        losses = [float(step()) for _ in range(6)]
    finally:
        hr.keras.mixed_precision.set_global_policy(before)
    assert losses[-1] < losses[0]
    assert "calls traced" in step.told()


def test_networks_have_the_sizes_of_their_peers(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHES))
    from gpu_networks import NETWORKS

    # ResNet-50 as torchvision has it, with biases of no convolution.
    model = NETWORKS["resnet50"].keras(hr.keras)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 25_557_032
