"""Compiled forms of the update kernels, each made or loaded by a background thread when it is
first asked for.

Nothing waits: `compiled(name)` answers None until the kernel is there, and the update then runs
its NumPy form.  The threads are no daemons, for the reason `io.jit` gives.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from ...io.jit import compile_function
from . import kernels

__all__ = ["compiled", "wait_until_compiled"]

_ready: dict[str, Callable[..., Any]] = {}
_threads: dict[str, threading.Thread] = {}
_lock = threading.Lock()


def compiled(name: str) -> Callable[..., Any] | None:
    """The compiled kernel `name`, or None as long as there is none."""
    found = _ready.get(name)
    if found is None and name not in _threads:
        _start(name)
    return found


def wait_until_compiled(*names: str, timeout_s: float | None = None) -> bool:
    """Wait for the kernels (benches, tests); whether they are there."""
    for name in names:
        _start(name)
    for name in names:
        thread = _threads[name]
        if thread.ident is not None:
            thread.join(timeout_s)
    return all(name in _ready for name in names)


def _start(name: str) -> None:
    with _lock:
        if name in _threads:
            return
        thread = threading.Thread(target=_compile, args=(name,), name=f"headrace-jit-{name}")
        _threads[name] = thread
        if os.environ.get("HEADRACE_JIT") != "0":
            thread.start()


def _compile(name: str) -> None:
    try:
        _ready[name] = compile_function(*kernels.kernel(name))
    except Exception:  # no numba, or one that fails here: the NumPy form goes on
        return
