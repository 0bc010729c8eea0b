"""Kernels of this room, compiled or loaded from the disk cache by one background thread.

Nothing waits for a compiler: `kernel(name)` answers at once, with the compiled function or with
None, and the caller then runs its plain form.  The first call starts the thread; it imports
numba (0.2 s) and the kernel modules.  `ensure_compiled()` waits for it (benches, tests, and
jobs that prefer a slower start to a slower first second).

The cache lives in a subfolder of `headrace.ops.kernel_cache.cache_folder`, named by a hash of
the sources of the kernel and its helpers, so that a changed helper in another module also
invalidates it; numba's own index adds its version, CPU and signature.  ``HEADRACE_JIT=0`` turns kernels off.
The thread is not a daemon: a process that ends while LLVM runs would crash in its destructors.
It stops between kernels once the main thread is done.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..ops.kernel_cache import cache_folder

__all__ = ["compile_function", "ensure_compiled", "kernel"]

# Those first that gain most over their plain forms.
_MODULES = ("parse_kernel", "record_kernel", "sequence_kernel")

_compiled: dict[str, Callable[..., Any]] = {}
_lock = threading.Lock()
_done = threading.Event()
_thread: threading.Thread | None = None
_failure: BaseException | None = None


def kernel(name: str) -> Callable[..., Any] | None:
    """The compiled kernel `name`, or None while it is still being made."""
    found = _compiled.get(name)
    if found is None and _thread is None:
        _start()
    return found


def ensure_compiled(timeout_s: float | None = None) -> bool:
    """Wait until every kernel can be used; whether that is so now.

    Raises:
        RuntimeError: the compiler failed; the plain forms still work.
    """
    _start()
    _done.wait(timeout_s)
    if _failure is not None:
        raise RuntimeError(f"kernels could not be compiled: {_failure!r}") from _failure
    return _done.is_set() and bool(_compiled)


def compile_function(function: Callable[..., Any], *signatures: Any) -> Callable[..., Any]:
    """`function` compiled nogil for `signatures`, from the disk cache where possible."""
    import numba

    dispatcher = numba.njit(nogil=True, error_model="numpy", boundscheck=False)(function)
    try:
        dispatcher._cache = _kernel_cache(function)
    except (OSError, RuntimeError):
        pass  # no writable folder: compile in every process
    for signature in signatures:
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


def _start() -> None:
    global _thread
    with _lock:
        if _thread is not None:
            return
        _thread = threading.Thread(target=_compile_all, name="headrace-io-jit")
        if os.environ.get("HEADRACE_JIT") == "0":
            _done.set()
            return
    _thread.start()


def _compile_all() -> None:
    global _failure
    try:
        for module in _MODULES:
            for name, function, *signatures in importlib.import_module(
                f".{module}", __package__
            ).kernels():
                if not threading.main_thread().is_alive():
                    return
                _compiled[name] = compile_function(function, *signatures)
    except BaseException as error:  # reported by ensure_compiled; the plain forms go on
        _failure = error
    finally:
        _done.set()


@functools.cache
def _source_hash(module: str) -> str:
    """A hash of the module's source and of all modules whose kernels or intrinsics it uses."""
    pending, files = [module], {}
    while pending:
        name = pending.pop()
        source = getattr(sys.modules.get(name), "__file__", None)
        if name in files or source is None:
            continue
        files[name] = source
        for value in vars(sys.modules[name]).values():
            helper = getattr(value, "py_func", None) or getattr(value, "_defn", None)
            if helper is not None:
                pending.append(helper.__module__)
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(Path(files[name]).read_bytes())
    return digest.hexdigest()[:16]


def _kernel_cache(function: Callable[..., Any]) -> Any:
    """numba's function cache, placed in `cache_folder` and stamped with the source hash."""
    from numba.core import caching

    stamp = _source_hash(function.__module__)
    folder = cache_folder() / stamp
    folder.mkdir(parents=True, exist_ok=True)

    class Locator(caching._CacheLocator):  # type: ignore[misc]
        def get_cache_path(self) -> str:
            return str(folder)

        def get_source_stamp(self) -> str:
            return stamp

        def get_disambiguator(self) -> None:
            return None

        @classmethod
        def from_function(cls, py_func: Any, source_path: str) -> Any:
            return cls()

    class Impl(caching.CompileResultCacheImpl):  # type: ignore[misc]
        _locator_classes = (Locator,)

    class Cache(caching.FunctionCache):  # type: ignore[misc]
        _impl_class = Impl

    return Cache(function)
