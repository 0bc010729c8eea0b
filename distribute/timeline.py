"""Timeline: what every replica did when: lanes for input, compute, communication and waiting
for a reduction, as a Chrome trace and as a profile for TensorBoard.

A reduction is in the lane of communication from its start to its end; as far as its replica
does not wait for it meanwhile, it is hidden behind the computation.

Recording costs nothing while no timeline is open.  Open the trace in chrome://tracing or
Perfetto; TensorBoard shows the profile in its profile tab, with the plugin xprof.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .timeline_profile import Recorded, write_timeline_profile

__all__ = ["LANES", "Timeline", "current_timeline", "recorded"]

LANES = ("input", "compute", "communication", "waiting", "copies")

_open: Timeline | None = None


class Timeline:
    """Records spans while its ``with`` block runs.

    Args:
        path: file of the Chrome trace, written at the end; None to keep it in memory.
        process: number shown for this process, such as its rank.
        logdir: TensorBoard's folder, where the profile is written at the end; or None.
        session: the profile's name under ``logdir/plugins/profile``; by default the time.
            Processes that give the same one are shown together.

    >>> with Timeline() as timeline:
    ...     with recorded("compute", "step", 0):
    ...         pass
    >>> [span["name"] for span in timeline.spans]
    ['step']
    """

    def __init__(
        self, path: Any = None, process: int = 0, logdir: Any = None, session: str | None = None
    ):
        if session is not None and (logdir is None or os.path.basename(session) != session):
            raise ValueError(
                f"session must be a name for a profile that logdir asks for, got {session!r} "
                f"with logdir {logdir!r}"
            )
        self._path = path
        self._process = process
        self._logdir = logdir
        self._session = session
        self._spans: list[Recorded] = []
        self._later: list[tuple[str, str, int, Callable[[], tuple[float, float]]]] = []
        self._lock = threading.Lock()
        self._start = 0.0

    def __enter__(self) -> Timeline:
        global _open
        if _open is not None:
            raise RuntimeError("a Timeline is open already; leave it before opening another")
        self._spans, self._later = [], []
        self._start = time.perf_counter()
        _open = self
        return self

    def __exit__(self, *error: Any) -> None:
        global _open
        _open = None
        if error[0] is not None:
            return
        for lane, name, replica, when in self._later:
            self.add(lane, name, replica, *when())
        if self._path is not None:
            self.save(self._path)
        if self._logdir is not None:
            self.save_profile(self._logdir, self._session)

    def add(self, lane: str, name: str, replica: int, start: float, stop: float) -> None:
        """Note a span; times are `time.perf_counter`'s."""
        with self._lock:
            self._spans.append(Recorded(lane, name, replica, start, stop))

    def add_later(
        self, lane: str, name: str, replica: int, when: Callable[[], tuple[float, float]]
    ) -> None:
        """Note a span whose start and stop `when` tells at the end of the block: a device's
        work, which may not have happened yet."""
        with self._lock:
            self._later.append((lane, name, replica, when))

    @property
    def spans(self) -> list[dict[str, Any]]:
        """The spans: lane, name, replica, start and duration in seconds, by time."""
        return [
            {"lane": s.lane, "name": s.name, "replica": s.replica,
             "start_s": s.start - self._start, "duration_s": s.stop - s.start}
            for s in sorted(self._spans, key=lambda s: s.start)
        ]  # fmt: skip

    def overlap(self, replica: int | None = None) -> dict[str, float]:
        """How well things overlap, as shares from 0 to 1.

        ``communication_hidden``: of the time reductions take, the part in which their replica
        does not wait for them; ``input_hidden``: of the time between the first step's start and
        the last one's end, the part not spent waiting for batches.

        Args:
            replica: whose; None for all together.
        """
        spans = [s for s in self._spans if replica is None or s.replica == replica]
        flying, waiting = _total(spans, "communication"), _total(spans, "waiting")
        found = {"communication_hidden": max(0.0, 1.0 - waiting / flying) if flying else 1.0}
        steps = [s for s in spans if s.lane == "compute"]
        if steps:
            first, last = min(s.start for s in steps), max(s.stop for s in steps)
            # One thread takes the batches of all replicas of a process.
            waits = sum(
                max(0.0, min(s.stop, last) - max(s.start, first))
                for s in self._spans
                if s.lane == "input"
            )
            found["input_hidden"] = 1.0 - min(1.0, waits / (last - first))
        return found

    def chrome_trace(self) -> dict[str, Any]:
        """The trace in Chrome's format: a process per replica, a thread per lane."""
        events: list[dict[str, Any]] = []
        for replica in self._replicas:
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
        return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": self.overlap()}

    def save(self, path: Any) -> None:
        """Write the Chrome trace as a JSON file, which appears whole or not at all."""
        temporary = f"{os.fspath(path)}.{os.getpid()}.tmp"
        Path(temporary).write_text(json.dumps(self.chrome_trace()), encoding="utf-8")
        os.replace(temporary, path)

    def save_profile(self, logdir: Any, session: str | None = None) -> str:
        """Write the profile under `logdir`, see the class; the path of its file."""
        overlaps = {replica: self.overlap(replica) for replica in self._replicas}
        return write_timeline_profile(
            logdir, session, self._process, LANES, self._spans, overlaps
        )

    @property
    def _replicas(self) -> list[int]:
        return sorted({s.replica for s in self._spans})


def _total(spans: list[Recorded], lane: str) -> float:
    """Seconds in a lane, of all replicas; what runs at once counts once for a replica."""
    total = 0.0
    for replica in {s.replica for s in spans}:
        end = float("-inf")
        for start, stop in sorted(
            (s.start, s.stop) for s in spans if s.lane == lane and s.replica == replica
        ):
            total += max(0.0, stop - max(start, end))
            end = max(end, stop)
    return total


@contextlib.contextmanager
def _recorded(timeline: Timeline, lane: str, name: str, replica: int) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        timeline.add(lane, name, replica, start, time.perf_counter())


_NOTHING = contextlib.nullcontext()


def current_timeline() -> Timeline | None:
    """The timeline that is open, if there is one."""
    return _open


def recorded(lane: str, name: str, replica: int = 0) -> Any:
    """A ``with`` block that the open timeline, if there is one, shows as a span."""
    timeline = _open
    return _NOTHING if timeline is None else _recorded(timeline, lane, name, replica)
