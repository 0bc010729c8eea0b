"""What the preprocessing layers share: data for `adapt`, and the encodings of category "
"numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...data.dataset import Dataset
from ...ops import api as hr, dtypes
from ...ops.ragged_tensor import RaggedTensor
from ...ops.row_counts import counts_per_row
from ...ops.sparse_ops import from_dense
from ...ops.sparse_tensor import SparseTensor
from ...ops.string_array import StringArray
from ...ops.tensor import Tensor
from ...ops.tensor_spec import TensorSpec
from ..engine.layer import Layer

__all__ = ["DataLayer", "as_tensor", "batches", "check_choice", "encode", "encoded_shape"]

_SCALARS_AT_A_TIME = 4096


class DataLayer(Layer):
    """A layer on data as it comes: strings, integers, ragged rows; nothing is cast for it."""

    def __init__(self, **kwargs: Any):
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs; lists and scalars are data, too."""
        if args and isinstance(args[0], (str, bytes, int, float, np.str_, np.bytes_)):
            args = (hr.convert_to_tensor(args[0]), *args[1:])
        return super().__call__(*args, **kwargs)


def as_tensor(value: Any, dtype: Any = None) -> Any:
    """`value` as a tensor (dense, ragged or sparse), of `dtype` if that is given."""
    if not isinstance(value, (Tensor, RaggedTensor, SparseTensor)):
        if isinstance(value, np.ndarray) and value.dtype.kind == "U":
            value = value.astype(object)
        value = hr.convert_to_tensor(value)
    want = None if dtype is None else dtypes.as_dtype(dtype)
    if want is None or value.dtype is want:
        return value
    if isinstance(value, RaggedTensor):
        return value.with_flat_values(hr.cast(value.flat_values, want))
    if isinstance(value, SparseTensor):
        return SparseTensor(value.indices, hr.cast(value.values, want), value.dense_shape)
    return hr.cast(value, want)


def batches(data: Any, steps: int | None = None, whole_lists: bool = True) -> Iterator[Any]:
    """The batches `adapt` is to see, one after the other; never all at once.

    Args:
        data: a Dataset, an iterable of batches, or one array.
        steps: how many batches at most.
        whole_lists: whether a list is one array rather than several.
    """
    if isinstance(data, Dataset):
        if steps is not None:
            data = data.take(steps)
        spec = data.element_spec
        if isinstance(spec, TensorSpec) and spec.shape.rank == 0:
            # One by one, scalars would cost a call each; a column of them is the same rows.
            data = data.batch(_SCALARS_AT_A_TIME).map(lambda x: hr.expand_dims(x, -1))
        yield from data
    elif is_array(data) or (whole_lists and isinstance(data, (list, tuple))):
        yield data
    else:
        yield from itertools.islice(iter(data), steps)


def is_array(data: Any) -> bool:
    """Whether `data` is one array rather than an iterable of them."""
    return isinstance(data, (np.ndarray, Tensor, RaggedTensor, SparseTensor, StringArray)) or (
        not hasattr(data, "__iter__")
    )


def check_choice(value: Any, choices: tuple[str, ...], who: str, argument: str, *,
                 none: bool = False, function: bool = False) -> None:  # fmt: skip
    """Raise ValueError unless `value` is one of `choices` (or None, or callable)."""
    if value in choices or (none and value is None) or (function and callable(value)):
        return
    extra = f"{', `None`' if none else ''}{', a callable' if function else ''}"
    raise ValueError(
        f"Unknown value for `{argument}` argument of layer {who}. Allowed values are: "
        f"{choices}{extra}. Received: {argument}={value}"
    )


def encode(
    ids: Any, mode: str, depth: int, dtype: Any, sparse: bool = False, weights: Any = None
) -> Any:
    """Category numbers in one of Keras's output modes.

    Args:
        ids: integers, ``[...]`` or ragged.
        mode: ``"int"``: as they are; ``"one_hot"``: a row per number; ``"multi_hot"`` and
            ``"count"``: a row per row.
        depth: size of the rows.
        dtype: of the result.
        sparse: give it as a `SparseTensor`.
        weights: what each number counts, with ``"count"``.
    """
    want = dtypes.as_dtype(dtype)
    if mode == "int":
        return as_tensor(ids, want)
    if isinstance(ids, SparseTensor):
        if mode == "one_hot":
            raise ValueError("`output_mode='one_hot'` takes no sparse inputs.")
        ids = hr.sparse.to_dense(ids, depth)  # what is not there is above all that counts
    rank = ids.shape.rank
    if rank == 0:
        ids, rank = hr.expand_dims(ids, -1), 1
    if mode == "one_hot":
        if rank > 1 and ids.shape[-1] == 1:
            ids = hr.squeeze(ids, axis=-1)
        found = hr.one_hot(ids, depth, dtype=want)
    elif rank <= 2:
        kind = want if weights is None else weights.dtype
        found = counts_per_row(ids, depth, weights, mode == "multi_hot", kind)
        found = hr.cast(found, want)
    else:
        rows = hr.one_hot(ids, depth, dtype=want if weights is None else weights.dtype)
        if weights is not None:
            rows = rows * hr.expand_dims(weights, -1)
        found = (
            hr.reduce_max(rows, axis=1) if mode == "multi_hot" else hr.reduce_sum(rows, axis=1)
        )
    return from_dense(found) if sparse else found


def encoded_shape(shape: Any, mode: str, depth: int | None) -> tuple[int | None, ...]:
    """The shape `encode` gives for ids of `shape`."""
    shape = tuple(shape)
    if mode == "int":
        return shape
    if mode == "one_hot":
        column = len(shape) > 1 and shape[-1] == 1
        return (*(shape[:-1] if column else shape), depth)
    if len(shape) > 2:
        return (shape[0], *shape[2:], depth)
    return (*shape[:-1], depth)
