"""assert_cardinality: the same elements, whose number the user vouches for."""

from __future__ import annotations

import dataclasses

from ...ops.errors import FailedPreconditionError
from ..block import Block
from ..node import INFINITE, UNKNOWN, UnaryNode
from ..stage import Context, Stage, State

__all__ = ["AssertCardinalityNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class AssertCardinalityNode(UnaryNode):
    """Exactly `expected` elements, or an error."""

    expected: int

    def _cardinality(self) -> int:
        return self.expected

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _AssertCardinalityStage(self, inputs, context)


class _AssertCardinalityStage(Stage):
    node: AssertCardinalityNode

    def __init__(self, node: AssertCardinalityNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._count = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        expected = self.node.expected
        if expected >= 0:
            # One more than there may be is asked for, to know that there is none.
            max_rows = max(1, min(max_rows, expected - self._count))
        block = self.input.next_block(max_rows, min(need_rows, max_rows))
        if block is None:
            if expected == INFINITE or self._count < expected:
                raise self._wrong(f"{self._count}")
            return None
        self._count += block.num_rows
        if expected not in (INFINITE, UNKNOWN) and self._count > expected:
            raise self._wrong(f"at least {self._count}")
        return block

    def _wrong(self, found: str) -> FailedPreconditionError:
        expected = self.node.expected
        number = "an infinite number of" if expected == INFINITE else f"{expected}"
        return FailedPreconditionError(
            f"Input dataset was expected to contain {number} elements but contained {found} "
            "elements; correct the argument of assert_cardinality"
        )

    def _state(self) -> State:
        return {"input": self.input.state(), "count": self._count}

    def _restore(self, state: State) -> None:
        self.input.restore(state["input"])
        self._count = state["count"]

    def _restart(self) -> None:
        self._count = 0
