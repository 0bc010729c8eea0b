"""filter: the elements for which a predicate holds."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..applying import apply_function
from ..block import Block
from ..failures import Failures
from ..functions import UserFunction
from ..node import UNKNOWN, UnaryNode
from ..stage import Context, Stage, State
from .map import locate

__all__ = ["FilterNode", "FilterStage"]


@dataclasses.dataclass(frozen=True, eq=False)
class FilterNode(UnaryNode):
    """Elements for which `function` returns True."""

    function: UserFunction = dataclasses.field(repr=False)
    kind = "filter"

    @property
    def failures(self) -> Failures:
        """The function's."""
        return self.function.failures

    def _cardinality(self) -> int:
        return 0 if self.input.cardinality == 0 else UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return FilterStage(self, inputs, context)


class FilterStage(Stage):
    """Rows behind a failing one are held back until the error has been raised."""

    node: Any  # FilterNode or MapFilterNode

    def __init__(self, node: Any, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.pure = self.pure and not node.function.is_stateful
        self._index = node.function.first_index()
        self._rest: Block | None = None

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while True:
            block = self._pull(max_rows, need_rows)
            if block is None:
                return None
            kept, done, error = apply_function(
                self.node.kind, self.node.function, block, self._index, self.structure
            )
            self._index += done
            if error is not None:
                self._index += 1
                rest = block[done + 1 :]
                if self._rest is not None:
                    rest = Block.concat([rest, self._rest])
                self._rest = rest if rest.num_rows else None
                if self._held is None:
                    self._hold(self._before)
                locate(error, block, done)
                if kept.num_rows:
                    self._raise_later(error, release=self._rest is None)
                    return kept
                if self._rest is None:
                    self._release()
                raise error.take()
            if self._rest is None:
                self._release()
            if kept.num_rows:
                return kept

    def _pull(self, max_rows: int, need_rows: int) -> Block | None:
        held, self._rest = self._rest, None
        if held is not None:
            if held.num_rows > max_rows:
                self._rest = held[max_rows:]
            return held[:max_rows]
        if not self.pure:
            max_rows = min(max_rows, need_rows)
        self._before = self._state()
        return self.input.next_block(max_rows, need_rows)

    def _state(self) -> State:
        return {"input": self.input.state(), "index": self._index}

    def _restore(self, state: State) -> None:
        self._rest = None
        self.input.restore(state["input"])
        self._index = state["index"]

    def _restart(self) -> None:
        self._rest = None
        self._index = self.node.function.first_index()
