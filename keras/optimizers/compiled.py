"""Compiled forms of the update kernels, made or loaded by one background thread.

Nothing waits: `compiled(name)` answers None until the kernel is there, and the update then runs
its NumPy form.  The thread is not a daemon, for the reason `io.jit` gives.
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
_lock = threading.Lock()
_thread: threading.Thread | None = None


def compiled(name: str) -> Callable[..., Any] | None:
    """The compiled kernel `name`, or None as long as there is none."""
    found = _ready.get(name)
    if found is None and _thread is None:
        _start()
    return found


def wait_until_compiled(timeout_s: float | None = None) -> bool:
    """Wait for the kernels (benches, tests); whether they are there."""
    _start()
    assert _thread is not None
    if _thread.ident is not None:
        _thread.join(timeout_s)
    return bool(_ready)


def _start() -> None:
    global _thread
    with _lock:
        if _thread is not None:
            return
        _thread = threading.Thread(target=_compile, name="headrace-optimizer-jit")
        if os.environ.get("HEADRACE_JIT") != "0":
            _thread.start()


def _compile() -> None:
    try:
        for name, function, signature in kernels.kernels():
            if not threading.main_thread().is_alive():
                return
            _ready[name] = compile_function(function, signature)
    except Exception:  # no numba, or one that fails here: the NumPy forms go on
        return
