"""on_device: the elements on a GPU, copied there while it works on earlier ones.

The node is the last of a plan.  Its stage hands blocks through on the host, so that state,
statistics and `explain()` are as without it; the iterator of such a plan (`device_dataset`)
sends each element through a `DeviceRing`, which reads ahead, and applies an `OnDeviceMapNode`'s
function to it there.  Who asks for NumPy values gets that done on the host.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..block import Block
from ..failures import Failures
from ..functions import UserFunction
from ..node import UnaryNode
from ..stage import Context, Stage, State
from .map import MapNode

__all__ = ["OnDeviceMapNode", "OnDeviceNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class OnDeviceNode(UnaryNode):
    """The same elements, on GPU number `device`, `slots` of them at once; one alone is copied
    when it is asked for."""

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


@dataclasses.dataclass(frozen=True, eq=False)
class OnDeviceMapNode(OnDeviceNode):
    """`tail` of every element, on the GPU; a traced function that only computes.

    Attributes:
        decodes: whether it decodes JPEGs there, too.
    """

    tail: UserFunction
    decodes: bool = False
    columnwise = False
    label = "on_device"

    @property
    def failures(self) -> Failures:
        """The function's."""
        return self.tail.failures

    def describe(self) -> str:
        """With the function's name."""
        return f"{self.label}({self.device}, {self.slots}, {self.tail.name})"

    def copied(self) -> OnDeviceNode:
        """The node that copies and no more."""
        return OnDeviceNode(
            self.input, self.device, self.slots, name=self.name, source=self.source
        )

    def _element_spec(self) -> Any:
        return self.tail.output_spec

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        on_host = MapNode(self.input, self.tail, name=self.name, source=self.source)
        return on_host.make_stage(inputs, context)


class _OnDeviceStage(Stage):
    """Attributes:
    ring: what sends the elements; None while nothing does.
    place: where to.
    """

    node: OnDeviceNode
    ring: Any = None
    place = 0

    def buffered(self) -> tuple[int, int]:
        """Elements sent ahead, and the pinned memory they travel through."""
        try:
            return self.ring.waiting, self.ring.pinned_bytes
        except (AttributeError, ReferenceError):  # none, or it is gone
            return 0, 0

    @property
    def choice(self) -> str:
        """Where memory is, for `stats()`."""
        try:
            found = self.ring.most_device_bytes, self.ring.pinned_bytes
        except (AttributeError, ReferenceError):
            return ""
        device, pinned = (f"{n / (1 << 20):.3g} MiB" for n in found)
        return f"up to {device} on gpu:{self.place}, {pinned} of pinned memory"

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        return self.input.next_block(max_rows, need_rows)

    def _state(self) -> State:
        return self.input.state()

    def _restore(self, state: State) -> None:
        self.input.restore(state)
