"""Parquet, IPC/Feather and JSON-lines files as sources: which reader each is read with."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...io.arrow_files import (
    ArrowReader,
    FeatherReader,
    ParquetPart,
    ParquetReader,
    parquet_footer,
)
from ...io.arrow_json import JsonLinesReader
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
        if len(self.files) > _MOST_FOOTERS or any("://" in file for file in self.files):
            return self
        parts: list[str] = []
        for file in self.files:
            try:
                footer = parquet_footer(file)
            except Exception:  # reading will tell
                return self
            parts += _parts_of(file, footer.metadata)
            footer.close(force=True)
        if len(parts) == len(self.files):
            return self
        return dataclasses.replace(self, files=tuple(parts))

    def _keep(self) -> Any:
        if not self.predicate:
            return None
        return lambda group: all(one.may_hold(group) for one in self.predicate)

    def _cardinality(self) -> int:
        if (
            self.predicate
            or len(self.files) > _MOST_FOOTERS
            or any("://" in f for f in self.files)
        ):
            return UNKNOWN
        try:
            total = 0
            for file in self.files:
                footer = parquet_footer(file)
                total += footer.metadata.num_rows
                footer.close(force=True)
        except Exception:  # reading will tell
            return UNKNOWN
        return total

    def _notes(self) -> list[str]:
        if not self.predicate:
            return []
        return [f"row groups with {' and '.join(map(str, self.predicate))}"]


def _parts_of(path: str, metadata: Any) -> list[str]:
    """Runs of row groups of at least `_PART_ROWS` rows, all of a file's."""
    parts: list[str] = []
    start = rows = 0
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        if rows >= _PART_ROWS or group == metadata.num_row_groups - 1:
            parts.append(ParquetPart(path, start, group + 1))
            start, rows = group + 1, 0
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
