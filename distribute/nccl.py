"""NCCL through CuPy: finding it, and a process's links: its GPUs, each with a communicator and
a stream of its own to communicate on.

A thread that queues for several GPUs does it in one group: NCCL may make a call wait until all
ranks have made theirs.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..ops.devices import devices
from .device_spans import DeviceSpans

__all__ = ["Exchange", "NcclLinks", "load_nccl", "nccl_type"]

_TYPES = (
    "int8", "uint8", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
    "bfloat16",
)  # fmt: skip


def load_nccl(wanted_by: str, otherwise: str = "") -> tuple[Any, Any]:
    """The GPUs (`Backend`) and CuPy's module of NCCL.

    Args:
        wanted_by: who needs it, for the message.
        otherwise: what does without it.

    Raises:
        ImportError: CuPy, a GPU or NCCL is missing; it says what to install.
    """
    backend = devices.backend
    if otherwise:
        otherwise = f"; {otherwise}"
    if backend is None:
        raise ImportError(
            f"{wanted_by} needs CuPy, NCCL and a GPU, but {devices.why_none}; install the "
            "extra cuda13 or cuda12 (pip install 'headrace[cuda13]') and NCCL (pip install "
            f"nvidia-nccl-cu13){otherwise}"
        )
    nccl = getattr(backend.module.cuda, "nccl", None)
    if nccl is None and backend.native:  # CuPy does not import it by itself
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where the library is missing
            nccl = importlib.import_module("cupy.cuda.nccl")
    if not getattr(nccl, "available", False):
        raise ImportError(
            f"{wanted_by} needs NCCL, which CuPy does not find; pip install nvidia-nccl-cu13 "
            f"(nvidia-nccl-cu12 for a driver of CUDA 12){otherwise}"
        )
    return backend, nccl


def nccl_type(nccl: Any, name: str) -> int | None:
    """NCCL's number of the dtype called `name`; None where it cannot add such numbers."""
    return getattr(nccl, f"NCCL_{name.upper()}", None) if name in _TYPES else None


class Exchange:
    """One replica's part of something that all replicas do together.

    Attributes:
        what: its name, for messages.
        alike: what must be equal on all replicas.
        launch: ``launch(communicator, stream_pointer)`` makes the calls of NCCL.
        ready: an event behind the work that makes what is sent.
        held: the arrays that NCCL reads and writes, kept until `done`.
        done: an event behind the calls; None until they are queued.
    """

    __slots__ = ("alike", "done", "held", "launch", "ready", "what")

    def __init__(
        self, what: str, alike: Any, launch: Callable[[Any, int], None], ready: Any, held: Any
    ):
        self.what, self.alike, self.launch = what, alike, launch
        self.ready, self.held = ready, held
        self.done: Any = None


class NcclLinks:
    """The links of this process's GPUs.

    Args:
        backend: the GPUs.
        nccl: CuPy's module of NCCL.
        places: their numbers, one per replica of this process.
        connect: makes their communicators, one per replica.
    """

    def __init__(
        self,
        backend: Any,
        nccl: Any,
        places: Sequence[int],
        connect: Callable[[], Sequence[Any]],
    ):
        self.backend, self.nccl, self.places = backend, nccl, tuple(places)
        self._connect = connect
        self._communicators: Sequence[Any] | None = None
        self._streams: list[Any] = []
        self._lock = threading.Lock()
        self.spans = DeviceSpans(backend, places)

    def open(self) -> None:
        """Connect, if that has not happened yet; all processes do it at the same time."""
        with self._lock:
            if self._communicators is None:
                cuda = self.backend.module.cuda
                for place in self.places:
                    with self.backend.on(place):
                        # Not to be held up by the null stream, on which replicas compute.
                        self._streams.append(cuda.Stream(non_blocking=True))
                self._communicators = self._connect()

    # -- events on the calling thread's stream ----------------------------------------------

    def mark(self, local_rank: int) -> Any:
        """An event behind the work that the calling thread has queued on its GPU."""
        cuda = self.backend.module.cuda
        with self.backend.on(self.places[local_rank]):
            return cuda.get_current_stream().record(cuda.Event(disable_timing=True))

    def wait_for(self, local_rank: int, exchange: Exchange, replica: int) -> None:
        """The calling thread's later work on its GPU begins behind a queued exchange; the host
        does not wait."""
        with self.backend.on(self.places[local_rank]):
            with self.spans.span(local_rank, "waiting", exchange.what, replica):
                self.backend.module.cuda.get_current_stream().wait_event(exchange.done)

    # -- queueing ---------------------------------------------------------------------------

    def queue(self, exchanges: Sequence[Exchange], first_replica: int) -> None:
        """Queue an exchange of every replica of this process on their communication streams.

        Args:
            exchanges: one per replica; `done` is set.
            first_replica: the number of the first, for a timeline.
        """
        self.open()
        assert self._communicators is not None
        backend = self.backend
        cuda = backend.module.cuda
        each = list(
            zip(self.places, self._streams, self._communicators, exchanges, strict=True)
        )
        begun = []
        for rank, (place, stream, _, exchange) in enumerate(each):
            with backend.on(place):
                stream.wait_event(exchange.ready)
            begun.append(self.spans.begin(rank, stream))
        with self._group():
            for place, stream, communicator, exchange in each:
                with backend.on(place):
                    exchange.launch(communicator, stream.ptr)
        for rank, (place, stream, _, exchange) in enumerate(each):
            with backend.on(place):
                exchange.done = stream.record(cuda.Event(disable_timing=True))
            self.spans.end(
                rank, "communication", exchange.what, first_replica + rank, begun[rank], stream
            )

    @contextlib.contextmanager
    def _group(self) -> Any:
        self.nccl.groupStart()
        try:
            yield
        finally:
            self.nccl.groupEnd()
