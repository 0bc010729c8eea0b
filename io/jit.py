"""Kernels of this room: machine code from the disk cache, or compiled in the background.

Nothing waits for a compiler: `kernel(name)` answers at once, with the compiled function or with
None, and the caller then runs its plain form.  The first call starts one thread, which loads
the kernels or has a child process make them.  `ensure_compiled()` waits for it (benches, tests,
and jobs that prefer a slower start to a slower first second).

Kernels are written for Numba but take and return only int64s (numbers and addresses) and use
nothing of its runtime.  So `ops.object_code` can load them, in milliseconds: a process that
finds them in the cache imports neither numba, which costs it up to a second of everybody's GIL,
nor llvmlite, which takes 57 MiB.  The cache is a folder named by a hash of the kernels'
sources, the compiler's version and the CPU, with one file per kernel.  ``HEADRACE_CACHE_DIR``
moves it; ``HEADRACE_JIT=0`` turns kernels off.

The thread is not a daemon: a process that ends while LLVM runs would crash in its destructors.
It stops between kernels once the main thread is done.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..ops import kernel_cache, object_code
from ..ops.kernel_cache import cache_folder

__all__ = ["address", "compile_function", "ensure_compiled", "kernel", "kernels"]

# Kernels by module, those first that gain most over their plain forms.
_KERNELS = {
    "parse_kernel": ("fill_slots", "fill_lists", "parse_examples"),
    "record_kernel": ("frame_scan", "crc_update"),
    "csv_kernel": ("csv_index", "csv_rows", "csv_unescape", "csv_cut"),
    "line_kernel": ("line_bounds",),
    "copy_kernel": ("put_strings", "get_strings"),
    "sequence_kernel": ("find_features", "count_steps", "find_steps", "measure_features"),
    "lookup_kernel": (
        "fingerprint_strings",
        "find_numbers",
        "find_strings",
        "place_numbers",
        "place_strings",
    ),
}
_HELPERS = (
    "intrinsics",
    "wire_kernel",
    "decimal_kernel",
    "crc32c",
    "jit",
    "../ops/lookup_fingerprint",  # whose formulas the kernel takes over
)
# What code may refer to besides LLVM's intrinsics: every process has these.
_LIBRARY = {"memcpy", "memmove", "memset"}

Kernel = Callable[..., int]

_compiled: dict[str, Kernel] = {}
_lock = threading.Lock()
_done = threading.Event()
_thread: threading.Thread | None = None
_failure: BaseException | None = None


def kernel(name: str) -> Kernel | None:
    """The compiled kernel `name`, or None while it is still being made."""
    found = _compiled.get(name)
    if found is None and _thread is None:
        _start()
    return found


def kernels(*names: str) -> list[Kernel] | None:
    """The compiled kernels `names`, or None unless all of them are there."""
    found = [kernel(name) for name in names]
    return None if None in found else found  # type: ignore[return-value]


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


_BYTE = ctypes.c_char


def address(array: np.ndarray) -> int:
    """Where the array's first element is; the caller keeps the array alive."""
    try:
        return ctypes.addressof(_BYTE.from_buffer(array))
    except (TypeError, ValueError, BufferError):
        # Read-only, empty, not contiguous, or of a dtype that buffers do not know.  This way
        # serves all, and takes four times as long.
        return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def _start() -> None:
    global _thread
    with _lock:
        if _thread is not None:
            return
        _thread = threading.Thread(target=_make_all, name="headrace-io-jit")
        if os.environ.get("HEADRACE_JIT") == "0":
            _done.set()
            return
    _thread.start()


def _make_all() -> None:
    global _failure
    try:
        folder = _cache_of_this_machine()
        missing = _load_cached(folder, [n for names in _KERNELS.values() for n in names])
        if missing:
            missing = _made_by_a_child(folder, missing)
        for name in missing:
            if not threading.main_thread().is_alive():
                return
            _compile(name, folder)
    except BaseException as error:  # reported by ensure_compiled; the plain forms go on
        _failure = error
    finally:
        _done.set()


def _load_cached(folder: Path, names: list[str]) -> list[str]:
    """Load those of `names` that are in the cache; the names of the others."""
    missing = []
    for name in names:
        try:
            _compiled[name] = _load(*_read(folder / name))
        except (OSError, ValueError, KeyError):  # absent or damaged
            missing.append(name)
    return missing


def _made_by_a_child(folder: Path, missing: list[str]) -> list[str]:
    """Let another process compile, whose compiler holds nobody's GIL, and load each kernel as
    it appears; the names of those that it did not make.

    The child is not waited for when the main thread ends: it goes on to fill the cache.
    """
    if not sys.executable or not _is_writable(folder):
        return missing
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        f"from {__name__} import _fill_cache; _fill_cache({missing!r})"
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
        time.sleep(0.02)
        missing = _load_cached(folder, missing)
    if not missing:
        child.wait()
    return _load_cached(folder, missing)


def _is_writable(folder: Path) -> bool:
    """Whether what a child makes can be kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _fill_cache(names: list[str]) -> None:
    """Compile `names` into the cache: what the child process does."""
    folder = _cache_of_this_machine()
    for name in names:
        _compile(name, folder)


# -- machine code ---------------------------------------------------------------------------


def _compile(name: str, folder: Path) -> None:
    """Compile one kernel, here, and keep it in the cache if that can be written."""
    module = next(m for m, names in _KERNELS.items() if name in names)
    function = getattr(importlib.import_module(f".{module}", __package__), name)
    count = function.__code__.co_argcount
    symbol, code = _object_code(function, count)
    _compiled[name] = _load(symbol, count, code)
    try:
        _write(folder / name, symbol, count, code)
    except OSError:
        pass  # no writable folder: compile in every process


def _object_code(function: Callable[..., Any], count: int) -> tuple[str, bytes]:
    """Symbol and object file of `function` of `count` int64s, returning an int64."""
    from numba.core import compiler, types
    from numba.core.registry import cpu_target

    flags = compiler.Flags()
    # The bare function: no Python wrapper and no reference counts, hence no runtime.
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    made = compiler.compile_extra(
        cpu_target.typing_context,
        cpu_target.target_context,
        function,
        (types.int64,) * count,
        types.int64,
        flags,
        {},
    )
    for declared in made.library._final_module.functions:
        name = declared.name
        if declared.is_declaration and not name.startswith("llvm.") and name not in _LIBRARY:
            raise RuntimeError(f"kernel {function.__name__} needs the symbol {name}")
    return made.fndesc.llvm_func_name, made.library._get_compiled_object()


def _load(symbol: str, count: int, code: bytes) -> Kernel:
    """A Python function that runs the machine code, without the GIL."""
    (start,) = object_code.load(code, symbol)
    # Numba's calling convention: where to put the result, where to put an exception (kernels
    # raise none), the arguments; a status comes back.
    prototype = ctypes.CFUNCTYPE(
        ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * count
    )
    native = prototype(start)

    def call(*args: int) -> int:
        result = ctypes.c_int64()
        native(ctypes.byref(result), None, *args)
        return result.value

    return call


# -- the cache ------------------------------------------------------------------------------


def _cache_of_this_machine() -> Path:
    """The folder for kernels of these sources, this compiler and this CPU."""
    digest = hashlib.sha256(kernel_cache.machine().encode())
    for name in (*_KERNELS, *_HELPERS):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return cache_folder() / f"io-{digest.hexdigest()[:24]}"


def _write(path: Path, symbol: str, count: int, code: bytes) -> None:
    """A line of JSON, then the object file."""
    head = json.dumps({"symbol": symbol, "count": count})
    kernel_cache.write(path, head.encode() + b"\n" + code)


def _read(path: Path) -> tuple[str, int, bytes]:
    line, _, code = kernel_cache.read(path).partition(b"\n")
    head = json.loads(line)
    return head["symbol"], head["count"], code


# -- functions of other rooms that need numba at run time anyway ----------------------------


def compile_function(function: Callable[..., Any], *signatures: Any) -> Callable[..., Any]:
    """`function` compiled nogil by numba for `signatures`, from its disk cache if possible.

    The result is a numba dispatcher that takes arrays.
    """
    import numba

    dispatcher = numba.njit(nogil=True, error_model="numpy", boundscheck=False)(function)
    try:
        dispatcher._cache = _numba_cache(function)
    except (OSError, RuntimeError):
        pass  # no writable folder: compile in every process
    for signature in signatures:
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


def _source_hash(module: str) -> str:
    """A hash of the module's source and of all modules whose jitted helpers it uses."""
    pending = [module]
    files: dict[str, str] = {}
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


def _numba_cache(function: Callable[..., Any]) -> Any:
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
