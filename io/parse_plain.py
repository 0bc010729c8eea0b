"""The exact Example parser in plain Python: oracle, error reporter and start-up form.

It decides as TensorFlow's C++ fast parser does, byte for byte, including what that accepts of
malformed messages: a length that overruns is cut at its enclosing end, keys and values come in
either order, messages are merged, unknown fields are allowed in `Example` only, the last of
equal keys wins, a Feature is its first list only, a list is its first packed chunk only.
The kernel handles messages of the shape that serializers write and hands all others to
`parse_row`; it also makes TensorFlow's messages, which differ between `parse_example` and
`parse_single_example` (`single=True`).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from ..ops import dtypes
from ..ops.errors import InvalidArgumentError
from .parse_plan import DENSE, SEQUENCE, Column

__all__ = ["ParseError", "parse_row", "wire_kind"]

_KIND = {dtypes.string: 1, dtypes.float32: 2, dtypes.int64: 3}
_TYPE_NAME = {1: "string", 2: "float", 3: "int64"}
_LIST_NAME = {1: "bytes", 2: "float", 3: "int64"}
_MASK_64 = (1 << 64) - 1


class ParseError(InvalidArgumentError):
    """A record could not be parsed.

    Attributes:
        element_index: position of the record among those given to the parser.
    """

    def __init__(self, message: str, op: str | None = None, element_index: int = 0):
        super().__init__(message, op)
        self.element_index = element_index


def wire_kind(dtype: dtypes.DType) -> int:
    """Field number of the list for `dtype` in a Feature: 1 bytes, 2 floats, 3 int64s."""
    return _KIND[dtype]


class _Malformed(Exception):
    """The bytes are no such message."""


class _Stream:
    """protobuf's CodedInputStream over ``buffer[pos:limit]``."""

    __slots__ = ("buffer", "limit", "pos")

    def __init__(self, buffer: Any, pos: int, limit: int):
        self.buffer, self.pos, self.limit = buffer, pos, limit

    def varint(self) -> int:
        buffer, pos, limit = self.buffer, self.pos, self.limit
        value = shift = 0
        while pos < limit and shift < 70:
            byte = buffer[pos]
            pos += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.pos = pos
                return value & _MASK_64
            shift += 7
        raise _Malformed

    def length(self) -> int:
        return self.varint() & 0xFFFFFFFF

    def tag(self) -> int:
        """The next tag, 0 at the end."""
        if self.pos >= self.limit:
            return 0
        try:
            return self.length()
        except _Malformed:
            return 0

    def expect(self, tag: int) -> bool:
        """Step over the one-byte tag if it comes next."""
        if self.pos < self.limit and self.buffer[self.pos] == tag:
            self.pos += 1
            return True
        return False

    def enter(self, length: int) -> int:
        """Narrow the limit to a message of `length`; the old limit.  Overruns are ignored."""
        old = self.limit
        if length < 1 << 31:
            self.limit = min(old, self.pos + length)
        return old

    def span(self) -> tuple[int, int]:
        """Bounds of a length-delimited field's payload, stepping over it."""
        length = self.length()
        if length > self.limit - self.pos:
            raise _Malformed
        start = self.pos
        self.pos += length
        return start, self.pos

    def skip_field(self, tag: int) -> None:
        kind = tag & 7
        if kind == 0:
            self.varint()
        elif kind == 2:
            # An overrun ends the message; a negative length is not skipped at all.
            length = self.length()
            if length < 1 << 31:
                self.pos = min(self.pos + length, self.limit)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            if self.limit - self.pos < size:
                raise _Malformed
            self.pos += size
        else:
            raise _Malformed


def _entries(buffer: Any, start: int, end: int) -> list[tuple[bytes, int, int]]:
    """(key, bounds of its Feature) of each map entry, in order."""
    entries = []
    stream = _Stream(buffer, start, end)
    while stream.pos < end:
        if not stream.expect(0x0A):
            stream.skip_field(stream.tag())
            continue
        outer = stream.enter(stream.length())
        while stream.pos < stream.limit:
            if not stream.expect(0x0A):
                raise _Malformed
            features = stream.enter(stream.length())
            key = b""
            low = high = stream.pos
            for _ in range(2):
                tag = stream.tag()
                if tag == 0x0A:
                    a, b = stream.span()
                    key = bytes(buffer[a:b])
                elif tag == 0x12:
                    low, high = stream.span()
                else:
                    raise _Malformed
            if stream.pos != stream.limit:
                raise _Malformed
            stream.limit = features
            entries.append((key, low, high))
        stream.limit = outer
    return entries


def _strings(stream: _Stream, most: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    while stream.pos < stream.limit:
        if not stream.expect(0x0A):
            raise _Malformed
        spans.append(stream.span())
        if len(spans) > most:
            raise _Malformed
    return spans


def _floats(stream: _Stream, most: int) -> list[float]:
    buffer = stream.buffer
    if stream.expect(0x0A):
        length = stream.length()
        stream.enter(length)
        count = length // 4
        kept = min(count, most)
        if kept * 4 > stream.limit - stream.pos:
            raise _Malformed
        values = list(struct.unpack_from(f"<{kept}f", buffer, stream.pos))
        # Only the count of the others matters: it is in the error message.
        return values + [0.0] * (min(count, most + (1 << 20)) - kept)
    values = []
    while stream.pos < stream.limit:
        if not stream.expect(0x0D) or stream.limit - stream.pos < 4:
            raise _Malformed
        values.append(struct.unpack_from("<f", buffer, stream.pos)[0])
        stream.pos += 4
    return values


def _ints(stream: _Stream) -> list[int]:
    packed = stream.expect(0x0A)
    if packed:
        stream.enter(stream.length())
    values = []
    while stream.pos < stream.limit:
        if not packed and not stream.expect(0x08):
            raise _Malformed
        value = stream.varint()
        values.append(value - (1 << 64) if value >> 63 else value)
    return values


def _values(buffer: Any, low: int, high: int, kind: int, most: int) -> list[Any]:
    """The values of a Feature at ``buffer[low:high]``, bounds of them for strings."""
    stream = _Stream(buffer, low + 1, high)
    stream.enter(stream.length())
    if stream.pos == stream.limit:
        return []
    if kind == 1:
        return _strings(stream, most)
    return _floats(stream, most) if kind == 2 else _ints(stream)


def parse_row(
    buffer: Any,
    start: int,
    end: int,
    columns: Sequence[Column],
    by_key: dict[bytes, int],
    single: bool = False,
    index: int = 0,
    name: str = "<unknown>",
) -> list[list[Any] | None]:
    """The values of each column of the Example at ``buffer[start:end]``.

    Args:
        buffer: bytes-like.
        start: first byte of the message.
        end: one past its last byte.
        columns: what to read.
        by_key: position in `columns` of each key.
        single: word errors as `parse_single_example` does.
        index: the record's number, for messages.
        name: the record's name, for messages.

    Returns:
        A list per column: floats, ints, or (start, end) in `buffer` of strings; None where a
        feature is missing.

    Raises:
        ParseError: as TensorFlow raises InvalidArgumentError, with its message.
    """
    quick = _quick_row(bytes(buffer[start:end]), start, columns, by_key)
    if quick is not None:
        return quick
    try:
        entries = _entries(buffer, start, end)
    except _Malformed:
        shown = bytes(buffer[start : min(end, start + 256)]).decode("utf-8", "replace")
        if end - start > 256:
            shown += f"... ({end - start} bytes)"
        raise ParseError(
            f"Could not parse example input, value: '{shown}'", element_index=index
        ) from None
    found: list[list[Any] | None] = [None] * len(columns)
    visited: set[int] = set()
    for key, low, high in reversed(entries):
        at = by_key.get(key, -1)
        if at < 0:
            continue
        column = columns[at]
        kind = 0
        if low < high:
            kind = {0x0A: 1, 0x12: 2, 0x1A: 3}.get(buffer[low], -1)
            if kind < 0:
                raise ParseError("Unsupported datatype.", element_index=index)
        if kind == 0 and (single or column.kind in (DENSE, SEQUENCE)):
            continue
        if at in visited:
            continue
        visited.add(at)
        if kind:
            found[at] = _feature(buffer, low, high, kind, column, single, index, name)
    for column, values in zip(columns, found, strict=True):
        if values is None and column.kind == DENSE and column.default is None:
            prefix = "" if single else f"Name: {name}, "
            raise ParseError(
                f"{prefix}Feature: {column.key} (data type: {_TYPE_NAME[_KIND[column.dtype]]}) "
                "is required but could not be found.",
                element_index=index,
            )
    return found


def _quick_row(
    record: bytes, start: int, columns: Sequence[Column], by_key: dict[bytes, int]
) -> list[list[Any] | None] | None:
    """What `parse_row` returns, for a record as serializers write it; None for others.

    While kernels are being compiled this is the parser, so it is written for speed.
    """
    found: list[list[Any] | None] = [None] * len(columns)
    p, end = 0, len(record)
    try:
        while p < end:
            if record[p] != 0x0A:
                return None
            p, features_end = _quick_size(record, p + 1)
            if features_end > end:
                return None
            while p < features_end:
                if record[p] != 0x0A:
                    return None
                p, entry_end = _quick_size(record, p + 1)
                if entry_end > features_end or record[p] != 0x0A:
                    return None
                p, key_end = _quick_size(record, p + 1)
                if key_end >= entry_end or record[key_end] != 0x12:
                    return None
                at = by_key.get(record[p:key_end])
                p, value_end = _quick_size(record, key_end + 1)
                if value_end != entry_end:
                    return None
                if at is not None:
                    values = _quick_list(record, p, entry_end, start, columns[at])
                    if values is None or found[at] is not None:
                        return None
                    found[at] = values
                p = entry_end
    except (IndexError, struct.error):
        return None
    for column, values in zip(columns, found, strict=True):
        if column.kind == DENSE:
            if values is None:
                if column.default is None:
                    return None
            elif len(values) != column.size:
                return None
        elif column.kind == SEQUENCE and values:
            if not column.size or len(values) % column.size:
                return None
    return found


def _quick_size(record: bytes, p: int) -> tuple[int, int]:
    """(payload start, payload end) of the field whose length is at `p`."""
    size = record[p]
    p += 1
    if size >= 0x80:
        size &= 0x7F
        shift = 7
        while record[p] >= 0x80:
            size |= (record[p] & 0x7F) << shift
            shift += 7
            p += 1
        size |= record[p] << shift
        p += 1
        if shift > 28:
            raise IndexError
    return p, p + size


def _quick_list(
    record: bytes, p: int, end: int, start: int, column: Column
) -> list[Any] | None:
    kind = _KIND[column.dtype]
    if p == end or record[p] != kind << 3 | 2:
        return None
    p, stop = _quick_size(record, p + 1)
    if stop > end:
        return None
    values: list[Any] = []
    if p == stop:
        return values
    if record[p] != 0x0A:
        return None
    if kind == 1:
        while p < stop:
            if record[p] != 0x0A:
                return None
            low, p = _quick_size(record, p + 1)
            values.append((start + low, start + p))
        return values if p == stop else None
    p, packed_end = _quick_size(record, p + 1)
    if packed_end != stop:
        return None
    if kind == 2:
        return list(struct.unpack_from(f"<{(stop - p) // 4}f", record, p))
    value = shift = 0
    for byte in record[p:stop]:
        if byte >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            continue
        value |= byte << shift
        if shift >= 63:  # negative, or overlong
            if shift > 63 or byte > 1:
                return None
            if byte == 1:
                value -= 1 << 64
        values.append(value)
        value = shift = 0
    return values if shift == 0 else None


def _feature(
    buffer: Any,
    low: int,
    high: int,
    kind: int,
    column: Column,
    single: bool,
    index: int,
    name: str,
) -> list[Any]:
    key, want = column.key, _KIND[column.dtype]
    where = f"Key: {key}.  " if single else f"Name: {name}, Key: {key}, Index: {index}.  "
    dense = column.kind in (DENSE, SEQUENCE)
    if kind != want:
        got, wanted = _TYPE_NAME[kind], _TYPE_NAME[want]
        raise ParseError(
            f"{where}Data types don't match. "
            + (f"Data type: {got} but expected type: {wanted}" if dense
               else f"Expected type: {wanted}, Actual type: {got}"),
            element_index=index,
        )  # fmt: skip
    size = column.size
    most = size if column.kind == DENSE else 1 << 62
    listed = _LIST_NAME[kind]
    try:
        values = _values(buffer, low, high, kind, most)
    except _Malformed:
        step = f"Parsing {listed}_list failed"
        if kind == 1 and column.kind != DENSE:
            step = "Could not get num elements in bytes_list"
        detail = f": {step}." if single else "."
        raise ParseError(
            f"{where}Can't parse serialized Example{detail}", element_index=index
        ) from None
    if column.kind == DENSE and len(values) != size:
        shape = ",".join(map(str, column.shape))
        raise ParseError(
            f"{where}Can't parse serialized Example: Some {listed}_list slice was not parsed."
            if single
            else f"{where}Number of {listed} values != expected.  Values size: {len(values)} "
            f"but output shape: [{shape}]",
            element_index=index,
        )
    if column.kind == SEQUENCE and (len(values) % size if size else len(values)):
        shape = ",".join(["?", *map(str, column.shape)])
        raise ParseError(
            f"Error while parsing feature with key {key}: number of elements should be "
            f"divisible by {size}, found {len(values)} instead"
            if single
            else f"{where}Number of {listed} values is not a multiple of stride length. Saw "
            f"{len(values)} values but output shape is: [{shape}]",
            element_index=index,
        )
    return values
