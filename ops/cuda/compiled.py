"""Compiled functions on a GPU: when their recording may stand for their calls.

Everything that a recording reads must be on the device: its inputs are copied there, variables
have to lie there.  What runs on the host meanwhile depends on shapes alone, which are a
recording's key; what would read a device's values there cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..array_module import is_on_device
from ..device_rules import rule_of
from ..devices import HOST, devices, requested
from ..placement import to_place
from .cupy_recorder import CupyRecorder
from .replay import Recorder, Replay, why_not

__all__ = ["Replayed", "replayed"]

_HERE = frozenset({"EagerPyFunc", "_EagerPyFuncGrad"})


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
        self._reason = why_not(graph, _kind)
        self._replays: dict[int, Replay] = {}
        self.source = getattr(run, "source", None)
        self.graph = getattr(run, "graph", graph)

    def __call__(self, *arrays: Any) -> list[Any]:
        """The results."""
        place = requested()
        if place is None:
            place = devices.default()
        if self._reason is not None or place == HOST:
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
        return replay(*[to_place(a, place) for a in arrays])

    def told(self) -> str:
        """Whether calls are replayed, and why not, for `explain()`."""
        found = [r.reason for r in self._replays.values() if r.reason is not None]
        reason = self._reason or next(iter(found), None)
        if reason is not None:
            return f"not replayed as a CUDA graph: {reason}"
        count = sum(r.replays for r in self._replays.values())
        return f"replayed as a CUDA graph, {count} calls so far"


def _kind(name: str) -> str:
    return "host" if name in _HERE else rule_of(name).kind


def replayed(graph: Any, run: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """`run`, the compiled `graph`, replayed; a graph of a dataset stays as it is."""
    return run if graph.exact else Replayed(graph, run)
