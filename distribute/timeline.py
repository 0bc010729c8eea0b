"""Timeline: what every replica did when, as a Chrome trace with lanes for input, compute and
communication.

Recording costs nothing while no timeline is open.  Open the file in chrome://tracing, Perfetto
or TensorBoard's trace viewer.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["LANES", "Timeline", "recorded"]

LANES = ("input", "compute", "communication")

_open: Timeline | None = None


class Timeline:
    """Records spans while its ``with`` block runs.

    Args:
        path: file of the Chrome trace, written at the end; None to keep it in memory.
        process: number shown for this process, such as its rank.

    >>> with Timeline() as timeline:
    ...     with recorded("compute", "step", 0):
    ...         pass
    >>> [span["name"] for span in timeline.spans]
    ['step']
    """

    def __init__(self, path: Any = None, process: int = 0):
        self._path = path
        self._process = process
        self._spans: list[tuple[str, str, int, float, float]] = []
        self._lock = threading.Lock()
        self._start = 0.0

    def __enter__(self) -> Timeline:
        global _open
        if _open is not None:
            raise RuntimeError("a Timeline is open already; leave it before opening another")
        self._spans = []
        self._start = time.perf_counter()
        _open = self
        return self

    def __exit__(self, *error: Any) -> None:
        global _open
        _open = None
        if self._path is not None and error[0] is None:
            self.save(self._path)

    def add(self, lane: str, name: str, replica: int, start: float, stop: float) -> None:
        """Note a span; times are `time.perf_counter`'s."""
        with self._lock:
            self._spans.append((lane, name, replica, start, stop))

    @property
    def spans(self) -> list[dict[str, Any]]:
        """The spans: lane, name, replica, start and duration in seconds, by time."""
        return [
            {"lane": lane, "name": name, "replica": replica, "start_s": start - self._start,
             "duration_s": stop - start}
            for lane, name, replica, start, stop in sorted(self._spans, key=lambda s: s[3])
        ]  # fmt: skip

    def overlap(self, lane: str, beside: str = "compute") -> float:
        """Share of the time in `lane`, 0 to 1, during which some replica is in `beside`."""
        mine, others = self._united(lane), self._united(beside)
        total = sum(stop - start for start, stop in mine)
        shared = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in mine for b in others)
        return shared / total if total else 0.0

    def _united(self, lane: str) -> list[tuple[float, float]]:
        found: list[tuple[float, float]] = []
        for start, stop in sorted((s[3], s[4]) for s in self._spans if s[0] == lane):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], stop))
            else:
                found.append((start, stop))
        return found

    def chrome_trace(self) -> dict[str, Any]:
        """The trace in Chrome's format: a process per replica, a thread per lane."""
        events: list[dict[str, Any]] = []
        for replica in sorted({s[2] for s in self._spans}):
            pid = self._process * 1000 + replica
            events.append({"ph": "M", "pid": pid, "name": "process_name",
                           "args": {"name": f"replica {replica}"}})  # fmt: skip
            events.extend(
                {"ph": "M", "pid": pid, "tid": i, "name": "thread_name", "args": {"name": lane}}
                for i, lane in enumerate(LANES)
            )
        for span in self.spans:
            events.append({
                "ph": "X", "pid": self._process * 1000 + span["replica"],
                "tid": LANES.index(span["lane"]), "name": span["name"],
                "cat": span["lane"], "ts": span["start_s"] * 1e6,
                "dur": span["duration_s"] * 1e6,
            })  # fmt: skip
        shares = {f"{lane}_beside_compute": self.overlap(lane)
                  for lane in ("input", "communication")}  # fmt: skip
        return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": shares}

    def save(self, path: Any) -> None:
        """Write the Chrome trace as a JSON file, which appears whole or not at all."""
        temporary = f"{os.fspath(path)}.{os.getpid()}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(self.chrome_trace(), file)
        os.replace(temporary, path)


@contextlib.contextmanager
def _recorded(timeline: Timeline, lane: str, name: str, replica: int) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        timeline.add(lane, name, replica, start, time.perf_counter())


_NOTHING = contextlib.nullcontext()


def recorded(lane: str, name: str, replica: int = 0) -> Any:
    """A ``with`` block that the open timeline, if there is one, shows as a span."""
    timeline = _open
    return _NOTHING if timeline is None else _recorded(timeline, lane, name, replica)
