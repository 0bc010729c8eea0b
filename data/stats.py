"""Counters of a running pipeline and the table that shows them.

Stages count for themselves, once per block and never per element (`Stage.next_block`), so that
counting costs nothing measurable.  This module reads the counters: `pipeline_stats(stage)`
turns a tree of stages into a `PipelineStats`, a printable table that names the bottleneck and
what would relieve it.

A stage that works on the thread of its consumer has spent, itself, its `seconds` less its
inputs'. A stage with threads of its own says so: it has `threads` (how many may work at a
time), `work_s` (seconds they worked, without its inputs' time), and its `seconds` are its
consumer's waiting. Stages that hold elements say how many with ``buffered() -> (elements,
bytes)``, and what `autotune` chose for them in `choice`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PipelineStats", "Run", "StageRow", "pipeline_stats"]


@dataclass(frozen=True)
class StageRow:
    """One stage's line in the table, what was chosen for it, and what would make it faster."""

    name: str
    line: str
    depth: int
    elements: int
    rate: float
    busy_s: float
    wait_s: float
    threads: int
    buffered_elements: int
    buffered_bytes: int
    advice: str = field(default="", repr=False)
    choice: str = field(default="", repr=False)


@dataclass(frozen=True)
class PipelineStats:
    """What a pipeline did so far; `print` it.

    Attributes:
        rows: a row per stage, the last stage first.
        elapsed_s: seconds since the iterator was made.
        inside_s: seconds the consumer spent asking the pipeline for elements.
    """

    rows: tuple[StageRow, ...]
    elapsed_s: float
    inside_s: float

    @property
    def bottleneck(self) -> StageRow | None:
        """The stage whose threads worked longest; None if nothing has run."""
        busy = [r for r in self.rows if r.busy_s > 0]
        return max(busy, key=lambda r: r.busy_s / r.threads) if busy else None

    @property
    def consumer_bound(self) -> bool:
        """Whether the consumer, not the pipeline, sets the pace: it seldom waits."""
        return self.inside_s < 0.3 * self.elapsed_s

    @property
    def relief(self) -> str:
        """What would relieve the bottleneck."""
        row = self.bottleneck
        if row is None:
            return "nothing has run yet"
        if self.consumer_bound:
            share = self.inside_s / self.elapsed_s
            return (
                f"its consumer waits for it {share:.0%} of the time only, so a faster pipeline "
                "would gain little"
            )
        if row.advice:
            return row.advice
        return "give it less to do, or run the pipeline on more cores"

    @property
    def choices(self) -> tuple[str, ...]:
        """Threads and buffers of the stages that have any, and why (see `autotune`)."""
        return tuple(
            f"{r.name}{f' ({r.line})' if r.line else ''}: {r.choice}"
            for r in self.rows
            if r.choice
        )

    def __str__(self) -> str:
        heads = ("stage", "elements", "rate", "busy", "waits", "threads", "buffered")
        table = [heads]
        for r in self.rows:
            held = f"{r.buffered_elements:,} ({_bytes(r.buffered_bytes)})"
            table.append((
                "  " * r.depth + r.name, f"{r.elements:,}", f"{_count(r.rate)}/s",
                _seconds(r.busy_s), _seconds(r.wait_s), str(r.threads),
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
            share = slowest.busy_s / slowest.threads / self.elapsed_s if self.elapsed_s else 0
            lines.append(
                f"bottleneck: {slowest.name}{place}, at work {min(share, 1):.0%} of the time"
            )
        lines.append(f"to relieve it: {self.relief}")
        lines += [f"chosen: {text}" for text in self.choices]
        return "\n".join(lines)

    __repr__ = __str__


def pipeline_stats(stage: Any, started: float) -> PipelineStats:
    """The counters of `stage` and all stages before it.

    `started` is when the iterator was made, by ``time.perf_counter()``.
    """
    rows: list[StageRow] = []
    elapsed_s = max(time.perf_counter() - started, 1e-9)

    def walk(one: Any, depth: int) -> None:
        rows.append(_row(one, depth, elapsed_s))
        for inner in one.inputs:
            walk(inner, depth + (len(one.inputs) > 1))

    walk(stage, 0)
    return PipelineStats(tuple(rows), elapsed_s, stage.seconds)


class Run:
    """One iteration over a dataset, for `stats()`: the stages while they run, then what they
    counted."""

    def __init__(self, stage: Any):
        self._stage = stage
        self._started = time.perf_counter()
        self._final: PipelineStats | None = None

    def stats(self) -> PipelineStats:
        """The counters now, or at the end if the iteration has ended."""
        if self._final is not None:
            return self._final
        return pipeline_stats(self._stage, self._started)

    def finish(self) -> None:
        """Keep the counters and let go of the stages."""
        if self._final is None:
            self._final = self.stats()
            self._stage = None


def _row(stage: Any, depth: int, elapsed_s: float) -> StageRow:
    threads = getattr(stage, "threads", 0)
    inner_s = sum(inner.seconds for inner in stage.inputs)
    held = stage.buffered() if hasattr(stage, "buffered") else (0, 0)
    return StageRow(
        name=stage.node.label,
        line=short_line(stage.node.source),
        depth=depth,
        elements=stage.rows,
        rate=stage.rows / elapsed_s,
        busy_s=stage.work_s if threads else max(stage.seconds - inner_s, 0.0),
        wait_s=stage.seconds if threads else 0.0,
        threads=threads or 1,
        buffered_elements=held[0],
        buffered_bytes=held[1],
        advice=getattr(stage, "advice", ""),
        choice=getattr(stage, "choice", ""),
    )


def short_line(source: str) -> str:
    """Turns "/long/way/train.py:12" into "train.py:12"; several, with commas, each so."""
    parts = source.replace("\\", "/").split(", ")
    return ", ".join(part.rsplit("/", 1)[-1] for part in parts)


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
