"""Sparse tensors: add, maximum, minimum, reduce_max, softmax, sampled_addmm, bincount.

Two sparse tensors meet by the row-major places of their elements: one `unique` of both gives
the places of the result, and for each element where it goes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast, reshape, shape as shape_of
from .array_gather import gather_nd
from .array_index import getitem
from .array_join import concat
from .convert import to_tensor
from .dtypes import as_dtype
from .errors import InvalidArgumentError
from .linalg_ops import matrix_transpose
from .primitive import Primitive
from .ragged_tensor import RaggedTensor
from .reductions import reduce_sum
from .sequences import range as counting
from .sparse_tensor import SparseTensor, flat_places
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "add", "bincount", "maximum", "minimum", "reduce_max", "sampled_addmm", "softmax",
]  # fmt: skip

_PAIR = (
    "a_indices: int64, a_values: T, a_shape: int64, b_indices: int64, b_values: T, "
    "b_shape: int64"
)


def _met(a: Any, b: Any, a_shape: Any, b_shape: Any, op: str) -> tuple[Any, ...]:
    """Coordinates of all places, and where the elements of `a` and of `b` stand among them."""
    if not np.array_equal(a_shape, b_shape):
        raise InvalidArgumentError(
            f"Operands do not have the same shape: {a_shape.tolist()} and {b_shape.tolist()} "
            f"[Op:{op}]",
            op=op,
        )
    dims = tuple(a_shape.tolist())
    both = np.concatenate([flat_places(i, dims, op, False) for i in (a, b)])
    places, where = np.unique(both, return_inverse=True)
    at = (
        np.stack(np.unravel_index(places, dims), 1) if len(dims) else np.zeros((len(places), 0))
    )
    return at.astype(np.int64), where[: len(a)], where[len(a) :]


def _parts(values: Any, rank: Any) -> tuple[TensorSpec, ...]:
    return (
        TensorSpec([None, rank], dtypes.int64),
        TensorSpec([None], values.dtype),
        TensorSpec([rank], dtypes.int64),
    )


def _pair_shape(ai: Any, av: Any, a: Any, *_: Any) -> Any:
    return _parts(av, a.shape[0] if a.shape.rank == 1 else None)


# -- addition ---------------------------------------------------------------------------------


def _add_impl(ai: Any, av: Any, a: Any, bi: Any, bv: Any, b: Any, thresh: Any) -> Any:
    at, first, second = _met(ai, bi, a, b, "SparseAdd")
    out = np.zeros(len(at), av.dtype)
    np.add.at(out, first, av)
    np.add.at(out, second, bv)
    # As in TensorFlow only sums are left out, not elements that stand alone.
    met = np.bincount(first, minlength=len(at)) + np.bincount(second, minlength=len(at)) > 1
    keep = ~met | (np.abs(out) >= thresh)
    return at[keep], out[keep], a.copy()


def _add_vjp(op: Any, gi: Any, gv: Any, gs: Any) -> Any:
    ai, bi = op.inputs[0], op.inputs[3]
    to_a, to_b = SparseAddGrad(gv, ai, bi, op.outputs[0])
    return None, to_a, None, None, to_b, None, None


def _add_grad_impl(g: Any, ai: Any, bi: Any, summed: Any) -> Any:
    every = np.concatenate([ai, bi, summed])
    dims = tuple((every.max(0) + 1).tolist()) if len(every) else (1,) * every.shape[1]
    places = flat_places(summed, dims, "SparseAddGrad", False)
    order = np.argsort(places)
    found = []
    for part in (ai, bi):
        flat = flat_places(part, dims, "SparseAddGrad", False)
        at = np.searchsorted(places[order], flat)
        at = np.minimum(at, max(len(places) - 1, 0))
        hit = places[order][at] == flat if len(places) else np.zeros(len(flat), bool)
        values = g[order][at] if len(places) else np.zeros(len(flat), g.dtype)
        found.append(np.where(hit, values, 0).astype(g.dtype))
    return tuple(found)


SparseAdd = Primitive(
    "SparseAdd",
    _PAIR + ", thresh: Treal",
    impl=_add_impl,
    shape=lambda *xs: _pair_shape(*xs),
    vjp=_add_vjp,
)
SparseAddGrad = Primitive(
    "SparseAddGrad",
    "backprop_val_grad: T, a_indices: int64, b_indices: int64, sum_indices: int64",
    impl=_add_grad_impl,
    shape=lambda g, a, b, s: tuple(TensorSpec([i.shape[0]], g.dtype) for i in (a, b)),
)


def _dense_add_impl(indices: Any, values: Any, shape: Any, b: Any) -> Any:
    if tuple(shape.tolist()) != b.shape:
        raise InvalidArgumentError(
            f"shapes {shape.tolist()} and {list(b.shape)} do not fit [Op:SparseTensorDenseAdd]",
            op="SparseTensorDenseAdd",
        )
    out = b.copy()
    np.add.at(out, tuple(indices.T), values)
    return out


SparseTensorDenseAdd = Primitive(
    "SparseTensorDenseAdd",
    "a_indices: Tindices, a_values: T, a_shape: Tindices, b: T",
    impl=_dense_add_impl,
    shape=lambda i, v, s, b: TensorSpec(b.shape, b.dtype),
    vjp=lambda op, g: (None, gather_nd(g, op.inputs[0]), None, g),
)


def add(a: Any, b: Any, threshold: Any = 0) -> Any:
    """The sum of two tensors, at least one of them sparse; sparse only if both are.

    Args:
        a, b: of one shape.
        threshold: sums of two elements nearer to zero than this are left out.

    Raises:
        TypeError: neither is sparse.
    """
    if not isinstance(a, SparseTensor) and not isinstance(b, SparseTensor):
        raise TypeError("At least one input should be SparseTensor; use hr.add for plain ones.")
    if isinstance(a, SparseTensor) and isinstance(b, SparseTensor):
        real = a.dtype
        if real.is_complex:
            real = dtypes.float32 if real is dtypes.complex64 else dtypes.float64
        limit = cast(to_tensor(threshold, None), real)
        out = SparseAdd(
            a.indices, a.values, a.dense_shape, b.indices, b.values, b.dense_shape, limit
        )
        return SparseTensor(*out)
    sparse, dense = (a, b) if isinstance(a, SparseTensor) else (b, a)
    return SparseTensorDenseAdd(sparse.indices, sparse.values, sparse.dense_shape, dense)


# -- maximum and minimum ----------------------------------------------------------------------


def _extremum(name: str, ufunc: Any) -> Primitive:
    def impl(ai: Any, av: Any, a: Any, bi: Any, bv: Any, b: Any) -> Any:
        at, first, second = _met(ai, bi, a, b, name)
        x, y = np.zeros(len(at), av.dtype), np.zeros(len(at), av.dtype)
        x[first], y[second] = av, bv
        # As in TensorFlow the result is indices and values; the shape is the inputs'.
        return at, ufunc(x, y)

    return Primitive(
        name,
        _PAIR,
        impl=impl,
        shape=lambda *xs: _pair_shape(*xs)[:2],
        vjp=lambda op, *gs: (None,) * 6,
    )


SparseSparseMaximum = _extremum("SparseSparseMaximum", np.maximum)
SparseSparseMinimum = _extremum("SparseSparseMinimum", np.minimum)


def maximum(sp_a: SparseTensor, sp_b: SparseTensor, name: str | None = None) -> SparseTensor:
    """The greater of two sparse tensors, elementwise; what is not there counts as 0."""
    return _paired(SparseSparseMaximum, sp_a, sp_b)


def minimum(sp_a: SparseTensor, sp_b: SparseTensor, name: str | None = None) -> SparseTensor:
    """The lesser of two sparse tensors, elementwise; what is not there counts as 0."""
    return _paired(SparseSparseMinimum, sp_a, sp_b)


def _paired(primitive: Primitive, a: SparseTensor, b: SparseTensor) -> SparseTensor:
    found = primitive(a.indices, a.values, a.dense_shape, b.indices, b.values, b.dense_shape)
    return SparseTensor(*found, a.dense_shape)


# -- reductions -------------------------------------------------------------------------------


def _reduced(indices: Any, values: Any, shape: Any, axes: Any, ufunc: Any) -> tuple[Any, ...]:
    rank = len(shape)
    gone = {int(a) % rank if rank else int(a) for a in np.asarray(axes).reshape(-1)}
    kept = [a for a in range(rank) if a not in gone]
    dims = tuple(int(shape[a]) for a in kept)
    flat = (
        flat_places(indices[:, kept], dims, "SparseReduce", False)
        if kept
        else np.zeros(len(indices), np.int64)
    )
    order = np.argsort(flat, kind="stable")
    places, starts = np.unique(flat[order], return_index=True)
    found = ufunc.reduceat(values[order], starts, dtype=values.dtype) if len(starts) else values
    return places, found, dims, [1 if a in gone else int(shape[a]) for a in range(rank)]


def _dense_reduction(name: str, ufunc: Any) -> Primitive:
    def impl(indices: Any, values: Any, shape: Any, axes: Any, *, keep_dims: bool) -> Any:
        places, found, dims, full = _reduced(indices, values, shape, axes, ufunc)
        out = np.zeros(int(np.prod(dims, dtype=np.int64)), values.dtype)
        out[places] = found
        return out.reshape(full if keep_dims else dims)

    return Primitive(
        name,
        "input_indices: int64, input_values: T, input_shape: int64, reduction_axes: int32",
        impl=impl,
        shape=lambda i, v, s, a, **_: TensorSpec(None, v.dtype),
        defaults={"keep_dims": False},
    )


def _sparse_reduction(name: str, ufunc: Any) -> Primitive:
    def impl(indices: Any, values: Any, shape: Any, axes: Any, *, keep_dims: bool) -> Any:
        places, found, dims, full = _reduced(indices, values, shape, axes, ufunc)
        size = tuple(full) if keep_dims else dims
        at = np.unravel_index(places, size) if size else ()
        at = np.stack(at, 1) if size else np.zeros((len(places), 0))
        return at.astype(np.int64), found, np.array(size, np.int64)

    return Primitive(
        name,
        "input_indices: int64, input_values: T, input_shape: int64, reduction_axes: int32",
        impl=impl,
        shape=lambda i, v, s, a, **_: _parts(v, None),
        defaults={"keep_dims": False},
    )


SparseReduceMax = _dense_reduction("SparseReduceMax", np.maximum)
SparseReduceSum = _dense_reduction("SparseReduceSum", np.add)
SparseReduceMaxSparse = _sparse_reduction("SparseReduceMaxSparse", np.maximum)
SparseReduceSumSparse = _sparse_reduction("SparseReduceSumSparse", np.add)


def reduce_max(
    sp_input: SparseTensor,
    axis: Any = None,
    keepdims: bool | None = None,
    output_is_sparse: bool = False,
    name: str | None = None,
) -> Any:
    """The greatest element along `axis` among those that are there; 0 where there is none.

    Args:
        sp_input: the sparse tensor.
        axis: one or several; all by default.
        keepdims: keep the axes with size 1.
        output_is_sparse: give a `SparseTensor`.
        name: ignored.
    """
    if axis is None:
        axis = list(range(sp_input.shape.rank))
    axes = np.atleast_1d(np.asarray(axis, np.int32))
    primitive = SparseReduceMaxSparse if output_is_sparse else SparseReduceMax
    out = primitive(
        sp_input.indices, sp_input.values, sp_input.dense_shape, axes,
        keep_dims=bool(keepdims),
    )  # fmt: skip
    return SparseTensor(*out) if output_is_sparse else out


# -- softmax ----------------------------------------------------------------------------------


def _rows_of(indices: Any, shape: Any) -> tuple[Any, Any]:
    """The row (all axes but the last) of each element, and where rows begin."""
    flat = flat_places(indices[:, :-1], tuple(shape.tolist())[:-1], "SparseSoftmax", False)
    return np.unique(flat, return_inverse=True)


def _softmax_impl(indices: Any, values: Any, shape: Any) -> Any:
    if len(shape) < 2:
        raise InvalidArgumentError(
            f"Input should have rank >= 2, but received shape: {shape.tolist()} "
            "[Op:SparseSoftmax]",
            op="SparseSoftmax",
        )
    rows, row = _rows_of(indices, shape)
    top = np.full(len(rows), -np.inf, values.dtype)
    np.maximum.at(top, row, values)
    powers = np.exp(values - top[row])
    total = np.bincount(row, powers, len(rows)).astype(values.dtype)
    return (powers / total[row]).astype(values.dtype)


def _row_sums_impl(indices: Any, values: Any, shape: Any) -> Any:
    rows, row = _rows_of(indices, shape)
    return np.bincount(row, values, len(rows)).astype(values.dtype)[row]


_SparseRowSums = Primitive(
    "_SparseRowSums",
    "indices: int64, values: T, shape: int64",
    impl=_row_sums_impl,
    shape=lambda i, v, s: TensorSpec(v.shape, v.dtype),
    # Each element gets its row's sum: a symmetric matrix.
    vjp=lambda op, g: (None, _SparseRowSums(op.inputs[0], g, op.inputs[2]), None),
)


def _softmax_vjp(op: Any, g: Any) -> Any:
    indices, _, dims = op.inputs
    out = op.outputs[0]
    return None, out * (g - _SparseRowSums(indices, out * g, dims)), None


SparseSoftmax = Primitive(
    "SparseSoftmax",
    "sp_indices: int64, sp_values: T, sp_shape: int64",
    impl=_softmax_impl,
    shape=lambda i, v, s: TensorSpec(v.shape, v.dtype),
    vjp=_softmax_vjp,
)


def softmax(sp_input: SparseTensor, name: str | None = None) -> SparseTensor:
    """The softmax along the last axis over the elements that are there.

    Raises:
        InvalidArgumentError: fewer than two axes.
    """
    out = SparseSoftmax(sp_input.indices, sp_input.values, sp_input.dense_shape)
    return SparseTensor(sp_input.indices, out, sp_input.dense_shape)


# -- products at chosen places ----------------------------------------------------------------


def sampled_addmm(
    indices: Any,
    values: Any,
    dense_shape: Any,
    mat1: Any,
    mat2: Any,
    beta: Any = 1.0,
    alpha: Any = 1.0,
    output_type: Any = dtypes.float32,
) -> tuple[Tensor, Tensor, Tensor]:
    """``alpha * (mat1 @ mat2) + beta * values`` at the given places only.

    Args:
        indices: [n, rank] places in the product.
        values: [n], what stands there.
        dense_shape: of the product, [..., rows, columns].
        mat1: [..., rows, k].
        mat2: [..., k, columns].
        beta, alpha: factors.
        output_type: of the result.

    Returns:
        indices, the new values, and dense_shape.
    """
    indices = cast(to_tensor(indices, None), dtypes.int64)
    kind = as_dtype(output_type)
    first, second = (cast(to_tensor(m, None), kind) for m in (mat1, mat2))
    rows = gather_nd(first, getitem(indices, (Ellipsis, slice(None, -1))))
    column = concat(
        [
            getitem(indices, (Ellipsis, slice(None, -2))),
            getitem(indices, (Ellipsis, slice(-1, None))),
        ],
        -1,
    )
    columns = gather_nd(matrix_transpose(second), column)
    product = reduce_sum(rows * columns, -1)
    out = to_tensor(alpha, kind) * product + to_tensor(beta, kind) * cast(
        to_tensor(values, None), kind
    )
    return indices, out, cast(to_tensor(dense_shape, None), dtypes.int64)


# -- counts -----------------------------------------------------------------------------------


def _count_impl(
    rows: Any, values: Any, weights: Any, n: Any, *, minlength: int, maxlength: int,
    binary_output: bool, matrix: bool,
) -> Any:  # fmt: skip
    if values.size and int(values.min()) < 0:
        raise InvalidArgumentError(
            f"bincount: values must not be negative, got {int(values.min())}", op="bincount"
        )
    size = max(int(values.max()) + 1 if values.size else 0, minlength)
    size = maxlength if maxlength > 0 else size
    keep = values < size
    kind = values.dtype
    rows, values = rows[keep].astype(np.int64), values[keep].astype(np.int64)
    cells, where = np.unique(rows * max(size, 1) + values, return_inverse=True)
    if binary_output:
        found = np.ones(len(cells), weights.dtype if weights.size else kind)
    elif weights.size:
        found = np.zeros(len(cells), weights.dtype)
        np.add.at(found, where, weights.reshape(-1)[keep])
    else:
        found = np.bincount(where, minlength=len(cells)).astype(kind)
    row, value = cells // max(size, 1), cells % max(size, 1)
    if not matrix:
        return value[:, None].astype(np.int64), found, np.array([size], np.int64)
    return np.stack([row, value], 1).astype(np.int64), found, np.array([int(n), size], np.int64)


_SparseCount = Primitive(
    "_CountSparseOutput",
    "rows: int64, values: T, weights: U, n: int64",
    impl=_count_impl,
    shape=lambda r, v, w, n, *, matrix, **_: _parts(w, 2 if matrix else 1),
    vjp=lambda op, *gs: (None,) * 4,
)


def bincount(
    values: Any,
    weights: Any = None,
    axis: int | None = 0,
    minlength: int | None = None,
    maxlength: int | None = None,
    binary_output: bool = False,
    name: str | None = None,
) -> SparseTensor:
    """How often each integer appears, as a sparse tensor of the counts that are not zero.

    Args:
        values: integers, plain, sparse or ragged, of one or two axes.
        weights: added up in place of 1, of the structure of `values`.
        axis: 0 (or None) to count all values together, -1 for each row by itself.
        minlength: size of the last axis at least.
        maxlength: size of the last axis; larger values are left out.
        binary_output: 1 for every value that appears.
        name: ignored.

    Returns:
        [size] or [rows, size], of the dtype of `values`, or of `weights` if given.

    Raises:
        ValueError: another axis, or both weights and binary_output.
    """
    if axis not in (0, -1, None):
        raise ValueError(f"Unsupported value for argument axis={axis}. Only 0 and -1 are.")
    if weights is not None and binary_output:
        raise ValueError("Arguments `binary_output` and `weights` are mutually exclusive.")
    by_row = axis == -1
    if isinstance(values, SparseTensor):
        flat, rank = values.values, values.shape.rank
        rows = getitem(values.indices, (slice(None), 0))
        n = getitem(values.dense_shape, 0)
        plain = weights.values if isinstance(weights, SparseTensor) else weights
    elif isinstance(values, RaggedTensor):
        flat, rank = values.values, 2
        rows, n = cast(values.value_rowids(), dtypes.int64), values.nrows(dtypes.int64)
        plain = weights.values if isinstance(weights, RaggedTensor) else weights
    else:
        x = to_tensor(values, None)
        flat, rank = reshape(x, [-1]), x.shape.rank
        n = getitem(shape_of(x, dtypes.int64), 0) if rank else to_tensor(1, dtypes.int64)
        width = 1 if rank != 2 else getitem(shape_of(x, dtypes.int64), 1)
        rows = counting(getitem(shape_of(flat, dtypes.int64), 0)) // width
        plain = None if weights is None else reshape(to_tensor(weights, None), [-1])
    matrix = by_row and rank == 2
    if not matrix:
        rows = rows * 0
    plain = to_tensor(np.zeros(0, flat.dtype.np_dtype), None) if plain is None else plain
    found = _SparseCount(
        rows, flat, plain, n, minlength=int(minlength or 0), maxlength=int(maxlength or 0),
        binary_output=bool(binary_output), matrix=matrix,
    )  # fmt: skip
    return SparseTensor(*found)
