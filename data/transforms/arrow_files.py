"""Parquet, IPC/Feather and JSON-lines files as sources: which reader each is read with."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...io.arrow_files import ArrowReader, FeatherReader, ParquetReader, parquet_footer
from ...io.arrow_json import JsonLinesReader
from ..node import UNKNOWN
from .arrow_source import ArrowFilesNode

__all__ = ["FeatherNode", "JsonLinesNode", "ParquetNode"]

_MOST_FOOTERS = 64


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
        return ParquetReader(part, self.schema, position or (0, 0), self._keep())

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
