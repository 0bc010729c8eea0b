"""range: the numbers of an arithmetic sequence, one scalar an element."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...ops import dtypes
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..failures import Failures
from ..node import Node
from ..stage import Context, Stage, State

__all__ = ["RangeNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class RangeNode(Node):
    """``start, start + step, ...`` up to but not including `stop`."""

    start: int
    stop: int
    step: int
    output_type: dtypes.DType = dtypes.int64
    own_failures = Failures.NEVER
    random_access = True

    def _element_spec(self) -> Any:
        return TensorSpec([], self.output_type)

    def _cardinality(self) -> int:
        return len(range(self.start, self.stop, self.step))

    def sliced(self, part: slice) -> tuple[Node, slice | None]:
        """A range of those numbers."""
        numbers = range(self.start, self.stop, self.step)[part]
        start, stop, step = numbers.start, numbers.stop, numbers.step
        return dataclasses.replace(self, start=start, stop=stop, step=step), None

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _RangeStage(self, inputs, context)


class _RangeStage(Stage):
    node: RangeNode

    def __init__(self, node: RangeNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._numbers = range(node.start, node.stop, node.step)
        self._position = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        part = self._numbers[self._position : self._position + max_rows]
        if not part:
            return None
        self._position += len(part)
        kind = self.node.output_type.np_dtype
        column = np.arange(part.start, part.stop, part.step, dtype=np.int64)
        if column.dtype != kind:
            column = column.astype(kind)
        return Block([column], len(part), self.structure)

    def gather(self, positions: np.ndarray) -> Block:
        """The elements at `positions`, in that order."""
        node = self.node
        column = positions
        if node.step != 1:
            column = column * node.step
        if node.start:
            column = column + node.start
        column = column.astype(node.output_type.np_dtype, copy=False)
        return Block([column], len(column), self.structure)

    def _skip(self, count: int) -> int:
        count = min(count, len(self._numbers) - self._position)
        self._position += count
        return count

    def _state(self) -> State:
        return {"position": self._position}

    def _restore(self, state: State) -> None:
        self._position = state["position"]

    def _restart(self) -> None:
        self._position = 0
