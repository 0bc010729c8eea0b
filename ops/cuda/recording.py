"""Notes of a recording: what the work that is being recorded leaves outside of its own memory.

A function is run several times to be recorded, the last time while its stream is captured: then
nothing runs, nothing can be read, and what is copied from the host would be read from there at
every launch.  So while a recording is under way in a thread

* values of the host come from copies made in the runs before, kept with the recording: they may
  depend on the shapes alone, and a capture that asks for another value is refused;
* draws from the streams of random numbers read where their numbers begin from the device, and
  the host writes that before every launch (`Notes.places`), so that its own count goes on as
  if the calls had drawn;
* conditions that lie on the device choose between the results of both branches (`both`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["NotRecordable", "Notes", "current", "noting", "refused", "stepped", "unseen"]

_ROOM = 32  # draws whose places stand in one array


def stepped(node: Any, call: Callable[..., Any], arrays: tuple[Any, ...]) -> Any:
    """What `call` gives for the inputs of a compiled function's node."""
    notes = _current.notes
    if notes is None or notes.steps is None:
        return call(*arrays)
    return notes.steps.run(node, call, arrays)


class NotRecordable(RuntimeError):
    """What a recording cannot hold."""

    is_located = False  # whether it names the call


def refused(error: Exception, node: str, place: Any) -> NotRecordable:
    """What a recording says of an error of a node's call at the user's line."""
    kind = "" if isinstance(error, NotRecordable) else f"{type(error).__name__}: "
    at = "" if place is None else f" (line {place[1]} of {place[0]})"
    made = NotRecordable(f"{node}{at}: {kind}{error}")
    made.is_located = True
    return made


class Notes:
    """What belongs to a recording besides its graph.

    Args:
        aside: a context in which memory is allocated that is not of the recording's arena.
        room: makes an array of so many uint64 on the device.

    Attributes:
        capturing: whether the present run only queues.
        steps: what runs the function's calls (`steps`), or None.
        streams: how many streams the calls are on.
        draws: the streams that are drawn from, and how many counters each draw takes, in order.
    """

    def __init__(
        self,
        room: Callable[[int], Any],
        aside: Callable[[], Any] = contextlib.nullcontext,
    ):
        self._room, self._aside = room, aside
        self.capturing = False
        self.steps: Any = None
        self.streams = 1
        self.draws: list[tuple[Any, int]] = []
        self._places: list[Any] = []
        self._drawn = 0
        self._constants: dict[Any, Any] = {}
        self._kept: list[Any] = []

    def begin(self, capturing: bool) -> None:
        """A run of the work begins."""
        self.capturing, self._drawn, self.steps = capturing, 0, None

    def join(self) -> None:
        """The function's calls are over: what comes next comes behind all of them."""
        steps, self.steps = self.steps, None
        if steps is not None:
            steps.join()

    def keep(self, thing: Any) -> None:
        """Keep what the recording uses as long as it is there itself."""
        self._kept.append(thing)

    def constant(
        self, where: Any, values: np.ndarray, copy: Callable[[np.ndarray], Any]
    ) -> Any:
        """A copy of a host array on a device.

        Args:
            where: the device.
            values: the host array.
            copy: makes a copy on it.

        Raises:
            NotRecordable: the runs before have not copied such a value.
        """
        key = where, values.dtype, values.shape, values.tobytes()
        found = self._constants.get(key)
        if found is None:
            if self.capturing:
                raise NotRecordable(
                    f"a value of the host, {values.dtype}{list(values.shape)}, goes to the "
                    "device and is not the same at every call"
                )
            with self._aside():
                found = self._constants[key] = copy(values)
        return found

    def place(self, stream: Any, count: int) -> Any:
        """Where on the device the next draw reads how many counters of its stream are used.

        Args:
            stream: as `random_ops._Seeds.reserve` takes it.
            count: counters it takes.

        Raises:
            NotRecordable: the runs before have not drawn that.
        """
        number, self._drawn = self._drawn, self._drawn + 1
        if number == len(self.draws) and not self.capturing:
            self.draws.append((stream, count))
        if number >= len(self.draws) or self.draws[number] != (stream, count):
            raise NotRecordable("it does not draw the same random numbers at every call")
        if number // _ROOM == len(self._places):
            with self._aside():
                self._places.append(self._room(_ROOM))
        return self._places[number // _ROOM][number % _ROOM :][:1]

    def places(self, starts: Sequence[int]) -> Iterator[tuple[Any, np.ndarray]]:
        """Arrays on the device, and the numbers that belong in their front before a launch.

        Args:
            starts: for each of `draws`, where it begins.
        """
        for i, array in enumerate(self._places):
            yield array, np.array(starts[i * _ROOM : (i + 1) * _ROOM], np.uint64)

    def both(self, pred: Any, arrays: Sequence[Any], branches: Sequence[Any], xp: Any) -> Any:
        """The results of the branch that `pred`, a bool on the device, chooses: both run, each
        on its own copy of the variables it assigns.

        Args:
            pred: of one element.
            arrays: the branches' inputs.
            branches: graphs of what is done if it is true, and else.
            xp: the device's array module.

        Raises:
            NotRecordable: a branch does more than to compute and to assign.
        """
        if len(branches) != 2:
            raise NotRecordable("a number on the device chooses between several branches")
        pred = pred.astype(bool).reshape(())
        found, assigned = [], []
        for graph in branches:
            changed = _assigned(graph)
            before = [v._value for v in changed]
            try:
                for v, array in zip(changed, before, strict=True):
                    v._value = array.copy()
                outputs = graph.compile()(*arrays)
                assigned.append([(v, v._value) for v in changed])
            finally:
                for v, array in zip(changed, before, strict=True):
                    v._value = array
            found.append(outputs)
            del before
        for chosen, pairs in zip((pred, ~pred), assigned, strict=True):
            for v, array in pairs:
                xp.copyto(v._value, array, where=chosen)
        return tuple(_chosen(pred, a, b, xp) for a, b in zip(*found, strict=True))


def _chosen(pred: Any, yes: Any, no: Any, xp: Any) -> Any:
    if isinstance(yes, np.ndarray) and isinstance(no, np.ndarray) and np.array_equal(yes, no):
        return yes  # a number on the host, the same either way
    if yes.shape != no.shape or isinstance(yes, np.ndarray) or isinstance(no, np.ndarray):
        raise NotRecordable("the branches of a condition on the device give different sizes")
    return xp.where(pred, yes, no)


def _assigned(graph: Any) -> list[Any]:
    """The variables that a branch assigns.

    Raises:
        NotRecordable: it does something else that cannot be undone.
    """
    found: dict[int, Any] = {}
    for node in graph.nodes:
        primitive = node.primitive
        own = [node.attrs["variable"]] if node.attrs.get("variable") is not None else []
        own += node.attrs.get("variables") or ()
        inner = [
            g
            for value in node.attrs.values()
            for g in (value if type(value) is tuple else (value,))
            if hasattr(g, "nodes")
        ]
        if primitive.random:
            raise NotRecordable(f"a branch draws random numbers ({node.type})")
        if primitive.stateful and not (own or inner or node.type == "Placeholder"):
            raise NotRecordable(f"a branch changes more than variables ({node.type})")
        if primitive.stateful and node.type != "ReadVariableOp":
            found.update((id(v), v) for v in own)
        for g in inner:
            found.update((id(v), v) for v in _assigned(g))
    return list(found.values())


class _Current(threading.local):
    notes: Notes | None = None


_current = _Current()


def current() -> Notes | None:
    """The notes of the recording under way in this thread."""
    return _current.notes


def unseen(array: Any) -> bool:
    """Whether nobody may look at an array's elements now: it lies on a device, and what is done
    is recorded.  Checks of values are left out then."""
    return _current.notes is not None and not isinstance(array, np.ndarray)


@contextlib.contextmanager
def noting(notes: Notes) -> Iterator[Notes]:
    """Record with these notes in the block."""
    before, _current.notes = _current.notes, notes
    try:
        yield notes
    finally:
        _current.notes = before
