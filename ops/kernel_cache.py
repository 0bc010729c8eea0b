"""Where compiled kernels are kept between processes, and for which machine.

`read` and `write` keep a file whole: what was damaged on disk is never run.  `machine` goes
into the name of every file or folder of machine code; no compiler is loaded to find it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
from importlib import machinery
from pathlib import Path

__all__ = ["cache_folder", "cpu_features", "machine", "read", "write"]

_CPU = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
_CHECK_BYTES = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """The folder of compiled kernels; ``HEADRACE_CACHE_DIR`` moves it."""
    configured = os.environ.get("HEADRACE_CACHE_DIR")
    if configured:
        return Path(configured)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "headrace" / "kernels"


@functools.cache
def machine() -> str:
    """What machine code depends on besides its source: system, compiler, CPU and its features.

    Raises:
        ImportError: the system does not describe the CPU, and llvmlite is not installed.
    """
    cpu = _cpu_of_linux().items() or _cpu_of_llvm()
    return "\n".join((sys.platform, _compiler(), *map(str, cpu)))


@functools.cache
def cpu_features() -> frozenset[str]:
    """What the CPU can do, such as "avx2", "avx512f" and "fma".

    Raises:
        ImportError: the system does not describe the CPU, and llvmlite is not installed.
    """
    flags = _cpu_of_linux().get("flags")
    if flags is not None:
        return frozenset(flags.split())
    return frozenset(f[1:] for f in _cpu_of_llvm()[1].split(",") if f.startswith("+"))


def write(path: Path, data: bytes) -> None:
    """Keep `data` in a file, which appears whole or not at all.

    Raises:
        OSError: there is no such folder to write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(hashlib.sha256(data).digest() + data)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read(path: Path) -> bytes:
    """The data that `write` kept.

    Raises:
        OSError: there is no such file.
        ValueError: the file is damaged.
    """
    stored = path.read_bytes()
    check, data = stored[:_CHECK_BYTES], stored[_CHECK_BYTES:]
    if hashlib.sha256(data).digest() != check:
        raise ValueError(f"damaged cache file {path}")
    return data


def _compiler() -> str:
    """The version of llvmlite, which brings its LLVM with it; nothing is imported."""
    # Its version file is read where it has one: importlib.metadata takes 20 ms to import.
    spec = machinery.PathFinder.find_spec("llvmlite")
    if spec is None or spec.origin is None:
        return ""
    try:
        return (Path(spec.origin).parent / "_version.py").read_text()
    except OSError:
        from importlib import metadata

        return metadata.version("llvmlite")


@functools.cache
def _cpu_of_linux() -> dict[str, str]:
    """The CPU as Linux on x86 describes it, by its first core: all have the same features.

    Empty elsewhere.
    """
    found = {}
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                name, _, value = line.partition(":")
                if not line.strip():
                    break
                if name.strip() in _CPU:
                    found[name.strip()] = value.strip()
    except OSError:
        pass
    return found if "flags" in found else {}


@functools.cache
def _cpu_of_llvm() -> tuple[str, str]:
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
