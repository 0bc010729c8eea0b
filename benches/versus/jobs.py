"""The table of comparisons: what each runs, in which unit it counts, and the ratio it owes.

A job prepares itself once per process and then runs many times; `prepare(lib, data)` returns
`run() -> units done`.  Where TensorFlow's side is written differently (its best formulation
against what users write), `peer` says how.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import columnar
import grain_peer
import models
import networks
import numpy as np
import pictures
import pipelines
import sequences

Prepare = Callable[[Any, Path], Callable[[], int]]
Pipeline = Callable[[Any, Path], Any]


@dataclass(frozen=True)
class Job:
    """One row of the comparison.

    Attributes:
        name: how the command line calls it.
        title: how the table calls it.
        target: the least ratio of Headrace's rate to the peer's.
        unit: what a rate counts per second.
        prepare: makes the function that is timed.
        pipeline: the dataset it runs over, for memory and equality; None without one.
        peer: the peer's pipeline where it differs.
        same: "batches" if batches must be equal bit for bit, "rows" if only the multiset of
            rows must be (shuffled with another generator), None if there is nothing to compare.
        files: whether it reads the files of `records.py`.
    """

    name: str
    title: str
    target: float
    unit: str
    prepare: Prepare
    pipeline: Pipeline | None = None
    peer: Pipeline | None = None
    same: str | None = None
    files: bool = False

    def dataset(self, lib: Any, data: Path) -> Any:
        """The pipeline of `lib`'s side."""
        build = self.peer if self.peer and lib.__name__ == "tensorflow" else self.pipeline
        assert build is not None
        return build(lib, data)


def _leaves(element: Any) -> list[Any]:
    if isinstance(element, dict):
        return [leaf for key in sorted(element) for leaf in _leaves(element[key])]
    if isinstance(element, list | tuple):
        return [leaf for each in element for leaf in _leaves(each)]
    return [element]


def _rows(batch: Any) -> int:
    return _leaves(batch)[0].shape[0]


def _content(array: np.ndarray) -> bytes:
    """The bytes of an array's values; those of strings with their lengths."""
    if array.dtype != object:
        return array.tobytes()
    values = array.ravel().tolist()
    return repr([len(value) for value in values]).encode() + b"".join(values)


def digest(batches: Iterable[Any], same: str) -> str:
    """A hash of all batches: of their bits in order, or of their sorted rows."""
    whole = hashlib.sha256()
    rows: list[bytes] = []
    for batch in batches:
        arrays = [np.ascontiguousarray(leaf) for leaf in _leaves(batch)]
        if same == "batches":
            for array in arrays:
                whole.update(f"{array.dtype.str}{array.shape}".encode())
                whole.update(_content(array))
        else:
            rows.extend(
                b"|".join(column.tobytes() for column in row)
                for row in zip(*arrays, strict=True)
            )
    for row in sorted(rows):
        whole.update(row)
    return whole.hexdigest()


def _batches(
    name: str,
    title: str,
    target: float,
    pipeline: Pipeline,
    peer: Pipeline | None = None,
    same: str | None = "batches",
    files: bool = False,
    count: int = pipelines.N,
) -> Job:
    def prepare(lib: Any, data: Path) -> Callable[[], int]:
        dataset = job.dataset(lib, data)

        def run() -> int:
            for _ in dataset:
                pass
            return count

        return run

    job = Job(name, title, target, "records", prepare, pipeline, peer, same, files)
    return job


def _iterate_eagerly(lib: Any, data: Path) -> Callable[[], int]:
    dataset = pipelines.scalars(lib, data)
    return lambda: sum(1 for _ in dataset)


def _iterate_numpy(lib: Any, data: Path) -> Callable[[], int]:
    dataset = pipelines.scalars(lib, data)
    return lambda: sum(1 for _ in dataset.as_numpy_iterator())


def _own_features_full(lib: Any, data: Path) -> Any:
    """Headrace in the peer's process."""
    return pipelines.features_full(importlib.import_module("headrace"), data)


JOBS = {
    job.name: job
    for job in (
        _batches(
            "images",
            "`TFRecordDataset.map(parse_single_example, decode, scale).batch(128).prefetch`",
            40,
            pipelines.images_as_written,
            files=True,
        ),
        _batches(
            "numbers",
            "the same with 27 int64 + 13 floats",
            40,
            pipelines.numbers_as_written,
            files=True,
        ),
        _batches(
            "images-best",
            "images against tf.data's best formulation",
            6,
            pipelines.images_as_written,
            peer=pipelines.images_best,
            same="rows",
            files=True,
        ),
        _batches(
            "images-shuffle-best",
            "images with `shuffle(10000)` against tf.data's best formulation",
            6,
            pipelines.images_shuffled,
            peer=pipelines.images_shuffled_best,
            same="rows",
            files=True,
        ),
        _batches(
            "numbers-best",
            "ints + floats against tf.data's best formulation",
            6,
            pipelines.numbers_as_written,
            peer=pipelines.numbers_best,
            same="rows",
            files=True,
        ),
        _batches(
            "numbers-1024-best",
            "the same, batch 1024",
            4,
            pipelines.numbers_as_written_1024,
            peer=pipelines.numbers_best_1024,
            same="rows",
            files=True,
        ),
        _batches(
            "features-3of28",
            "28 features parsed, 3 of them used by the next map",
            150,
            pipelines.features_used,
            files=True,
        ),
        _batches(
            "features-3of28-own",
            "the same against Headrace with all 28 used",
            2,
            pipelines.features_used,
            peer=_own_features_full,
            same=None,
            files=True,
        ),
        _batches(
            "images-best-both",
            "images, both in tf.data's best formulation",
            4,
            pipelines.images_best,
            files=True,
        ),
        _batches(
            "numbers-best-both",
            "ints + floats, both in tf.data's best formulation",
            3,
            pipelines.numbers_best,
            files=True,
        ),
        _batches("range-map", "`range.map.batch`", 200, pipelines.range_map),
        _batches("range-filter", "`range.filter.batch`", 200, pipelines.range_filter),
        _batches(
            "range-shuffle",
            "`range.shuffle(10000).batch`",
            30,
            pipelines.range_shuffle,
            same="rows",
        ),
        _batches(
            "jpeg",
            "JPEG decode + resize to 224 x 224 + random flip + normalise, batch 64",
            1.2,
            pictures.jpeg,
            same=None,
            count=pictures.IMAGES,
        ),
        Job("iterate", "iterating 100,000 scalars", 50, "elements", _iterate_eagerly),
        Job(
            "iterate-numpy",
            "the same, `as_numpy_iterator`",
            50,
            "elements",
            _iterate_numpy,
        ),
        _batches(
            "slices",
            "`from_tensor_slices((x, y)).shuffle.batch.prefetch`, 64 floats a row",
            5,
            pipelines.slices,
            same="rows",
        ),
    )
}

JOBS |= models.jobs(Job)
JOBS |= columnar.jobs(Job)
JOBS |= grain_peer.jobs(Job)
JOBS |= networks.jobs(Job)
JOBS |= sequences.jobs(Job)
