"""Communicator: one replica's means to reduce, gather and broadcast arrays with the others.

`ThreadCommunicator` is for replicas that are threads of one process; those of processes are in
`multi_worker.py`.  Every replica must call the same methods in the same order.
"""

from __future__ import annotations

import abc
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.array_module import array_module, beside, is_on_device
from ..ops.errors import InvalidArgumentError
from .compression import Compression
from .cross_device_ops import CrossDeviceOps, SharedMemoryAllReduce, moved, place_of
from .meeting import Meeting
from .shared_sum import SharedSum, check_alike
from .timeline import current_timeline, recorded

__all__ = ["Communicator", "ThreadCommunicator"]


class Communicator(abc.ABC):
    """What `ReplicaContext` and the collective operations call; raw arrays throughout.

    Attributes:
        rank: number of this replica, from 0.
        size: number of replicas.
    """

    rank: int
    size: int

    @abc.abstractmethod
    def start(
        self, arrays: Sequence[Any], mean: bool, compress: bool, own: Sequence[bool] = ()
    ) -> int:
        """Begin to reduce `arrays`; the number to `finish` it with.

        Args:
            arrays: of this replica.
            mean: whether to divide by the number of replicas.
            compress: whether they may travel in fewer bits.
            own: for each array, whether nobody else reads it: the result may take its place.
        """

    @abc.abstractmethod
    def finish(self, number: int) -> list[Any]:
        """The reduced arrays of a `start`; nobody may write to them."""

    @abc.abstractmethod
    def all_gather(self, array: Any, axis: int) -> Any:
        """The replicas' arrays joined along `axis`."""

    @abc.abstractmethod
    def broadcast(self, arrays: Sequence[Any]) -> list[Any]:
        """The arrays of replica 0."""

    @abc.abstractmethod
    def meet(self, what: str) -> None:
        """Return when all replicas have called it."""

    @property
    def host(self) -> Communicator:
        """Between the same replicas, for arrays that lie on the host."""
        return self

    def share_owned(self, variables: Sequence[Any], owners: Sequence[int]) -> None:
        """Give all replicas the owners' copies of `variables`."""
        self.meet("the exchange of sharded updates")
        for variable, owner in zip(variables, owners, strict=True):
            variable._copies[self.rank] = variable._copies[owner]
        self.meet("the exchange of sharded updates")

    def settle(self) -> None:  # noqa: B027  (few have anything under way)
        """The replica's run is over, perhaps by an error: what it has begun and not finished
        may be forgotten."""

    def all_reduce(self, arrays: Sequence[Any], mean: bool = False) -> list[Any]:
        """The sums (or means) over the replicas."""
        return self.finish(self.start(arrays, mean, False))


class ThreadCommunicator(Communicator):
    """Between the replicas of one process.

    Args:
        meeting: of all replicas.
        rank: this one's number.
        cross_device_ops: who makes the sums.
        compression: of the gradients on their way, or None.
        helper: runs functions on a thread of its own, which then reduces gradients while the
            replicas compute; None to leave it to those that wait.
    """

    def __init__(
        self,
        meeting: Meeting,
        rank: int,
        cross_device_ops: CrossDeviceOps,
        compression: str | None = None,
        helper: Callable[[Callable[[], None]], Any] | None = None,
    ):
        self.rank = rank
        self.size = meeting.size
        self._meeting = meeting
        self._ops = cross_device_ops
        self._compression = None if compression is None else Compression(compression)
        self._helper = helper
        self._since: dict[int, float] = {}  # when reductions began, for a timeline

    def start(
        self, arrays: Sequence[Any], mean: bool, compress: bool, own: Sequence[bool] = ()
    ) -> int:
        """See `Communicator.start`."""
        meeting = self._meeting
        dtypes = [a.dtype for a in arrays]
        number = meeting.posts[self.rank]
        meeting.posts[self.rank] = number + 1
        sent = [
            a if is_on_device(a) else np.ascontiguousarray(a) if a.ndim else np.asarray(a)
            for a in arrays
        ]
        if compress and self._compression is not None:
            sent = self._compression.compress(number, sent)
        if current_timeline() is not None:
            self._since[number] = time.perf_counter()
        with meeting.condition:
            work = meeting.works.get(number)
            if work is None:
                work = meeting.works[number] = _Work(meeting.size, self._ops, mean)
            mine = [
                a if o and a is s else None for a, s, o in zip(arrays, sent, own, strict=False)
            ]
            ready = work.post(self.rank, sent, dtypes, mine, meeting)
        if ready and compress and self._helper is not None:
            self._helper(functools.partial(_help, work.sum, meeting))
        return number

    def finish(self, number: int) -> list[Any]:
        """See `Communicator.finish`."""
        meeting = self._meeting
        work = meeting.works[number]
        what = f"all-reduce {number} of the step"
        with recorded("waiting", what, self.rank):
            with meeting.condition:
                meeting.wait_until(self.rank, what, lambda: work.sum is not None)
            _help(work.sum, meeting)
            with meeting.condition:
                meeting.wait_until(self.rank, what, lambda: work.sum.done)
                work.taken += 1
                if work.taken == self.size:
                    del meeting.works[number]
        timeline, since = current_timeline(), self._since.pop(number, None)
        if timeline is not None and since is not None:
            timeline.add("communication", what, self.rank, since, time.perf_counter())
        return work.sum.results_of(self.rank)

    def all_gather(self, array: Any, axis: int) -> Any:
        """See `Communicator.all_gather`."""

        def join(arrays: list[Any]) -> list[Any]:
            if not any(map(is_on_device, arrays)):
                return [np.concatenate(arrays, axis)] * self.size
            joined = []
            for own in arrays:
                with beside(own):
                    parts = [moved(a, place_of(own)) for a in arrays]
                    joined.append(array_module(own).concatenate(parts, axis))
            return joined

        return self._meeting.meet(self.rank, "all_gather", array, join)

    def broadcast(self, arrays: Sequence[Any]) -> list[Any]:
        """See `Communicator.broadcast`."""

        def first(given: list[Any]) -> list[Any]:
            return [list(given[0])] * self.size

        found = self._meeting.meet(self.rank, "broadcast", list(arrays), first)
        return [moved(a, place_of(own)) for a, own in zip(found, arrays, strict=True)]

    def meet(self, what: str) -> None:
        """See `Communicator.meet`."""
        self._meeting.meet(self.rank, what, None, lambda given: given)


def _help(total: Any, meeting: Meeting) -> None:
    """Take part in a sum, and tell those that wait when it is made, or fails."""
    try:
        last = total.help()
    except BaseException as error:
        with meeting.condition:
            if any(work.sum is total for work in meeting.works.values()):
                meeting.abort(error)
        raise
    if last:
        with meeting.condition:
            meeting.condition.notify_all()


class _Work:
    """A reduction that the replicas post their arrays to, one after the other."""

    def __init__(self, size: int, ops: CrossDeviceOps, mean: bool):
        self._ops = ops
        self._mean = mean
        self._posted: list[Any] = [None] * size
        self._outs: Any = None
        self._left = size
        self.sum: Any = None
        self.taken = 0

    def post(
        self, rank: int, arrays: list[Any], dtypes: list[Any], own: list[Any], meeting: Meeting
    ) -> bool:
        """Take one replica's arrays; whether they were the last, so that a sum can be made.

        Args:
            rank: of the replica.
            arrays: what travels.
            dtypes: of the results.
            own: where results may be written, or None for each.
            meeting: of the replicas.
        """
        self._posted[rank] = arrays
        if rank == 0:
            self._outs = own
        self._left -= 1
        if self._left:
            return False
        try:
            check_alike(self._posted, "all_reduce")
            shared = isinstance(self._ops, SharedMemoryAllReduce)
            if shared:
                self.sum = SharedSum(self._posted, dtypes, self._mean, self._outs)
            else:
                self.sum = _ByOne(self._posted, dtypes, self._mean)
                self.sum.ops = self._ops
        except InvalidArgumentError as error:
            meeting.abort(error)
            raise
        self._posted, self._outs = [], None
        meeting.condition.notify_all()
        return True


class _ByOne:
    """A reduction that one replica makes for all, by cross-device operations of the user."""

    def __init__(self, by_replica: Sequence[Any], dtypes: Sequence[Any], mean: bool):
        self.ops: Any = None
        self._columns = list(zip(*by_replica, strict=True))
        self._dtypes, self._mean = dtypes, mean
        self._results: list[list[Any]] = []  # of every array, for every replica
        self._begun: list[bool] = []
        self.done = False

    def help(self) -> bool:
        """Compute it, if no other replica does; whether this one did."""
        self._begun.append(True)
        if len(self._begun) > 1:  # `append` is atomic: a later one sees the earlier
            return False
        for column, dtype in zip(self._columns, self._dtypes, strict=True):
            totals = self.ops.combine([_cast(a, dtype) for a in column])
            if self._mean:
                share = dtype.type(len(column))
                totals = [_divided(total, share) for total in totals]
            self._results.append([t if is_on_device(t) else np.asarray(t) for t in totals])
        self.done = True
        return True

    def results_of(self, rank: int) -> list[Any]:
        """A replica's results."""
        return [totals[rank] for totals in self._results]


def _cast(array: Any, dtype: Any) -> Any:
    if not is_on_device(array):
        return np.asarray(array, dtype)
    with beside(array):
        return array.astype(dtype, copy=False)


def _divided(total: Any, share: Any) -> Any:
    with beside(total):
        return total / share
