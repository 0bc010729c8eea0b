"""Reading TFRecord files: `RecordReader` by chunks for the engine, `record_iterator` by record.

    reader = RecordReader(path, compression="GZIP")     # "" (default), "GZIP", "ZSTD"...
    while (chunk := reader.read_chunk(max_records=1000)) is not None:
        chunk                   # RecordChunk, a StringArray [n] of payloads, zero-copy
        chunk.describe(i)       # "record 17 at byte offset 13600 of 'a.tfrecord'"
    reader.position             # (records read, byte offset): where the next chunk begins
    RecordReader(path, offset=byte_offset, record=records_read)   # resumes there

A record is a little-endian u64 length, the masked CRC32C of those 8 bytes, the payload, and the
masked CRC32C of the payload.  Framing scan and CRC check run in one kernel without the GIL.
Records before a damaged one are returned first; the next call raises `DataLossError`, and so
does every later one.  A length field is believed only as far as the file goes: no memory is
taken for bytes that are not there.  A reader belongs to one thread at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from ..ops.errors import DataLossError, InvalidArgumentError, OpError
from ..ops.string_array import StringArray
from . import jit
from .crc32c import crc32c_ranges, mask
from .files import check_compression, looks_like, open_stream
from .jit import address
from .window import CHUNK_BYTES, Window

__all__ = ["RecordChunk", "RecordReader", "tf_record_iterator"]

_HEADER, _FRAME = 12, 16
COMPLETE, PARTIAL, BAD_LENGTH_CRC, BAD_DATA_CRC = 0, 1, 2, 3
_UNLIMITED = 1 << 62
_MOST_ORIGINS = 64


class _Origin(NamedTuple):
    """Where the payloads that begin in some stretch of a buffer came from.

    Attributes:
        path: the file.
        first_record: number in the file of the first record in `starts`.
        base: byte offset, in the decompressed file, of the first byte of the buffer it was
            read into.
        starts: where the payloads began in that buffer, in order.
        shift: how far they have moved since.
        low, high: the first and the last place of a payload in the stretch.
    """

    path: str
    first_record: int
    base: int
    starts: np.ndarray
    shift: int = 0
    low: int = 0
    high: int = _UNLIMITED


class RecordChunk(StringArray):
    """Records of files that know where they came from.

    A reader's chunks hold consecutive records of one file.  What is cut out of them, put in
    another order or shape, or joined, still knows: it is told by the payload's place in the
    buffer.
    """

    __slots__ = ("_origins",)

    def __init__(
        self, data: Any, starts: Any, ends: Any, path: str, first_record: int, base: int
    ):
        super().__init__(data, starts, ends)
        self._origins: tuple[_Origin, ...] = (_Origin(path, first_record, base, starts),)

    def describe(self, *index: int) -> str | None:
        """Where the element at `index`, a number per axis, is, for an error message."""
        start = int(self.starts[index])
        for origin in self._origins:
            k = int(np.searchsorted(origin.starts, start - origin.shift))
            if k == len(origin.starts) or not origin.low <= start <= origin.high:
                continue
            if origin.starts[k] == start - origin.shift:
                offset = origin.base + int(origin.starts[k]) - _HEADER
                record = origin.first_record + k
                return f"record {record} at byte offset {offset} of {origin.path!r}"
        return None

    def __getitem__(self, key: Any) -> StringArray:
        starts, ends = self.starts[key], self.ends[key]
        if type(key) is int:
            return StringArray(self.data, np.asarray(starts), np.asarray(ends))
        return self._known(np.asarray(starts), np.asarray(ends))

    def map_offsets(self, fn: Any) -> StringArray:
        """See `StringArray`."""
        return self._known(fn(self.starts), fn(self.ends))

    def _known(self, starts: np.ndarray, ends: np.ndarray) -> RecordChunk:
        return _chunk(self.data, starts, ends, self._origins)

    @staticmethod
    def join(chunks: Sequence[RecordChunk]) -> StringArray:
        """The elements of chunks that are not empty, one after the other."""
        whole = StringArray.concatenate(chunks)
        if whole.data is chunks[0].data:  # all are of one buffer, and nothing has moved
            origins = [o for o in {id(o): o for c in chunks for o in c._origins}.values()]
        else:
            origins, row = [], 0
            for chunk in chunks:
                starts = whole.starts[row : row + len(chunk)]
                row += len(chunk)
                moved = starts - chunk.starts
                if not chunk.size or (moved != moved.flat[0]).any():
                    continue  # its strings were copied one by one
                shift, low, high = int(moved.flat[0]), int(starts.min()), int(starts.max())
                origins += [
                    o._replace(shift=o.shift + shift, low=max(o.low + shift, low),
                               high=min(o.high + shift, high))
                    for o in chunk._origins
                ]  # fmt: skip
        if not origins or len(origins) > _MOST_ORIGINS:
            return whole
        return _chunk(whole.data, whole.starts, whole.ends, tuple(origins))

    def __reduce__(self) -> tuple[Any, ...]:
        return StringArray(self.data, self.starts, self.ends).__reduce__()


def _chunk(data: Any, starts: Any, ends: Any, origins: tuple[_Origin, ...]) -> RecordChunk:
    made = RecordChunk.__new__(RecordChunk)
    StringArray.__init__(made, data, starts, ends)
    made._origins = origins
    return made


class RecordReader:
    """Reads the records of one file in order, many at a time.

    Args:
        path: the file or URL; opened by the constructor.
        compression: ``""``, ``"GZIP"``, ``"ZLIB"``, ``"ZSTD"``, ``"SNAPPY"``, ``"LZ4"`` or
            ``"BZ2"``.
        offset: byte offset of a record in the decompressed file to begin at.
        record: number of the record at `offset`; only counted from, not checked.
        chunk_bytes: how much is read from the file at a time.

    Raises:
        NotFoundError: there is no such file.
        UnavailableError: a remote store does not answer.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        compression: str | None = "",
        offset: int = 0,
        record: int = 0,
        chunk_bytes: int = CHUNK_BYTES,
    ):
        if offset < 0 or record < 0:
            raise InvalidArgumentError(
                f"offset and record must not be negative, got {offset} and {record}"
            )
        self.path = os.fsdecode(os.fspath(path))
        self.compression = check_compression(compression)
        stream = open_stream(self.path, self.compression, offset)
        self._window = Window(stream, offset, chunk_bytes)
        self._record = int(record)
        self._error: OpError | None = None

    @property
    def position(self) -> tuple[int, int]:
        """(number, byte offset) of the record that the next chunk begins with."""
        return self._record, self._window.offset

    def read_chunk(
        self, max_records: int | None = None, max_bytes: int | None = None
    ) -> RecordChunk | None:
        """The next records, at least one; or None at the end of the file.

        Returns fewer than `max_records` where the bytes read so far hold fewer, so a caller
        that wants exactly n asks again.  `max_bytes` stops after the record that reaches it.

        Raises:
            DataLossError: the file is damaged, truncated, compressed otherwise, or none of
                the record kind at all.
            UnavailableError: a remote store stopped to answer.
        """
        if max_records is not None and max_records <= 0:
            raise InvalidArgumentError(f"max_records must be positive, got {max_records}")
        if max_bytes is not None and max_bytes <= 0:
            raise InvalidArgumentError(f"max_bytes must be positive, got {max_bytes}")
        if self._error is not None:
            raise self._error
        window = self._window
        while True:
            room = window.kept // _FRAME + 1
            count = room if max_records is None else min(room, max_records)
            starts, ends = np.empty(count, np.int64), np.empty(count, np.int64)
            buffer, base = window.buffer, window.base
            found, window.low, status, size = _scan(
                buffer, window.low, window.high, count, max_bytes or _UNLIMITED, starts, ends
            )
            if found:
                first = self._record
                self._record += found
                return RecordChunk(buffer, starts[:found], ends[:found], self.path, first, base)
            if status in (BAD_LENGTH_CRC, BAD_DATA_CRC):
                raise self._damaged(status)
            if window.ended:
                if isinstance(window.failure, DataLossError):
                    raise self._located(str(window.failure), "")
                if window.failure is not None:
                    self._error = window.failure
                    raise window.failure
                if not window.kept:
                    return None
                raise self._truncated(size)
            window.refill(size)

    def _damaged(self, status: int) -> DataLossError:
        window = self._window
        if status == BAD_DATA_CRC:
            what = f"corrupted record at {window.offset + _HEADER}"
            why = "the payload's CRC32C does not match: the file was damaged after writing. "
        else:
            what = f"corrupted record at {window.offset}"
            why = "the length field's CRC32C does not match"
            if window.offset == 0:
                what += " (Is this even a TFRecord file?)"
                first = window.buffer[window.low : window.low + 4].tobytes()
                hint = looks_like(first) or "check compression_type too"
                why += f"; {hint}" * (not self.compression)
            why += ". "
        return self._located(what, why)

    def _truncated(self, size: int) -> DataLossError:
        wanted = f"{size} bytes" if size else f"a header of {_HEADER} bytes"
        return self._located(
            f"truncated record at {self._window.offset}",
            f"{wanted} expected, the file ends after {self._window.kept}. ",
        )

    def _located(self, what: str, why: str) -> DataLossError:
        of = "decompressed file" if self.compression else "file"
        error = DataLossError(
            f"{what}: record {self._record} at byte offset {self._window.offset} of {of} "
            f"{self.path!r}: {why}Copy or write the file again, or leave it out."
        )
        self._error = error
        return error

    def close(self) -> None:
        """Close the file; chunks already returned stay valid."""
        self._window.close()

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def tf_record_iterator(path: str | os.PathLike[str], options: Any = None) -> Iterator[bytes]:
    """The payloads of a file's records, one `bytes` each.

    Args:
        path: the file.
        options: a `TFRecordOptions` or its `compression_type`.
    """
    compression = getattr(options, "compression_type", options)
    with RecordReader(path, compression) as reader:
        while (chunk := reader.read_chunk()) is not None:
            yield from chunk.numpy().tolist()


def _scan(
    data: np.ndarray,
    low: int,
    high: int,
    max_records: int,
    max_bytes: int,
    starts: np.ndarray,
    ends: np.ndarray,
) -> tuple[int, int, int, int]:
    """`frame_scan` by the kernel, or plainly while that is not compiled yet."""
    if high == low:
        return 0, low, COMPLETE, 0
    fast = jit.kernel("frame_scan")
    if fast is not None:
        result = np.empty(3, np.int64)
        found = fast(
            address(data), low, high, max_records, max_bytes,
            address(starts), address(ends), address(result),
        )  # fmt: skip
        return (found, *result.tolist())
    return plain_scan(data, low, high, max_records, max_bytes, starts, ends)


def plain_scan(
    data: np.ndarray,
    low: int,
    high: int,
    max_records: int,
    max_bytes: int,
    starts: np.ndarray,
    ends: np.ndarray,
) -> tuple[int, int, int, int]:
    """What the `frame_scan` kernel does, in NumPy; also its oracle in tests."""
    raw = memoryview(data)
    pos, stop, n = low, low + max_bytes, 0
    headers: list[int] = []
    status, size = COMPLETE, 0
    while n < max_records and pos < stop and status == COMPLETE:
        if high - pos < _HEADER:
            status = PARTIAL if high > pos else COMPLETE
            break
        length = int.from_bytes(raw[pos : pos + 8], "little")
        headers.append(pos)
        if length > high - pos - _FRAME:
            status, size = PARTIAL, min(length, 1 << 61) + _FRAME
            break
        starts[n], ends[n] = pos + _HEADER, pos + _HEADER + length
        pos += length + _FRAME
        n += 1
    at = np.array(headers, np.int64)
    good = _stored(data, at + 8) == mask(crc32c_ranges(data, at, at + 8))
    bad_header = int(np.argmin(good)) if not good.all() else len(at)
    n = min(n, bad_header)
    good = _stored(data, ends[:n]) == mask(crc32c_ranges(data, starts[:n], ends[:n]))
    if not good.all():
        n = int(np.argmin(good))
        at_bad = int(starts[n]) - _HEADER
        return n, at_bad, BAD_DATA_CRC, int(ends[n]) - at_bad + 4
    if bad_header < len(at):
        return n, int(at[n]), BAD_LENGTH_CRC, 0
    return n, pos, status, size


def _stored(data: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The u32 stored at each position."""
    return np.ascontiguousarray(data[at[:, None] + np.arange(4)]).view("<u4").reshape(-1)
