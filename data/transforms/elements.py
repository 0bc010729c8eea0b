"""The elements of files that `save` or `snapshot` wrote, as a source."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...ops.errors import DataLossError
from ..block import Block
from ..node import Node
from ..stage import Context, Stage, State
from ..storage.element_file import ElementFile

__all__ = ["ElementsNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class ElementsNode(Node):
    """The elements of one file.

    Attributes:
        path: the file.
        spec: their nested spec.
        num_rows: their number.
    """

    path: str
    spec: Any = dataclasses.field(repr=False)
    num_rows: int = dataclasses.field(repr=False)
    reads_files = True

    def _element_spec(self) -> Any:
        return self.spec

    def _cardinality(self) -> int:
        return self.num_rows

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _ElementsStage(self, inputs, context)


class _ElementsStage(Stage):
    """Reads block by block; the state is a row number."""

    node: ElementsNode

    def __init__(self, node: ElementsNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._file: ElementFile | None = None
        self._position = 0
        self._block: tuple[int, Block] | None = None

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        if self._position >= self.node.num_rows:
            return None
        if self._file is None:
            file = ElementFile(self.node.path)
            if file.num_rows != self.node.num_rows:
                raise DataLossError(
                    f"{file.path}; the file has {file.num_rows} elements, but there should be "
                    f"{self.node.num_rows}: it was replaced; load the dataset again"
                )
            self._file = file
        if self._block is not None:
            first, block = self._block
            if not first <= self._position < first + block.num_rows:
                self._block = None
        if self._block is None:
            number, first = self._file.find(self._position)
            self._block = first, self._file.block(number).with_structure(self.structure)
        first, block = self._block
        row = self._position - first
        part = block[row : row + max_rows]
        self._position += part.num_rows
        return part

    def _skip(self, count: int) -> int:
        count = min(count, self.node.num_rows - self._position)
        self._position += count
        return count

    def _state(self) -> State:
        return {"position": self._position}

    def _restore(self, state: State) -> None:
        self._position = state["position"]

    def _restart(self) -> None:
        self._position = 0

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
