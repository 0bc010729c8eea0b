"""A discrete-event simulation of data-parallel training: how long a step takes on n devices.

Every device has a compute stream and a thread that brings its batches; all share one
communication stream, on which the buckets of gradients are reduced in order, each as soon as
every device has made it and the one before is through.  A step ends when the device's last
bucket has been reduced and applied; the next begins when its batch is there.

    python benches/scaling/simulate.py                      # the table of docs/scaling.md
    python benches/scaling/simulate.py --timeline trace.json  # of a step that was measured
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Network:
    """What lies between the devices.

    Attributes:
        per_node: devices of a machine.
        node_bytes_per_s: bus bandwidth of a device inside of its machine.
        net_bytes_per_s: of a device's link between machines.
        node_latency_s: of a hop inside of a machine.
        net_latency_s: of a hop between machines.
        launch_s: of every reduction, whatever its size.
    """

    per_node: int = 8
    node_bytes_per_s: float = 370e9
    net_bytes_per_s: float = 45e9
    node_latency_s: float = 3e-6
    net_latency_s: float = 8e-6
    launch_s: float = 15e-6

    def all_reduce_s(self, size_bytes: float, devices: int) -> float:
        """Seconds of an all-reduce: scattered in the machine, reduced across machines by trees
        on every device's own link, gathered in the machine."""
        if devices == 1:
            return 0.0
        inside = min(devices, self.per_node)
        machines = math.ceil(devices / self.per_node)
        found = self.launch_s
        if inside > 1:
            found += 2 * (inside - 1) / inside * size_bytes / self.node_bytes_per_s
            found += 2 * (inside - 1) * self.node_latency_s
        if machines > 1:
            part = size_bytes / inside
            found += 2 * (machines - 1) / machines * part / self.net_bytes_per_s
            found += 2 * math.ceil(math.log2(machines)) * self.net_latency_s
        return found


@dataclasses.dataclass(frozen=True)
class Step:
    """What one device does in a step.

    Attributes:
        forward_s: until the backward pass begins.
        buckets: ``(seconds of the backward pass until it is ready, bytes)`` each, in order.
        update_s: of the optimizer.
        input_s: to bring a batch, beside the step before.
        jitter: standard deviation of a device's compute time, as a share of it.
    """

    forward_s: float
    buckets: tuple[tuple[float, float], ...]
    update_s: float = 0.0
    input_s: float = 0.0
    jitter: float = 0.0

    @property
    def compute_s(self) -> float:
        """Seconds of a step of a device alone."""
        return self.forward_s + sum(s for s, _ in self.buckets) + self.update_s


def simulate(
    step: Step,
    network: Network,
    devices: int,
    steps: int = 12,
    seed: int = 0,
    overlapped: bool = True,
) -> float:
    """Seconds per step on `devices`, after the first steps.

    Args:
        step: of one device.
        network: between them.
        devices: how many.
        steps: how many are simulated.
        seed: of the jitter.
        overlapped: whether something beside the device reduces; a CPU's cores do it themselves,
            between the buckets.
    """
    rng = np.random.default_rng(seed)
    slow = 1 + step.jitter * np.abs(rng.standard_normal((steps, devices)))
    events: list[tuple[float, int, str, int]] = []
    serial = 0

    def at(time: float, what: str, device: int) -> None:
        nonlocal serial
        serial += 1
        heapq.heappush(events, (time, serial, what, device))

    count = len(step.buckets)
    batch_ready = np.full(devices, step.input_s)
    number = np.zeros(devices, int)  # the step a device is in
    made = np.zeros(devices, int)  # buckets of it that are ready
    arrived: dict[tuple[int, int], int] = {}
    free = 0.0  # when the communication stream is free
    ends = np.zeros(steps)
    for device in range(devices):
        at(step.input_s, "begin", device)
    while events:
        now, _, what, device = heapq.heappop(events)
        k = number[device]
        if what == "begin":
            # The next batch is brought while this step runs.
            batch_ready[device] = now + step.input_s
            made[device] = 0
            at(now + step.forward_s * slow[k, device], "backward", device)
        elif what == "backward":
            if made[device] < count:
                at(now + step.buckets[made[device]][0] * slow[k, device], "made", device)
        elif what == "made":
            bucket = made[device]
            made[device] += 1
            arrived[k, bucket] = arrived.get((k, bucket), 0) + 1
            if arrived[k, bucket] == devices:
                free = max(free, now) + network.all_reduce_s(step.buckets[bucket][1], devices)
                if bucket == count - 1:
                    for other in range(devices):
                        at(free, "reduced", other)
                elif not overlapped:
                    for other in range(devices):
                        at(free, "backward", other)
            if overlapped:
                at(now, "backward", device)
        else:
            done = now + step.update_s * slow[k, device]
            ends[k] = max(ends[k], done)
            number[device] += 1
            if number[device] < steps:
                at(max(done, batch_ready[device]), "begin", device)
    warm = min(2, steps - 2)
    return float((ends[-1] - ends[warm]) / (steps - 1 - warm))


def of_parameters(
    parameters: float,
    step_s: float,
    bytes_per_gradient: int = 4,
    first_bytes: float = 1 << 20,
    bucket_bytes: float = 25 << 20,
    jitter: float = 0.005,
    input_s: float = 0.0,
) -> Step:
    """The step of a model of so many parameters: a third of its time forward, the buckets made
    evenly in the rest."""
    total = parameters * bytes_per_gradient
    sizes = [min(first_bytes, total)]
    while (left := total - sum(sizes)) > 0.5:
        sizes.append(min(bucket_bytes, left))
    update_s = 0.03 * step_s
    forward_s = (step_s - update_s) / 3
    backward_s = step_s - update_s - forward_s
    buckets = tuple((backward_s * size / total, size) for size in sizes)
    return Step(forward_s, buckets, update_s, input_s, jitter)


# Quantiles of |N(0, 1)|, by which jitter enters.
_MEDIAN, _TENTH = 0.6745, 1.6449


def from_timeline(
    trace: dict[str, Any], replica: int = 0, sizes_bytes: Sequence[float] = ()
) -> tuple[Step, list[float]]:
    """The step of a Chrome trace that `hr.distribute.Timeline` wrote, and how long its
    reductions took once their work could begin, as medians.

    Args:
        trace: at least some steps of the same buckets.
        replica: whose.
        sizes_bytes: of the buckets, which a trace does not say.
    """
    spans = [e for e in trace["traceEvents"] if e["ph"] == "X" and e["pid"] % 1000 == replica]
    steps = sorted((e for e in spans if e["cat"] == "compute"), key=lambda e: e["ts"])
    rows = []
    for each in steps:
        start, stop = each["ts"], each["ts"] + each["dur"]
        inside = [e for e in spans if start <= e["ts"] <= stop]
        begun = sorted(e["ts"] - start for e in inside if e["cat"] == "communication")
        waited = sorted((e["ts"] - start, e["dur"]) for e in inside if e["cat"] == "waiting")
        rows.append((begun, each["dur"], waited))
    counts = [len(r[0]) for r in rows]
    usual = max(set(counts), key=counts.count)
    rows = [r for r in rows if len(r[0]) == usual and len(r[2]) == usual]
    computed = [total - sum(d for _, d in waited) for _, total, waited in rows]
    jitter, level = _jitter(computed)
    begun = np.median([r[0] for r in rows], axis=0) / 1e6
    waited = np.median([[d for _, d in r[2]] for r in rows], axis=0) / 1e6
    compute_s = float(np.median(computed)) / 1e6
    forward_s = float(begun[0]) if usual else compute_s
    gaps = np.diff(begun, prepend=forward_s) if usual else []
    update_s = max(0.0, compute_s - float(begun[-1])) if usual else 0.0
    sizes = tuple(sizes_bytes) or (0.0,) * usual
    buckets = tuple((float(g) * level, s) for g, s in zip(gaps, sizes, strict=True))
    step = Step(forward_s * level, buckets, update_s * level, jitter=jitter)
    return step, [float(w) for w in waited]


def _jitter(times: Sequence[float]) -> tuple[float, float]:
    """The jitter of steps that took so long, and what an undisturbed one takes, as a share of
    the median."""
    ratio = float(np.quantile(times, 0.9) / np.median(times))
    jitter = max(0.0, (ratio - 1) / (_TENTH - _MEDIAN * ratio)) if ratio < 2 else 0.5
    return jitter, 1 / (1 + _MEDIAN * jitter)


MODELS = {
    # Throughputs of one H200-class GPU in mixed precision: 3000 images/s with 256 a step;
    # 32768 tokens a step at 400 TFLOP/s, 6 FLOPs per parameter and token, and attention.
    "resnet50": lambda: of_parameters(25.6e6, 256 / 3000),
    "transformer110m": lambda: of_parameters(110e6, 6 * 110e6 * 32768 / 400e12 * 1.1),
}
DEVICES = (1, 2, 4, 8, 16, 64, 256, 1024)


def table(models: Sequence[str] = tuple(MODELS), devices: Sequence[int] = DEVICES) -> str:
    """Efficiencies, as a Markdown table."""
    lines = ["| model | " + " | ".join(map(str, devices)) + " |"]
    lines.append("|---" * (len(devices) + 1) + "|")
    for name in models:
        step = MODELS[name]()
        alone = simulate(dataclasses.replace(step, jitter=0.0), Network(), 1)
        shares = [alone / simulate(step, Network(), n) for n in devices]
        lines.append(f"| {name} | " + " | ".join(f"{s:.1%}" for s in shares) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or what a timeline's step would take on more devices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timeline")
    parser.add_argument("--devices", type=int, nargs="*", default=list(DEVICES))
    given = parser.parse_args()
    if given.timeline is None:
        print(table(devices=given.devices))
        return
    with open(given.timeline, encoding="utf-8") as file:
        step, waits = from_timeline(json.load(file))
    print(f"compute {step.compute_s * 1e3:.3f} ms, waits {sum(waits) * 1e3:.3f} ms, "
          f"step {(step.compute_s + sum(waits)) * 1e3:.3f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
