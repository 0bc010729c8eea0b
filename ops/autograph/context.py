"""Whether the trace under way converts the functions it calls.

Control flow operations trace functions that users give them; `for_tracing` lets these have the
same treatment as the function around them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["converting", "first_attempt", "for_tracing", "state"]


class _State(threading.local):
    """What this thread is at.

    Attributes:
        converts: functions met are converted.
        branches: how many branches chosen by tensors are being traced around.
        first: the function being traced would be converted if it asked for a value.
    """

    converts = False
    branches = 0
    first = False


state = _State()
# `convert_callee`, put here by the converter, which is loaded when it is first needed.
converter: list[Callable[[Any], Any]] = []


@contextmanager
def converting(on: bool) -> Iterator[None]:
    """Convert (or not) the functions called in this block."""
    before = state.converts
    state.converts = on
    try:
        yield
    finally:
        state.converts = before


@contextmanager
def first_attempt() -> Iterator[None]:
    """Trace as Python has it in this block, long loops over tensors excepted."""
    before = state.first
    state.first = True
    try:
        yield
    finally:
        state.first = before


def for_tracing(fn: Any) -> Any:
    """`fn`, converted where the trace under way converts."""
    return converter[0](fn) if state.converts and converter else fn
