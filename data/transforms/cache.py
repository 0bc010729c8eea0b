"""cache: elements kept in memory after the first complete iteration.

The elements belong to the dataset, not to one iterator.  They are counted from the state
that the input had at the beginning, which is all that the iterator's own state holds of them:
a fresh process reads the input again from there.
"""

from __future__ import annotations

import dataclasses
import threading
import warnings

from ..block import Block
from ..node import UnaryNode
from ..stage import Context, Stage, State

__all__ = ["CacheNode", "MemoryCache"]


class MemoryCache:
    """The elements of one complete iteration.

    Attributes:
        content: (input state at the beginning, blocks), or None.
    """

    def __init__(self) -> None:
        self.content: tuple[State, list[Block]] | None = None
        self.lock = threading.Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class CacheNode(UnaryNode):
    """The input's elements, computed once."""

    memory: MemoryCache = dataclasses.field(default_factory=MemoryCache, repr=False)

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _CacheStage(self, inputs, context)


class _CacheStage(Stage):
    """Either records (`_blocks` is None until the end) or plays `_blocks`."""

    node: CacheNode

    def __init__(self, node: CacheNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._origin: State | None = None
        self._blocks: list[Block] | None = None
        self._recorded: list[Block] = []
        self._errors = 0  # met while recording; the elements are then not kept
        self._position = 0
        self._at = (0, 0)  # block and row where `_position` is

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        self._open()
        if self._blocks is not None:
            return self._play(max_rows)
        try:
            block = self.input.next_block(max_rows, need_rows)
        except Exception:
            self._errors += 1
            raise
        if block is None:
            if not self._errors:
                assert self._origin is not None
                self._blocks = _joined(self._recorded)
                self._recorded = []
                self._seek(self._position)
                with self.node.memory.lock:
                    self.node.memory.content = (self._origin, self._blocks)
            return None
        self._recorded.append(block)
        self._position += block.num_rows
        return block

    def _open(self) -> None:
        if self._origin is not None:
            return
        with self.node.memory.lock:
            content = self.node.memory.content
        if content is not None:
            self._origin, self._blocks = content
            self._seek(0)
        else:
            self._origin = self.input.state()

    def _play(self, max_rows: int) -> Block | None:
        assert self._blocks is not None
        number, row = self._at
        if number >= len(self._blocks):
            return None
        block = self._blocks[number][row : row + max_rows]
        self._position += block.num_rows
        row += block.num_rows
        self._at = (number + 1, 0) if row >= self._blocks[number].num_rows else (number, row)
        return block

    def _seek(self, position: int) -> None:
        assert self._blocks is not None
        self._position = left = position
        number = 0
        while number < len(self._blocks) and left >= self._blocks[number].num_rows:
            left -= self._blocks[number].num_rows
            number += 1
        self._at = (number, left)

    def _state(self) -> State:
        self._open()
        return {
            "origin": self._origin,
            "position": self._position,
            "errors": self._errors,
            "complete": self._blocks is not None,
        }

    def _restore(self, state: State) -> None:
        self._blocks, self._recorded, self._errors = None, [], 0
        self._position, self._at = 0, (0, 0)
        self._origin = state["origin"]
        with self.node.memory.lock:
            content = self.node.memory.content
        if content is not None and content[0] == self._origin:
            self._blocks = content[1]
            self._seek(state["position"])
            return
        assert self._origin is not None
        self.input.restore(self._origin)
        goal = None if state["complete"] else state["position"]
        while goal is None or self._position < goal or self._errors < state["errors"]:
            left = 1 << 16 if goal is None else max(1, min(goal - self._position, 1 << 16))
            try:
                block = self.input.next_block(left, left)
            except Exception:
                self._errors += 1
                if self._errors > state["errors"]:
                    raise
                continue
            if block is None:
                break
            self._recorded.append(block)
            self._position += block.num_rows
        if state["complete"]:
            self._blocks, self._recorded = _joined(self._recorded), []
            self._seek(state["position"])

    def restart(self) -> None:
        """Play what was recorded; the input is not run again."""
        self._held = self._pending = None
        if self._blocks is not None:
            self._seek(0)
            return
        if self._recorded:
            warnings.warn(
                "The calling iterator did not fully read the dataset being cached; what it "
                "read is discarded. This happens with dataset.cache().take(k).repeat(): use "
                "dataset.take(k).cache().repeat() instead.",
                stacklevel=2,
            )
        self._origin = None
        self._recorded, self._errors, self._position = [], 0, 0
        self.input.restart()

    def buffered(self) -> tuple[int, int]:
        """Elements and bytes held."""
        blocks = self._blocks if self._blocks is not None else self._recorded
        return sum(b.num_rows for b in blocks), sum(b.nbytes for b in blocks)


def _joined(blocks: list[Block]) -> list[Block]:
    """The same rows in few blocks: joins neighbours up to some thousand rows."""
    joined: list[Block] = []
    group: list[Block] = []
    rows = 0
    for block in blocks:
        group.append(block)
        rows += block.num_rows
        if rows >= 4096:
            joined.append(Block.concat(group))
            group, rows = [], 0
    if group:
        joined.append(Block.concat(group))
    return joined
