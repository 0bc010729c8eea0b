"""Profiles: what happened when, for TensorBoard's profile tab and for Chrome's trace viewer.

A profile is a folder ``plugins/profile/<session>`` with ``<host>.xplane.pb``, which the plugin
`xprof` reads, and ``<host>.trace.json.gz``, which ``chrome://tracing`` and Perfetto read.
Sources: xplane.proto and the "Trace Event Format" (Google).

What xprof makes of names, and why spans are called as they are: ``scope/name:Type`` is an
operation, ``Iterator::Batch`` a stage of an input pipeline, ``IteratorGetNext`` a step's wait
for input, and ``train`` or ``test`` with a `step_num` a step.
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import re
import socket
import struct
from collections.abc import Iterable
from typing import Any

from ..ops.profiling import Span

__all__ = ["HOST", "chrome_trace", "session_folder", "write_profile", "xspace"]

HOST = "/host:CPU"
"""The plane of what this process's threads did."""


def write_profile(logdir: Any, spans: Iterable[Span], threads: dict[int, str]) -> str:
    """Write a profile as a new session under `logdir`; the session's folder.

    Args:
        logdir: TensorBoard's folder.
        spans: what was recorded.
        threads: names of the threads.
    """
    folder = session_folder(logdir)
    base = os.path.join(folder, socket.gethostname())
    lines = _lines(spans, threads)
    with open(f"{base}.xplane.pb", "wb") as file:
        file.write(xspace({HOST: lines}))
    with gzip.open(f"{base}.trace.json.gz", "wt") as text:
        json.dump(chrome_trace(lines), text)
    return folder


def session_folder(logdir: Any) -> str:
    """A new folder under `logdir` for a session that begins now."""
    now = datetime.datetime.now()
    wanted = os.path.join(os.fspath(logdir), "plugins", "profile", f"{now:%Y_%m_%d_%H_%M_%S}")
    number = 1
    while True:
        folder = wanted if number == 1 else f"{wanted}_{number}"
        try:
            os.makedirs(folder)
        except FileExistsError:
            number += 1
        else:
            return folder


def _lines(spans: Iterable[Span], threads: dict[int, str]) -> dict[str, list[Span]]:
    """Thread name -> its spans; outer ones first, times from the first span on."""
    found = sorted(spans, key=lambda s: (s.start_ns, -s.duration_ns))
    origin = found[0].start_ns if found else 0
    named: dict[int, str] = {}
    lines: dict[str, list[Span]] = {}
    for span in found:
        name = named.get(span.thread)
        if name is None:
            name = base = threads.get(span.thread, "thread")
            number = 1
            while name in lines:
                number += 1
                name = f"{base} {number}"
            named[span.thread] = name
        lines.setdefault(name, []).append(
            span._replace(name=_shown(span.name), start_ns=span.start_ns - origin)
        )
    return lines


_SOURCES = {"tf_record": "TFRecord", "csv": "CSV"}


def _shown(name: str) -> str:
    """``Iterator::parallel_map(f)`` as ``Iterator::ParallelMap``; other names as they are."""
    if not name.startswith("Iterator::"):
        return name
    label = re.split(r"\W", name.removeprefix("Iterator::"), maxsplit=1)[0]
    kind = _SOURCES.get(label) or "".join(part.capitalize() for part in label.split("_"))
    return f"Iterator::{kind or 'Stage'}"


def chrome_trace(lines: dict[str, list[Span]]) -> dict[str, object]:
    """The spans in the Trace Event Format; times are in microseconds."""
    found: list[dict[str, object]] = [
        {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": HOST}}
    ]
    for number, (line, spans) in enumerate(lines.items(), 1):
        at = {"pid": 1, "tid": number}
        found.append({"ph": "M", **at, "name": "thread_name", "args": {"name": line}})
        for span in spans:
            event = {"ph": "X", **at, "name": span.name, "ts": span.start_ns / 1e3,
                     "dur": span.duration_ns / 1e3}  # fmt: skip
            found.append({**event, "args": span.stats} if span.stats else event)
    return {"displayTimeUnit": "ns", "traceEvents": found}


def xspace(planes: dict[str, dict[str, list[Span]]]) -> bytes:
    """Planes, each with the spans of its lines, as a serialized `XSpace` message.

    `XSpace` is not among TensorBoard's messages, so its few fields are written here.
    """
    found = [_bytes(1, _plane(i, *plane)) for i, plane in enumerate(planes.items(), 1)]
    return b"".join(found) + _bytes(4, socket.gethostname().encode())


def _plane(number: int, plane_name: str, lines: dict[str, list[Span]]) -> bytes:
    """An `XPlane`."""
    every = [span for spans in lines.values() for span in spans]
    events = _numbered(span.name for span in every)
    stats = _numbered(key for span in every for key in span.stats or ())
    plane = [_int(1, number), _bytes(2, plane_name.encode())]
    for line_number, (name, spans) in enumerate(lines.items(), 1):
        # Times count from the session's start: the viewer shows nothing for epoch times.
        line = [_int(1, line_number), _bytes(2, name.encode())]
        for span in spans:
            event = _int(1, events[span.name])
            event += _int(2, span.start_ns * 1000) + _int(3, span.duration_ns * 1000)
            for key, value in (span.stats or {}).items():
                event += _bytes(4, _stat(stats[key], value))
            line.append(_bytes(4, event))
        plane.append(_bytes(3, b"".join(line)))
    for field, names in ((4, events), (5, stats)):
        for name, key in names.items():
            metadata = _int(1, key) + _bytes(2, name.encode())
            plane.append(_bytes(field, _int(1, key) + _bytes(2, metadata)))
    return b"".join(plane)


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(dict.fromkeys(names), 1)}


def _stat(key: int, value: Any) -> bytes:
    """An `XStat`."""
    if isinstance(value, (bool, int)) and -(2**63) <= value < 2**63:
        return _int(1, key) + _int(4, int(value) & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return _int(1, key) + _varint(2 << 3 | 1) + struct.pack("<d", value)
    return _int(1, key) + _bytes(5, str(value).encode())


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
