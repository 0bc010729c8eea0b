"""group_by_reducer: elements grouped by key and reduced; one result per key, keys ascending."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..block import Block
from ..caught import Caught
from ..functions import UserFunction
from ..node import UNKNOWN, UnaryNode
from ..stage import Context, Stage, State
from .map import locate
from .scan import decode_value, encode_value

__all__ = ["GroupByReducerNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class GroupByReducerNode(UnaryNode):
    """``finalize(state)`` of every key.

    Attributes:
        function: gives an element's key.
        init: gives the first state for a key.
        reduce: gives the next state for ``(state, element)``.
        finalize: gives the result for the last state.
    """

    function: UserFunction = dataclasses.field(repr=False)
    init: UserFunction = dataclasses.field(repr=False)
    reduce: UserFunction = dataclasses.field(repr=False)
    finalize: UserFunction = dataclasses.field(repr=False)

    def _element_spec(self) -> Any:
        return self.finalize.output_spec

    def _cardinality(self) -> int:
        return UNKNOWN

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _GroupByReducerStage(self, inputs, context)


class _GroupByReducerStage(Stage):
    """Reads the whole input before the first result; afterwards the states are its state."""

    node: GroupByReducerNode

    def __init__(self, node: GroupByReducerNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._restart()

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while not self._ended:
            block = self.input.next_block(4096, 4096)
            if block is None:
                self._ended = True
            else:
                self._take(block)
        keys = sorted(self._states)[self._given : self._given + max_rows]
        if not keys:
            return None
        rows = []
        for key in keys:
            self._given += 1
            rows.append(self.node.finalize.run_row(self._states[key], self._given - 1))
        return Block.from_rows(rows, self.structure)

    def _take(self, block: Block) -> None:
        node = self.node
        out, error = node.function.run_block(block, self._index)
        keys = np.asarray(out.columns[0]).tolist() if out.num_rows else []
        for i, (key, row) in enumerate(zip(keys, block.rows(), strict=False)):
            if key not in self._states:
                self._states[key] = node.init.run_row([np.array(key, np.int64)], key)
            try:
                state = node.reduce.run_row([*self._states[key], *row], self._index + i)
            except Exception as raised:
                locate(Caught(raised), block, i)
                raise
            self._states[key] = state
        self._index += block.num_rows
        if error is not None:
            raise error.take()

    def _state(self) -> State:
        states = [[k, [encode_value(v) for v in s]] for k, s in self._states.items()]
        return {
            "input": self.input.state(), "index": self._index, "ended": self._ended,
            "given": self._given, "states": states,
        }  # fmt: skip

    def _restore(self, state: State) -> None:
        self.input.restore(state["input"])
        self._index, self._ended = state["index"], state["ended"]
        self._given = state["given"]
        self._states = {k: [decode_value(v) for v in s] for k, s in state["states"]}

    def _restart(self) -> None:
        self._states: dict[int, list[Any]] = {}
        self._index = self._given = 0
        self._ended = False
