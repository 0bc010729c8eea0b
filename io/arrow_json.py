"""Files of JSON lines as record batches: a JSON object per line, parsed by pyarrow.

The file is cut into chunks of whole lines.  The schema is that of the first chunk unless it is
given; keys that it lacks are ignored, keys missing in a line are null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops.errors import InvalidArgumentError
from .csv_chunks import TextChunks
from .csv_reader import RecordError

__all__ = ["JsonLinesReader", "json_schema"]

_FIRST_BYTES, _MOST_BYTES = 1 << 14, 1 << 18
_SCHEMA_BYTES = 1 << 20


def json_schema(path: str, compression: str = "") -> Any:
    """The schema that the first megabyte of a file suggests.

    Raises:
        InvalidArgumentError: it holds no lines of JSON objects.
    """
    chunks = TextChunks(path, compression)
    try:
        chunks.fill(_SCHEMA_BYTES)
        data = chunks.view().tobytes()
        if not data:
            chunks.check()
        if not chunks.final:
            data = data[: data.rfind(b"\n") + 1]
        if not data.strip():
            raise InvalidArgumentError(
                f"{path}: the first megabyte holds no line to learn the columns from; pass "
                "schema="
            )
        table = _parse(data, None)
        if isinstance(table, str):
            raise InvalidArgumentError(f"{path}: {table}")
        return table.schema
    finally:
        chunks.close()


def _parse(data: bytes, schema: Any) -> Any:
    """The table of some lines, or what is wrong with them."""
    import pyarrow as pa
    from pyarrow import json

    known = schema is not None
    if known and not len(schema):
        schema = pa.schema([("", pa.null())])  # rows are counted by some column
    options = json.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="ignore" if known else "infer"
    )
    reading = json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    try:
        return json.read_json(pa.BufferReader(data), reading, options)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        return str(error).splitlines()[0]


class JsonLinesReader:
    """Deals out the lines of a file.

    Args:
        path: of the file.
        schema: the columns to read and their types.
        compression: ``""``, ``"GZIP"`` or ``"ZLIB"``.
        position: byte offset and line number to begin at.
    """

    def __init__(self, path: str, schema: Any, compression: str = "",
                 position: Sequence[int] = (0, 1)):  # fmt: skip
        self._path = path
        self._schema = schema
        offset, self._line = position
        self._chunks = TextChunks(path, compression, offset)
        self._bytes = _FIRST_BYTES
        self._bad: str | None = None

    @property
    def position(self) -> list[int]:
        """Byte offset and line number of the next batch."""
        return [self._chunks.offset, self._line]

    def close(self) -> None:
        """Close the file."""
        self._chunks.close()

    def read(self) -> Any:
        """The next RecordBatch, or None at the end.

        Raises:
            RecordError: the next line cannot be read.
        """
        size = self._bytes
        while True:
            if self._bad is not None:
                self._raise_bad()
            self._chunks.fill(size)
            data = self._chunks.view().tobytes()
            whole = self._chunks.final and len(data) <= size
            cut = len(data) if whole else data.rfind(b"\n", 0, size) + 1
            if not cut:
                if self._chunks.at_end and len(data) <= size:
                    self._chunks.check()
                    return None
                size *= 2
                continue
            table = _parse(data[:cut], self._schema) if data[:cut].strip() else None
            if isinstance(table, str):
                cut, table = self._up_to_error(data[:cut])
            else:
                self._bytes = size = min(4 * self._bytes, _MOST_BYTES)
            self._use(cut)
            if table is not None and table.num_rows:
                batch = table.combine_chunks().to_batches()[0]
                return batch.select(self._schema.names)

    def _use(self, size_bytes: int) -> None:
        self._line += int(np.count_nonzero(self._chunks.view(size_bytes) == 10))
        self._chunks.advance(size_bytes)

    def _up_to_error(self, data: bytes) -> tuple[int, Any]:
        """How many bytes are lines before the first bad one, and their table."""
        lines = data.splitlines(keepends=True)
        good, bad, table = 0, len(lines), None  # the first `good` lines parse, `bad` do not
        while bad - good > 1:
            middle = (good + bad) // 2
            part = b"".join(lines[:middle])
            found = _parse(part, self._schema) if part.strip() else None
            if isinstance(found, str):
                bad = middle
            else:
                good, table = middle, found
        text = _parse(lines[good], self._schema)
        self._bad = text if isinstance(text, str) else "not a JSON object"
        self._bytes = _FIRST_BYTES
        return sum(map(len, lines[:good])), table

    def _raise_bad(self) -> None:
        error, self._bad = self._bad, None
        line, offset = self._line, self._chunks.offset
        end = self._chunks.view().tobytes().find(b"\n") + 1
        self._use(end or self._chunks.kept)
        raise RecordError(f"{error} [{self._path}, line {line}, byte {offset}]")
