"""Matrix products over threads that do not spin.

OpenBLAS's own threads spin while they wait; beside anything else that runs (a data pipeline's
workers, another process) a product then takes ten times as long.  So the BLAS that NumPy
bundles is set to one thread at the first product here, and a large product is cut in parts,
of which sleeping worker threads take what the calling thread has not begun.  Where NumPy has
another BLAS, that one's own threading stays in force.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

__all__ = ["gemm", "set_threads", "threads"]

_MIN_WORK = 6_000_000  # multiply-adds; a smaller product ends before a thread has woken up
_wanted: int | None = None
_started: int | None = None
_tasks: SimpleQueue[_Part] = SimpleQueue()
_lock = threading.Lock()


def set_threads(count: int) -> None:
    """Threads for one product; 0 means one per usable CPU."""
    global _wanted
    if count < 0:
        raise ValueError(f"number of threads must not be negative, got {count}")
    _wanted = count or None


def threads() -> int:
    """Threads a large product is spread over."""
    if _wanted is not None:
        return _wanted
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this operating system
        return os.cpu_count() or 1


def gemm(x: Any, y: Any) -> Any:
    """x @ y for matrices [n, k] and [k, m] of one float dtype, views of transposes included."""
    if not _one_blas_thread():
        return np.matmul(x, y)
    n, k = x.shape
    m = y.shape[1]
    if n * k * m < _MIN_WORK:
        return np.matmul(x, y)
    count = min(threads(), 16, max(n, m) // 8)
    if count < 2:
        return np.matmul(x, y)
    _start(count - 1)
    out = np.empty((n, m), x.dtype)
    parts = []
    by_rows = n >= m
    size = n if by_rows else m
    for i in range(count):
        # Cuts at multiples of 8 keep BLAS's inner kernels whole.
        cut = slice(
            size * i // count & ~7, size if i == count - 1 else size * (i + 1) // count & ~7
        )
        parts.append(
            _Part(x[cut], y, out[cut]) if by_rows else _Part(x, y[:, cut], out[:, cut])
        )
    for part in parts[1:]:
        _tasks.put(part)
    for part in parts:
        part.run()
    for part in parts[1:]:
        part.wait()
    return out


class _Part:
    """One part of a product, run by whoever takes it first."""

    __slots__ = ("_begun", "_done", "error", "out", "x", "y")

    def __init__(self, x: Any, y: Any, out: Any):
        self.x, self.y, self.out = x, y, out
        self._begun = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()
        self.error: BaseException | None = None

    def run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            np.matmul(self.x, self.y, out=self.out)
        except BaseException as error:
            self.error = error
        finally:
            self._done.release()

    def wait(self) -> None:
        self._done.acquire()
        if self.error is not None:
            raise self.error


def _start(count: int) -> None:
    global _started
    if _started is not None and _started >= count:
        return
    with _lock:
        have = _started or 0
        for i in range(have, count):
            threading.Thread(target=_work, name=f"headrace-gemm-{i}", daemon=True).start()
        _started = max(have, count)


def _work() -> None:
    while True:
        part = _tasks.get()
        part.run()
        del part  # its arrays are not kept while this thread sleeps


def _forget_threads() -> None:
    """In a forked child no worker is left."""
    global _started, _tasks, _lock
    _started, _tasks, _lock = None, SimpleQueue(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@functools.cache
def _one_blas_thread() -> bool:
    """Set NumPy's OpenBLAS to one thread; whether that could be done."""
    libraries = Path(np.__file__).parent.parent / "numpy.libs"
    for path in sorted(libraries.glob("libscipy_openblas*")):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name in ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads"):
            if hasattr(library, name):
                getattr(library, name)(1)
                return True
    return False
