"""take_while: the elements up to the first for which a predicate does not hold."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..block import Block
from ..functions import UserFunction
from ..node import UNKNOWN, UnaryNode
from ..stage import Context, Stage, State
from .map import locate

__all__ = ["TakeWhileNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class TakeWhileNode(UnaryNode):
    """Elements as long as `function` returns True."""

    function: UserFunction = dataclasses.field(repr=False)

    def _cardinality(self) -> int:
        return 0 if self.input.cardinality == 0 else UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _TakeWhileStage(self, inputs, context)


class _TakeWhileStage(Stage):
    """An error of the predicate comes after the rows before it; the rows behind it are lost
    only if the run had ended there."""

    node: TakeWhileNode

    def __init__(self, node: TakeWhileNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.pure = self.pure and not node.function.is_stateful
        self._index = 0
        self._done = False

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if self._done:
            return None
        before = self._state()
        if not self.pure:
            max_rows = min(max_rows, need_rows)
        block = self.input.next_block(max_rows, need_rows)
        if block is None:
            return None
        keep, error = self.node.function.run_mask(block, self._index)
        end = int(np.argmin(keep)) if not keep.all() else len(keep)
        if end < len(keep):
            self._done = True
            if error is not None:
                error.put_off()  # it never comes
                error = None
        self._index += end
        kept = block[:end]
        if error is not None:
            locate(error, block, end)
            if block.num_rows > end + 1:
                # Step back behind the bad element, so that nothing is held.
                self.input.restore(before["input"])
                self.input.skip_rows(end + 1)
            self._index += 1
            if not end:
                raise error.take()
            self._hold(before)
            self._raise_later(error, release=True)
        return kept if end else None

    def _state(self) -> State:
        return {"input": self.input.state(), "index": self._index, "done": self._done}

    def _restore(self, state: State) -> None:
        self.input.restore(state["input"])
        self._index = state["index"]
        self._done = state["done"]

    def _restart(self) -> None:
        self._index = 0
        self._done = False
