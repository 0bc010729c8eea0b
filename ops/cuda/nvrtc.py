"""NVRTC: CUDA C++ to machine code or PTX, by ctypes; needs neither a GPU nor CuPy.

The library comes from the wheel ``nvidia-cuda-nvrtc``, which CuPy's and PyTorch's CUDA 13
wheels bring along, or from an installed toolkit.  Sources include no headers: all they need is
`prelude`, so that one compilation takes some 40 ms.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["ARCHITECTURES", "CompileError", "available", "compile_source", "version"]

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")
_OPTIONS = ("-std=c++17", "--extra-device-vectorization", "-default-device")


class CompileError(Exception):
    """A source that NVRTC refuses; the message shows its log and the source by lines."""

    def __init__(self, name: str, arch: str, log: str, source: str):
        lines = source.split("\n")
        width = len(str(len(lines)))
        shown = "\n".join(f"{i:{width}} | {line}" for i, line in enumerate(lines, 1))
        super().__init__(f"{name} does not compile for {arch}:\n{log.strip()}\n\n{shown}")
        self.log = log


@functools.cache
def available() -> bool:
    """Whether the library is installed."""
    return _library() is not None


def version() -> tuple[int, int]:
    """The library's version, such as (13, 0)."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def compile_source(
    source: str,
    arch: str,
    name: str = "kernel.cu",
    ptx: bool = False,
    options: Sequence[str] = (),
) -> bytes:
    """The machine code (a cubin) of a source.

    Args:
        source: CUDA C++17.
        arch: such as "sm_90".
        name: for messages.
        ptx: return PTX instead, the text that the driver would compile.
        options: further ones of NVRTC's.

    Raises:
        CompileError: the source is not valid.
        ImportError: NVRTC is not installed.
    """
    program = ctypes.c_void_p()
    text = source.encode()
    _call("nvrtcCreateProgram", ctypes.byref(program), text, name.encode(), 0, None, None)
    try:
        every = [f"-arch={arch}", *_OPTIONS, *options]
        given = (ctypes.c_char_p * len(every))(*[o.encode() for o in every])
        code = _found().nvrtcCompileProgram(program, len(every), given)
        if code:
            log = _text("nvrtcGetProgramLog", program).rstrip(b"\0").decode(errors="replace")
            raise CompileError(name, arch, log or _message(code), source)
        if ptx:
            return _text("nvrtcGetPTX", program).rstrip(b"\0")
        return _text("nvrtcGetCUBIN", program)
    finally:
        _call("nvrtcDestroyProgram", ctypes.byref(program))


def _text(function: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _call(f"{function}Size", program, ctypes.byref(size))
    data = ctypes.create_string_buffer(size.value)
    _call(function, program, data)
    return data.raw


def _call(function: str, *args: object) -> None:
    code = getattr(_found(), function)(*args)
    if code:
        raise RuntimeError(f"{function} failed: {_message(code)}")


def _message(code: int) -> str:
    library = _found()
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library.nvrtcGetErrorString(code).decode()


def _found() -> ctypes.CDLL:
    library = _library()
    if library is None:
        raise ImportError(
            "compiling for a GPU needs NVRTC: pip install nvidia-cuda-nvrtc (extra cuda13)"
        )
    return library


@functools.cache
def _library() -> ctypes.CDLL | None:
    for path in _candidates():
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    return None


def _candidates() -> Iterator[str]:
    for folder in wheel_folders():
        pattern = "bin/**/nvrtc64_*.dll" if sys.platform == "win32" else "lib/libnvrtc.so.*"
        for inner in ("cu13", "cuda_nvrtc"):
            found = sorted((folder / inner).glob(pattern))
            yield from (str(p) for p in found if "builtins" not in p.name)
    yield from ("libnvrtc.so.13", "libnvrtc.so.12")
    found_by_system = ctypes.util.find_library("nvrtc")
    if found_by_system:
        yield found_by_system


def wheel_folders() -> list[Path]:
    """Where NVIDIA's wheels are installed."""
    spec = importlib.util.find_spec("nvidia")
    return [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
