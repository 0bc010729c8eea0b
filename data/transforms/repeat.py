"""repeat: the dataset several times over, or without end."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..block import Block
from ..caught import Caught
from ..failures import Failures
from ..node import INFINITE, UNKNOWN, UnaryNode
from ..stage import Context, Stage, State

__all__ = ["RepeatNode"]

_TILED_ROWS = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class RepeatNode(UnaryNode):
    """`count` iterations one after the other; without end if `count` is negative."""

    count: int
    own_failures = Failures.NEVER
    columnwise = True

    def _cardinality(self) -> int:
        n = self.input.cardinality
        if self.count < 0:
            return INFINITE if n != 0 else 0
        if self.count == 0:
            return 0
        return n * self.count if n >= 0 else n if n in (INFINITE, UNKNOWN) else UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _RepeatStage(self, inputs, context)


class _RepeatStage(Stage):
    node: RepeatNode
    _epoch: int
    _nonempty: bool
    _more: bool

    def __init__(self, node: RepeatNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        # Short iterations of a source that can hand out any row are tiled by one gather.
        self._length = node.input.cardinality
        self._tiles = hasattr(self.input, "gather") and 0 < self._length <= _TILED_ROWS
        self._position = 0
        self._restart()

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        # Short iterations are joined, so that later stages get blocks worth their while.
        if self._tiles:
            return self._tiled(max_rows)
        goal = max_rows if self.pure else min(need_rows, max_rows)
        before = self._state()
        blocks: list[Block] = []
        rows = 0
        while self._more:
            left = max_rows - rows
            try:
                block = self.input.next_block(left, max(1, need_rows - rows))
            except Exception as error:
                if not blocks:
                    raise
                self._hold(before)
                self._raise_later(Caught(error), release=True)
                break
            if block is None:
                self._epoch += 1
                self._more = self._nonempty and self._epoch != self.node.count
                if self._more:
                    self.input.restart()
                    self._nonempty = False
                continue
            self._nonempty = True
            blocks.append(block)
            rows += block.num_rows
            if rows >= goal or len(blocks) >= 256 or 4 * block.num_rows >= goal:
                break
        return Block.concat(blocks) if blocks else None

    def _tiled(self, max_rows: int) -> Block | None:
        rows = max_rows
        if self.node.count >= 0:
            rows = min(rows, self._length * self.node.count - self._position)
        if rows <= 0:
            return None
        positions = np.arange(self._position, self._position + rows) % self._length
        self._position += rows
        gather: Any = self.input.gather  # type: ignore[attr-defined]
        return gather(positions)

    def _state(self) -> State:
        if self._tiles:
            return {"position": self._position}
        return {
            "input": self.input.state(),
            "epoch": self._epoch,
            "nonempty": self._nonempty,
            "more": self._more,
        }

    def _restore(self, state: State) -> None:
        if self._tiles:
            self._position = state["position"]
            return
        self.input.restore(state["input"])
        self._epoch = state["epoch"]
        self._nonempty = state["nonempty"]
        self._more = state["more"]

    def _restart(self) -> None:
        self._position = 0
        self._epoch = 0
        self._nonempty = False
        self._more = self.node.count != 0
