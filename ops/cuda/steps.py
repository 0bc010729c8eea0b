"""Steps: what every call of a compiled function reads and writes, and their launch on streams.

While a function is watched, a `StepTable` writes down for each call which memory it reads and
writes and about how long it takes.  From that follow the order that the calls need and the
streams that are worth it (`streams.choose`).  While the function is captured, `Forked` puts
each call on its stream, behind the events it waits for.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from ..graph.graph import _variables_of
from .recording import Notes, NotRecordable
from .streams import Launch, Work

__all__ = ["Forked", "StepTable", "work_of"]

# Of a recent GPU: what a node of a CUDA graph costs by itself, and what fills the device.
_NODE_S = 2e-6
_BYTES_PER_S = 2e12
_OPERATIONS_PER_S = 1e14


class _Steps:
    """Calls in their order; those inside of a call are a part of it."""

    def __init__(self, notes: Notes):
        self._notes = notes
        self._next = 0

    def begin(self) -> None:
        """A run begins."""
        self._next = 0
        self._notes.steps = self

    def run(self, node: Any, call: Callable[..., Any], arrays: tuple[Any, ...]) -> Any:
        """What `call` gives for a node's inputs."""
        step, self._next = self._next, self._next + 1
        self._notes.steps = None
        try:
            with self._around(step, node, arrays) as results:
                out = call(*arrays)
                results.append(out)
            return out
        finally:
            self._notes.steps = self

    def join(self) -> None:
        """All calls of a run were made."""

    def _around(self, step: int, node: Any, arrays: tuple[Any, ...]) -> Any:
        raise NotImplementedError


class StepTable(_Steps):
    """Writes down what calls do.

    Args:
        notes: of the recording.
        where: a name for the memory that an array on the device lies in, the same as long as
            it is the same memory; None for an array that is not on the device.

    Attributes:
        reads: for each step, the earlier ones that it must come behind.
        works: how long each takes.
        present: the step at work.
    """

    def __init__(self, notes: Notes, where: Callable[[Any], Hashable | None]):
        super().__init__(notes)
        self._where = where
        self.reads: list[list[int]] = []
        self.works: list[Work] = []
        self.present = 0
        self._readers: dict[Hashable, list[int]] = {}  # since it was written
        self._writer: dict[Hashable, int] = {}
        self._used: dict[Hashable, set[int]] = {}
        self._barrier = -1

    @contextlib.contextmanager
    def _around(self, step: int, node: Any, arrays: tuple[Any, ...]) -> Iterator[list[Any]]:
        self.present = step
        variables = _variables_of(node)
        before = [v._value for v in variables]
        places = {self._where(a) for a in (*arrays, *before)}
        written = {self._where(a) for a in before} if node.primitive.stateful else set()
        results: list[Any] = []
        del before
        yield results
        outputs = results.pop()
        flat = outputs if type(outputs) is tuple else (outputs,)
        written |= {self._where(v._value) for v in variables if node.primitive.stateful}
        made = {self._where(a) for a in flat} - places
        behind = {self._barrier} if self._barrier >= 0 else set()
        if any(_opaque(a) for a in (*arrays, *flat)):  # whatever is in it
            behind |= set(range(step))
            self._barrier = step
        for place in places - {None}:
            behind.add(self._writer.get(place, -1))
            self._readers.setdefault(place, []).append(step)
            self._used.setdefault(place, set()).add(step)
        for place in (written | made) - {None}:
            behind.add(self._writer.get(place, -1))
            behind.update(self._readers.get(place, ()))
            self._writer[place], self._readers[place] = step, []
            self._used.setdefault(place, set()).add(step)
        self.reads.append(sorted(behind - {-1, step}))
        self.works.append(work_of(node, arrays, flat))

    def users(self, place: Hashable) -> set[int]:
        """The steps that read or write a memory."""
        return self._used.get(place, set())


class Forked(_Steps):
    """Puts calls on streams.

    Args:
        notes: of the recording.
        launches: where each step belongs.
        streams: of the device; the first is the one that is captured.
        event: makes an event that is recorded on a stream.
    """

    def __init__(
        self,
        notes: Notes,
        launches: Sequence[Launch],
        streams: Sequence[Any],
        event: Callable[[Any], Any],
    ):
        super().__init__(notes)
        self._launches, self._streams, self._event = launches, streams, event
        self._awaited = {n for launch in launches for n in launch.waits}
        self._events: dict[int, Any] = {}
        self._begun: Any = None
        self._open: set[int] = set()

    def begin(self) -> None:
        """The capture has begun."""
        super().begin()
        self._begun, self._open = self._event(self._streams[0]), {0}

    @contextlib.contextmanager
    def _around(self, step: int, node: Any, arrays: tuple[Any, ...]) -> Iterator[list[Any]]:
        if step >= len(self._launches):
            raise NotRecordable("it does not make the same calls every time")
        number, waits = self._launches[step]
        stream = self._streams[number]
        if number not in self._open:  # it becomes part of the capture
            stream.wait_event(self._begun)
            self._open.add(number)
        for n in waits:
            stream.wait_event(self._events[n])
        with stream:
            yield []
        if step in self._awaited:
            self._events[step] = self._event(stream)

    def join(self) -> None:
        """What comes next, on the first stream, comes behind all steps."""
        for number in sorted(self._open - {0}):
            self._streams[0].wait_event(self._event(self._streams[number]))


def work_of(node: Any, arrays: Sequence[Any], results: Sequence[Any]) -> Work:
    """About how long a call takes."""
    sizes = [a.nbytes for a in (*arrays, *results) if not _opaque(a)]
    operations = 0.0
    kind = node.type
    if "MatMul" in kind or kind == "Einsum":
        # [.., n, k] and [.., k, m] to [.., n, m]: n m k times the batch.
        numbers = [a.size for a in (*arrays[:2], *results[:1])]
        operations = 2 * math.sqrt(math.prod(numbers))
    elif "Conv" in kind and len(arrays) > 1:
        operations = 2.0 * max(a.size for a in (*arrays, *results)) * min(
            max(a.size for a in arrays) , 4608
        )  # fmt: skip
    time = max(sum(sizes) / _BYTES_PER_S, operations / _OPERATIONS_PER_S)
    nothing = node.type in ("ReadVariableOp", "Identity", "Reshape", "Shape", "StopGradient")
    return Work(0.0, 0.0) if nothing else Work(_NODE_S, time)


def _opaque(value: Any) -> bool:
    """Whether it is not an array: a list of tensors, say."""
    return not (isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "nbytes"))
