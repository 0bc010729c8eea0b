"""on_device: the elements on a GPU, copied there while it works on earlier ones.

The node is the last of a plan.  Its stage hands blocks through on the host, so that state,
statistics and `explain()` are as without it; the iterator of such a plan (`device_dataset`)
sends each element through a `DeviceRing`, which reads ahead.
"""

from __future__ import annotations

import dataclasses

from ..block import Block
from ..failures import Failures
from ..node import UnaryNode
from ..stage import Context, Stage, State

__all__ = ["OnDeviceNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class OnDeviceNode(UnaryNode):
    """The same elements, on GPU number `device`, `slots` of them at once."""

    device: int
    slots: int
    own_failures = Failures.NEVER
    columnwise = True

    @property
    def one_to_one(self) -> bool:
        """It is."""
        return True

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _OnDeviceStage(self, inputs, context)


class _OnDeviceStage(Stage):
    node: OnDeviceNode

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        return self.input.next_block(max_rows, need_rows)

    def _state(self) -> State:
        return self.input.state()

    def _restore(self, state: State) -> None:
        self.input.restore(state)
