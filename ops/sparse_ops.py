"""The operations of `hr.sparse`: on values, rows and matrices.

A sparse tensor is three plain tensors, so an operation on it is a primitive on those and one
line of construction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import reshape as dense_reshape
from .array_gather import boolean_mask, gather
from .array_index import getitem
from .array_join import concat as dense_concat
from .array_scatter import add_rows
from .array_shape import transpose as dense_transpose
from .convert import to_tensor
from .dtypes import as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .indexed_slices import IndexedSlices
from .primitive import Primitive
from .ragged_more import sparse_cross as cross, sparse_cross_hashed as cross_hashed
from .reductions import reduce_sum as dense_sum
from .sparse_layout import (
    concat,
    expand_dims,
    reorder,
    reset_shape,
    reshape,
    retain,
    slice,
    split,
    transpose,
)
from .sparse_more import add, bincount, maximum, minimum, reduce_max, sampled_addmm, softmax
from .sparse_more_segments import segment_mean, segment_sqrt_n, segment_sum
from .sparse_tensor import SparseTensor, SparseTensorSpec, from_dense, to_dense
from .static_args import static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "SparseTensor", "SparseTensorSpec", "add", "bincount", "concat", "cross", "cross_hashed",
    "expand_dims", "eye", "fill_empty_rows", "from_dense", "map_values", "mask", "maximum",
    "minimum", "reduce_max", "reduce_sum", "reorder", "reset_shape", "reshape", "retain",
    "sampled_addmm", "segment_mean", "segment_sqrt_n", "segment_sum", "slice", "softmax",
    "sparse_dense_matmul", "split", "to_dense", "to_indicator", "transpose",
]  # fmt: skip


# -- values -----------------------------------------------------------------------------------


def map_values(op: Any, *args: Any, **kwargs: Any) -> SparseTensor:
    """`op` applied to the values of the sparse tensors among its arguments."""
    found = [a for a in (*args, *kwargs.values()) if isinstance(a, SparseTensor)]
    if not found:
        raise ValueError("No SparseTensor in argument list of map_values")
    plain = [a.values if isinstance(a, SparseTensor) else a for a in args]
    named = {k: a.values if isinstance(a, SparseTensor) else a for k, a in kwargs.items()}
    return found[0].with_values(op(*plain, **named))


def mask(a: Any, mask_indices: Any, name: str | None = None) -> Any:
    """Elements of the `IndexedSlices` `a` whose indices are not in `mask_indices`."""
    hidden = to_tensor(mask_indices, None)
    keep = to_tensor(~np.isin(a.indices.numpy(), hidden.numpy()), None)
    return IndexedSlices(
        boolean_mask(a.values, keep), boolean_mask(a.indices, keep), a.dense_shape
    )


def reduce_sum(
    sp_input: SparseTensor,
    axis: Any = None,
    keepdims: bool | None = None,
    output_is_sparse: bool = False,
    name: str | None = None,
) -> Any:
    """Sums of `sp_input` along `axis`, as a dense tensor unless `output_is_sparse`."""
    out = dense_sum(to_dense(reorder(sp_input)), axis=axis, keepdims=bool(keepdims))
    return from_dense(out) if output_is_sparse else out


def eye(
    num_rows: Any, num_columns: Any = None, dtype: Any = dtypes.float32, name: str | None = None
) -> SparseTensor:
    """The identity matrix, sparse."""
    rows = static_int(num_rows, "sparse.eye", "num_rows")
    columns = (
        rows if num_columns is None else static_int(num_columns, "sparse.eye", "num_columns")
    )
    n = np.arange(min(rows, columns), dtype=np.int64)
    return SparseTensor(
        np.stack([n, n], axis=1), np.ones(len(n), as_dtype(dtype).np_dtype), [rows, columns]
    )


def to_indicator(sp_input: SparseTensor, vocab_size: int, name: str | None = None) -> Tensor:
    """Booleans in which the values of each row of `sp_input` are marked along the last axis."""
    dims = dense_reshape(sp_input.dense_shape, [-1])
    return _Indicator(
        sp_input.indices,
        sp_input.values,
        dims,
        vocab_size=static_int(vocab_size, "to_indicator", "vocab_size"),
    )


def _indicator_impl(indices: Any, values: Any, shape: Any, *, vocab_size: int) -> Any:
    out = np.zeros((*shape.tolist()[:-1], vocab_size), bool)
    if values.size and (int(values.min()) < 0 or int(values.max()) >= vocab_size):
        raise InvalidArgumentError(
            f"to_indicator: values must be in [0, {vocab_size})", op="to_indicator"
        )
    out[(*indices.T[:-1], values)] = True
    return out


_Indicator = Primitive(
    "_Indicator",
    "indices: I, values: V, shape: S",
    impl=_indicator_impl,
    shape=lambda i, v, s, *, vocab_size: TensorSpec(
        [*(None,) * (s.shape[0] - 1), vocab_size] if s.shape.rank == 1 and s.shape[0] else None,
        dtypes.bool,
    ),
)


def fill_empty_rows(sp_input: SparseTensor, default_value: Any, name: str | None = None) -> Any:
    """`sp_input` with `default_value` in the first column of each row that has no element, and
    a vector that says which rows those were."""
    default = to_tensor(
        default_value, None if isinstance(default_value, Tensor) else sp_input.dtype
    )
    indices, source, empty = _FillEmptyRows(sp_input.indices, sp_input.dense_shape)
    values = gather(dense_concat([sp_input.values, dense_reshape(default, [1])], 0), source)
    out = SparseTensor(indices, values, sp_input.dense_shape)
    out._static_shape = sp_input._static_shape
    return out, empty


def _fill_rows_impl(indices: Any, shape: Any) -> Any:
    rows, rank = int(shape[0]), indices.shape[1]
    empty = np.ones(rows, bool)
    empty[indices[:, 0]] = False
    new = np.zeros((int(empty.sum()), rank), np.int64)
    new[:, 0] = np.flatnonzero(empty)
    joined = np.concatenate([indices, new])
    source = np.concatenate([np.arange(len(indices)), np.full(len(new), len(indices))])
    order = np.argsort(joined[:, 0], kind="stable")
    return joined[order], source[order], empty


_FillEmptyRows = Primitive(
    "_FillEmptyRows",
    "indices: I, shape: I",
    impl=_fill_rows_impl,
    shape=lambda i, s: (
        TensorSpec([None, i.shape[1] if i.shape.rank else None], i.dtype),
        TensorSpec([None], dtypes.int64),
        TensorSpec([None], dtypes.bool),
    ),
)


# -- products ---------------------------------------------------------------------------------


def sparse_dense_matmul(
    sp_a: Any, b: Any, adjoint_a: bool = False, adjoint_b: bool = False, name: str | None = None
) -> Tensor:
    """The matrix product of a sparse and a dense matrix (in either order).

    Raises:
        InvalidArgumentError: the sizes do not fit.
    """
    if isinstance(b, SparseTensor) and not isinstance(sp_a, SparseTensor):
        return dense_transpose(sparse_dense_matmul(b, sp_a, not adjoint_b, not adjoint_a))
    if adjoint_b:
        b = dense_transpose(b, conjugate=True)
    return SparseTensorDenseMatMul(
        sp_a.indices, sp_a.values, sp_a.dense_shape, b, adjoint_a=adjoint_a
    )


def _matmul_impl(indices: Any, values: Any, shape: Any, b: Any, *, adjoint_a: bool) -> Any:
    rows, columns = (
        (indices[:, 1], indices[:, 0]) if adjoint_a else (indices[:, 0], indices[:, 1])
    )
    m, k = shape.tolist()[::-1] if adjoint_a else shape.tolist()
    if b.shape[0] != k:
        raise InvalidArgumentError(
            f"Cannot multiply A and B because inner dimension does not match: {k} vs. "
            f"{b.shape[0]}. Did you forget "
            f"a transpose? [Op:SparseTensorDenseMatMul]",
            op="SparseTensorDenseMatMul",
        )
    for found, size, what in ((rows, m, "row"), (columns, k, "column")):
        if len(found) and (int(found.min()) < 0 or int(found.max()) >= size):
            raise InvalidArgumentError(
                f"{what} index from A is out of bounds (>= {size}) "
                "[Op:SparseTensorDenseMatMul]",
                op="SparseTensorDenseMatMul",
            )
    out = np.zeros((m, b.shape[1]), values.dtype)
    terms = b[columns]
    terms *= (values.conj() if adjoint_a else values)[:, None]
    add_rows(out, rows, terms)
    return out


def _matmul_shape(
    indices: Any, values: Any, shape: Any, b: Any, *, adjoint_a: bool
) -> TensorSpec:
    known = constant_value(shape)
    if b.shape.rank not in (2, None):
        raise InvalidArgumentError(
            f"Tensor 'b' is not a matrix, got shape {b.shape} [Op:SparseTensorDenseMatMul]",
            op="SparseTensorDenseMatMul",
        )
    m = None if known is None else known.tolist()[1 if adjoint_a else 0]
    return TensorSpec([m, b.shape[1] if b.shape.rank else None], values.dtype)


def _matmul_vjp(op: Any, g: Any) -> Any:
    indices, values, shape, b = op.inputs
    adjoint = op.attrs["adjoint_a"]
    g = to_tensor(g, None)
    to_b = SparseTensorDenseMatMul(indices, values, shape, g, adjoint_a=not adjoint)
    rows, columns = getitem(indices, (..., 0)), getitem(indices, (..., 1))
    if adjoint:
        rows, columns = columns, rows
    to_values = dense_sum(gather(g, rows) * gather(b, columns), axis=1)
    return None, to_values, None, to_b


SparseTensorDenseMatMul = Primitive(
    "SparseTensorDenseMatMul",
    "a_indices: Tindices, a_values: T, a_shape: S, b: T",
    impl=_matmul_impl,
    shape=_matmul_shape,
    vjp=_matmul_vjp,
)
