"""Parsed columns to the flat tensors of TensorFlow's results, and the specs of those.

Input are the columns as `headrace.io.parse_raw` gives them; output is described in
`headrace.io.parse_ops`.  Raw arrays only.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.errors import InvalidArgumentError
from ..ops.string_array import StringArray
from ..ops.tensor_shape import TensorShape
from ..ops.tensor_spec import TensorSpec
from .parse_plan import Output, ParsePlan

__all__ = ["assemble", "output_specs", "padded", "ragged_parts"]


def assemble(plan: ParsePlan, columns: list[Any], n: int, single: bool) -> tuple[Any, ...]:
    """The flat raw tensors for a batch of n examples, or for one (`single`, n = 1)."""
    flat: list[Any] = []
    for output in plan.outputs:
        column = plan.columns[output.columns[0]]
        value = columns[output.columns[0]]
        if output.kind == "dense":
            flat.append(value[0, ...] if single else value)
        elif output.kind == "sequence":
            assert column.default is not None
            flat.append(value[0] if single else padded(*value, column.default[0]))
        elif output.kind == "ragged":
            flat += ragged_parts(output, columns, single)
        else:
            make = _varlen if output.kind == "varlen" else _sparse
            flat += make(output, columns, n, single)
    return tuple(flat)


@functools.lru_cache(256)
def output_specs(plan: ParsePlan, batch: int | None, single: bool) -> tuple[TensorSpec, ...]:
    """Specs of the flat tensors, `batch` being the number of examples if known."""
    lead: tuple[int | None, ...] = () if single else (batch,)
    specs: list[TensorSpec] = []
    for output in plan.outputs:
        column = plan.columns[output.columns[0]]
        if output.kind in ("varlen", "sparse"):
            rank = len(lead) + max(len(output.sizes), 1)
            specs += [
                TensorSpec([None, rank], dtypes.int64),
                TensorSpec([None], column.dtype),
                TensorSpec([rank], dtypes.int64),
            ]
        elif output.kind == "ragged":
            levels = len(output.parts(single)) - 1
            specs.append(TensorSpec((None, *output.uniform_inner), column.dtype))
            rows = None if batch is None else batch + 1
            for level in range(levels):
                outermost = level == 0 and not single
                specs.append(TensorSpec([rows if outermost else None], output.splits_dtype))
        else:
            free = (None,) if output.kind == "sequence" else ()
            specs.append(TensorSpec(TensorShape((*lead, *free, *column.shape)), column.dtype))
    return tuple(specs)


def padded(values: Any, splits: np.ndarray, padding: Any) -> Any:
    """Rows of different lengths as one array [n, longest, ...], filled up with `padding`."""
    lengths = np.diff(splits)
    longest = int(lengths.max()) if len(lengths) else 0
    shape = (len(lengths), longest, *values.shape[1:])
    place = np.arange(longest) < lengths[:, None]
    if isinstance(values, StringArray):
        starts = np.full(shape, values.data.size, np.int64)
        ends = np.full(shape, values.data.size + len(padding), np.int64)
        starts[place], ends[place] = values.starts, values.ends
        data = values.data
        if padding:
            data = np.concatenate([data, np.frombuffer(padding, np.uint8)])
        return StringArray(data, starts, ends)
    out = np.full(shape, padding, values.dtype)
    out[place] = values
    return out


def _rows_of(splits: np.ndarray) -> np.ndarray:
    """Number of the row that each value belongs to."""
    return np.repeat(np.arange(len(splits) - 1), np.diff(splits))


def _varlen(output: Output, columns: list[Any], n: int, single: bool) -> list[Any]:
    values, splits = columns[output.columns[0]]
    lengths = np.diff(splits)
    indices = np.empty((len(values), 2), np.int64)
    indices[:, 0] = _rows_of(splits)
    indices[:, 1] = np.arange(len(values)) - np.repeat(splits[:-1], lengths)
    shape = np.array([n, lengths.max() if n else 0], np.int64)
    if single:
        return [np.ascontiguousarray(indices[:, 1:]), values, shape[1:]]
    return [indices, values, shape]


def _sparse(output: Output, columns: list[Any], n: int, single: bool) -> list[Any]:
    values = columns[output.columns[0]][0]
    coordinates = [columns[c] for c in output.columns[1:]]
    for given, _ in coordinates:
        if len(given) != len(values):
            raise InvalidArgumentError(
                f"SparseFeature {output.name!r}: Dimensions {len(given)} and {len(values)} are "
                "not compatible: index and value features must hold equally many values"
            )
    lead = [] if single else [_rows_of(coordinates[0][1])]
    indices = np.stack([*lead, *(given for given, _ in coordinates)], axis=1)
    if not output.already_sorted:
        order = np.lexsort(indices.T[::-1])
        indices, values = indices[order], values[order]
    shape = np.array([*([] if single else [n]), *output.sizes], np.int64)
    return [indices, values, shape]


def ragged_parts(output: Output, columns: list[Any], single: bool) -> list[Any]:
    """Flat values and row splits of a ragged output."""
    values, splits = columns[output.columns[0]]
    inner: list[np.ndarray] = []  # splits below the batch's, outermost first
    dense: list[int] = []  # sizes of uniform axes, which are the values' own
    for kind, argument in reversed(output.partitions):
        if kind == "UniformRowLength":
            rows = len(inner[0]) - 1 if inner else len(values)
            if argument <= 0 or rows % argument:
                raise InvalidArgumentError(
                    f"RaggedFeature {output.name!r}: Input to reshape is a tensor with {rows} "
                    f"values, but the requested shape requires a multiple of {argument} "
                    "(UniformRowLength)"
                )
            if inner:
                inner.insert(0, np.arange(0, rows + 1, argument))
            else:
                dense.insert(0, argument)
                values = values.reshape((-1, *dense))
            splits = splits // argument
            continue
        given, given_splits = columns[output.columns[argument]]
        total = int(splits[-1])
        lengths = np.diff(given_splits)
        if kind == "RowSplits":
            # The first of each record's splits is 0 and says nothing.
            kept = np.ones(len(given), bool)
            kept[given_splits[:-1][lengths > 0]] = False
            given, lengths = given[kept], np.maximum(lengths - 1, 0)
            kind = "RowLimits"
        starts = np.repeat(splits[:-1], lengths)
        if kind == "RowLimits":
            level = np.concatenate([[0], given + starts])
        elif kind == "RowStarts":
            level = np.concatenate([given + starts, [total]])
        elif kind == "RowLengths":
            level = np.concatenate([[0], np.cumsum(given)])
        else:
            highest = np.full(len(lengths), -1, np.int64)
            np.maximum.at(highest, np.repeat(np.arange(len(lengths)), lengths), given)
            rows_of = highest + 1
            first = np.cumsum(rows_of) - rows_of
            ids = given + np.repeat(first, lengths)
            counted = np.bincount(ids, minlength=int(rows_of.sum())) if len(ids) else np.zeros(
                int(rows_of.sum()), np.int64
            )  # fmt: skip
            level = np.concatenate([[0], np.cumsum(counted)])
            lengths = rows_of
        level = level.astype(np.int64)
        if output.validate and (
            level[0] != 0 or (np.diff(level) < 0).any() or level[-1] != total
        ):
            raise InvalidArgumentError(
                f"RaggedFeature {output.name!r}: the partition {kind} does not fit the {total} "
                "values"
            )
        inner.insert(0, level)
        splits = np.concatenate([[0], np.cumsum(lengths)])
    levels = inner if single else [splits, *inner]
    dtype = output.splits_dtype.np_dtype
    return [values, *(level.astype(dtype) for level in levels)]
