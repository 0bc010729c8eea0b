"""Counters of a running pipeline and the table that shows them.

Every stage has one `StageStats`.  It is touched once per block, never per element, so that
counting costs nothing measurable.  Times are exclusive: while a stage pulls from its input, on
the same thread, the time counts for the input (`timed` keeps a per-thread account for that).

`pipeline_stats(stage)` turns a tree of stages into a `PipelineStats`: a printable table that
names the bottleneck and what would relieve it.  A stage is anything with `.stats` (a `StageStats`)
and `.inputs` (stages).

A counter is written by the one thread that works for its stage at that moment; stages that run on
several threads at once count under a lock of their own (`add_busy`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PipelineStats", "StageRow", "StageStats", "pipeline_stats", "timed", "waiting"]


class _Account(threading.local):
    inner_s = 0.0  # time of this thread that belongs to stages further in, or to waiting


_account = _Account()
_clock = time.perf_counter


class StageStats:
    """Counters of one stage.

    Attributes:
        name: the stage's name, e.g. ``"Map(parse)"``.
        line: the user's line that made it, or "".
        elements: elements delivered.
        blocks: blocks delivered.
        busy_s: seconds of work, summed over threads, without its inputs' work.
        wait_s: seconds its consumer waited for it while other threads worked.
        parallelism: threads that may work for it at a time.
        buffered: gives `(elements, bytes)` held at this moment, or None if it holds none.
        advice: what would make this stage faster, or "" for the general advice.
    """

    __slots__ = (
        "_lock", "advice", "blocks", "buffered", "busy_s", "elements", "line", "name",
        "parallelism", "started", "wait_s",
    )  # fmt: skip

    def __init__(self, name: str, line: str = "", parallelism: int = 1, advice: str = ""):
        self.name = name
        self.line = line
        self.elements = 0
        self.blocks = 0
        self.busy_s = 0.0
        self.wait_s = 0.0
        self.parallelism = parallelism
        self.buffered: Callable[[], tuple[int, int]] | None = None
        self.advice = advice
        self.started = _clock()
        self._lock = threading.Lock()

    def count(self, elements: int) -> None:
        """One more block of so many elements was delivered."""
        self.elements += elements
        self.blocks += 1

    def add_busy(self, seconds: float) -> None:
        """Work done for this stage on whatever thread."""
        with self._lock:
            self.busy_s += seconds

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """`fn(*args)`, its time counted as this stage's work, without inner stages' time."""
        account = _account
        outer = account.inner_s
        account.inner_s = 0.0
        began = _clock()
        try:
            return fn(*args)
        finally:
            spent = _clock() - began
            with self._lock:
                self.busy_s += spent - account.inner_s
            account.inner_s = outer + spent


@contextmanager
def timed(stats: StageStats) -> Iterator[None]:
    """Count the block's time as the stage's work, without inner stages' time."""
    account = _account
    outer = account.inner_s
    account.inner_s = 0.0
    began = _clock()
    try:
        yield
    finally:
        spent = _clock() - began
        stats.add_busy(spent - account.inner_s)
        account.inner_s = outer + spent


@contextmanager
def waiting(stats: StageStats) -> Iterator[None]:
    """Count the block's time as waiting for other threads; it is nobody's work."""
    account = _account
    outer = account.inner_s
    began = _clock()
    try:
        yield
    finally:
        spent = _clock() - began
        stats.wait_s += spent
        account.inner_s = outer + spent


@dataclass(frozen=True)
class StageRow:
    """One stage's line in the table; `busy` is its share of the time, 1.0 per thread."""

    name: str
    line: str
    depth: int
    elements: int
    rate: float
    busy_s: float
    wait_s: float
    parallelism: int
    buffered_elements: int
    buffered_bytes: int
    advice: str = field(default="", repr=False)


@dataclass(frozen=True)
class PipelineStats:
    """What a pipeline did so far; `print` it.

    Attributes:
        rows: a row per stage, the last stage first.
        elapsed_s: seconds since the iterator was made.
    """

    rows: tuple[StageRow, ...]
    elapsed_s: float

    @property
    def bottleneck(self) -> StageRow | None:
        """The stage whose threads worked longest; None if nothing has run."""
        busy = [r for r in self.rows if r.busy_s > 0]
        return max(busy, key=lambda r: r.busy_s / r.parallelism) if busy else None

    @property
    def consumer_bound(self) -> bool:
        """Whether the consumer, not the pipeline, sets the pace: the pipeline mostly idles."""
        slowest = self.bottleneck
        return slowest is not None and slowest.busy_s / slowest.parallelism < 0.5 * self.elapsed_s

    @property
    def relief(self) -> str:
        """What would relieve the bottleneck."""
        row = self.bottleneck
        if row is None:
            return "nothing has run yet"
        if self.consumer_bound:
            return "the pipeline waits for its consumer; making it faster would change nothing"
        if row.advice:
            return row.advice
        return "give it less to do, or run the pipeline on more cores"

    def __str__(self) -> str:
        heads = ("stage", "elements", "rate", "busy", "waits", "threads", "buffered")
        table = [heads]
        for r in self.rows:
            held = f"{r.buffered_elements:,} ({_bytes(r.buffered_bytes)})"
            table.append((
                "  " * r.depth + r.name, f"{r.elements:,}", f"{_count(r.rate)}/s",
                _seconds(r.busy_s), _seconds(r.wait_s), str(r.parallelism),
                held if r.buffered_elements or r.buffered_bytes else "-",
            ))  # fmt: skip
        widths = [max(len(row[k]) for row in table) for k in range(len(heads))]
        lines = []
        for row in table:
            cells = [row[0].ljust(widths[0])]
            cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        lines.insert(1, "-" * max(map(len, lines)))
        slowest = self.bottleneck
        if slowest is not None:
            place = f" ({slowest.line})" if slowest.line else ""
            share = slowest.busy_s / slowest.parallelism / self.elapsed_s if self.elapsed_s else 0
            lines.append(
                f"bottleneck: {slowest.name}{place}, at work {min(share, 1):.0%} of the time"
            )
        lines.append(f"to relieve it: {self.relief}")
        return "\n".join(lines)

    __repr__ = __str__


def pipeline_stats(stage: Any, elapsed_s: float | None = None) -> PipelineStats:
    """The counters of `stage` and all stages before it."""
    rows: list[StageRow] = []
    now = _clock()
    if elapsed_s is None:
        elapsed_s = now - stage.stats.started

    def walk(one: Any, depth: int) -> None:
        s = one.stats
        held = s.buffered() if s.buffered is not None else (0, 0)
        rate = s.elements / elapsed_s if elapsed_s > 0 else 0.0
        rows.append(StageRow(s.name, s.line, depth, s.elements, rate, s.busy_s, s.wait_s,
                             s.parallelism, *held, s.advice))  # fmt: skip
        inputs = tuple(one.inputs)
        for inner in inputs:
            walk(inner, depth + (len(inputs) > 1))

    walk(stage, 0)
    return PipelineStats(tuple(rows), elapsed_s)


def _seconds(s: float) -> str:
    return f"{s:.2f} s" if s >= 1 else f"{s * 1e3:.1f} ms" if s >= 1e-3 else f"{s * 1e6:.0f} us"


def _count(n: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= size:
            return f"{n / size:.3g}{unit}"
    return f"{n:.3g}"


def _bytes(n: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n} B"
