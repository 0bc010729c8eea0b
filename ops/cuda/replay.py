"""Replay: a compiled function recorded once as a CUDA graph and then launched as one.

The first calls with inputs of certain shapes run call by call: they compile kernels, choose
algorithms and fill tables, and show what is allocated (`memory_tape`).  Then the function runs
once more while its stream is captured, with its memory out of one planned arena.  From then on
a call copies its inputs to where the graph reads them, launches it, and copies the results out.

A variable's array stays where it is: what the function assigns is copied into it inside of the
graph.  Where somebody else holds that array (a tensor read from the variable), the call runs as
the first ones did, so that the tensor keeps its numbers.

What cannot be recorded (random numbers, whose place in their stream the host keeps; calls that
run on the host; sizes that depend on data) has a reason, which `fn.explain()` shows.
"""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from ..graph.graph import graphs_of

__all__ = ["WARM_CALLS", "Recorder", "Replay", "why_not"]

WARM_CALLS = 2
_RECORDINGS = 8  # per function: shapes beyond that run call by call
_HOST_READS = frozenset(
    "Where Unique UniqueV2 _BooleanMask _BooleanMaskGrad DynamicPartition ListDiff RaggedRange "
    "_Repeat".split()
)


class Recorder(ABC):
    """Records what is queued on a device."""

    @abstractmethod
    def record(self, work: Callable[[], Any]) -> tuple[Any, Any]:
        """Something to `launch`, and what `work` gave.

        Raises:
            Exception: it does something that cannot be recorded.
        """

    @abstractmethod
    def launch(self, recorded: Any) -> None:
        """Queue what was recorded on the current stream."""

    @abstractmethod
    def copy(self, to: Any, source: Any) -> None:
        """Queue a copy of an array into another one of its shape and dtype."""

    @abstractmethod
    def duplicate(self, array: Any) -> Any:
        """Queue a copy of an array into a new one."""


class _Recording:
    """One form of a function.

    Attributes:
        inputs: where it reads its inputs.
        outputs: where it writes its results.
        arrays: of the variables, in their order.
        holders: of each of these, how many references there are while no variable has it.
    """

    def __init__(self, recorded: Any, inputs: list[Any], outputs: list[Any], arrays: list[Any]):
        self.recorded, self.inputs, self.outputs = recorded, inputs, outputs
        self.arrays = arrays
        self.holders: list[int] = []


class Replay:
    """A function from arrays to a list of arrays that is recorded when it has been called with
    the same shapes a few times.

    Args:
        run: the function, call by call.
        variables: what it reads and writes besides, objects with an array `_value`.
        recorder: the device's.
        reason: why it cannot be recorded; None if it may be.

    Attributes:
        reason: why calls are not replayed, or None; set when recording failed.
        replays: how many calls were replayed.
    """

    def __init__(
        self,
        run: Callable[..., list[Any]],
        variables: Sequence[Any],
        recorder: Recorder,
        reason: str | None = None,
    ):
        self._run, self._variables, self._recorder = run, list(variables), recorder
        self.reason, self.replays = reason, 0
        self._seen: dict[Any, int] = {}
        self._recordings: dict[Any, _Recording] = {}
        self._lock = threading.Lock()

    def __call__(self, *arrays: Any) -> list[Any]:
        """The results for `arrays`, all on the device."""
        if self.reason is not None:
            return self._run(*arrays)
        key = tuple([(a.shape, a.dtype) for a in arrays])
        with self._lock:
            found = self._recordings.get(key)
            if found is None:
                calls = self._seen.get(key, 0)
                if calls < WARM_CALLS or len(self._recordings) >= _RECORDINGS:
                    self._seen[key] = calls + 1
                    return self._run(*arrays)
                found = self._record(arrays)
                if found is None:
                    return self._run(*arrays)
                self._recordings[key] = found
            elif not self._own(found):
                return self._run(*arrays)
            return self._replay(found, arrays)

    def _record(self, arrays: Sequence[Any]) -> _Recording | None:
        recorder = self._recorder
        inputs = [recorder.duplicate(a) for a in arrays]
        # Arrays of their own, which nobody holds.
        kept = [recorder.duplicate(v._value) for v in self._variables]
        before = [v._value for v in self._variables]

        def work(kept: list[Any] = kept) -> list[Any]:
            for v, array in zip(self._variables, kept, strict=True):
                v._value = array
            outputs = self._run(*inputs)
            for v, array in zip(self._variables, kept, strict=True):
                if v._value is not array:
                    if v._value.shape != array.shape or v._value.dtype != array.dtype:
                        raise ValueError(
                            f"{getattr(v, 'name', 'a variable')} changes its shape"
                        )
                    recorder.copy(array, v._value)
            return outputs

        try:
            recorded, outputs = recorder.record(work)
        except Exception as error:
            self.reason = f"it could not be recorded: {type(error).__name__}: {error}"
            return None
        finally:
            # Recording runs nothing: the variables are as they were.
            for v, array in zip(self._variables, before, strict=True):
                v._value = array
        found = _Recording(recorded, inputs, outputs, kept)
        del work, outputs, kept
        found.holders = [sys.getrefcount(a) for a in found.arrays]
        return found

    def _own(self, found: _Recording) -> bool:
        """Whether nobody but the variables holds the arrays that the recording writes."""
        # Counted as `_record` did: one reference more is the loop's own there, too.
        held = [sys.getrefcount(a) for a in found.arrays]
        mine = [v._value is a for v, a in zip(self._variables, found.arrays, strict=True)]
        return all(
            h <= least + own for h, least, own in zip(held, found.holders, mine, strict=True)
        )

    def _replay(self, found: _Recording, arrays: Sequence[Any]) -> list[Any]:
        recorder = self._recorder
        for to, source in zip(found.inputs, arrays, strict=True):
            recorder.copy(to, source)
        for v, array in zip(self._variables, found.arrays, strict=True):
            if v._value is not array:
                recorder.copy(array, v._value)
                v._value = array
        recorder.launch(found.recorded)
        self.replays += 1
        return [recorder.duplicate(o) for o in found.outputs]


def why_not(graph: Any, kinds: Callable[[str], str]) -> str | None:
    """Why a graph cannot be recorded, or None.

    Args:
        graph: traced.
        kinds: where a primitive runs, by its name: "host", "made", "here" or "device".
    """
    for node in graph.nodes:
        primitive = node.primitive
        if primitive.random:
            return f"{node.type} draws random numbers, whose place in the stream the host keeps"
        if kinds(node.type) in ("host", "made"):
            return f"{node.type} runs on the host"
        if node.type in _HOST_READS:
            return f"the size of what {node.type} gives depends on its input"
        if any(True for _ in graphs_of(node)):
            return f"{node.type} has graphs of its own"
    for tensor in graph.inputs:
        if tensor.dtype.size == 0:
            return f"an input has the dtype {tensor.dtype.name}, which lies on the host"
    return None
