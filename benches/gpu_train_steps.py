"""Training steps on a GPU against torch eager and torch.compile: ``python gpu_train_steps.py``.

The same network, batch and optimizer (SGD with momentum) on the same device in one process; the
sides take turns, and a row holds the medians of the rounds.  Batches lie on the device.
Losses of the first steps are written down: both must fall.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_device import cupy_or_exit, describe, rate, write
from gpu_networks import NETWORKS, Network


def headrace_step(network: Network, x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """A compiled step of Headrace; it gives the loss."""
    import headrace as hr

    keras = hr.keras
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if network.bf16 else "float32")
    model = network.keras(keras)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    with hr.device("gpu:0"):
        images, labels = hr.identity(hr.constant(x)), hr.identity(hr.constant(y))

    @hr.function
    def step(images: Any, labels: Any) -> Any:
        with hr.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        found = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))
        return loss

    def run() -> Any:
        return step(images, labels)

    run.told = lambda: step.explain(images, labels)  # type: ignore[attr-defined]
    return run


def torch_step(
    network: Network, x: np.ndarray, y: np.ndarray, compiled: bool
) -> Callable[[], Any]:
    """A step of torch, eager or compiled."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    model = network.torch(torch).cuda()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    images = torch.from_numpy(x).cuda()
    if network.first:
        images = images.permute(0, 3, 1, 2)  # channels last in memory
    labels = torch.from_numpy(y).cuda().long()

    def forward(images: Any, labels: Any) -> Any:
        with torch.autocast("cuda", torch.bfloat16, enabled=network.bf16):
            out = model(images)
        return torch.nn.functional.cross_entropy(out.float(), labels)

    run = torch.compile(forward, mode="max-autotune") if compiled else forward

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = run(images, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=0, help="per round; 0: about half a second"
    )
    parser.add_argument("--only", choices=["headrace", "torch", "torch.compile"])
    parser.add_argument("--batch", type=int, default=0, help="instead of the network's own")
    options = parser.parse_args()
    cupy = cupy_or_exit()
    wait = cupy.cuda.Device().synchronize
    rows = []
    for name in options.job:
        network = NETWORKS[name]
        rng = np.random.default_rng(0)
        batch = options.batch or network.batch
        x = rng.normal(size=(batch, *network.shape)).astype(np.float32)
        y = rng.integers(0, network.classes, batch).astype(np.int32)
        makers = {
            "headrace": lambda n=network, x=x, y=y: headrace_step(n, x, y),
            "torch": lambda n=network, x=x, y=y: torch_step(n, x, y, False),
            "torch.compile": lambda n=network, x=x, y=y: torch_step(n, x, y, True),
        }
        row: dict[str, Any] = {"job": name, "batch": batch, "aims": network.aims}
        steps: dict[str, Callable[[], Any]] = {}
        for side, make in makers.items():
            if options.only not in (None, side):
                continue
            try:
                step = steps[side] = make()
                losses = [float(step()) for _ in range(10)]
                row[f"{side} losses"] = [round(losses[0], 4), round(losses[-1], 4)]
            except Exception as error:  # a row that fails leaves the others standing
                steps.pop(side, None)
                row[f"{side} failed"] = f"{type(error).__name__}: {error}"[:500]
        counts = {
            side: options.steps or max(int(rate(step, wait, 10) / 2), 5)
            for side, step in steps.items()
        }
        found: dict[str, list[float]] = {side: [] for side in steps}
        for _ in range(options.rounds):
            for side, step in steps.items():
                found[side].append(batch * rate(step, wait, counts[side]))
        for side, rates in found.items():
            row[f"{side} examples/s"] = statistics.median(rates)
        own = found.get("headrace")
        for side in ("torch", "torch.compile"):
            if own and found.get(side):
                ratios = [a / b for a, b in zip(own, found[side], strict=True)]
                row[f"over {side}"] = statistics.median(ratios)
        if "headrace" in steps:
            told = steps["headrace"].told().splitlines()  # type: ignore[attr-defined]
            row["told"] = next((t.strip() for t in told if "CUDA graph" in t), None)
        rows.append(row)
        steps.clear()
        cupy.get_default_memory_pool().free_all_blocks()
        write("train_steps", rows, describe(cupy))  # after each, for a run that is cut short


if __name__ == "__main__":
    main()
