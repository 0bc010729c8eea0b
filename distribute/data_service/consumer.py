"""The consumer: a source whose elements the workers of a data service make.

It keeps some requests in flight at every worker (`max_outstanding_requests` in all), which is
what workers are pushed back by.  Chunks of one worker are delivered in their order; which
worker's comes next is whose is there first, except in coordinated reads, where rounds go by
turns.

A request that fails because a worker died is made again, to that worker started anew or to who
took its task over, with the position behind the last chunk delivered: nothing is lost or comes
twice.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from typing import Any

import numpy as np

from ...data.block import Block
from ...data.caught import Caught
from ...data.node import INFINITE, UNKNOWN, Node
from ...data.stage import Context, Stage, State
from ...data.transforms.shuffle import Epochs
from ...ops.errors import (
    CancelledError,
    DeadlineExceededError,
    FailedPreconditionError,
    UnavailableError,
    UnimplementedError,
)
from .dispatcher import Dispatcher
from .ledger import JobTerms
from .running import Chunk, Hint
from .shipping import unpack_error

__all__ = ["DataServiceNode"]

WORKERS_WAIT_S = 60.0
CONSUMERS_WAIT_S = 300.0
_BEAT_S, _LOOK_S = 0.5, 0.2
_PER_TASK = 3
_MOST_STRIKES = 50
_UNSAVEABLE = (
    "the position in a data service cannot be saved: its elements come in the order in which "
    "workers are done; save the position of the dataset before distribute(), or put the "
    "elements into files first (Dataset.save(..., runner='ray'))"
)


@dataclasses.dataclass(frozen=True, eq=False)
class DataServiceNode(Node):
    """The elements of a registered dataset, made by workers.

    Attributes:
        address: the dispatcher's.
        terms: of the job.
        spec: of the elements.
        job_name: of a job that several consumers share, or None.
        consumer_index: this one's number in coordinated reads, or None.
        max_outstanding_requests: in flight at most; None for the engine's choice.
        trainer: whom chunks kept for several trainers are given to, or None.
        dataset_cardinality: of the dataset, as it was registered.
        notes: the stages, and how their functions travel.
        iterations: numbers the iterations; each has a job of its own.
    """

    address: str
    terms: JobTerms = dataclasses.field(repr=False)
    spec: Any = dataclasses.field(repr=False)
    job_name: str | None
    consumer_index: int | None
    max_outstanding_requests: int | None
    trainer: str | None
    dataset_cardinality: int = dataclasses.field(repr=False)
    notes: tuple[str, ...] = dataclasses.field(repr=False)
    iterations: Epochs = dataclasses.field(default_factory=Epochs, repr=False)
    unsaveable = _UNSAVEABLE

    def _element_spec(self) -> Any:
        return self.spec

    def _cardinality(self) -> int:
        # As in tf.data: how many copies or shards come depends on the workers.
        return INFINITE if self.dataset_cardinality == INFINITE else UNKNOWN

    def describe(self) -> str:
        """The label, the policy, the address and the job's name."""
        named = f", job_name={self.job_name!r}" if self.job_name else ""
        return f"{self.label}({self.terms.policy.name}, {self.address}{named})"

    def remarks(self) -> list[str]:
        """What the workers run."""
        return ["On the workers of the data service (rules are applied there):",
                *(f"  {line}" for line in self.notes)]  # fmt: skip

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _DataServiceStage(self, context)


class _Reader:
    """What is asked of one task: (chunk number, reference to the reply), in order."""

    def __init__(self, task: str, worker: str):
        self.task = task
        self.worker = worker
        self.handle: Any = None
        self.asked: deque[tuple[int, Any]] = deque()
        self.next = 0
        self.behind: Hint | None = None  # the position behind what was delivered last
        self.rows: Block | None = None  # of coordinated reads: not delivered yet
        self.ended = False
        self.strikes = 0


class _DataServiceStage(Stage):
    node: DataServiceNode

    def __init__(self, node: DataServiceNode, context: Context):
        super().__init__(node, (), context)
        self.pure = True
        self._dispatcher: Dispatcher | None = None
        self._ready: Block | None = None
        self._more: deque[Block] = deque()  # of the chunk at hand, behind `_ready`
        self._reset()

    def _reset(self) -> None:
        self._job = ""
        self._name = ""
        self._readers: dict[str, _Reader] = {}
        self._leases = 0
        self._all_leased = False
        self._turn = 0
        self._beat: Any = None
        self._beaten = self._began = time.monotonic()
        self._waited_s = 0.0
        self._missing_since: float | None = None
        self._over = False

    # -- delivering --------------------------------------------------------------------------

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if self._ready is None and self._more:
            self._ready = self._more.popleft()
        if self._ready is None:
            if self._over:
                return None
            if not self._job:
                self._open()
            if self.node.consumer_index is not None:
                self._ready = self._round()
            else:
                self._ready = self._chunk()
            if self._ready is None:
                self._over = True
                self._release_job()
                return None
        block = self._ready
        if block.num_rows > max_rows:
            block, self._ready = block[:max_rows], block[max_rows:]
        else:
            self._ready = None
        return block

    def _chunk(self) -> Block | None:
        """The rows of the next chunk of any task; None behind the last."""
        while True:
            self._ask()
            waiting = [r for r in self._readers.values() if r.asked]
            if not waiting:
                if self._more_tasks():
                    continue
                return None
            reader, chunk = self._await(waiting)
            if chunk is None:
                continue
            if chunk.ended:
                self._end(reader, chunk)
                continue
            block = self._taken(reader, chunk)
            if block is not None:
                return block

    def _taken(self, reader: _Reader, chunk: Chunk) -> Block | None:
        reader.behind = chunk.after
        block = None
        if chunk.rows:
            blocks = [Block(list(c), n, self.structure) for c, n in chunk.parts if n]
            block, *more = blocks
            self._more.extend(more)
        if chunk.error is not None:
            error: Any = unpack_error(chunk.error)
            if not isinstance(error, Exception):
                raise error
            if block is None:
                raise error
            self._raise_later(Caught(error))
        return block

    def _round(self) -> Block | None:
        """One row of each task in turn, for as many rounds as are there."""
        while True:
            self._ask()
            readers = list(self._readers.values())
            lacking = [r for r in readers if r.rows is None]
            if any(r.ended for r in lacking):
                raise FailedPreconditionError(
                    "a worker of a coordinated read has no more elements: datasets that are "
                    "read in rounds must be endless; add repeat() behind the last stage that "
                    "could end"
                )
            if not lacking:
                break
            reader, chunk = self._await(lacking)
            if chunk is None:
                continue
            if chunk.missing:
                self._check_missing(chunk)
                reader.asked.appendleft((chunk.number, self._request(reader, chunk.number)))
                continue
            self._missing_since = None
            if chunk.ended:
                reader.ended = True
                continue
            reader.rows = self._taken(reader, chunk)
        rows = [r.rows for r in readers if r.rows is not None]
        count = min(b.num_rows for b in rows)
        order = np.arange(count * len(rows)).reshape(len(rows), count).T.ravel()
        block = Block.concat([b[:count] for b in rows]).take(order)
        for reader, b in zip(readers, rows, strict=True):
            reader.rows = b[count:] if b.num_rows > count else None
        return block

    def _check_missing(self, chunk: Chunk) -> None:
        now = time.monotonic()
        if self._missing_since is None:
            self._missing_since = now
        elif now - self._missing_since > CONSUMERS_WAIT_S:
            raise DeadlineExceededError(
                f"consumers {list(chunk.missing)} of job {self.node.job_name!r} have not read "
                f"on for {CONSUMERS_WAIT_S:g} s; in a coordinated read all "
                f"{self.node.terms.num_consumers} consumers must read"
            )

    # -- asking ------------------------------------------------------------------------------

    def _open(self) -> None:
        node = self.node
        if self._dispatcher is None:
            self._dispatcher = Dispatcher(node.address)
        self._reset()
        number = node.iterations.begin()
        key = None if node.job_name is None else f"{node.job_name}/{number}"
        self._name = f"consumer-{np.random.SeedSequence().entropy:x}"
        end = time.monotonic() + WORKERS_WAIT_S
        while True:
            job = self._dispatcher("open_job", key, node.terms, self._name)
            if job is not None:
                break
            if time.monotonic() > end:
                raise UnavailableError(
                    f"no worker registered with the dispatcher at {node.address!r} in "
                    f"{WORKERS_WAIT_S:g} s (or not all of its worker_addresses); start a "
                    "hr.data.experimental.service.WorkerServer"
                )
            self._pause(0.1)
        self._job = job
        self._take_tasks(self._dispatcher("job_tasks", job))

    def _take_tasks(self, tasks: list[tuple[str, str, str, int | None]]) -> None:
        assert self._dispatcher is not None
        here = None
        if self.node.terms.target == "LOCAL":
            here = self._dispatcher.ray.get_runtime_context().get_node_id()
        for task, worker, machine, end in tasks:
            if here is not None and machine != here:
                continue
            reader = self._readers.get(task)
            if reader is None:
                if end is not None and self.node.job_name is not None:
                    continue
                reader = self._readers[task] = _Reader(task, worker)
            if reader.handle is None or reader.worker != worker:
                reader.worker = worker
                reader.handle = self._handle(worker)
        if here is not None and not self._readers:
            raise UnavailableError(
                f"target_workers is 'LOCAL', but no worker of {self.node.address!r} runs on "
                "this machine; start one here, or use 'ANY'"
            )

    def _handle(self, worker: str) -> Any:
        from ..ray_cluster import actor_named

        assert self._dispatcher is not None
        return actor_named(self._dispatcher.ray, worker)

    def _more_tasks(self) -> bool:
        """Whether there are tasks that have not been read, which may have come meanwhile."""
        assert self._dispatcher is not None
        if self.node.job_name is not None and not self._all_leased:
            return True
        known = len(self._readers)
        self._take_tasks(self._dispatcher("job_tasks", self._job))
        if len(self._readers) > known:
            self._all_leased = False
            return True
        return False

    @property
    def _shares(self) -> bool:
        """Whether chunks are leased, as others read the same job."""
        node = self.node
        return node.job_name is not None and node.consumer_index is None and not node.trainer

    def _ask(self) -> None:
        """Keep requests in flight at all tasks."""
        self._heartbeat()
        readers = [r for r in self._readers.values() if not r.ended]
        limit = self._most_asked
        if self._shares:
            self._lease(limit - sum(len(r.asked) for r in readers))
            return
        for reader in readers:
            # A trainer is given what comes next, to whichever of its requests is first.
            share = 1 if self.node.trainer is not None else max(1, limit // len(readers))
            while len(reader.asked) < share:
                reader.asked.append((reader.next, self._request(reader, reader.next)))
                reader.next += 1

    @property
    def _most_asked(self) -> int:
        """Requests in flight, at most."""
        most = self.node.max_outstanding_requests
        wanted = _PER_TASK * max(1, sum(not r.ended for r in self._readers.values()))
        return wanted if most is None else min(wanted, most)

    def _lease(self, count: int) -> None:
        if count < 1 or self._all_leased:
            return
        assert self._dispatcher is not None
        self._leases += 1
        leases = self._dispatcher("lease", self._job, self._name, self._leases, count)
        self._all_leased = not leases
        for task, number in leases:
            if task not in self._readers:
                self._take_tasks(self._dispatcher("job_tasks", self._job))
            reader = self._readers[task]
            reader.asked.append((number, self._request(reader, number)))

    def _request(self, reader: _Reader, number: int) -> Any:
        node = self.node
        if reader.handle is None:
            self._replace(reader, "it is not there any more")
        # Requests in flight may hold so many elements in all, as the argument promises.
        most = node.max_outstanding_requests
        rows = 1 << 16 if most is None else max(1, most // self._most_asked)
        hint = reader.behind if reader.strikes else None
        ask = reader.handle.ask.remote
        if node.trainer is not None:
            return ask("cached", reader.task, rows, node.trainer)
        if node.consumer_index is not None:
            return ask("share", reader.task, rows, number, node.consumer_index, hint)
        return ask("chunk", reader.task, rows, number, hint)

    # -- waiting -----------------------------------------------------------------------------

    def _await(self, readers: list[_Reader]) -> tuple[_Reader, Chunk | None]:
        """A reader and its next chunk; no chunk if that must be asked for again."""
        assert self._dispatcher is not None
        ray = self._dispatcher.ray
        errors = ray.exceptions
        self._turn += 1  # so that no worker is always looked at first
        first = self._turn % len(readers)
        readers = readers[first:] + readers[:first]
        heads = [r.asked[0][1] for r in readers]
        began = time.monotonic()
        ready, _ = ray.wait(heads, timeout=0)
        while not ready:
            self._check_stopping()
            self._heartbeat()
            ready, _ = ray.wait(heads, timeout=_LOOK_S)
        self._waited_s += time.monotonic() - began
        reader = readers[heads.index(ready[0])]
        try:
            chunk = ray.get(ready[0])
        except errors.RayError as error:
            self._ask_again(reader, error)
            return reader, None
        reader.strikes = 0
        reader.asked.popleft()
        if isinstance(chunk, bytes):
            raise unpack_error(chunk)
        return reader, chunk

    def _ask_again(self, reader: _Reader, error: Exception) -> None:
        assert self._dispatcher is not None
        reader.strikes += 1
        first = str(error).partition("\n")[0]
        if reader.strikes > _MOST_STRIKES:
            raise UnavailableError(
                f"worker {reader.worker} of the data service failed {reader.strikes} times in "
                f"a row: {first}"
            )
        if isinstance(error, self._dispatcher.ray.exceptions.ActorDiedError):
            self._replace(reader, str(error))
        else:
            self._pause(0.1)
        numbers = [number for number, _ in reader.asked]
        reader.asked = deque((n, self._request(reader, n)) for n in numbers)

    def _replace(self, reader: _Reader, cause: str) -> None:
        """Another worker for the task of one that is dead for good."""
        assert self._dispatcher is not None
        lost = reader.worker
        reader.handle = None
        self._take_tasks(self._dispatcher("job_tasks", self._job))
        if reader.worker == lost:
            lines = [line.strip() for line in cause.splitlines() if line.strip()]
            self._dispatcher("lose_worker", lost, " ".join(lines)[:500])
            reader.handle = None
            self._take_tasks(self._dispatcher("job_tasks", self._job))
        reader.strikes = max(reader.strikes, 1)

    def _end(self, reader: _Reader, chunk: Chunk) -> None:
        """The task has no chunks from `chunk.number` on."""
        assert self._dispatcher is not None
        if self._shares:
            self._dispatcher("finish", reader.task, chunk.number)
        else:
            reader.ended = True
            reader.asked.clear()
            self._dispatcher.later("finish", reader.task, chunk.number)

    def _heartbeat(self) -> None:
        """Now and then tell the dispatcher that this consumer lives, and how well it is fed."""
        assert self._dispatcher is not None
        ray = self._dispatcher.ray
        now = time.monotonic()
        if self._beat is not None:
            if not ray.wait([self._beat], timeout=0)[0]:
                return
            beat, self._beat = self._beat, None
            try:
                self._take_tasks(ray.get(beat))
            except ray.exceptions.RayError:
                pass  # whoever needs the dispatcher finds out
        if now - self._beaten > _BEAT_S:
            starved = min(1.0, self._waited_s / (now - self._beaten))
            self._beat = self._dispatcher.beat(self._job, self._name, starved)
            self._beaten, self._waited_s = now, 0.0

    def _pause(self, seconds: float) -> None:
        self._check_stopping()
        self.context.stopping.wait(seconds)
        self._check_stopping()

    def _check_stopping(self) -> None:
        if self.context.stopping.is_set():
            raise CancelledError("the iterator was closed")

    # -- life --------------------------------------------------------------------------------

    def _release_job(self) -> None:
        if self._job and self._dispatcher is not None:
            self._dispatcher.later("close_job", self._job, self._name)
        self._job = ""
        self._readers = {}
        self._beat = None

    def _state(self) -> State:
        return {"data_service": self.node.address}

    def _restore(self, state: State) -> None:
        raise UnimplementedError(_UNSAVEABLE)

    def _restart(self) -> None:
        self._release_job()
        self._ready = None
        self._more.clear()
        self._over = False

    def _close(self) -> None:
        self._release_job()
        self._ready = None
        self._more.clear()
