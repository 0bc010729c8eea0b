"""A timeline as a profile of TensorBoard: what xprof shows of it, and where.

Every replica is a device with a line for each lane, and one that tells its overlap.  The host
has the steps of this process's first replica (all run in step): xprof's overview and input
pipeline analyzer take from it how long steps take, and wait for input.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..io.profile_files import HOST, session_folder, xspace
from ..ops.profiling import Span

__all__ = ["Recorded", "write_timeline_profile"]


class Recorded(NamedTuple):
    """A span of a timeline; times in seconds of ``time.perf_counter()``."""

    lane: str
    name: str
    replica: int
    start: float
    stop: float


def write_timeline_profile(
    logdir: Any, session: str | None, process: int, lanes: Sequence[str],
    spans: Iterable[Recorded], overlaps: dict[int, dict[str, float]],
) -> str:  # fmt: skip
    """Write ``plugins/profile/<session>/<host>-<process>.xplane.pb`` under `logdir`; its path.

    Args:
        logdir: TensorBoard's folder.
        session: the profile's name; that of the time for None.
        process: this process's number.
        lanes: their names, in the order in which they are shown.
        spans: what was recorded.
        overlaps: of each replica, the shares that are told.
    """
    if session is None:
        folder = session_folder(logdir)
    else:
        folder = os.path.join(os.fspath(logdir), "plugins", "profile", session)
        os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{socket.gethostname()}-{process}.xplane.pb")
    temporary = f"{path}.{os.getpid()}.tmp"
    opened: Any = open(temporary, "wb")
    with opened as file:
        file.write(xspace(_planes(lanes, sorted(spans, key=lambda s: s.start), overlaps)))
    os.replace(temporary, path)
    return path


def _planes(
    lanes: Sequence[str], spans: list[Recorded], overlaps: dict[int, dict[str, float]]
) -> dict[str, dict[str, list[Span]]]:
    origin = spans[0].start if spans else 0.0
    end = max((s.stop for s in spans), default=0.0)
    replicas = sorted({s.replica for s in spans})
    planes = {HOST: {"steps": _steps(spans, replicas[0], origin)}} if replicas else {HOST: {}}
    for replica in replicas:
        own = [s for s in spans if s.replica == replica]
        lines = {
            lane: [_span(s.name, s.start, s.stop, origin) for s in own if s.lane == lane]
            for lane in lanes
        }
        told = overlaps.get(replica, {})
        text = ", ".join(f"{100 * v:.1f}% {k.replace('_', ' ')}" for k, v in told.items())
        percents = {f"{k}_percent": 100.0 * v for k, v in told.items()}
        lines["overlap"] = [_span(text or "overlap", origin, end, origin, **percents)]
        planes[f"/device:CUSTOM:replica {replica}"] = lines
    return planes


def _steps(spans: list[Recorded], replica: int, origin: float) -> list[Span]:
    """The steps of a replica, with what they waited for, under the names that xprof knows:
    a step lasts from its wait for a batch to the end of what it computes."""
    own = [s for s in spans if s.replica == replica]
    found: list[Span] = []
    last = float("-inf")
    for number, step in enumerate(s for s in own if s.lane == "compute"):
        batches = [s for s in own if s.lane == "input" and last <= s.start
                   and s.stop <= step.start]  # fmt: skip
        start = min((s.start for s in batches), default=step.start)
        found.append(_span("train", start, step.stop, origin, step_num=number, _r=1))
        found.extend(_span("IteratorGetNext", s.start, s.stop, origin) for s in batches)
        found.append(_span(f"compute/{step.name}:Step", step.start, step.stop, origin))
        found.extend(
            _span(f"waiting/{s.name}:AllReduce", s.start, s.stop, origin)
            for s in own
            if s.lane == "waiting" and step.start <= s.start and s.stop <= step.stop
        )
        last = step.stop
    return found


def _span(name: str, start: float, stop: float, origin: float, **stats: Any) -> Span:
    begin = round((start - origin) * 1e9)
    return Span(0, name, begin, max(0, round((stop - origin) * 1e9) - begin), stats or None)
