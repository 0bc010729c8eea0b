"""Reductions over segments of chosen rows: ``data[indices]`` reduced by sorted segment ids.

TensorFlow calls these sparse because `indices` picks a few rows of a large table, as an
embedding lookup does; `data` itself is dense.  The rows are gathered and reduced with one
``ufunc.reduceat``, in the segments' own order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array_basics import shape as shape_of
from .array_gather import check_indices
from .array_index import getitem
from .array_module import array_module, is_on_device
from .atomic_updates import update_at
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .shape_rules import FLOATS, INTEGERS
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["segment_mean", "segment_sqrt_n", "segment_sum"]


def _scale(kind: str, counts: np.ndarray, dtype: np.dtype, rank: int) -> np.ndarray:
    """What sums of `counts` rows are divided by, with axes to broadcast to `rank`."""
    by = counts if kind == "mean" else np.sqrt(counts)
    return by.astype(dtype).reshape((-1,) + (1,) * (rank - 1))


def _checked(indices: Any, segment_ids: Any, rows: int, name: str) -> None:
    if len(indices) != len(segment_ids):
        raise InvalidArgumentError(
            f"segment_ids and indices should have same size, got {len(segment_ids)} and "
            f"{len(indices)} [Op:{name}]",
            op=name,
        )
    if len(segment_ids):
        if int(segment_ids[0]) < 0 or (segment_ids[1:] < segment_ids[:-1]).any():
            raise InvalidArgumentError(
                f"segment ids are not increasing (they must be sorted and not negative) "
                f"[Op:{name}]",
                op=name,
            )
        check_indices(indices, rows, name)


def _reduced(kind: str, data: Any, indices: Any, ids: Any, num: int, name: str) -> Any:
    _checked(indices, ids, data.shape[0], name)
    out = array_module(data).zeros((num, *data.shape[1:]), data.dtype)
    if not len(ids):
        return out
    if int(ids[-1]) >= num:
        raise InvalidArgumentError(
            f"segment ids must be < num_segments, got {int(ids[-1])} and {num} [Op:{name}]",
            op=name,
        )
    if is_on_device(data):
        return _reduced_at(kind, data[indices], ids, num)
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    wide = (
        np.float32 if data.dtype.itemsize == 2 and data.dtype.kind not in "iu" else data.dtype
    )
    found = np.add.reduceat(data[indices].astype(wide, copy=False), starts, axis=0, dtype=wide)
    if kind != "sum":
        counts = np.diff(np.append(starts, len(ids)))
        found = found / _scale(kind, counts, found.dtype, found.ndim)
    out[ids[starts]] = found.astype(data.dtype, copy=False)
    return out


def _reduced_at(kind: str, rows: Any, ids: Any, num: int) -> Any:
    """The same by atomic updates."""
    xp = array_module(rows)
    small = rows.dtype.itemsize == 2 and rows.dtype.kind not in "iu"
    out = xp.zeros((num, *rows.shape[1:]), np.float32 if small else rows.dtype)
    update_at("add", out, ids, rows)
    if kind != "sum":
        counts = xp.maximum(xp.bincount(ids, minlength=num), 1)
        out = out / _scale(kind, counts, out.dtype, out.ndim)
    return out.astype(rows.dtype, copy=False)


def _impl(kind: str, name: str) -> Any:
    def impl(
        data: Any, indices: Any, segment_ids: Any, num_segments: Any = None, **_: Any
    ) -> Any:
        last = int(segment_ids[-1]) + 1 if len(segment_ids) else 0
        num = last if num_segments is None else int(num_segments)
        return _reduced(kind, data, indices, segment_ids, num, name)

    return impl


def _shape(
    data: Any, indices: Any, segment_ids: Any, num_segments: Any = None, **_: Any
) -> TensorSpec:
    for what, t in (("indices", indices), ("segment_ids", segment_ids)):
        if t.shape.rank not in (1, None):
            raise InvalidArgumentError(f"{what} should be a vector, got shape {t.shape}")
    if data.shape.rank is None:
        return TensorSpec(None, data.dtype)
    if data.shape.rank == 0:
        raise InvalidArgumentError("data must have at least one axis, got a scalar")
    num = None if num_segments is None else constant_value(num_segments)
    lead = TensorShape([None if num is None else int(num)])
    return TensorSpec(lead.concatenate(data.shape[1:]), data.dtype)


def _grad_impl(kind: str, name: str) -> Any:
    """The gradient for `data`: rows of `grad` shared out and added up by index."""

    def impl(grad: Any, indices: Any, segment_ids: Any, output_dim0: Any) -> Any:
        xp = array_module(grad)
        rows = grad[segment_ids]
        if kind != "sum":
            counts = xp.bincount(segment_ids, minlength=len(grad))[segment_ids]
            rows = rows / _scale(kind, counts, rows.dtype, rows.ndim)
        check_indices(indices, int(output_dim0), name)
        out = xp.zeros((int(output_dim0), *grad.shape[1:]), grad.dtype)
        if xp is not np:
            update_at("add", out, indices, rows)
        elif len(indices):
            order = np.argsort(indices, kind="stable")
            at = indices[order]
            starts = np.flatnonzero(np.concatenate([[True], at[1:] != at[:-1]]))
            out[at[starts]] = np.add.reduceat(rows[order], starts, axis=0, dtype=rows.dtype)
        return out

    return impl


def _grad_shape(grad: Any, indices: Any, segment_ids: Any, output_dim0: Any) -> TensorSpec:
    if grad.shape.rank is None:
        return TensorSpec(None, grad.dtype)
    rows = constant_value(output_dim0)
    lead = TensorShape([None if rows is None else int(rows)])
    return TensorSpec(lead.concatenate(grad.shape[1:]), grad.dtype)


def _declare(kind: str, suffix: str) -> tuple[Primitive, Primitive]:
    name = f"SparseSegment{suffix}"
    types = {"T": FLOATS + INTEGERS if kind == "sum" else FLOATS}

    def grad_vjp(op: Any, gg: Any) -> Any:
        # The gradient is linear in `grad`, and its transpose is the reduction itself.
        grad, indices, ids, _ = op.inputs
        return with_num(gg, indices, ids, shape_of(grad)[0]), None, None, None

    gradient = Primitive(
        f"{name}Grad",
        "grad: T, indices: Tidx, segment_ids: Tsegmentids, output_dim0: int32",
        impl=_grad_impl(kind, f"{name}Grad"),
        shape=_grad_shape,
        vjp=grad_vjp,
        types={"T": FLOATS},
    )

    def vjp(op: Any, g: Any) -> Any:
        data, indices, ids, *rest = op.inputs
        rows = getitem(shape_of(data), 0)
        return (gradient(g, indices, ids, rows), *[None] * (2 + len(rest)))

    common = {"shape": _shape, "vjp": vjp, "types": types, "check_first": True}
    plain = Primitive(
        name, "data: T, indices: Tidx, segment_ids: Tsegmentids", impl=_impl(kind, name),
        defaults={"sparse_gradient": False}, **common,
    )  # fmt: skip
    with_num = Primitive(
        f"{name}WithNumSegments",
        "data: T, indices: Tidx, segment_ids: Tsegmentids, num_segments: Tnumsegments",
        impl=_impl(kind, f"{name}WithNumSegments"),
        defaults={"sparse_gradient": False},
        **common,
    )
    return plain, with_num


SparseSegmentSum, SparseSegmentSumWithNumSegments = _declare("sum", "Sum")
SparseSegmentMean, SparseSegmentMeanWithNumSegments = _declare("mean", "Mean")
SparseSegmentSqrtN, SparseSegmentSqrtNWithNumSegments = _declare("sqrt_n", "SqrtN")


def segment_sum(
    data: Any,
    indices: Any,
    segment_ids: Any,
    num_segments: Any = None,
    name: str | None = None,
    sparse_gradient: bool = False,
) -> Tensor:
    """Sums of the rows ``data[indices]`` of equal id: [segments, *data.shape[1:]].

    Args:
        data: numbers [rows, ...].
        indices: integers [n]: which rows.
        segment_ids: integers [n], sorted: the segment of each.
        num_segments: how many results; one more than the last id if None.
        name: ignored.
        sparse_gradient: taken for TensorFlow's sake; the gradient is dense.

    Raises:
        InvalidArgumentError: the ids are not sorted, or an index is out of range.

    >>> segment_sum([[1.0], [2.0], [4.0]], [0, 2, 1], [0, 0, 1]).numpy().ravel()
    array([5., 2.], dtype=float32)
    """
    if num_segments is None:
        return SparseSegmentSum(data, indices, segment_ids)
    return SparseSegmentSumWithNumSegments(data, indices, segment_ids, num_segments)


def segment_mean(
    data: Any,
    indices: Any,
    segment_ids: Any,
    num_segments: Any = None,
    name: str | None = None,
    sparse_gradient: bool = False,
) -> Tensor:
    """Means of the rows ``data[indices]`` of equal id; see `segment_sum`."""
    if num_segments is None:
        return SparseSegmentMean(data, indices, segment_ids)
    return SparseSegmentMeanWithNumSegments(data, indices, segment_ids, num_segments)


def segment_sqrt_n(
    data: Any,
    indices: Any,
    segment_ids: Any,
    num_segments: Any = None,
    name: str | None = None,
    sparse_gradient: bool = False,
) -> Tensor:
    """Sums of the rows ``data[indices]`` of equal id over the root of their number; see
    `segment_sum`."""
    if num_segments is None:
        return SparseSegmentSqrtN(data, indices, segment_ids)
    return SparseSegmentSqrtNWithNumSegments(data, indices, segment_ids, num_segments)
