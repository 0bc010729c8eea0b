"""CPU time of training networks, by turns with TensorFlow or torch, for machines that are busy
with other work, on which wall time says little.

`python benches/versus/cpu_time.py --job cnn` prints milliseconds of CPU time per row, peak
memory and the median ratio.  `--torch PYTHON` takes torch as the peer (lstm and gru), in an
interpreter that has it; `OMP_NUM_THREADS=1` in front keeps its threads from spinning.
"""

from __future__ import annotations

import argparse
import collections
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import sequences

JOBS = ("cnn", "resnet", "lstm", "gru")
_Job = collections.namedtuple("_Job", "name what aim unit prepare")


def prepared(side: str, job: str) -> Callable[[], int]:
    """The job's run on one side: headrace, tensorflow or torch."""
    if side == "torch":
        return sequences.torch_loop(job.upper())
    lib: Any
    if side == "tensorflow":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import tensorflow as lib
    else:
        import headrace as lib
        from headrace.ops.kernels import build

        build.ensure_compiled()
    own = job in networks.NETWORKS
    prepare = networks.fit(job) if own else sequences.jobs(_Job)[job].prepare
    return prepare(lib, Path())


def serve(side: str, job: str) -> None:
    """In a process of its own: a run per line of the input."""
    run = prepared(side, job)
    run()
    time.sleep(1)  # kernels are compiled behind the first step
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        used = time.process_time()
        rows = run()
        cost = (time.process_time() - used) / rows * 1e3
        print(cost, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", choices=JOBS, default="cnn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch", help="an interpreter with torch")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve, chosen.job)
        return
    peer = "torch" if chosen.torch else "tensorflow"
    if chosen.torch and chosen.job not in ("lstm", "gru"):
        parser.error("against torch: --job lstm or gru; networks.py has the others")
    sides = {"headrace": sys.executable, peer: chosen.torch or sys.executable}
    running = {}
    for side, python in sides.items():
        command = [python, str(Path(__file__)), "--job", chosen.job, "--serve", side]
        running[side] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
    for child in running.values():
        for line in child.stdout:
            if line.strip() == "ready":
                break
    found: dict[str, list[float]] = {side: [] for side in sides}
    peaks = {}
    for k in range(chosen.rounds):
        for side in list(sides)[:: 1 if k % 2 else -1]:
            running[side].stdin.write("\n")
            cost, peaks[side] = map(float, running[side].stdout.readline().split())
            found[side].append(cost)
    for side, child in running.items():
        child.stdin.close()
        child.wait()
        print(
            f"{side}: {statistics.median(found[side]):.3f} ms a row, "
            f"peak {peaks[side]:,.0f} MiB"
        )
    ratios = [b / a for a, b in zip(*found.values(), strict=True)]
    print(
        f"{chosen.job}: {statistics.median(ratios):.2f}x "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
