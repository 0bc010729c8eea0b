"""Knob: what `autotune.Tuner` may set of one stage, and the counters it goes by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["DISTRUST_S", "KEEP", "TICK_S", "WAITS", "Knob"]

TICK_S = 0.04
"""Seconds between two looks at the counters."""

KEEP = 0.5
"""What earlier windows' loads count for."""

WAITS = 0.05
"""Share of the time that somebody waits and nobody minds."""

HORIZON_S = 10.0
"""What was longer ago counts half for buffers."""

DISTRUST_S = 4.0
"""Threads that did not help are tried again after it, then twice as long."""


class Knob:
    """What may be set of one stage, and what it has done.

    Args:
        workers: threads to begin with; None for the tuner's choice.
        most_workers: at most so many; equal to `workers` where they are not to be tuned.
        ahead: items beyond those being worked on, to begin with.
        least_ahead, most_ahead: its bounds, equal where it is not to be tuned.
        apply: ``apply(workers, ahead, share_bytes)`` sets them; `share_bytes` is what the items
            of this stage may hold together.
        work: seconds its threads worked, and for how many rows.
        item_bytes: bytes of a typical item.
    """

    def __init__(self, *, workers: int | None, most_workers: int, ahead: int, least_ahead: int,
                 most_ahead: int, apply: Callable[[int, int, int], None],
                 work: Callable[[], tuple[float, int]] = lambda: (0.0, 0),
                 item_bytes: Callable[[], int] = lambda: 0):  # fmt: skip
        self.tuned = workers is None or workers != most_workers
        self.workers, self.most_workers = workers or 0, most_workers
        self.ahead, self.least_ahead, self.most_ahead = ahead, least_ahead, most_ahead
        self.apply, self.work, self.item_bytes = apply, work, item_bytes
        self.executor: Any = None
        self.why_workers = self.why_ahead = ""
        self.forget()

    def forget(self) -> None:
        """Begin to measure anew."""
        self.load: float | None = None
        self.pull = self.wait = 0.0
        self.work_delta = 0.0
        self.cost: float | None = None  # seconds of work per row in the last window
        self.fewer = 0  # windows in a row in which fewer threads would have done
        self.few: tuple[int, float] | None = None  # threads before there were more; their cost
        self.settling = 0  # windows until all that is measured was begun with these threads
        self.back_from: float | None = None  # the cost with the threads taken back for a trial
        self.ceiling = 0  # more threads than that were of no use
        self.distrust_s = DISTRUST_S
        self.ceiling_ends_s = 0.0
        self._seen = self._counts()
        self.full_s = self.wait_s = self.since_s = 0.0  # since the buffer was last set
        self.unused_since_s = 0.0
        self.least_ready: int | None = None

    def _counts(self) -> tuple[float, int, float, float, float, int, float]:
        e = self.executor
        if e is None:
            return 0.0, 0, 0.0, 0.0, 0.0, 0, 0.0
        return *self.work(), e.pull_s, e.wait_s, e.outer_wait_s, e.delivered, e.full_s

    def attach(self, executor: Any) -> None:
        """Count from here on what `executor` does."""
        self.executor = executor
        self._seen = self._counts()

    def delivered(self) -> int:
        """Items handed out in this window so far."""
        return self.executor.delivered - self._seen[5]

    def measure(self, span_s: float) -> float:
        """End a window so long; the seconds in it that the pipeline's own consumer waited."""
        counts = self._counts()
        work, rows, pull, wait, outer, _, full = (
            max(b - a, 0) for a, b in zip(self._seen, counts, strict=True)
        )
        self._seen = counts
        self.work_delta = work + pull
        self.pull = self.pull * KEEP + pull
        self.load = (self.load or 0.0) * KEEP + work + pull
        self.wait = wait
        if self.since_s > HORIZON_S:
            self.since_s, self.wait_s, self.full_s = (
                x / 2 for x in (self.since_s, self.wait_s, self.full_s)
            )
        self.since_s += span_s
        self.wait_s += wait
        self.full_s += full
        self.cost = work / rows if rows else None
        return outer

    def varied(self) -> bool:
        """Whether, since the buffer was last set, both sides of it waited for the other."""
        both_s = min(self.wait_s, self.full_s)
        return self.since_s > 2 * TICK_S and both_s > WAITS * self.since_s

    def set_ahead(self, ahead: int) -> None:
        """Another size of the buffer: what happened before says nothing about it."""
        self.ahead = ahead
        self.full_s = self.wait_s = self.since_s = 0.0
        self.least_ready = None

    def held_bytes(self) -> int:
        """What its items may hold at most as it is set."""
        return (self.workers + self.ahead) * self.item_bytes()
