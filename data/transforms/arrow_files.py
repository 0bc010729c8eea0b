"""Parquet, IPC/Feather and JSON-lines files as sources: which reader each is read with."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

from ...io.arrow_files import (
    ArrowReader,
    FeatherReader,
    ParquetPart,
    ParquetReader,
    parquet_footer,
)
from ...io.arrow_json import JsonLinesReader
from ...io.filesystems import is_remote
from ..node import UNKNOWN
from .arrow_source import ArrowFilesNode

__all__ = ["FeatherNode", "JsonLinesNode", "ParquetNode"]

_MOST_FOOTERS = 64
_PART_ROWS = 1 << 15


@dataclasses.dataclass(frozen=True, eq=False)
class ParquetNode(ArrowFilesNode):
    """Rows of Parquet files.

    Attributes:
        predicate: comparisons that rows must meet, all of them; row groups whose statistics
            say that none does are not read.  Rows are not filtered.
    """

    predicate: tuple[Any, ...] = dataclasses.field(repr=False, default=())
    format = "parquet"

    def open_batches(self, part: str, position: list[int] | None) -> ArrowReader:
        """A `ParquetReader`."""
        return ParquetReader(part, self.schema, position, self._keep())

    def in_parts(self) -> ParquetNode:
        """The same rows from parts of files that are worth reading at the same time."""
        # A remote file's footer takes round trips: several files are parts enough.
        found = self._row_groups(remote=len(self.files) == 1)
        parts = [p for file, groups in found or () for p in _parts_of(file, groups)]
        if len(parts) <= len(self.files):
            return self
        return dataclasses.replace(self, files=tuple(parts))

    def sliced(self, part: slice) -> tuple[ParquetNode, slice | None] | None:
        """The row groups that hold those rows."""
        files = self._row_groups()
        if files is None or self.predicate or part.step not in (None, 1):
            return None
        wanted = range(sum(rows for _, groups in files for _, rows in groups))[part]
        parts: list[str] = []
        position = before = read = 0  # rows passed, those of them not read, and those read
        for file, groups in files:
            kept = []
            for number, rows in groups:
                if position + rows <= wanted.start:
                    before += rows
                elif position < wanted.stop:
                    kept.append(number)
                    read += rows
                position += rows
            if len(kept) == len(groups):
                parts.append(file)
            elif kept:
                parts.append(ParquetPart(file, kept[0], kept[-1] + 1))
        if len(parts) == len(self.files) and all(map(operator.is_, parts, self.files)):
            return None
        rest = slice(wanted.start - before, wanted.stop - before)
        source = dataclasses.replace(self, files=tuple(parts))
        return source, None if len(wanted) == read else rest

    def _row_groups(
        self, remote: bool = False
    ) -> list[tuple[str, list[tuple[int, int]]]] | None:
        """For every file its row groups' numbers and sizes; None where asking takes long."""
        if len(self.files) > _MOST_FOOTERS or (not remote and any(map(is_remote, self.files))):
            return None
        found = []
        for file in self.files:
            try:
                footer = parquet_footer(file)
            except Exception:  # reading will tell
                return None
            metadata, numbers = footer.metadata, range(footer.metadata.num_row_groups)
            if isinstance(file, ParquetPart):
                numbers = numbers[file.start : file.stop]
            found.append((file, [(k, metadata.row_group(k).num_rows) for k in numbers]))
            footer.close(force=True)
        return found

    def _keep(self) -> Any:
        if not self.predicate:
            return None
        return lambda group: all(one.may_hold(group) for one in self.predicate)

    def _cardinality(self) -> int:
        files = None if self.predicate else self._row_groups()
        if files is None:
            return UNKNOWN
        return sum(rows for _, groups in files for _, rows in groups)

    def _notes(self) -> list[str]:
        if not self.predicate:
            return []
        return [f"row groups with {' and '.join(map(str, self.predicate))}"]


def _parts_of(path: str, groups: list[tuple[int, int]]) -> list[str]:
    """Runs of row groups of at least `_PART_ROWS` rows, all of a file's."""
    parts: list[str] = []
    start = groups[0][0] if groups else 0
    total = 0
    for number, rows in groups:
        total += rows
        if total >= _PART_ROWS or number == groups[-1][0]:
            parts.append(ParquetPart(path, start, number + 1))
            start, total = number + 1, 0
    return parts if len(parts) > 1 else [path]


@dataclasses.dataclass(frozen=True, eq=False)
class FeatherNode(ArrowFilesNode):
    """Rows of IPC files, IPC streams and Feather files."""

    format = "arrow_file"
    decodes = False

    def open_batches(self, part: str, position: list[int] | None) -> ArrowReader:
        """A `FeatherReader`."""
        return FeatherReader(part, self.schema, position or (0, 0))


@dataclasses.dataclass(frozen=True, eq=False)
class JsonLinesNode(ArrowFilesNode):
    """Lines of files, a JSON object each."""

    format = "json_lines"

    def open_batches(self, part: str, position: list[int] | None) -> ArrowReader:
        """A `JsonLinesReader`."""
        return JsonLinesReader(part, self.schema, self.compression_type, position or (0, 1))
