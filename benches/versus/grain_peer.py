"""Comparison of the image job with Grain over ArrayRecord files.

The peer's records are flat (784 bytes of pixels, then the label as int64), so that it has no
protocol buffer to parse, and in groups of one, as Grain demands.  They are gathered to batches
as bytes and decoded a batch at a time, which is the fastest of the formulations that use
Grain's own parts; `threads` are tried before the timing starts.  Epochs follow each other in
one iterator, because workers take seconds to start.

`grain-batched` goes further: a data source of the user's own, which reads whole batches.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pipelines
import records

THREADS = (0, 2, 16)  # Grain's default is 16
TRIAL_S = 0.5
EPOCHS = 1_000_000


def files(data: Path) -> list[str]:
    """Paths of the ArrayRecord shards, written where they are missing."""
    paths = [str(data / f"images-{shard}.arrayrecord") for shard in range(records.SHARDS)]
    for shard, path in enumerate(paths):
        if not os.path.exists(path):
            _write(path, shard)
    return paths


def _write(path: str, shard: int) -> None:
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(path + ".partial", "group_size:1")
    for image, label in records.images(shard):
        writer.write(image.tobytes() + label.tobytes())
    writer.close()
    os.replace(path + ".partial", path)


def decode(batch: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [n, 784] in 0 to 1, int64 [n]) of n records."""
    rows = np.frombuffer(b"".join(batch), np.uint8).reshape(len(batch), -1)
    pixels = rows[:, : records.PIXELS].astype(np.float32) / np.float32(255)
    return pixels, np.ascontiguousarray(rows[:, records.PIXELS :]).view(np.int64)[:, 0]


class Batches:
    """A data source whose elements are lists of records."""

    def __init__(self, paths: list[str]):
        import grain

        self._source = grain.sources.ArrayRecordDataSource(paths)

    def __len__(self) -> int:
        return -(-len(self._source) // pipelines.BATCH)

    def __getitem__(self, index: int) -> Any:
        first = index * pipelines.BATCH
        last = min(first + pipelines.BATCH, len(self._source))
        return self._source.__getitems__(range(first, last))


def pipeline(
    data: Path, workers: int, threads: int, batched: bool = False, epochs: int = 1
) -> Any:
    """Batches of the image job by Grain."""
    import grain

    paths = files(data)
    if batched:
        dataset = grain.MapDataset.source(Batches(paths)).repeat(epochs)
    else:
        source = grain.sources.ArrayRecordDataSource(paths)
        dataset = grain.MapDataset.source(source).repeat(epochs)
        dataset = dataset.batch(pipelines.BATCH, batch_fn=list)
    reading = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = dataset.map(decode).to_iter_dataset(reading)
    if workers:
        options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers)
        dataset = dataset.mp_prefetch(options)
    return dataset


def _prepared(data: Path, workers: int, batched: bool) -> Callable[[], int]:
    rates = {}
    for threads in THREADS:
        batches = iter(pipeline(data, workers, threads, batched, EPOCHS))
        next(batches)
        start, rows = time.perf_counter(), 0
        while time.perf_counter() - start < TRIAL_S:
            rows += len(next(batches)[1])
        rates[threads] = rows / (time.perf_counter() - start)
        del batches
    batches = iter(pipeline(data, workers, max(rates, key=rates.__getitem__), batched, EPOCHS))

    def run() -> int:
        return sum(len(next(batches)[1]) for _ in range(20))

    return run


def jobs(job: Any) -> dict[str, Any]:
    """The rows of the table, made with the class `job`."""

    def against(workers: int, batched: bool) -> Callable[[Any, Path], Callable[[], int]]:
        def prepare(lib: Any, data: Path) -> Callable[[], int]:
            if lib.__name__ == "tensorflow":
                return _prepared(data, workers, batched)
            dataset = pipelines.images_as_written(lib, data)

            def run() -> int:
                for _ in dataset:
                    pass
                return pipelines.N

            return run

        return prepare

    found = [
        job(f"grain-{workers}", f"images against Grain over ArrayRecord, {workers} workers", 50,
            "records", against(workers, False), files=True)
        for workers in (0, 2)
    ]  # fmt: skip
    title = "the same against Grain with a source of the user's own that reads batches"
    found.append(job("grain-batched", title, 4, "records", against(0, True), files=True))
    return {one.name: one for one in found}
