"""Elements on a device: the iterator over the ring, of plans that end with `OnDeviceNode`."""

from __future__ import annotations

from typing import Any

from ..ops import nest
from ..ops.devices import DeviceSpec, at, devices
from ..ops.errors import InvalidArgumentError
from ..ops.tensor import Tensor
from .device_copies import CupyCopies, DeviceCopies
from .device_ring import DeviceRing
from .functions import UserFunction
from .iterator import Iterator, RawIterator
from .node import Node
from .stage import State
from .transforms.on_device import OnDeviceMapNode, OnDeviceNode

__all__ = ["DeviceIterator", "gpu_of", "iterator_on_device"]


class DeviceIterator(Iterator):
    """Elements as tensors on a device, or as raw arrays there.

    Args:
        plan: ends with an `OnDeviceNode`.
        options: merged.
        raw: whether arrays are wanted.
        copies: to the device; the node's GPU if None.
    """

    def __init__(self, plan: Node, options: Any = None, raw: bool = False, copies: Any = None):
        assert isinstance(plan, OnDeviceNode)
        self._tail = plan.tail if isinstance(plan, OnDeviceMapNode) else None
        sent = plan.copied() if isinstance(plan, OnDeviceMapNode) else plan
        self._source = RawIterator(sent, options)
        self._plan, self._raw = plan, raw
        self._context, self.run = self._source._context, self._source.run
        self._copies: DeviceCopies | None = copies
        self._ring: DeviceRing | None = None
        self._closed = False
        self._begin: Any = None

    def __next__(self) -> Any:
        ring = self._ring
        if ring is None:
            self._check_open()
            if self._copies is None:
                self._copies = CupyCopies(self._plan.device)  # type: ignore[attr-defined]
            state = None if self._source._unsaveable else self._source.state
            self._begin = state() if state else None
            slots = self._plan.slots  # type: ignore[attr-defined]
            ring = self._ring = DeviceRing(self._source, self._copies, slots, state)
        element = next(ring)
        if self._tail is not None:
            element = self._mapped(self._tail, element)
        return element if self._raw else nest.map_structure(_tensor, element)

    def _mapped(self, tail: UserFunction, element: Any) -> Any:
        with at(self._plan.device):  # type: ignore[attr-defined]
            return tail.output.pack(tail._run_row(tail.input.flatten(element), 0))

    def state(self) -> State:
        """See `RawIterator.state`: behind the element that was given last, whatever the ring
        has read ahead."""
        self._check_open()
        ring = self._ring
        if ring is None or self._source._unsaveable is not None:
            return self._source.state()
        found: State = self._begin if ring.state_after is None else ring.state_after
        return found

    def restore(self, state: State) -> None:
        """See `RawIterator.restore`."""
        self._check_open()
        self._stop()
        self._source.restore(state)

    def close(self) -> None:
        """Stop threads and free files; the iterator cannot be used after it."""
        if not self._closed:
            self._closed = True
            self._stop()
            self._source.close()

    def _stop(self) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()


def _tensor(value: Any) -> Any:
    return value if isinstance(value, Tensor) else Tensor.of(value)


def iterator_on_device(plan: Node, options: Any, raw: bool = False) -> Any:
    """The iterator for a plan that ends on a device; None for all others."""
    return DeviceIterator(plan, options, raw) if isinstance(plan, OnDeviceNode) else None


def gpu_of(what: str, device: Any) -> int | None:
    """The number of the GPU that a name such as "/gpu:0" means; None for a CPU.

    Raises:
        InvalidArgumentError: there is no such device.
        ValueError: it is no device's name.
    """
    spec = DeviceSpec.from_string(str(device))
    if spec.device_type in (None, "CPU"):
        return None
    if spec.device_type != "GPU":
        raise InvalidArgumentError(
            f"{what} must be a CPU or a GPU, e.g. '/gpu:0', got {device!r}"
        )
    return devices.gpu_number(spec.device_index or 0)
