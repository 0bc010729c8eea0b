"""Reductions over segments: rows that share an id are reduced to one.

Rows are sorted by id once and reduced with ``ufunc.reduceat``, which is several times faster
than scattering row by row.  Unsorted ids that are negative are dropped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array_basics import cast, ones, ones_like, reshape, shape
from .array_index import gather
from .array_join import concat
from .array_module import array_module, is_on_device
from .atomic_updates import update_at
from .comparison import Equal
from .convert import to_tensor
from .cuda.recording import unseen
from .division import divide_no_nan
from .dtypes import as_dtype
from .elementwise import sqrt
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .math_ops import Maximum
from .primitive import Primitive
from .shape_rules import FLOATS, INTEGERS, NUMERIC
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = [
    "segment_max", "segment_mean", "segment_min", "segment_prod", "segment_sum",
    "unsorted_segment_max", "unsorted_segment_mean", "unsorted_segment_min",
    "unsorted_segment_prod", "unsorted_segment_sqrt_n", "unsorted_segment_sum",
]  # fmt: skip


def _start(kind: str, dtype: np.dtype) -> Any:
    if kind in ("sum", "mean"):
        return 0
    if kind == "prod":
        return 1
    limits = as_dtype(dtype)
    return limits.min if kind == "max" else limits.max


_UFUNC = {
    "sum": np.add,
    "mean": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _reduce(kind: str, data: Any, ids: Any, num: int, empty: Any) -> Any:
    """Rows of `data` (of which the first `ids.ndim` axes are those of `ids`) reduced by id."""
    rows = data.reshape((ids.size, *data.shape[ids.ndim :]))
    ids = ids.reshape(-1)
    if ids.size and not unseen(ids) and int(ids.max()) >= num:
        bad = int(ids.argmax())
        raise InvalidArgumentError(
            f"segment_ids[{bad}] = {int(ids[bad])} is out of range [0, {num})"
        )
    if is_on_device(data):
        return _reduce_at(kind, rows, ids, num, empty)
    keep = ids >= 0
    if not keep.all():
        rows, ids = rows[keep], ids[keep]
    out = np.full((num, *rows.shape[1:]), empty, data.dtype)
    if not ids.size:
        return out
    if (ids[1:] < ids[:-1]).any():
        order = np.argsort(ids, kind="stable")
        rows, ids = rows[order], ids[order]
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    small = data.dtype.itemsize == 2 and data.dtype.kind not in "iu"
    if small:
        rows = rows.astype(np.float32)
    found = _UFUNC[kind].reduceat(rows, starts, axis=0, dtype=rows.dtype)
    if kind == "mean":
        counts = np.diff(np.append(starts, len(ids))).reshape((-1,) + (1,) * (rows.ndim - 1))
        found = found / counts if found.dtype.kind not in "iu" else found // counts
    out[ids[starts]] = found.astype(data.dtype, copy=False)
    return out


def _reduce_at(kind: str, rows: Any, ids: Any, num: int, empty: Any) -> Any:
    """The same by atomic updates, in a row more that takes what has no segment."""
    xp = array_module(rows)
    ids = xp.where(ids < 0, num, ids)
    shape = (num + 1, *rows.shape[1:])
    if kind in ("sum", "mean"):
        out = xp.zeros(shape, np.float32 if rows.dtype.itemsize == 2 else rows.dtype)
        update_at("add", out, ids, rows)
    else:
        extreme = _start(kind, rows.dtype)
        out = xp.full(shape, extreme, rows.dtype)
        update_at("maximum" if kind == "max" else "minimum", out, ids, rows)
    counts = xp.zeros(num + 1, np.int32)  # bincount waits for the device
    update_at("add", counts, ids, xp.ones(ids.shape, np.int32))
    counts = counts.reshape((-1,) + (1,) * (rows.ndim - 1))
    if kind == "mean":
        some = xp.maximum(counts, 1)
        out = out / some if out.dtype.kind not in "iu" else out // some
    out = xp.where(counts > 0, out, empty)
    return out[:num].astype(rows.dtype)


# -- sorted ids -------------------------------------------------------------------------------


def _sorted_impl(kind: str) -> Any:
    def impl(data: Any, segment_ids: Any) -> Any:
        if len(segment_ids) != len(data):
            raise InvalidArgumentError(
                "segment_ids should be the same size as dimension 0 of input."
            )
        if len(segment_ids) and (
            int(segment_ids[0]) < 0 or (segment_ids[1:] < segment_ids[:-1]).any()
        ):
            raise InvalidArgumentError("segment ids are not increasing")
        num = int(segment_ids[-1]) + 1 if len(segment_ids) else 0
        return _reduce(kind, data, segment_ids, num, 1 if kind == "prod" else 0)

    return impl


def _sorted_shape(data: Any, segment_ids: Any) -> TensorSpec:
    if segment_ids.shape.rank not in (1, None):
        raise InvalidArgumentError(
            f"segment_ids should be a vector, got shape {segment_ids.shape}"
        )
    if data.shape.rank is None:
        return TensorSpec(None, data.dtype)
    return TensorSpec(TensorShape([None]).concatenate(data.shape[1:]), data.dtype)


def _ones_column(ids: Any, like: Any) -> Tensor:
    """[n, 1, ...] of ones, of the dtype and rank of `like`."""
    rank = like.shape.rank
    return (
        ones(concat([shape(ids)[:1], [1] * (rank - 1)], 0), like.dtype)
        if rank > 1
        else reshape(ones(shape(ids), like.dtype), [-1])
    )


def _segment_mean_vjp(op: Any, g: Any) -> Any:
    data, ids = op.inputs
    counts = SegmentSum(_ones_column(ids, data), ids)
    return gather(g / Maximum(counts, counts * 0 + 1), ids), None


def _segment_extremum_vjp(op: Any, g: Any) -> Any:
    data, ids = op.inputs
    chosen = cast(Equal(data, gather(op.outputs[0], ids)), g.dtype)
    shared = divide_no_nan(g, SegmentSum(chosen, ids))
    return chosen * gather(shared, ids), None


def _segment_prod_vjp(op: Any, g: Any) -> Any:
    data, ids = op.inputs
    return gather(g * op.outputs[0], ids) / data, None


def _sorted(name: str, kind: str, vjp: Any, types: Any) -> Primitive:
    return Primitive(
        name,
        "data: T, segment_ids: Tindices",
        impl=_sorted_impl(kind),
        shape=_sorted_shape,
        vjp=vjp,
        types={"T": types},
    )


_ORDERED = FLOATS + INTEGERS
SegmentSum = _sorted(
    "SegmentSum", "sum", lambda op, g: (gather(g, op.inputs[1]), None), NUMERIC
)
SegmentMean = _sorted("SegmentMean", "mean", _segment_mean_vjp, NUMERIC)
SegmentProd = _sorted("SegmentProd", "prod", _segment_prod_vjp, NUMERIC)
SegmentMax = _sorted("SegmentMax", "max", _segment_extremum_vjp, _ORDERED)
SegmentMin = _sorted("SegmentMin", "min", _segment_extremum_vjp, _ORDERED)


def segment_sum(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """Sums of the rows of equal id; `segment_ids` is sorted, missing ids give 0.

    >>> segment_sum([[1.0], [2.0], [4.0]], [0, 0, 1]).numpy()
    array([[3.],
           [4.]], dtype=float32)
    """
    return SegmentSum(data, segment_ids)


def segment_mean(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """Means of the rows of equal id; `segment_ids` is sorted, missing ids give 0."""
    return SegmentMean(data, segment_ids)


def segment_prod(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """Products of the rows of equal id; `segment_ids` is sorted, missing ids give 1."""
    return SegmentProd(data, segment_ids)


def segment_max(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """Maxima of the rows of equal id; `segment_ids` is sorted, missing ids give 0."""
    return SegmentMax(data, segment_ids)


def segment_min(data: Any, segment_ids: Any, name: str | None = None) -> Tensor:
    """Minima of the rows of equal id; `segment_ids` is sorted, missing ids give 0."""
    return SegmentMin(data, segment_ids)


# -- unsorted ids -----------------------------------------------------------------------------


def _unsorted_impl(kind: str) -> Any:
    def impl(data: Any, segment_ids: Any, num_segments: Any) -> Any:
        if data.shape[: segment_ids.ndim] != segment_ids.shape:
            raise InvalidArgumentError(
                f"data.shape = {list(data.shape)} does not start with "
                f"segment_ids.shape = {list(segment_ids.shape)}"
            )
        return _reduce(kind, data, segment_ids, int(num_segments), _start(kind, data.dtype))

    return impl


def _unsorted_shape(data: Any, segment_ids: Any, num_segments: Any) -> TensorSpec:
    num = constant_value(num_segments)
    lead = TensorShape([None if num is None else int(num)])
    if segment_ids.shape.rank is None or data.shape.rank is None:
        return TensorSpec(None, data.dtype)
    return TensorSpec(lead.concatenate(data.shape[segment_ids.shape.rank :]), data.dtype)


def _gather_impl(g: Any, ids: Any) -> Any:
    dropped = ids < 0
    rows = g[np.where(dropped, 0, ids)]
    rows[dropped] = 0
    return rows


def _gather_shape(g: Any, ids: Any) -> TensorSpec:
    return TensorSpec(ids.shape.concatenate(g.shape[1:]), g.dtype)


def _gather_vjp(op: Any, gg: Any) -> Any:
    g, ids = op.inputs
    return UnsortedSegmentSum(gg, ids, shape(g)[0]), None


_GatherOrZero = Primitive(
    "_GatherOrZero",
    "g: T, ids: Tindices",
    impl=_gather_impl,
    shape=_gather_shape,
    vjp=_gather_vjp,
)


def _gather_drop_negative(g: Any, ids: Any) -> Tensor:
    """Rows of `g` at `ids`, zeros where an id is negative."""
    return _GatherOrZero(g, ids)


def _unsorted_sum_vjp(op: Any, g: Any) -> Any:
    return _gather_drop_negative(g, op.inputs[1]), None, None


def _unsorted_extremum_vjp(op: Any, g: Any) -> Any:
    data, ids, num = op.inputs
    chosen = cast(Equal(data, _gather_drop_negative(op.outputs[0], ids)), g.dtype)
    shared = divide_no_nan(g, UnsortedSegmentSum(chosen, ids, num))
    return chosen * _gather_drop_negative(shared, ids), None, None


def _unsorted_prod_vjp(op: Any, g: Any) -> Any:
    return _gather_drop_negative(g * op.outputs[0], op.inputs[1]) / op.inputs[0], None, None


def _unsorted(name: str, kind: str, vjp: Any, types: Any) -> Primitive:
    return Primitive(
        name,
        "data: T, segment_ids: Tindices, num_segments: Tnumsegments",
        impl=_unsorted_impl(kind),
        shape=_unsorted_shape,
        vjp=vjp,
        types={"T": types},
    )


UnsortedSegmentSum = _unsorted("UnsortedSegmentSum", "sum", _unsorted_sum_vjp, NUMERIC)
UnsortedSegmentProd = _unsorted("UnsortedSegmentProd", "prod", _unsorted_prod_vjp, NUMERIC)
UnsortedSegmentMax = _unsorted("UnsortedSegmentMax", "max", _unsorted_extremum_vjp, _ORDERED)
UnsortedSegmentMin = _unsorted("UnsortedSegmentMin", "min", _unsorted_extremum_vjp, _ORDERED)


def unsorted_segment_sum(
    data: Any, segment_ids: Any, num_segments: Any, name: str | None = None
) -> Tensor:
    """Sums of the parts of `data` of equal id, [num_segments, ...]; missing ids give 0.

    Args:
        data: [*ids_shape, ...].
        segment_ids: integers of shape ids_shape, in any order; negative ones are dropped.
        num_segments: the number of results.
    """
    return UnsortedSegmentSum(data, segment_ids, num_segments)


def unsorted_segment_prod(
    data: Any, segment_ids: Any, num_segments: Any, name: str | None = None
) -> Tensor:
    """Products of the parts of equal id; missing ids give 1."""
    return UnsortedSegmentProd(data, segment_ids, num_segments)


def unsorted_segment_max(
    data: Any, segment_ids: Any, num_segments: Any, name: str | None = None
) -> Tensor:
    """Maxima of the parts of equal id; missing ids give the dtype's lowest value."""
    return UnsortedSegmentMax(data, segment_ids, num_segments)


def unsorted_segment_min(
    data: Any, segment_ids: Any, num_segments: Any, name: str | None = None
) -> Tensor:
    """Minima of the parts of equal id; missing ids give the dtype's highest value."""
    return UnsortedSegmentMin(data, segment_ids, num_segments)


def unsorted_segment_mean(
    data: Any, segment_ids: Any, num_segments: Any, name: str | None = None
) -> Tensor:
    """Means of the parts of equal id; missing ids give 0."""
    data = to_tensor(data, None)
    return UnsortedSegmentSum(data, segment_ids, num_segments) / _counts(
        data, segment_ids, num_segments
    )


def unsorted_segment_sqrt_n(
    data: Any, segment_ids: Any, num_segments: Any, name: str | None = None
) -> Tensor:
    """Sums of the parts of equal id over the square root of their count; missing ids give 0."""
    data = to_tensor(data, None)
    return UnsortedSegmentSum(data, segment_ids, num_segments) / sqrt(
        _counts(data, segment_ids, num_segments)
    )


def _counts(data: Any, ids: Any, num: Any) -> Tensor:
    ids = to_tensor(ids, None)
    found = Maximum(
        UnsortedSegmentSum(ones_like(ids, data.dtype), ids, num), to_tensor(1, data.dtype)
    )
    extra = data.shape.rank - ids.shape.rank
    return reshape(found, concat([shape(found), [1] * extra], 0)) if extra else found
