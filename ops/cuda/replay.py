"""Replay: a compiled function recorded once as a CUDA graph and then launched as one.

The first calls with inputs of certain shapes run call by call: they compile kernels, choose
algorithms and fill tables.  Then the function is recorded (`Recorder.record`).  From then on a
call copies its inputs to where the graph reads them, writes where its random numbers begin,
launches the graph, and copies the results out.

A variable's array stays where it is: what the function assigns is copied into it inside of the
graph.  Where somebody else holds that array (a tensor read from the variable), the call runs as
the first ones did, so that the tensor keeps its numbers.

What cannot be recorded (calls that change something outside of the device, sizes that depend on
data, values of the device that are read on the host) has a reason, which `fn.explain()` shows.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from .. import random_ops
from ..devices import devices
from ..graph.graph import graphs_of
from .recording import Notes, NotRecordable, noting

__all__ = ["WARM_CALLS", "Recorder", "Replay", "why_not"]

WARM_CALLS = 2
_RECORDINGS = 8  # per function: shapes beyond that run call by call
_HOST_READS = frozenset(
    "Where Unique UniqueV2 _BooleanMask _BooleanMaskGrad DynamicPartition ListDiff".split()
)


class Recorder(ABC):
    """Records what is queued on a device."""

    @abstractmethod
    def notes(self) -> Notes:
        """Notes for a new recording."""

    @abstractmethod
    def record(self, work: Callable[[], Any], notes: Notes) -> tuple[Any, Any]:
        """Something to `launch`, and what `work` gave.

        Args:
            work: may run several times, each announced to the notes (`Notes.begin`), the last
                time as what is recorded.
            notes: of the recording, which it keeps.

        Raises:
            Exception: it does something that cannot be recorded.
        """

    @abstractmethod
    def write(self, to: Any, values: Any) -> None:
        """Queue a copy of a few uint64 of the host, which may change at once, into the front
        of an array."""

    def on(self) -> Any:
        """A context in which the device is the current one."""
        return contextlib.nullcontext()

    @abstractmethod
    def launch(self, recorded: Any) -> None:
        """Queue what was recorded on the current stream."""

    @abstractmethod
    def copy(self, to: Any, source: Any) -> None:
        """Queue a copy of an array into another one of its shape and dtype."""

    @abstractmethod
    def duplicate(self, array: Any) -> Any:
        """Queue a copy of an array into a new one."""

    @abstractmethod
    def hold(self, array: Any) -> Any:
        """An array's memory and form, kept without a reference to the array."""

    @abstractmethod
    def array_of(self, held: Any) -> Any:
        """A new array of that memory."""

    @abstractmethod
    def is_at(self, held: Any, array: Any) -> bool:
        """Whether an array is all of that memory."""

    def order(self, last: Any) -> Any:
        """The current stream, which waits for what is queued on `last` if that is another one;
        None where there is only one."""
        return None

    def bring_back(self, held: Any, array: Any) -> None:
        """Queue a copy into that memory if the array is elsewhere.

        Raises:
            ValueError: it has another form.
        """
        if not self.is_at(held, array):
            to = self.array_of(held)
            if to.shape != array.shape or to.dtype != array.dtype:
                raise ValueError(f"a variable of shape {to.shape} becomes one of {array.shape}")
            self.copy(to, array)


class _Recording:
    """One form of a function.

    Attributes:
        inputs: where it reads its inputs.
        outputs: where it writes its results.
        memory: of the variables, in their order, as `Recorder.hold` gives it.
        notes: what it draws and keeps.
        arrays: weak references to the arrays of that memory that variables have, or None.
        stream: where it was launched last.
    """

    stream: Any = None

    def __init__(
        self,
        recorded: Any,
        inputs: list[Any],
        outputs: list[Any],
        memory: list[Any],
        notes: Notes,
    ):
        self.recorded, self.inputs, self.outputs = recorded, inputs, outputs
        self.memory, self.notes = memory, notes
        self.arrays: list[Any] = [None] * len(memory)


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
        key = devices.tensor_float_32, *[(a.shape, a.dtype) for a in arrays]
        with self._lock:
            found = self._recordings.get(key)
            if found is None:
                calls = self._seen.get(key, 0)
                if calls < WARM_CALLS or len(self._recordings) >= _RECORDINGS:
                    self._seen[key] = calls + 1
                    return self._run(*arrays)
                with self._recorder.on():
                    found = self._record(arrays)
                if found is None:
                    return self._run(*arrays)
                self._recordings[key] = found
            elif not self._own(found):
                return self._run(*arrays)
            with self._recorder.on():
                return self._replay(found, arrays)

    @property
    def streams(self) -> int:
        """The most streams that a recording has."""
        return max((r.notes.streams for r in self._recordings.values()), default=1)

    def _record(self, arrays: Sequence[Any]) -> _Recording | None:
        recorder = self._recorder
        inputs = [recorder.duplicate(a) for a in arrays]
        # Memory of their own.  Only the variables have its arrays, or updates in place would
        # take them for somebody else's, too, and copy them.
        memory = [recorder.hold(recorder.duplicate(v._value)) for v in self._variables]
        before = [v._value for v in self._variables]

        notes = recorder.notes()

        def work() -> list[Any]:
            for v, held in zip(self._variables, memory, strict=True):
                v._value = recorder.array_of(held)
            outputs = self._run(*inputs)
            notes.join()
            for v, held in zip(self._variables, memory, strict=True):
                recorder.bring_back(held, v._value)
            return outputs

        try:
            with noting(notes):
                recorded, outputs = recorder.record(work, notes)
        except Exception as error:
            kind = "" if isinstance(error, NotRecordable) else f"{type(error).__name__}: "
            self.reason = f"it could not be recorded: {kind}{error}"
            return None
        finally:
            # Recording runs nothing: the variables are as they were.
            for v, array in zip(self._variables, before, strict=True):
                v._value = array
        return _Recording(recorded, inputs, outputs, memory, notes)

    def _own(self, found: _Recording) -> bool:
        """Whether nobody but the variables has the arrays that the recording writes."""
        for v, reference in zip(self._variables, found.arrays, strict=True):
            array = None if reference is None else reference()
            mine, there = array is v._value, array is not None
            del array
            if there and (not mine or _references(v) > _ALONE):
                return False
        return True

    def _replay(self, found: _Recording, arrays: Sequence[Any]) -> list[Any]:
        recorder = self._recorder
        # On another stream it may read its inputs, or write its results, still.
        found.stream = recorder.order(found.stream)
        for to, source in zip(found.inputs, arrays, strict=True):
            recorder.copy(to, source)
        for place, v in enumerate(self._variables):
            reference = found.arrays[place]
            if reference is None or reference() is not v._value:
                array = recorder.array_of(found.memory[place])
                recorder.copy(array, v._value)
                v._value = array
                found.arrays[place] = weakref.ref(array)
        if found.notes.draws:
            starts = [random_ops.reserve(stream, n) for stream, n in found.notes.draws]
            for places, numbers in found.notes.places(starts):
                recorder.write(places, numbers)
        recorder.launch(found.recorded)
        self.replays += 1
        return [recorder.duplicate(o) for o in found.outputs]


def _references(variable: Any) -> int:
    return sys.getrefcount(variable._value)


class _Probe:
    def __init__(self) -> None:
        self._value = object()


_ALONE = _references(_Probe())


def why_not(graph: Any, outside: Callable[[Any], str | None]) -> str | None:
    """Why a graph cannot be recorded, as far as that can be told from its nodes, or None.

    Args:
        graph: traced.
        outside: why a node's call has an effect beside the device, or None.
    """
    for tensor in graph.inputs:
        if tensor.dtype.size == 0:
            return f"an input has the dtype {tensor.dtype.name}, which lies on the host"
    return _why_nodes(graph, outside)


def _why_nodes(graph: Any, outside: Callable[[Any], str | None]) -> str | None:
    for node in graph.nodes:
        if node.type in _HOST_READS:
            return f"the size of what {node.type} gives depends on its input"
        reason = outside(node)
        if reason is None:
            found = (_why_nodes(inner, outside) for inner in graphs_of(node))
            reason = next((r for r in found if r is not None), None)
        if reason is not None:
            return reason
    return None
