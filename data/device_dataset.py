"""Elements on a device: the iterator over the ring, of plans that end with `OnDeviceNode`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..io.tfrecord import RecordChunk
from ..ops import nest
from ..ops.array_module import is_on_device
from ..ops.devices import HOST, DeviceSpec, at, devices
from ..ops.errors import InvalidArgumentError
from ..ops.image_nvimgcodec import decoding_on
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from .block import Block
from .device_copies import CupyCopies, DeviceCopies
from .device_ring import DeviceRing
from .functions import UserFunction
from .iterator import Iterator, RawIterator, packed, raw_rows
from .node import Node
from .results import user_error
from .stage import State, add_origin
from .transforms.map import located
from .transforms.on_device import OnDeviceMapNode, OnDeviceNode

__all__ = ["DeviceIterator", "as_tensors", "gpu_of", "iterator_on_device"]


class DeviceIterator(Iterator):
    """Elements as tensors on a device, or as raw arrays there.

    Args:
        plan: ends with an `OnDeviceNode`.
        options: merged.
        raw: whether arrays are wanted.
        copies: to the device; the node's GPU if None.
        change: what is done to elements, as tensors on the host, before they travel.
        place: where they go: the node's GPU if None; `HOST` until `send` tells otherwise.

    Attributes:
        sent: what travels, an iterator over raw elements on the host.
        tail: the function behind the copy, or None.
    """

    def __init__(
        self,
        plan: Node,
        options: Any = None,
        raw: bool = False,
        copies: Any = None,
        change: Callable[[Any], Any] | None = None,
        place: int | None = None,
    ):
        assert isinstance(plan, OnDeviceNode)
        self.tail = plan.tail if isinstance(plan, OnDeviceMapNode) else None
        self._index = 0 if self.tail is None else self.tail.first_index()
        inner = plan.copied() if isinstance(plan, OnDeviceMapNode) else plan
        self._decodes = isinstance(plan, OnDeviceMapNode) and plan.decodes
        self._source = _Records(inner, options)
        self.sent = _Changed(self._source, change)
        self._plan, self._raw = plan, raw
        self._place, self._slots = plan.device if place is None else place, plan.slots
        self._held = 1
        self._context, self.run = self._source._context, self._source.run
        self._copies: DeviceCopies | None = copies
        self._ring: DeviceRing | None = None
        self._closed = False
        self._begin: Any = None

    def __next__(self) -> Any:
        if self._ring is None:
            self._check_open()
            if self._place == HOST:
                return self._finished(next(self.sent))
            self._start()
        assert self._ring is not None
        return self._finished(next(self._ring))

    def _start(self) -> None:
        if self._copies is None:
            self._copies = CupyCopies(self._place)
        state = self._state_of_source()
        if self.sent.held is None:
            self._begin = state() if state else None
        self._ring = DeviceRing(self.sent, self._copies, self._slots, state, self._held)
        stage: Any = self._source._stage
        stage.ring, stage.place = weakref.proxy(self._ring), self._place

    def _state_of_source(self) -> Callable[[], State] | None:
        return None if self._source._unsaveable else self._source.state

    def _finished(self, element: Any) -> Any:
        """An element with the function behind the copy applied."""
        tail = self.tail
        if tail is not None:
            index, self._index = self._index, self._index + 1
            element = self._mapped(tail, element, index)
        return element if self._raw else as_tensors(element)

    def _mapped(self, tail: UserFunction, element: Any, index: int) -> Any:
        try:
            with at(self._place), decoding_on(self._place if self._decodes else None):
                return tail.output.pack(tail._run_row(tail.input.flatten(element), index))
        except Exception as error:
            failed = add_origin(user_error(error, tail.name, index), self._plan)
            raise located(failed, nest.flatten(element)) from error

    # -- where elements go ------------------------------------------------------------------

    def peek(self) -> Any:
        """The next element, on the host; it is still to come.

        Raises:
            StopIteration: there is none.
        """
        assert self._ring is None
        sent = self.sent
        if sent.held is None:
            state = self._state_of_source()
            self._begin = state() if state else None
            sent.held = next(sent)
        index, place = self._index, self._place
        self._place = HOST
        try:
            return self._finished(sent.held)
        finally:
            self._index, self._place = index, place

    def send(self, copies: DeviceCopies, place: int, slots: int, held: int = 1) -> None:
        """Have elements go to GPU number `place` from now on, `slots` of them at once, for a
        consumer that holds so many."""
        if self._ring is None:
            self._copies, self._place, self._slots = copies, place, slots
            self._held = held

    # -- state ------------------------------------------------------------------------------

    def state(self) -> State:
        """See `RawIterator.state`: behind the element that was given last, whatever the ring
        has read ahead."""
        self._check_open()
        ring = self._ring
        if self._source._unsaveable is not None:
            return self._source.state()  # which says why not
        if ring is not None:
            found = self._begin if ring.state_after is None else ring.state_after
        elif self.sent.held is not None:
            found = self._begin
        else:
            found = self._source.state()
        if self.tail is not None and self.tail.is_random:
            found = {**found, "index": self._index}  # of the draws
        return found

    def restore(self, state: State) -> None:
        """See `RawIterator.restore`."""
        self._check_open()
        self._stop()
        self.sent.held = None
        self._source.restore(state)
        self._index = state.get("index", self._index)

    def close(self) -> None:
        """Stop threads and free files; the iterator cannot be used after it."""
        if not self._closed:
            self._closed = True
            self.run.finish()  # while the ring can tell what it took
            self._stop()
            self._source.close()

    def _stop(self) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()


class _Records(RawIterator):
    """Raw elements whose records know where they came from, for errors."""

    def _elements(self, block: Block) -> list[Any]:
        return packed(block, _known_rows)


def _known_rows(column: Any) -> list[Any]:
    if isinstance(column, RecordChunk):
        return [column[(i,)] for i in range(len(column))]
    return raw_rows(column)


class _Changed:
    """Raw elements, changed on the host.

    Attributes:
        held: one that comes first; None for none.
    """

    def __init__(self, source: RawIterator, change: Callable[[Any], Any] | None):
        self._source, self._change = source, change
        self.held: Any = None

    def __iter__(self) -> _Changed:
        return self

    def __next__(self) -> Any:
        held, self.held = self.held, None
        if held is not None:
            return held
        element = next(self._source)
        if self._change is None:
            return element
        with at(HOST):
            return nest.map_structure(_raw, self._change(as_tensors(element)))


def _raw(leaf: Any) -> Any:
    return leaf._value if type(leaf) is Tensor else leaf


def as_tensors(element: Any) -> Any:
    """An element of raw arrays as one of tensors."""
    return nest.map_structure(_tensor, element)


def _tensor(value: Any) -> Any:
    if isinstance(value, (np.ndarray, StringArray)) or is_on_device(value):
        return Tensor.of(value)
    return value


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
