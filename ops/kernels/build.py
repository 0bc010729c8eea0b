"""Machine code of this room's kernels: from the disk cache, or made by a child process.

Nothing waits for a compiler: `kernel(name)` answers at once, with a function of i64s or with
None.  The first call starts a thread that loads modules from the cache or has a child process
make them: LLVM's calls exclude each other within a process, and these modules take seconds.
The thread is no daemon, since a process that ends while LLVM runs crashes; it leaves the child
to itself when the main thread is done.  ``HEADRACE_JIT=0`` turns kernels off.
"""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .. import kernel_cache, object_code
from ..graph import llvm
from .code import Code

__all__ = ["ensure_compiled", "fill_cache", "host_width", "kernel", "vector_width"]

Kernel = Callable[..., None]

# Modules of kernels and how many i64s each kernel takes, those first that gain most.
MODULES = {
    "elementary": {
        "pool_forward": 4, "pool_gradient": 4, "pool_gradient_apart": 4,
        "norm_sums": 4, "norm_apply": 4, "norm_gradient_sums": 4, "norm_gradient_apply": 4,
    },
    "taps": {"tap_forward": 4, "tap_gradient": 5},
    "matmul": {"matmul_part": 1},
    "recurrent": {
        "lstm_forward": 4, "lstm_backward": 5, "gru_forward": 4, "gru_backward": 5,
    },
    "pooled": {"pooled_forward": 4, "pooled_gradient": 5},
    "strided": {
        "strided_filter": 7, "strided_forward": 4, "strided_gradient": 6, "strided_input": 4,
    },
    "winograd": {
        "winograd_filter": 7, "winograd_forward": 4, "winograd_gradient": 6,
        "winograd_pool_forward": 4, "winograd_pool_gradient": 6, "winograd_pool_input": 4,
    },
}  # fmt: skip

# The files that a module's code comes from.
_SOURCES = {
    "elementary": ("elementary_code",),
    "taps": ("products", "taps_code"),
    "matmul": ("products", "matmul_code"),
    "recurrent": ("products", "recurrent_code", "gru_code", "vector_math"),
    "pooled": ("pooled_code",),
    "strided": ("products", "winograd_code", "strided_code"),
    "winograd": ("products", "pooled_code", "winograd_code", "winograd_pool_code"),
}

_kernels: dict[str, Kernel] = {}
_width = 16  # of the kernels that were loaded
_lock = threading.Lock()
_thread: threading.Thread | None = None
_done = threading.Event()
_failure: BaseException | None = None


def kernel(name: str) -> Kernel | None:
    """The compiled kernel, or None while there is none."""
    found = _kernels.get(name)
    if found is None and _thread is None:
        _start()
    return found


def ensure_compiled(timeout_s: float | None = None) -> bool:
    """Wait until all kernels are there (benches, tests); whether they are.

    Raises:
        RuntimeError: they could not be compiled.
    """
    _start()
    _done.wait(timeout_s)
    if _failure is not None:
        raise RuntimeError(f"kernels could not be compiled: {_failure!r}") from _failure
    return _done.is_set() and bool(_kernels)


def vector_width() -> int:
    """Floats in a vector of the kernels that are there."""
    return _width


def host_width() -> int:
    """Floats in a vector of this machine, as LLVM knows it."""
    features = kernel_cache.cpu_features()
    if "avx512f" in features:
        return 16
    return 8 if {"avx2", "fma"} <= features else 4


def _start() -> None:
    global _thread
    with _lock:
        if _thread is not None:
            return
        _thread = threading.Thread(target=_make_all, name="headrace-kernels")
        if not llvm.enabled():
            _done.set()
            return
    _thread.start()


def _make_all() -> None:
    global _failure
    try:
        missing = [m for m in MODULES if not _load(m)]
        if missing:
            missing = _made_by_a_child(missing)
        for module in missing:
            if not threading.main_thread().is_alive():
                return
            fill_cache([module])
            if not _load(module):
                raise RuntimeError(f"no machine code of {module} in {_path(module)}")
    except BaseException as error:  # the plain forms go on; ensure_compiled tells
        _failure = error
    finally:
        _done.set()


def _made_by_a_child(missing: list[str]) -> list[str]:
    """Load modules as a child process makes them; those that it did not make."""
    if not sys.executable:
        return missing
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"from {__name__} import fill_cache; fill_cache({missing!r})"
    )
    quiet = subprocess.DEVNULL
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=quiet, stdout=quiet, stderr=quiet
        )
    except OSError:
        return missing
    while missing and child.poll() is None:
        if not threading.main_thread().is_alive():
            child.returncode = 0  # left to itself: no warning that it still runs
            return []
        time.sleep(0.05)
        missing = [m for m in missing if not _load(m)]
    if not missing:
        child.wait()
    return [m for m in missing if not _load(m)]


def fill_cache(modules: list[str]) -> None:
    """Compile modules into the cache: what the child process does.

    A file holds the vector's width in its first byte, then the object file.
    """
    for module in modules:
        width = host_width()
        code = Code(width)
        write(module, code)
        found = llvm.compile_object(code.text())
        kernel_cache.write(_path(module), bytes([width]) + found)


def write(module: str, code: Code) -> None:
    """Write a module's functions."""
    from . import (
        elementary_code,
        gru_code,
        matmul_code,
        pooled_code,
        products,
        recurrent_code,
        strided_code,
        taps_code,
        winograd_code,
        winograd_pool_code,
    )

    def write_products(code: Code) -> None:
        products.write_product(code)
        products.write_gradient_product(code)

    parts: dict[str, tuple[Callable[[Code], None], ...]] = {
        "elementary": (elementary_code.write_elementary,),
        "matmul": (matmul_code.write_matmul,),
        "pooled": (pooled_code.write_pooled,),
        "recurrent": (recurrent_code.write_recurrent, gru_code.write_gru),
        "strided": (write_products, strided_code.write_strided),
        "taps": (write_products, taps_code.write_taps),
        "winograd": (
            write_products, winograd_code.write_winograd, winograd_pool_code.write_winograd_pool
        ),
    }  # fmt: skip
    for part in parts[module]:
        part(code)


def _load(module: str) -> bool:
    """Load a module from the cache; whether it was there, whole."""
    global _width
    try:
        data = kernel_cache.read(_path(module))
    except (OSError, ValueError):  # absent or damaged
        return False
    kernels = MODULES[module]
    _width = data[0]
    addresses = object_code.load(data[1:], *kernels)
    for (name, count), address in zip(kernels.items(), addresses, strict=True):
        _kernels[name] = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * count)(address)
    return True


def _path(module: str) -> Path:
    """Where the cache keeps a module: of these sources, this compiler and this CPU."""
    digest = hashlib.sha256(kernel_cache.machine().encode())
    for name in ("build", "code", *_SOURCES[module]):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return kernel_cache.cache_folder() / "ops" / f"{module}-{digest.hexdigest()[:24]}"
