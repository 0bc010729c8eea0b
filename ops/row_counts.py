"""Counts of category numbers per row: dense rows, and the rows of ragged values.

What `keras.layers.CategoryEncoding` and the lookup layers make of ids: for each row, how often
each number below `size` is in it, or whether it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .batch_rules import all_batched
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .primitive import Primitive
from .ragged_tensor import RaggedTensor
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["counts_per_row"]


def counts_per_row(
    ids: Any, size: int, weights: Any = None, binary: bool = False, dtype: Any = "float32"
) -> Tensor:
    """How often each number from 0 to ``size - 1`` is in each row: ``[..., size]``.

    Args:
        ids: integers, ``[..., n]`` or ragged ``[rows, (n)]``; those of `size` or more are not
            counted.
        size: how many numbers are counted.
        weights: dense, like `ids`: what each adds instead of 1.
        binary: whether a number is there, instead of how often.
        dtype: of the result.

    Raises:
        InvalidArgumentError: an id is negative.

    >>> counts_per_row([[0, 2, 2]], 3).numpy().tolist()
    [[1.0, 0.0, 2.0]]
    """
    attrs = {"size": int(size), "binary": bool(binary), "dtype": as_dtype(dtype)}
    if isinstance(ids, RaggedTensor):
        return RaggedRowCounts(ids.flat_values, ids.row_splits, **attrs)
    x = to_tensor(ids, None)
    if weights is None:
        return RowCounts(x, **attrs)
    return WeightedRowCounts(x, to_tensor(weights, None), **attrs)


def _counted(
    rows: Any, ids: Any, weights: Any, count: int, size: int, binary: bool, dtype: DType
) -> np.ndarray:
    """[count, size] from the row and the id of each value."""
    if ids.size and int(ids.min()) < 0:
        raise InvalidArgumentError(
            f"ids must be in the range 0 <= ids < {size}, got {int(ids.min())}"
        )
    if ids.size and int(ids.max()) >= size:
        known = ids < size
        rows, ids = rows[known], ids[known]
        weights = None if weights is None else weights[known]
    places = rows * size + ids
    out = np.zeros(count * size, dtype.np_dtype)
    if binary:
        out[places] = 1
    elif weights is None:
        out[:] = np.bincount(places, minlength=count * size)
    else:
        out[:] = np.bincount(places, weights.astype(np.float64), minlength=count * size)
    return out.reshape(count, size)


def _dense(ids: Any, weights: Any, size: int, binary: bool, dtype: DType) -> np.ndarray:
    lead = ids.shape[:-1]
    count = int(np.prod(lead, dtype=np.int64))
    rows = np.repeat(np.arange(count, dtype=np.int64), ids.shape[-1])
    flat = ids.reshape(-1).astype(np.int64, copy=False)
    weights = None if weights is None else weights.reshape(-1)
    return _counted(rows, flat, weights, count, size, binary, dtype).reshape(*lead, size)


def _dense_shape(x: Any, *weights: Any, size: int, binary: bool, dtype: DType) -> TensorSpec:
    if x.shape.rank is None:
        return TensorSpec(None, dtype)
    return TensorSpec([*x.shape[:-1], size], dtype)


RowCounts = Primitive(
    "_RowCounts",
    "ids: Tidx",
    impl=lambda ids, *, size, binary, dtype: _dense(ids, None, size, binary, dtype),
    shape=_dense_shape,
    vjp=lambda op, g: (None,),
    batch=lambda ctx, x, **attrs: RowCounts(x, **attrs),
)
WeightedRowCounts = Primitive(
    "_WeightedRowCounts",
    "ids: Tidx, weights: T",
    impl=lambda ids, weights, *, size, binary, dtype: _dense(ids, weights, size, binary, dtype),
    shape=_dense_shape,
    vjp=lambda op, g: (None, None),
    batch=lambda ctx, *args, **attrs: WeightedRowCounts(*all_batched(ctx, args), **attrs),
)


def _ragged(ids: Any, splits: Any, *, size: int, binary: bool, dtype: DType) -> np.ndarray:
    count = len(splits) - 1
    rows = np.repeat(np.arange(count, dtype=np.int64), np.diff(splits))
    return _counted(rows, ids.astype(np.int64, copy=False), None, count, size, binary, dtype)


RaggedRowCounts = Primitive(
    "_RaggedRowCounts",
    "ids: Tidx, splits: Tsplits",
    impl=_ragged,
    shape=lambda ids, splits, *, size, binary, dtype: TensorSpec(
        [None if splits.shape[0] is None else splits.shape[0] - 1, size], dtype
    ),
    vjp=lambda op, g: (None, None),
)
