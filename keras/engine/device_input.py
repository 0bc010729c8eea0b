"""Batches copied to the model's GPU while it works on earlier ones.

When all of the model's variables on devices lie on one GPU, `fit`, `evaluate` and `predict`
send their batches there through pinned memory:

* of a dataset, with what its last map does to bytes left to the GPU (`data.device_feeding`),
  and read ahead, unless it runs Python code per element;
* of arrays, whose rows are gathered straight into pinned memory, and large ones ahead;
* of generators and `Sequence`s, whose code runs when its batch is asked for, as it does without
  a GPU.  Their copies still go on during the steps that are queued.

Where a strategy has replicas on several GPUs, each part of a batch goes to its replica's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...data.dataset_base import DatasetBase
from ...data.device_copies import CupyCopies
from ...data.device_dataset import DeviceIterator, as_tensors
from ...data.device_ring import DeviceRing
from ...data.device_rings import DeviceRings
from ...distribute.input import copies_to, on_gpus, rows_of, split_rows, split_sizes
from ...distribute.values import regroup
from ...ops import nest
from ...ops.array_module import is_on_device, place_of
from ...ops.context import placing
from ...ops.devices import HOST, at, devices, requested
from ...ops.tensor import Tensor
from .array_adapter import ArrayBatches
from .data_adapter import ConvertedBatches, DataAdapter, DatasetAdapter

__all__ = ["batches_of", "peeked", "through_ring"]

_WORTH_A_THREAD = 1 << 20
"""Bytes of a batch of arrays: less is gathered faster than a thread takes turns."""


def batches_of(adapter: DataAdapter) -> Iterator[Any]:
    """The batches of the adapter's next epoch, on the host unless they are sent to a GPU."""
    if type(adapter) is DatasetAdapter and _may_send():
        dataset = adapter._dataset
        found = None
        if isinstance(dataset, DatasetBase):
            found = dataset.feeding_iterator(adapter._weigh)
        if found is not None:
            return _Fed(*found)
    return adapter.epoch()


def _may_send() -> bool:
    return placing.on and devices.backend is not None and requested() != HOST


def peeked(batches: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
    """The next batch, and an iterator that still gives it.

    Raises:
        StopIteration: there is none.
    """
    if isinstance(batches, _Fed):
        return batches.iterator.peek(), batches
    first = next(batches)
    return first, _Behind([first], batches)


def through_ring(batches: Iterator[Any], model: Any) -> Iterator[Any]:
    """What is left of a pass over data, on the model's GPU where there is one; where not, as it
    is."""
    if not _may_send():
        return batches
    extended = model.distribute_strategy.extended
    if extended.several_workers:
        return batches
    if model._replicated():
        return _to_replicas(batches, extended.places, model.steps_per_execution)
    gpu = _gpu_of(model)
    if gpu is None or requested() not in (None, gpu):
        return batches
    held = model.steps_per_execution
    if isinstance(batches, _Fed):
        batches.feeding.send(batches.iterator, CupyCopies(gpu), gpu, held)
        return batches
    found = _raw_batches(batches)
    if found is None:
        return batches
    raw, ahead = found
    ring = DeviceRing(raw, CupyCopies(gpu), held + 2 if ahead else 1, held=held)
    return map(as_tensors, ring)


def _to_replicas(batches: Iterator[Any], places: Sequence[Any], held: int) -> Iterator[Any]:
    """Each replica's part of the batches on its GPU."""
    if not on_gpus(places):
        return batches

    def split(raw: Iterator[Any]) -> Iterator[list[Any]]:
        for batch in raw:
            yield split_rows(batch, split_sizes(rows_of(batch), len(places)))

    if isinstance(batches, _Fed):
        copies = copies_to(places)
        parts = batches.feeding.deal(batches.iterator, split, copies, places, held)
        return map(regroup, parts)
    found = _raw_batches(batches)
    if found is None:
        return batches
    raw, ahead = found
    rings = DeviceRings(split(raw), copies_to(places), held + 2 if ahead else 1, held)
    return map(lambda parts: regroup([as_tensors(part) for part in parts]), rings)


def _gpu_of(model: Any) -> int | None:
    """The GPU with the model's variables, if there is exactly one, and it is not split."""
    if devices.are_split:
        return None
    values: list[Any] = [getattr(v, "_value", None) for v in model.variables]
    found = {place_of(v) for v in values if is_on_device(v)}
    return found.pop() if len(found) == 1 else None


class _Fed:
    """A pass over a dataset.

    Attributes:
        iterator: gives the batches.
        feeding: sends them.
    """

    def __init__(self, iterator: DeviceIterator, feeding: Any):
        self.iterator, self.feeding = iterator, feeding

    def __iter__(self) -> Iterator[Any]:
        return self.iterator

    def __next__(self) -> Any:
        return next(self.iterator)


class _Behind:
    """A batch that was looked at, and those behind it.

    Attributes:
        first: the batch in a list, which is empty when it was given.
        rest: the others.
    """

    def __init__(self, first: list[Any], rest: Iterator[Any]):
        self.first, self.rest = first, rest

    def __iter__(self) -> _Behind:
        return self

    def __next__(self) -> Any:
        return self.first.pop() if self.first else next(self.rest)


def _raw_batches(batches: Iterator[Any]) -> tuple[Iterator[Any], bool] | None:
    """The batches as raw arrays on the host, and whether they may be taken ahead; None where
    they cannot be had."""
    first: list[Any] = []
    if isinstance(batches, _Behind):
        first = [nest.map_structure(_raw, each) for each in batches.first]
        batches = batches.rest
    if isinstance(batches, ArrayBatches):
        if not batches.on_host:
            return None
        return _Behind(first, batches.raw()), batches.batch_bytes >= _WORTH_A_THREAD
    if isinstance(batches, ConvertedBatches):
        return _Behind(first, _converted(batches)), False
    return None


def _converted(batches: ConvertedBatches) -> Iterator[Any]:
    """Batches of the user's code with raw arrays where a device can have them."""
    for found in batches.given:
        with at(HOST):
            batch = batches.convert(found)
        yield nest.map_structure(_raw, batch)


def _raw(leaf: Any) -> Any:
    value = getattr(leaf, "_value", None) if isinstance(leaf, Tensor) else None
    return value if isinstance(value, np.ndarray) else leaf
