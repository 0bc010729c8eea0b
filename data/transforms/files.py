"""Sources that read files: records of TFRecord files, lines of text, records of fixed length.

One stage reads any list of files through a small reader protocol; its state is a file's number
and the byte offset and number of the next record in it.
"""

from __future__ import annotations

import dataclasses
import os
from abc import abstractmethod
from typing import Any, Protocol

import numpy as np

from ...io.files import open_stream
from ...io.text_lines import LineReader
from ...io.tfrecord import RecordReader
from ...ops import dtypes
from ...ops.errors import InvalidArgumentError
from ...ops.string_array import StringArray
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..failures import Failures
from ..node import Node
from ..stage import Context, Stage, State

__all__ = ["FilesNode", "FixedLengthRecordNode", "Reader", "TFRecordNode", "TextLineNode"]


class Reader(Protocol):
    """What opens one file and deals out its records."""

    def read_chunk(self, max_records: int) -> StringArray | None:
        """The next 1 to `max_records` records, or None at the end."""

    @property
    def position(self) -> tuple[int, int]:
        """Number and byte offset of the record the next chunk begins with."""

    def close(self) -> None:
        """Close the file."""


@dataclasses.dataclass(frozen=True, eq=False)
class FilesNode(Node):
    """Scalar byte strings from `files`, one file after the other.

    Attributes:
        files: paths.
        compression_type: ``""``, ``"GZIP"`` or ``"ZLIB"``.
    """

    files: tuple[str, ...]
    compression_type: str = ""
    reads_files = True
    own_failures = Failures.ON_DATA

    @abstractmethod
    def open(self, path: str, record: int, offset: int) -> Reader:
        """A reader of the file at `path` that begins at the given position."""

    def _element_spec(self) -> Any:
        return TensorSpec([], dtypes.string)

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _FilesStage(self, inputs, context)

    def describe(self) -> str:
        """The label, the number of files and the first."""
        first = f"{os.path.basename(self.files[0])}" if self.files else ""
        more = f", ... {len(self.files)} files" if len(self.files) > 1 else ""
        return f"{self.label}({first}{more})"


@dataclasses.dataclass(frozen=True, eq=False)
class TFRecordNode(FilesNode):
    """Payloads of the records of TFRecord files."""

    label = "tf_record"

    def open(self, path: str, record: int, offset: int) -> Reader:
        """A `RecordReader`."""
        return RecordReader(path, self.compression_type, offset, record)


@dataclasses.dataclass(frozen=True, eq=False)
class TextLineNode(FilesNode):
    """Lines of text files, without their ends."""

    label = "text_line"

    def open(self, path: str, record: int, offset: int) -> Reader:
        """A `LineReader`."""
        return LineReader(path, self.compression_type, offset, record)


@dataclasses.dataclass(frozen=True, eq=False)
class FixedLengthRecordNode(FilesNode):
    """Records of `record_bytes` bytes between a header and a footer."""

    record_bytes: int = 1
    header_bytes: int = 0
    footer_bytes: int = 0
    label = "fixed_length_record"

    def open(self, path: str, record: int, offset: int) -> Reader:
        """A `FixedLengthReader`."""
        return FixedLengthReader(
            path, self.record_bytes, self.header_bytes, self.footer_bytes,
            self.compression_type, offset, record,
        )  # fmt: skip


class FixedLengthReader:
    """Deals out the records of one file.

    Raises:
        InvalidArgumentError: what lies between header and footer is no whole number of records.
    """

    def __init__(
        self, path: str, record_bytes: int, header_bytes: int, footer_bytes: int,
        compression: str, offset: int, record: int,
    ):  # fmt: skip
        self._size = record_bytes
        self._header = header_bytes
        stream = open_stream(path, compression)
        try:
            if stream.size is None:
                size = _count_bytes(stream)
            else:
                size = stream.size
            body = size - header_bytes - footer_bytes
            if body < 0 or body % record_bytes:
                raise InvalidArgumentError(
                    f"Excess bytes of {max(body, 0) % record_bytes} in {path}: between a "
                    f"header of {header_bytes} and a footer of {footer_bytes} bytes it has "
                    f"{body} bytes, which is no multiple of record_bytes={record_bytes}."
                )
            self._records = body // record_bytes
        finally:
            stream.close()
        self._record = record
        self._stream = open_stream(path, compression, header_bytes + record * record_bytes)

    @property
    def position(self) -> tuple[int, int]:
        """Number and byte offset of the next record."""
        return self._record, self._header + self._record * self._size

    def read_chunk(self, max_records: int) -> StringArray | None:
        """The next records, up to about a megabyte."""
        n = min(max_records, self._records - self._record, max(1, (1 << 20) // self._size))
        if n <= 0:
            return None
        data = np.empty(n * self._size, np.uint8)
        _read_full(self._stream, data)
        self._record += n
        return StringArray.from_offsets(data, np.arange(n + 1) * self._size)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _count_bytes(stream: Any) -> int:
    """The number of bytes of a stream that does not know its size."""
    buffer = np.empty(1 << 18, np.uint8)
    total = 0
    while got := _read_full(stream, buffer):
        total += got
    return total


def _read_full(stream: Any, buffer: np.ndarray) -> int:
    """Fill `buffer` as far as the stream goes; how many bytes came."""
    view = memoryview(buffer)
    done = 0
    while done < len(view) and (got := stream.readinto(view[done:])):
        done += got
    return done


class _FilesStage(Stage):
    node: FilesNode

    def __init__(self, node: FilesNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._reader: Reader | None = None
        self._file = 0
        self._start = (0, 0)

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        files = self.node.files
        while self._file < len(files):
            if self._reader is None:
                record, offset = self._start
                try:
                    self._reader = self.node.open(files[self._file], record, offset)
                except Exception:
                    self._next_file()  # the rest goes on behind the file that cannot be read
                    raise
            try:
                chunk = self._reader.read_chunk(max_rows)
            except Exception:
                self._next_file()
                raise
            if chunk is not None:
                return Block([chunk], len(chunk), self.structure)
            self._next_file()
        return None

    def _next_file(self) -> None:
        self._close()
        self._file += 1
        self._start = (0, 0)

    def _state(self) -> State:
        record, offset = self._reader.position if self._reader is not None else self._start
        return {"file": self._file, "record": record, "offset": offset}

    def _restore(self, state: State) -> None:
        self._close()
        self._file = state["file"]
        self._start = (state["record"], state["offset"])

    def _restart(self) -> None:
        self._close()
        self._file = 0
        self._start = (0, 0)

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
