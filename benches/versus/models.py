"""The training and eager jobs compared; `lib` is headrace or tensorflow.

`python benches/versus/models.py [--torch PYTHON] [--batch 32]` alternates the training of the
perceptron with the same loop in torch, in an interpreter that has it; `--cold` prints how long
the first step of a fresh process takes, with empty caches and with filled ones, and a retrace.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
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
import pipelines
import records

ROWS = 25_600


def mlp(lib: Any) -> Any:
    """A compiled 784-512-10 perceptron."""
    keras = lib.keras
    model = keras.Sequential(
        [
            keras.Input((records.PIXELS,)),
            keras.layers.Dense(512, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def fit_arrays(lib: Any, data: Path, batch_size: int) -> Callable[[], int]:
    rng = np.random.Generator(np.random.PCG64(4))
    x = rng.random((ROWS, records.PIXELS), np.float32)
    y = rng.integers(0, 10, ROWS)
    model = mlp(lib)

    def run() -> int:
        model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)
        return ROWS

    model.fit(x[: 4 * batch_size], y[: 4 * batch_size], batch_size=batch_size, verbose=0)
    return run


def fit_files(lib: Any, data: Path) -> Callable[[], int]:
    model = mlp(lib)
    dataset = pipelines.images_as_written(lib, data, parallel=True)
    batches = ROWS // pipelines.BATCH

    def run() -> int:
        model.fit(dataset.take(batches), epochs=1, verbose=0)
        return ROWS

    model.fit(dataset.take(4), verbose=0)
    return run


def _calls(make: Callable[[Any], Callable[[], Any]], calls: int) -> Any:
    """A job that calls a function over and over."""

    def prepare(lib: Any, data: Path) -> Callable[[], int]:
        call = make(lib)

        def run() -> int:
            for _ in range(calls):
                call()
            return calls

        return run

    return prepare


def _filled(lib: Any, value: float, *shape: int) -> Any:
    return lib.convert_to_tensor(np.full(shape, value, np.float32))


def _add(lib: Any) -> Callable[[], Any]:
    add, a, b = lib.add, _filled(lib, 1, 8, 8), _filled(lib, 2, 8, 8)
    return lambda: add(a, b)


def _matmul(lib: Any) -> Callable[[], Any]:
    matmul, a, b = lib.matmul, _filled(lib, 1, 64, 64), _filled(lib, 2, 64, 64)
    return lambda: matmul(a, b)


def _chain(lib: Any) -> Callable[[], Any]:
    def ten(x: Any, y: Any) -> Any:
        a = lib.tanh(x * y + 0.5)
        b = lib.exp(-a) * x
        return lib.sqrt(lib.abs(b - y)) / (lib.square(a) + 1.0)

    fn = lib.function(ten)
    rng = np.random.default_rng(3)
    x, y = (lib.convert_to_tensor(rng.random((1024, 1024), np.float32)) for _ in range(2))
    return lambda: fn(x, y)


add_eager = _calls(_add, 20_000)
matmul_eager = _calls(_matmul, 5_000)
chain = _calls(_chain, 20)


def retrace(lib: Any, data: Path) -> Callable[[], int]:
    """First steps of models that are new to a process that has trained before."""
    x = np.zeros((32, records.PIXELS), np.float32)
    y = np.zeros(32, np.int64)

    def run() -> int:
        mlp(lib).train_on_batch(x, y)
        return 1

    return run


fit_arrays_128 = functools.partial(fit_arrays, batch_size=128)
fit_arrays_32 = functools.partial(fit_arrays, batch_size=32)


def jobs(job: Any) -> dict[str, Any]:
    """The rows of the table, made with the class `job`."""
    found = (
        job("add", "`add` of two 8x8 tensors, eager", 6, "calls", add_eager),
        job("matmul", "`matmul` of two 64x64 matrices, eager", 4, "calls", matmul_eager),
        job("chain", "ten elementwise operations on [1024, 1024] under `function`", 3, "calls",
            chain),
        job("fit-128", "`fit` of a 784-512-10 MLP from arrays, batch 128", 2, "rows",
            fit_arrays_128),
        job("fit-32", "the same, batch 32", 2, "rows", fit_arrays_32),
        job("fit-files", "the same from TFRecord files, batch 128", 2, "rows", fit_files,
            files=True),
        job("retrace", "building, tracing and compiling that MLP's step", 2, "models", retrace),
    )  # fmt: skip
    return {one.name: one for one in found}


# -- torch ------------------------------------------------------------------------------------

TORCH = """
import resource, sys, time
import torch
from torch import nn

batch, rows = int(sys.argv[1]), int(sys.argv[2])
model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
x, y = torch.rand(rows, 784), torch.randint(0, 10, (rows,))
optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()

def epoch():
    order = torch.randperm(rows)
    total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    for i in range(0, rows, batch):
        a, b = x[order[i : i + batch]], y[order[i : i + batch]]
        optimizer.zero_grad()
        out = model(a)
        value = loss(out, b)
        value.backward()
        optimizer.step()
        with torch.no_grad():
            total += value * len(a)
            right += (out.argmax(1) == b).sum()

epoch()
for line in sys.stdin:
    start, used = time.perf_counter(), time.process_time()
    epoch()
    taken, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(rows / taken, used / rows, peak, flush=True)
"""


def against_torch(python: str, batch: int, rounds: int) -> None:
    """Prints the rates and CPU seconds of both, alternating, and the ratios' median."""
    import headrace as hr

    run = fit_arrays(hr, Path(), batch)
    run()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "mlp.py"
        script.write_text(TORCH)
        peer = subprocess.Popen(
            [python, str(script), str(batch), str(ROWS)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        assert peer.stdin and peer.stdout
        ratios, costs = [], []
        for _ in range(rounds):
            peer.stdin.write("\n")
            theirs, their_cost, their_peak = map(float, peer.stdout.readline().split())
            start, used = time.perf_counter(), time.process_time()
            ours = run() / (time.perf_counter() - start)
            cost = (time.process_time() - used) / ROWS
            ratios.append(ours / theirs)
            costs.append(their_cost / cost)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"headrace {ours:,.0f} rows/s, torch {theirs:,.0f}: {ratios[-1]:.2f}x, "
                f"CPU time {costs[-1]:.2f}x; peak {peak:,.0f} MiB against {their_peak:,.0f}"
            )
        peer.stdin.close()
        peer.wait()
    print(f"median {statistics.median(ratios):.2f}x, CPU time {statistics.median(costs):.2f}x")


# -- the first step ---------------------------------------------------------------------------

FIRST = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np
import models, records
import headrace as hr

x, y = np.zeros((32, records.PIXELS), np.float32), np.zeros(32, np.int64)
model = models.mlp(hr)
found = {}
for name in ("first step", "next step", "retrace"):
    if name == "retrace":
        model = models.mlp(hr)
    start, used = time.perf_counter(), time.process_time()
    model.train_on_batch(x, y)
    found[name] = [time.perf_counter() - start, time.process_time() - used]
print(json.dumps(found))
"""


def first_steps() -> None:
    """Prints seconds of the first step, the second, and the first of another such model."""
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {"HEADRACE_CACHE_DIR": cache, "NUMBA_CACHE_DIR": cache}
        for state in ("empty", "filled"):
            command = [sys.executable, "-c", FIRST, str(Path(__file__).parent)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
            times = json.loads(done.stdout)
            shown = [f"{k} {v[0]:.3f} s ({v[1]:.3f} s of CPU)" for k, v in times.items()]
            print(f"caches {state}: {', '.join(shown)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default=sys.executable, help="an interpreter with torch")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cold", action="store_true", help="only the first steps")
    chosen = parser.parse_args()
    if chosen.cold:
        first_steps()
    else:
        against_torch(chosen.torch, chosen.batch, chosen.rounds)


if __name__ == "__main__":
    main()
