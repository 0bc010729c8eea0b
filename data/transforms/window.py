"""window: groups of elements as datasets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ...ops import nest
from ..block import Block
from ..columns import ListColumn
from ..node import UNKNOWN, Node, UnaryNode
from ..stage import Context, Stage, State
from ..structure import Structure

__all__ = ["BlockNode", "WindowNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class BlockNode(Node):
    """The rows of a block, as a source."""

    block: Block = dataclasses.field(repr=False)
    random_access = True

    def _element_spec(self) -> Any:
        return self.block.structure.spec

    def _cardinality(self) -> int:
        return self.block.num_rows

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        from .tensors import ColumnsStage

        return ColumnsStage(self, self.block.columns, self.block.num_rows, context)


@dataclasses.dataclass(frozen=True, eq=False)
class WindowNode(UnaryNode):
    """Every `shift` elements a window of `size` elements, `stride` apart.

    Attributes:
        make_dataset: a dataset of a node (the class lives above this module).
        make_spec: the spec of datasets of the given element spec.
    """

    size: int
    shift: int
    stride: int
    drop_remainder: bool
    make_dataset: Callable[[Node], Any] = dataclasses.field(repr=False)
    make_spec: Callable[[Any], Any] = dataclasses.field(repr=False)

    def _element_spec(self) -> Any:
        return nest.map_structure(self.make_spec, self.input.element_spec)

    def _cardinality(self) -> int:
        n = self.input.cardinality
        if n < 0:
            return n
        if not self.drop_remainder:
            return -(-n // self.shift)
        span = (self.size - 1) * self.stride + 1
        return max(0, (n - span) // self.shift + 1) if n != UNKNOWN else n

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _WindowStage(self, inputs, context)


class _WindowStage(Stage):
    """Keeps the rows from the next window's first on.

    Saved as the input's state from before the oldest block of which rows are kept.
    """

    node: WindowNode
    _blocks: list[tuple[State, Block]]
    _offset: int
    _ended: bool

    def __init__(self, node: WindowNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._restart()

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        node = self.node
        span = (node.size - 1) * node.stride + 1
        self._drop()
        while not self._ended and self._kept() < span:
            state = self.input.state()
            missing = span - self._kept()
            block = self.input.next_block(missing, missing)
            if block is None:
                self._ended = True
            else:
                self._blocks.append((state, block))
                self._drop()
        kept = self._kept()
        if kept == 0 or (kept < span and node.drop_remainder):
            return None
        joined = Block.concat([b for _, b in self._blocks])
        rows = joined[self._offset : self._offset + span]
        window = rows[:: node.stride] if node.stride > 1 else rows
        self._offset += node.shift
        columns = []
        for column, leaf in zip(window.columns, window.structure.leaves, strict=True):
            part = Block([column], window.num_rows, Structure(leaf))
            columns.append(ListColumn([node.make_dataset(BlockNode(part))]))
        return Block(columns, 1, self.structure)

    def _kept(self) -> int:
        return max(0, sum(b.num_rows for _, b in self._blocks) - self._offset)

    def _drop(self) -> None:
        """Forget blocks all of whose rows lie before the next window."""
        while self._blocks and self._blocks[0][1].num_rows <= self._offset:
            self._offset -= self._blocks.pop(0)[1].num_rows

    def _state(self) -> State:
        self._drop()
        first = self._blocks[0][0] if self._blocks else self.input.state()
        return {"input": first, "offset": self._offset, "ended": self._ended}

    def _restore(self, state: State) -> None:
        self._restart()
        self.input.restore(state["input"])
        self._offset = state["offset"]

    def _restart(self) -> None:
        self._blocks = []
        self._offset = 0
        self._ended = False
