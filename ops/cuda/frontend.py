"""Graphs of cuDNN's frontend (``nvidia-cudnn-frontend``): built once per plan, kept, run.

A plan is a NamedTuple of all that decides about a graph.  Built graphs are kept, the least
recently used ones up to a bound; a recording (`recording`) keeps those it launches besides, for
a CUDA graph runs their kernels.  Workspaces are arrays like all others, so that a recording
places them in its arena.  Where the frontend or cuDNN is missing, or has no engine for a plan,
there is no graph, and the caller goes another way.
"""

from __future__ import annotations

import collections
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import InternalError
from . import recording
from .device import current
from .libraries import Handles

__all__ = ["DTYPES", "Built", "Described", "channels_last", "find", "frontend", "run"]

#: Names in the frontend's ``data_type``.
DTYPES = {"float16": "HALF", "bfloat16": "BFLOAT16", "float32": "FLOAT"}
_MOST = 512  # graphs; one takes some hundred KiB of host memory


class Described(NamedTuple):
    """A graph that is not built yet.

    Attributes:
        graph: of the frontend.
        tensors: its tensors, in the order in which `run` gets their arrays.
        numbers: tensors that are passed by value, and the value.
    """

    graph: Any
    tensors: Sequence[Any]
    numbers: Sequence[tuple[Any, np.ndarray]] = ()


class Built(NamedTuple):
    """A graph that can be run.

    Attributes:
        plan: of the graph, for messages.
        graph: of the frontend.
        uids: its tensors' numbers, in the order of their arrays.
        numbers: those of tensors passed by value, and the value.
        workspace: bytes.
        lock: held while a call is queued: the graph's own tables are not made for several.
    """

    plan: Any
    graph: Any
    uids: tuple[int, ...]
    numbers: tuple[tuple[int, np.ndarray], ...]
    workspace: int
    lock: Any


@functools.cache
def frontend() -> Any:
    """The module ``cudnn``, or None where it or cuDNN itself is not installed."""
    try:
        import cudnn

        cudnn.backend_version()
    except (ImportError, RuntimeError):
        return None
    return cudnn


def channels_last(batch: int, channels: int, space: tuple[int, ...]) -> dict[str, list[int]]:
    """cuDNN's description of [batch, *space, channels]: sizes in the order batch, channels,
    space, and distances."""
    distances, step = [], channels
    for size in reversed(space):
        distances.append(step)
        step *= size
    return {"dim": [batch, channels, *space], "stride": [step, 1, *reversed(distances)]}


class _Graphs:
    """What was built, the last used ones."""

    def __init__(self, most: int):
        self._most, self._lock = most, threading.Lock()
        self._known: collections.OrderedDict[Any, Built | None] = collections.OrderedDict()

    def get(self, key: Any, make: Callable[[], Built | None]) -> Built | None:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        made = make()  # slow, so without the lock: two threads may both build
        with self._lock:
            self._known[key] = made
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return made

    def __len__(self) -> int:
        return len(self._known)

    def clear(self) -> None:
        with self._lock:
            self._known.clear()


_graphs = _Graphs(_MOST)
_handles = Handles(
    lambda: frontend().create_handle(),
    lambda handle, stream: frontend().set_stream(handle=handle, stream=stream),
)


def find(plan: Any, describe: Callable[..., Described]) -> Built | None:
    """A plan's graph on the current device; None if cuDNN has no engine for it.

    Args:
        plan: a NamedTuple with a `steady` (only engines that give the same result every time)
            and perhaps an `exact` (no TF32).
        describe: makes the graph of a plan, the module ``cudnn`` and a handle.

    Raises:
        InternalError: cuDNN failed otherwise.
    """
    key = (type(plan), plan, current())
    return _graphs.get(key, lambda: _build(plan, describe))


def _build(plan: Any, describe: Callable[..., Described]) -> Built | None:
    cudnn = frontend()
    if cudnn is None:
        return None
    try:
        graph, tensors, numbers = Described(*describe(plan, cudnn, _handles.get()))
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        if getattr(plan, "exact", False):
            graph.deselect_numeric_notes([cudnn.numerical_note.TENSOR_CORE])
        if plan.steady:
            graph.deselect_numeric_notes([cudnn.numerical_note.NONDETERMINISTIC])
        graph.check_support()
        graph.build_plans()
        return Built(
            plan, graph, tuple([t.get_uid() for t in tensors]),
            tuple([(t.get_uid(), value) for t, value in numbers]),
            graph.get_workspace_size(), threading.Lock(),
        )  # fmt: skip
    except cudnn.cudnnGraphNotSupportedError:
        return None
    except RuntimeError as error:
        raise _failed("make a graph for", plan, error) from error


def run(built: Built, arrays: Sequence[Any]) -> None:
    """Queue a graph on the current stream.

    Args:
        built: of `find`.
        arrays: of its tensors, in their order, laid out as they are described.

    Raises:
        InternalError: cuDNN failed.
    """
    device = current()
    workspace = device.xp.empty((max(built.workspace, 1),), np.uint8)
    places = {uid: device.address(a) for uid, a in zip(built.uids, arrays, strict=True)}
    for uid, value in built.numbers:
        places[uid] = value.ctypes.data
    notes = recording.current()
    if notes is not None:
        notes.keep(built)
    try:
        with built.lock:
            built.graph.execute(places, device.address(workspace), handle=_handles.get())
    except RuntimeError as error:
        raise _failed("run", built.plan, error) from error


def _failed(what: str, plan: Any, error: Exception) -> InternalError:
    """An error with the operation, shapes, dtype (all in the plan) and cuDNN's own text."""
    tell = getattr(frontend(), "get_last_error_string", None)
    last = tell() if tell is not None else ""
    text = f"{error}" if not last or last in str(error) else f"{error} ({last})"
    return InternalError(f"cuDNN could not {what} {plan}: {text}")
