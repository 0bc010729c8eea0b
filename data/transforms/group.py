"""group: elements collected by key; each full window is an element ``(key, dataset)``.

`group_by_window` is this followed by ``flat_map(reduce_func)``.  A window is full when it has
as many elements as `window_size` gives for its key; at the end the windows under way come in
the order of their keys.

The state holds no elements: it is the input's state from before the oldest element that is
still kept, and for each window under way the number of its first element.  Restoring reads on
from there and drops what was handed out already.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops.errors import InvalidArgumentError
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..caught import Caught
from ..columns import ListColumn
from ..functions import UserFunction
from ..node import UNKNOWN, Node, UnaryNode
from ..stage import Context, Stage, State
from .window import BlockNode

__all__ = ["GroupNode"]

_MOST_STATES = 256


@dataclasses.dataclass(frozen=True, eq=False)
class GroupNode(UnaryNode):
    """``(key, dataset of up to window_size elements of that key)``.

    Attributes:
        function: gives an element's key, an int64 scalar.
        window_size: gives the size for a key: a number, or a function.
        make_dataset: a dataset of a node (the class lives above this module).
        make_spec: the spec of datasets of the given element spec.
    """

    function: UserFunction = dataclasses.field(repr=False)
    window_size: int | UserFunction
    make_dataset: Callable[[Node], Any] = dataclasses.field(repr=False)
    make_spec: Callable[[Any], Any] = dataclasses.field(repr=False)

    def _element_spec(self) -> Any:
        return (TensorSpec([], "int64"), self.make_spec(self.input.element_spec))

    def _cardinality(self) -> int:
        return self.input.cardinality if self.input.cardinality <= 0 else UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _GroupStage(self, inputs, context)


class _Window:
    """A window under way: its first element's number, its size, its elements."""

    __slots__ = ("blocks", "first", "rows", "size")

    def __init__(self, first: int, size: int):
        self.first = first
        self.size = size
        self.rows = 0
        self.blocks: list[Block] = []

    def add(self, block: Block) -> None:
        self.blocks.append(block)
        self.rows += block.num_rows


class _GroupStage(Stage):
    """Elements are numbered; `_done` of them have been sorted into windows.

    Attributes:
        _origins: (number of the first element, input state from before it, errors met before
            it) of the blocks read, as far back as an element is kept.
        _rest: what was read and not sorted yet.
        _errors: how many errors the input has raised.
    """

    node: GroupNode
    _origins: deque[tuple[int, State, int]]

    def __init__(self, node: GroupNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.pure = self.pure and not node.function.is_stateful
        self._sizes: dict[int, int] = {}
        self._restart()

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while True:
            if self._rest is None and not self._ended:
                try:
                    self._read()
                except Exception:
                    self._errors += 1
                    raise
            if self._rest is None:
                return self._last()
            full = self._sort()
            if full is not None:
                return self._element(*full)

    def _read(self) -> None:
        rows = 1024 if self.pure else 1
        self._note()
        block = self.input.next_block(rows, rows)
        if block is None:
            self._ended = True
        self._rest = block

    def _note(self) -> None:
        """Remember the input's state, and forget those that no kept element needs."""
        origins = self._origins
        if not origins or origins[-1][0] != self._done or origins[-1][2] != self._errors:
            origins.append((self._done, self.input.state(), self._errors))
        oldest = min((w.first for w in self._windows.values()), default=self._done)
        while len(origins) > 1 and origins[1][0] <= oldest:
            origins.popleft()
        if len(origins) > _MOST_STATES:  # restoring then reads a little more
            self._origins = deque(o for i, o in enumerate(origins) if i % 2 == 0)

    def _sort(self) -> tuple[int, _Window] | None:
        """Sort what was read into windows, up to the first that is full: (key, window)."""
        block = self._rest
        assert block is not None
        keys, error = self._keys(block)
        end, full = len(keys), None
        for key in dict.fromkeys(keys.tolist()):
            where = np.flatnonzero(keys == key)
            window = self._windows.get(key)
            room = self._size(key) - (window.rows if window is not None else 0)
            if len(where) >= room and where[room - 1] < end:
                end, full = int(where[room - 1]) + 1, key
        for key in dict.fromkeys(keys[:end].tolist()):
            where = np.flatnonzero(keys[:end] == key)
            if key not in self._windows:
                self._windows[key] = _Window(self._done + int(where[0]), self._size(key))
            self._windows[key].add(block.take(where))
        skipped = 0
        if end == len(keys) and error is not None:
            skipped = 1  # the element that has no key is dropped
        elif error is not None:
            error.put_off()  # it will be met again
        self._done += end + skipped
        left = block[end + skipped :]
        self._rest = left if left.num_rows else None
        if skipped:
            assert error is not None
            if full is None:
                raise error.take()
            self._raise_later(error)
        return None if full is None else (full, self._windows.pop(full))

    def _keys(self, block: Block) -> tuple[np.ndarray, Caught | None]:
        out, error = self.node.function.run_block(block, self._done)
        if not out.num_rows:
            return np.zeros(0, np.int64), error
        return np.asarray(out.columns[0], np.int64), error

    def _size(self, key: int) -> int:
        given = self.node.window_size
        if isinstance(given, int):
            return given
        if key not in self._sizes:
            (size,) = given.run_row([np.array(key, np.int64)], key)
            if int(size) <= 0:
                raise InvalidArgumentError(
                    f"Window size must be greater than zero, but got {int(size)} for key {key}."
                )
            self._sizes[key] = int(size)
        return self._sizes[key]

    def _last(self) -> Block | None:
        if not self._windows:
            return None
        key = min(self._windows)
        return self._element(key, self._windows.pop(key))

    def _element(self, key: int, window: _Window) -> Block:
        dataset = self.node.make_dataset(BlockNode(Block.concat(window.blocks)))
        return Block([np.array([key], np.int64), ListColumn([dataset])], 1, self.structure)

    # -- state ----------------------------------------------------------------------------

    def _state(self) -> State:
        if self._rest is None and not self._ended:
            self._note()
        oldest = min((w.first for w in self._windows.values()), default=self._done)
        first, before, errors = max(
            (o for o in self._origins if o[0] <= oldest), key=lambda o: (o[0], o[2])
        )
        return {
            "input": before, "first": first, "errors_before": errors, "errors": self._errors,
            "done": self._done, "ended": self._ended and self._rest is None,
            "windows": [[key, w.first] for key, w in self._windows.items()],
        }  # fmt: skip

    def _restore(self, state: State) -> None:
        self._restart()
        self.input.restore(state["input"])
        self._done, self._errors = state["first"], state["errors_before"]
        starts = dict(state["windows"])
        while self._done < state["done"] or (
            state["ended"] and not self._ended and self._errors <= state["errors"]
        ):
            try:
                self._read()
            except Exception:
                if self._errors >= state["errors"]:
                    raise
                self._errors += 1
                continue
            if self._rest is None:
                break
            self._replay(starts, state["done"])
        while self._rest is None and not self._ended and self._errors < state["errors"]:
            try:
                self._read()
            except Exception:
                self._errors += 1

    def _replay(self, starts: dict[int, int], done: int) -> None:
        """Sort the elements before number `done` into the windows that still have them."""
        while self._rest is not None and self._done < done:
            block = self._rest[: done - self._done]
            keys, error = self._keys(block)
            numbers = self._done + np.arange(len(keys))
            for key in dict.fromkeys(keys.tolist()):
                first = starts.get(key)
                if first is None:
                    continue
                where = np.flatnonzero((keys == key) & (numbers >= first))
                if len(where):
                    if key not in self._windows:
                        self._windows[key] = _Window(first, self._size(key))
                    self._windows[key].add(block.take(where))
            taken = len(keys)
            if error is not None:
                error.put_off()  # it was raised before the state was saved
                taken += 1
            self._done += taken
            left = self._rest[taken:]
            self._rest = left if left.num_rows else None

    def _restart(self) -> None:
        self._origins = deque()
        self._windows: dict[int, _Window] = {}
        self._rest: Block | None = None
        self._done = self._errors = 0
        self._ended = False
