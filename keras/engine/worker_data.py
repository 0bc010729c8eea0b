"""WorkerAdapter: the batches of one worker of several, from data that all of them are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...distribute.auto_shard import begin_later_pass
from ...distribute.input import DistributedDataset
from ...distribute.worker_input import LocalBatch, WorkerDataset, in_step, local_plan, own_rows
from ..utils.rng import numpy_generator
from .data_adapter import DataAdapter, DatasetAdapter

__all__ = ["WorkerAdapter", "for_workers"]


def for_workers(adapter: DataAdapter, strategy: Any) -> DataAdapter:
    """The adapter of this worker's part, where the strategy has several workers."""
    several = strategy.extended.several_workers and strategy.num_replicas_in_sync > 1
    if not several or isinstance(adapter, WorkerAdapter):
        return adapter
    return WorkerAdapter(adapter, strategy)


class WorkerAdapter(DataAdapter):
    """One worker's part of every global batch.

    Args:
        adapter: of the whole data.
        strategy: of the workers.
    """

    def __init__(self, adapter: DataAdapter, strategy: Any):
        self._whole = adapter
        self._communicator = me = strategy.extended.communicator
        self._part: Any = None
        if isinstance(adapter, DatasetAdapter):
            dataset = adapter._dataset
            if not isinstance(dataset, WorkerDataset | DistributedDataset):
                dataset = WorkerDataset(local_plan(dataset, me), strategy)
            self._part = dataset
        # Arrays are shuffled in the same order by all.
        shuffler = numpy_generator().bit_generator
        shuffler.state = me.broadcast([shuffler.state])[0]

    @property
    def num_batches(self) -> int | None:
        """Steps per epoch, if known."""
        return self._whole.num_batches

    @property
    def repeats(self) -> bool:
        """Whether the data starts over by itself."""
        return getattr(self._whole, "repeats", False)

    def epoch(self) -> Iterator[LocalBatch]:
        """This worker's batches, in step with the others'."""
        me = self._communicator
        if self._part is None:
            return in_step(map(own_rows(me.size, me.rank), self._whole.epoch()), me)
        return in_step(self._part.own_batches(getattr(self._whole, "_weigh", None)), me)

    def on_epoch_end(self) -> None:
        """See `DataAdapter.on_epoch_end`."""
        self._whole.on_epoch_end()

    def begin_later_pass(self, number: int) -> None:
        """See `DataAdapter.begin_later_pass`."""
        if self._part is None:
            self._whole.begin_later_pass(number)
        else:
            begin_later_pass(self._part._dataset._node, number)
