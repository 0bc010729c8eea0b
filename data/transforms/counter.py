"""counter: an arithmetic sequence without end."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...ops import dtypes
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..failures import Failures
from ..node import INFINITE, Node
from ..stage import Context, Stage, State

__all__ = ["CounterNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class CounterNode(Node):
    """``start, start + step, ...``; wraps around where the dtype does."""

    start: int
    step: int
    output_type: dtypes.DType = dtypes.int64
    own_failures = Failures.NEVER

    def _element_spec(self) -> Any:
        return TensorSpec([], self.output_type)

    def _cardinality(self) -> int:
        return INFINITE

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _CounterStage(self, inputs, context)


class _CounterStage(Stage):
    node: CounterNode

    def __init__(self, node: CounterNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._position = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        node = self.node
        positions = np.arange(self._position, self._position + max_rows, dtype=np.int64)
        self._position += max_rows
        column = (positions * node.step + node.start).astype(
            node.output_type.np_dtype, copy=False
        )
        return Block([column], max_rows, self.structure)

    def _skip(self, count: int) -> int:
        self._position += count
        return count

    def _state(self) -> State:
        return {"position": self._position}

    def _restore(self, state: State) -> None:
        self._position = state["position"]

    def _restart(self) -> None:
        self._position = 0
