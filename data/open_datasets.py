"""What interleave has open: datasets being read, and a line of those that come next.

Opening a dataset may take a while, a file far away above all.  So where the user asked for
parallel calls, the next datasets are opened, and read by threads of their own, before their
turn comes.  An error met then waits in the line for its turn, and nothing is opened behind it.
State knows nothing of the line: the position is where its first dataset began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .block import Block
from .caught import Caught
from .stage import Stage, State
from .transforms.prefetch import PrefetchStage

__all__ = ["Line", "OpenDataset"]


class OpenDataset:
    """A dataset's stage and what has been read of it and not handed out.

    Attributes:
        element: number and input state from before the element that the dataset was made of.
        before: the stage's state from before `rest`'s block was read.
        taken: rows of that block handed out.
        error: what comes after `rest`.
    """

    __slots__ = ("before", "element", "ended", "error", "rest", "stage", "taken")

    def __init__(self, stage: Stage, element: State):
        self.stage = stage
        self.element = element
        self.before: State | None = None
        self.rest: Block | None = None
        self.taken = 0
        self.error: Caught | None = None
        self.ended = False

    @property
    def available(self) -> int:
        """Rows that can be had at once."""
        return self.rest.num_rows if self.rest is not None else 0

    def begin(self) -> None:
        """Read ahead, if a thread does that, from now on."""
        if isinstance(self.stage, PrefetchStage):
            self.stage.begin()

    def read(self, rows: int, need: int) -> None:
        """Read a block, unless there are rows (or an error) left."""
        if self.rest is not None or self.error is not None or self.ended:
            return
        self.before = self.stage.state()
        self.taken = 0
        try:
            self.rest = self.stage.next_block(rows, need)
            self.ended = self.rest is None
        except Exception as error:
            self.error = Caught(error).put_off()

    def take(self, rows: int) -> Block:
        """Hand out up to `rows` rows."""
        rest = self.rest
        assert rest is not None
        part = rest[:rows]
        self.taken += part.num_rows
        self.rest = rest[rows:] if rest.num_rows > rows else None
        return part

    def state(self) -> State:
        """The position behind the rows handed out."""
        if self.rest is None and self.error is None:
            return {"element": self.element, "stage": self.stage.state(), "skip": 0}
        return {"element": self.element, "stage": self.before, "skip": self.taken}


class _Failed:
    """Stands in the line for a dataset that could not be made, or an element not read."""

    __slots__ = ("element", "error", "is_element")

    def __init__(self, element: State, error: Caught, is_element: bool):
        self.element = element
        self.error = error
        self.is_element = is_element


class Line:
    """The datasets that come next, some of them open before their turn.

    Args:
        source: gives the elements, one at a time.
        make: gives the dataset for an element (a block of one row, and its `element`).
        length: how many are opened before their turn; 0 to open each when it comes.
    """

    def __init__(self, source: Stage, make: Callable[[Block, State], OpenDataset], length: int):
        self._source = source
        self._make = make
        self._length = length
        self._waiting: deque[OpenDataset | _Failed] = deque()
        self._opened = 0
        self._ended = False

    def next(self) -> OpenDataset | Caught | None:
        """The next dataset; what its function raised instead; None after the last.

        Raises:
            Exception: the next element could not be read; the line goes on behind it.
        """
        if not self._waiting:
            self._open()
        found = self._waiting.popleft() if self._waiting else None
        if isinstance(found, OpenDataset):
            while len(self._waiting) < self._length and self._goes_on():
                self._open(ahead=True)
            return found
        if found is None or found.is_element:
            return found and found.error
        raise found.error.take()

    def _goes_on(self) -> bool:
        """Whether there may be another dataset behind those that wait."""
        return not self._ended and not (
            self._waiting and isinstance(self._waiting[-1], _Failed)
        )

    def _open(self, ahead: bool = False) -> None:
        element = {"input": self._source.state(), "index": self._opened}
        block = None
        try:
            block = self._source.next_block(1)
            if block is None:
                self._ended = True
                return
            self._opened += 1
            found: OpenDataset | _Failed = self._make(block, element)
        except Exception as error:
            caught = Caught(error)
            found = _Failed(element, caught.put_off() if ahead else caught, block is not None)
        else:
            if ahead:
                found.begin()
        self._waiting.append(found)

    # -- state ----------------------------------------------------------------------------

    def state(self) -> State:
        """Where the first dataset of the line begins."""
        if self._waiting:
            return self._waiting[0].element
        return {"input": self._source.state(), "index": self._opened}

    def restore(self, state: State) -> None:
        """Go to a position that `state` told."""
        self._source.restore(state["input"])
        self.restart()
        self._opened = state["index"]

    def restart(self) -> None:
        """Begin anew; the source has been told to."""
        self.close()
        self._opened = 0
        self._ended = False

    def close(self) -> None:
        """Close the datasets that wait."""
        while self._waiting:
            one = self._waiting.popleft()
            if isinstance(one, OpenDataset):
                one.stage.close()
