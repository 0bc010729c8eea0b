"""Datasets dealt out to replicas: every global batch cut in rows, one part per replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..data.device_copies import CupyCopies, DeviceCopies
from ..data.iterator_checkpoint import (
    ITERATOR_STATE,
    iterator_text,
    refuse_foreign_state,
    state_of_text,
)
from ..data.node import Node
from ..data.optional import GetsNext
from ..data.transforms.batch import BatchNode
from ..ops import api as hr, nest
from ..ops.context import RunsReplicas, current, placing
from ..ops.devices import HOST
from ..ops.errors import InvalidArgumentError, UnimplementedError
from ..ops.sparse_layout import slice as sparse_slice
from ..ops.sparse_tensor import SparseTensor
from .timeline import recorded
from .values import PerReplicaSpec, regroup

__all__ = [
    "DistributedDataset",
    "DistributedDatasetsFromFunction",
    "DistributedIterator",
    "batch_size_of",
    "copies_to",
    "on_gpus",
    "rows_of",
    "split_rows",
    "split_sizes",
]


def batch_size_of(node: Node) -> int | None:
    """The rows of a full batch of a plan, where its last batching says so."""
    while True:
        if isinstance(node, BatchNode):
            return node.batch_size
        inputs = node.inputs
        if len(inputs) != 1 or type(node).__name__ in ("UnbatchNode", "FlatMapNode"):
            return None
        node = inputs[0]


def split_sizes(rows: int, parts: int, full_batch: int | None = None) -> list[int]:
    """How many of a batch's rows each replica gets, from the first on.

    Every replica but the last ones gets its part of a full batch; a batch that is not full ends
    where its rows do.

    >>> split_sizes(7, 2), split_sizes(5, 2, full_batch=8)
    ([4, 3], [4, 1])
    """
    whole = rows if full_batch is None or rows > full_batch else full_batch
    small, more = divmod(whole, parts)
    sizes = []
    for i in range(parts):
        size = min(small + (i < more), rows)
        sizes.append(size)
        rows -= size
    return sizes


def rows_of(batch: Any) -> int:
    """The number of rows of a batch, which all its components share.

    Raises:
        InvalidArgumentError: they differ, or a component has no rows.
    """
    rows: int | None = None
    for leaf in nest.flatten(batch):
        if leaf is None:
            continue
        shape = leaf.shape
        if len(shape) == 0:
            raise InvalidArgumentError(
                "a strategy deals out batches along their first axis, got a component that is "
                f"a scalar of dtype {leaf.dtype.name}; batch the dataset with the global batch "
                "size before distributing it"
            )
        found = int(shape[0])
        if rows is not None and found != rows:
            raise InvalidArgumentError(
                "all components of a global batch must have the same number of rows, got "
                f"{rows} and {found}; if the dataset is not batched, call "
                ".batch(global_batch_size)"
            )
        rows = found
    if rows is None:
        raise InvalidArgumentError("a batch to deal out must have a component, got none")
    return rows


def _rows(leaf: Any, start: int, stop: int) -> Any:
    if leaf is None:
        return None
    if isinstance(leaf, SparseTensor):
        shape = leaf.dense_shape.numpy().tolist()
        return sparse_slice(leaf, [start, *[0] * (len(shape) - 1)],
                               [stop - start, *shape[1:]])  # fmt: skip
    return leaf[start:stop]


def split_rows(batch: Any, sizes: Sequence[int]) -> list[Any]:
    """The batch's consecutive parts of these numbers of rows; dense parts are views."""
    parts, start = [], 0
    for size in sizes:
        first, start = start, start + size
        parts.append(
            nest.map_structure(lambda leaf, a=first, b=start: _rows(leaf, a, b), batch)
        )
    return parts


def on_gpus(places: Sequence[int | None]) -> bool:
    """Whether a replica is on a GPU."""
    return placing.on and any(place not in (None, HOST) for place in places)


def copies_to(places: Sequence[int | None]) -> list[DeviceCopies | None]:
    """Copies to the devices of replicas; None for those on the host."""
    return [None if p is None or p == HOST else CupyCopies(p) for p in places]


class DistributedIterator(GetsNext):
    """The batches of one pass over a distributed dataset, a distributed value for each.

    A checkpoint holds its position, unless batches are copied to GPUs ahead of the steps.

    Args:
        parts: gives for each step a list of one part per replica.
        element_spec: the spec of what it gives.
        source: the iterator that the batches come from, where no more are taken from it than
            `parts` has given.
        deal: makes `parts` of `source`.
    """

    def __init__(
        self,
        parts: Iterator[list[Any]],
        element_spec: Any,
        source: Any = None,
        deal: Callable[[Iterator[Any]], Iterator[list[Any]]] | None = None,
    ):
        self._parts = parts
        self._spec = element_spec
        self._source = source
        self._deal = deal

    @property
    def element_spec(self) -> Any:
        """The nested specs of what `next` gives."""
        return self._spec

    def __iter__(self) -> DistributedIterator:
        return self

    def __next__(self) -> Any:
        if current.trace is not None:
            raise RunsReplicas("a distributed dataset is iterated over from Python")
        with recorded("input", "next batch"):
            return regroup(next(self._parts))

    # -- checkpoints of objects -----------------------------------------------------------

    def _checkpoint_children(self) -> tuple[()]:
        return ()

    def _checkpoint_values(self) -> dict[str, Any]:
        return {ITERATOR_STATE: lambda: iterator_text(self._saveable().state())}

    def _restore_checkpoint(self, values: dict[str, Any], where: str) -> None:
        source = self._saveable()
        source.restore(state_of_text(values[ITERATOR_STATE], where))
        assert self._deal is not None
        self._parts = self._deal(source)

    def _refuse_checkpoint(self, stored: set[str], where: str) -> None:
        refuse_foreign_state(stored, where)

    def _saveable(self) -> Any:
        if self._source is None:
            raise UnimplementedError(
                "the position of an iterator whose batches are copied to GPUs ahead of the "
                "steps cannot be saved; distribute the dataset with "
                "InputOptions(experimental_fetch_to_device=False), or leave the iterator out "
                "of the checkpoint"
            )
        return self._source


class DistributedDataset:
    """A dataset of global batches, dealt out to the replicas of this process.

    Args:
        dataset: yields global batches.
        strategy: whose replicas get the parts.
        replicas: how many of them are in this process.
        options: `InputOptions`.  Unless they, or the dataset's own options, say otherwise, a
            batch's parts are copied to replicas on GPUs while these work on the batch before.
    """

    def __init__(self, dataset: Any, strategy: Any, replicas: int, options: Any = None):
        self._dataset = dataset
        self._fetches = getattr(options, "experimental_fetch_to_device", None) is not False
        self._strategy = strategy
        self._replicas = replicas
        self._full_batch = batch_size_of(dataset._node)
        # Unbatched datasets are refused here, not at the first step.
        for spec in nest.flatten(dataset.element_spec):
            if getattr(spec, "shape", None) is not None and spec.shape.rank == 0:
                raise ValueError(
                    "experimental_distribute_dataset needs a dataset of global batches, got "
                    f"elements {dataset.element_spec}, which are not batched; call "
                    ".batch(global_batch_size)"
                )

    @property
    def element_spec(self) -> Any:
        """The nested specs of what iterating gives."""
        count = self._replicas
        return nest.map_structure(
            lambda spec: PerReplicaSpec(*[_any_rows(spec)] * count), self._dataset.element_spec
        )

    def cardinality(self) -> Any:
        """The number of global batches."""
        return self._dataset.cardinality()

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> DistributedIterator:
        if current.trace is not None:
            raise RunsReplicas("a distributed dataset is iterated over from Python")
        # Each part is on its replica's device where that is a GPU.
        places = self._strategy.extended.places
        fed = None
        if self._fetches and len(places) == self._replicas and on_gpus(places):
            fed = self._dataset.feeding_iterator()
        if fed is None:
            source = iter(self._dataset)
            return DistributedIterator(
                self._dealt(source), self.element_spec, source, self._dealt
            )
        iterator, feeding = fed
        parts = feeding.deal(iterator, self._dealt, copies_to(places), places)
        return DistributedIterator(parts, self.element_spec)

    def _dealt(self, batches: Iterator[Any]) -> Iterator[list[Any]]:
        """For each step, a part of a batch for every replica."""
        for batch in batches:
            sizes = split_sizes(rows_of(batch), self._replicas, self._full_batch)
            yield split_rows(batch, sizes)


class DistributedDatasetsFromFunction(DistributedDataset):
    """A dataset of per-replica batches: a step takes one for every replica.

    Where too few are left for all, the last replicas get batches of no rows.
    """

    def cardinality(self) -> Any:
        """The number of steps."""
        count = int(self._dataset.cardinality())
        return hr.constant(-(-count // self._replicas) if count > 0 else count, hr.int64)

    def __len__(self) -> int:
        return -(-len(self._dataset) // self._replicas)

    def _dealt(self, batches: Iterator[Any]) -> Iterator[list[Any]]:
        parts: list[Any] = []
        for batch in batches:
            parts.append(batch)
            if len(parts) == self._replicas:
                yield parts
                parts = []
        if parts:
            rows_of(parts[0])
            (none,) = split_rows(parts[0], [0])
            yield parts + [none] * (self._replicas - len(parts))


def _any_rows(spec: Any) -> Any:
    shape = getattr(spec, "shape", None)
    if type(spec) is not hr.TensorSpec or shape is None or not shape.rank:
        return spec
    return hr.TensorSpec([None, *shape[1:]], spec.dtype)
