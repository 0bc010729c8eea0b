"""Ledger: who has what in a data service: datasets, workers, jobs, their tasks and splits.

Plain data and rules, without Ray and without a clock: the dispatcher's actor calls it, and
what was called, called again on a fresh ledger, gives the same ledger, which is how a
dispatcher that died is brought back (`MUTATIONS`).

A *job* is one iteration over a dataset; a *task* is a worker's part in it.  A task makes
*chunks* of elements, numbered from 0, the same ones whoever runs it and however often: with
`settle`, the first to decide something about a task decides it for good, and `split` gives a
task the same splits again.  A consumer that has a job for itself asks each task for its chunks
in turn.  Consumers that share a job are given chunks by `lease`, each to one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...ops.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from .saving import SaveTerms
from .sharding import ShardingPolicy

__all__ = ["MUTATIONS", "JobTerms", "Ledger", "StoredDataset", "Task"]

MUTATIONS = frozenset(
    ("register_dataset", "register_worker", "open_job", "split", "lease", "settle", "finish",
     "lose_worker", "retire_worker", "close_job", "begin_save", "end_save")
)  # fmt: skip


@dataclass(frozen=True)
class StoredDataset:
    """A dataset as it was registered.

    Attributes:
        data: the shipped plan.
        fingerprint: the same for equal plans.
        spec: its elements' nested specs.
        cardinality: its number of elements.
        splits: of each source, how many splits it has; or why it has none, as text.
        notes: its stages, and how their functions travel.
    """

    data: bytes
    fingerprint: int
    spec: Any
    cardinality: int
    splits: tuple[int, ...] | str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobTerms:
    """What consumers of one job must agree about.

    Attributes:
        dataset_id: which dataset.
        policy: how it is sharded.
        num_consumers: of coordinated reads, else 0.
        cached: whether trainers share what workers made (`CrossTrainerCache`).
        target: which workers to read from.
    """

    dataset_id: str
    policy: ShardingPolicy
    num_consumers: int = 0
    cached: bool = False
    target: str = "AUTO"


@dataclass
class Task:
    """A worker's part in a job.

    Attributes:
        id: unique in the service.
        job: the job's id.
        worker: who runs it, by name.
        index, num_shards: which shard, where shards are static.
        end: how many chunks it makes, once that is known.
        settled: what has been decided for good.
        splits: for (source, repetition), the splits it was given.
        leased: chunks given out to consumers.
    """

    id: str
    job: str
    worker: str
    index: int
    num_shards: int
    end: int | None = None
    settled: dict[str, Any] = field(default_factory=dict)
    splits: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    leased: int = 0


@dataclass
class _Job:
    id: str
    terms: JobTerms
    tasks: list[str] = field(default_factory=list)
    consumers: set[str] = field(default_factory=set)
    given: dict[tuple[int, int], int] = field(default_factory=dict)
    replies: dict[str, tuple[int, list[tuple[str, int]]]] = field(default_factory=dict)
    closed: bool = False


@dataclass
class _Worker:
    name: str
    node: str
    max_restarts: int
    starts: int = 0
    alive: bool = True


class Ledger:
    """The books of one data service.

    Args:
        worker_addresses: the workers among which static shards are cut, in that order; those
            that are there when a job is opened if empty.
    """

    def __init__(self, worker_addresses: tuple[str, ...] = ()):
        self.worker_addresses = worker_addresses
        self.datasets: dict[str, StoredDataset] = {}
        self.workers: dict[str, _Worker] = {}
        self.jobs: dict[str, _Job] = {}
        self.tasks: dict[str, Task] = {}
        self.saves: dict[str, SaveTerms] = {}  # by path; those under way
        self._by_content: dict[int, str] = {}
        self._numbers = 0

    # -- datasets and workers ---------------------------------------------------------------

    def register_dataset(self, dataset: StoredDataset, dataset_id: str | None) -> str:
        """The id of the dataset: `dataset_id`, or that of an equal one, or a new one.

        Raises:
            InvalidArgumentError: the id belongs to a dataset of other elements.
        """
        if dataset_id is None:
            dataset_id = self._by_content.get(dataset.fingerprint)
            if dataset_id is None:
                dataset_id = str(1000 + len(self.datasets))
                self._by_content[dataset.fingerprint] = dataset_id
        known = self.datasets.get(dataset_id)
        if known is not None and repr(known.spec) != repr(dataset.spec):
            raise InvalidArgumentError(
                f"dataset_id {dataset_id!r} belongs to a dataset of elements {known.spec!r}, "
                f"and this one's are {dataset.spec!r}; choose another id"
            )
        if known is None:
            self.datasets[dataset_id] = dataset
        return dataset_id

    def dataset(self, dataset_id: str) -> StoredDataset:
        """The dataset of that id.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return self.datasets[dataset_id]
        except KeyError:
            known = ", ".join(sorted(self.datasets)) or "none"
            raise NotFoundError(
                f"Dataset id {dataset_id} not found. It must be registered with "
                f"`register_dataset` at this dispatcher first (registered: {known})"
            ) from None

    def register_worker(self, name: str, node: str, max_restarts: int) -> None:
        """Worker `name` has started, for the first time or again."""
        worker = self.workers.setdefault(name, _Worker(name, node, max_restarts))
        worker.starts += 1
        if worker.starts > 1 and worker.alive:
            return  # it has its tasks
        worker.alive, worker.node = True, node
        for job in self.jobs.values():
            if not (job.closed or job.terms.policy.is_static or job.terms.num_consumers):
                self._add_task(job, name, 0, 1)

    def living(self) -> list[str]:
        """The workers that tasks can be given to, in the order they came."""
        return [w.name for w in self.workers.values() if w.alive]

    def retire_worker(self, name: str) -> None:
        """Worker `name` gets no more tasks: it is stopped."""
        if name in self.workers:
            self.workers[name].alive = False

    def lose_worker(self, name: str, cause: str) -> None:
        """Worker `name` is dead for good: others take its tasks over.

        Raises:
            UnavailableError: there is no other.
        """
        worker = self.workers.get(name)
        if worker is not None:
            worker.alive = False
        left = self.living()
        orphans = [t for t in self.tasks.values() if t.worker == name and t.end is None]
        if orphans and not left:
            starts = worker.starts if worker is not None else 0
            most = worker.max_restarts if worker is not None else 0
            raise UnavailableError(
                f"worker {name} of the data service died {starts} times, which is more often "
                f"than it is restarted (max_restarts={most}), and no other worker is left to "
                f"take its tasks over; the last cause: {cause}; see the worker's log, or start "
                "another WorkerServer"
            )
        for number, task in enumerate(orphans):
            task.worker = left[number % len(left)]

    # -- jobs ---------------------------------------------------------------------------------

    def open_job(self, key: str | None, terms: JobTerms, consumer: str) -> str | None:
        """The id of the job `key` (a new one of its own for None), which `consumer` reads; or
        None while there are no workers.

        Raises:
            InvalidArgumentError: the job exists under other terms, or cannot be cut like that.
        """
        job_id = key if key is not None else f"job-{self._number()}"
        job = self.jobs.get(job_id)
        if job is None:
            dataset = self.dataset(terms.dataset_id)
            if terms.policy is ShardingPolicy.DYNAMIC and isinstance(dataset.splits, str):
                raise InvalidArgumentError(dataset.splits)
            workers = self._workers_for(terms)
            if not workers:
                return None
            job = self.jobs[job_id] = _Job(job_id, terms)
            for index, name in enumerate(workers):
                self._add_task(job, name, index, len(workers))
        elif job.terms != terms:
            raise InvalidArgumentError(
                f"Tried to create job with name {key!r}, but found an existing job with "
                f"different parameters: {terms} against {job.terms}; choose another job_name"
            )
        job.consumers.add(consumer)
        return job_id

    def _workers_for(self, terms: JobTerms) -> list[str]:
        living = self.living()
        if not (terms.policy.is_static and self.worker_addresses):
            return living
        wanted = list(self.worker_addresses)
        return wanted if set(wanted) <= set(living) else []

    def _add_task(self, job: _Job, worker: str, index: int, num_shards: int) -> None:
        task = Task(f"{job.id}/task-{self._number()}", job.id, worker, index, num_shards)
        self.tasks[task.id] = task
        job.tasks.append(task.id)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def job_tasks(self, job_id: str) -> list[tuple[str, str, str, int | None]]:
        """(id, worker, the worker's machine, number of chunks if known) of each task."""
        job = self._job(job_id)
        return [
            (t.id, t.worker, self.workers[t.worker].node, t.end)
            for t in map(self.tasks.__getitem__, job.tasks)
        ]

    def task_terms(self, task_id: str) -> tuple[Task, JobTerms, bytes]:
        """What a worker needs to run a task.

        Raises:
            NotFoundError: the job is closed.
        """
        task = self._task(task_id)
        terms = self.jobs[task.job].terms
        return task, terms, self.datasets[terms.dataset_id].data

    def close_job(self, job_id: str, consumer: str | None) -> list[tuple[str, str]]:
        """`consumer` (None: every one) has done reading; (task, worker) of the tasks that are
        over with that."""
        job = self.jobs.get(job_id)
        if job is None or job.closed:
            return []
        if consumer is None:
            job.consumers.clear()
        job.consumers.discard(consumer or "")
        shared = not job.id.startswith("job-")
        over = all(self.tasks[t].end is not None for t in job.tasks)
        if job.consumers or (shared and not over and consumer is not None):
            return []
        job.closed = True
        gone = [(t, self.tasks.pop(t).worker) for t in job.tasks]
        job.tasks.clear()
        if not shared:
            del self.jobs[job_id]  # a shared one is remembered: it has been read
        return gone

    def _job(self, job_id: str) -> _Job:
        try:
            return self.jobs[job_id]
        except KeyError:
            raise NotFoundError(
                f"the data service knows no job {job_id}: it was closed, or the dispatcher was "
                "started anew; iterate over the dataset again"
            ) from None

    def _task(self, task_id: str) -> Task:
        try:
            return self.tasks[task_id]
        except KeyError:
            raise NotFoundError(
                f"the data service knows no task {task_id}: its job was closed; iterate over "
                "the dataset again"
            ) from None

    # -- saves --------------------------------------------------------------------------------

    def begin_save(self, terms: SaveTerms) -> None:
        """A dataset is being saved from now on.

        Raises:
            AlreadyExistsError: something is being saved there.
        """
        if terms.path in self.saves:
            raise AlreadyExistsError(
                f"{terms.path}; a dataset is being saved there by this data service; choose "
                "another path"
            )
        self.saves[terms.path] = terms

    def end_save(self, terms: SaveTerms) -> None:
        """It is saved, or will not be."""
        if self.saves.get(terms.path) == terms:  # and not by then another
            del self.saves[terms.path]

    # -- tasks --------------------------------------------------------------------------------

    def split(self, task_id: str, source: int, repetition: int, number: int) -> int | None:
        """See `sharding.SplitGiver`."""
        task = self._task(task_id)
        job = self.jobs[task.job]
        mine = task.splits.setdefault((source, repetition), [])
        if number < len(mine):
            return mine[number]
        splits = self.datasets[job.terms.dataset_id].splits
        assert not isinstance(splits, str) and number == len(mine)
        given = job.given.get((source, repetition), 0)
        if given >= splits[source]:
            return None
        job.given[source, repetition] = given + 1
        mine.append(given)
        return given

    def settle(self, task_id: str, what: str, value: Any) -> Any:
        """`value`, or what was settled first."""
        return self._task(task_id).settled.setdefault(what, value)

    def lease(
        self, job_id: str, consumer: str, request: int, count: int
    ) -> list[tuple[str, int]]:
        """Up to `count` (task, chunk number) that nobody else gets, none where all tasks are
        known to have ended; the same ones again for the same request of a consumer."""
        job = self._job(job_id)
        known = job.replies.get(consumer)
        if known is not None and known[0] == request:
            return known[1]
        leases = []
        for _ in range(count):
            open_tasks = [t for t in map(self.tasks.__getitem__, job.tasks) if t.end is None]
            if not open_tasks:
                break
            task = min(open_tasks, key=lambda t: t.leased)
            leases.append((task.id, task.leased))
            task.leased += 1
        job.replies[consumer] = request, leases
        return leases

    def finish(self, task_id: str, chunks: int) -> None:
        """The task has made all its chunks, so many."""
        if task_id in self.tasks:
            self.tasks[task_id].end = chunks
