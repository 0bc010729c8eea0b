"""Sorting, counting, searching, quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from ...ops.counting import bincount as _bincount
from .. import backend
from ..promotion import result_type
from .op import operations
from .values import as_tensor, axes_of, dtype_name, promoted, static, weak_dtype

op = operations("numpy")


@op()
def sort(x: Any, axis: Any = -1) -> Any:
    """Rising along `axis`; flattened if None."""
    x = as_tensor(x)
    if dtype_name(x) == "bool":
        return hr.cast(sort(hr.cast(x, "int8"), axis), "bool")
    return hr.sort(hr.reshape(x, [-1]), axis=0) if axis is None else hr.sort(x, axis=axis)


@op()
def argsort(x: Any, axis: Any = -1) -> Any:
    """Where the elements of the sorted `x` are, int32."""
    x = as_tensor(x)
    if dtype_name(x) == "bool":
        x = hr.cast(x, "uint8")
    if axis is None:
        return hr.argsort(hr.reshape(x, [-1]), axis=0, stable=True)
    return hr.argsort(x, axis=axis, stable=True)


@op()
def argpartition(x: Any, kth: int, axis: Any = -1) -> Any:
    """Places that put the `kth` smallest at place `kth`, smaller ones before it; int32."""
    x = as_tensor(x)
    if dtype_name(x).startswith(("uint", "bool")):
        x = hr.cast(x, "int64" if dtype_name(x) == "uint32" else "int32")
    if axis is None:
        x, axis = hr.reshape(x, [-1]), 0
    rank = len(x.shape)
    axis = axes_of(axis, rank)[0]
    order = [a for a in range(rank) if a != axis] + [axis]
    moved = hr.transpose(x, order)
    length = static(moved, -1)
    low = hr.top_k(-moved, kth + 1).indices
    # The rest in its own order: everything that is not among the first kth + 1.
    taken = hr.reduce_sum(hr.one_hot(low, length, dtype="int32"), axis=-2)
    rest = hr.top_k(1 - taken, length - kth - 1).indices
    found = hr.concat([low, rest], axis=-1)
    back = [order.index(a) for a in range(rank)]
    return hr.cast(hr.transpose(found, back), "int32")


@op("SearchSorted", tensors=2)
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Where `values` would be put to keep the vector `sorted_sequence` sorted, int32.

    Raises:
        ValueError: the sequence has several axes.
    """
    sequence, values = promoted(sorted_sequence, values)
    if len(sequence.shape) != 1:
        raise ValueError(
            "`searchsorted` only supports 1-D sorted sequences. You can use `vectorized_map` "
            "to extend it to N-D sequences. Received: sorted_sequence.shape="
            f"{sequence.shape}"
        )
    found = hr.searchsorted(sequence, hr.reshape(values, [-1]), side=side)
    return hr.cast(hr.reshape(found, hr.shape(values)), "int32")


@op(tensors=2)
def digitize(x: Any, bins: Any) -> Any:
    """The number of the bin that each element is in, int32; `bins` are the rising bounds."""
    x, bins = promoted(x, bins)
    if dtype_name(x) == "bool":
        x, bins = hr.cast(x, "int32"), hr.cast(bins, "int32")
    found = hr.searchsorted(bins, hr.reshape(x, [-1]), side="right")
    return hr.cast(hr.reshape(found, hr.shape(x)), "int32")


@op()
def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each of 0, 1, 2... is among the last axis of `x`, or the sum of its weights."""
    x = as_tensor(x, "int32")
    dtype = "int32"
    if weights is not None:
        weights = as_tensor(weights)
        dtype = result_type(weights.dtype.name, "int32")
        if dtype == "int64":
            dtype = backend.floatx()
        weights = hr.cast(weights, dtype)
    if sparse:
        from ...ops.sparse_ops import from_dense

        return from_dense(bincount(x, weights, minlength))
    axis = -1 if len(x.shape) == 2 else None
    return hr.cast(_bincount(x, weights=weights, minlength=minlength, axis=axis), dtype)


@op()
def histogram(x: Any, bins: int = 10, range: Any = None) -> Any:
    """How many elements are in each of `bins` bins, int32, and the bounds of the bins.

    Raises:
        ValueError: `bins` is no positive number, or `range` no rising pair.
    """
    if not isinstance(bins, int) or bins < 0:
        raise ValueError(
            f"Argument `bins` should be a non-negative integer. Received: bins={bins}"
        )
    if range is not None and (len(range) != 2 or range[1] < range[0]):
        raise ValueError(f"range must be two rising numbers. Received: range={range}")
    x = as_tensor(x)
    x = x if x.dtype.is_floating else hr.cast(x, backend.floatx())
    flat = hr.reshape(x, [-1])
    low = hr.cast(range[0], x.dtype) if range else hr.reduce_min(flat)
    high = hr.cast(range[1], x.dtype) if range else hr.reduce_max(flat)
    flat_range = hr.equal(low, high)
    low, high = hr.where(flat_range, low - 0.5, low), hr.where(flat_range, high + 0.5, high)
    edges = low + (high - low) * hr.cast(hr.range(bins + 1), x.dtype) / bins
    inside = hr.logical_and(flat >= low, flat <= high)
    at = hr.searchsorted(edges, flat, side="right") - 1
    at = hr.minimum(hr.maximum(at, 0), bins - 1)  # the last bin holds its upper bound
    counts = hr.unsorted_segment_sum(hr.cast(inside, "int32"), at, bins)
    return hr.cast(counts, x.dtype), edges


@op()
def nonzero(x: Any) -> Any:
    """Where `x` is not 0: a tensor ``[count]`` for each axis, int32."""
    x = as_tensor(x)
    found = hr.where(x if dtype_name(x) == "bool" else hr.not_equal(x, hr.zeros_like(x)))
    return tuple(hr.cast(column, "int32") for column in hr.unstack(found, len(x.shape), axis=1))


@op()
def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different elements of `x`, or slices along `axis`; rising.

    Args:
        x: a tensor with values (not while tracing: the result's size is not known before).
        sorted: accepted; the result is always sorted.
        return_index: the place of each one's first occurrence, too.
        return_inverse: for each element of `x` its place in the result, too.
        return_counts: how often each occurs, too.
        axis: the axis whose slices are compared; elements if None.
        size: how many are returned: cut, or filled up with `fill_value`.
        fill_value: by default the smallest.
    """
    x = as_tensor(x)
    found, first, inverse, counts = np.unique(
        np.asarray(x), return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    if size is not None:
        where = axis or 0
        have = found.shape[where]
        if have > size:
            found = np.take(found, range(size), axis=where)
            first, counts = first[:size], counts[:size]
        elif have < size:
            shape = list(found.shape)
            shape[where] = size - have
            value = found.min() if fill_value is None else fill_value
            filling = np.full(shape, value, found.dtype)
            found = np.concatenate([found, filling], axis=where)
            first = np.concatenate([first, np.full(size - have, first[0])])
            counts = np.concatenate([counts, np.zeros(size - have, counts.dtype)])
    results = [hr.constant(found, x.dtype)]
    extra = (
        (return_index, first),
        (return_inverse, inverse.reshape(x.shape) if axis is None else inverse.reshape(-1)),
        (return_counts, counts),
    )
    results += [hr.constant(v.astype("int32")) for wanted, v in extra if wanted]
    return results[0] if len(results) == 1 else tuple(results)


# -- quantiles --------------------------------------------------------------------------------


def _quantile(x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool) -> Any:
    x, q = as_tensor(x), as_tensor(q)
    dtype = result_type(weak_dtype(x), float)
    if weak_dtype(x) == "int64":
        dtype = backend.floatx()
    wide = "float64" if dtype == "float64" else "float32"
    x, q = hr.cast(x, wide), hr.cast(q, wide)
    rank = len(x.shape)
    axes = axes_of(axis, rank)
    kept = [a for a in range(rank) if a not in axes]
    shape = hr.shape(x)
    moved = hr.transpose(x, [*kept, *axes])
    lead = [static(x, a) for a in kept]
    rows = hr.sort(hr.reshape(moved, [*lead, -1]), axis=-1)  # NaN is sorted to the end
    if skip_nan:
        count = hr.reduce_sum(hr.cast(hr.logical_not(hr.is_nan(rows)), wide), axis=-1)
    else:
        count = hr.cast(hr.broadcast_to(hr.shape(rows)[-1], hr.shape(rows)[:-1]), wide)
    flat_q = hr.reshape(q, [-1])
    where = hr.expand_dims(hr.maximum(count - 1, 0), -1) * flat_q
    below, above = (
        hr.gather(rows, hr.cast(at, "int32"), axis=-1, batch_dims=len(kept))
        for at in (hr.floor(where), hr.ceil(where))
    )
    if method == "linear":
        share = where - hr.floor(where)
        found = below + (above - below) * share
        found = hr.where(hr.equal(share, 0), below, found)
    elif method == "midpoint":
        found = (below + above) / 2
    elif method == "nearest":
        found = hr.where(where - hr.floor(where) <= 0.5, below, above)
        found = hr.gather(
            rows, hr.cast(hr.round(where), "int32"), axis=-1, batch_dims=len(kept)
        )
    elif method in ("lower", "higher"):
        found = below if method == "lower" else above
    else:
        raise ValueError(
            "method must be one of linear, lower, higher, midpoint, nearest. Received: "
            f"method={method!r}"
        )
    if not skip_nan:
        bad = hr.reduce_any(hr.is_nan(rows), axis=-1, keepdims=True)
        found = hr.where(bad, hr.cast(float("nan"), wide), found)
    if keepdims:
        sizes = [shape[a] if a in kept else 1 for a in range(rank)]
        found = hr.reshape(found, [*sizes, -1])
    last = len(found.shape) - 1
    found = hr.transpose(found, [last, *range(last)])
    rest = [static(found, a) for a in range(1, last + 1)]
    found = hr.reshape(found, [*[static(q, a) for a in range(len(q.shape))], *rest])
    return hr.cast(found, dtype)


@op(tensors=2)
def quantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """What a share `q` of the elements along `axis` lies below; the axes of `q` come first.

    Args:
        x: a tensor.
        q: shares in [0, 1].
        axis: one, several, or all (None).
        method: linear, lower, higher, midpoint or nearest, between two elements.
        keepdims: keep the axes with size 1.
    """
    return _quantile(x, q, axis, method, keepdims, skip_nan=False)


@op(tensors=2)
def nanquantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """`quantile` of what is no NaN."""
    return _quantile(x, q, axis, method, keepdims, skip_nan=True)


@op(tensors=2)
def percentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """`quantile` with `q` in [0, 100]."""
    return quantile(x, _hundredths(q), axis, method, keepdims)


@op(tensors=2)
def nanpercentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """`nanquantile` with `q` in [0, 100]."""
    return nanquantile(x, _hundredths(q), axis, method, keepdims)


def _hundredths(q: Any) -> Any:
    q = as_tensor(q)
    return (q if q.dtype.is_floating else hr.cast(q, backend.floatx())) / 100


@op()
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle element along `axis`, or the mean of the two middle ones."""
    return quantile(x, 0.5, axis=axis, keepdims=keepdims)


@op()
def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The `median` of what is no NaN."""
    return nanquantile(x, 0.5, axis=axis, keepdims=keepdims)


__all__ = [
    "argpartition", "argsort", "bincount", "digitize", "histogram", "median", "nanmedian",
    "nanpercentile", "nanquantile", "nonzero", "percentile", "quantile", "searchsorted", "sort",
    "unique",
]  # fmt: skip
