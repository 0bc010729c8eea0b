"""tile, split, cumsum, softmax, matmul and embedding_lookup of ragged tensors.

What runs along the innermost ragged axis, where the values of a row lie side by side, runs on
the innermost values; the rest runs on the padded tensor, of which the ragged places are taken.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast, reshape, shape, stop_gradient
from .array_broadcast import repeat, tile as dense_tile
from .array_gather import gather, gather_nd
from .array_index import getitem
from .array_join import concat, split as dense_split
from .convert import to_tensor
from .debugging_asserts import assert_equal
from .elementwise import exp
from .errors import InvalidArgumentError
from .linalg_ops import matmul as dense_matmul
from .ragged_kernels import LengthsToSplits, RaggedPlaces, RowIds, RowIndices
from .ragged_tensor import RaggedTensor
from .reductions import reduce_max
from .scans import cumsum as dense_cumsum
from .segments import unsorted_segment_max, unsorted_segment_sum
from .shape_rules import axis_of
from .softmax_ops import softmax as dense_softmax
from .static_args import static_int, static_ints
from .tensor import Tensor

__all__ = ["cumsum", "embedding_lookup", "matmul", "softmax", "split", "tile"]


def _unpadded(dense: Any, splits: Any) -> Tensor:
    """The innermost values of the ragged tensor of these splits that was padded to `dense`."""
    return gather_nd(dense, RaggedPlaces([cast(s, dtypes.int64) for s in splits]))


def _innermost(x: RaggedTensor) -> RaggedTensor:
    while isinstance(x.values, RaggedTensor):
        x = x.values
    return x


# -- along an axis ----------------------------------------------------------------------------


def cumsum(
    x: Any, axis: Any = 0, exclusive: bool = False, reverse: bool = False,
    name: str | None = None,
) -> RaggedTensor:  # fmt: skip
    """`cumsum` of a ragged tensor, of its own shape: what is missing counts as 0."""
    axis = axis_of(static_int(axis, "Cumsum", "axis"), x.shape.rank, "Cumsum")
    levels = x.ragged_rank
    if axis > levels:
        return x.with_flat_values(
            dense_cumsum(x.flat_values, axis - levels, exclusive, reverse)
        )
    found = dense_cumsum(x.to_tensor(), axis, exclusive, reverse)
    return x.with_flat_values(_unpadded(found, x.nested_row_splits))


def softmax(logits: Any, axis: Any = None, name: str | None = None) -> RaggedTensor:
    """`softmax` of a ragged tensor along `axis`, the last by default."""
    axis = -1 if axis is None else static_int(axis, "Softmax", "axis")
    axis, levels = axis_of(axis, logits.shape.rank, "Softmax"), logits.ragged_rank
    flat = logits.flat_values
    if axis > levels:
        found = dense_softmax(flat, axis - levels)
    elif axis == levels:
        rows = _innermost(logits)
        ids, count = rows.value_rowids(), rows.nrows()
        top = stop_gradient(unsorted_segment_max(flat, ids, count))
        weights = exp(flat - gather(top, ids))
        found = weights / gather(unsorted_segment_sum(weights, ids, count), ids)
    else:
        lowest = np.array(-np.inf).astype(flat.dtype.np_dtype)
        found = _unpadded(dense_softmax(logits.to_tensor(lowest), axis),
                          logits.nested_row_splits)  # fmt: skip
    return logits.with_flat_values(found)


def tile(input: Any, multiples: Any, name: str | None = None) -> RaggedTensor:
    """`input` repeated ``multiples[k]`` times along each axis k."""
    times = cast(to_tensor(multiples, None), input.row_splits.dtype)
    if times.shape.rank != 1 or times.shape[0] not in (input.shape.rank, None):
        raise InvalidArgumentError(
            f"tile: multiples must be a vector with an element for each of the "
            f"{input.shape.rank} axes, got shape {times.shape} [Op:Tile]",
            op="Tile",
        )
    return _tiled(input, times)


def _tiled(x: Any, times: Any) -> Any:
    if not isinstance(x, RaggedTensor):
        return dense_tile(x, times)
    outer, inner = getitem(times, 0), getitem(times, 1)
    deeper = getitem(times, slice(1, None))
    one = cast(reshape(outer * 0 + 1, [1]), times.dtype)
    if isinstance(x.values, RaggedTensor) or x.values.shape.rank != 1:
        values = _tiled(x.values, concat([one, getitem(deeper, slice(1, None))], 0))
    else:
        values = x.values
    # Rows of the result, each of its copies of a row: where they start and end.
    copies = reshape(outer, [1])
    ends = [
        repeat(dense_tile(e, copies), inner, axis=0) for e in (x.row_starts(), x.row_limits())
    ]
    places, _ = RowIndices(*ends)
    lengths = dense_tile(x.row_lengths(), copies) * inner
    return RaggedTensor.from_row_lengths(gather(values, places), lengths, validate=False)


def split(
    value: Any, num_or_size_splits: Any, axis: Any = 0, num: int | None = None,
    name: str | None = None,
) -> list[RaggedTensor]:  # fmt: skip
    """Parts of `value` along an axis that is not ragged; see `split`.

    Raises:
        ValueError: the axis is ragged, or there is no part.
        InvalidArgumentError: the parts do not make up the axis.
    """
    axis = axis_of(static_int(axis, "Split", "axis"), value.shape.rank, "Split")
    levels = value.ragged_rank
    if 0 < axis <= levels:
        raise ValueError(
            f"Cannot split a ragged dimension. Got `value` with shape {value.shape} and "
            f"`axis` {axis}."
        )
    if axis > levels:
        parts = dense_split(value.flat_values, num_or_size_splits, axis - levels)
        return [value.with_flat_values(p) for p in parts]
    total: Any = value.shape[0]
    total = value.nrows() if total is None else total
    if isinstance(num_or_size_splits, (int, np.integer)):
        count = int(num_or_size_splits)
        if count < 1:
            raise ValueError(
                f"`num_or_size_splits` must be >=1 if it is an `int`. Received {count}."
            )
        bounds = [total // count * k for k in range(count + 1)]
    else:
        sizes = static_ints(num_or_size_splits, "SplitV", "num_or_size_splits")
        if min(sizes, default=0) < 0:
            raise InvalidArgumentError(
                f"`num_or_size_splits` must be non-negative, got {list(sizes)}"
            )
        if num is not None and num != len(sizes):
            raise ValueError(
                f"`num` does not match the size of `num_or_size_split`: {num} and {len(sizes)}"
            )
        bounds = np.cumsum([0, *sizes]).tolist()
    assert_equal(
        total, bounds[-1],
        "Cannot exactly split the `axis` dimension of `value` with the given "
        "`num_or_size_split`.",
    )  # fmt: skip
    return [value[a:b] for a, b in itertools.pairwise(bounds)]


def embedding_lookup(
    params: Any, ids: Any, max_norm: Any = None, name: str | None = None
) -> RaggedTensor:
    """Rows of `params` at ragged `ids`, in their rows."""
    from .nn_ops import embedding_lookup as dense_lookup

    return ids.with_flat_values(dense_lookup(params, ids.flat_values, max_norm))


# -- products ---------------------------------------------------------------------------------


def matmul(
    a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False,
    adjoint_a: bool = False, adjoint_b: bool = False, a_is_sparse: bool = False,
    b_is_sparse: bool = False, output_type: Any = None, name: str | None = None,
) -> Any:  # fmt: skip
    """The products of the matrices of `a` and `b`, of which one at least is ragged.

    Each pair of matrices must fit; leading axes do not broadcast.

    Raises:
        ValueError: dtypes or ranks differ, or `transpose` and `adjoint` together.
        InvalidArgumentError: a matrix is ragged in itself, or a pair does not fit.
    """
    if (transpose_a and adjoint_a) or (transpose_b and adjoint_b):
        raise ValueError("Only one of `transpose` and `adjoint` can be True.")
    a, b = (t if isinstance(t, RaggedTensor) else to_tensor(t, None) for t in (a, b))
    if a.dtype is not b.dtype:
        raise ValueError("`a` and `b` must have the same dtype.")
    rank = a.shape.rank
    if rank != b.shape.rank:
        raise ValueError("`a` and `b` must have the same rank.")
    how = {"transpose_a": transpose_a, "transpose_b": transpose_b, "adjoint_a": adjoint_a,
           "adjoint_b": adjoint_b, "output_type": output_type}  # fmt: skip
    if rank == 2:
        return dense_matmul(_matrix(a), _matrix(b), **how)
    if rank > 3:
        a, b = (
            t if isinstance(t, RaggedTensor) else RaggedTensor.from_tensor(t) for t in (a, b)
        )
        assert_equal(
            a.row_splits, b.row_splits,
            "Batch dimensions of `a` and `b` do not have the same size.",
        )  # fmt: skip
        either = any(isinstance(t.values, RaggedTensor) for t in (a, b))
        return a.with_values((matmul if either else dense_matmul)(a.values, b.values, **how))
    return _products(a, b, transpose_a or adjoint_a, transpose_b or adjoint_b, how)


def _matrix(x: Any) -> Tensor:
    if not isinstance(x, RaggedTensor):
        return x
    longest = reduce_max(x.row_lengths())
    assert_equal(
        x.row_lengths(), longest,
        "The matrices in `a` and `b` may not be ragged in their innermost dimension.",
    )  # fmt: skip
    return x.to_tensor()


def _products(a: Any, b: Any, swap_a: bool, swap_b: bool, how: dict[str, Any]) -> RaggedTensor:
    """[batch, (rows), columns]: of the padded product the places that both have."""
    splits = (a if isinstance(a, RaggedTensor) else b).row_splits
    (rows, across), (down, columns) = _sizes(a, splits), _sizes(b, splits)
    if swap_a:
        rows, across = across, rows
    if swap_b:
        down, columns = columns, down
    assert_equal(across, down, "matmul: inner sizes of the matrices differ")
    padded = (t.to_tensor() if isinstance(t, RaggedTensor) else t for t in (a, b))
    dense = dense_matmul(*padded, **how)
    outer = LengthsToSplits(rows)
    if not isinstance(b, RaggedTensor) or (b.ragged_rank == 1 and not swap_b):
        return RaggedTensor.from_row_splits(_unpadded(dense, [outer]), outer, validate=False)
    inner = LengthsToSplits(gather(columns, RowIds(outer)))
    found = _unpadded(dense, [outer, inner])
    values = RaggedTensor.from_row_splits(found, inner, validate=False)
    return RaggedTensor.from_row_splits(values, outer, validate=False)


def _sizes(x: Any, splits: Any) -> tuple[Tensor, Tensor]:
    """How many rows and columns each matrix of [batch, rows, columns] has."""
    kind = splits.dtype
    if not isinstance(x, RaggedTensor):
        n, rows, columns = (cast(getitem(shape(x), k), kind) for k in range(3))
        return repeat(rows, n), repeat(columns, n)
    lengths = cast(x.row_lengths(), kind)
    if not isinstance(x.values, RaggedTensor):
        return lengths, lengths * 0 + cast(getitem(shape(x.values), 1), kind)
    each, ids = cast(x.values.row_lengths(), kind), x.value_rowids()
    # The greatest length there is, 0 in a matrix without rows.
    columns = unsorted_segment_max(each, ids, x.nrows()) * cast(lengths > 0, kind)
    assert_equal(
        each, gather(columns, ids),
        "The matrices in `a` and `b` may not be ragged in their innermost dimension.",
    )  # fmt: skip
    return lengths, columns
