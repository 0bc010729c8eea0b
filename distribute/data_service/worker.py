"""The worker: an actor that runs tasks, and `WorkerServer`, which starts it.

Ray restarts a worker that died, so many times; it then knows nothing any more and asks the
dispatcher about each task it is asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import threading
import time
from typing import Any, NamedTuple

from ...ops.errors import UnavailableError
from ..ray_cluster import NAMESPACE, connect, ray_module
from .dispatcher import Dispatcher, unwrapped
from .running import Chunk, RunningTask, plan_of_task
from .shipping import pack_error, unship

__all__ = ["WorkerConfig", "WorkerServer", "start_worker_actor"]

_THREADS = 64


class _Fields(NamedTuple):
    dispatcher_address: str
    worker_address: str | None
    port: int
    protocol: str | None
    heartbeat_interval_ms: int
    dispatcher_timeout_ms: int
    data_transfer_protocol: str | None
    data_transfer_address: str | None
    max_restarts: int


class WorkerConfig(_Fields):
    """How a worker is set up; TensorFlow's fields.

    Attributes:
        dispatcher_address: the dispatcher's, with or without ``ray://``.
        worker_address: a name of its own, for ``DispatcherConfig(worker_addresses=...)``.
        port, protocol, heartbeat_interval_ms, data_transfer_protocol, data_transfer_address:
            accepted for compatibility: Ray carries the messages and watches the processes.
        dispatcher_timeout_ms: how long to wait for the dispatcher (one minute).
        max_restarts: how often it is started anew when its process dies.  Headrace only.
    """

    __slots__ = ()

    def __new__(  # noqa: D102 - the class says it
        cls, dispatcher_address: str, worker_address: str | None = None, port: int = 0,
        protocol: str | None = None, heartbeat_interval_ms: int | None = None,
        dispatcher_timeout_ms: int | None = None, data_transfer_protocol: str | None = None,
        data_transfer_address: str | None = None, max_restarts: int = 3,
    ) -> WorkerConfig:  # fmt: skip
        return super().__new__(
            cls, dispatcher_address, worker_address, port, protocol,
            heartbeat_interval_ms or 30_000, dispatcher_timeout_ms or 60_000,
            data_transfer_protocol, data_transfer_address, max_restarts,
        )  # fmt: skip


class _TaskBooks:
    """The ledger as one task of this worker sees it."""

    def __init__(self, dispatcher: Dispatcher, task_id: str):
        self._dispatcher = dispatcher
        self._task = task_id

    def split(self, source: int, repetition: int, number: int) -> int | None:
        return self._dispatcher("split", self._task, source, repetition, number)

    def settle(self, what: str, value: Any) -> Any:
        return self._dispatcher("settle", self._task, what, value)


class _WorkerActor:
    """Runs in a process of its own; its methods on as many threads as are asked for."""

    def __init__(self, name: str, dispatcher_address: str, max_restarts: int):
        from ...ops import api  # noqa: F401  the primitives that graphs name

        self._dispatcher = Dispatcher(dispatcher_address)
        self._tasks: dict[str, RunningTask] = {}
        self._starting: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._writing: list[tuple[str, threading.Event]] = []
        ray = ray_module("the data service")
        node = ray.get_runtime_context().get_node_id()
        self._dispatcher("register_worker", name, node, max_restarts)

    def ask(self, kind: str, task: str, most_rows: int, *args: Any) -> Chunk | bytes:
        """The reply of `RunningTask.chunk`, `share` or `cached`; errors come packed."""
        try:
            return getattr(self._task(task, most_rows), kind)(*args)
        except Exception as error:
            return pack_error(error)

    def _task(self, task_id: str, most_rows: int) -> RunningTask:
        running = self._tasks.get(task_id)
        if running is not None:
            return running
        with self._lock:
            starting = self._starting.setdefault(task_id, threading.Lock())
        with starting:
            if task_id not in self._tasks:
                self._tasks[task_id] = self._started(task_id, most_rows)
        return self._tasks[task_id]

    def _started(self, task_id: str, most_rows: int) -> RunningTask:
        task, terms, data = self._dispatcher("task_terms", task_id)
        books = _TaskBooks(self._dispatcher, task_id)
        # The same ones when it is started again; shards of one whole must agree about it.
        drawn = random.Random(task.job if terms.policy.is_static else task_id)
        plan, options = unship(data, lambda: (drawn.getrandbits(63), drawn.getrandbits(63)))
        plan = plan_of_task(plan, terms, task.index, task.num_shards, books)
        return RunningTask(plan, options, books, task.settled, terms.num_consumers, most_rows)

    def save_shard(self, data: bytes, order: Any) -> int | bytes:
        """Write a shard of a plan (see `saving`); the number of its elements, or an error."""
        from ..sharded_save import write_shard

        off = threading.Event()
        writing = order.folder, off
        self._writing.append(writing)
        try:
            return write_shard(dataclasses.replace(order, data=data), off.is_set)
        except Exception as error:
            return pack_error(error)
        finally:
            self._writing.remove(writing)

    def leave_shards(self, path: str, but: str) -> None:
        """Stop writing what is being written below `path`, save in the folder `but`."""
        for folder, off in list(self._writing):
            if folder.startswith(path) and folder != but:
                off.set()

    def drop(self, task_id: str) -> None:
        """The task is over."""
        self._starting.pop(task_id, None)
        running = self._tasks.pop(task_id, None)
        if running is not None:
            running.close()

    def pid(self) -> int:
        """The process's number; answers once the worker has registered."""
        return os.getpid()

    def stop(self) -> None:
        """End the process, not to be restarted."""
        ray_module("the data service").actor.exit_actor()


def start_worker_actor(name: str, dispatcher_address: str, max_restarts: int) -> Any:
    """The handle of a new worker."""
    ray = ray_module("the data service")
    actor = ray.remote(num_cpus=0, max_restarts=max_restarts, max_concurrency=_THREADS,
                       scheduling_strategy="SPREAD")(_WorkerActor)  # fmt: skip
    return actor.options(name=name, namespace=NAMESPACE).remote(
        name, dispatcher_address, max_restarts
    )


class WorkerServer:
    """A worker, running until it is stopped, deleted or its process ends.

    Args:
        config: a `WorkerConfig`.
        start: whether to start it at once.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        UnavailableError: the dispatcher does not answer.
    """

    def __init__(self, config: WorkerConfig, start: bool = True):
        if not isinstance(config, WorkerConfig) or not config.dispatcher_address:
            raise ValueError(
                "Must specify a `dispatcher_address` in the `config` passed to `WorkerServer`."
            )
        self._config = config
        self._handle: Any = None
        if start:
            self.start()

    def start(self) -> None:
        """Start the actor and wait until it has registered; harmless when repeated."""
        if self._handle is not None:
            return
        self._ray = ray = connect("the data service", start=False)
        address = self._config.dispatcher_address.rpartition("://")[2]
        Dispatcher(address)  # says so if there is none
        name = self._config.worker_address or f"worker-{random.getrandbits(64):016x}"
        handle = start_worker_actor(name, address, self._config.max_restarts)
        try:
            ray.get(handle.pid.remote(), timeout=self._config.dispatcher_timeout_ms / 1000)
        except ray.exceptions.RayError as error:
            ray.kill(handle)
            first = str(unwrapped(error)).partition("\n")[0]
            raise UnavailableError(f"worker {name} could not start: {first}") from error
        self._handle = handle

    def join(self) -> None:
        """Wait until the worker has ended."""
        while self._handle is not None:
            try:
                self._ray.get(self._handle.pid.remote(), timeout=60)
            except self._ray.exceptions.ActorDiedError:
                return
            except self._ray.exceptions.RayError:
                pass  # it is being restarted
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop the worker; others take its tasks over."""
        handle, self._handle = self._handle, None
        if handle is not None and self._ray.is_initialized():
            self._ray.kill(handle)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of the process Ray may be gone
            self.stop()
