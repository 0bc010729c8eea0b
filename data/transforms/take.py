"""take: the first elements."""

from __future__ import annotations

import dataclasses

from ..block import Block
from ..failures import Failures
from ..node import INFINITE, UnaryNode
from ..stage import Context, Stage, State

__all__ = ["TakeNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class TakeNode(UnaryNode):
    """At most `count` elements; all if `count` is -1."""

    count: int
    own_failures = Failures.NEVER
    columnwise = True

    def _cardinality(self) -> int:
        n = self.input.cardinality
        if self.count < 0:
            return n
        if self.count == 0 or n == INFINITE:
            return self.count
        return min(n, self.count) if n >= 0 else n

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _TakeStage(self, inputs, context)


class _TakeStage(Stage):
    node: TakeNode

    def __init__(self, node: TakeNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._taken = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if self.node.count >= 0:
            max_rows = min(max_rows, self.node.count - self._taken)
            if max_rows <= 0:
                return None
        block = self.input.next_block(max_rows, min(need_rows, max_rows))
        if block is not None:
            self._taken += block.num_rows
        return block

    def _skip(self, count: int) -> int:
        if self.node.count >= 0:
            count = min(count, self.node.count - self._taken)
        skipped = self.input.skip_rows(count)
        self._taken += skipped
        return skipped

    def _state(self) -> State:
        return {"input": self.input.state(), "taken": self._taken}

    def _restore(self, state: State) -> None:
        self.input.restore(state["input"])
        self._taken = state["taken"]

    def _restart(self) -> None:
        self._taken = 0
