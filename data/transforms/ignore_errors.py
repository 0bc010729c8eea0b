"""ignore_errors: the elements that can be made, without those whose making fails."""

from __future__ import annotations

import dataclasses
import warnings

from ...ops.errors import OpError
from ..block import Block
from ..node import INFINITE, UNKNOWN, UnaryNode
from ..stage import Context, Stage

__all__ = ["IgnoreErrorsNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class IgnoreErrorsNode(UnaryNode):
    """The input's elements; errors are dropped, with a warning if `log_warning`."""

    log_warning: bool = False

    def _cardinality(self) -> int:
        n = self.input.cardinality
        return n if n in (0, INFINITE) else UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _IgnoreErrorsStage(self, inputs, context)


class _IgnoreErrorsStage(Stage):
    node: IgnoreErrorsNode

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while True:
            try:
                return self.input.next_block(max_rows, need_rows)
            except OpError as error:
                if self.node.log_warning:
                    warnings.warn(f"Error raised with error message {error}", stacklevel=2)
