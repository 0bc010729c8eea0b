"""snapshot: elements written to files by the first complete iteration, read by later ones.

Under the user's path every plan has a folder named by its fingerprint, with one `Library` (see
`storage.library`).  An iteration that finds a complete run reads it; one that does not makes
the elements and writes them, unless somebody else does already: then it only makes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property

import numpy as np

from ...io.filesystems import join
from ...ops.errors import InvalidArgumentError, NotFoundError
from ..block import Block
from ..fingerprint import fingerprint
from ..functions import UserFunction
from ..node import Node, UnaryNode
from ..stage import Context, Stage, State, build_stage
from ..storage.library import Library, Run, RunWriter

__all__ = ["SnapshotNode", "shard_numbers"]


@dataclasses.dataclass(frozen=True, eq=False)
class SnapshotNode(UnaryNode):
    """The input's elements, made once and kept in files.

    Attributes:
        path: the user's folder.
        compression: a codec's name.
        shard_function: the number of the file for an element, or None for one file.
        reading: the plan that reads a run.
        plan: the input as the user wrote it, for the fingerprint.
    """

    path: str
    compression: str
    shard_function: UserFunction | None = dataclasses.field(repr=False)
    reading: Callable[[Run], Node] = dataclasses.field(repr=False)
    plan: Node = dataclasses.field(repr=False)

    @cached_property
    def folder(self) -> str:
        """The folder of this plan."""
        return join(self.path, f"{fingerprint(self.plan):016x}")

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _SnapshotStage(self, inputs, context)


class _SnapshotStage(Stage):
    """Reads (`_reader` is set), or makes elements and perhaps writes them (`_writer`)."""

    node: SnapshotNode

    def __init__(self, node: SnapshotNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._run: Run | None = None
        self._reader: Stage | None = None
        self._writer: RunWriter | None = None
        self._decided = self._begun = False
        self._index = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        self._decide()
        if self._reader is not None:
            block = self._reader.next_block(max_rows, need_rows)
            return None if block is None else block.with_structure(self.structure)
        if not self._begun:
            self._begun = True
            library = Library(self.node.folder)
            if library.latest() is None:  # after a restore there may be one: it stays
                self._writer = library.writer(self.structure, self.node.compression)
        try:
            block = self.input.next_block(max_rows, need_rows)
            if block is not None and self._writer is not None:
                numbers = shard_numbers(self.node.shard_function, block, self._index)
                self._writer.write(block, numbers)
        except BaseException:  # what lacks elements is no snapshot
            self._close_writer()
            raise
        if block is None:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.commit()
            return None
        self._index += block.num_rows
        return block

    def _decide(self) -> None:
        if not self._decided:
            self._decided = True
            run = Library(self.node.folder).latest()
            if run is not None:
                self._read(run)

    def _read(self, run: Run) -> None:
        self._run = run
        plan = self.node.reading(run)
        self._reader = build_stage(plan, self.context.nested())

    def _state(self) -> State:
        self._decide()
        if self._reader is not None:
            assert self._run is not None
            return {"run": self._run.name, "reader": self._reader.state()}
        return {"input": self.input.state(), "index": self._index}

    def _restore(self, state: State) -> None:
        self._close()
        self._decided = True
        if "run" in state:
            library = Library(self.node.folder)
            run = library.latest()
            if run is None or run.name != state["run"]:
                raise NotFoundError(
                    f"{self.node.folder}; the snapshot's run {state['run']} that the iterator "
                    "state was reading is not there any more; begin without the state"
                )
            self._read(run)
            assert self._reader is not None
            self._reader.restore(state["reader"])
            return
        self.input.restore(state["input"])
        self._index = state["index"]
        self._begun = self._index > 0  # a run can only be written from its beginning

    def restart(self) -> None:
        """Look again for a complete run."""
        self._held = self._pending = None
        self._close()
        self._decided = self._begun = False
        self._index = 0
        self.input.restart()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def _close(self) -> None:
        self._close_writer()
        if self._reader is not None:
            self._reader.close()
            self._reader = self._run = None


def shard_numbers(function: UserFunction | None, block: Block, first: int) -> np.ndarray | None:
    """The file's number for every row.

    Raises:
        InvalidArgumentError: a number is negative.
    """
    if function is None:
        return None
    out, error = function.run_block(block, first)
    if error is not None:
        raise error.take()
    numbers = np.asarray(out.columns[0], np.int64)
    if numbers.size and numbers.min() < 0:
        raise InvalidArgumentError(
            f"shard_func must return numbers that are not negative, got {int(numbers.min())}"
        )
    return numbers
