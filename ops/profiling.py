"""What a profile is made of: spans of time, thread by thread, and the graphs that ran.

While `profiling.on`, compiled graphs time each of their calls (`graph/execute.py`), eager calls
take the slow path of dispatch, which times them, and the stages of datasets time their blocks.
Otherwise each of them looks at one attribute and goes on.  Adding is one `list.append`, so that
threads need no lock.  Making files of it is `io/profile_files.py`'s affair.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from .context import recording

__all__ = ["Span", "now_ns", "op_label", "profiling", "timed"]

_MOST = 1_000_000  # spans; some 200 MB

now_ns = time.perf_counter_ns


class Span(NamedTuple):
    """Something that took time on a thread; nanoseconds of ``time.perf_counter_ns()``."""

    thread: int
    name: str
    start_ns: int
    duration_ns: int
    stats: dict[str, Any] | None = None


class _Profiling:
    """The profile under way.

    Attributes:
        running: whether there is one.
        on: whether operations and stages are timed.
        graphs: graphs that ran, by their id, if somebody wants to know; else None.
    """

    def __init__(self) -> None:
        self.running = self.on = False
        self.graphs: dict[int, Any] | None = None
        self._spans: list[Span] = []
        self._names: dict[int, str] = {}
        self._steps: dict[str, int] = {}

    def begin(self, first_step: int = 0, operations: bool = True) -> None:
        """Record from now on; the next step of a training is `first_step`."""
        self._spans, self._names, self._steps = [], {}, {"train": first_step}
        recording.enter()  # eager calls take the path that looks here
        self.running, self.on = True, operations

    def end(self) -> tuple[list[Span], dict[int, str]]:
        """Stop; the spans, and the names of their threads."""
        self.running = self.on = False
        recording.leave()
        spans, self._spans = self._spans, []
        return spans, self._names

    def add(self, name: str, start_ns: int, **stats: Any) -> None:
        """A span that ends now, on this thread."""
        duration = now_ns() - start_ns
        thread = threading.get_ident()
        if thread not in self._names:
            self._names[thread] = threading.current_thread().name
        if len(self._spans) < _MOST:
            self._spans.append(Span(thread, name, start_ns, duration, stats or None))

    def step(self, name: str, start_ns: int) -> None:
        """A step of a training that ends now."""
        number = self._steps.get(name, 0)
        self._steps[name] = number + 1
        self.add(name, start_ns, step_num=number, _r=1)


profiling = _Profiling()


def op_label(scope: str, name: str, kind: str) -> str:
    """A call's name as profilers know it: ``scope/name:Type``."""
    path = re.sub(r"[^A-Za-z0-9_./>-]", "_", f"{scope}/{name}" if scope else name).lstrip("_/-")
    return f"{path or kind}:{re.sub(r'[^A-Za-z0-9_]', '_', kind)}"


def timed(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`call`, its runs added to the profile."""

    def run(*arrays: Any) -> Any:
        began = now_ns()
        try:
            return call(*arrays)
        finally:
            profiling.add(name, began)

    return run
