"""autotune: how many threads a stage gets and how far it reads ahead, from measured rates.

Stages that work on other threads have a `Knob` each: what may be set, and the counters to go
by.  A pipeline's `Tuner` looks at them at block handovers (`tick`, some twenty times a second;
it has no thread of its own) and compares *loads*, seconds of work in the same stretch of time:

* A stage's load is what its threads worked, pulling included; its n threads need ``load / n``.
* The *floor* is the largest load that cannot be divided: of the consumer (the time it did not
  wait), of each stage's pulling, of stages whose threads the user chose.  No number of threads
  makes the pipeline faster than its floor.
* So a stage wants ``load / floor`` threads and a margin.  Where that is more than `cpu_budget`,
  threads are dealt out one by one to the stage with the largest ``load / n``: the bottleneck.
* Threads that only make each row slower help nobody (Python code that holds the interpreter's
  lock): they are taken back, and it is seen whether rows get faster again.

A buffer doubles when its consumer waited a part of the time and in another part the threads
that fill it stood still because it was full (rates vary: a larger one would have helped); it
halves when its deeper half was not used for a second.

What shuffles, caches, buffers and blocks in flight hold together keeps to `ram_budget`.  Stages
that hold rows by the user's word come first; an eighth of it, at least, is left to the others.

Results never depend on any of this: it decides how much is in flight, not what.
"""

from __future__ import annotations

import functools
import math
import os
import threading
import time
import weakref
from typing import Any

from .knob import KEEP, TICK_S, WAITS, Knob
from .pool import WorkerPool, usable_cpus

__all__ = ["Tuner", "default_ram_budget"]

_LONGEST_S = 0.5  # a window ends then even if hardly anything was done in it
_MARGIN, _SHRINK_MARGIN = 1.15, 1.35
_SHRINK_WINDOWS = 4
_GAIN = 1.1  # threads change stages for more than that
_UNUSED_S = 1.0


@functools.cache
def default_ram_budget() -> int:
    """An eighth of the memory this process may use (the container's limit, cgroup 2)."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on this operating system
        size = 8 << 30
    try:
        with open("/sys/fs/cgroup/memory.max") as file:
            size = min(size, int(file.read()))
    except (OSError, ValueError):  # no such file, or "max"
        pass
    return size // 8


class Tuner:
    """The knobs of one pipeline, and the budgets they share.

    Args:
        options: the merged `Options`, or None.
    """

    def __init__(self, options: Any = None):
        self._options = options
        self._knobs: list[Knob] = []
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        # Reentrant: a pipeline may be collected, removing its knobs, while a thread is here.
        self._lock = threading.RLock()
        self._pool: WorkerPool | None = None
        self._due_s = 0.0
        self._since_s = 0.0
        self._consumer = 0.0
        self._held = (-1.0, 0)

    # -- limits -----------------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """Whether anything is tuned: ``options.autotune.enabled``, by default."""
        return self._options is None or self._options.autotune.enabled is not False

    @property
    def cpu_budget(self) -> int:
        """Threads that may work at a time."""
        return (self._options and self._options.num_threads) or usable_cpus()

    @property
    def ram_budget(self) -> int:
        """Bytes that may be held ahead of the consumer."""
        asked = self._options.autotune.ram_budget if self._options is not None else None
        return asked or default_ram_budget()

    @property
    def pool(self) -> WorkerPool:
        """The threads of this pipeline: the process's, unless their number was asked for."""
        if self._pool is None:
            shared = WorkerPool.shared()
            same = self.cpu_budget == shared.size
            self._pool = shared if same else WorkerPool(self.cpu_budget)
        return self._pool

    def share_bytes(self) -> int:
        """What each of the stages may hold."""
        budget = self.ram_budget
        left = max(budget - self._watched_bytes(), budget // 8)
        return left // max(len(self._knobs), 1)

    # -- stages -----------------------------------------------------------------------------

    def watch(self, stage: Any) -> None:
        """Count what ``stage.buffered()`` tells against `ram_budget`."""
        self._watched.add(stage)
        self._held = (-1.0, 0)

    def add(self, knob: Knob, executor: Any) -> None:
        """A stage has begun to work on other threads: set its knob, and those of the others."""
        with self._lock:
            knob.attach(executor)
            self._knobs.append(knob)
            now = time.perf_counter()
            if len(self._knobs) == 1:
                self._since_s, self._consumer = now, 0.0
            self._due_s = now + TICK_S
            if knob.tuned and not knob.workers:
                asked = self._options and self._options.autotune.initial_parallelism
                knob.workers = min(asked or knob.most_workers, knob.most_workers)
                if not asked and self.enabled:
                    tuned = [k for k in self._knobs if k.tuned]
                    self._deal(tuned, [min(k.most_workers, usable_cpus()) for k in tuned])
            share = self.share_bytes()
            for one in self._knobs:
                one.apply(one.workers, one.ahead, share)

    def remove(self, knob: Knob) -> None:
        """The stage has stopped."""
        with self._lock:
            if knob in self._knobs:
                self._knobs.remove(knob)
                knob.back_from = None

    # -- the control loop ---------------------------------------------------------------------

    def tick(self) -> None:
        """Look whether anything should be set differently; at handovers, on any thread."""
        now = time.perf_counter()
        if now < self._due_s or not self._lock.acquire(blocking=False):
            return
        try:
            self._due_s = now + TICK_S
            if self.enabled and self._knobs and self._window_ended(now):
                self._adjust(now)
        finally:
            self._lock.release()

    def _window_ended(self, now: float) -> bool:
        if now - self._since_s >= _LONGEST_S:
            return True
        return all(k.delivered() >= 2 * k.workers for k in self._knobs)

    def _adjust(self, now: float) -> None:
        span = now - self._since_s
        self._since_s = now
        outer = sum([k.measure(span) for k in self._knobs])
        self._consumer = self._consumer * KEEP + max(span - outer, 0.0)
        floor = self._floor()
        tuned = [k for k in self._knobs if k.tuned and k.load]
        self._set_workers(tuned, floor, span, now)
        self._set_buffers(now)
        share = self.share_bytes()
        for knob in self._knobs:
            knob.apply(knob.workers, knob.ahead, share)

    def _floor(self) -> float:
        """The largest load that more threads would not divide."""
        loads = [self._consumer]
        for k in self._knobs:
            loads.append(k.pull if k.tuned else (k.load or 0.0) / max(k.workers, 1))
        return max(*loads, 1e-9)

    # -- threads ------------------------------------------------------------------------------

    def _set_workers(self, knobs: list[Knob], floor: float, span: float, now: float) -> None:
        least = (self._options and self._options.autotune.min_parallelism) or 1
        before = [k.workers for k in knobs]
        wants = []
        for k in knobs:
            assert k.load is not None
            want = math.ceil(_MARGIN * k.load / floor - 1e-9)
            busy = k.work_delta > 0.8 * span * k.workers
            if busy and k.wait > 2 * WAITS * span:
                want = max(want, k.workers + 1)
            elif k.workers - want <= 1:  # a little less load is no reason to give one up
                want = max(want, min(k.workers, math.ceil(_SHRINK_MARGIN * k.load / floor)))
            self._judge(k, now)
            if k.ceiling:
                want = min(want, k.ceiling)
            wants.append(min(max(want, least), k.most_workers))
        self._deal(knobs, wants)
        for k, old, want in zip(knobs, before, wants, strict=True):
            if k.workers < old and k.back_from is None:
                k.fewer += 1
                if k.fewer < _SHRINK_WINDOWS:
                    k.workers = old
                    continue
            k.fewer = 0
            if k.workers != old:
                k.settling = 2
                if k.workers > old and k.cost and (k.few is None or old < k.few[0]):
                    k.few = (old, k.cost)
            k.why_workers = self._why(k, want, floor)

    def _judge(self, k: Knob, now: float) -> None:
        """Whether the threads that `k` got were of use: `k.ceiling`."""
        if k.ceiling and k.back_from is None and now > k.ceiling_ends_s:
            k.ceiling = 0
        if k.settling or not k.cost or k.few is None:
            k.settling = max(k.settling - 1, 0)
        elif k.back_from is not None:
            if k.cost > 0.8 * k.back_from:  # no faster with fewer: the rows have changed
                k.ceiling, k.few = 0, (k.workers, k.cost)
            else:
                k.ceiling_ends_s = now + k.distrust_s
                k.distrust_s *= 2
            k.back_from = None
        elif k.workers >= 1.5 * k.few[0]:
            few, cost = k.few
            more = k.workers / few
            if more * cost / k.cost < 1 + 0.2 * (more - 1):
                k.ceiling, k.back_from = few, k.cost

    def _deal(self, knobs: list[Knob], wants: list[int] | None = None) -> None:
        """Give the budget's threads to the stages, each next one to the stage with the most
        work per thread; leave everything as it is where that would gain little.

        A thread that waits for input does that input's work itself where no other is free, so
        the sum may be larger by one for each further stage; the pool's size is the limit.
        """
        if not knobs:
            return
        tops = wants or [k.most_workers for k in knobs]
        loads = [k.load or 1.0 for k in knobs]
        given = [1] * len(knobs)
        for _ in range(self.cpu_budget - 1):
            open_ = [i for i in range(len(knobs)) if given[i] < tops[i]]
            if not open_:
                break
            given[max(open_, key=lambda i: loads[i] / given[i])] += 1
        now = [min(k.workers, top) for k, top in zip(knobs, tops, strict=True)]
        if min(now) and sum(now) < self.cpu_budget + len(knobs):
            slowest, could = (
                max(load / n for load, n in zip(loads, some, strict=True))
                for some in (now, given)
            )
            if slowest < _GAIN * could:
                given = now
        for k, n in zip(knobs, given, strict=True):
            k.workers = n

    def _why(self, k: Knob, want: int, floor: float) -> str:
        if k.ceiling and k.workers >= k.ceiling:
            return "more made each slower: they wait for each other"
        if k.workers >= want:
            if floor == self._consumer:
                return "its consumer needs no more"
            if any(one.pull == floor for one in self._knobs if one.tuned):
                return "reading its input, one block after the other, allows no more"
            return "another stage allows no more"
        share = (k.load or 0.0) / k.workers
        others = [(o.load or 0.0) / o.workers for o in self._knobs if o.tuned and o is not k]
        if share < 0.8 * max(others, default=0.0):
            return "the bottleneck needs the others more"
        return f"more would help, but cpu_budget={self.cpu_budget}"

    # -- buffers ------------------------------------------------------------------------------

    def _watched_bytes(self) -> int:
        now = time.perf_counter()
        if now - self._held[0] > 0.2:  # a cache in memory takes a while to count itself
            held = [s.buffered()[1] for s in list(self._watched) if not hasattr(s, "knob")]
            self._held = (now, sum(held))
        return self._held[1]

    def _set_buffers(self, now: float) -> None:
        room = self.ram_budget - self._watched_bytes()
        room -= sum(k.held_bytes() for k in self._knobs)
        for k in self._knobs:
            least = k.executor.forget_least()
            if least is not None:
                k.least_ready = least if k.least_ready is None else min(k.least_ready, least)
            if k.ahead < k.most_ahead and k.varied():
                more = min(2 * k.ahead, k.most_ahead)
                if (more - k.ahead) * k.item_bytes() <= room:
                    room -= (more - k.ahead) * k.item_bytes()
                    k.why_ahead = "its consumer waited though at other times it was full"
                    k.set_ahead(more)
                else:
                    k.why_ahead = "more would help, but ram_budget allows no more"
                k.unused_since_s = now
                continue
            used_deeply = k.least_ready is None or k.least_ready < k.ahead // 2 + 1
            if used_deeply or k.ahead <= k.least_ahead or not k.unused_since_s:
                k.unused_since_s = now
                k.least_ready = None
            elif now - k.unused_since_s > _UNUSED_S:
                k.why_ahead = "no more were used"
                k.set_ahead(max(k.least_ahead, k.ahead // 2))
                k.unused_since_s = now
