"""shuffle: elements leave a buffer in random order.

Exactly tf.data's buffer: it is filled with `buffer_size` elements, then each output is a
uniformly drawn element of the buffer, whose place the next input element takes; at the end of
the input the rest leaves in random order.  So element i never comes out before position
``i - buffer_size + 1``.

The draws do not depend on the data (`shuffle_draws`), so the state is seeds and counts.  To
restore, the draws up to the saved step say which elements were in the buffer; those are read
again from the input, which is first put back to a state recorded before the oldest of them.
Where the input can hand out any of its rows (`gather`), nothing is buffered at all.

Memory: the rows of the buffer once (strings, half as much again: `row_store`), 24 bytes a row
to know where they are, and one block on its way in and one out.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Sequence

import numpy as np

from ..block import Block
from ..failures import Failures
from ..node import UnaryNode
from ..row_store import RowStore
from ..shuffle_draws import Draws, exchange
from ..stage import Context, Stage, State

__all__ = ["Epochs", "ShuffleNode", "ShuffleStage"]

_FIRST_ROWS, _PULL_BYTES = 256, 1 << 20
_AT_ONCE_ROWS = 1 << 24


class Epochs:
    """Numbers the iterations over one shuffle, over all iterators of the dataset."""

    def __init__(self) -> None:
        self._next = 0
        self._lock = threading.Lock()

    def begin(self, at_least: int = 0) -> int:
        """The number of a new iteration."""
        with self._lock:
            number = max(self._next, at_least)
            self._next = number + 1
            return number

    def passed(self, number: int) -> None:
        """Iteration `number` has been run: later ones get higher numbers."""
        with self._lock:
            self._next = max(self._next, number + 1)


@dataclasses.dataclass(frozen=True, eq=False)
class ShuffleNode(UnaryNode):
    """Elements in random order.

    Attributes:
        buffer_size: elements in the buffer; -2 (unknown) for all of the input.
        seeds: two 64-bit seeds.
        reshuffle_each_iteration: whether every iteration has another order.
    """

    buffer_size: int
    seeds: tuple[int, int]
    reshuffle_each_iteration: bool = True
    epochs: Epochs = dataclasses.field(default_factory=Epochs, repr=False)
    own_failures = Failures.NEVER
    columnwise = True

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return ShuffleStage(self, inputs, context)


class ShuffleStage(Stage):
    """After `_fed` input rows, ``_fed - buffer_size`` draws were made (none before it is full).

    Physical rows of the store are numbered; `_contents[slot]` is the row in a slot and
    `_element[row]` the number of the input element it holds.
    """

    node: ShuffleNode

    def __init__(self, node: ShuffleNode, inputs: Sequence[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._size = node.buffer_size
        if self._size < 0:
            self._size = (
                max(1, node.input.cardinality) if node.input.cardinality >= 0 else 1 << 62
            )
        self._epoch: int | None = None if node.reshuffle_each_iteration else 0
        self._seeds = node.seeds
        self._gather = getattr(self.input, "gather", None)
        self._clear()

    def _clear(self) -> None:
        self._fed = 0
        self._ended = False
        self._drained = 0
        self._order: np.ndarray | None = None
        self._contents = np.empty(0, np.int64)
        self._element = np.empty(0, np.int64)
        self._top = 0  # rows of the store ever used
        self._free = np.empty(0, np.int64)
        self._store: RowStore | None = None
        self._history: deque[tuple[int, State]] = deque()
        self._draws: Draws | None = None
        self._pull_rows = _FIRST_ROWS

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        self._begin()
        assert self._draws is not None
        while self._fed < self._size and not self._ended:
            self._fill(min(need_rows, max_rows))
        if not self._ended:
            step = self._fed - self._size
            ask = min(max_rows, self._draws.upto_chunk_end(step), self._pull_rows)
            self._remember()
            block = self.input.next_block(ask, min(need_rows, ask))
            if block is not None:
                slots = self._draws.slots(step, block.num_rows)
                return self._take(exchange(slots, self._contents, self._put(block)))
            self._ended = True
        if self._order is None:
            self._element = np.empty(0, np.int64)  # no more rows come
            self._order = self._draws.last_order(min(self._fed, self._size))
        leaving = self._contents[self._order[self._drained : self._drained + max_rows]]
        if not len(leaving):
            return None
        self._drained += len(leaving)
        return self._take(leaving)

    def _begin(self) -> None:
        if self._draws is None:
            self._draws = Draws(self._seeds, self._this_epoch(), self._size)

    def _this_epoch(self) -> int:
        if self._epoch is None:
            self._epoch = self.node.epochs.begin()
        return self._epoch

    def _fill(self, need_rows: int) -> None:
        self._remember()
        missing = self._size - self._fed
        block = self.input.next_block(min(missing, self._pull_rows), missing + need_rows)
        if block is None:
            self._ended = True
            return
        self._contents = _grown(self._contents, self._fed + block.num_rows, self._size)
        slots = slice(self._fed, self._fed + block.num_rows)
        self._contents[slots] = self._put(block)

    def _put(self, block: Block) -> np.ndarray:
        """Keep the rows of `block`; their numbers."""
        n = block.num_rows
        if n >= self._pull_rows or self._pull_rows == _FIRST_ROWS:
            row_bytes = max(1, block.nbytes // n)
            self._pull_rows = max(64, min(_PULL_BYTES // row_bytes, 1 << 16))
        elements = np.arange(self._fed, self._fed + n)
        self._fed += n
        if self._gather is not None:
            return elements
        if self._store is None:
            self._store = RowStore(self.input.structure, self._size + (1 << 16))
        if len(self._free) >= n:
            rows, self._free = self._free[:n], self._free[n:]
        else:
            rows = np.arange(self._top, self._top + n)
            self._top += n
            self._element = _grown(self._element, self._top, self._size)
        self._store.put(rows, block)
        self._element[rows] = elements
        return rows

    def _take(self, rows: np.ndarray) -> Block:
        if self._gather is not None:
            return self._gather(rows)
        assert self._store is not None
        self._free = np.concatenate([rows, self._free])
        return self._store.get(rows)

    # -- one iteration after the other (shuffle_repeat) -------------------------------------

    @property
    def drains(self) -> bool:
        """Whether the input has ended, so that the last rows leave."""
        return self._ended

    @property
    def next_fill(self) -> int:
        """How many rows `fill` asks for; 0 once the buffer is full or the input has ended."""
        return 0 if self._ended else min(self._size - self._fed, self._pull_rows)

    def fill(self) -> int:
        """Read some rows into the buffer before they are asked for; returns how many."""
        fed = self._fed
        self._fill(0)
        return self._fed - fed

    def take_room(self, previous: ShuffleStage) -> None:
        """Use the places in the store from which rows of the iteration before have left."""
        if self._store is None:
            self._store, self._pull_rows = previous._store, previous._pull_rows
            self._top = previous._top
            self._element = np.empty(self._top, np.int64)
        self._free = np.concatenate([previous._free, self._free])
        previous._free = np.empty(0, np.int64)

    def take_turn(self, previous: ShuffleStage) -> None:
        """Be the iteration that follows the one of `previous`."""
        self.take_room(previous)
        self._epoch = previous._epoch
        self._count_iteration()

    def begin_next(self) -> None:
        """Forget the rows and be the next iteration; the input has been restarted."""
        self._restart()

    # -- state ----------------------------------------------------------------------------

    def _remember(self) -> None:
        """Record the input's state now and then; forget what is older than the buffer."""
        if self._gather is not None:
            return
        every = max(self._size // 4, 1)
        if self._history and self._fed - self._history[-1][0] < every:
            return
        live = self._contents[: min(self._fed, self._size)]
        oldest = int(self._element[live].min()) if len(live) else 0
        while len(self._history) > 1 and self._history[1][0] <= oldest:
            self._history.popleft()
        self._history.append((self._fed, self.input.state()))

    def _state(self) -> State:
        state: State = {
            "epoch": self._this_epoch(),
            "seeds": list(self._seeds),
            "fed": self._fed,
            "ended": self._ended,
            "drained": self._drained,
            "input": self.input.state(),
        }
        if self._history:
            state["anchor_element"], state["anchor"] = self._history[0]
        return state

    def _restore(self, state: State) -> None:
        self._clear()
        self._epoch = state["epoch"]
        self._seeds = tuple(state["seeds"])
        self.node.epochs.passed(state["epoch"])
        self._begin()
        contents = self._replay_draws(state["fed"])
        if self._gather is None:
            if state["fed"]:
                self._read_again(contents, state)
        else:
            self._contents = contents
            self._fed = state["fed"]
        self._ended = state["ended"]
        self._drained = state["drained"]
        self.input.restore(state["input"])

    def _replay_draws(self, fed: int) -> np.ndarray:
        """The numbers of the elements in the slots after `fed` elements."""
        assert self._draws is not None
        contents = np.arange(min(fed, self._size))
        step, steps = 0, max(0, fed - self._size)
        while step < steps:
            count = min(self._draws.upto_chunk_end(step), steps - step)
            incoming = np.arange(self._size + step, self._size + step + count)
            exchange(self._draws.slots(step, count), contents, incoming)
            step += count
        return contents

    def _read_again(self, elements: np.ndarray, state: State) -> None:
        """Read the given elements from the recorded state on and put them in their slots."""
        fed, first = state["fed"], state["anchor_element"]
        self.input.restore(state["anchor"])
        self._history.append((first, state["anchor"]))
        slot_of = np.argsort(elements)
        wanted = elements[slot_of]
        self._contents = np.empty(len(elements), np.int64)
        position = first
        while position < fed:
            try:
                block = self.input.next_block(min(fed - position, 1 << 16), fed - position)
            except Exception:
                continue  # it was raised before the state was taken
            if block is None:
                break
            low, high = np.searchsorted(wanted, [position, position + block.num_rows])
            if high > low:
                # `_put` numbers elements from `_fed`; these have gaps.
                rows = self._put(block.take(wanted[low:high] - position))
                self._element[rows] = wanted[low:high]
                self._contents[slot_of[low:high]] = rows
            position += block.num_rows
        self._fed = fed

    def _restart(self) -> None:
        self._count_iteration()
        self._clear()

    def _count_iteration(self) -> None:
        if self.node.reshuffle_each_iteration and self._epoch is not None:
            self._epoch += 1
            self.node.epochs.passed(self._epoch)

    def buffered(self) -> tuple[int, int]:
        """Elements and bytes held."""
        if self._store is None:
            return 0, 0
        return min(self._fed, self._size) - self._drained, self._store.nbytes


def _grown(array: np.ndarray, rows: int, most: int) -> np.ndarray:
    """`array`, or a longer copy with at least `rows` places; few copies for many calls."""
    if rows <= len(array):
        return array
    # All at once where that is little: what is not touched takes no memory.
    size = max(rows, most if most <= _AT_ONCE_ROWS else min(most, 2 * len(array)))
    longer = np.empty(size, array.dtype)
    longer[: len(array)] = array
    return longer
