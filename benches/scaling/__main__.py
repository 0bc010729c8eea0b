"""Weak scaling on this machine: how much of two cores two replicas get.

    python benches/scaling              # all jobs
    python benches/scaling --job threads

Efficiency is the time of a step of one replica alone on one core over that of a step of two
replicas together.  Beside it stands the control: two replicas that communicate nothing.  What
the control loses, the machine takes (shared caches, memory, other processes), not the strategy.
Rounds in which the control was disturbed are left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import jobs
import simulate

import headrace as hr


def efficiency(rows: Sequence[dict[str, float]], name: str, base: str = "alone") -> float:
    """The median of ``base / name``."""
    return float(np.median([row[base] / row[name] for row in rows]))


def threads(rounds: int) -> dict[str, Any]:
    """MirroredStrategy with two CPU replicas."""
    devices = ["cpu:0", "cpu:1"]
    mirrored = hr.distribute.MirroredStrategy(devices)
    silent = hr.distribute.MirroredStrategy(devices)
    alone = jobs.stepper(hr.distribute.get_strategy(), 1)
    together = jobs.stepper(mirrored, 2)
    quiet = jobs.stepper(silent, 2)
    for i, replica in enumerate(silent.extended.replicas):
        replica.communicator = jobs.Silent(i, 2)
    rows = list(
        jobs.alternately(
            {
                "alone": lambda: jobs.on_one_core(lambda: jobs.seconds_per_step(alone)),
                "control": lambda: jobs.seconds_per_step(quiet),
                "together": lambda: jobs.seconds_per_step(together),
            },
            rounds,
            "control",
        )
    )
    return {"efficiency": efficiency(rows, "together"), "control": efficiency(rows, "control"),
            "step_ms": float(np.median([r["together"] for r in rows])) * 1e3,
            "rounds": len(rows), "goal": 0.95}  # fmt: skip


def overhead(rounds: int) -> dict[str, Any]:
    """What a strategy of one replica costs against none."""
    plain = jobs.stepper(hr.distribute.get_strategy(), 1)
    one = jobs.stepper(hr.distribute.MirroredStrategy(["cpu:0"]), 1)
    rows = [
        {"plain": jobs.seconds_per_step(plain), "one": jobs.seconds_per_step(one)}
        for _ in range(rounds)
    ]
    return {"overhead": 1 / efficiency(rows, "one", "plain") - 1, "goal": 0.02}


def prediction(rounds: int) -> dict[str, Any]:
    """What the simulator says of two threads, from a timeline of some of their steps and the
    time of a sum alone, against what other steps take."""
    from headrace.distribute.buckets import assign_buckets
    from headrace.distribute.shared_sum import SharedSum
    from headrace.ops import workers

    strategy = hr.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    run = jobs.stepper(strategy, 2)
    shapes = [(jobs.SIZE, jobs.SIZE), (jobs.SIZE,)] * 2
    sizes = [4 * int(np.prod(s)) for s in shapes]
    limits = strategy.extended.options.bucket_bytes
    buckets = [
        sum(sizes[i] for i in bucket) for bucket in assign_buckets(sizes, ["f"] * 4, limits)
    ]
    arrays = [[np.ones(sum(sizes) // 4, np.float32)] for _ in range(2)]

    def reduced() -> None:
        work = SharedSum(arrays, [np.float32], False)
        workers.spread([work.help, work.help])

    rows = []
    for _ in range(rounds):
        with hr.distribute.Timeline() as timeline:
            for _ in range(25):
                run()
        bytes_per_s = sum(sizes) / jobs.seconds_per_step(reduced, 0.2)
        step, _ = simulate.from_timeline(timeline.chrome_trace(), 0, buckets)
        network = simulate.Network(2, bytes_per_s, node_latency_s=0, launch_s=0)
        predicted = simulate.simulate(step, network, 2, 400, overlapped=False)
        rows.append({"predicted": predicted, "measured": jobs.seconds_per_step(run)})
    return {"of_measured": efficiency(rows, "measured", "predicted"), "goal": "0.95 to 1.05",
            "predicted_ms": float(np.median([r["predicted"] for r in rows])) * 1e3,
            "measured_ms": float(np.median([r["measured"] for r in rows])) * 1e3}  # fmt: skip


def thread_bandwidth(rounds: int) -> dict[str, Any]:
    """An all-reduce of 64 MiB by two threads, against a plain sum of the same arrays."""
    from headrace.distribute.shared_sum import SharedSum
    from headrace.ops import workers

    size = (64 << 20) // 4
    arrays = [np.ones(size, np.float32), np.ones(size, np.float32)]
    out = np.empty(size, np.float32)
    half = size // 2

    def part(a: int, b: int) -> Any:
        return lambda: np.add(arrays[0][a:b], arrays[1][a:b], out=out[a:b])

    def timed(run: Any) -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    def ours() -> None:
        work = SharedSum([[arrays[0]], [arrays[1]]], [np.float32], False)
        workers.spread([work.help, work.help])

    rows = []
    for _ in range(rounds * 5):
        rows.append({"bare": timed(lambda: workers.spread([part(0, half), part(half, size)])),
                     "ours": timed(ours)})  # fmt: skip
    rows = rows[3:]
    taken_s = float(np.median([r["ours"] for r in rows]))
    return {"of_plain_sum": efficiency(rows, "ours", "bare"), "goal": 0.9,
            "gb_per_s": size * 4 / taken_s / 1e9}  # fmt: skip


def _mpi(*arguments: str) -> dict[str, Any]:
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    if launcher is None:
        raise SystemExit("mpiexec is missing: pip install 'headrace[mpi]'")
    script = str(Path(__file__).with_name("worker.py"))
    done = subprocess.run(
        [launcher, "-bind-to", "core", "-n", "2", sys.executable, script, *arguments],
        stdout=subprocess.PIPE, text=True, timeout=600, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.strip().splitlines()[-1])


def _undisturbed(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    best = min(row["control"] for row in rows)
    return [row for row in rows if row["control"] <= best * 1.1]


def processes(rounds: int) -> dict[str, Any]:
    """MultiWorkerMirroredStrategy with two processes, each pinned to a core."""
    rows = _undisturbed(_mpi("step")["rows"])
    return {"efficiency": efficiency(rows, "together"), "control": efficiency(rows, "control"),
            "step_ms": float(np.median([r["together"] for r in rows])) * 1e3,
            "rounds": len(rows), "goal": 0.92}  # fmt: skip


def records(rounds: int) -> dict[str, Any]:
    """The same from TFRecord files through the pipeline."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(4):
            with hr.io.TFRecordWriter(f"{folder}/{i}.tfrecord") as writer:
                for _ in range(512):
                    value = rng.normal(size=jobs.SIZE).astype("float32")
                    feature = hr.train.Feature(float_list=hr.train.FloatList(value=value))
                    features = hr.train.Features(feature={"x": feature})
                    writer.write(hr.train.Example(features=features).SerializeToString())
        rows = _undisturbed(_mpi("records", folder)["rows"])
    return {"efficiency": efficiency(rows, "together"), "control": efficiency(rows, "control"),
            "rounds": len(rows), "goal": 0.9}  # fmt: skip


def process_bandwidth(rounds: int) -> dict[str, Any]:
    """An all-reduce of 64 MiB between two processes, against bare mpi4py."""
    found = _mpi("bandwidth")
    rows = found["rows"]
    return {"of_bare_mpi4py": efficiency(rows, "strategy", "bare"), "goal": 0.9,
            "gb_per_s": found["size_bytes"]
            / float(np.median([r["strategy"] for r in rows])) / 1e9}  # fmt: skip


JOBS = {
    "threads": threads,
    "processes": processes,
    "records": records,
    "overhead": overhead,
    "prediction": prediction,
    "thread_bandwidth": thread_bandwidth,
    "process_bandwidth": process_bandwidth,
}


def main() -> None:
    """Run the jobs and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", choices=JOBS, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    found = {}
    for name in given.job or JOBS:
        found[name] = JOBS[name](given.rounds)
        shown = ", ".join(
            f"{k} {v if isinstance(v, str) else f'{v:.4g}'}" for k, v in found[name].items()
        )
        print(f"{name:18} {shown}", flush=True)
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
