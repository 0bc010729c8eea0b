"""One GPU alone with NCCL: what a rank of many does, without the others.

    python benches/gpu_one_rank.py --trace trace.json

An MLP is trained from a dataset.  Its batches are copied on one stream, its steps computed on
another, and its gradients reduced by NCCL, in buckets and with one rank, on a third.  Events on
the streams give the times; the Chrome trace has a lane for each.  A reduction by one rank only
copies, so its bandwidth says nothing about several; that it runs beside the backward pass does.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gpu_device import cupy_or_exit, describe, measured, write

import headrace as hr
from headrace import keras
from headrace.distribute.communicator import ThreadCommunicator
from headrace.distribute.cross_device_ops import SharedMemoryAllReduce
from headrace.distribute.meeting import Meeting
from headrace.distribute.nccl import NcclLinks, load_nccl
from headrace.distribute.nccl_communicator import NcclCommunicator, ThreadBoard
from headrace.distribute.options import CommunicationOptions
from headrace.distribute.replica_context import CollectiveReplicaContext
from headrace.keras.engine import device_input
from headrace.ops.context import current

Interval = tuple[float, float]


class OneRank(CollectiveReplicaContext):
    """The only replica, which all the same reduces its gradients as if there were others."""

    def check_variable(self, variable: Any) -> None:
        """Any will do: there is nobody to be in step with."""


@contextlib.contextmanager
def one_rank(options: CommunicationOptions) -> Iterator[NcclLinks]:
    """Run the block as the only rank of a group of NCCL's, on the first GPU."""
    backend, nccl = load_nccl("this bench")
    strategy = hr.distribute.MirroredStrategy(["gpu:0"], communication_options=options)
    place = strategy.extended.places[0]

    def connect() -> list[Any]:
        with backend.on(place):
            return [nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)]

    links = NcclLinks(backend, nccl, [place], connect)
    meeting = Meeting(1)
    host = ThreadCommunicator(meeting, 0, SharedMemoryAllReduce())
    board = ThreadBoard(meeting, links)
    communicator = NcclCommunicator(host, board, links, 0, options.compression)
    context = OneRank(strategy, 0, 0, communicator, place)
    context.rows = (1, 1)  # its rows are all there are
    with strategy.scope():
        before, current.replica = current.replica, context
        try:
            yield links
        finally:
            current.replica = before
            communicator.settle()


@contextlib.contextmanager
def shown_copies(links: NcclLinks) -> Iterator[None]:
    """In the block, copies of batches are in the timeline."""
    plain = device_input.CupyCopies

    class Shown(plain):  # type: ignore[misc, valid-type]
        def copy(self, to: Any, source: np.ndarray) -> None:
            stream = getattr(self, "_stream", None)
            with links.spans.span(0, "copies", f"{source.nbytes} bytes", 0, stream):
                super().copy(to, source)

    device_input.CupyCopies = Shown  # type: ignore[misc]
    try:
        yield
    finally:
        device_input.CupyCopies = plain  # type: ignore[misc]


class ShownSteps(keras.callbacks.Callback):
    """Notes when the GPU works on each step."""

    def __init__(self, links: NcclLinks):
        super().__init__()
        self._spans, self._begun = links.spans, None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """The step's work is queued from here on."""
        self._begun = self._spans.begin(0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """It is queued."""
        self._spans.end(0, "compute", f"step {batch}", 0, self._begun)


def overlapped(ones: Sequence[Interval], others: Sequence[Interval]) -> float:
    """The share of the time in `ones` that is in `others`, too; 0 where there is none.

    >>> overlapped([(0.0, 4.0)], [(1.0, 2.0), (3.0, 5.0)])
    0.5
    """
    merged: list[list[float]] = []
    for start, stop in sorted(others):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    total = sum(stop - start for start, stop in ones)
    common = sum(
        max(0.0, min(stop, end) - max(start, begin))
        for start, stop in ones
        for begin, end in merged
    )
    return common / total if total else 0.0


def measure(
    width: int = 4096, layers: int = 6, rows: int = 2048, steps: int = 20, trace: Any = None
) -> dict[str, Any]:
    """Train, and say how much of the copies and reductions is beside the computation.

    Args:
        width, layers: of the MLP.
        rows: of a batch.
        steps: that are shown; as many come before them.
        trace: file of the Chrome trace, or None.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows * steps, width)).astype("float32")
    dataset = hr.data.Dataset.from_tensor_slices((x, x)).batch(rows).prefetch(2)
    with one_rank(CommunicationOptions()) as links:
        keras.utils.set_random_seed(0)
        body = [keras.layers.Dense(width, "relu") for _ in range(layers)]
        model = keras.Sequential([keras.Input((width,)), *body])
        model.compile(keras.optimizers.SGD(1e-4), "mse")
        with shown_copies(links):
            model.fit(dataset, epochs=1, verbose=0)
            with hr.distribute.Timeline(trace) as timeline:
                model.fit(dataset, epochs=1, verbose=0, callbacks=[ShownSteps(links)])
    lanes: dict[str, list[Interval]] = {}
    for span in timeline.spans:
        start = span["start_s"]
        lanes.setdefault(span["lane"], []).append((start, start + span["duration_s"]))
    compute = lanes.get("compute", [])
    waiting = lanes.get("waiting", [])
    reductions = lanes.get("communication", [])
    whole = max(stop for _, stop in compute) - min(start for start, _ in compute)
    return {
        "step_ms": whole / len(compute) * 1e3,
        "reductions": len(reductions) / len(compute),
        "reductions_beside_compute": overlapped(reductions, compute)
        - overlapped(reductions, waiting),
        "copies_beside_compute": overlapped(lanes.get("copies", []), compute),
        "communication_hidden": timeline.overlap()["communication_hidden"],
    }


def main() -> None:
    """Measure on the first GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trace", help="file of the Chrome trace")
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    cupy = cupy_or_exit()
    found = measure(given.width, given.layers, given.rows, given.steps, given.trace)
    job = f"NCCL with one rank, MLP of {given.layers} x {given.width}"
    write("one_rank", [measured(job, *one) for one in found.items()], describe(cupy))


if __name__ == "__main__":
    main()
