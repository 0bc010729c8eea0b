"""The process's worker threads, shared by every parallel stage of every pipeline.

`WorkerPool.shared()` has one thread per usable CPU.  Threads exist while some stage holds the
pool (`acquire`/`release`), sleep in a queue when there is nothing to do, and are daemons: they
never keep the interpreter from ending.  What tasks are and in which order they matter is left
to `executor`; a task here is a callable without arguments that raises nothing.

A task may wait for other tasks (a parallel stage that reads another one), so a fixed number of
threads could all be waiting.  The rule that prevents deadlock is `executor`'s: whoever waits
for work that no thread has begun does it itself when `all_busy()`.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import ClassVar

from ..ops import workers

__all__ = ["WorkerPool", "usable_cpus"]


@functools.cache
def usable_cpus() -> int:
    """CPUs this process may use: its affinity mask, cut by the container's quota (cgroup 2)."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this operating system
        cpus = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        if quota != "max":
            cpus = min(cpus, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return cpus


class WorkerPool:
    """A number of threads that run tasks in the order given.

    Args:
        size: number of threads.
        name: prefix of the threads' names.
    """

    _shared: ClassVar[WorkerPool | None] = None
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, size: int, name: str = "headrace-worker"):
        if size < 1:
            raise ValueError(f"size of a worker pool must be positive, got {size}")
        self.size = size
        self._name = name
        # Reentrant: a pipeline may be collected, releasing the pool, while a thread is here.
        self._lock = threading.RLock()
        self._users = 0
        self._busy = 0
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    @classmethod
    def shared(cls) -> WorkerPool:
        """The pool of this process, one thread per usable CPU."""
        with cls._shared_lock:
            if cls._shared is None:
                cls._shared = cls(usable_cpus())
            return cls._shared

    @classmethod
    def forget_shared(cls) -> None:
        """Start anew: after a fork the child has the pool's object but not its threads."""
        cls._shared_lock = threading.Lock()
        cls._shared = None

    def acquire(self) -> None:
        """Start the threads, unless another stage has."""
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            # A queue per generation: threads told to end never take a newer generation's task.
            self._tasks = SimpleQueue()
            for k in range(self.size):
                threading.Thread(
                    target=self._run, args=(self._tasks,), name=f"{self._name}-{k}", daemon=True
                ).start()

    def release(self) -> None:
        """Let the threads end once nobody holds the pool and the tasks given are done."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                for _ in range(self.size):
                    self._tasks.put(None)

    def submit(self, task: Callable[[], None]) -> None:
        """Have a thread run `task`; the caller holds the pool."""
        self._tasks.put(task)

    def all_busy(self) -> bool:
        """Whether no thread waits for a task at this moment."""
        return self._busy >= self.size

    def _run(self, tasks: SimpleQueue[Callable[[], None] | None]) -> None:
        workers.one_of_many()
        while (task := tasks.get()) is not None:
            with self._lock:
                self._busy += 1
            try:
                task()
            finally:
                with self._lock:
                    self._busy -= 1
            del task  # or this thread would keep the pipeline alive while it waits


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WorkerPool.forget_shared)
