"""Matrix products over threads that do not spin.

OpenBLAS's own threads spin while they wait; beside anything else that runs (a data pipeline's
workers, another process) a product then takes ten times as long.  So the BLAS that NumPy
bundles is set to one thread at the first product here, and a large product is cut in parts
for the worker threads of `workers`.  Where NumPy has another BLAS, that one's own threading
stays in force.  The largest products of float32 have a kernel of their own.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np

from . import recycling, workers
from .array_module import is_on_device
from .devices import devices
from .kernels import matmul

__all__ = ["gemm", "is_ours", "matrix_product"]

_SMALL = 8192  # elements of a result that the allocator keeps memory for
_MIN_WORK = 6_000_000  # multiply-adds; a smaller product ends before a thread has woken up


def gemm(x: Any, y: Any) -> Any:
    """x @ y for matrices [n, k] and [k, m] of one float dtype, views of transposes included."""
    if not _one_blas_thread():
        return np.matmul(x, y)
    n, k = x.shape
    m = y.shape[1]
    if n * m <= _SMALL and n * k * m < _MIN_WORK:
        return x.dot(y)  # the same product as matmul's, called in less time
    if n * k * m >= matmul.MIN_WORK:
        found = matmul.matmul(x, y)
        if found is not None:
            return found
    out = recycling.empty((n, m), x.dtype)
    count = min(workers.count(), 16, max(n, m) // 8)
    if n * k * m < _MIN_WORK or count < 2:
        return np.matmul(x, y, out=out)
    parts = []
    by_rows = n >= m
    size = n if by_rows else m
    for i in range(count):
        # Cuts at multiples of 8 keep BLAS's inner kernels whole.
        cut = slice(
            size * i // count & ~7, size if i == count - 1 else size * (i + 1) // count & ~7
        )
        if by_rows:
            parts.append(functools.partial(np.matmul, x[cut], y, out=out[cut]))
        else:
            parts.append(functools.partial(np.matmul, x, y[:, cut], out=out[:, cut]))
    workers.spread(parts)
    return out


def matrix_product(x: Any, y: Any) -> Any:
    """x @ y wherever the arrays lie; on GPUs in a way that can be recorded."""
    backend = devices.backend if is_on_device(x) else None
    return x @ y if backend is None else backend.product(x, y)


def is_ours() -> bool:
    """Whether NumPy's BLAS runs on the calling thread only, now that it has been told to."""
    return _one_blas_thread()


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
