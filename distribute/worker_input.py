"""A worker's batches: its part of a dataset, in step with the other workers.

Before every step the workers say whether they have a batch and of how many rows; the run ends
for all at once.  A worker whose part has ended takes part with a batch of no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..data.dataset import Dataset
from ..data.iterator_checkpoint import (
    ITERATOR_STATE,
    iterator_text,
    refuse_foreign_state,
    state_of_text,
)
from ..data.optional import GetsNext
from ..data.options import AutoShardPolicy
from ..ops import api as hr, nest
from ..ops.context import RunsReplicas, current
from ..ops.errors import InvalidArgumentError
from .auto_shard import agree_on_seeds, shard_plan
from .input import (
    batch_size_of,
    copies_to,
    on_gpus,
    rows_of,
    split_rows,
    split_sizes,
)
from .timeline import recorded
from .values import DistributedValues

__all__ = ["LocalBatch", "WorkerDataset", "WorkerIterator", "in_step", "local_plan", "own_rows"]


class LocalBatch(DistributedValues):
    """A worker's part of a global batch.

    Attributes:
        rows: of the part.
        total_rows: of the global batch.
    """

    def __init__(self, batch: Any, rows: int, total_rows: int):
        super().__init__([batch])
        self.rows = rows
        self.total_rows = total_rows


def local_plan(dataset: Any, communicator: Any) -> tuple[Any, Callable[[Any], Any] | None]:
    """A worker's part of a dataset of global batches: the dataset to iterate over, and what
    cuts the worker's rows out of its batches (None if they are the worker's already)."""
    size, rank = communicator.size, communicator.rank
    plan = agree_on_seeds(dataset._node, lambda seeds: communicator.broadcast([seeds])[0])
    policy = dataset.options().experimental_distribute.auto_shard_policy
    own = shard_plan(plan, AutoShardPolicy(policy), size, rank)
    if own is not None:
        return Dataset(own, dataset._own_options), None
    cut = own_rows(size, rank, batch_size_of(plan))
    return Dataset(plan, dataset._own_options), cut


def own_rows(size: int, rank: int, full_batch: int | None = None) -> Callable[[Any], Any]:
    """A function that cuts the rows of worker `rank` of `size` out of a global batch."""

    def cut(batch: Any) -> Any:
        sizes = split_sizes(rows_of(batch), size, full_batch)
        start = sum(sizes[:rank])
        _, own = split_rows(batch, [start, sizes[rank]])
        return own

    return cut


def in_step(batches: Iterator[Any], communicator: Any) -> Iterator[LocalBatch]:
    """The worker's batches, as long as some worker has one."""
    last: Any = None
    end = object()
    while True:
        with recorded("input", "next batch", communicator.rank):
            batch = next(batches, end)
        rows = 0 if batch is end else rows_of(batch)
        have, total = communicator.sum_counts([batch is not end, rows], "the next batch")
        if not have:
            return
        if batch is end:
            if last is None:
                raise ValueError(
                    f"worker {communicator.rank} has no batch at all while others have: the "
                    "dataset has fewer batches (or files) than there are workers; use a "
                    "smaller batch, or AutoShardPolicy.DATA"
                )
            (batch,) = split_rows(last, [0])
        last = batch
        yield LocalBatch(batch, rows, total)


class WorkerDataset:
    """A worker's part of a distributed dataset; iterating gives its batches.

    Args:
        part: what `local_plan` gives.
        strategy: of the workers.
    """

    def __init__(self, part: tuple[Any, Callable[[Any], Any] | None], strategy: Any):
        self._dataset, self._cut = part
        self._strategy = strategy
        for spec in nest.flatten(self._dataset.element_spec):
            if getattr(spec, "shape", None) is not None and spec.shape.rank == 0:
                raise ValueError(
                    "experimental_distribute_dataset needs a dataset of global batches, got "
                    f"elements {self._dataset.element_spec}, which are not batched; call "
                    ".batch(global_batch_size)"
                )

    @property
    def element_spec(self) -> Any:
        """The nested specs of a worker's batch."""

        def any_rows(spec: Any) -> Any:
            if type(spec) is not hr.TensorSpec or not spec.shape.rank:
                return spec
            return hr.TensorSpec([None, *spec.shape[1:]], spec.dtype)

        return nest.map_structure(any_rows, self._dataset.element_spec)

    def cardinality(self) -> Any:
        """The number of steps, as far as this worker knows it."""
        return self._dataset.cardinality()

    def __len__(self) -> int:
        return len(self._dataset)

    def own_batches(self, change: Callable[[Any], Any] | None = None) -> Iterator[Any]:
        """The rows of every global batch that are this worker's, changed by `change` if it is
        given.  For a worker on a GPU they are copied there while it works on those before,
        unless the dataset's options say otherwise."""
        home = self._strategy.extended.home
        fed = None
        if home is not None and on_gpus([home]):
            fed = self._dataset.feeding_iterator(change)
        if fed is not None and home is not None:
            iterator, feeding = fed
            parts = feeding.deal(iterator, self._alone, copies_to([home]), [home])
            return (part for (part,) in parts)
        batches: Any = iter(self._dataset)
        for step in (self._cut, change):
            if step is not None:
                batches = map(step, batches)
        return batches

    def _alone(self, batches: Iterator[Any]) -> Iterator[list[Any]]:
        """The worker's rows of each batch, as the only part."""
        cut = self._cut
        return ([batch if cut is None else cut(batch)] for batch in batches)

    def __iter__(self) -> Iterator[Any]:
        if current.trace is not None:
            raise RunsReplicas("a distributed dataset is iterated over from Python")
        return WorkerIterator(self)

    def local_batches(self, batches: Any = None) -> Iterator[LocalBatch]:
        """The batches with their numbers of rows; of `batches`, an iterator over the dataset,
        if it is given."""
        batches = iter(self._dataset) if batches is None else batches
        if self._cut is not None:
            batches = map(self._cut, batches)
        return in_step(batches, self._strategy.extended.communicator)


class WorkerIterator(GetsNext):
    """A worker's batches of one pass over a `WorkerDataset`.

    A checkpoint holds the position of every worker.  Restored on another number of workers it
    goes over the steps that were done: the order of the data must be the same then, so shuffles
    need seeds.
    """

    def __init__(self, dataset: WorkerDataset):
        self._of = dataset
        self._start()

    def _start(self) -> None:
        self._source: Any = iter(self._of._dataset)
        self._batches = self._of.local_batches(self._source)
        self._steps = 0

    @property
    def element_spec(self) -> Any:
        """The nested specs of a batch."""
        return self._of.element_spec

    def __iter__(self) -> WorkerIterator:
        return self

    def __next__(self) -> Any:
        if current.trace is not None:
            raise RunsReplicas("a distributed dataset is iterated over from Python")
        batch = next(self._batches)
        self._steps += 1
        return batch.values[0]

    # -- checkpoints of objects -----------------------------------------------------------

    @property
    def _communicator(self) -> Any:
        return self._of._strategy.extended.communicator

    def _checkpoint_children(self) -> tuple[()]:
        return ()

    def _checkpoint_values(self) -> dict[str, Any]:
        return {ITERATOR_STATE: self._state}

    def _state(self) -> Any:
        """All workers' positions; all of them must ask."""
        own = self._source.state()
        states = self._communicator.gather_objects(own, "the iterators' positions")
        return iterator_text({"steps": self._steps, "workers": states})

    def _restore_checkpoint(self, values: dict[str, Any], where: str) -> None:
        state = state_of_text(values[ITERATOR_STATE], where)
        me = self._communicator
        workers = state.get("workers")
        if workers is None:
            raise InvalidArgumentError(
                f"{where}: the position is of an iterator that is not distributed"
            )
        self._start()
        if len(workers) == me.size:
            self._source.restore(workers[me.rank])
        else:
            for _ in range(state["steps"]):
                next(self._source, None)
        self._steps = state["steps"]

    def _refuse_checkpoint(self, stored: set[str], where: str) -> None:
        refuse_foreign_state(stored, where)
