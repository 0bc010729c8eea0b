"""Embeddings of ragged lists of ids, combined per row: embedding_lookup_sparse and its safe
form."""

from __future__ import annotations

from typing import Any

from .array_basics import cast, ones_like, reshape, shape as shape_of, zeros_like
from .array_gather import gather, where
from .array_group import unique
from .array_index import getitem
from .array_join import concat
from .array_shape import expand_dims
from .comparison import greater, greater_equal, logical_and
from .convert import to_tensor
from .division import divide_no_nan
from .elementwise import sqrt
from .errors import InvalidArgumentError
from .nn_ops import embedding_lookup
from .ragged_tensor import RaggedTensor
from .reductions import reduce_prod
from .segments import segment_sum
from .sparse_layout import reshape as sparse_reshape, retain
from .sparse_more_segments import segment_mean, segment_sqrt_n, segment_sum as sum_chosen
from .sparse_ops import fill_empty_rows
from .sparse_tensor import SparseTensor
from .tensor import Tensor

__all__ = ["embedding_lookup_sparse", "safe_embedding_lookup_sparse"]

_COMBINE = {"sum": sum_chosen, "mean": segment_mean, "sqrtn": segment_sqrt_n}


def embedding_lookup_sparse(
    params: Any,
    sp_ids: Any,
    sp_weights: Any,
    combiner: str | None = None,
    max_norm: float | None = None,
    name: str | None = None,
    allow_fast_lookup: bool = False,
) -> Tensor:
    """The embeddings of each row's ids, combined: [rows, *params.shape[1:]].

    Args:
        params: tensor or variable [classes, ...].
        sp_ids: `SparseTensor` or `RaggedTensor` of ids [rows, any], at least one in each row.
        sp_weights: their weights, of the same structure, or None for ones.
        combiner: ``"mean"`` (the default), ``"sqrtn"`` or ``"sum"``; the first two divide by
            the sum of the weights and by the root of the sum of their squares.
        max_norm: embeddings longer than this are scaled down to it first.
        name: ignored.
        allow_fast_lookup: taken for TensorFlow's sake; each distinct id is looked up once.

    Raises:
        TypeError: ids or weights are neither sparse nor ragged.
        ValueError: an unknown combiner, or ids and weights of different structure.
    """
    combiner = combiner or "mean"
    if combiner not in _COMBINE:
        raise ValueError(f"combiner must be one of 'mean', 'sqrtn' or 'sum', got {combiner}")
    if not isinstance(sp_ids, (SparseTensor, RaggedTensor)):
        raise TypeError(f"sp_ids must be SparseTensor or RaggedTensor, got {type(sp_ids)}")
    if sp_weights is not None and type(sp_weights) is not type(sp_ids):
        raise TypeError(f"sp_weights must be None or a {type(sp_ids)}, got {type(sp_weights)}")
    if isinstance(sp_ids, RaggedTensor):
        segments = sp_ids.value_rowids()
    else:
        segments = getitem(sp_ids.indices, (slice(None), 0))
    ids, where_ids = unique(sp_ids.values)
    rows = embedding_lookup(params, ids, max_norm=max_norm)
    if sp_weights is None:
        return _COMBINE[combiner](rows, where_ids, segments)
    weights = cast(sp_weights.values, rows.dtype)
    if not weights.shape.is_compatible_with(sp_ids.values.shape):
        raise ValueError(
            f"sp_weights must have the structure of sp_ids, got {weights.shape} values for "
            f"{sp_ids.values.shape} ids"
        )
    trailing = [1] * (rows.shape.rank - 1)
    column = reshape(weights, concat([shape_of(weights), trailing], 0) if trailing else [-1])
    total = segment_sum(gather(rows, where_ids) * column, segments)
    if combiner == "sum":
        return total
    if combiner == "mean":
        return divide_no_nan(total, segment_sum(column, segments))
    return divide_no_nan(total, sqrt(segment_sum(column * column, segments)))


def safe_embedding_lookup_sparse(
    embedding_weights: Any,
    sparse_ids: Any,
    sparse_weights: Any = None,
    combiner: str = "mean",
    default_id: int | None = None,
    max_norm: float | None = None,
    name: str | None = None,
    allow_fast_lookup: bool = False,
) -> Tensor:
    """`embedding_lookup_sparse` for rows that may be empty and ids and weights that may not be
    positive: [*ids.shape[:-1], *embedding_weights.shape[1:]].

    Ids below 0 and, unless `combiner` is ``"sum"``, weights not above 0 are left out.  Rows
    that have nothing then get the embedding of `default_id`, zeros where it is None.

    Raises:
        ValueError: `embedding_weights` is empty.
    """
    table = embedding_weights
    if isinstance(table, (list, tuple)):
        if not table:
            raise ValueError(f"Missing embedding_weights {table}.")
        if len(table) != 1:
            raise ValueError(f"embedding_weights must be one table, got {len(table)}")
        table = table[0]
    if table is None:
        raise ValueError(f"Missing embedding_weights {table}.")
    ragged = isinstance(sparse_ids, RaggedTensor)
    ids, weights = (
        x.to_sparse() if isinstance(x, RaggedTensor) else x
        for x in (sparse_ids, sparse_weights)
    )
    if not isinstance(ids, SparseTensor):
        raise TypeError(f"sparse_ids must be SparseTensor or RaggedTensor, got {type(ids)}")
    rank = ids.shape.rank
    if rank is None:
        raise InvalidArgumentError("sparse_ids must have a known rank")
    outer = ids.dense_shape[: rank - 1]
    if rank != 2:
        flat = concat([expand_dims(reduce_prod(outer), 0), ids.dense_shape[rank - 1 :]], 0)
        ids = sparse_reshape(ids, flat)
        if weights is not None:
            weights = SparseTensor(ids.indices, weights.values, ids.dense_shape)
    keep = greater_equal(ids.values, 0)
    if weights is not None and combiner != "sum":
        keep = logical_and(keep, greater(weights.values, to_tensor(0, weights.dtype)))
    ids = retain(ids, keep)
    default = to_tensor(default_id or 0, ids.dtype)
    if weights is not None:
        weights = retain(weights, keep)
        weights, _ = fill_empty_rows(weights, to_tensor(1, weights.dtype))
    ids, empty = fill_empty_rows(ids, default)
    if weights is not None:
        weights = SparseTensor(ids.indices, weights.values, ids.dense_shape)
    found = embedding_lookup_sparse(table, ids, weights, combiner, max_norm)
    if default_id is None:
        trailing = [1] * (found.shape.rank - 1)
        mask = reshape(empty, concat([shape_of(empty), trailing], 0))
        found = where(logical_and(mask, ones_like(found, "bool")), zeros_like(found), found)
    if rank == 2 or ragged:
        return found
    return reshape(found, concat([cast(outer, "int32"), shape_of(found)[1:]], 0))
