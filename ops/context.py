"""What the current thread is recording: the trace under way and the active gradient tapes; and
which replica of a strategy it computes for.

`recording` counts traces and tapes of all threads.  While it is 0, dispatch takes the eager
fast path without looking at any thread-local state.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "ElementDraws",
    "RunsReplicas",
    "compiling_steps",
    "current",
    "init_scope",
    "placing",
    "recording",
    "same_on_all_replicas",
    "tapes_paused",
]


class ElementDraws:
    """A context in which random numbers are drawn from the streams of one element of a dataset.

    Args:
        index: the element's number, by which the streams are its own.
    """

    __slots__ = ("_before", "_used", "index")

    def __init__(self, index: int):
        self.index = index
        self._used: dict[Any, int] = {}

    def reserve(self, stream: Any, n: int) -> int:
        """Take the next `n` counters of a stream; returns the first."""
        start = self._used.get(stream, 0)
        self._used[stream] = start + n
        return start

    def __enter__(self) -> None:
        self._before = current.element
        current.element = self

    def __exit__(self, *error: object) -> None:
        current.element = self._before


class _Current(threading.local):
    trace: Any = None
    tapes: tuple[Any, ...] = ()
    # Set by strategies of several replicas: the replica that runs, the strategy whose scope
    # makes variables, whether what is assigned is the same on every replica already, and
    # whether a `function` stands around a strategy's steps, which it then compiles.
    replica: Any = None
    variables: Any = None
    in_step: bool = False
    compiles_steps: bool = False
    # Set while a dataset's function runs for one element: numbers it draws are the element's.
    element: ElementDraws | None = None


class RunsReplicas(Exception):
    """A strategy's step begins inside a function that is being traced: the function itself then
    runs as Python, and what the replicas run becomes the graphs."""


class _Recording:
    """A count that several threads change (under a lock) and every dispatch reads."""

    __slots__ = ("_lock", "count")

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self.count += 1

    def leave(self) -> None:
        with self._lock:
            self.count -= 1


class _Placing:
    """Whether calls have to be placed on devices, and who does that.

    Attributes:
        on: there is a device, or may be one: it is found out at the first call.
        run: ``run(primitive, raw_arrays, attrs)`` gives the raw result of a placed call.
        graph: ``graph(compiled, raw_arrays)`` runs a graph node by node where its arrays lie;
            None where the host can run it as a whole.
        value: a raw array on the device that a value made now goes to.
    """

    __slots__ = ("graph", "on", "run", "value")

    def __init__(self) -> None:
        self.on = False
        self.run: Any = None
        self.graph: Any = None
        self.value: Any = None


current = _Current()
recording = _Recording()
placing = _Placing()


@contextmanager
def tracing(trace: Any) -> Iterator[Any]:
    """Record what this thread does in `trace`; tapes of the surrounding code are set aside."""
    before = current.trace, current.tapes
    current.trace, current.tapes = trace, ()
    recording.enter()
    try:
        yield trace
    finally:
        recording.leave()
        current.trace, current.tapes = before


@contextmanager
def init_scope() -> Iterator[None]:
    """Run the block eagerly even while a function is traced (e.g. to create variables)."""
    before = current.trace, current.tapes
    current.trace, current.tapes = None, ()
    try:
        yield
    finally:
        current.trace, current.tapes = before


@contextmanager
def tapes_paused() -> Iterator[None]:
    """Run the block without recording it on any tape of this thread."""
    before = current.tapes
    current.tapes = ()
    try:
        yield
    finally:
        current.tapes = before


@contextmanager
def same_on_all_replicas() -> Iterator[None]:
    """Say that every replica assigns the same values in the block, or values of its own that
    are to stay so: nothing is combined."""
    before, current.in_step = current.in_step, True
    try:
        yield
    finally:
        current.in_step = before


@contextmanager
def compiling_steps() -> Iterator[None]:
    """Run a function around strategies' steps as Python; the steps are traced and compiled."""
    before, current.compiles_steps = current.compiles_steps, True
    try:
        yield
    finally:
        current.compiles_steps = before


def executing_eagerly() -> bool:
    """Whether operations run at once (True) or are recorded into a graph (False)."""
    return current.trace is None
