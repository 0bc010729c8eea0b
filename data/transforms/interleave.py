"""interleave and flat_map: datasets made of the elements, their elements mixed in turn.

tf.data's order: `cycle_length` datasets are open; each in turn gives `block_length` elements;
one that ends leaves its place, which the next input element fills when its turn comes again.

The user's function runs eagerly, once per input element; it may return any dataset.  Its spec
is learnt by calling it with symbolic tensors, or, where it needs values, with the first
element.  Whole rounds over the open datasets are put together by one gather per column.
What is open, and what is opened ahead of its turn, is `open_datasets`' matter.
"""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

import numpy as np

from ..block import Block
from ..caught import Caught
from ..dataset_function import DatasetFunction
from ..node import UNKNOWN, Node, UnaryNode
from ..open_datasets import Line, OpenDataset
from ..stage import Context, Stage, State, build_stage
from .prefetch import PrefetchNode

__all__ = ["FlatMapNode", "InterleaveNode"]

_MOST_AHEAD = 16  # datasets open before their turn


@dataclasses.dataclass(frozen=True, eq=False)
class InterleaveNode(UnaryNode):
    """`block_length` elements in turn of each of `cycle_length` datasets.

    Attributes:
        map_func: gives a dataset for an element.
        num_parallel_calls: None to open and read the datasets when their turn comes; else
            they are read ahead, each by a thread of its own, and so many of those that come
            next as well (-1: as many as are in a cycle).
    """

    map_func: DatasetFunction = dataclasses.field(repr=False)
    cycle_length: int = 1
    block_length: int = 1
    num_parallel_calls: int | None = None
    deterministic: bool | None = None

    @property
    def ahead(self) -> int:
        """How many datasets are opened before their turn."""
        calls = self.num_parallel_calls
        return (
            0 if calls is None else min(calls if calls > 0 else self.cycle_length, _MOST_AHEAD)
        )

    @property
    def runs_python(self) -> bool:
        """Whether the function may have effects outside for every element."""
        return not self.map_func.is_traceable

    @property
    def reads_files(self) -> bool:
        """Whether the datasets it opens read files."""
        return self.map_func.reads_files

    def _element_spec(self) -> Any:
        return self.map_func.element_spec(self.input)

    def _cardinality(self) -> int:
        return 0 if self.input.cardinality == 0 else UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _InterleaveStage(self, inputs, context)


@dataclasses.dataclass(frozen=True, eq=False)
class FlatMapNode(InterleaveNode):
    """All elements of one dataset, then those of the next."""


class _InterleaveStage(Stage):
    node: InterleaveNode
    _turn: int
    _in_block: int
    _input_ended: bool

    def __init__(self, node: InterleaveNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.pure = self.pure and not node.runs_python
        self._slots: list[OpenDataset | None] = []
        stage = weakref.proxy(self)  # or the line and the stage would keep each other alive
        self._line = Line(
            self.input, lambda block, element: stage._make_slot(block, element), node.ahead
        )
        self._restart()

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        length = self.node.block_length
        while not self._input_ended or any(self._slots):
            if self._in_block == 0 and len(self._slots) > 1:
                block = self._rounds(max_rows)
                if block is not None:
                    return block
            slot = self._slots[self._turn]
            if slot is None:
                if self._input_ended or not self._open():
                    self._advance()
                continue
            want = max_rows if len(self._slots) == 1 else length - self._in_block
            pure = slot.stage.pure
            slot.read(
                max_rows if pure else min(want, max_rows, need_rows), min(want, need_rows)
            )
            if slot.rest is not None:
                part = slot.take(min(want, max_rows))
                self._in_block += part.num_rows
                if self._in_block >= length:
                    self._advance()
                return part.with_structure(self.structure)
            if slot.error is not None:
                error, slot.error = slot.error, None
                raise error.take()
            slot.stage.close()
            self._slots[self._turn] = None
            self._advance()
        return None

    def _rounds(self, max_rows: int) -> Block | None:
        """As many whole rounds over all open datasets as can be had at once, if any."""
        if not (all(self._slots) or self._input_ended):
            return None
        length = self.node.block_length
        order = self._slots[self._turn :] + self._slots[: self._turn]
        slots = [slot for slot in order if slot is not None]
        most = max_rows // (len(slots) * length)
        if most == 0 or len(slots) < 2 or not all(slot.stage.pure for slot in slots):
            return None
        for slot in slots:
            slot.read(most * length, 1)
            if slot.available < length:
                return None
        rounds = min(most, min(slot.available for slot in slots) // length)
        joined = Block.concat([slot.take(rounds * length) for slot in slots])
        index = np.arange(joined.num_rows).reshape(len(slots), rounds, length)
        mixed = joined.take(index.transpose(1, 0, 2).ravel())
        return mixed.with_structure(self.structure)

    def _advance(self) -> None:
        self._in_block = 0
        self._turn = (self._turn + 1) % len(self._slots)

    def _open(self) -> bool:
        """Fill the slot whose turn it is; False if the input has ended."""
        found = self._line.next()
        if found is None:
            self._input_ended = True
            return False
        if isinstance(found, Caught):
            self._advance()
            raise found.take()
        self._slots[self._turn] = found
        return True

    def _make_slot(self, block: Block, element: State) -> OpenDataset:
        node = self.node
        plan: Node = node.map_func.plan(block.row(0), element["index"], self.context.options)
        if node.num_parallel_calls is not None:
            plan = PrefetchNode(plan, -1, source=node.source)
        return OpenDataset(build_stage(plan, self.context.nested()), element)

    # -- state ----------------------------------------------------------------------------

    def _state(self) -> State:
        return {
            "line": self._line.state(),
            "slots": [slot.state() if slot is not None else None for slot in self._slots],
            "turn": self._turn,
            "in_block": self._in_block,
            "input_ended": self._input_ended,
        }

    def _restore(self, state: State) -> None:
        self._restart()
        self._turn, self._in_block = state["turn"], state["in_block"]
        self._input_ended = state["input_ended"]
        for i, saved in enumerate(state["slots"]):
            if saved is None:
                continue
            self.input.restore(saved["element"]["input"])
            block = self.input.next_block(1)
            assert block is not None
            slot = self._make_slot(block, saved["element"])
            slot.stage.restore(saved["stage"])
            if saved["skip"]:
                slot.stage.skip_rows(saved["skip"])
            self._slots[i] = slot
        self._line.restore(state["line"])

    def _restart(self) -> None:
        self._close()
        self._line.restart()
        self._slots = [None] * self.node.cycle_length
        self._turn = self._in_block = 0
        self._input_ended = False

    def _close(self) -> None:
        self._line.close()
        for slot in self._slots:
            if slot is not None:
                slot.stage.close()
        self._slots = []
