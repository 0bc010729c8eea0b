"""map_filter: a function of every element, kept where a predicate holds for the result.

No method makes this node: `rules.map_and_filter_fusion` puts it where a filter follows a map.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..failures import Failures
from ..functions import UserFunction
from ..node import UNKNOWN, UnaryNode
from ..stage import Context, Stage
from .filter import FilterStage

__all__ = ["MapFilterNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class MapFilterNode(UnaryNode):
    """The results of `function`, which gives ``(result, whether to keep it)``."""

    function: UserFunction = dataclasses.field(repr=False)
    num_parallel_calls: int | None = None
    kind = "map_filter"

    @property
    def failures(self) -> Failures:
        """The function's."""
        return self.function.failures

    def _element_spec(self) -> Any:
        return self.function.output_spec[0]

    def _cardinality(self) -> int:
        return 0 if self.input.cardinality == 0 else UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return FilterStage(self, inputs, context)
