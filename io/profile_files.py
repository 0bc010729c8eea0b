"""Profiles: what happened when, for TensorBoard's profile tab and for Chrome's trace viewer.

A profile is a folder ``plugins/profile/<session>`` with ``<host>.xplane.pb``, which the plugin
`xprof` reads, and ``<host>.trace.json.gz``, which ``chrome://tracing`` and Perfetto read.
Source: xplane.proto and the "Trace Event Format" (Google).
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import socket
import time
from typing import NamedTuple

__all__ = ["Lanes", "Span", "write_profile", "xspace"]


class Span(NamedTuple):
    """Something that took time; nanoseconds since the profile began."""

    name: str
    start_ns: int
    duration_ns: int


class Lanes:
    """Spans being recorded, lane by lane; within a lane one follows the other.

    Attributes:
        spans: lane -> its spans.
    """

    def __init__(self) -> None:
        self.spans: dict[str, list[Span]] = {}
        self._origin_ns = time.perf_counter_ns()
        self._open: dict[str, tuple[str, int]] = {}

    def begin(self, lane: str, name: str, after: str | None = None) -> None:
        """A span of `lane` begins now, and an open one of `after` ends."""
        if after is not None:
            self.end(after)
        self.spans.setdefault(lane, [])
        self._open[lane] = name, time.perf_counter_ns() - self._origin_ns

    def end(self, lane: str) -> None:
        """The open span of `lane`, if there is one, ends now."""
        found = self._open.pop(lane, None)
        if found is not None:
            name, start = found
            now = time.perf_counter_ns() - self._origin_ns
            self.spans[lane].append(Span(name, start, now - start))


def write_profile(logdir: str, lanes: Lanes) -> str:
    """Write the spans as a new session under `logdir`; the session's folder."""
    session = datetime.datetime.now().strftime("%Y_%m_%d_%H_%M_%S")
    folder = os.path.join(logdir, "plugins", "profile", session)
    os.makedirs(folder, exist_ok=True)
    base = os.path.join(folder, socket.gethostname())
    with open(f"{base}.xplane.pb", "wb") as file:
        file.write(xspace(lanes.spans))
    with gzip.open(f"{base}.trace.json.gz", "wt") as text:
        json.dump(chrome_trace(lanes.spans), text)
    return folder


def chrome_trace(lanes: dict[str, list[Span]]) -> dict[str, object]:
    """The spans in the Trace Event Format; times are in microseconds."""
    found: list[dict[str, object]] = [
        {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "/host:CPU"}}
    ]
    for number, (lane, spans) in enumerate(lanes.items(), 1):
        at = {"pid": 1, "tid": number}
        found.append({"ph": "M", **at, "name": "thread_name", "args": {"name": lane}})
        found.extend(
            {"ph": "X", **at, "name": name, "ts": start / 1e3, "dur": duration / 1e3}
            for name, start, duration in spans
        )
    return {"displayTimeUnit": "ns", "traceEvents": found}


def xspace(lanes: dict[str, list[Span]]) -> bytes:
    """The spans as a serialized `XSpace` message with one plane, ``/host:CPU``.

    `XSpace` is not among TensorBoard's messages, so its few fields are written here.
    """
    names = sorted({span.name for spans in lanes.values() for span in spans})
    number = {name: i for i, name in enumerate(names, 1)}
    plane = _int(1, 1) + _bytes(2, b"/host:CPU")
    for i, (lane, spans) in enumerate(lanes.items(), 1):
        # Times count from the session's start: the viewer shows nothing for epoch times.
        line = _int(1, i) + _bytes(2, lane.encode())
        for span in spans:
            line += _bytes(
                4,
                _int(1, number[span.name])
                + _int(2, span.start_ns * 1000)
                + _int(3, span.duration_ns * 1000),
            )
        plane += _bytes(3, line)
    for name, key in number.items():
        metadata = _int(1, key) + _bytes(2, name.encode())
        plane += _bytes(4, _int(1, key) + _bytes(2, metadata))
    return _bytes(1, plane) + _bytes(4, socket.gethostname().encode())


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
