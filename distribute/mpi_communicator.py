"""MpiCommunicator: a replica's means to meet the others when each is a process of its own.

Processes of one machine add gradients in shared memory (`node_sum`), others by Allreduce.
Calls block: on CPUs MPI makes no progress by itself, so a non-blocking one would only move the
work.  With a core to spare, a thread makes them while the backward pass goes on (`overlap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..ops import recycling
from ..ops.errors import InvalidArgumentError
from .communicator import Communicator
from .compression import Compression
from .mpi import Watch
from .node_sum import NodeSum
from .options import CommunicationOptions
from .timeline import recorded

__all__ = ["MpiCommunicator"]

_DEFAULT_TIMEOUT_S = 300.0
_WORTH_PACKING = 1 << 18  # bytes
_shelf = recycling.Shelf(64)  # buckets are of the same sizes in every step


class _Channel:
    """What the calls of one thread go through."""

    def __init__(self, mpi: Any, comm: Any):
        self.comm = comm.Dup()
        self.node = NodeSum(mpi, self.comm)


class MpiCommunicator(Communicator):
    """Between the processes of an MPI communicator.

    Args:
        mpi: the module `mpi4py.MPI`.
        comm: the processes; it is duplicated.
        options: buckets, compression, timeout.
    """

    def __init__(self, mpi: Any, comm: Any, options: CommunicationOptions):
        self._mpi = mpi
        self._main = _Channel(mpi, comm)
        self._comm = self._main.comm
        self.rank = comm.Get_rank()
        self.size = comm.Get_size()
        name = options.compression
        self._compression = None if name is None else Compression(name)
        timeout = options.timeout_seconds
        self._watch = Watch(mpi, comm, _DEFAULT_TIMEOUT_S if timeout is None else timeout)
        # A thread of its own has a channel of its own: calls of two threads would mix.
        self._side = _Channel(mpi, comm) if options.overlap else self._main
        self._thread = ThreadPoolExecutor(1, "headrace-mpi-reduce") if options.overlap else None
        self._begun: dict[int, Any] = {}
        self._number = 0

    # -- reducing ---------------------------------------------------------------------------

    def start(
        self, arrays: Sequence[Any], mean: bool, compress: bool, own: Sequence[bool] = ()
    ) -> int:
        """See `Communicator.start`."""
        self._number += 1
        number = self._number
        work: Any
        if self._thread is not None and compress:
            work = self._thread.submit(
                self._reduced, list(arrays), mean, compress, own, self._side
            )
        else:
            with recorded("waiting", "all-reduce", self.rank):
                work = self._reduced(list(arrays), mean, compress, own, self._main)
        self._begun[number] = work
        return number

    def finish(self, number: int) -> list[Any]:
        """See `Communicator.finish`."""
        work = self._begun.pop(number)
        if not isinstance(work, Future):
            return work
        with recorded("waiting", "all-reduce", self.rank):
            return work.result()

    def _reduced(
        self,
        arrays: list[Any],
        mean: bool,
        compress: bool,
        own: Sequence[bool],
        channel: _Channel,
    ) -> list[Any]:
        kind = arrays[0].dtype
        half = compress and self._compression is not None and kind.itemsize > 2
        results: list[Any] = [None] * len(arrays)
        # Large arrays are sent from where they lie; only small ones are worth packing.
        packed: list[int] = []
        sources: list[np.ndarray] = []
        outs: list[np.ndarray] = []
        for i, a in enumerate(arrays):
            if half or kind.itemsize <= 2 or a.nbytes < _WORTH_PACKING:
                packed.append(i)
                continue
            source = np.ascontiguousarray(a)
            in_place = source is a and i < len(own) and own[i]
            results[i] = a if in_place else _shelf.empty(a.shape, kind)
            sources.append(source)
            outs.append(results[i])
        ends = np.cumsum([arrays[i].size for i in packed]).tolist()
        flat = _shelf.empty((ends[-1] if packed else 0,), kind)
        for i, end in zip(packed, ends, strict=True):
            flat[end - arrays[i].size : end] = np.reshape(arrays[i], -1)
        if packed:
            if half:
                key = tuple(arrays[i].shape for i in packed)
                (sent,) = self._compression.compress(key, [flat])  # type: ignore[union-attr]
                flat = self._sum_of_halves(sent, kind, channel)
            elif kind.itemsize == 2 or kind == np.bool_:
                flat = self._sum_of_halves(flat, np.dtype(np.float32), channel).astype(kind)
            else:
                sources.append(flat)
                outs.append(flat)
        if sources:
            self._sum(sources, outs, channel)
        for i, end in zip(packed, ends, strict=True):
            results[i] = flat[end - arrays[i].size : end].reshape(arrays[i].shape)
        if mean:
            for result in results:
                result *= kind.type(1 / self.size)
        return results

    def _sum(self, sources: list[Any], outs: list[Any], channel: _Channel) -> None:
        size_bytes = sum(out.nbytes for out in outs)
        with (
            recorded("communication", f"all-reduce {size_bytes} bytes", self.rank),
            self._watch.meeting("an all-reduce"),
        ):
            if channel.node.works:
                channel.node.sum(sources, outs)
                return
            for source, out in zip(sources, outs, strict=True):
                given = self._mpi.IN_PLACE if source is out else source
                channel.comm.Allreduce(given, out, self._mpi.SUM)

    def _sum_of_halves(self, sent: np.ndarray, kind: Any, channel: _Channel) -> np.ndarray:
        """The sum of arrays of two-byte floats, which MPI cannot add: every rank gets a part of
        all, adds it with more bits, and sends the sum to all, in half the bits again."""
        wire = sent.dtype
        with (
            recorded("communication", f"all-reduce {sent.nbytes} bytes", self.rank),
            self._watch.meeting("an all-reduce of two-byte floats"),
        ):
            if channel.node.works and channel.node.one_machine:
                total = _shelf.empty(sent.shape, wire)
                channel.node.sum([sent], [total], kind)
                return total.astype(kind)
            part = -(-sent.size // self.size)
            padded = np.zeros(part * self.size, wire)
            padded[: sent.size] = sent
            mine = np.empty_like(padded)
            channel.comm.Alltoall(padded.view(np.uint8), mine.view(np.uint8))
            total = mine.reshape(self.size, part).astype(kind).sum(0).astype(wire)
            channel.comm.Allgather(total.view(np.uint8), padded.view(np.uint8))
        return padded[: sent.size].astype(kind)

    # -- the rest ---------------------------------------------------------------------------

    def all_gather(self, array: Any, axis: int) -> Any:
        """See `Communicator.all_gather`."""
        with self._watch.meeting("all_gather"):
            parts = self._comm.allgather(np.asarray(array))
        shapes = {p.shape[:axis] + p.shape[axis:][1:] for p in parts}
        if len(shapes) > 1 or len({p.dtype for p in parts}) > 1:
            raise InvalidArgumentError(
                "all_gather needs the same dtype and shapes but for the axis joined along on "
                f"all replicas, got {[f'{p.dtype.name}{list(p.shape)}' for p in parts]}"
            )
        return np.concatenate(parts, axis)

    def broadcast(self, arrays: Sequence[Any]) -> list[Any]:
        """See `Communicator.broadcast`."""
        with self._watch.meeting("broadcast"):
            return self._comm.bcast(list(arrays) if self.rank == 0 else None)

    def meet(self, what: str) -> None:
        """See `Communicator.meet`."""
        with self._watch.meeting(what):
            self._comm.Barrier()

    def gather_objects(self, value: Any, what: str) -> list[Any]:
        """`value` of every process, by rank."""
        with self._watch.meeting(what):
            return self._comm.allgather(value)

    def sum_counts(self, counts: Sequence[int], what: str) -> list[int]:
        """The sums of a few numbers over the processes."""
        total = np.asarray(counts, np.int64)
        with self._watch.meeting(what):
            self._comm.Allreduce(self._mpi.IN_PLACE, total, self._mpi.SUM)
        return total.tolist()
