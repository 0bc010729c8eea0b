"""NVIDIA's shared libraries by ctypes: found in wheels or on the system, calls checked; and
their handles.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any

from .device import current
from .nvrtc import wheel_folders

__all__ = ["Handles", "Library", "cublaslt", "cudnn"]


class Library:
    """A library whose functions return 0 or an error's number.

    Args:
        name: for messages.
        handle: the library.
        message: the function that gives an error's text.
        details: the function that writes the last error's own text, if there is one.
    """

    def __init__(self, name: str, handle: Any, message: str, details: str | None = None):
        self.name, self._handle, self._details = name, handle, details
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
            room = ctypes.create_string_buffer(1024)
            if self._details is not None:
                getattr(self._handle, self._details)(room, ctypes.c_size_t(len(room)))
            if room.value:
                text += f" ({room.value.decode(errors='replace')})"
            raise RuntimeError(f"{self.name}: {function} failed: {text}")

    def raw(self, function: str) -> Any:
        """A function that returns something else."""
        return getattr(self._handle, function)


class Handles:
    """A library's handles, one per thread and device, each on the stream that is current.

    A thread that ends leaves its handles to the next one, so that there are no more of them
    than there ever were threads at the same time.

    Args:
        create: makes a handle on the current device.
        set_stream: puts a handle onto a stream, given by its address.
    """

    def __init__(self, create: Callable[[], Any], set_stream: Callable[[Any, int], None]):
        self._create, self._set_stream = create, set_stream
        self._free: dict[Any, list[Any]] = {}
        self._local = threading.local()

    def get(self) -> Any:
        """The calling thread's handle."""
        device = current()
        own = getattr(self._local, "own", None)
        if own is None:
            own = self._local.own = _Own(self._free)
        handle = own.handles.get(device)
        if handle is None:
            try:
                handle = self._free.setdefault(device, []).pop()
            except IndexError:
                handle = self._create()
            own.handles[device] = handle
        cuda = getattr(device.xp, "cuda", None)  # NumPy stands for a device in tests
        self._set_stream(handle, 0 if cuda is None else cuda.get_current_stream().ptr)
        return handle


class _Own:
    """A thread's handles, which go back with it."""

    def __init__(self, free: dict[Any, list[Any]]):
        self.handles: dict[Any, Any] = {}
        self._free = free

    def __del__(self) -> None:
        for device, handle in self.handles.items():
            self._free.setdefault(device, []).append(handle)


@functools.cache
def cudnn() -> Library | None:
    """cuDNN 9, or None."""
    handle = _load("cudnn", "libcudnn.so.9")
    if handle is None:
        return None
    return Library("cuDNN", handle, "cudnnGetErrorString", "cudnnGetLastErrorString")


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
