"""auto_prefetch: the prefetch that the rules add, which begins when it is worth a thread.

It passes blocks through until some of them have taken long enough to make (`_WORTH_S`) that
preparing the next while this one is used saves more than the handover costs.
"""

from __future__ import annotations

import dataclasses
import time

from .block import Block
from .stage import Context, Stage
from .transforms.prefetch import PrefetchNode, PrefetchStage

__all__ = ["AutoPrefetchNode"]

_WORTH_S = 200e-6


@dataclasses.dataclass(frozen=True, eq=False)
class AutoPrefetchNode(PrefetchNode):
    """A prefetch nobody asked for."""

    label = "prefetch"

    def make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        """The stage; it has no thread yet."""
        return _AutoPrefetchStage(self, inputs, context)


class _AutoPrefetchStage(PrefetchStage):
    _slow = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if self._slow >= 2 or self._executor is not None:
            return super()._next(max_rows, need_rows)
        began = time.perf_counter()
        block = self.input.next_block(max_rows, need_rows)
        slow = time.perf_counter() - began > _WORTH_S
        self._slow = self._slow + 1 if slow else 0
        return block

    @property
    def threads(self) -> int:  # type: ignore[override]
        """1 once the thread runs."""
        return int(self._executor is not None)
