"""choose_from_datasets and sample_from_datasets: elements of several datasets by a selector."""

from __future__ import annotations

import dataclasses
from functools import reduce
from typing import Any

import numpy as np

from ...ops import dtypes
from ...ops.errors import InvalidArgumentError
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..node import INFINITE, UNKNOWN, Node
from ..stage import Context, Stage, State
from .concatenate import common_spec
from .shuffle import Epochs

__all__ = ["ChooseNode", "RandomNode"]

_CHUNK = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class RandomNode(Node):
    """Random int64 numbers without end: choices by `weights`, or uniform below 2**32.

    Attributes:
        seeds: two seeds.
        weights: probabilities of 0, 1, ..., or None.
        rerandomize: whether each iteration has other numbers.
    """

    seeds: tuple[int, int]
    weights: tuple[float, ...] | None = None
    rerandomize: bool = False
    epochs: Epochs = dataclasses.field(default_factory=Epochs, repr=False)

    def _element_spec(self) -> Any:
        return TensorSpec([], dtypes.int64)

    def _cardinality(self) -> int:
        return INFINITE

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _RandomStage(self, inputs, context)


class _RandomStage(Stage):
    """Numbers come in chunks, each from a generator keyed by (seeds, epoch, chunk)."""

    node: RandomNode

    def __init__(self, node: RandomNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._epoch: int | None = None if node.rerandomize else 0
        self._seeds = node.seeds
        self._position = 0
        self._number = -1
        self._numbers = np.empty(0, np.int64)

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        number, offset = divmod(self._position, _CHUNK)
        if number != self._number:
            bits = np.random.Philox(
                key=list(self._seeds), counter=[0, number, self._this_epoch(), 2]
            )
            generator = np.random.Generator(bits)
            if self.node.weights is None:
                self._numbers = generator.integers(0, 1 << 32, _CHUNK)
            else:
                edges = np.cumsum(self.node.weights)
                draws = generator.random(_CHUNK) * edges[-1]
                self._numbers = np.searchsorted(edges, draws, side="right").astype(np.int64)
            self._number = number
        part = self._numbers[offset : offset + max_rows]
        self._position += len(part)
        return Block([part], len(part), self.structure)

    def _this_epoch(self) -> int:
        if self._epoch is None:
            self._epoch = self.node.epochs.begin()
        return self._epoch

    def _skip(self, count: int) -> int:
        self._position += count
        return count

    def _state(self) -> State:
        return {
            "position": self._position,
            "seeds": list(self._seeds),
            "epoch": self._this_epoch(),
        }

    def _restore(self, state: State) -> None:
        self._position = state["position"]
        self._seeds = tuple(state["seeds"])
        self._epoch = state["epoch"]
        self._number = -1

    def _restart(self) -> None:
        if self.node.rerandomize and self._epoch is not None:
            self._epoch += 1
        self._position = 0
        self._number = -1


@dataclasses.dataclass(frozen=True, eq=False)
class ChooseNode(Node):
    """For every number of `choice` the next element of that dataset.

    A choice of a dataset that has ended is passed over, or ends the whole
    (`stop_on_empty_dataset`).
    """

    choice: Node
    datasets: tuple[Node, ...]
    stop_on_empty_dataset: bool

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The selector, then the datasets."""
        return self.choice, *self.datasets

    def with_inputs(self, *inputs: Node) -> Node:
        """A copy that reads others."""
        return dataclasses.replace(self, choice=inputs[0], datasets=inputs[1:])

    def _element_spec(self) -> Any:
        return reduce(common_spec, (d.element_spec for d in self.datasets))

    def _cardinality(self) -> int:
        sizes = [d.cardinality for d in self.datasets]
        if not self.stop_on_empty_dataset and self.choice.cardinality == INFINITE:
            if INFINITE in sizes:
                return INFINITE
            return UNKNOWN if UNKNOWN in sizes else sum(sizes)
        return UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _ChooseStage(self, inputs, context)


class _ChooseStage(Stage):
    """Takes the choices by the block and puts the elements together with one gather; goes back
    and on choice by choice where a dataset ends or fails."""

    node: ChooseNode

    def __init__(self, node: ChooseNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._ended = [False] * (len(inputs) - 1)
        self._done = False
        self._singly = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if self._done or all(self._ended):
            return None
        rows = max_rows if self.pure else min(max_rows, need_rows)
        if rows > 1 and not self._singly and not any(self._ended):
            before = self._state()
            block = self._together(min(rows, 4096))
            if block is not None:
                return block
            self._restore(before)
            self._singly = min(rows, 4096)
        return self._one()

    def _together(self, rows: int) -> Block | None:
        try:
            choices = self.inputs[0].next_block(rows, 1)
            if choices is None:
                return None
            picked = self._checked(choices.columns[0])
            parts = []
            place = np.empty(len(picked), np.int64)
            start = 0
            for number, stage in enumerate(self.inputs[1:]):
                where = np.flatnonzero(picked == number)
                got = 0
                while got < len(where):
                    block = stage.next_block(len(where) - got, len(where) - got)
                    if block is None:
                        return None
                    parts.append(block.with_structure(self.structure))
                    got += block.num_rows
                place[where] = np.arange(start, start + len(where))
                start += len(where)
            return Block.concat(parts).take(place)
        except Exception:
            return None  # met again, choice by choice

    def _one(self) -> Block | None:
        while not all(self._ended):
            self._singly = max(0, self._singly - 1)
            choice = self.inputs[0].next_block(1)
            if choice is None:
                break
            number = int(self._checked(choice.columns[0])[0])
            if self._ended[number]:
                continue
            block = self.inputs[1 + number].next_block(1)
            if block is not None:
                return block.with_structure(self.structure)
            self._ended[number] = True
            if self.node.stop_on_empty_dataset:
                break
        self._done = True
        return None

    def _checked(self, numbers: Any) -> np.ndarray:
        count = len(self.inputs) - 1
        numbers = np.asarray(numbers)
        if ((numbers < 0) | (numbers >= count)).any():
            bad = numbers[(numbers < 0) | (numbers >= count)][0]
            raise InvalidArgumentError(
                f"Selector index out of range: {bad} >= {count}, the number of datasets"
            )
        return numbers

    def _state(self) -> State:
        return {
            "inputs": [s.state() for s in self.inputs],
            "ended": list(self._ended),
            "done": self._done,
        }

    def _restore(self, state: State) -> None:
        for stage, saved in zip(self.inputs, state["inputs"], strict=True):
            stage.restore(saved)
        self._ended = list(state["ended"])
        self._done = state["done"]
        self._singly = 0

    def _restart(self) -> None:
        self._ended = [False] * (len(self.inputs) - 1)
        self._done = False
        self._singly = 0
