"""Meeting: where the threads of one process's replicas wait for each other.

Replicas run at the same time (compiled steps), or in turn (Python code, which need not be safe
for threads): then one of them runs until it waits or ends, and the next goes on.  A replica
that fails stops those that wait for it; replicas that can only wait for each other forever
(one returned where another reduces) are an error at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..ops.errors import AbortedError, DeadlineExceededError, FailedPreconditionError

__all__ = ["Meeting", "ReplicaStoppedError"]


class ReplicaStoppedError(AbortedError):
    """Another replica failed; its error is the one to read."""


class Meeting:
    """The state that the replicas' threads share.

    Args:
        size: number of replicas.
        timeout_s: how long one waits for others; None for ever.
    """

    def __init__(self, size: int, timeout_s: float | None = None):
        self.size = size
        self.timeout_s = timeout_s
        self.condition = threading.Condition()
        self.begin(False)

    # -- a run ------------------------------------------------------------------------------

    def begin(self, in_turn: bool) -> None:
        """Start a run of all replicas."""
        with self.condition:
            self.error: BaseException | None = None
            self._turn: int | None = 0 if in_turn else None
            self._ended: set[int] = set()
            self._waiting: dict[int, tuple[str, Callable[[], bool]]] = {}
            self._generation = 0
            self._what: str | None = None
            self._came: dict[int, Any] = {}
            self._results: list[Any] = []
            self.works: dict[int, Any] = {}
            self.posts = [0] * self.size

    def await_turn(self, rank: int) -> None:
        """Wait until the replica may begin."""
        with self.condition:
            while self._turn not in (None, rank) and self.error is None:
                self.condition.wait()
            self._raise_if_stopped()

    def end(self, rank: int, error: BaseException | None = None) -> None:
        """The replica has returned, or failed."""
        with self.condition:
            self._ended.add(rank)
            if error is not None and self.error is None:
                self.error = error
            self._pass_on(rank)
            self._refuse_deadlock()
            self.condition.notify_all()

    def abort(self, error: BaseException) -> None:
        """Stop all replicas with `error`; the lock is held."""
        if self.error is None:
            self.error = error
        self.condition.notify_all()

    # -- waiting ----------------------------------------------------------------------------

    def wait_until(self, rank: int, what: str, ready: Callable[[], bool]) -> None:
        """Wait for `ready()`; the lock is held, and `ready` is called with it.

        Raises:
            ReplicaStoppedError: another replica failed.
            DeadlineExceededError: the others did not come in time; it names them.
            FailedPreconditionError: they never will.
        """
        self._raise_if_stopped()
        if ready():
            return
        deadline = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        self._waiting[rank] = (what, ready)
        try:
            self._pass_on(rank)
            self._refuse_deadlock()
            while True:
                self._raise_if_stopped()
                if ready() and self._turn in (None, rank):
                    return
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0 and not ready():
                    self._time_out(rank, what)
                self.condition.wait(None if left is None else max(left, 0.01))
        finally:
            del self._waiting[rank]

    def meet(
        self, rank: int, what: str, value: Any, combine: Callable[[list[Any]], list[Any]]
    ) -> Any:
        """This replica's part of ``combine([value of every replica])``, which the last to come
        computes."""
        with self.condition:
            self._raise_if_stopped()
            if self._came and what != self._what:
                self.abort(
                    FailedPreconditionError(
                        f"the replicas meet at different operations: replica {rank} at {what}, "
                        f"replica {min(self._came)} at {self._what}; every replica must call "
                        "the same collective operations in the same order"
                    )
                )
                self._raise_if_stopped()
            self._what = what
            self._came[rank] = value
            generation = self._generation
            if len(self._came) == self.size:
                try:
                    self._results = combine([self._came[r] for r in range(self.size)])
                except BaseException as error:
                    self.abort(error)
                    raise
                self._came = {}
                self._generation += 1
                self.condition.notify_all()
            else:
                self.wait_until(rank, what, lambda: self._generation != generation)
            return self._results[rank]

    # -- inside -----------------------------------------------------------------------------

    def _raise_if_stopped(self) -> None:
        if self.error is not None:
            raise ReplicaStoppedError(f"another replica failed: {self.error}")

    def _pass_on(self, rank: int) -> None:
        """Give the turn to a replica that can go on."""
        if self._turn is None or self._turn != rank:
            return
        for other in range(self.size):
            waits = self._waiting.get(other)
            if other not in self._ended and (waits is None or waits[1]()):
                self._turn = other
                break
        self.condition.notify_all()

    def _refuse_deadlock(self) -> None:
        if not self._waiting or len(self._waiting) + len(self._ended) < self.size:
            return
        if any(ready() for _, ready in self._waiting.values()):
            return
        rank, (what, _) = min(self._waiting.items())
        if self._ended:
            other = f"replica {min(self._ended)} has returned without it"
        else:
            other = "; ".join(f"replica {r} in {w}" for r, (w, _) in self._waiting.items())
        self.abort(
            FailedPreconditionError(
                f"replica {rank} waits in {what} for ever: {other}; every replica must call "
                "the same collective operations in the same order"
            )
        )

    def _time_out(self, rank: int, what: str) -> None:
        missing = [r for r in range(self.size) if r != rank and r not in self._waiting]
        self.abort(
            DeadlineExceededError(
                f"replica {rank} has waited {self.timeout_s:g} s in {what} for "
                f"replica(s) {missing}, which have not arrived; CommunicationOptions("
                "timeout_seconds=...) sets the time"
            )
        )
