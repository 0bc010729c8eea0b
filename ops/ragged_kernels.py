"""Primitives on row splits, from which `ragged_tensor.py` is put together."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_module import array_module
from .errors import InvalidArgumentError
from .primitive import Primitive
from .string_array import StringArray
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__: list[str] = []


def _none(op: Any, *gs: Any) -> Any:
    return (None,) * len(op.inputs)


def _vector_of(size: int | None, t: Any) -> TensorSpec:
    return TensorSpec([size], t.dtype)


def _longer(t: Any, by: int) -> int | None:
    n = t.shape[0] if t.shape.rank else None
    return None if n is None else n + by


# -- splits -----------------------------------------------------------------------------------


def _lengths_to_splits_impl(lengths: Any) -> Any:
    out = np.zeros(len(lengths) + 1, lengths.dtype)
    np.cumsum(lengths, out=out[1:])
    return out


LengthsToSplits = Primitive(
    "_LengthsToSplits", "lengths: I", impl=_lengths_to_splits_impl,
    shape=lambda n: _vector_of(_longer(n, 1), n), vjp=_none,
)  # fmt: skip


def _splits_of_ids_impl(ids: Any, *, nrows: int | None) -> Any:
    n = nrows if nrows is not None else (int(ids[-1]) + 1 if len(ids) else 0)
    return np.searchsorted(ids, np.arange(n + 1)).astype(ids.dtype)


SplitsOfIds = Primitive(
    "_SplitsOfIds",
    "ids: I",
    impl=_splits_of_ids_impl,
    shape=lambda ids, *, nrows: _vector_of(None if nrows is None else nrows + 1, ids),
    vjp=_none,
)

RowIds = Primitive(
    "_RowIds",
    "splits: I",
    impl=lambda s: np.repeat(np.arange(len(s) - 1, dtype=s.dtype), np.diff(s)),
    shape=lambda s: _vector_of(None, s),
    vjp=_none,
)


# -- places of values -------------------------------------------------------------------------


def _places(starts: Any, lengths: Any) -> tuple[Any, Any]:
    splits = np.zeros(len(starts) + 1, starts.dtype)
    np.cumsum(lengths, out=splits[1:])
    places = np.repeat(starts - splits[:-1], lengths)
    places += np.arange(int(splits[-1]), dtype=places.dtype)
    return places, splits


RowIndices = Primitive(
    "_RowIndices", "starts: I, limits: I", impl=lambda a, b: _places(a, np.maximum(b - a, 0)),
    shape=lambda a, b: (_vector_of(None, a), _vector_of(_longer(a, 1), a)), vjp=_none,
)  # fmt: skip


def _row_slices_impl(splits: Any, *, start: Any, stop: Any, step: Any) -> Any:
    """Places of ``row[start:stop:step]`` of every row, and the splits of the results."""
    step = 1 if step is None else step
    n = np.diff(splits)
    if step > 0:
        low, high = 0, n
        first = (
            low
            if start is None
            else np.where(start < 0, np.maximum(n + start, 0), np.minimum(start, n))
            if start < 0
            else np.minimum(start, n)
        )
        end = (
            high
            if stop is None
            else np.maximum(n + stop, 0)
            if stop < 0
            else np.minimum(stop, n)
        )
        count = np.maximum(-((first - end) // step), 0)
    else:
        first = n - 1 if start is None else n + start if start < 0 else np.minimum(start, n - 1)
        first = np.maximum(first, -1)
        end = (
            -1
            if stop is None
            else np.maximum(n + stop, -1)
            if stop < 0
            else np.minimum(stop, n - 1)
        )
        count = np.maximum(-((end - first) // -step), 0)
    count = np.broadcast_to(count, n.shape).astype(splits.dtype)
    ramp, out_splits = _places(np.zeros(len(n), splits.dtype), count)
    base = np.broadcast_to(splits[:-1] + first, n.shape)
    return (np.repeat(base, count) + ramp * step).astype(splits.dtype), out_splits


RowSlices = Primitive(
    "_RowSlices",
    "splits: I",
    impl=_row_slices_impl,
    shape=lambda s, *, start, stop, step: (_vector_of(None, s), TensorSpec(s.shape, s.dtype)),
    vjp=_none,
)


def _ragged_places_impl(*splits: Any) -> Any:
    columns = [np.repeat(np.arange(len(s) - 1), np.diff(s)) for s in splits]
    steps = [np.arange(int(s[-1])) - np.repeat(s[:-1], np.diff(s)) for s in splits]
    out = []
    for level, steps_here in enumerate(steps):
        column = steps_here
        for ids in columns[level + 1 :]:
            column = column[ids]
        out.append(column)
    rows = columns[0]
    for ids in columns[1:]:
        rows = rows[ids]
    return np.stack([rows, *out], axis=1).astype(np.int64)


RaggedPlaces = Primitive(
    "_RaggedPlaces", "splits: N * I", impl=_ragged_places_impl,
    shape=lambda *splits: TensorSpec([None, len(splits) + 1], dtypes.int64), vjp=_none,
)  # fmt: skip


# -- dense and ragged -------------------------------------------------------------------------


def _window(splits: Any, nrows: int | None, width: int | None) -> tuple[Any, Any, int, int]:
    """Which cells of the dense result hold a value, and which value."""
    starts, lengths = splits[:-1], np.diff(splits)
    width = (int(lengths.max()) if len(lengths) else 0) if width is None else width
    rows = len(starts) if nrows is None else nrows
    starts, lengths = starts[:rows], lengths[:rows]
    held = np.minimum(lengths, width)
    mask = np.zeros((rows, width), bool)
    mask[: len(held)] = np.arange(width) < held[:, None]
    places, _ = _places(starts, held)
    return mask, places, rows, width


def _to_dense_impl(
    values: Any, splits: Any, default: Any, *, nrows: int | None, width: int | None
) -> Any:
    mask, places, rows, width = _window(splits, nrows, width)
    dims = (rows, width, *values.shape[1:])
    if isinstance(values, StringArray):
        data = np.concatenate([values.data, default.data])
        shift = values.data.size
        starts = np.array(np.broadcast_to(default.starts + shift, dims))
        ends = np.array(np.broadcast_to(default.ends + shift, dims))
        starts[mask], ends[mask] = values.starts[places], values.ends[places]
        return StringArray(data, starts, ends)
    xp = array_module(values)
    out = xp.empty(dims, values.dtype)
    out[...] = default
    out[xp.asarray(mask)] = values[xp.asarray(places)]
    return out


def _to_dense_shape(
    values: Any, splits: Any, default: Any, *, nrows: int | None, width: int | None
) -> TensorSpec:
    n = nrows if nrows is not None else _longer(splits, -1)
    return TensorSpec(TensorShape([n, width]).concatenate(values.shape[1:]), values.dtype)


def _to_dense_vjp(op: Any, g: Any) -> Any:
    values, splits, default = op.inputs
    to_values, to_default = RaggedToDenseGrad(g, values, splits, default, **op.attrs)
    return to_values, None, to_default


RaggedToDense = Primitive(
    "RaggedTensorToTensor",
    "values: T, splits: I, default_value: T",
    impl=_to_dense_impl,
    shape=_to_dense_shape,
    vjp=_to_dense_vjp,
)


def _to_dense_grad_impl(
    g: Any, values: Any, splits: Any, default: Any, *, nrows: int | None, width: int | None
) -> Any:
    mask, places, _, _ = _window(splits, nrows, width)
    xp = array_module(g)
    mask, places = xp.asarray(mask), xp.asarray(places)
    out = xp.zeros(values.shape, g.dtype)
    out[places] = g[mask]
    rest = g[~mask]
    while rest.ndim > default.ndim:
        rest = rest.sum(axis=0, dtype=g.dtype)
    axes = tuple(i for i, d in enumerate(default.shape) if d == 1 and rest.shape[i] != 1)
    return out, rest.sum(axis=axes, keepdims=True, dtype=g.dtype) if axes else xp.asarray(rest)


RaggedToDenseGrad = Primitive(
    "_RaggedToDenseGrad",
    "g: T, values: T, splits: I, default_value: T",
    impl=_to_dense_grad_impl,
    shape=lambda g, v, s, d, *, nrows, width: (
        TensorSpec(v.shape, g.dtype),
        TensorSpec(d.shape, g.dtype),
    ),
    vjp=lambda op, to_values, to_default: (
        RaggedToDense(to_values, op.inputs[2], to_default, **op.attrs),
        None,
        None,
        None,
    ),
)


def _padded_lengths_impl(x: Any, padding: Any) -> Any:
    same = _equal(x, padding)
    if same.ndim > 2:
        same = same.reshape(*same.shape[:2], -1).all(axis=2)
    trailing = np.logical_and.accumulate(same[:, ::-1], axis=1).sum(axis=1)
    return (same.shape[1] - trailing).astype(np.int64)


def _equal(x: Any, y: Any) -> Any:
    if isinstance(x, StringArray):
        return np.asarray(x.numpy() == y.item())
    return x == y


PaddedLengths = Primitive(
    "_PaddedLengths",
    "tensor: T, padding: T",
    impl=_padded_lengths_impl,
    shape=lambda x, p: TensorSpec([x.shape[0] if x.shape.rank else None], dtypes.int64),
    vjp=_none,
)


def _masked_lengths_impl(mask: Any, splits: Any) -> Any:
    total = np.concatenate([[0], np.cumsum(mask)])
    return np.diff(total[splits]).astype(np.int64)


MaskedLengths = Primitive(
    "_MaskedLengths", "mask: bool, splits: I", impl=_masked_lengths_impl,
    shape=lambda m, s: TensorSpec([_longer(s, -1)], dtypes.int64), vjp=_none,
)  # fmt: skip


def _ragged_range_impl(starts: Any, limits: Any, deltas: Any) -> Any:
    starts, limits, deltas = (
        np.atleast_1d(a) for a in np.broadcast_arrays(starts, limits, deltas)
    )
    if (deltas == 0).any():
        raise InvalidArgumentError("Requires delta != 0 [Op:RaggedRange]", op="RaggedRange")
    counts = np.maximum(np.ceil((limits - starts) / deltas), 0).astype(np.int64)
    ramp, splits = _places(np.zeros(len(counts), np.int64), counts)
    values = np.repeat(starts, counts) + ramp.astype(starts.dtype) * np.repeat(deltas, counts)
    return values.astype(starts.dtype), splits


RaggedRange = Primitive(
    "RaggedRange",
    "starts: T, limits: T, deltas: T",
    impl=_ragged_range_impl,
    shape=lambda a, b, d: (TensorSpec([None], a.dtype), TensorSpec([None], dtypes.int64)),
    vjp=_none,
)
