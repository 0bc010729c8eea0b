"""The data service against the same pipeline run locally, alternately in one process:
`python benches/scaling/data_service.py [--rounds N] [--images N] [--megabytes N]`.

Two jobs on a local Ray with two workers:

* images: JPEG files in TFRecords, decoded, resized and batched; the service's rate divided by
  the local one's, both of which have all cores;
* blocks: what a pipeline that only fills memory moves through the service, in GB/s, with what
  bare Ray actors move beside it, which is the limit.

The median of alternate rounds counts; on a loaded machine neither figure means much.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import headrace as hr

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def image_files(folder: str, count: int) -> list[str]:
    """Four files of `count` JPEG images of 256 x 256 together."""
    rng = np.random.default_rng(0)
    soft = rng.integers(0, 255, (8, 8, 8, 3)).astype(np.uint8)
    jpegs = [
        bytes(hr.io.encode_jpeg(np.kron(s, np.ones((32, 32, 1), np.uint8))).numpy())
        for s in soft
    ]
    files = [os.path.join(folder, f"{k}.tfrecord") for k in range(4)]
    for k, path in enumerate(files):
        with hr.io.TFRecordWriter(path) as writer:
            for i in range(k, count, 4):
                writer.write(jpegs[i % len(jpegs)])
    return files


def images(files: list[str]) -> Any:
    """The image job."""

    def decode(record: Any) -> Any:
        image = hr.io.decode_jpeg(record, channels=3)
        image = hr.ensure_shape(image, [256, 256, 3])
        return hr.image.resize(image, [224, 224]) / 255.0

    ds = hr.data.TFRecordDataset(files)
    return ds.map(decode, num_parallel_calls=hr.data.AUTOTUNE).batch(32)


def drained(dataset: Any) -> tuple[int, int, float]:
    """Rows, bytes and seconds of one pass."""
    began = time.perf_counter()
    rows = size = 0
    with dataset.raw_iterator() as iterator:
        while (block := iterator.next_block(1 << 16)) is not None:
            size += block.nbytes
            rows += sum(len(r) if r.ndim else 1 for r in map(np.asarray, block.columns[0]))
    return rows, size, time.perf_counter() - began


def bare_ray(ray: Any, total: int) -> float:
    """GB/s of two actors that make arrays of 8 MiB, six in flight."""

    @ray.remote(num_cpus=0)
    class Maker:
        def make(self) -> np.ndarray:
            return np.full(8 << 20, 7, np.uint8)

    actors = [Maker.remote() for _ in range(2)]
    ray.get([a.make.remote() for a in actors])
    count = total >> 23
    began = time.perf_counter()
    waiting = [actors[i % 2].make.remote() for i in range(6)]
    for i in range(count):
        waiting.append(actors[i % 2].make.remote())
        ray.get(waiting.pop(0))
    return (count << 23) / (time.perf_counter() - began) / 1e9


def medians(rounds: int, *runs: Callable[[], float]) -> list[float]:
    """The median of each run, made in turn."""
    for run in runs:
        run()
    found = [[run() for run in runs] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def main() -> None:
    """Run both jobs and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--megabytes", type=int, default=2000)
    asked = parser.parse_args()
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="headrace",
             logging_level=logging.ERROR)  # fmt: skip
    service = hr.data.experimental.service
    dispatcher = service.DispatchServer()
    config = service.WorkerConfig(dispatcher.target)
    workers = [service.WorkerServer(config) for _ in range(2)]
    through = service.distribute(service.ShardingPolicy.DYNAMIC, dispatcher.target)
    with tempfile.TemporaryDirectory() as folder:
        local = images(image_files(folder, asked.images))
        remote = local.apply(through)

        def rate(dataset: Any) -> Callable[[], float]:
            def run() -> float:
                rows, _, seconds = drained(dataset)
                return rows / seconds

            return run

        ours, theirs = medians(asked.rounds, rate(remote), rate(local))
        print(f"images: {ours:,.0f}/s through 2 workers, {theirs:,.0f}/s locally: "
              f"{ours / theirs:.2f} (wanted: 0.8)")  # fmt: skip
    filling = hr.data.Dataset.range(asked.megabytes).map(
        lambda x: hr.fill([1 << 20], hr.cast(x, hr.uint8))
    )
    blocks = filling.apply(through)

    def moved() -> float:
        _, size, seconds = drained(blocks)
        return size / seconds / 1e9

    ours, theirs = medians(asked.rounds, moved, lambda: bare_ray(ray, asked.megabytes << 20))
    print(f"blocks: {ours:.2f} GB/s, bare Ray {theirs:.2f} GB/s: {ours / theirs:.2f} "
          "(wanted: 3 GB/s)")  # fmt: skip
    for worker in workers:
        worker.stop()
    dispatcher.stop()
    ray.shutdown()


if __name__ == "__main__":
    main()
