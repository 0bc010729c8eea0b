"""`hr.distribute.coordinator`: functions scheduled on the workers of a
`ParameterServerStrategy`.

A thread hands queued functions to idle workers and takes their results; it lives as long as
there are any.  A function whose worker dies is handed to another, so it may run more than once.
The first error stops everything: what has not begun is cancelled, and the error is raised by
the next `schedule` or `join`.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..ops import nest
from ..ops.errors import CancelledError, UnavailableError
from .data_service.shipping import unpack_error
from .parameter_server.packing import pack
from .parameter_server.server_variable import here
from .parameter_server.strategy import ParameterServerStrategy
from .parameter_server.worker import PerWorkerReference
from .ray_cluster import ray_module

__all__ = [
    "ClusterCoordinator",
    "PerWorkerDataset",
    "PerWorkerValue",
    "PerWorkerValues",
    "RemoteValue",
    "experimental_get_current_worker_index",
]

_MOST_QUEUED = 256
_MOST_ATTEMPTS = 10
_LOOK_S = 0.02


class RemoteValue:
    """The result of a scheduled function, which may not be there yet."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def _settle(self, value: Any = None, error: BaseException | None = None) -> None:
        self._value, self._error = value, error
        self._done.set()

    def fetch(self) -> Any:
        """The result, tensors as NumPy arrays, once the function has run.

        Raises:
            CancelledError: it was cancelled, as another function failed.
            Exception: what the function raised.
        """
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._value

    get = fetch


class PerWorkerValues:
    """A value that every worker has its own of; an argument for `schedule`."""

    def __init__(self, reference: PerWorkerReference):
        self._reference = reference

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reference.__reduce__()


PerWorkerValue = PerWorkerValues  # TensorFlow's name


def experimental_get_current_worker_index() -> int:
    """The number of the worker that runs a scheduled function, for that function.

    Raises:
        RuntimeError: it is called elsewhere.
    """
    if here.worker_index is None:
        raise RuntimeError(
            "Cannot retrieve the worker index: experimental_get_current_worker_index() is for "
            "functions that ClusterCoordinator.schedule runs on a worker"
        )
    return here.worker_index


class PerWorkerIterator(PerWorkerValues):
    """Each worker's iterator over its own dataset; scheduled functions take the elements."""

    def __iter__(self) -> PerWorkerIterator:
        return self

    def __next__(self) -> Any:
        raise NotImplementedError(
            "Iterating over a PerWorkerDataset is done on the workers: schedule a function "
            "that takes the iterator and calls next()"
        )


class PerWorkerDataset(PerWorkerValues):
    """A dataset of each worker's own; ``iter`` gives the iterators over them."""

    def __iter__(self) -> PerWorkerIterator:
        own = self._reference
        key = f"{own.key}/iterator-{secrets.token_hex(8)}"
        return PerWorkerIterator(PerWorkerReference(key, own.packed, True))


class _Call:
    """A function on its way."""

    def __init__(self, function: bytes, args: bytes):
        self.function = function
        self.args = args
        self.result = RemoteValue()
        self.attempts = 0
        self.began_at = 0


class ClusterCoordinator:
    """Runs functions on a strategy's workers; several may share a strategy's workers only in
    turn.

    Args:
        strategy: a `ParameterServerStrategy`.

    Raises:
        ValueError: it is another strategy.
    """

    def __init__(self, strategy: Any):
        if not isinstance(strategy, ParameterServerStrategy):
            raise ValueError(
                "Only `hr.distribute.ParameterServerStrategy` is supported to work with "
                f"`hr.distribute.coordinator.ClusterCoordinator` currently, got {strategy!r}"
            )
        self._strategy = strategy
        self._ray = ray_module("ClusterCoordinator")
        self._changed = threading.Condition()
        self._queue: deque[_Call] = deque()
        self._running: dict[Any, tuple[_Call, Any]] = {}
        self._idle: deque[Any] = deque(strategy.workers)
        self._completed = 0
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._packed: dict[int, tuple[Any, bytes]] = {}
        self._numbers = itertools.count()
        self._saved = False

    @property
    def strategy(self) -> ParameterServerStrategy:
        """The strategy."""
        return self._strategy

    # -- scheduling -----------------------------------------------------------------------

    def schedule(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> RemoteValue:
        """Queue ``fn(*args, **kwargs)`` for the next idle worker; waits while many wait.

        Args:
            fn: a function; what it uses travels with it, variables of the strategy by
                reference.  One that is scheduled again is packed once.
            args, kwargs: its arguments; a `PerWorkerValues` is each worker's own value.

        Raises:
            TypeError: `fn` is not callable.
            InvalidArgumentError: it cannot be sent to a worker.
            Exception: what a function scheduled before has raised.
        """
        if not callable(fn):
            raise TypeError(f"`fn` must be callable, got {type(fn).__name__}: {fn!r}")
        if not self._saved:  # a server that dies now has what it was given
            self._strategy.save_servers()
            self._saved = True
        name = getattr(fn, "__name__", type(fn).__name__)
        if id(fn) not in self._packed:
            if len(self._packed) > _MOST_QUEUED:
                self._packed.clear()
            self._packed[id(fn)] = fn, pack(f"the function {name}", fn)
        packed_args = pack(f"the arguments of {name}", (tuple(args or ()), dict(kwargs or {})))
        call = _Call(self._packed[id(fn)][1], packed_args)
        with self._changed:
            self._raise_error()
            while len(self._queue) >= _MOST_QUEUED:
                self._changed.wait(0.5)
                self._raise_error()
            self._queue.append(call)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="headrace-coordinator", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()
        return call.result

    def join(self) -> None:
        """Wait until all that was scheduled has run.

        Raises:
            Exception: what one of the functions raised; those not begun are cancelled.
        """
        with self._changed:
            while self._queue or self._running:
                self._changed.wait(0.5)
            self._raise_error()

    def done(self) -> bool:
        """Whether all that was scheduled has run.

        Raises:
            Exception: what one of the functions raised.
        """
        with self._changed:
            self._raise_error()
            return not (self._queue or self._running)

    def fetch(self, val: Any) -> Any:
        """The structure `val` with the results of its `RemoteValue`s; waits for them."""
        return nest.map_structure(lambda v: v.fetch() if isinstance(v, RemoteValue) else v, val)

    def create_per_worker_dataset(self, dataset_fn: Any) -> PerWorkerDataset:
        """A dataset of each worker's own.

        Args:
            dataset_fn: a function without arguments that makes it, or a dataset.
        """
        key = f"dataset-{next(self._numbers)}-{secrets.token_hex(8)}"
        packed = pack("the dataset", dataset_fn)
        return PerWorkerDataset(PerWorkerReference(key, packed, False))

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    # -- the thread -----------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                self._start_calls()
                if not self._running:
                    if not self._queue:
                        self._thread = None
                        return
                    continue
                references = list(self._running)
            ready, _ = self._ray.wait(references, timeout=_LOOK_S)
            for reference in ready:
                self._finish(reference)

    def _start_calls(self) -> None:
        while self._queue and self._idle and self._may_start():
            call, worker = self._queue.popleft(), self._idle.popleft()
            call.attempts += 1
            call.began_at = self._completed
            reference = worker.run.remote(call.function, call.args)
            self._running[reference] = call, worker

    def _may_start(self) -> bool:
        """Whether no function at work could see more updates than allowed, if all that run
        besides it, and one more, ended first."""
        most = self._strategy.max_staleness
        if most is None or not self._running:
            return True
        oldest = min(call.began_at for call, _ in self._running.values())
        return self._completed - oldest + len(self._running) <= most

    def _finish(self, reference: Any) -> None:
        errors = self._ray.exceptions
        error: BaseException | None = None
        value: Any = None
        lost = False
        try:
            ran, value = self._ray.get(reference)
            if not ran:
                error = unpack_error(value)
        except errors.RayActorError as death:
            lost = True
            error = death
        except errors.RayError as other:
            error = other
        with self._changed:
            call, worker = self._running.pop(reference)
            self._idle.append(worker)
            if lost and call.attempts < _MOST_ATTEMPTS:
                self._queue.appendleft(call)
            elif error is not None:
                self._fail(call, self._too_often(call, error) if lost else error)
            else:
                self._completed += 1
                call.result._settle(value)
            self._changed.notify_all()

    def _too_often(self, call: _Call, error: BaseException) -> UnavailableError:
        first = str(error).partition("\n")[0]
        return UnavailableError(
            f"the workers that ran a scheduled function died {call.attempts} times: {first}; "
            "the function itself may end its process (see the workers' logs)"
        )

    def _fail(self, call: _Call, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        call.result._settle(error=error)
        while self._queue:
            self._queue.popleft().result._settle(
                error=CancelledError("a function scheduled before has failed")
            )
