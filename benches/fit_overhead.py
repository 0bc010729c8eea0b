"""What a step of `fit` costs beyond the compiled train step.

    python benches/fit_overhead.py [--steps 1000] [--rounds 9]

A model whose compiled step takes next to nothing is trained; the compiled step alone, as often
and on a batch of the same size, is the yardstick: what `fit` takes beyond it is its overhead.
CPU time of the main thread counts, the two take turns, and of each the least of all rounds is
taken, so that a machine with other work gives a figure, too.  The exit status is 1 if one is
above its aim.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import headrace as hr

BATCH = 32


class Watch(hr.keras.callbacks.Callback):
    """Both batch hooks, as a user's own callback has them; the second one gets the logs."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Nothing."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the loss."""
        assert logs["loss"] == logs["loss"]


def cases(folder: Path) -> list[tuple[str, float, dict[str, Any]]]:
    """Name, aim in microseconds, and what is given to `compile` and `fit`."""
    callbacks = hr.keras.callbacks
    checkpoint = callbacks.ModelCheckpoint(folder / "m.keras", save_freq=10**9)
    board = callbacks.TensorBoard(folder / "logs", write_graph=False)
    metrics = ["mae", "mape"]
    return [
        ("arrays", 60, {}),
        ("arrays, shuffled", 60, {"shuffle": True}),
        ("a Dataset", 60, {"dataset": True}),
        ("two metrics", 60, {"metrics": metrics}),
        ("two metrics, progress bar", 150, {"metrics": metrics, "verbose": 1}),
        (
            "two metrics, ModelCheckpoint, TensorBoard, EarlyStopping",
            150,
            {
                "metrics": metrics,
                "callbacks": [checkpoint, board, callbacks.EarlyStopping("loss")],
            },
        ),
        ("two metrics, a callback that reads them", 150,
         {"metrics": metrics, "callbacks": [Watch()]}),
    ]  # fmt: skip


def overhead_us(given: dict[str, Any], steps: int, rounds: int) -> tuple[float, float]:
    """The overhead of a step, and the compiled step itself, in microseconds."""
    given = dict(given)
    model = hr.keras.Sequential([hr.keras.Input((4,)), hr.keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=given.pop("metrics", None))
    x = np.zeros((BATCH * steps, 4), np.float32)
    y = np.zeros((BATCH * steps, 1), np.float32)
    data: tuple[Any, ...] = (x, y)
    if given.pop("dataset", False):
        data = (hr.data.Dataset.from_tensor_slices((x, y)).batch(BATCH),)
    options = {"verbose": 0, "shuffle": False, **given}

    def fit() -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            start = time.thread_time()
            model.fit(*data, **options)
            return time.thread_time() - start

    fit()  # traces, compiles
    (found,) = model.train_function._traces
    run, batch = found.run, (x[:BATCH], y[:BATCH])

    def compiled() -> float:
        start = time.thread_time()
        for _ in range(steps):
            run(*batch)
        return time.thread_time() - start

    each = [(fit(), compiled()) for _ in range(rounds)]
    whole, alone = (min(times) / steps * 1e6 for times in zip(*each, strict=True))
    return whole - alone, alone


def main() -> int:
    """Print a row for each case; whether all aims are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    late = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, aim, given in cases(Path(folder)):
            found, alone = overhead_us(given, options.steps, options.rounds)
            late += found > aim
            print(f"{name:56} {found:6.1f} us beyond {alone:.0f}, aim {aim}", flush=True)
    return int(late > 0)


if __name__ == "__main__":
    raise SystemExit(main())
