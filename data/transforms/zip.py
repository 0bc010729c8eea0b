"""zip: elements of several datasets side by side."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...ops import nest
from ..block import Block
from ..caught import Caught
from ..failures import Failures
from ..node import INFINITE, UNKNOWN, Node
from ..stage import Context, Stage, State

__all__ = ["ZipNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class ZipNode(Node):
    """Elements that are `layout` with each leaf replaced by the element of one dataset.

    Attributes:
        datasets: the nodes in flat order.
        layout: nested structure with the numbers of the nodes as its leaves.
    """

    datasets: tuple[Node, ...]
    layout: Any = dataclasses.field(repr=False)
    own_failures = Failures.NEVER

    @property
    def one_to_one(self) -> bool:
        """It is."""
        return True

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The datasets in flat order."""
        return self.datasets

    def with_inputs(self, *inputs: Node) -> Node:
        """A copy that joins other datasets."""
        return dataclasses.replace(self, datasets=inputs)

    def _element_spec(self) -> Any:
        return nest.map_structure(lambda i: self.datasets[i].element_spec, self.layout)

    def _cardinality(self) -> int:
        sizes = [d.cardinality for d in self.datasets]
        finite = [n for n in sizes if n != INFINITE]
        if not finite:
            return INFINITE
        if 0 in finite:
            return 0
        return UNKNOWN if UNKNOWN in finite else min(finite)

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _ZipStage(self, inputs, context)


class _ZipStage(Stage):
    """Pulls as many rows from each input as the first one gave.

    An input that ends early ends the whole; rows already pulled from the others are lost, as
    in tf.data.
    """

    def __init__(self, node: Node, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._done = False

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if self._done or not self.inputs:
            return None
        if not all(stage.pure for stage in self.inputs):
            max_rows = min(max_rows, need_rows)  # no side effects for rows nobody asked for
        before = self._state()
        parts: list[Block] = []
        rows = max_rows
        error: Caught | None = None
        for stage in self.inputs:
            part, error = self._pull(stage, rows, bool(parts))
            if part is None and error is None:
                self._done = True
                return None
            got = part.num_rows if part is not None else 0
            if error is not None:
                rows = got
                break
            if parts and got < rows:
                self._done = True
            assert part is not None
            parts.append(part)
            rows = got
        if error is not None:
            return self._up_to(error, before, rows)
        columns = [c for part in parts for c in part[:rows].columns]
        return Block(columns, rows, self.structure)

    def _up_to(self, error: Caught, before: State, rows: int) -> Block | None:
        """The `rows` rows before one input's error; then all inputs go on behind it."""
        bad = error.put_off()
        self._restore(before)
        parts = []
        if rows:
            parts = [self._pull(stage, rows, True)[0] for stage in self.inputs]
        for stage in self.inputs:
            try:
                stage.skip_rows(1)
            except Exception as again:
                bad = Caught(again).put_off()
        if not rows:
            raise bad.take()
        self._hold(before)
        self._raise_later(bad, release=True)
        columns = [c for part in parts for c in part.columns]  # type: ignore[union-attr]
        return Block(columns, rows, self.structure)

    def _pull(
        self, stage: Stage, rows: int, exactly: bool
    ) -> tuple[Block | None, Caught | None]:
        blocks: list[Block] = []
        got = 0
        error = None
        while got < rows:
            try:
                block = stage.next_block(rows - got, rows - got if exactly else 1)
            except Exception as raised:
                error = Caught(raised)
                break
            if block is None:
                break
            blocks.append(block)
            got += block.num_rows
            if not exactly:
                break
        return (Block.concat(blocks) if blocks else None), error

    def _state(self) -> State:
        return {"inputs": [s.state() for s in self.inputs], "done": self._done}

    def _restore(self, state: State) -> None:
        for stage, saved in zip(self.inputs, state["inputs"], strict=True):
            stage.restore(saved)
        self._done = state["done"]

    def _restart(self) -> None:
        self._done = False
