"""NcclCommunicator: a replica's means to meet the others when each computes on a GPU.

A bucket of gradients is packed into one array on the stream that the replica computes on, and
reduced on the device's communication stream while the backward pass goes on:

    compute stream        pack | event ready | backward pass goes on | wait for done | update
    communication stream         wait for ready | all-reduce | event done

The host waits for neither.  Nothing is queued before all replicas have come to the same
exchange: a replica that never comes would leave the others' GPUs in an all-reduce that nobody
can end.  So the replica that comes last queues for all of its process (`ThreadBoard`), which
takes a group; between processes MPI counts them before each queues its own (`MpiBoard`).  All
exchanges of a communicator are queued in the order of the program: the order of the sums, and
so their bits, is NCCL's for the number of ranks.

What NCCL reads and writes is held until the replica's stream waits for the exchange; from then
on CuPy's pool, which hands memory on in the order of that stream, may have it.
"""

from __future__ import annotations

import abc
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.array_module import is_on_device
from ..ops.errors import InvalidArgumentError
from ..ops.placement import to_place
from .communicator import Communicator
from .compression import DeviceCompression
from .meeting import Meeting
from .nccl import Exchange, NcclLinks, nccl_type

__all__ = ["MpiBoard", "NcclCommunicator", "ThreadBoard"]

_ALIGNMENT = 256  # bytes: arrays in a bucket begin where kernels can read whole vectors
_AT_ONCE = 128  # calls of a replica in a group, of which NCCL takes 2048 at most
_WIDER = {"int16": "int32", "uint16": "uint32", "bool": "int32"}


class Board(abc.ABC):
    """Where this process's replicas put their exchanges, to be queued when all have come."""

    @abc.abstractmethod
    def post(self, local_rank: int, exchange: Exchange) -> None:
        """Put down one replica's part of the next exchange."""

    @abc.abstractmethod
    def await_queued(self, local_rank: int, exchange: Exchange) -> None:
        """Wait until an exchange is queued."""

    @abc.abstractmethod
    def told(self, local_rank: int, what: str, value: Any) -> list[Any]:
        """`value` of every replica, by rank."""

    def withdraw(self, local_rank: int, exchange: Exchange) -> bool:
        """Take an exchange back unless it is queued; whether it is."""
        return exchange.done is not None

    def end(self, local_rank: int) -> None:  # noqa: B027  (between processes there is none)
        """A replica's run is over."""


class ThreadBoard(Board):
    """Of replicas that are threads of one process.

    Args:
        meeting: of all of them.
        links: to their GPUs.
    """

    def __init__(self, meeting: Meeting, links: NcclLinks):
        self._meeting, self._links = meeting, links
        self._posts = [0] * meeting.size

    def withdraw(self, local_rank: int, exchange: Exchange) -> bool:
        """See `Board.withdraw`."""
        meeting = self._meeting
        with meeting.condition:
            for key, come in meeting.works.items():
                if isinstance(key, tuple) and come.get(local_rank) is exchange:
                    del come[local_rank]
            return exchange.done is not None

    def end(self, local_rank: int) -> None:
        """See `Board.end`."""
        self._posts[local_rank] = 0

    def post(self, local_rank: int, exchange: Exchange) -> None:
        """See `Board.post`."""
        meeting = self._meeting
        key: Any = ("nccl", self._posts[local_rank])
        self._posts[local_rank] += 1
        with meeting.condition:
            come = meeting.works.setdefault(key, {})
            come[local_rank] = exchange
            if len(come) < meeting.size:
                return
            del meeting.works[key]
            exchanges = [come[rank] for rank in range(meeting.size)]
            try:
                _check_alike([(e.what, e.alike) for e in exchanges])
                self._links.queue(exchanges, 0)
            except BaseException as error:
                meeting.abort(error)
                raise
            meeting.condition.notify_all()

    def await_queued(self, local_rank: int, exchange: Exchange) -> None:
        """See `Board.await_queued`."""
        with self._meeting.condition:
            self._meeting.wait_until(
                local_rank, exchange.what, lambda: exchange.done is not None
            )

    def told(self, local_rank: int, what: str, value: Any) -> list[Any]:
        """See `Board.told`."""
        return self._meeting.meet(
            local_rank, what, value, lambda given: [list(given)] * len(given)
        )


class MpiBoard(Board):
    """Of a replica whose others are processes, which meet by MPI.

    Args:
        host: between the processes; it has `sum_counts` and `gather_objects`.
        links: to this process's GPU.
    """

    def __init__(self, host: Any, links: NcclLinks):
        self._host, self._links = host, links

    def post(self, local_rank: int, exchange: Exchange) -> None:
        """See `Board.post`; all have come, and to the same, when it returns."""
        mine = (exchange.what, exchange.alike)
        number = zlib.crc32(repr(mine).encode()) >> 12
        name = exchange.what.partition(",")[0]
        # Numbers are all the same where the mean of their squares is the square of their mean.
        total, squares = self._host.sum_counts([number, number * number], name)
        if squares * self._host.size != total * total:
            _check_alike(self._host.gather_objects(mine, name))
        self._links.queue([exchange], self._host.rank)

    def await_queued(self, local_rank: int, exchange: Exchange) -> None:
        """See `Board.await_queued`: it is."""

    def told(self, local_rank: int, what: str, value: Any) -> list[Any]:
        """See `Board.told`."""
        return self._host.gather_objects(value, what)


def _check_alike(given: Sequence[tuple[str, Any]]) -> None:
    """Refuse to queue different things.

    Raises:
        InvalidArgumentError: replicas differ in what they exchange, or in shapes or dtypes.
    """
    for rank, (what, alike) in enumerate(given):
        if what.split(" ")[0] != given[0][0].split(" ")[0]:
            raise InvalidArgumentError(
                f"the replicas meet at different operations: replica {rank} at {what}, replica "
                f"0 at {given[0][0]}; every replica must call the same collective operations "
                "in the same order"
            )
        if alike != given[0][1]:
            raise InvalidArgumentError(
                f"{what.split(' ')[0]} needs the same shapes and dtypes on all replicas, got "
                f"{given[0][1]} on replica 0 and {alike} on replica {rank}"
            )


class NcclCommunicator(Communicator):
    """Between replicas on GPUs; results lie on the replica's own.

    Args:
        host: between the same replicas, for what lies on the host.
        board: where exchanges are queued.
        links: to this process's GPUs.
        local_rank: number of the replica in this process.
        compression: of the gradients on their way, or None.
    """

    def __init__(
        self,
        host: Communicator,
        board: Board,
        links: NcclLinks,
        local_rank: int,
        compression: str | None = None,
    ):
        self.rank, self.size = host.rank, host.size
        self._host = host
        self._board, self._links, self._local = board, links, local_rank
        self._place = links.places[local_rank]
        self._xp = links.backend.module
        self._compression = (
            None if compression is None else DeviceCompression(compression, self.size)
        )
        self._begun: dict[int, tuple[Exchange, Callable[[], list[Any]]]] = {}
        self._number = 0

    @property
    def host(self) -> Communicator:
        """See `Communicator.host`."""
        return self._host

    # -- reducing ---------------------------------------------------------------------------

    def start(
        self, arrays: Sequence[Any], mean: bool, compress: bool, own: Sequence[bool] = ()
    ) -> int:
        """See `Communicator.start`."""
        number = self._number
        self._number += 1
        on = [self._here(a) for a in arrays]
        with self._links.backend.on(self._place):
            self._begun[number] = self._reduction(number, on, mean, compress)
        self._board.post(self._local, self._begun[number][0])
        return number

    def _reduction(
        self, number: int, arrays: list[Any], mean: bool, compress: bool
    ) -> tuple[Exchange, Callable[[], list[Any]]]:
        xp, nccl, size = self._xp, self._links.nccl, self.size
        kind = arrays[0].dtype
        alike = [f"{a.dtype.name}{list(a.shape)}" for a in arrays]
        shapes = [a.shape for a in arrays]
        if kind.kind == "c":  # complex numbers are added as pairs
            pair = np.dtype(kind.char.lower())
            arrays = [xp.ascontiguousarray(a).reshape(-1).view(pair) for a in arrays]
        wire = np.dtype(_WIDER.get(arrays[0].dtype.name, arrays[0].dtype))
        if nccl_type(nccl, wire.name) is None:  # an NCCL of before bfloat16
            wire = np.dtype(np.float32)
        sent, starts = _packed(xp, arrays, wire)
        ends = [s + a.size for s, a in zip(starts, arrays, strict=True)]
        own = sent
        narrow = self._compression
        if compress and narrow is not None and nccl_type(nccl, narrow.dtype.name) is not None:
            sent = narrow.compress(xp, (kind.name, tuple(shapes)), sent)
        # The replica may go on reading a gradient that is sent from where it lies.
        given = sent is own and len(arrays) == 1
        got = xp.empty_like(sent) if given else sent
        code, count = nccl_type(nccl, sent.dtype.name), int(sent.size)

        def launch(communicator: Any, stream: int) -> None:
            communicator.allReduce(
                sent.data.ptr, got.data.ptr, count, code, nccl.NCCL_SUM, stream
            )

        def results() -> list[Any]:
            total = got if got.dtype == wire else got.astype(wire)
            if mean:
                total *= 1 / size
            found = []
            for shape, start, end in zip(shapes, starts, ends, strict=True):
                part = total[start:end]
                if kind.kind == "c":
                    part = part.view(kind)
                elif wire != kind:
                    part = part.astype(kind)
                found.append(part.reshape(shape))
            return found

        ready = self._links.mark(self._local)
        what = f"all-reduce {number}, {sent.nbytes} bytes"
        return Exchange(what, alike, launch, ready, (sent, got)), results

    def finish(self, number: int) -> list[Any]:
        """See `Communicator.finish`; the host does not wait for the GPU."""
        exchange, results = self._begun[number]
        self._await(exchange)
        del self._begun[number]
        with self._links.backend.on(self._place):
            return results()

    def _await(self, exchange: Exchange) -> None:
        self._board.await_queued(self._local, exchange)
        self._links.wait_for(self._local, exchange, self.rank)
        exchange.held = None

    def settle(self) -> None:
        """See `Communicator.settle`."""
        for exchange, _ in self._begun.values():
            if self._board.withdraw(self._local, exchange):
                self._links.wait_for(self._local, exchange, self.rank)
        self._begun.clear()
        self._board.end(self._local)

    # -- gathering --------------------------------------------------------------------------

    def all_gather(self, array: Any, axis: int) -> Any:
        """See `Communicator.all_gather`; each part is sent to its place."""
        xp = self._xp
        own = self._here(array)
        if not is_on_device(own):  # strings
            return self._host.all_gather(array, axis)
        axis %= max(own.ndim, 1)
        shapes = self._board.told(self._local, "all_gather", (own.dtype.name, own.shape))
        rests = {(name, s[:axis] + s[axis + 1 :]) for name, s in shapes}
        if len(rests) > 1:
            raise InvalidArgumentError(
                "all_gather needs the same dtype and shapes but for the axis joined along on "
                f"all replicas, got {[f'{name}{list(s)}' for name, s in shapes]}"
            )
        with self._links.backend.on(self._place):
            own = xp.ascontiguousarray(xp.moveaxis(own, axis, 0))
            rows = [s[axis] for _, s in shapes]
            joined = xp.empty((sum(rows), *own.shape[1:]), own.dtype)
            row_bytes = joined.nbytes // max(sum(rows), 1)
            nccl = self._links.nccl

            def launch(communicator: Any, stream: int) -> None:
                to = joined.data.ptr
                for root, count in enumerate(rows):
                    size = count * row_bytes
                    if size:
                        source = own.data.ptr if root == self.rank else to
                        communicator.broadcast(source, to, size, nccl.NCCL_UINT8, root, stream)
                    to += size

            self._exchange("all_gather", shapes, launch, (own, joined))
            return xp.moveaxis(joined, 0, axis)

    def broadcast(self, arrays: Sequence[Any]) -> list[Any]:
        """See `Communicator.broadcast`."""
        xp = self._xp
        given = [self._here(a) for a in arrays]
        if not all(map(is_on_device, given)):
            return self._host.broadcast(arrays)
        specs = [(a.dtype.name, a.shape) for a in given]
        first = self._board.told(self._local, "broadcast", specs)[0]
        with self._links.backend.on(self._place):
            if self.rank:
                out = [xp.empty(shape, np.dtype(_named(name))) for name, shape in first]
            else:  # copies: what is sent may be written to by the replica later
                out = [xp.array(a, order="C") for a in given]
            self._send_owned("broadcast", out, [0] * len(out))
            return out

    def share_owned(self, variables: Sequence[Any], owners: Sequence[int]) -> None:
        """See `Communicator.share_owned`: the copies are written over where they lie."""
        with self._links.backend.on(self._place):
            self._send_owned("sharded updates", [v.owned() for v in variables], owners)

    def _send_owned(self, what: str, arrays: list[Any], roots: Sequence[int]) -> None:
        """Write what `roots` have in the arrays over what the others have in theirs."""
        for start in range(0, len(arrays), _AT_ONCE):
            chunk = slice(start, start + _AT_ONCE)
            self._send_few(what, arrays[chunk], roots[chunk])

    def _send_few(self, what: str, arrays: list[Any], roots: Sequence[int]) -> None:
        nccl = self._links.nccl

        def launch(communicator: Any, stream: int) -> None:
            for array, root in zip(arrays, roots, strict=True):
                if array.nbytes:
                    at = array.data.ptr
                    communicator.broadcast(at, at, array.nbytes, nccl.NCCL_UINT8, root, stream)

        alike = [f"{a.dtype.name}{list(a.shape)}" for a in arrays]
        self._exchange(what, alike, launch, arrays)

    def _exchange(self, what: str, alike: Any, launch: Any, held: Any) -> None:
        """Queue and have the stream wait for it; unfinished ones are `settle`'s."""
        number = self._number
        self._number += 1
        exchange = Exchange(what, alike, launch, self._links.mark(self._local), held)
        self._begun[number] = exchange, list
        self._board.post(self._local, exchange)
        self._await(exchange)
        del self._begun[number]

    def meet(self, what: str) -> None:
        """See `Communicator.meet`."""
        self._host.meet(what)

    def _here(self, array: Any) -> Any:
        return to_place(np.asarray(array) if isinstance(array, np.generic) else array,
                        self._place)  # fmt: skip


def _named(name: str) -> Any:
    if name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return name


def _packed(xp: Any, arrays: Sequence[Any], wire: np.dtype) -> tuple[Any, list[int]]:
    """The arrays one after the other in a new one of dtype `wire`, and where each begins; a
    single one may stay where it lies."""
    if len(arrays) == 1:
        return xp.ascontiguousarray(arrays[0]).reshape(-1).astype(wire, copy=False), [0]
    step = _ALIGNMENT // wire.itemsize
    starts, total = [], 0
    for array in arrays:
        starts.append(total)
        total += -(-int(array.size) // step) * step
    flat = xp.zeros(total, wire)  # the gaps are added up, too
    for start, array in zip(starts, arrays, strict=True):
        flat[start : start + array.size] = array.reshape(-1)
    return flat, starts
