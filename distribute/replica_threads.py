"""The threads that replicas of one process run on.

Replica 0 runs on the thread that calls, the others on threads of their own that live as long as
the strategy.  The machine's threads for matrix products are divided among them.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from ..ops import workers
from .meeting import Meeting, ReplicaStoppedError

__all__ = ["ReplicaThreads"]


class ReplicaThreads:
    """Runs a function per replica.

    Args:
        meeting: where they wait for each other.
    """

    def __init__(self, meeting: Meeting):
        self.meeting = meeting
        self._queues: list[SimpleQueue[Any]] = []
        self._busy = threading.Lock()

    def run(self, functions: Sequence[Callable[[], Any]], in_turn: bool) -> list[Any]:
        """The functions' results; replica i runs the i-th.

        Args:
            functions: one per replica.
            in_turn: run one at a time, each until it waits for the others.

        Raises:
            RuntimeError: replicas of this strategy run already.
        """
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(
                "replicas of this strategy are running; run another step when they have ended"
            )
        try:
            self._start(len(functions))
            self.meeting.begin(in_turn)
            calls = [_Call(self.meeting, i, f) for i, f in enumerate(functions)]
            for queue, call in zip(self._queues, calls[1:], strict=False):
                queue.put(call)
            calls[0].run()
            for call in calls[1:]:
                call.ended.acquire()
        finally:
            self._busy.release()
        errors = [call.error for call in calls if call.error is not None]
        if errors:
            own = [e for e in errors if not isinstance(e, ReplicaStoppedError)]
            first = own[0] if own else (self.meeting.error or errors[0])
            rank = next((c.rank for c in calls if c.error is first), None)
            if rank is not None and not hasattr(first, "replica"):
                first.add_note(f"in replica {rank} of {len(calls)}")
            del errors, own, calls
            raise first
        return [call.result for call in calls]

    def _start(self, count: int) -> None:
        while len(self._queues) < count - 1:
            queue: SimpleQueue[Any] = SimpleQueue()
            self._queues.append(queue)
            name = f"headrace-replica-{len(self._queues)}"
            threading.Thread(target=_serve, args=(queue,), name=name, daemon=True).start()
            weakref.finalize(self, queue.put, None)


class _Call:
    def __init__(self, meeting: Meeting, rank: int, function: Callable[[], Any]):
        self._meeting = meeting
        self.rank = rank
        self._function: Any = function
        self.result: Any = None
        self.error: BaseException | None = None
        self.ended = threading.Lock()
        self.ended.acquire()

    def run(self) -> None:
        try:
            self._meeting.await_turn(self.rank)
            with workers.sharing(self._meeting.size):
                self.result = self._function()
        except BaseException as error:
            self.error = error
        finally:
            self._function = None
            self._meeting.end(self.rank, self.error)
            self.ended.release()


def _serve(queue: SimpleQueue[Any]) -> None:
    while (call := queue.get()) is not None:
        call.run()
        del call
