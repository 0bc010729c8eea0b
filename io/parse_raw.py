"""Serialized Examples to raw columns, without tensors.

    plan = ParsePlan.from_features(features)
    columns = parse_raw(chunk, plan)            # chunk: StringArray [n], e.g. a RecordChunk
    for column, value in zip(plan.columns, columns): ...

`value` is for a column of kind

- `DENSE`: an array or StringArray of shape [n, *column.shape];
- `SEQUENCE`: ``(values [total, *column.shape], row_splits [n + 1])``;
- `VARLEN`: ``(values [total], row_splits [n + 1])``.

Splits are int64; strings are views into the chunk's bytes.  A record that cannot be parsed
raises `ParseError` (an InvalidArgumentError) whose `element_index` is its position: the
records before it are good, and ``parse_raw(chunk[:element_index], plan)`` gives them.

The work is done by the kernel of `headrace.io.parse_kernel`, without the GIL, from any number
of threads; until that is compiled, and for unusual records, by `headrace.io.parse_plain`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.string_array import StringArray
from . import jit
from .jit import address
from .parse_plain import ParseError, parse_row, wire_kind
from .parse_plan import DENSE, SEQUENCE, Column, ParsePlan

__all__ = ["ParseError", "join_lists", "parse_raw", "plan_tables", "read_lists"]

# Fields of the kernel's table; repeated here because importing the kernel imports numba.
_KEY, _KEY_SIZE, _KIND, _WANT, _DEFAULT, _OUT_A, _OUT_B, _OUT_C, _FIELDS = range(9)
_STRING_DEFAULT = 1
_PREDICTED, _HINT_BYTES = 512, 88
_LINE = 64


def parse_raw(
    serialized: StringArray, plan: ParsePlan, single: bool = False, names: Any = None
) -> list[Any]:
    """The plan's columns, parsed from `serialized`.

    Args:
        serialized: StringArray [n] of Example messages.
        plan: what to read.
        single: treat each record as `parse_single_example` does (it differs from
            `parse_example` in messages and in rare malformed records).
        names: bytes or str [n], names of the records for error messages.

    Raises:
        ParseError: a record cannot be parsed; the first such one.
    """
    n = len(serialized)
    tables = plan_tables(plan)
    rows = _Rows(serialized, plan, tables, single, names)
    kernels = jit.kernels("parse_examples", "fill_slots", "fill_lists")
    if kernels is None or not n:
        return [_from_lists(rows, i, rows.all(), serialized) for i in range(len(plan.columns))]
    starts = np.ascontiguousarray(serialized.starts, np.int64)
    ends = np.ascontiguousarray(serialized.ends, np.int64)
    data = np.ascontiguousarray(serialized.data)
    base = address(data)
    table = tables.table.copy()
    outs = _allocate(plan.columns, n, table, tables.scalars)
    unusual = np.empty(n, np.uint8)
    slots = tables.slots()
    scratch = np.empty(len(table) + _PREDICTED * _HINT_BYTES // 8, np.int64)
    left = kernels[0](
        base, data.size, n, address(starts), address(ends), address(table), len(table),
        address(slots), slots.size, address(unusual), address(scratch),
    )  # fmt: skip
    for column, out in zip(plan.columns, outs, strict=True):
        if column.kind == SEQUENCE and column.size != 1:
            uneven = out[2] % column.size != 0 if column.size else out[2] != 0
            if uneven.any():
                left += 1
                unusual |= uneven
    exact = {r: rows.parse(r) for r in np.flatnonzero(unusual).tolist()} if left else {}
    for i in range(len(outs)) if exact else tables.to_finish:
        outs[i] = _finish(plan.columns[i], i, outs[i], data, exact)
    return outs


class Tables:
    """What the kernel needs to know of a plan; made once per plan."""

    def __init__(self, plan: ParsePlan):
        columns = plan.columns
        keys = [c.key.encode() for c in columns]
        self.by_key = {k: i for i, k in enumerate(keys)}
        self.table = np.zeros((len(columns), _FIELDS), np.int64)
        self.scalars = _scalars(columns)
        # Columns whose outputs are no results yet: of strings and lists.
        self.to_finish = [
            i for i, c in enumerate(columns) if c.kind != DENSE or c.dtype is dtypes.string
        ]
        self._keys = np.frombuffer(b"".join(keys) + b"\0", np.uint8)
        self._defaults: list[np.ndarray] = []
        at = address(self._keys)
        for row, column, key in zip(self.table, columns, keys, strict=True):
            row[_KEY], row[_KEY_SIZE] = at, len(key)
            row[_KIND] = wire_kind(column.dtype)
            row[_WANT] = column.size if column.kind == DENSE else -1
            at += len(key)
            if column.kind == DENSE and column.default is not None:
                if column.dtype is dtypes.string:
                    row[_DEFAULT] = _STRING_DEFAULT
                else:
                    # Never empty, so that its address is never 0.
                    default = np.array([*column.default, 0], column.dtype.np_dtype)
                    self._defaults.append(default)
                    row[_DEFAULT] = address(default)
        self._slots: np.ndarray | None = None

    def slots(self) -> np.ndarray:
        """The kernel's hash table over the keys; only once kernels are compiled."""
        if self._slots is None:
            size = 8
            while size < 4 * len(self.table):
                size *= 2
            slots = np.full(size, -1, np.int32)
            fill = jit.kernel("fill_slots")
            assert fill is not None
            fill(address(self.table), len(self.table), address(slots), size)
            self._slots = slots
        return self._slots


@functools.lru_cache(256)
def plan_tables(plan: ParsePlan) -> Tables:
    """The plan's tables, made once."""
    return Tables(plan)


class _Rows:
    """Rows by the exact parser."""

    def __init__(
        self, serialized: StringArray, plan: ParsePlan, tables: Tables, single: bool, names: Any
    ):
        self._serialized, self._plan, self._tables = serialized, plan, tables
        self._single, self._names = single, names
        self._buffer = memoryview(np.ascontiguousarray(serialized.data))
        self._all: list[list[Any]] | None = None

    def parse(self, row: int) -> list[Any]:
        name = "<unknown>"
        if self._names is not None and len(self._names):
            given = self._names[row]
            name = given.decode("utf-8", "replace") if isinstance(given, bytes) else str(given)
        return parse_row(
            self._buffer,
            int(self._serialized.starts[row]),
            int(self._serialized.ends[row]),
            self._plan.columns,
            self._tables.by_key,
            self._single,
            row,
            name,
        )

    def all(self) -> list[list[Any]]:
        if self._all is None:
            self._all = [self.parse(r) for r in range(len(self._serialized))]
        return self._all


def _scalars(columns: Sequence[Column]) -> list[tuple[np.dtype[Any], np.ndarray]]:
    """Positions of the dense columns of one number per record, by dtype."""
    found: dict[np.dtype[Any], list[int]] = {}
    for i, column in enumerate(columns):
        if column.kind == DENSE and not column.shape and column.dtype is not dtypes.string:
            found.setdefault(column.dtype.np_dtype, []).append(i)
    return [(dtype, np.array(positions)) for dtype, positions in found.items()]


def _allocate(
    columns: Sequence[Column],
    n: int,
    table: np.ndarray,
    scalars: list[tuple[np.dtype[Any], np.ndarray]],
) -> list[Any]:
    """Output arrays of the columns, their addresses put into the table.

    Scalars of one dtype share an allocation: click logs have dozens of them, and making an
    array and asking for its address takes a microsecond.
    """
    outs: list[Any] = [None] * len(columns)
    for dtype, positions in scalars:
        # An odd number of cache lines apart: the kernel writes to all of them in turn, and at
        # powers of two they would evict each other.
        stride = (-(-n * dtype.itemsize // _LINE) | 1) * _LINE
        together = np.empty((len(positions), stride // dtype.itemsize), dtype)
        table[positions, _OUT_A] = address(together) + stride * np.arange(len(positions))
        for i, out in zip(positions.tolist(), together[:, :n], strict=True):
            outs[i] = out
    for i, column in enumerate(columns):
        if outs[i] is None:
            outs[i] = _allocate_one(column, n, table[i])
    return outs


def _allocate_one(column: Column, n: int, row: np.ndarray) -> Any:
    """Output arrays of a column, their addresses put into its row of the table."""
    if column.kind != DENSE:
        bounds = np.empty((3, n), np.int64)
        at = address(bounds)
        row[_OUT_A], row[_OUT_B], row[_OUT_C] = at, at + 8 * n, at + 16 * n
        return bounds
    shape = (n, *column.shape)
    if column.dtype is dtypes.string:
        starts, ends = np.empty(shape, np.int64), np.empty(shape, np.int64)
        row[_OUT_A], row[_OUT_B] = address(starts), address(ends)
        return starts, ends
    out = np.empty(shape, column.dtype.np_dtype)
    row[_OUT_A] = address(out)
    return out


def _finish(
    column: Column,
    i: int,
    out: Any,
    data: np.ndarray,
    exact: dict[int, list[Any]],
) -> Any:
    """The column's result from what the kernel left, with the exactly parsed rows put in."""
    if column.kind == DENSE:
        for row, values in exact.items():
            _put_dense(column, out, row, values[i])
        if column.dtype is not dtypes.string:
            return out
        return _with_default(column, data, *out)
    lows, highs, counts = out
    for row, values in exact.items():
        counts[row] = len(values[i] or ())
    splits, flat = read_lists(column, data, lows, highs, counts)
    for row, values in exact.items():
        part = slice(splits[row], splits[row + 1])
        if column.dtype is dtypes.string:
            bounds = np.array(values[i] or [], np.int64).reshape(-1, 2)
            flat.starts[part], flat.ends[part] = bounds[:, 0], bounds[:, 1]
        else:
            flat[part] = values[i] or []
    return _as_lists(column, flat, splits)


def read_lists(
    column: Column, data: np.ndarray, lows: np.ndarray, highs: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, Any]:
    """(splits, values) of lists whose contents' addresses and counts kernels have found.

    The values of a list without contents (low = high) are left undefined.
    """
    splits = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=splits[1:])
    fill = jit.kernel("fill_lists")
    assert fill is not None
    total = int(splits[-1])
    kind, base, rows = wire_kind(column.dtype), address(data), len(counts)
    lists = address(lows), address(highs), address(splits)
    if column.dtype is dtypes.string:
        starts, ends = np.zeros(total, np.int64), np.zeros(total, np.int64)
        fill(kind, base, rows, *lists, address(starts), address(ends))
        return splits, StringArray(data, starts, ends)
    flat = np.empty(total, column.dtype.np_dtype)
    fill(kind, base, rows, *lists, address(flat), 0)
    return splits, flat


def _put_dense(column: Column, out: Any, row: int, values: list[Any] | None) -> None:
    if column.dtype is dtypes.string:
        starts, ends = out
        bounds = np.array(values or [(-1, -1)] * column.size, np.int64).reshape(-1, 2)
        starts[row] = bounds[:, 0].reshape(column.shape)
        ends[row] = bounds[:, 1].reshape(column.shape)
    else:
        given = column.default if values is None else values
        out[row] = np.array(given, column.dtype.np_dtype).reshape(column.shape)


def _with_default(
    column: Column, data: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> StringArray:
    """Strings of a dense column, its default (start -1) put in where a record lacks it."""
    if column.default is not None and starts.size:
        absent = starts < 0
        if absent.any():
            text = StringArray.from_values(list(column.default))
            here = StringArray(data, np.where(absent, 0, starts), np.where(absent, 0, ends))
            here = here.compact()
            size = len(here.data)
            shape = (1, *column.shape)
            starts = np.where(absent, (text.starts + size).reshape(shape), here.starts)
            ends = np.where(absent, (text.ends + size).reshape(shape), here.ends)
            return StringArray(np.concatenate([here.data, text.data]), starts, ends)
    return StringArray(data, starts, ends)


def _as_lists(column: Column, flat: Any, splits: np.ndarray) -> tuple[Any, np.ndarray]:
    if column.kind == SEQUENCE:
        rows = len(flat) // max(column.size, 1)
        return flat.reshape((rows, *column.shape)), splits // max(column.size, 1)
    return flat, splits


def _from_lists(rows: _Rows, i: int, parsed: list[list[Any]], serialized: StringArray) -> Any:
    """Column `i` from the exactly parsed rows."""
    column = rows._plan.columns[i]
    n = len(parsed)
    if column.kind == DENSE:
        shape = (n, *column.shape)
        if column.dtype is dtypes.string:
            out: Any = (np.empty(shape, np.int64), np.empty(shape, np.int64))
        else:
            out = np.empty(shape, column.dtype.np_dtype)
        for r, values in enumerate(parsed):
            _put_dense(column, out, r, values[i])
        if column.dtype is dtypes.string:
            return _with_default(column, serialized.data, *out)
        return out
    splits, flat = join_lists(column, serialized.data, [values[i] or [] for values in parsed])
    return _as_lists(column, flat, splits)


def join_lists(
    column: Column, data: np.ndarray, lists: list[list[Any]]
) -> tuple[np.ndarray, Any]:
    """(splits, values) of lists that the exact parser has read."""
    splits = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(v) for v in lists], out=splits[1:])
    joined = [v for values in lists for v in values]
    if column.dtype is dtypes.string:
        bounds = np.array(joined, np.int64).reshape(-1, 2)
        return splits, StringArray(data, bounds[:, 0].copy(), bounds[:, 1].copy())
    return splits, np.array(joined, column.dtype.np_dtype)
