"""Streams: which step of a compiled function runs on which stream, and for what it waits.

A step goes on on the stream of an input that was the last there, so that chains need no events;
steps that depend on nothing that is under way take a stream of their own, as long as there is
one.  Waits that follow from others are left out.

Several streams pay where steps are short: a small kernel leaves most of the device idle, and
what comes behind it waits for its launch.  Steps that fill the device take as long beside each
other as behind each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Launch", "Work", "choose", "schedule"]

_WAIT_S = 1e-6  # of an event between streams
_GAIN = 0.9  # what several streams must take, at most, of the time of one
_MOST = 4


class Launch(NamedTuple):
    """A step's place.

    Attributes:
        stream: its number.
        waits: steps on other streams that it waits for, by their events.
    """

    stream: int
    waits: tuple[int, ...]


class Work(NamedTuple):
    """How long a step takes.

    Attributes:
        alone_s: seconds that pass whatever else runs.
        shared_s: seconds in which it fills the device.
    """

    alone_s: float
    shared_s: float


def choose(
    reads: Sequence[Sequence[int]], works: Sequence[Work], also: Iterable[tuple[int, int]] = ()
) -> list[Launch]:
    """Places for all steps, on as many streams as are worth it.

    Args:
        reads, also: as in `schedule`.
        works: of each step.
    """
    also = list(also)
    costs = [w.alone_s + w.shared_s for w in works]
    best, least = schedule(reads, 1, costs, also), _GAIN * sum(costs)
    filled = sum(w.shared_s for w in works)
    for count in range(2, _MOST + 1):
        tried = schedule(reads, count, costs, also)
        time = max(filled, _duration(tried, costs))
        if time < least:
            best, least = tried, _GAIN * time
    return best


def _duration(launches: Sequence[Launch], costs: Sequence[float]) -> float:
    """When the last step is over."""
    free: dict[int, float] = {}
    done: list[float] = []
    for launch, cost in zip(launches, costs, strict=True):
        begins = free.get(launch.stream, 0.0)
        for n in launch.waits:
            begins = max(begins, done[n] + _WAIT_S)
        done.append(begins + cost)
        free[launch.stream] = done[-1]
    return max(done, default=0.0)


def schedule(
    reads: Sequence[Sequence[int]],
    streams: int,
    costs: Sequence[float] | None = None,
    also: Iterable[tuple[int, int]] = (),
) -> list[Launch]:
    """Places for all steps, in their order.

    Args:
        reads: for each step, earlier steps whose values it reads.
        streams: how many there are.
        costs: how long steps take; all the same if None.
        also: pairs (earlier, later) that must keep their order for another reason.

    Raises:
        ValueError: there is no stream, or a step reads a later one.
    """
    if streams < 1:
        raise ValueError(f"streams must be positive, got {streams}")
    before = [set(r) for r in reads]
    for early, late in also:
        before[late].add(early)
    for step, needs in enumerate(before):
        if any(n >= step for n in needs):
            raise ValueError(f"step {step} reads a later one: {sorted(needs)}")
    costs = [1.0] * len(reads) if costs is None else costs
    last: list[int | None] = [None] * streams
    free_at = [0.0] * streams
    done: list[float] = []
    # For each step, the last step of every stream that is known to be over when it begins.
    seen: list[list[int]] = []
    found: list[Launch] = []
    for step, needs in enumerate(before):
        ready = max((done[n] for n in needs), default=0.0)
        stream = _choose(needs, ready, last, free_at, done)
        known = [-1] * streams
        tail = last[stream]
        if tail is not None:
            known = list(seen[tail])
            known[stream] = tail
        waits = []
        # The latest first: it brings along what it has waited for itself.
        for n in sorted(needs, reverse=True):
            where = found[n].stream
            if known[where] < n:
                waits.append(n)
                known = [max(a, b) for a, b in zip(known, seen[n], strict=True)]
                known[where] = max(known[where], n)
        found.append(Launch(stream, tuple(sorted(waits))))
        seen.append(known)
        last[stream] = step
        free_at[stream] = max(free_at[stream], ready) + costs[step]
        done.append(free_at[stream])
    return found


def _choose(
    needs: set[int],
    ready: float,
    last: list[int | None],
    free_at: list[float],
    done: list[float],
) -> int:
    """The stream where the step begins first; among these one that ends with an input of it."""

    def rank(stream: int) -> tuple[float, bool, bool, int]:
        tail = last[stream]
        begins = max(free_at[stream], ready)
        return begins, tail not in needs, tail is None, stream

    return min(range(len(last)), key=rank)
