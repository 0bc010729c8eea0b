"""Training steps on a GPU against torch eager and torch.compile: ``python gpu_train_steps.py``.

The same network, batch and optimizer (SGD with momentum) on the same device in one process; the
sides take turns, and a row holds the median of the rounds' ratios.  Batches lie on the device.
torch's optimizer is its fused one, and its compiled form replays CUDA graphs where launches
decide (`Network.mode`).  Losses of the first steps are written down: they must be finite, and
should fall.  Each network has a file of its own, ``results/gpu_train_<network>.json``.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_device import bf16_peak, cupy_or_exit, describe, measured, rate, write
from gpu_networks import NETWORKS, Network

SIDES = ("headrace", "torch", "torch.compile")
Step = Callable[[], Any]


def headrace_step(network: Network, x: np.ndarray, y: np.ndarray) -> Step:
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
    network: Network, x: np.ndarray, y: np.ndarray, compiled: bool, device: str = "cuda"
) -> Step:
    """A step of torch, eager or compiled."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    model = network.torch(torch).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, fused=True)
    images = torch.from_numpy(x).to(device)
    if network.first:
        images = images.permute(0, 3, 1, 2)  # channels last in memory
    labels = torch.from_numpy(y).to(device).long()

    def forward(images: Any, labels: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=network.bf16):
            out = model(images)
        return torch.nn.functional.cross_entropy(out.float(), labels)

    run = torch.compile(forward, mode=network.mode) if compiled else forward

    def step() -> Any:
        if compiled:
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad(set_to_none=True)
        loss = run(images, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def batch_of(network: Network, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch of random examples and their labels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *network.shape), np.float32)
    return x, rng.integers(0, network.classes, batch).astype(np.int32)


def prepared(
    makers: dict[str, Callable[[], Step]], warm: int = 10
) -> tuple[dict[str, Step], dict[str, Any]]:
    """The sides' steps, each run a few times, and what there is to tell: losses, failures."""
    steps: dict[str, Step] = {}
    told: dict[str, Any] = {}
    for side, make in makers.items():
        try:
            step = make()
            losses = [float(step()) for _ in range(warm)]
            told[f"{side} losses"] = [round(losses[0], 4), round(losses[-1], 4)]
            if not np.isfinite(losses).all():
                raise RuntimeError(f"losses are {losses}")
            steps[side] = step
        except Exception as error:  # a side that fails leaves the others standing
            told[f"{side} failed"] = f"{type(error).__name__}: {error}"[:500]
    return steps, told


def in_turns(
    steps: dict[str, Step], wait: Callable[[], None], rounds: int, count: int = 0
) -> dict[str, list[float]]:
    """Steps a second of every side in every round; `count` steps each, or for half a second."""
    counts = {
        side: count or max(int(rate(step, wait, 5) / 2), 5) for side, step in steps.items()
    }
    found: dict[str, list[float]] = {side: [] for side in steps}
    for place in range(rounds):
        for side in sorted(steps, reverse=place % 2 == 1):
            found[side].append(rate(steps[side], wait, counts[side]))
    return found


def rows_for(
    name: str, network: Network, batch: int, found: dict[str, list[float]],
    told: dict[str, Any], peak: float | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows of a network's results."""
    speeds = {f"{side} examples/s": batch * statistics.median(r) for side, r in found.items()}
    more = {"batch": batch, **speeds, **told}
    own, rows = found.get("headrace"), []
    for side, aim in zip(SIDES[1:], network.aims, strict=True):
        if own and found.get(side):
            ratios = [a / b for a, b in zip(own, found[side], strict=True)]
            spread = [round(min(ratios), 3), round(max(ratios), 3)]
            rows.append(
                measured(name, f"times {side}", statistics.median(ratios), aim, range=spread)
            )
    if own and peak and network.operations:
        done = network.operations * batch * statistics.median(own)
        rows.append(
            measured(name, "share of the measured bfloat16 peak", done / peak, network.share,
                     peak_tflops=peak / 1e12, tflops=done / 1e12)
        )  # fmt: skip
    if rows:
        rows[0].update(more)
    else:
        rows.append({"job": name, "failed": "no side to compare", **more})
    return rows


def _replayed(step: Any) -> str | None:
    """What `explain()` says of CUDA graphs."""
    lines = step.told().splitlines()
    return next((t.strip() for t in lines if "CUDA graph" in t), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=0, help="per round; 0: about half a second"
    )
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--batch", type=int, default=0, help="instead of the network's own")
    parser.add_argument("--mode", help="of torch.compile, instead of the network's own")
    options = parser.parse_args()
    cupy = cupy_or_exit()
    wait = cupy.cuda.Device().synchronize
    for name in options.job:
        network = NETWORKS[name]
        if options.mode:
            network = network._replace(mode=options.mode)
        batch = options.batch or network.batch
        x, y = batch_of(network, batch)
        makers: dict[str, Callable[[], Step]] = {
            "headrace": lambda n=network, x=x, y=y: headrace_step(n, x, y),
            "torch": lambda n=network, x=x, y=y: torch_step(n, x, y, False),
            "torch.compile": lambda n=network, x=x, y=y: torch_step(n, x, y, True),
        }
        chosen = {s: m for s, m in makers.items() if options.only in (None, s)}
        steps, told = prepared(chosen)
        peak = None
        if network.operations:
            try:
                import torch

                peak = bf16_peak(cupy, torch)
            except Exception as error:  # told; the ratios are measured
                told["peak failed"] = f"{type(error).__name__}: {error}"[:500]
        found = in_turns(steps, wait, options.rounds, options.steps)
        if "headrace" in steps:
            told["told"] = _replayed(steps["headrace"])
        write(f"train_{name}", rows_for(name, network, batch, found, told, peak),
              describe(cupy))  # fmt: skip
        del steps
        cupy.get_default_memory_pool().free_all_blocks()


if __name__ == "__main__":
    main()
