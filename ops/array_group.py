"""Grouping elements: unique, unique_with_counts, dynamic_partition, dynamic_stitch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import dtypes
from .array_basics import reshape, shape, size
from .array_module import array_module
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .primitive import Primitive, get_primitive
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["dynamic_partition", "dynamic_stitch", "unique", "unique_with_counts"]


# -- unique -----------------------------------------------------------------------------------


class Unique(NamedTuple):
    """Result of `unique`: distinct elements, and for each element its place among them."""

    y: Tensor
    idx: Tensor


class UniqueWithCounts(NamedTuple):
    """Result of `unique_with_counts`."""

    y: Tensor
    idx: Tensor
    count: Tensor


def unique(x: Any, out_idx: Any = dtypes.int32, name: str | None = None) -> Unique:
    """The distinct elements of a vector in the order they first appear, and indices into them.

    Raises:
        InvalidArgumentError: `x` is not a vector.
    """
    return Unique(*UniqueOp(x, out_idx=as_dtype(out_idx)))


def unique_with_counts(
    x: Any, out_idx: Any = dtypes.int32, name: str | None = None
) -> UniqueWithCounts:
    """Like `unique`, with how often each distinct element appears."""
    return UniqueWithCounts(*UniqueWithCountsOp(x, out_idx=as_dtype(out_idx)))


def _unique_impl(x: Any, *, out_idx: DType) -> Any:
    if x.ndim != 1:
        raise ValueError("unique expects a 1D vector.")
    keys = x.numpy() if isinstance(x, StringArray) else x
    _, first, inverse, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    place = np.empty(len(order), out_idx.np_dtype)
    place[order] = np.arange(len(order))
    return x[first[order]], place[inverse.reshape(-1)], counts[order].astype(out_idx.np_dtype)


def _unique_shape(x: Any, *, out_idx: DType) -> tuple[TensorSpec, ...]:
    if x.shape.rank not in (1, None):
        raise InvalidArgumentError(
            f"unique expects a 1D vector, got shape {x.shape} [Op:Unique]", op="Unique"
        )
    return (
        TensorSpec([None], x.dtype),
        TensorSpec(x.shape, out_idx),
        TensorSpec([None], out_idx),
    )


UniqueWithCountsOp = Primitive(
    "UniqueWithCounts",
    "x: T",
    impl=_unique_impl,
    shape=_unique_shape,
    defaults={"out_idx": dtypes.int32},
)
UniqueOp = Primitive(
    "Unique",
    "x: T",
    impl=lambda x, *, out_idx: _unique_impl(x, out_idx=out_idx)[:2],
    shape=lambda x, *, out_idx: _unique_shape(x, out_idx=out_idx)[:2],
    defaults={"out_idx": dtypes.int32},
)


# -- dynamic_partition, dynamic_stitch --------------------------------------------------------


def dynamic_partition(
    data: Any, partitions: Any, num_partitions: int, name: str | None = None
) -> list[Tensor]:
    """`data` dealt out into `num_partitions` tensors: slice i goes to number ``partitions[i]``.

    Raises:
        InvalidArgumentError: a partition number is out of range, or the shapes do not fit.
    """
    return list(DynamicPartition(data, partitions, num_partitions=num_partitions))


def _partition_impl(data: Any, partitions: Any, *, num_partitions: int) -> Any:
    k = partitions.ndim
    if data.shape[:k] != partitions.shape:
        raise ValueError("data.shape must start with partitions.shape")
    wrong = (partitions < 0) | (partitions >= num_partitions)
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        where = ",".join(str(int(i)) for i in place)
        raise InvalidArgumentError(
            f"partitions[{where}] = {int(partitions[place])} is not in [0, {num_partitions}) "
            f"[Op:DynamicPartition]", op="DynamicPartition")  # fmt: skip
    return tuple(data[partitions == p] for p in range(num_partitions))


def _partition_shape(
    data: Any, partitions: Any, *, num_partitions: int
) -> tuple[TensorSpec, ...]:
    k = partitions.shape.rank
    if k is None or data.shape.rank is None:
        return (TensorSpec(None, data.dtype),) * num_partitions
    if not data.shape[:k].is_compatible_with(partitions.shape):
        raise InvalidArgumentError(
            f"data.shape must start with partitions.shape, got data.shape = {data.shape}, "
            "partitions.shape = "
            f"{partitions.shape} [Op:DynamicPartition]",
            op="DynamicPartition",
        )
    return (TensorSpec((None, *data.shape.dims[k:]), data.dtype),) * num_partitions


def _partition_vjp(op: Any, *gs: Any) -> Any:
    data, partitions = op.inputs
    # `range` stands in sequences.py, above this module.
    ids = get_primitive("Range")(0, size(partitions), 1)
    places = DynamicPartition(reshape(ids, shape(partitions)), partitions, **op.attrs)
    return reshape(DynamicStitch(list(places), list(gs)), shape(data)), None


DynamicPartition = Primitive(
    "DynamicPartition",
    "data: T, partitions: int32",
    impl=_partition_impl,
    shape=_partition_shape,
    vjp=_partition_vjp,
)


def dynamic_stitch(indices: Any, data: Any, name: str | None = None) -> Tensor:
    """The slices of the tensors `data` put at the places `indices` name; where places repeat
    the last one holds.
    """
    indices = [to_tensor(i, None) for i in indices]
    data = [to_tensor(d, None) for d in data]
    if len(indices) != len(data):
        raise ValueError(
            f"indices and data must have one length, got {len(indices)} and {len(data)}"
        )
    return DynamicStitch(indices, data)


def _stitch_impl(*both: Any) -> Any:
    count = len(both) // 2
    indices, data = both[:count], both[count:]
    top = max((int(i.max()) for i in indices if i.size), default=-1)
    first = data[0]
    rest = first.shape[indices[0].ndim :]
    if isinstance(first, StringArray):
        joined = StringArray.concatenate(
            [d.reshape((i.size, *rest)) for i, d in zip(indices, data, strict=True)]
        )
        source = np.zeros(top + 1, np.int64)
        source[np.concatenate([i.reshape(-1) for i in indices])] = np.arange(len(joined))
        return joined[source]
    out = array_module(first).zeros((top + 1, *rest), first.dtype)
    for i, d in zip(indices, data, strict=True):
        out[i.reshape(-1)] = d.reshape((i.size, *rest))
    return out


def _stitch_shape(*both: Any) -> TensorSpec:
    i, d = both[0], both[len(both) // 2]
    if i.shape.rank is None or d.shape.rank is None:
        return TensorSpec(None, d.dtype)
    return TensorSpec((None, *d.shape.dims[i.shape.rank :]), d.dtype)


def _stitch_vjp(op: Any, g: Any) -> Any:
    count = len(op.inputs) // 2
    gather = get_primitive("GatherV2")
    return (*(None,) * count, *(gather(g, i, axis=0, batch_dims=0) for i in op.inputs[:count]))


DynamicStitch = Primitive(
    "DynamicStitch",
    "indices: N * int32, data: N * T",
    impl=_stitch_impl,
    shape=_stitch_shape,
    vjp=_stitch_vjp,
)
