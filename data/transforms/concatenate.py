"""concatenate: one dataset after the other."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...ops import nest
from ..block import Block
from ..node import INFINITE, UNKNOWN, Node
from ..stage import Context, Stage, State

__all__ = ["ConcatenateNode", "common_spec"]


@dataclasses.dataclass(frozen=True, eq=False)
class ConcatenateNode(Node):
    """The elements of `first`, then those of `second`."""

    first: Node
    second: Node

    @property
    def inputs(self) -> tuple[Node, ...]:
        """Both datasets."""
        return self.first, self.second

    def with_inputs(self, *inputs: Node) -> Node:
        """A copy that joins other datasets."""
        return dataclasses.replace(self, first=inputs[0], second=inputs[1])

    def _element_spec(self) -> Any:
        return common_spec(self.first.element_spec, self.second.element_spec)

    def _cardinality(self) -> int:
        a, b = self.first.cardinality, self.second.cardinality
        if INFINITE in (a, b):
            return INFINITE
        return UNKNOWN if UNKNOWN in (a, b) else a + b

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _ConcatenateStage(self, inputs, context)


def common_spec(a: Any, b: Any) -> Any:
    """The narrowest nested spec that describes elements of both.

    Raises:
        TypeError: structures, dtypes or kinds differ.
    """

    def merge(x: Any, y: Any) -> Any:
        found = x.most_specific_common_supertype([y])
        if found is None:
            raise TypeError
        return found

    try:
        return nest.map_structure(merge, a, b)
    except (TypeError, ValueError, AttributeError):
        raise TypeError(f"Incompatible dataset elements:\n  {a} vs.   {b}") from None


class _ConcatenateStage(Stage):
    def __init__(self, node: Node, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._at = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while self._at < len(self.inputs):
            block = self.inputs[self._at].next_block(max_rows, need_rows)
            if block is not None:
                return block.with_structure(self.structure)
            self._at += 1
        return None

    def _skip(self, count: int) -> int:
        skipped = 0
        while self._at < len(self.inputs):
            skipped += self.inputs[self._at].skip_rows(count - skipped)
            if skipped == count:
                break
            self._at += 1
        return skipped

    def _state(self) -> State:
        return {"inputs": [s.state() for s in self.inputs], "at": self._at}

    def _restore(self, state: State) -> None:
        for stage, saved in zip(self.inputs, state["inputs"], strict=True):
            stage.restore(saved)
        self._at = state["at"]

    def _restart(self) -> None:
        self._at = 0
