"""Writing TFRecord files: `TFRecordWriter` and `TFRecordOptions`.

A local file appears when the writer is made, grows as its buffer fills and is complete after
`close`, as with TensorFlow's writer; a remote one appears whole with `close`.  Uncompressed
files are byte for byte what TensorFlow writes.
"""

from __future__ import annotations

import os
import struct
import zlib
from types import TracebackType
from typing import Any

from ..ops.errors import FailedPreconditionError, InvalidArgumentError
from .compression import check_compression, check_level, compressor
from .crc32c import masked_crc32c
from .file_errors import file_error
from .filesystems import open_output

__all__ = ["TFRecordCompressionType", "TFRecordOptions", "TFRecordWriter"]

_BUFFER_BYTES = 1 << 18
_STRATEGIES = {
    "default": zlib.Z_DEFAULT_STRATEGY,
    "filtered": zlib.Z_FILTERED,
    "huffman_only": zlib.Z_HUFFMAN_ONLY,
    "rle": zlib.Z_RLE,
    "fixed": zlib.Z_FIXED,
}


class TFRecordCompressionType:
    """The type of compression of a record file."""

    NONE = 0
    ZLIB = 1
    GZIP = 2


class TFRecordOptions:
    """How a record file is written; arguments are TensorFlow's, None meaning the default.

    Args:
        compression_type: ``""``, ``"GZIP"``, ``"ZLIB"``, or ``"SNAPPY"``, which TensorFlow
            reads too; ``"ZSTD"``, ``"LZ4"``, ``"BZ2"``; or a `TFRecordCompressionType`.
        flush_mode: ignored; zlib chooses by `flush()` and `close()`.
        input_buffer_size: ignored.
        output_buffer_size: bytes gathered before they are written to the file.
        window_bits: base-two logarithm of zlib's window, 8 to 15.
        compression_level: 0 (none) to 9 (smallest), up to 22 for ZSTD and 12 for LZ4; -1 is
            the default, 6 for zlib.
        compression_method: only 8 (deflate).
        mem_level: 1 to 9, zlib's memory use.
        compression_strategy: a ``zlib.Z_*`` number or its name, e.g. ``"rle"``.

    Raises:
        InvalidArgumentError: a value out of range.
    """

    compression_type_map = {
        TFRecordCompressionType.ZLIB: "ZLIB",
        TFRecordCompressionType.GZIP: "GZIP",
        TFRecordCompressionType.NONE: "",
    }

    def __init__(
        self,
        compression_type: Any = None,
        flush_mode: int | None = None,
        input_buffer_size: int | None = None,
        output_buffer_size: int | None = None,
        window_bits: int | None = None,
        compression_level: int | None = None,
        compression_method: int | None = None,
        mem_level: int | None = None,
        compression_strategy: int | str | None = None,
    ):
        self.compression_type = self.get_compression_type_string(compression_type)
        self.flush_mode = flush_mode
        self.input_buffer_size = input_buffer_size
        self.output_buffer_size = output_buffer_size
        self.window_bits = _between("window_bits", window_bits, 8, 15)
        self.compression_level = check_level(self.compression_type, compression_level)
        self.compression_method = _between("compression_method", compression_method, 8, 8)
        self.mem_level = _between("mem_level", mem_level, 1, 9)
        if isinstance(compression_strategy, str):
            if compression_strategy not in _STRATEGIES:
                raise InvalidArgumentError(
                    f"compression_strategy must be one of {sorted(_STRATEGIES)}, "
                    f"got {compression_strategy!r}"
                )
            compression_strategy = _STRATEGIES[compression_strategy]
        self.compression_strategy = _between("compression_strategy", compression_strategy, 0, 4)

    @classmethod
    def get_compression_type_string(cls, options: Any) -> str:
        """The name of the compression from any accepted form; ``""`` is none.

        Args:
            options: None, a string, a `TFRecordCompressionType` or a `TFRecordOptions`.

        Raises:
            InvalidArgumentError: it names no compression.
        """
        if isinstance(options, TFRecordOptions):
            return options.compression_type
        if isinstance(options, int) and options in cls.compression_type_map:
            return cls.compression_type_map[options]
        return check_compression(options)

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if v is not None)
        return f"TFRecordOptions({given})"


class TFRecordWriter:
    """Writes records to one file.

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "numbers.tfrecord")
    >>> with TFRecordWriter(path) as writer:
    ...     writer.write(b"one")
    >>> os.path.getsize(path)
    19

    Args:
        path: the file or URL, replaced if it exists.
        options: a `TFRecordOptions` or a compression type.

    Raises:
        NotFoundError: the folder or bucket does not exist.
        PermissionDeniedError: the file may not be written.
    """

    def __init__(self, path: str | os.PathLike[str], options: Any = None):
        if not isinstance(options, TFRecordOptions):
            options = TFRecordOptions(compression_type=options)
        self._path = os.fsdecode(os.fspath(path))
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._limit = options.output_buffer_size or _BUFFER_BYTES
        self._compressor: Any = None
        if options.compression_type:
            self._compressor = compressor(
                options.compression_type, options.compression_level, options.window_bits,
                options.mem_level, options.compression_strategy,
            )  # fmt: skip
        self._file: Any = open_output(self._path)

    def write(self, record: bytes | str) -> None:
        """Append one record.

        Raises:
            TypeError: `record` is no bytes.
            FailedPreconditionError: the writer is closed.
        """
        if isinstance(record, str):
            record = record.encode("utf-8")
        elif not isinstance(record, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"record must be bytes, got {type(record).__name__}: call SerializeToString() "
                "on a message, or numpy() on a tensor"
            )
        self._check_open()
        record = bytes(record)
        length = struct.pack("<Q", len(record))
        frame = (length, struct.pack("<I", masked_crc32c(length)), record,
                 struct.pack("<I", masked_crc32c(record)))  # fmt: skip
        if self._compressor is None:
            self._pending += frame
            self._pending_bytes += len(record) + 16
        else:
            self._compress(b"".join(frame))
        if self._pending_bytes >= self._limit:
            self._drain()

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._check_open()
        if self._compressor is not None:
            self._append(self._compressor.flush())
        self._drain()
        self._file.flush()

    def close(self) -> None:
        """Finish the file; harmless when repeated."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            if self._compressor is not None:
                self._append(self._compressor.finish())
            self._drain(file)
        finally:
            file.close()

    def _compress(self, data: bytes) -> None:
        self._append(self._compressor.compress(data))

    def _append(self, data: bytes) -> None:
        if data:
            self._pending.append(data)
            self._pending_bytes += len(data)

    def _drain(self, file: Any = None) -> None:
        data = memoryview(b"".join(self._pending))
        self._pending, self._pending_bytes = [], 0
        try:
            while data:
                data = data[(file or self._file).write(data) :]
        except OSError as error:
            raise file_error(error, self._path) from None

    def _check_open(self) -> None:
        if self._file is None:
            raise FailedPreconditionError(
                f"Writer of {self._path!r} is closed: make a new TFRecordWriter"
            )

    def __enter__(self) -> TFRecordWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # An abandoned writer still leaves whole records behind, as TensorFlow's does.
        if getattr(self, "_file", None) is not None:
            self.close()


def _between(name: str, value: int | None, low: int, high: int) -> int | None:
    if value is not None and not low <= value <= high:
        raise InvalidArgumentError(f"{name} must be from {low} to {high}, got {value}")
    return value
