"""The exact SequenceExample parser in plain Python: oracle, error reporter, start-up form.

It decides as TensorFlow's C++ parser does.  That one differs from the parser of Examples: keys
come before values, any malformed list counts as one of another type, and the lengths of context
features are compared over the whole batch before a single record is looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from .parse_plain import _TYPE_NAME, ParseError, _Malformed, _Stream, wire_kind
from .parse_plan import DENSE, SEQUENCE, Column

__all__ = ["parse_sequences"]

Spans = dict[int, tuple[int, int]]


def parse_sequences(
    buffer: Any,
    bounds: Sequence[tuple[int, int]],
    context: Sequence[Column],
    lists: Sequence[Column],
    names: Sequence[str],
) -> tuple[list[list[Any]], list[list[Any]]]:
    """The values of each column in each SequenceExample.

    Args:
        buffer: bytes-like.
        bounds: first byte and one past the last byte of each message.
        context: columns of the context.
        lists: columns of the feature lists.
        names: the records' names, for messages.

    Returns:
        For each context column, a list of values per record (None where it is missing); for
        each list column, a list of steps per record, each a list of values.  Strings are
        (start, end) in `buffer`.

    Raises:
        ParseError: as TensorFlow raises InvalidArgumentError, with its message.
    """
    found = [
        _spans(buffer, *bound, context, lists, names[row], row)
        for row, bound in enumerate(bounds)
    ]
    context_values = []
    for at, column in enumerate(context):
        rows: list[Any] = []
        for row, (spans, _) in enumerate(found):
            span = spans.get(at)
            values = [] if span is None or span[0] == span[1] else _context_values(
                buffer, *span, column, names[row], row
            )  # fmt: skip
            rows.append(None if span is None else values)
        context_values.append(rows)
    list_values = []
    for at, column in enumerate(lists):
        steps = [
            None if at not in spans else _steps(buffer, *spans[at], column, names[row], row)
            for row, (_, spans) in enumerate(found)
        ]
        list_values.append(steps)
    for column, rows in zip(context, context_values, strict=True):
        if column.kind == DENSE:
            _check_context(column, rows, names)
    for column, rows in zip(lists, list_values, strict=True):
        if column.kind == SEQUENCE:
            _check_list(column, rows, names)
    return context_values, [[steps or [] for steps in rows] for rows in list_values]


def _spans(
    buffer: Any,
    start: int,
    end: int,
    context: Sequence[Column],
    lists: Sequence[Column],
    name: str,
    row: int,
) -> tuple[Spans, Spans]:
    """Bounds of the Feature of each context column and of the FeatureList of each list."""
    places = [
        {c.key.encode(): i for i, c in enumerate(columns)} for columns in (context, lists)
    ]
    found: tuple[Spans, Spans] = ({}, {})
    stream = _Stream(buffer, start, end)
    try:
        while stream.pos < end:
            which = 0 if stream.expect(0x0A) else 1 if stream.expect(0x12) else -1
            if which < 0:
                stream.skip_field(stream.tag())
                continue
            outer = stream.enter(stream.length())
            while stream.pos < stream.limit:
                if not stream.expect(0x0A):
                    raise _Malformed
                entry = stream.enter(stream.length())
                if not stream.expect(0x0A):
                    raise _Malformed
                low, high = stream.span()
                if not stream.expect(0x12):
                    raise _Malformed
                at = places[which].get(bytes(buffer[low:high]))
                value = stream.span()
                if stream.pos != stream.limit:
                    raise _Malformed
                stream.limit = entry
                if at is not None:
                    found[which][at] = value
            stream.limit = outer
    except _Malformed:
        raise ParseError(
            f"Invalid protocol message input, example id: {name}", element_index=row
        ) from None
    return found


def _list_values(stream: _Stream, kind: int) -> list[Any]:
    """The values of the list that comes next, which must be of `kind`."""
    if not stream.expect(kind << 3 | 2):
        raise _Malformed
    outer = stream.enter(stream.length())
    values: list[Any] = []
    if stream.pos < stream.limit:
        if kind == 1:
            while stream.pos < stream.limit:
                if not stream.expect(0x0A):
                    raise _Malformed
                values.append(stream.span())
        else:
            packed = stream.expect(0x0A)
            inner = stream.enter(stream.length()) if packed else stream.limit
            while stream.pos < stream.limit:
                if not packed and not stream.expect(0x0D if kind == 2 else 0x08):
                    raise _Malformed
                values.append(_float(stream) if kind == 2 else _int(stream))
            stream.limit = inner
    stream.limit = outer
    return values


def _float(stream: _Stream) -> float:
    if stream.limit - stream.pos < 4:
        raise _Malformed
    (value,) = struct.unpack_from("<f", stream.buffer, stream.pos)
    stream.pos += 4
    return float(value)


def _int(stream: _Stream) -> int:
    value = stream.varint()
    return value - (1 << 64) if value >> 63 else value


def _context_values(
    buffer: Any, low: int, high: int, column: Column, name: str, row: int
) -> list[Any]:
    kind = wire_kind(column.dtype)
    try:
        return _list_values(_Stream(buffer, low, high), kind)
    except _Malformed:
        raise ParseError(
            f"Name: {name}, Context feature: {column.key}.  Data types don't match. "
            f"Expected type: {_TYPE_NAME[kind]}",
            element_index=row,
        ) from None


def _steps(
    buffer: Any, low: int, high: int, column: Column, name: str, row: int
) -> list[list[Any]]:
    kind = wire_kind(column.dtype)
    stream = _Stream(buffer, low, high)
    steps: list[list[Any]] = []
    while stream.pos < high:
        try:
            if not stream.expect(0x0A):
                raise _Malformed
            size = stream.length()
            if size == 1:
                raise _Malformed
        except _Malformed:
            raise ParseError(
                f"Error in sequence feature {column.key} in example {name}", element_index=row
            ) from None
        if size == 0:
            steps.append([])
            continue
        outer = stream.enter(size)
        try:
            steps.append(_list_values(stream, kind))
        except _Malformed:
            raise ParseError(
                f"Name: {name}, Feature list: {column.key}, Index: {len(steps)}.  Data types "
                f"don't match. Expected type: {_TYPE_NAME[kind]}",
                element_index=row,
            ) from None
        stream.limit = outer
    return steps


def _check_context(column: Column, rows: list[Any], names: Sequence[str]) -> None:
    """The lengths of a dense context feature, over the batch."""
    lengths = [len(values or ()) for values in rows]
    longest = max(lengths, default=0)
    if column.default is not None:
        longest = max(longest, len(column.default))
    if rows and longest != column.size:
        wrong = next(i for i, n in enumerate(lengths) if n == max(lengths))
        raise ParseError(
            f"Inconsistent max number of elements for feature {column.key}: expected "
            f"{column.size}, but found {longest}",
            element_index=wrong,
        )
    for row, values in enumerate(rows):
        if values is None:
            if column.default is None:
                kind = _TYPE_NAME[wire_kind(column.dtype)]
                raise ParseError(
                    f"Feature: {column.key} (data type: {kind}) is required but could not be "
                    "found.",
                    element_index=row,
                )
        elif len(values) != column.size:
            raise ParseError(
                f"Unexpected number of elements in example {names[row]}", element_index=row
            )


def _check_list(column: Column, rows: list[Any], names: Sequence[str]) -> None:
    """The lengths of the steps of a dense feature list, over the batch."""
    totals = [sum(map(len, steps or ())) for steps in rows]
    longest = max(totals, default=0)
    shape = ",".join(map(str, column.shape))
    if longest % column.size if column.size else longest:
        full = ",".join(["?", *map(str, column.shape)])
        raise ParseError(
            f"Feature list '{column.key}' has an unexpected number of values.  Total values "
            f"size: {longest} is not consistent with output shape: [{full}]",
            element_index=totals.index(longest),
        )
    for row, steps in enumerate(rows):
        if steps is None and column.default is None:
            raise ParseError(
                f"Name: {names[row]}, Feature list '{column.key}' is required but could not be "
                "found.  Did you mean to include it in "
                "feature_list_dense_missing_assumed_empty or feature_list_dense_defaults?",
                element_index=row,
            )
        for index, values in enumerate(steps or ()):
            if len(values) != column.size:
                raise ParseError(
                    f"Name: {names[row]}, Key: {column.key}, Index: {index}.  Number of values "
                    f"!= expected.  values size: {len(values)} but output shape: [{shape}]",
                    element_index=row,
                )
