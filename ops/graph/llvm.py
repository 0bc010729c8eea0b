"""LLVM through llvmlite: IR text to a callable, kept on disk.

`request(name, ir, done)` returns at once; `done(address)` is called, on the compiling thread,
when the machine code is there.  `load` does the same on the calling thread.  Objects are keyed
by the IR, the CPU and its features; llvmlite is imported when one has to be made.  The thread
lives only while there is work and is no daemon: a process that ends while LLVM runs would crash
in its destructors.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from .. import kernel_cache, object_code

__all__ = ["compile_object", "enabled", "load", "request", "wait"]

_compiling = object_code.compiler_lock
_lock = threading.Lock()
_queue: deque[tuple[str, str, Callable[[int], None]]] = deque()
_worker: threading.Thread | None = None
_RECIPE = "O3 1"  # to be changed with `_target` and `_compile`
failures: list[tuple[str, Exception]] = []


def enabled() -> bool:
    """Whether kernels may be compiled (``HEADRACE_JIT=0`` turns them off)."""
    return os.environ.get("HEADRACE_JIT") != "0"


def request(name: str, ir: str, done: Callable[[int], None]) -> None:
    """Compile `ir` in the background; `done` gets the address of its function `name`."""
    global _worker
    with _lock:
        _queue.append((name, ir, done))
        if _worker is None:
            _worker = threading.Thread(target=_work, name="headrace-llvm")
            _worker.start()


def load(name: str, ir: str, done: Callable[[int], None]) -> None:
    """Compile `ir` now; `done` gets the address of its function `name`.

    If that fails, `done` is not called, and `wait` raises the error.
    """
    try:
        done(_load(name, ir))
    except Exception as error:
        # The NumPy form goes on serving; `failures` and the tests show what happened.
        failures.append((name, error))


def wait(timeout_s: float = 60.0) -> None:
    """Wait until everything requested so far is compiled.

    Raises:
        RuntimeError: a kernel could not be compiled.
    """
    worker = _worker
    if worker is not None:
        worker.join(timeout_s)
    if failures:
        raise RuntimeError(f"kernel {failures[0][0]} could not be compiled") from failures[0][1]


def _work() -> None:
    global _worker
    while True:
        with _lock:
            if not _queue or not threading.main_thread().is_alive():
                _queue.clear()
                _worker = None
                return
            name, ir, done = _queue.popleft()
        load(name, ir, done)


@functools.cache
def _target() -> tuple[Any, Any]:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu = llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=3, jit=True, reloc="pic", codemodel="default"
    )
    return llvm, machine


def _load(name: str, ir: str) -> int:
    key = hashlib.sha256(f"{_RECIPE}\n{kernel_cache.machine()}\n{ir}".encode()).hexdigest()[:32]
    path = kernel_cache.cache_folder() / "llvm" / f"{key}.o"
    try:
        code = kernel_cache.read(path)
    except (OSError, ValueError):  # absent or damaged
        code = compile_object(ir)
        try:
            kernel_cache.write(path, code)
        except OSError:
            pass  # no writable folder: compile in every process
    (address,) = object_code.load(code, name)
    return address


def compile_object(ir: str) -> bytes:
    """The object file of a module, for this machine."""
    with _compiling:
        return _compile(*_target(), ir)


def _compile(llvm: Any, machine: Any, ir: str) -> bytes:
    module = llvm.parse_assembly(ir)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = True
    tuning.slp_vectorization = True
    tuning.loop_unrolling = True
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)
