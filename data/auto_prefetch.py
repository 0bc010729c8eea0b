"""auto_prefetch: the prefetch that the rules add, which begins when it is worth a thread.

It passes blocks through until they take long enough to make (`_WORTH_S`) that preparing the
next while this one is used saves more than the handover costs, and so many have been made
(`_START_S` of work) that more are likely to come.
"""

from __future__ import annotations

import dataclasses
import time

from .block import Block
from .stage import Context, Stage
from .transforms.prefetch import PrefetchNode, PrefetchStage

__all__ = ["AutoPrefetchNode"]

_WORTH_S = 200e-6
_START_S = 3e-3


@dataclasses.dataclass(frozen=True, eq=False)
class AutoPrefetchNode(PrefetchNode):
    """A prefetch nobody asked for."""

    label = "prefetch"

    def make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        """The stage; it has no thread yet."""
        return _AutoPrefetchStage(self, inputs, context)


class _AutoPrefetchStage(PrefetchStage):
    _slow = 0
    _inline_s = 0.0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if (self._slow >= 2 and self._inline_s > _START_S) or self._executor is not None:
            return super()._next(max_rows, need_rows)
        began = time.perf_counter()
        block = self.input.next_block(max_rows, need_rows)
        spent = time.perf_counter() - began
        self._slow = self._slow + 1 if spent > _WORTH_S else 0
        self._inline_s += spent
        return block

    @property
    def threads(self) -> int:  # type: ignore[override]
        """1 once the thread runs."""
        return int(self._executor is not None)
