"""Sources that read record batches: files of Arrow's formats, tables, streams, queries.

One stage reads any source through `ArrowReader`s.  Its state is the file's number, the position
at which the batch under way begins, and the rows of it handed out: a fresh reader opened there
gives the same rows.  A row that cannot be converted (a null where nulls are errors) or read
(`RecordError`) fails alone; behind a file that cannot be read the next one follows.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from functools import cached_property
from typing import Any

from ...io.arrow_files import ArrowReader
from ...io.csv_reader import RecordError
from ...ops import nest
from ...ops.errors import InvalidArgumentError
from ..arrow_columns import NullError, Nulls, columns_from_batch
from ..arrow_specs import element_spec
from ..block import Block
from ..failures import Failures
from ..node import Node
from ..stage import Context, Stage, State
from .files import FilesNode

__all__ = ["ArrowFilesNode", "ArrowSourceNode", "ArrowStage"]


@dataclasses.dataclass(frozen=True, eq=False)
class ArrowSourceNode(Node):
    """Rows of record batches as dicts.

    Attributes:
        schema: the columns read and their types.
        nulls: what becomes of nulls.
        all_columns: how many columns there were before unused ones were left out.
    """

    schema: Any = dataclasses.field(repr=False, default=None)
    nulls: Nulls = dataclasses.field(repr=False, default_factory=Nulls)
    all_columns: int = 0
    own_failures = Failures.ON_DATA

    @property
    @abstractmethod
    def _parts(self) -> tuple[str, ...]:
        """What is read, one after the other; the names that errors show."""

    @property
    def columns(self) -> list[str]:
        """The names of the columns read."""
        return list(self.schema.names)

    def select(self, columns: list[str]) -> ArrowSourceNode:
        """The same source without the other columns."""
        import pyarrow as pa

        schema = pa.schema([f for f in self.schema if f.name in set(columns)])
        total = self.all_columns or len(self.schema)
        return dataclasses.replace(self, schema=schema, all_columns=total)

    @abstractmethod
    def open_batches(self, part: str, position: list[int] | None) -> ArrowReader:
        """A reader of one of the parts that begins at `position`, or at the beginning."""

    @property
    def leaf_columns(self) -> list[str]:
        """For every component in flat order the column it comes from."""
        return nest.flatten({
            name: nest.map_structure(lambda _, name=name: name, part)
            for name, part in self.element_spec.items()
        })  # fmt: skip

    def pack(self, batch: Any) -> list[Any]:
        """The columns of a batch in the flat order of the elements."""
        return columns_from_batch(batch, self.nulls)

    def _element_spec(self) -> Any:
        return element_spec(self.schema)

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return ArrowStage(self, inputs, context)

    def _what(self) -> str:
        return ""

    def describe(self) -> str:
        """The label, the source, and which columns are read."""
        names = self.columns
        of = f" of {self.all_columns}" if self.all_columns else ""
        shown = f"{len(names)}{of} columns"
        if self.all_columns and len(names) <= 6:
            shown += f": {', '.join(names)}" if names else ""
        parts = [self._what(), shown, *self._notes()]
        return f"{self.label}({', '.join(p for p in parts if p)})"

    def _notes(self) -> list[str]:
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class ArrowFilesNode(ArrowSourceNode, FilesNode):
    """Base of sources that are files."""

    decodes = True
    """Reading is work worth threads of its own."""

    @property
    def _parts(self) -> tuple[str, ...]:
        return self.files

    def open(self, path: str, record: int, offset: int) -> Any:
        """Not how these files are read."""
        raise AssertionError("record batches are opened with open_batches")

    def _what(self) -> str:
        return FilesNode.describe(self).removeprefix(self.label)[1:-1]

    @cached_property
    def label(self) -> str:
        """Of the format."""
        return self.format if not self.name else f"{self.format}:{self.name}"

    format = "arrow_files"


class ArrowStage(Stage):
    """The stage of every such source."""

    node: ArrowSourceNode

    def __init__(self, node: ArrowSourceNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._reader: ArrowReader | None = None
        self._restart()

    def _restart(self) -> None:
        self._close()
        self._file = 0
        self._at: list[int] | None = None  # where the batch under way begins
        self._batch: Any = None
        self._row = 0  # rows of it handed out
        self._drop = 0  # rows of the next batches that a restored state has handed out
        self._block: Block | None = None  # rows of the batch from `_begin` on
        self._begin = 0
        self._error: NullError | None = None  # what is wrong with the row behind the block

    # -- rows -----------------------------------------------------------------------------

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while True:
            if self._batch is None and not self._read():
                return None
            if self._row >= self._batch.num_rows:
                self._batch = None
                continue
            if self._block is None:
                self._convert()
            assert self._block is not None
            taken = self._row - self._begin
            if taken < self._block.num_rows:
                block = self._block[taken : taken + max_rows]
                self._row += block.num_rows
                return block
            self._block = None
            if self._error is not None:
                error, self._error = self._error, None
                self._row += 1  # the rest goes on behind the bad row
                raise InvalidArgumentError(error.message)

    def _skip(self, count: int) -> int:
        """Rows are read by the batch, but not converted, so nulls in them are no errors."""
        skipped = 0
        while skipped < count and (self._batch is not None or self._read()):
            step = min(count - skipped, self._batch.num_rows - self._row)
            self._row += step
            skipped += step
            if self._block is not None and self._row > self._begin + self._block.num_rows:
                self._block = self._error = None
            if self._row >= self._batch.num_rows:
                self._batch = self._block = self._error = None
        return skipped

    def _read(self) -> bool:
        """Have the next batch; False at the end."""
        files = self.node._parts
        while self._file < len(files):
            try:
                if self._reader is None:
                    self._reader = self._open(files[self._file], self._at)
                self._at = self._reader.position
                batch = self._reader.read()
            except RecordError as error:
                assert self._reader is not None
                self._at = self._reader.position
                raise InvalidArgumentError(error.message) from None
            except Exception:
                self._next_file()  # the rest goes on behind the file that cannot be read
                raise
            if batch is None:
                self._next_file()
            elif self._drop >= batch.num_rows:
                self._drop -= batch.num_rows
            else:
                self._batch, self._block = batch, None
                self._row, self._drop = self._drop, 0
                return True
        return False

    def _open(self, part: str, position: list[int] | None) -> ArrowReader:
        return self.node.open_batches(part, position)

    def _convert(self) -> None:
        """The rows from the current one on as a block, up to the first that is bad."""
        node, rows = self.node, self._batch[self._row :]
        self._begin = self._row
        self._error = None
        while True:
            try:
                columns = node.pack(rows)
            except NullError as error:
                row = self._row + error.row
                where = f" of the batch at {self._at} of {node._parts[self._file]}"
                self._error = NullError(error.column, row, where)
                rows = rows[: error.row]
            else:
                break
        self._block = Block(columns, rows.num_rows, self.structure)

    def _next_file(self) -> None:
        self._close()
        self._file += 1
        self._at = None
        self._drop = 0

    # -- state ----------------------------------------------------------------------------

    def _state(self) -> State:
        if self._batch is not None:
            return {"file": self._file, "at": list(self._at or ()), "row": self._row}
        at = self._reader.position if self._reader is not None else self._at or ()
        return {"file": self._file, "at": list(at), "row": self._drop}

    def _restore(self, state: State) -> None:
        self._restart()
        self._file = state["file"]
        self._at = list(state["at"]) or None
        self._drop = state["row"]

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._batch = self._block = None
