"""unique: every distinct element once, where it first comes.

The elements seen are not saved: the state is where the input began and how many came out, and
restoring reads the input again.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..block import Block
from ..columns import column_rows
from ..node import UNKNOWN, UnaryNode
from ..stage import Context, Stage

__all__ = ["UniqueNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class UniqueNode(UnaryNode):
    """Elements of one component, without repetitions."""

    def _cardinality(self) -> int:
        return 0 if self.input.cardinality == 0 else UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _UniqueStage(self, inputs, context)


class _UniqueStage(Stage):
    def __init__(self, node: UniqueNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._seen: set[Any] = set()

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if self._held is None:
            self._seen = set()
            self._hold(self._state())
        while True:
            block = self.input.next_block(max_rows, need_rows)
            if block is None:
                return None
            fresh = [i for i, key in enumerate(_keys(block.columns[0])) if self._is_new(key)]
            if fresh:
                return block.take(np.array(fresh))

    def _is_new(self, key: Any) -> bool:
        before = len(self._seen)
        self._seen.add(key)
        return len(self._seen) > before

    def _restart(self) -> None:
        self._seen = set()


def _keys(column: Any) -> list[Any]:
    if isinstance(column, np.ndarray) and column.ndim == 1:
        return column.tolist()
    keys = []
    for row in column_rows(column):
        value = row.numpy() if hasattr(row, "numpy") else np.asarray(row)
        data = tuple(value.ravel().tolist()) if value.dtype == object else value.tobytes()
        keys.append((value.shape, data))
    return keys
