"""Compiled functions on a GPU: when their recording may stand for their calls.

Everything that a recording reads must be on the device: its inputs are copied there, variables
have to lie there.  What runs on the host meanwhile depends on shapes alone, which are a
recording's key; what would read a device's values there cannot be recorded.  So loops are
recorded whose number of turns depends on shapes alone, and conditions, whose branches both run
where the device decides.

A graph inside of another one (a branch, a loop's body, a function with a gradient of its own)
is a part of the recording around it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..array_module import is_on_device
from ..device_rules import rule_of
from ..devices import HOST, devices, requested
from ..graph.graph import graphs_of
from ..numerics import checking
from ..placement import to_place
from . import random, recording
from .cupy_recorder import CupyRecorder
from .replay import Recorder, Replay, why_not

__all__ = ["Replayed", "replayed"]

_PYTHON = frozenset({"EagerPyFunc", "_EagerPyFuncGrad", "PyFunc"})
_PLAIN = frozenset("Placeholder Const Shape Size ReadVariableOp AssignVariableOp".split())
_DRAWS = {
    "RandomUniform": "uniform", "RandomStandardNormal": "normal",
    "TruncatedNormal": "truncated", "_RandomBits": "bits",
}  # fmt: skip


class _Around(threading.local):
    replays = False  # whether a function that is replayed, or may be soon, is running


_around = _Around()


class Replayed:
    """A compiled function that is replayed where that is possible.

    Args:
        graph: what was compiled.
        run: its calls, one by one.
        recorder: makes the recorder of a device, by its number.

    Attributes:
        source, graph: of `run`.
    """

    def __init__(
        self,
        graph: Any,
        run: Callable[..., list[Any]],
        recorder: Callable[[int], Recorder] = CupyRecorder,
    ):
        self._run, self._recorder = run, recorder
        self._variables = list(graph.variables())
        self._reason = why_not(graph, _outside)
        self._replays: dict[int, Replay] = {}
        self._inside = False  # whether it was run as a part of another one
        self.source = getattr(run, "source", None)
        self.graph = getattr(run, "graph", graph)

    def __call__(self, *arrays: Any) -> list[Any]:
        """The results."""
        place = requested()
        if place is None:
            place = devices.default()
        if _around.replays or recording.current() is not None:
            self._inside = True
            return self._run(*arrays)
        if self._reason is not None or place == HOST or checking.on:
            return self._run(*arrays)
        for v in self._variables:
            if not is_on_device(v._value):
                self._reason = f"the variable {v.name} lies on the host"
                return self._run(*arrays)
        if not all(isinstance(a, np.ndarray) or is_on_device(a) for a in arrays):
            return self._run(*arrays)
        replay = self._replays.get(place)
        if replay is None:
            recorder = self._recorder(place)
            replay = self._replays[place] = Replay(self._run, self._variables, recorder)
        if replay.reason is not None:
            return self._run(*arrays)
        _around.replays = True
        try:
            return replay(*[to_place(a, place) for a in arrays])
        finally:
            _around.replays = False

    def told(self) -> str:
        """Whether calls are replayed, and why not, for `explain()`."""
        found = [r.reason for r in self._replays.values() if r.reason is not None]
        reason = self._reason or next(iter(found), None)
        if reason is not None:
            return f"not replayed as a CUDA graph: {reason}"
        if self._inside and not self._replays:
            return "a part of the function around it"
        count = sum(r.replays for r in self._replays.values())
        streams = max((r.streams for r in self._replays.values()), default=1)
        on = f" of {streams} streams" if streams > 1 else ""
        return f"replayed as a CUDA graph{on}, {count} calls so far"


def _outside(node: Any) -> str | None:
    """Why a node's call does something that a recording cannot do again, or None."""
    name, primitive = node.type, node.primitive
    if name in _PYTHON:
        return f"{name} calls Python"
    kind = rule_of(name).kind
    inner = any(True for _ in graphs_of(node))
    if kind == "here" and not inner and name not in _PLAIN and "TensorList" not in name:
        return f"{name}: {rule_of(name).reason}"
    if primitive.random and inner:
        return None  # it is what its graphs draw
    if primitive.random or (kind == "made" and primitive.stateful):
        dtype = node.attrs.get("dtype")
        made = node.attrs.get("kind") or _DRAWS.get(name)
        if made is None or not random.makes(made, dtype):
            what = name if made is None else f"{name} of dtype {dtype.name}"
            return f"{what} draws random numbers on the host"
    elif kind == "host" and primitive.stateful and not primitive.checks:
        return f"{name} runs on the host"
    return None


def replayed(graph: Any, run: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """`run`, the compiled `graph`, replayed; a graph of a dataset stays as it is."""
    return run if graph.exact else Replayed(graph, run)
