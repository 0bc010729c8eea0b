"""NVIDIA's shared libraries by ctypes: found in wheels or on the system, calls checked."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from .nvrtc import wheel_folders

__all__ = ["Library", "cublaslt", "cudnn"]


class Library:
    """A library whose functions return 0 or an error's number.

    Args:
        name: for messages.
        handle: the library.
        message: the function that gives an error's text.
    """

    def __init__(self, name: str, handle: Any, message: str):
        self.name, self._handle = name, handle
        self._message = getattr(handle, message)
        self._message.restype = ctypes.c_char_p

    def call(self, function: str, *args: Any) -> None:
        """Call a function.

        Raises:
            RuntimeError: it failed; the message names it and the reason.
        """
        code = getattr(self._handle, function)(*args)
        if code:
            reason = self._message(code)
            text = reason.decode() if reason else f"error {code}"
            raise RuntimeError(f"{self.name}: {function} failed: {text}")

    def raw(self, function: str) -> Any:
        """A function that returns something else."""
        return getattr(self._handle, function)


@functools.cache
def cudnn() -> Library | None:
    """cuDNN 9, or None."""
    handle = _load("cudnn", "libcudnn.so.9")
    return None if handle is None else Library("cuDNN", handle, "cudnnGetErrorString")


@functools.cache
def cublaslt() -> Library | None:
    """cuBLASLt, or None."""
    for version in (13, 12):
        handle = _load("cublas", f"libcublasLt.so.{version}")
        if handle is not None:
            return Library("cuBLASLt", handle, "cublasLtGetStatusString")
    return None


def _load(folder: str, name: str) -> Any:
    places = [
        str(root / inner / "lib" / name)
        for root in wheel_folders()
        for inner in ("cu13", folder)
    ]
    for place in (*places, name):
        try:
            return ctypes.CDLL(place)
        except OSError:
            continue
    return None
