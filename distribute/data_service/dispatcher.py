"""The dispatcher: an actor around a `Ledger`, and `DispatchServer`, which starts it.

The actor journals what changes the ledger if it is to survive its own death
(``fault_tolerant_mode``), closes jobs whose consumers are gone, and, where asked to, starts and
stops workers so that consumers are fed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import threading
import time
from typing import Any, NamedTuple

from ...data.storage.library import Library
from ...ops.errors import InvalidArgumentError, UnavailableError
from ..ray_cluster import NAMESPACE, actor_named, connect, ray_module
from .ledger import MUTATIONS, Ledger
from .saving import SaveTerms, run_save

__all__ = ["DispatchServer", "Dispatcher", "DispatcherConfig", "unwrapped"]

_CALL_S = 60.0
_STARVED, _SATED = 0.3, 0.02
_PAUSE_S, _IDLE_S = 2.0, 10.0


class _Fields(NamedTuple):
    port: int
    protocol: str | None
    work_dir: str | None
    fault_tolerant_mode: bool
    worker_addresses: tuple[str, ...] | None
    job_gc_check_interval_ms: int
    job_gc_timeout_ms: int
    worker_timeout_ms: int
    worker_max_concurrent_snapshots: int
    autoscale: tuple[int, int] | None


class DispatcherConfig(_Fields):
    """How a dispatcher is set up; TensorFlow's fields.

    Attributes:
        port: the number it is found by; 0 for a free one.
        protocol: "ray" or None.
        work_dir: where it keeps its journal.
        fault_tolerant_mode: whether it goes on where it was after it died; needs `work_dir`.
        worker_addresses: the workers among which FILE, DATA and HINT shards are cut, in that
            order; by default those there are when a job begins.
        job_gc_check_interval_ms, job_gc_timeout_ms: how often it looks for jobs nobody reads,
            and for how long that must have been so (5 minutes).
        worker_timeout_ms, worker_max_concurrent_snapshots: accepted for compatibility.
        autoscale: (fewest, most) workers that the dispatcher starts and stops itself, as
            consumers of DYNAMIC jobs wait for elements or do not.  Headrace only.

    Raises:
        ValueError: fault tolerance without a `work_dir`; `autoscale` is no such pair.
    """

    __slots__ = ()

    def __new__(  # noqa: D102 - the class says it
        cls, port: int = 0, protocol: str | None = None, work_dir: str | None = None,
        fault_tolerant_mode: bool = False, worker_addresses: Any = None,
        job_gc_check_interval_ms: int | None = None, job_gc_timeout_ms: int | None = None,
        worker_timeout_ms: int | None = None, worker_max_concurrent_snapshots: int = 0,
        autoscale: tuple[int, int] | None = None,
    ) -> DispatcherConfig:  # fmt: skip
        if fault_tolerant_mode and not work_dir:
            raise ValueError(
                "Cannot enable fault tolerant mode without configuring a work dir. Make sure "
                "to set `work_dir` in the `config` object passed to `DispatcherServer`."
            )
        if autoscale is not None:
            fewest, most = autoscale
            if not 0 <= fewest <= most or most < 1:
                raise ValueError(
                    f"autoscale must be (fewest, most) workers with 0 <= fewest <= most and "
                    f"most >= 1, got {autoscale!r}"
                )
        return super().__new__(
            cls, port, protocol, work_dir, fault_tolerant_mode,
            tuple(worker_addresses or ()) or None, job_gc_check_interval_ms or 60_000,
            job_gc_timeout_ms or 300_000, worker_timeout_ms or 60_000,
            worker_max_concurrent_snapshots, autoscale,
        )  # fmt: skip


class _DispatcherActor:
    """Runs in a process of its own, one call at a time."""

    def __init__(self, address: str, config: DispatcherConfig):
        self._address = address
        self._config = config
        self._ledger = Ledger(config.worker_addresses or ())
        self._seen: dict[str, float] = {}
        self._looked = time.monotonic()
        self._journal: Any = None
        self._own: dict[str, Any] = {}  # workers that it started itself
        self._scaled = self._needed = time.monotonic()
        if config.fault_tolerant_mode:
            self._replay(os.path.join(config.work_dir or "", "dispatcher.journal"))
        for terms in self._ledger.saves.values():  # which died with the one before
            self._start_save(terms)

    def _replay(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._journal = open(path, "a+b")
        self._journal.seek(0)
        while True:
            whole = self._journal.tell()
            try:
                name, args = pickle.load(self._journal)
            except Exception:  # its last entry was being written
                break
            with contextlib.suppress(Exception):  # what was refused is refused again
                getattr(self._ledger, name)(*args)
        self._journal.truncate(whole)
        self._journal.seek(whole)

    def do(self, name: str, *args: Any) -> Any:
        """The result of a method of the ledger."""
        if name in MUTATIONS and self._journal is not None:
            pickle.dump((name, args), self._journal)
            self._journal.flush()
        result = getattr(self._ledger, name)(*args)
        if name == "close_job":
            self._drop(result)
        return result

    def beat(self, job_id: str, consumer: str, starved: float) -> list[Any]:
        """`consumer` is alive and waited for `starved` of its time; the job's tasks."""
        now = time.monotonic()
        self._seen[job_id] = now
        if now - self._looked > self._config.job_gc_check_interval_ms / 1000:
            self._looked = now
            for job in list(self._ledger.jobs.values()):
                last = self._seen.setdefault(job.id, now)
                if not job.closed and now - last > self._config.job_gc_timeout_ms / 1000:
                    self.do("close_job", job.id, None)
        if self._config.autoscale is not None:
            self._scale(starved, now)
        return self._ledger.job_tasks(job_id)

    def save(self, terms: SaveTerms) -> None:
        """Begin to save a dataset."""
        if self._journal is None:
            raise InvalidArgumentError(
                "distributed_save needs a dispatcher that is fault tolerant: "
                "DispatcherConfig(work_dir=..., fault_tolerant_mode=True)"
            )
        earlier = self._ledger.saves.get(terms.path)
        if earlier is not None and Library(terms.path).failure() is not None:
            self.do("end_save", earlier)
        self.do("begin_save", terms)
        self._start_save(terms)

    def _start_save(self, terms: SaveTerms) -> None:
        threading.Thread(
            target=run_save, args=(self._address, terms), name="headrace-save", daemon=True
        ).start()

    def start_own_workers(self) -> None:
        """As many as there always are."""
        if self._config.autoscale is not None:
            while len(self._own) < max(1, self._config.autoscale[0]):
                self._start_one()

    def _drop(self, tasks: list[tuple[str, str]]) -> None:
        ray = ray_module("the data service")
        for task, worker in tasks:
            handle = actor_named(ray, worker)
            if handle is not None:
                handle.drop.remote(task)

    def _scale(self, starved: float, now: float) -> None:
        fewest, most = self._config.autoscale or (0, 0)
        if starved > _SATED:
            self._needed = now
        if now - self._scaled < _PAUSE_S:
            return
        if starved > _STARVED and len(self._own) < most:
            self._scaled = now
            self._start_one()
        elif now - self._needed > _IDLE_S and len(self._own) > max(1, fewest):
            self._scaled = now
            busy = {t.worker for t in self._ledger.tasks.values()}
            for name, handle in list(self._own.items())[::-1]:
                if name not in busy:
                    self.do("retire_worker", name)
                    del self._own[name]
                    handle.stop.remote()
                    break

    def _start_one(self) -> None:
        from .worker import start_worker_actor

        name = f"{self._address}/own-{len(self._own)}-{random.getrandbits(32):08x}"
        self._own[name] = start_worker_actor(name, self._address, 3)

    def workers(self) -> list[str]:
        """Names of the living workers."""
        return self._ledger.living()


def unwrapped(error: Exception) -> Exception:
    """The error itself that an actor's method raised."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error


def _port_of(address: str) -> str:
    return address.rpartition(":")[2]


def dispatcher_name(address: str) -> str:
    """The actor's name for an address ``host:port``: a Ray cluster has one of each port."""
    return f"dispatcher:{_port_of(address)}"


class Dispatcher:
    """A connection to the dispatcher at `address`, by which any thread may call.

    Raises:
        UnavailableError: there is none.
    """

    def __init__(self, address: str, start: bool = False):
        self.address = address
        self.ray = connect("the data service", start)
        handle = actor_named(self.ray, dispatcher_name(address))
        if handle is None:
            raise UnavailableError(
                f"no dispatcher of the data service answers at {address!r}: it has been "
                "stopped, or is of another Ray cluster; start one with "
                "hr.data.experimental.service.DispatchServer and give its `target`"
            )
        self._handle = handle

    def __call__(self, name: str, *args: Any) -> Any:
        """The result of a method of the ledger."""
        return self._called("do", name, *args)

    def beat(self, job_id: str, consumer: str, starved: float) -> Any:
        """A reference to the reply of `_DispatcherActor.beat`."""
        return self._handle.beat.remote(job_id, consumer, starved)

    def save(self, terms: SaveTerms) -> None:
        """Have a dataset saved; returns when that has begun."""
        self._called("save", terms)

    def start_own_workers(self) -> None:
        """Start the workers that the dispatcher itself is to start."""
        self._called("start_own_workers")

    def later(self, name: str, *args: Any) -> None:
        """Call a method of the ledger without waiting for it."""
        if self.ray.is_initialized():
            self._handle.do.remote(name, *args)

    def _called(self, method: str, *args: Any) -> Any:
        errors = self.ray.exceptions
        end = time.monotonic() + _CALL_S
        while True:
            try:
                reply = getattr(self._handle, method).remote(*args)
                return self.ray.get(reply, timeout=_CALL_S)
            except errors.ActorUnavailableError as error:  # it is being restarted
                if time.monotonic() > end:
                    raise self._gone(error) from None
                time.sleep(0.2)
            except (errors.RayActorError, errors.GetTimeoutError) as error:
                handle = actor_named(self.ray, dispatcher_name(self.address))
                if handle is None or handle == self._handle:
                    raise self._gone(error) from None
                self._handle = handle  # another was started in its place
            except errors.RayTaskError as error:
                raise unwrapped(error) from None

    def _gone(self, error: Exception) -> UnavailableError:
        first = str(error).partition("\n")[0]
        return UnavailableError(
            f"the dispatcher of the data service at {self.address!r} does not answer: {first}; "
            "start it anew and iterate again (fault_tolerant_mode has it survive)"
        )


class DispatchServer:
    """A dispatcher, running until it is stopped, deleted or its process ends.

    Args:
        config: a `DispatcherConfig`.
        start: whether to start it at once.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        AlreadyExistsError: there is one of that port.
    """

    def __init__(self, config: DispatcherConfig | None = None, start: bool = True):
        self._config = config or DispatcherConfig()
        if self._config.protocol not in (None, "ray", "grpc"):
            raise InvalidArgumentError(
                f"protocol must be 'ray' (or None), got {self._config.protocol!r}: all of the "
                "data service's messages are Ray's"
            )
        self._handle: Any = None
        self._address = ""
        if start:
            self.start()

    def start(self) -> None:
        """Start the actor; harmless when repeated."""
        from ...ops.errors import AlreadyExistsError

        if self._handle is not None:
            return
        self._ray = ray = connect("the data service", start=True)
        port = self._config.port
        while not port or (actor_named(ray, f"dispatcher:{port}") and not self._config.port):
            port = random.randrange(1 << 15, 1 << 16)
        self._address = f"localhost:{port}"
        restarts = -1 if self._config.fault_tolerant_mode else 0
        actor = ray.remote(num_cpus=0, max_restarts=restarts)(_DispatcherActor)
        try:
            self._handle = actor.options(
                name=dispatcher_name(self._address), namespace=NAMESPACE
            ).remote(self._address, self._config)
        except ValueError:
            raise AlreadyExistsError(
                f"port {port} has a dispatcher already; choose another, or 0 for a free one"
            ) from None
        Dispatcher(self._address).start_own_workers()

    def join(self) -> None:
        """Wait until the dispatcher has ended."""
        while self._handle is not None and self._alive():
            time.sleep(0.5)

    def _alive(self) -> bool:
        try:
            self._ray.get(self._handle.workers.remote(), timeout=_CALL_S)
        except self._ray.exceptions.RayError:
            return False
        return True

    def stop(self) -> None:
        """Stop the dispatcher; iterations that need it fail.

        A fault tolerant one, started anew with the same `work_dir` and port, goes on.
        """
        handle, self._handle = self._handle, None
        if handle is not None and self._ray.is_initialized():
            self._ray.kill(handle)

    @property
    def target(self) -> str:
        """The address for `distribute`, ``ray://localhost:port``.

        Raises:
            RuntimeError: it has not been started.
        """
        if not self._address:
            raise RuntimeError("the dispatcher has no target before start()")
        return f"ray://{self._address}"

    def _num_workers(self) -> int:
        return len(self._ray.get(self._handle.workers.remote(), timeout=_CALL_S))

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the end of the process Ray may be gone
            self.stop()
