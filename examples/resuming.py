"""A training run that is killed again and again, and ends as if nothing had happened.

    python examples/resuming.py [--out FOLDER]

A child process saves the iterator's state, weights and optimizer in one file every few steps.
It is killed (SIGKILL, no warning) in the middle of an epoch; the next one goes on at the very
batch.  The weights at the end equal, bit for bit, those of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

import headrace as hr

STEPS, SAVE_EVERY = 120, 7


def batches() -> hr.data.Dataset:
    """Noisy points of a wave, endlessly; every epoch in another order."""
    x = np.random.default_rng(0).uniform(-1, 1, (3_000, 1)).astype(np.float32)
    points = hr.data.Dataset.from_tensor_slices((x, np.sin(3 * x))).shuffle(500, seed=1)
    noisy = points.map(lambda x, y: (x + hr.random.normal([1], stddev=0.01, seed=2), y))
    return noisy.repeat().batch(64)


def train(checkpoint: Path | None, die_at: int | None) -> list[np.ndarray]:
    """Weights after all steps, going on from the checkpoint if there is one."""
    hr.keras.utils.set_random_seed(3)
    layers = [hr.keras.layers.Dense(16, activation="tanh"), hr.keras.layers.Dense(1)]
    model = hr.keras.Sequential([hr.keras.Input((1,)), *layers])
    model.compile(hr.keras.optimizers.Adam(0.01), "mse")
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    iterator, step = iter(batches()), 0
    if checkpoint and checkpoint.exists():
        saved = pickle.loads(checkpoint.read_bytes())
        iterator.restore(saved["iterator"])
        for variable, value in zip(variables, saved["variables"], strict=True):
            variable.assign(value)
        step = saved["step"]
        print(f"goes on at step {step}; {len(pickle.dumps(saved['iterator']))} bytes of state")
    while step < STEPS:
        model.reset_metrics()  # `loss` is this batch's own
        loss = float(model.train_on_batch(*next(iterator)))
        step += 1
        if checkpoint and step % SAVE_EVERY == 0:
            saved = {"iterator": iterator.state(), "step": step}
            saved["variables"] = [np.array(v) for v in variables]
            checkpoint.with_suffix(".tmp").write_bytes(pickle.dumps(saved))
            os.replace(checkpoint.with_suffix(".tmp"), checkpoint)  # whole, or not at all
        if step == die_at:
            os.kill(os.getpid(), 9)
    print(f"loss {loss:.6f} in step {step}")
    return [np.array(v) for v in model.variables]


def main() -> None:
    """Runs, kills, resumes, compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/resuming"))
    parser.add_argument("--die-at", type=int, help="the child's own option")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out / "checkpoint.pickle"
    if options.die_at is not None:
        train(checkpoint, options.die_at)
    checkpoint.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--out", str(options.out), "--die-at"]
    for die_at in ("25", "100"):
        print(f"killed in step {die_at}: exit {subprocess.run([*command, die_at]).returncode}")
    resumed = train(checkpoint, None)
    undisturbed = train(None, None)
    assert all((a == b).all() for a, b in zip(resumed, undisturbed, strict=True))
    print("the weights are equal, bit for bit")


if __name__ == "__main__":
    main()
