"""unbatch: the slices of every element along its first axis, one after the other."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...ops import nest
from ...ops.errors import InvalidArgumentError
from ..block import Block
from ..caught import Caught
from ..columns import ungroup_rows
from ..node import UNKNOWN, UnaryNode
from ..stage import Context, Stage, State
from ..values import unbatched_spec

__all__ = ["UnbatchNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class UnbatchNode(UnaryNode):
    """Rows of rows."""

    def _element_spec(self) -> Any:
        return nest.map_structure(unbatched_spec, self.input.element_spec)

    def _cardinality(self) -> int:
        n = self.input.cardinality
        for spec in nest.flatten(self.input.element_spec):
            shape = getattr(spec, "shape", None)
            if shape is not None and shape.rank and shape[0] is not None:
                return n * shape[0] if n > 0 else n if shape[0] else 0
        return UNKNOWN if n > 0 or n == UNKNOWN else n

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _UnbatchStage(self, inputs, context)


class _UnbatchStage(Stage):
    """Holds the rows, the elements and the error that are still to come of a pulled block."""

    _rest: Block | None
    _todo: Block | None
    _error: Caught | None

    def __init__(self, node: UnbatchNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._rows_per_row = 1.0
        self._restart()

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while self._rest is None:
            if self._error is not None:
                error, self._error = self._error, None
                raise error.take()
            block, self._todo = self._todo, None
            if block is None:
                self._release()
                before = self._state()
                # Taking more elements than the one certainly needed must have no side effects.
                pull = max(1, int(max_rows / self._rows_per_row)) if self.pure else 1
                block = self.input.next_block(pull)
                if block is None:
                    return None
                self._hold(before)
            self._take_apart(block)
        rest = self._rest
        self._rest = rest[max_rows:] if rest.num_rows > max_rows else None
        if self._rest is None and self._todo is None and self._error is None:
            self._release()
        return rest[:max_rows]

    def _take_apart(self, block: Block) -> None:
        """Set the rows up to the first bad element of `block`, its error, and what follows."""
        try:
            rest = self._ungroup(block)
        except InvalidArgumentError as error:
            if block.num_rows == 1:
                self._error = Caught(error).put_off()
                return
            half = block.num_rows // 2
            self._take_apart(block[:half])
            todo = block[half:]
            self._todo = todo if self._todo is None else Block.concat([self._todo, todo])
            return
        self._rows_per_row = max(1.0, rest.num_rows / block.num_rows)
        if rest.num_rows:
            self._rest = rest

    def _ungroup(self, block: Block) -> Block:
        columns = []
        first: np.ndarray | None = None
        for c, column in enumerate(block.columns):
            try:
                rows, counts = ungroup_rows(column)
            except ValueError as error:
                raise InvalidArgumentError(str(error)) from None
            if first is None:
                first = counts
            elif not np.array_equal(first, counts):
                k = int(np.flatnonzero(first != counts)[0])
                raise InvalidArgumentError(
                    "Cannot unbatch an element whose components differ in their first axis: "
                    f"component 0 has {first[k]} rows, component {c} has {counts[k]}."
                )
            columns.append(rows)
        total = int(first.sum()) if first is not None else 0
        return Block(columns, total, self.structure)

    def _state(self) -> State:
        return {"input": self.input.state()}

    def _restore(self, state: State) -> None:
        self._restart()
        self.input.restore(state["input"])

    def _restart(self) -> None:
        self._rest = self._todo = self._error = None
