"""from_arrow: rows of Arrow data in memory, and of streams of it.

Whatever has the Arrow C stream interface (``__arrow_c_stream__``) can be read: tables of
pyarrow, polars, pandas 3, relations of DuckDB.  What knows its length is data and may be asked
for any number of streams; a reader is a stream itself and gives its rows once.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

from ...io.arrow_files import BATCH_ROWS, ArrowReader, conform
from ...ops.errors import FailedPreconditionError
from ..node import UNKNOWN
from .arrow_source import ArrowSourceNode

__all__ = ["ArrowStream", "ArrowTableNode"]


class ArrowStream:
    """Arrow data as a source of streams.

    Args:
        data: an object with ``__arrow_c_stream__`` or ``__arrow_c_array__``.

    Attributes:
        schema: of the data.
        num_rows: how many rows there are, or None.
        kind: the type's name.

    Raises:
        TypeError: `data` has neither.
    """

    def __init__(self, data: Any):
        import pyarrow as pa

        self.kind = type(data).__name__
        self._lock = threading.Lock()
        self._reader: Any = None
        self._data: Any = data
        self.num_rows: int | None = None
        if isinstance(data, pa.RecordBatch) or (
            hasattr(data, "__arrow_c_array__") and not hasattr(data, "__arrow_c_stream__")
        ):
            batch = data if isinstance(data, pa.RecordBatch) else pa.record_batch(data)
            self._data = pa.Table.from_batches([batch])
        elif not hasattr(data, "__arrow_c_stream__"):
            raise TypeError(
                "`data` must have the Arrow C stream interface (__arrow_c_stream__), as tables "
                f"of pyarrow, polars, pandas 3 and DuckDB do, got {type(data).__name__}"
            )
        if isinstance(self._data, pa.Table):
            self.schema = self._data.schema
            self.num_rows = self._data.num_rows
            return
        stream = pa.RecordBatchReader.from_stream(data)
        self.schema = stream.schema
        if hasattr(data, "__len__") and not isinstance(data, pa.RecordBatchReader):
            stream.close()  # first: a database may answer one question at a time
            try:
                self.num_rows = len(data)
            except TypeError:  # a Dataset whose length is not known
                pass
        else:
            self._reader, self._data = stream, None

    def sliced(self, part: slice) -> ArrowStream | None:
        """The rows `part` if they follow each other in a table, else None."""
        import pyarrow as pa

        if not isinstance(self._data, pa.Table) or part.step not in (None, 1):
            return None
        rows = range(self._data.num_rows)[part]
        return ArrowStream(self._data.slice(rows.start, len(rows)))

    def batches(self, names: list[str], start: int) -> Any:
        """An iterator over RecordBatches from row `start` on.

        Raises:
            FailedPreconditionError: the rows have been given out, and there were only those.
        """
        import pyarrow as pa

        if isinstance(self._data, pa.Table):
            return iter(self._data.select(names).slice(start).to_batches(BATCH_ROWS))
        if self._data is not None:
            stream = pa.RecordBatchReader.from_stream(self._data)
        else:
            with self._lock:
                stream, self._reader = self._reader, None
            if stream is None:
                raise FailedPreconditionError(
                    f"the {self.kind} given to from_arrow has been read: it is a stream and "
                    "gives its rows once; give from_arrow a table (reader.read_all()), or put "
                    "cache() behind it"
                )
        return _from_row(stream, start)


def _from_row(stream: Any, start: int) -> Any:
    with stream:
        for batch in stream:
            if start >= batch.num_rows:
                start -= batch.num_rows
                continue
            rows, start = batch[start:], 0
            for k in range(0, rows.num_rows, BATCH_ROWS):
                yield rows[k : k + BATCH_ROWS]


class _TableReader:
    """Deals out the rows of an `ArrowStream`; the position is a row number."""

    def __init__(self, stream: ArrowStream, schema: Any, row: int):
        self._schema = schema
        self._kind = stream.kind
        self._batches = stream.batches(schema.names, row)
        self._row = row

    @property
    def position(self) -> list[int]:
        return [self._row]

    def read(self) -> Any:
        for batch in self._batches:
            if batch.num_rows:
                self._row += batch.num_rows
                return conform(batch, self._schema, self._kind)
        return None

    def close(self) -> None:
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()


@dataclasses.dataclass(frozen=True, eq=False)
class ArrowTableNode(ArrowSourceNode):
    """Rows of Arrow data."""

    stream: ArrowStream = dataclasses.field(repr=False, kw_only=True)
    label = "arrow"

    @property
    def _parts(self) -> tuple[str, ...]:
        return (f"the {self.stream.kind}",)

    def _what(self) -> str:
        return self.stream.kind

    def open_batches(self, part: str, position: list[int] | None) -> ArrowReader:
        """A reader of the rows from `position` on."""
        return _TableReader(self.stream, self.schema, (position or [0])[0])

    def sliced(self, part: slice) -> tuple[ArrowTableNode, slice | None] | None:
        """Those rows of a table, if they follow each other."""
        stream = self.stream.sliced(part)
        return None if stream is None else (dataclasses.replace(self, stream=stream), None)

    def _cardinality(self) -> int:
        rows = self.stream.num_rows
        return UNKNOWN if rows is None else rows
