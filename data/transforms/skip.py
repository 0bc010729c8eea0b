"""skip: everything but the first elements."""

from __future__ import annotations

import dataclasses

from ..block import Block
from ..failures import Failures
from ..node import UnaryNode
from ..stage import Context, Stage, State

__all__ = ["SkipNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class SkipNode(UnaryNode):
    """What follows the first `count` elements; nothing if `count` is -1."""

    count: int
    own_failures = Failures.NEVER
    columnwise = True

    def _cardinality(self) -> int:
        n = self.input.cardinality
        if self.count < 0:
            return 0
        return max(0, n - self.count) if n >= 0 else n

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _SkipStage(self, inputs, context)


class _SkipStage(Stage):
    node: SkipNode

    def __init__(self, node: SkipNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._to_skip = node.count

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if self.node.count < 0:
            return None
        self._do_skip()
        return self.input.next_block(max_rows, need_rows)

    def _do_skip(self) -> None:
        while self._to_skip > 0:
            step = min(self._to_skip, 1 << 16)
            if self.input.skip_rows(step) < step:
                self._to_skip = 0
                break
            self._to_skip -= step

    def _skip(self, count: int) -> int:
        if self.node.count < 0:
            return 0
        self._do_skip()
        return self.input.skip_rows(count)

    def _state(self) -> State:
        return {"input": self.input.state(), "to_skip": self._to_skip}

    def _restore(self, state: State) -> None:
        self.input.restore(state["input"])
        self._to_skip = state["to_skip"]

    def _restart(self) -> None:
        self._to_skip = self.node.count
