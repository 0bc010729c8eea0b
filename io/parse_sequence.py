"""`parse_sequence_example` and `parse_single_sequence_example`.

The primitive `ParseSequenceExampleV2` has two plans as attributes, for the context and for the
feature lists.  Its flat outputs are those of the context (as `headrace.io.parse_ops` has
them), then for each of the lists' outputs in order

- sequence: the tensor, and in a batch the int64 [batch] numbers of steps;
- varlen: indices, values, dense_shape of the `SparseTensor`;
- ragged: flat values, then row splits, outermost first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.convert import convert_to_tensor
from ..ops.errors import InvalidArgumentError
from ..ops.primitive import Primitive
from ..ops.ragged_tensor import RaggedTensor
from ..ops.sparse_tensor import SparseTensor
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_shape import TensorShape
from ..ops.tensor_spec import TensorSpec
from . import jit
from .jit import address
from .parse_assemble import assemble, output_specs, padded, ragged_parts
from .parse_config import (
    FixedLenFeature,
    FixedLenSequenceFeature,
    RaggedFeature,
    VarLenFeature,
)
from .parse_ops import pack_outputs
from .parse_plain import wire_kind
from .parse_plan import DENSE, SEQUENCE, Column, Output, ParsePlan
from .parse_raw import join_lists, plan_tables, read_lists
from .parse_sequence_plain import parse_sequences

__all__ = [
    "ParseSequenceExampleV2",
    "parse_sequence_example",
    "parse_single_sequence_example",
]

_CONTEXT_KINDS = (VarLenFeature, FixedLenFeature, RaggedFeature)
_LIST_KINDS = (VarLenFeature, FixedLenSequenceFeature, RaggedFeature)
_NO_NAMES = Tensor.of(StringArray.empty((0,)))
_OUT_A, _OUT_B = 5, 6  # of the kernels' tables, see headrace.io.parse_kernel


def parse_sequence_example(
    serialized: Any,
    context_features: Mapping[str, Any] | None = None,
    sequence_features: Mapping[str, Any] | None = None,
    example_names: Any = None,
    name: str | None = None,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Dicts of context tensors, of sequence tensors and of the sequences' lengths.

    Args:
        serialized: string tensor [batch] of `SequenceExample` messages.
        context_features: maps keys of the context to `FixedLenFeature`, `VarLenFeature` or
            `RaggedFeature`.
        sequence_features: maps keys of the feature lists to `FixedLenSequenceFeature`
            (padded with zeros to the longest sequence of the batch), `VarLenFeature` or
            `RaggedFeature`.
        example_names: string tensor [batch] of names for error messages.
        name: ignored.

    Returns:
        ``(context, sequences, lengths)``; sequences are [batch, time, ...], lengths hold the
        int64 [batch] numbers of steps of each `FixedLenSequenceFeature`.

    Raises:
        ValueError: no features, or an invalid description.
        InvalidArgumentError: a record is malformed or does not fit its description.
    """
    if not (context_features or sequence_features):
        raise ValueError(
            "Both `context_features` and `sequence_features` argument are None, but at least "
            "one should have values."
        )
    return _parse(serialized, context_features, sequence_features, example_names)


def parse_single_sequence_example(
    serialized: Any,
    context_features: Mapping[str, Any] | None = None,
    sequence_features: Mapping[str, Any] | None = None,
    example_name: Any = None,
    name: str | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Dicts of context tensors and of sequence tensors, from one serialized SequenceExample.

    Args:
        serialized: scalar string tensor, a `SequenceExample` message.
        context_features: as for `parse_sequence_example`.
        sequence_features: as for `parse_sequence_example`.
        example_name: name of the record for error messages.
        name: ignored.

    Raises:
        ValueError: `serialized` is no scalar, no features, or an invalid description.
        InvalidArgumentError: the record is malformed or does not fit its description.
    """
    if not (context_features or sequence_features):
        raise ValueError(
            "Both context_features and sequence_features are None, but at least one should "
            "have values."
        )
    serialized = convert_to_tensor(serialized, dtype="string")
    if serialized.shape.rank not in (0, None):
        raise ValueError("Input serialized must be a scalar")
    return _parse(serialized, context_features, sequence_features, example_name)[:2]


def _parse(serialized: Any, context: Any, lists: Any, names: Any) -> tuple[Any, Any, Any]:
    context_plan = ParsePlan.from_features(context or {}, _CONTEXT_KINDS)
    list_plan = _list_plan(lists or {})
    serialized = convert_to_tensor(serialized, dtype="string")
    if serialized.shape.rank is None:
        raise ValueError("serialized must have statically-known rank to parse ragged features.")
    names = _NO_NAMES if names is None else convert_to_tensor(names, dtype="string")
    single = serialized.shape.rank == 0
    parts = ParseSequenceExampleV2(
        serialized, names, context=context_plan, lists=list_plan, single=single
    )
    count = sum(len(o.parts(single)) for o in context_plan.outputs)
    sequences, lengths = _pack_lists(list_plan, parts[count:], single)
    return pack_outputs(context_plan, parts[:count], single), sequences, lengths


def _list_plan(features: Mapping[str, Any]) -> ParsePlan:
    """The plan for feature lists: a sequence's default says whether it may be missing."""
    for key, feature in features.items():
        if getattr(feature, "default_value", None) is not None:
            raise ValueError(f"Value feature_list.dense_defaults[{key}] must be None")
    plan = ParsePlan.from_features(features, _LIST_KINDS)
    columns = tuple(
        dataclasses.replace(c, default=None)
        if c.kind == SEQUENCE and not features[c.key].allow_missing
        else c
        for c in plan.columns
    )
    return ParsePlan(columns, plan.outputs)


def _list_parts(output: Output, single: bool) -> int:
    """Number of flat outputs of one output of the lists."""
    if output.kind == "sequence":
        return 1 if single else 2
    return 3 if output.kind == "varlen" else len(output.parts(False)) + (not single)


def _pack_lists(plan: ParsePlan, parts: Any, single: bool) -> tuple[dict[str, Any], ...]:
    flat = iter(parts)
    sequences: dict[str, Any] = {}
    lengths: dict[str, Any] = {}
    for output in plan.outputs:
        own = [next(flat) for _ in range(_list_parts(output, single))]
        if output.kind == "varlen":
            sequences[output.name] = SparseTensor(*own)
        elif output.kind == "ragged":
            sequences[output.name] = RaggedTensor.from_nested_row_splits(
                own[0], own[1:], validate=False
            )
        else:
            sequences[output.name] = own[0]
            if not single:
                lengths[output.name] = own[1]
    return sequences, lengths


# -- raw ------------------------------------------------------------------------------------


def _impl(
    serialized: Any, names: Any, *, context: ParsePlan, lists: ParsePlan, single: bool
) -> tuple[Any, ...]:
    flat = serialized.reshape(-1)
    columns = _by_kernels(flat, context, lists)
    if columns is None:
        columns = _by_plain_parser(flat, names, context, lists)
    contexts, steps = columns
    out = list(assemble(context, contexts, len(flat), single))
    for output in lists.outputs:
        out += _assemble_list(output, lists, steps, single)
    return tuple(out)


def _by_kernels(
    serialized: StringArray, context: ParsePlan, lists: ParsePlan
) -> tuple[list[Any], list[Any]] | None:
    """Context columns as `parse_raw` gives them, and (values, splits of steps' values, splits
    of records' steps) of the lists; None if that takes the exact parser."""
    own = ("find_features", "count_steps", "find_steps", "measure_features")
    kernels = jit.kernels(*own, "fill_slots", "fill_lists")
    if kernels is None or not len(serialized):
        return None
    find_features, count_steps, find_steps, measure = kernels[:4]
    n = len(serialized)
    data = np.ascontiguousarray(serialized.data)
    tables = [plan_tables(context), plan_tables(lists)]
    places = [np.zeros((len(plan.columns), 2, n), np.int64) for plan in (context, lists)]
    rows = []
    for table, place in zip(tables, places, strict=True):
        own = table.table.copy()
        own[:, _OUT_A] = address(place) + 16 * n * np.arange(len(own))
        own[:, _OUT_B] = own[:, _OUT_A] + 8 * n
        rows.append(own)
    starts = np.ascontiguousarray(serialized.starts, np.int64)
    ends = np.ascontiguousarray(serialized.ends, np.int64)
    slots = [table.slots() for table in tables]
    columns = (
        part
        for row, slot in zip(rows, slots, strict=True)
        for part in (address(row), len(row), address(slot), slot.size)
    )
    if find_features(address(data), n, address(starts), address(ends), *columns):
        return None
    contexts = []
    for column, (lows, highs) in zip(context.columns, places[0], strict=True):
        missing = lows == 0
        counts = np.empty(n, np.int64)
        if measure(wire_kind(column.dtype), n, address(lows), address(highs), address(counts)):
            return None
        if column.kind == DENSE and (missing.any() or (counts != column.size).any()):
            return None  # defaults and errors
        splits, values = read_lists(column, data, lows, highs, counts)
        dense = column.kind == DENSE
        contexts.append(values.reshape((n, *column.shape)) if dense else (values, splits))
    steps = []
    for column, (lows, highs) in zip(lists.columns, places[1], strict=True):
        if column.kind == SEQUENCE and column.default is None and not lows.all():
            return None
        counts = np.empty(n, np.int64)
        if count_steps(n, address(lows), address(highs), address(counts)):
            return None
        outer = np.zeros(n + 1, np.int64)
        np.cumsum(counts, out=outer[1:])
        total = int(outer[-1])
        step_lows, step_highs, counts = (np.empty(total, np.int64) for _ in range(3))
        bounds = address(step_lows), address(step_highs)
        find_steps(n, address(lows), address(highs), address(outer), *bounds)
        if measure(wire_kind(column.dtype), total, *bounds, address(counts)):
            return None
        if column.kind == SEQUENCE and (counts != column.size).any():
            return None
        splits, values = read_lists(column, data, step_lows, step_highs, counts)
        steps.append((values, splits, outer))
    return contexts, steps


def _by_plain_parser(
    serialized: StringArray, names: Any, context: ParsePlan, lists: ParsePlan
) -> tuple[list[Any], list[Any]]:
    """What `_by_kernels` gives."""
    n = len(serialized)
    known = ["<unknown>"] * n
    if names.size:
        known = [text.decode("utf-8", "replace") for text in names.ravel().numpy().tolist()]
    data = np.ascontiguousarray(serialized.data)
    bounds = list(zip(serialized.starts.tolist(), serialized.ends.tolist(), strict=True))
    context_rows, list_rows = parse_sequences(
        memoryview(data), bounds, context.columns, lists.columns, known
    )
    contexts = []
    for column, rows in zip(context.columns, context_rows, strict=True):
        if column.kind == DENSE:
            contexts.append(_dense_column(column, data, rows))
        else:
            splits, values = join_lists(column, data, [r or [] for r in rows])
            contexts.append((values, splits))
    steps = []
    for column, records in zip(lists.columns, list_rows, strict=True):
        outer = np.zeros(n + 1, np.int64)
        np.cumsum([len(r) for r in records], out=outer[1:])
        splits, values = join_lists(column, data, [step for r in records for step in r])
        steps.append((values, splits, outer))
    return contexts, steps


def _dense_column(column: Column, data: np.ndarray, rows: list[Any]) -> Any:
    shape = (len(rows), *column.shape)
    if column.dtype is not dtypes.string:
        filled = [column.default if r is None else r for r in rows]
        return np.array(filled, column.dtype.np_dtype).reshape(shape)
    default = StringArray.from_values(list(column.default or ()))
    size = data.size
    absent = [
        (s + size, e + size)
        for s, e in zip(default.starts.tolist(), default.ends.tolist(), strict=True)
    ]
    bounds = np.array([absent if r is None else r for r in rows], np.int64).reshape((*shape, 2))
    if any(r is None for r in rows) and default.data.size:
        data = np.concatenate([data, default.data])
    return StringArray(data, bounds[..., 0].copy(), bounds[..., 1].copy())


def _assemble_list(
    output: Output, plan: ParsePlan, steps: list[Any], single: bool
) -> list[Any]:
    values, splits, outer = steps[output.columns[0]]
    column = plan.columns[output.columns[0]]
    if output.kind == "sequence":
        rows = values.reshape((int(outer[-1]), *column.shape))
        if single:
            return [rows]
        padding: Any = b"" if column.dtype is dtypes.string else 0
        return [padded(rows, outer, padding), np.diff(outer)]
    if output.kind == "ragged":
        for c in output.columns[1:]:
            if not np.array_equal(steps[c][2], outer):
                raise InvalidArgumentError(
                    f"Feature {output.name}: values and partitions are not aligned"
                )
        parts = ragged_parts(output, [s[:2] for s in steps], False)
        if not single:
            parts.insert(1, outer.astype(output.splits_dtype.np_dtype))
        return parts
    counts, sizes = np.diff(splits), np.diff(outer)
    step = np.repeat(np.arange(len(counts)), counts)  # of each value, over the batch
    record = np.repeat(np.arange(len(sizes)), sizes)  # of each step
    row = record[step]
    place = np.arange(len(values)) - splits[:-1][step]
    indices = np.stack([row, step - outer[:-1][row], place], axis=1)
    shape = np.array([len(sizes), sizes.max(initial=0), counts.max(initial=0)], np.int64)
    if single:
        return [np.ascontiguousarray(indices[:, 1:]), values, shape[1:]]
    return [indices, values, shape]


def _shape(
    serialized: Any, names: Any, *, context: ParsePlan, lists: ParsePlan, single: bool
) -> tuple[TensorSpec, ...]:
    shape = serialized.shape
    if shape.rank not in (0, 1):
        raise InvalidArgumentError(
            f"Expected serialized to be a scalar or vector, got shape: {shape}"
        )
    batch = None if single else shape[0]
    lead: tuple[Any, ...] = () if single else (batch,)
    specs = list(output_specs(context, batch, single))
    for output in lists.outputs:
        column = lists.columns[output.columns[0]]
        if output.kind == "sequence":
            specs.append(TensorSpec(TensorShape((*lead, None, *column.shape)), column.dtype))
            if not single:
                specs.append(TensorSpec([batch], dtypes.int64))
        elif output.kind == "varlen":
            rank = 2 if single else 3
            specs += [
                TensorSpec([None, rank], dtypes.int64),
                TensorSpec([None], column.dtype),
                TensorSpec([rank], dtypes.int64),
            ]
        else:
            specs.append(TensorSpec((None, *output.uniform_inner), column.dtype))
            levels = _list_parts(output, single) - 1
            specs += [TensorSpec([None], output.splits_dtype)] * levels
    return tuple(specs)


def prune(attrs: dict[str, Any], used: list[int]) -> tuple[dict[str, Any], dict[int, int]]:
    """The primitive's attributes for some of its flat outputs only, and their new places."""
    single = bool(attrs["single"])
    wanted = set(used)
    places: dict[int, int] = {}
    kept: dict[str, list[str]] = {"context": [], "lists": []}
    old = new = 0
    for which, size_of in (("context", lambda o: len(o.parts(single))),
                           ("lists", lambda o: _list_parts(o, single))):  # fmt: skip
        for output in attrs[which].outputs:
            count = size_of(output)
            if wanted.intersection(range(old, old + count)):
                kept[which].append(output.name)
                places.update({old + i: new + i for i in range(count)})
                new += count
            old += count
    return {**attrs, **{k: attrs[k].select(names) for k, names in kept.items()}}, places


ParseSequenceExampleV2 = Primitive(
    "ParseSequenceExampleV2",
    "serialized: string, names: string",
    impl=_impl,
    shape=_shape,
    check_first=True,
)
ParseSequenceExampleV2.prune = prune  # type: ignore[attr-defined]
