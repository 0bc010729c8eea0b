"""A dataset as a model is fed with it: the same elements, to be sent to the model's GPU.

The plan ends with an `OnDeviceNode` that the user did not write, so that the rules about such
plans apply: bytes travel and are cast behind the copy, for instance.  Which GPU it is, is known
when the model's variables exist; until then the elements stay on the host.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..ops import nest
from ..ops.devices import HOST, at
from ..ops.tensor_spec import TensorSpec
from .device_copies import DeviceCopies
from .device_dataset import DeviceIterator, as_tensors
from .device_rings import DeviceRings
from .functions import UserFunction
from .node import Node
from .options import Options, merge_options
from .rules import PlanReport, optimize
from .rules.common import python_step
from .transforms.on_device import OnDeviceNode
from .transforms.prefetch import PrefetchNode

__all__ = ["Feeding"]

_SLOTS = 3


class Feeding:
    """How a dataset is fed to a model.

    Args:
        node, options: the dataset.
        change: what is done to elements, as tensors on the host, before they travel; or None.
            Their bytes are then not left to be cast behind the copy.

    Attributes:
        change: as given.
        report: the plan and how it came about.
        reads_ahead: whether elements may be taken before they are asked for.
        sent: whether elements went to a GPU.
    """

    sent = False

    def __init__(self, node: Node, options: Options, change: Callable[[Any], Any] | None):
        if change is not None:
            kept = Options()
            kept.experimental_optimization.device_cast = False
            options = merge_options(options, kept)
        self._options, self.change = options, change
        self.report: PlanReport = optimize(
            OnDeviceNode(node, 0, _SLOTS, source=node.source), options
        )[1]
        inner = self.report.after.inputs[0]
        # A prefetch at the end reads ahead of what is asked for: the user allows it.
        self.reads_ahead = isinstance(inner, PrefetchNode) or python_step(inner) is None

    @staticmethod
    def possible(node: Node, options: Options) -> bool:
        """Whether a dataset lets others send its elements to a device."""
        return options.fetch_to_device is not False and not isinstance(node, OnDeviceNode)

    def deal(
        self,
        iterator: DeviceIterator,
        split: Callable[[Iterator[Any]], Iterator[list[Any]]],
        copies: Sequence[DeviceCopies | None],
        places: Sequence[int],
        held: int = 1,
    ) -> Iterator[list[Any]]:
        """The elements of `iterator` in parts, each on a device of its own.

        Args:
            iterator: one of `iterator`.
            split: gives lists of parts of the elements it is given.
            copies: to the devices; None for those whose part stays on the host.
            places: the devices' numbers.
            held: how many elements the consumer uses at once.
        """
        slots = max(_SLOTS, held + 2) if self.reads_ahead else 1
        self.sent = True
        rings = DeviceRings(split(iterator.sent), copies, slots, held)
        tail = None if iterator.tail is None else _of_any_rows(iterator.tail)
        for parts in rings:
            yield [_finished(tail, *one) for one in zip(parts, places, strict=True)]
            del parts

    def iterator(self) -> DeviceIterator:
        """One pass; its elements stay on the host until it is sent to a GPU."""
        return DeviceIterator(self.report.after, self._options, change=self.change, place=HOST)

    def send(
        self, iterator: DeviceIterator, copies: DeviceCopies, gpu: int, held: int = 1
    ) -> None:
        """Send what `iterator` gives to a GPU.

        Args:
            iterator: one of `iterator`.
            copies: to the GPU.
            gpu: its number.
            held: how many elements the consumer uses at once.
        """
        slots = max(_SLOTS, held + 2) if self.reads_ahead else 1
        self.sent = True
        iterator.send(copies, gpu, slots, held)
        before, after = self.report.before, self.report.after
        self.report = PlanReport(
            dataclasses.replace(before, device=gpu, slots=slots),  # type: ignore[call-arg]
            dataclasses.replace(after, device=gpu, slots=slots),  # type: ignore[call-arg]
            self.report.rules,
        )


def _of_any_rows(tail: UserFunction) -> UserFunction:
    """What is done behind the copy, for elements of any number of rows."""

    def any_rows(spec: Any) -> Any:
        if type(spec) is not TensorSpec or not spec.shape.rank:
            return spec
        return TensorSpec([None, *spec.shape[1:]], spec.dtype)

    spec = nest.map_structure(any_rows, tail.input.spec)
    return UserFunction(tail.fn, spec, what=tail.what, line=tail.line)


def _finished(tail: UserFunction | None, part: Any, place: int) -> Any:
    if tail is not None:
        with at(place):
            part = tail.output.pack(tail._run_row(tail.input.flatten(part), 0))
    return as_tensors(part)
