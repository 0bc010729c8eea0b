"""enumerate: every element with its number."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...ops import dtypes
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..failures import Failures
from ..node import UnaryNode
from ..stage import Context, Stage, State

__all__ = ["EnumerateNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class EnumerateNode(UnaryNode):
    """Pairs ``(number, element)``, counting from `start`."""

    start: int = 0
    own_failures = Failures.NEVER

    def _element_spec(self) -> Any:
        return TensorSpec([], dtypes.int64), self.input.element_spec

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _EnumerateStage(self, inputs, context)


class _EnumerateStage(Stage):
    node: EnumerateNode

    def __init__(self, node: EnumerateNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._number = node.start

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        block = self.input.next_block(max_rows, need_rows)
        if block is None:
            return None
        n = block.num_rows
        numbers = np.arange(self._number, self._number + n, dtype=np.int64)
        self._number += n
        return Block([numbers, *block.columns], n, self.structure)

    def _skip(self, count: int) -> int:
        skipped = self.input.skip_rows(count)
        self._number += skipped
        return skipped

    def _state(self) -> State:
        return {"input": self.input.state(), "number": self._number}

    def _restore(self, state: State) -> None:
        self.input.restore(state["input"])
        self._number = state["number"]

    def _restart(self) -> None:
        self._number = self.node.start
