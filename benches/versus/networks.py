"""Training of convolutional networks: `fit` of Headrace's keras against tf.keras.

`python benches/versus/networks.py [--torch PYTHON] [--job cnn]` alternates Headrace with the
same training loop in torch, in an interpreter that has it, as torch is too large for `peers`.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def cnn(keras: Any) -> Any:
    """The small network of every tutorial: two convolutions, two poolings, a dense layer."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def resnet(keras: Any) -> Any:
    """ResNet-18 with the first layer for small images: 3x3, without a pooling behind it."""
    layers = keras.layers

    def normed(h: Any, filters: int, size: int, strides: int) -> Any:
        h = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(h)
        return layers.BatchNormalization()(h)

    inputs = keras.Input((64, 64, 3))
    h = layers.ReLU()(normed(inputs, 64, 3, 1))
    for filters, strides in zip(
        (64, 64, 128, 128, 256, 256, 512, 512), (1, 1, 2, 1, 2, 1, 2, 1), strict=True
    ):
        inner = layers.ReLU()(normed(h, filters, 3, strides))
        inner = normed(inner, filters, 3, 1)
        if strides != 1:
            h = normed(h, filters, 1, strides)
        h = layers.ReLU()(layers.Add()([inner, h]))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(h)))


# Network, batch size, batches of one run.
NETWORKS: dict[str, tuple[Callable[[Any], Any], int, int]] = {
    "cnn": (cnn, 128, 50),
    "resnet": (resnet, 32, 1),
}


def fit(name: str) -> Callable[[Any, Path], Callable[[], int]]:
    """A job that trains the network `name` by `fit`, from arrays."""

    def prepare(lib: Any, data: Path) -> Callable[[], int]:
        make, batch, batches = NETWORKS[name]
        keras = lib.keras
        model = make(keras)
        rows = batch * batches
        rng = np.random.default_rng(4)
        x = rng.random((rows, *model.input_shape[1:]), np.float32)
        y = rng.integers(0, 10, rows)
        model.compile(
            keras.optimizers.SGD(0.01, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

        def run() -> int:
            model.fit(x, y, batch_size=batch, verbose=0)
            return rows

        model.fit(x[: 2 * batch], y[: 2 * batch], batch_size=batch, verbose=0)
        return run

    return prepare


def jobs(job: Any) -> dict[str, Any]:
    """The rows of the table, made with the class `job`."""
    found = (
        job("cnn", "`fit` of conv32-pool-conv64-pool-dense, 28x28, batch 128", 1.6, "images",
            fit("cnn")),
        job("resnet", "`fit` of a ResNet-18 on 64x64, batch 32", 1.6, "images", fit("resnet")),
    )  # fmt: skip
    return {one.name: one for one in found}


# -- torch ------------------------------------------------------------------------------------

TORCH = """
import sys, time, resource
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, ins, outs, stride):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(ins, outs, 3, stride, 1, bias=False), nn.BatchNorm2d(outs), nn.ReLU(),
            nn.Conv2d(outs, outs, 3, 1, 1, bias=False), nn.BatchNorm2d(outs))
        self.side = nn.Identity() if stride == 1 else nn.Sequential(
            nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs))
    def forward(self, x):
        return torch.relu(self.inner(x) + self.side(x))

def resnet():
    layers, ins = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for outs, stride in zip((64, 64, 128, 128, 256, 256, 512, 512), (1, 1, 2, 1, 2, 1, 2, 1)):
        layers.append(Block(ins, outs, stride))
        ins = outs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))

def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1600, 10))

name, batch, batches = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = {"cnn": cnn, "resnet": resnet}[name]().to(memory_format=torch.channels_last)
shape = (1, 28, 28) if name == "cnn" else (3, 64, 64)
x = torch.rand(batch * batches, *shape).to(memory_format=torch.channels_last)
y = torch.randint(0, 10, (batch * batches,))
optimizer, loss = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9), nn.CrossEntropyLoss()

def epoch():
    for i in range(0, len(x), batch):
        optimizer.zero_grad()
        loss(model(x[i : i + batch]), y[i : i + batch]).backward()
        optimizer.step()

epoch()
for line in sys.stdin:
    start, used = time.perf_counter(), time.process_time()
    epoch()
    rate = len(x) / (time.perf_counter() - start)
    cost = (time.process_time() - used) / len(x)
    print(rate, cost, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
"""


def against_torch(python: str, job: str, rounds: int) -> None:
    """Prints the rates of both, alternating, and the median of the rounds' ratios."""
    import headrace as hr
    from headrace.ops.kernels import build

    build.ensure_compiled()
    _, batch, batches = NETWORKS[job]
    run = fit(job)(hr, Path())
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "network.py"
        script.write_text(TORCH)
        peer = subprocess.Popen(
            [python, str(script), job, str(batch), str(batches)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        assert peer.stdin and peer.stdout
        ratios, costs = [], []
        run()
        for _ in range(rounds):
            peer.stdin.write("\n")
            theirs, their_cost, peak = map(float, peer.stdout.readline().split())
            start, used = time.perf_counter(), time.process_time()
            rows = run()
            ours = rows / (time.perf_counter() - start)
            ratios.append(ours / theirs)
            costs.append(their_cost * rows / (time.process_time() - used))
            mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"headrace {ours:,.0f} images/s, torch {theirs:,.0f}: {ratios[-1]:.2f}x, CPU "
                f"time {costs[-1]:.2f}x; peak {mine:,.0f} MiB against {peak:,.0f}"
            )
        peer.stdin.close()
        peer.wait()
    print(f"median {statistics.median(ratios):.2f}x, CPU time {statistics.median(costs):.2f}x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default=sys.executable, help="an interpreter with torch")
    parser.add_argument("--job", choices=list(NETWORKS), default="cnn")
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    against_torch(chosen.torch, chosen.job, chosen.rounds)
