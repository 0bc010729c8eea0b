"""Ordering and grouping elements: sort, argsort, searchsorted, unique, dynamic_partition,
dynamic_stitch, reverse_sequence, repeat.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import batch_rules, dtypes
from .array_basics import reshape, shape
from .array_module import array_module
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .primitive import Primitive, get_primitive
from .shape_rules import axis_of
from .static_args import known_ints, shape_input, static_int
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "argsort", "dynamic_partition", "dynamic_stitch", "repeat", "reverse_sequence", "searchsorted", "sort",
    "unique", "unique_with_counts",
]  # fmt: skip


# -- sort -------------------------------------------------------------------------------------


def sort(values: Any, axis: Any = -1, direction: str = "ASCENDING", name: str | None = None) -> Tensor:
    """`values` in order along `axis`.

    Raises:
        ValueError: `direction` is neither ``"ASCENDING"`` nor ``"DESCENDING"``.
    """
    values = to_tensor(values, None)
    axis = static_int(axis, "sort", "axis")
    return TakeAlong(values, _Argsort(values, axis=axis, descending=_descending(direction)), axis=axis)


def argsort(
    values: Any, axis: Any = -1, direction: str = "ASCENDING", stable: bool = False, name: str | None = None
) -> Tensor:
    """int32 indices that put `values` in order along `axis`; always stable."""
    return _Argsort(values, axis=static_int(axis, "argsort", "axis"), descending=_descending(direction))


def _descending(direction: str) -> bool:
    if direction not in ("ASCENDING", "DESCENDING"):
        raise ValueError(
            f"Argument `direction` should be one of 'ASCENDING' or 'DESCENDING'. Received: direction={direction}"
        )
    return direction == "DESCENDING"


def _argsort_impl(x: Any, *, axis: int, descending: bool) -> Any:
    if descending:
        # Equal elements keep their order, so the result is not the reverse of an ascending one.
        x = ~x if x.dtype.kind in "biu" else -x
    return array_module(x).argsort(x, axis=axis, kind="stable").astype(np.int32)


def _sort_shape(x: Any, *, axis: int, descending: bool) -> TensorSpec:
    if x.shape.rank is not None:
        axis_of(axis, x.shape.rank, "sort")
    return TensorSpec(x.shape, dtypes.int32)


_Argsort = Primitive(
    "_Argsort", "values: T", impl=_argsort_impl, shape=_sort_shape, vjp=lambda op, g: (None,),
    batch=batch_rules.shift_axis(),
)  # fmt: skip


def _put_along_impl(g: Any, indices: Any, *, axis: int) -> Any:
    out = np.zeros_like(g)
    np.put_along_axis(out, indices.astype(np.int64), g, axis)
    return out


def _along_batch(ctx: Any, x: Any, indices: Any, *, axis: int) -> Any:
    x, indices = batch_rules.all_batched(ctx, (x, indices))
    return ctx.primitive(x, indices, axis=axis + 1 if axis >= 0 else axis)


TakeAlong = Primitive(
    "_TakeAlong", "values: T, indices: I",
    impl=lambda x, i, *, axis: array_module(x).take_along_axis(x, i, axis),
    shape=lambda x, i, *, axis: TensorSpec(i.shape, x.dtype),
    vjp=lambda op, g: (PutAlong(g, op.inputs[1], **op.attrs), None), batch=_along_batch,
)  # fmt: skip
PutAlong = Primitive(
    "_PutAlong", "g: T, indices: I", impl=_put_along_impl,
    shape=lambda g, i, *, axis: TensorSpec(g.shape, g.dtype),
    vjp=lambda op, gg: (TakeAlong(gg, op.inputs[1], **op.attrs), None), batch=_along_batch,
)  # fmt: skip


def searchsorted(
    sorted_sequence: Any, values: Any, side: str = "left", out_type: Any = dtypes.int32, name: str | None = None
) -> Tensor:
    """Where each of `values` would go in the last axis of `sorted_sequence`, which is sorted.

    Raises:
        ValueError: `side` is neither ``"left"`` nor ``"right"``.
    """
    if side not in ("left", "right"):
        raise ValueError(f"Argument `side` must be either 'right' or 'left'. Received: `side` = '{side}'.")
    primitive = UpperBound if side == "right" else LowerBound
    return primitive(sorted_sequence, values, out_type=as_dtype(out_type))


def _bound(name: str, side: str) -> Primitive:
    def impl(rows: Any, values: Any, *, out_type: DType) -> Any:
        if rows.shape[:-1] != values.shape[:-1] or not rows.ndim:
            raise ValueError("Leading dim_size of both tensors must match.")
        kind = out_type.np_dtype
        if rows.ndim == 1:
            return np.asarray(np.searchsorted(rows, values, side)).astype(kind)
        out = np.empty(values.shape, kind)
        flat, many = rows.reshape(-1, rows.shape[-1]), values.reshape(-1, values.shape[-1])
        for row, some, place in zip(flat, many, out.reshape(many.shape), strict=True):
            place[:] = np.searchsorted(row, some, side)
        return out

    def rule(rows: Any, values: Any, *, out_type: DType) -> TensorSpec:
        if not rows.shape[:-1].is_compatible_with(values.shape[:-1]):
            raise InvalidArgumentError(
                f"Leading dim_size of both tensors must match: {rows.shape} and {values.shape} [Op:{name}]", op=name
            )
        return TensorSpec(values.shape, out_type)

    def batch(ctx: Any, rows: Any, values: Any, *, out_type: DType) -> Any:
        return ctx.primitive(*batch_rules.all_batched(ctx, (rows, values)), out_type=out_type)

    return Primitive(
        name, "sorted_inputs: T, values: T", impl=impl, shape=rule, vjp=lambda op, g: (None, None), batch=batch
    )


LowerBound = _bound("LowerBound", "left")
UpperBound = _bound("UpperBound", "right")


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
    y, idx, _ = UniqueWithCountsOp(x, out_idx=as_dtype(out_idx))
    return Unique(y, idx)


def unique_with_counts(x: Any, out_idx: Any = dtypes.int32, name: str | None = None) -> UniqueWithCounts:
    """Like `unique`, with how often each distinct element appears."""
    return UniqueWithCounts(*UniqueWithCountsOp(x, out_idx=as_dtype(out_idx)))


def _unique_impl(x: Any, *, out_idx: DType) -> Any:
    if x.ndim != 1:
        raise ValueError("unique expects a 1D vector.")
    keys = x.numpy() if isinstance(x, StringArray) else x
    _, first, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    place = np.empty(len(order), out_idx.np_dtype)
    place[order] = np.arange(len(order))
    return x[first[order]], place[inverse.reshape(-1)], counts[order].astype(out_idx.np_dtype)


def _unique_shape(x: Any, *, out_idx: DType) -> tuple[TensorSpec, ...]:
    if x.shape.rank not in (1, None):
        raise InvalidArgumentError(f"unique expects a 1D vector, got shape {x.shape} [Op:Unique]", op="Unique")
    return TensorSpec([None], x.dtype), TensorSpec(x.shape, out_idx), TensorSpec([None], out_idx)


UniqueWithCountsOp = Primitive("UniqueWithCounts", "x: T", impl=_unique_impl, shape=_unique_shape)


# -- dynamic_partition, dynamic_stitch --------------------------------------------------------


def dynamic_partition(data: Any, partitions: Any, num_partitions: int, name: str | None = None) -> list[Tensor]:
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


def _partition_shape(data: Any, partitions: Any, *, num_partitions: int) -> tuple[TensorSpec, ...]:
    k = partitions.shape.rank
    if k is None or data.shape.rank is None:
        return (TensorSpec(None, data.dtype),) * num_partitions
    if not data.shape[:k].is_compatible_with(partitions.shape):
        raise InvalidArgumentError(
            f"data.shape must start with partitions.shape, got data.shape = {data.shape}, partitions.shape = "
            f"{partitions.shape} [Op:DynamicPartition]", op="DynamicPartition")  # fmt: skip
    return (TensorSpec((None, *data.shape.dims[k:]), data.dtype),) * num_partitions


def _partition_vjp(op: Any, *gs: Any) -> Any:
    data, partitions = op.inputs
    count = partitions.shape.num_elements()
    ids = Tensor.of(np.arange(count, dtype=np.int32)) if count is not None else None
    if ids is None:
        from .array_basics import size
        from .sequences import range as range_

        ids = range_(size(partitions))
    places = DynamicPartition(reshape(ids, shape(partitions)), partitions, **op.attrs)
    return reshape(DynamicStitch(list(places) + list(gs), count=len(gs)), shape(data)), None


DynamicPartition = Primitive(
    "DynamicPartition", "data: T, partitions: int32", impl=_partition_impl, shape=_partition_shape,
    vjp=_partition_vjp,
)  # fmt: skip


def dynamic_stitch(indices: Any, data: Any, name: str | None = None) -> Tensor:
    """The slices of the tensors `data` put at the places `indices` name; where places repeat
    the last one holds.
    """
    indices = [to_tensor(i, None) for i in indices]
    data = [to_tensor(d, None) for d in data]
    if len(indices) != len(data):
        raise ValueError(f"indices and data must have one length, got {len(indices)} and {len(data)}")
    return _stitch(indices, data)


def _stitch(indices: list[Any], data: list[Any]) -> Tensor:
    return DynamicStitch([*indices, *data], count=len(data))


class _Mixed(Primitive):
    """A primitive whose one list of inputs has tensors of two dtypes."""

    def _convert(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(to_tensor(a, None) for a in args[0])


def _stitch_impl(*both: Any, count: int) -> Any:
    indices, data = both[:count], both[count:]
    top = max((int(i.max()) for i in indices if i.size), default=-1)
    first = data[0]
    rest = first.shape[indices[0].ndim :]
    if isinstance(first, StringArray):
        joined = StringArray.concatenate([d.reshape((i.size, *rest)) for i, d in zip(indices, data, strict=True)])
        source = np.zeros(top + 1, np.int64)
        source[np.concatenate([i.reshape(-1) for i in indices])] = np.arange(len(joined))
        return joined[source]
    out = np.zeros((top + 1, *rest), first.dtype)
    for i, d in zip(indices, data, strict=True):
        out[i.reshape(-1)] = d.reshape((i.size, *rest))
    return out


def _stitch_shape(*both: Any, count: int) -> TensorSpec:
    i, d = both[0], both[count]
    if i.shape.rank is None or d.shape.rank is None:
        return TensorSpec(None, d.dtype)
    return TensorSpec((None, *d.shape.dims[i.shape.rank :]), d.dtype)


def _stitch_vjp(op: Any, g: Any) -> Any:
    count = op.attrs["count"]
    gather = get_primitive("GatherV2")
    return (*(None,) * count, *(gather(g, i, axis=0, batch_dims=0) for i in op.inputs[:count]))


DynamicStitch = _Mixed("DynamicStitch", "indices_and_data: N * T", impl=_stitch_impl, shape=_stitch_shape, vjp=_stitch_vjp)


# -- reverse_sequence, repeat -----------------------------------------------------------------


def reverse_sequence(
    input: Any, seq_lengths: Any, seq_axis: int | None = None, batch_axis: int | None = None,
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """`input` with the first ``seq_lengths[i]`` elements along `seq_axis` of each slice i along
    `batch_axis` in reverse order.
    """
    if seq_axis is None:
        raise ValueError("reverse_sequence: seq_axis must be given")
    return ReverseSequence(input, seq_lengths, seq_dim=seq_axis, batch_dim=batch_axis or 0)


def _reverse_sequence_impl(x: Any, lengths: Any, *, seq_dim: int, batch_dim: int) -> Any:
    seq, batch = seq_dim % x.ndim, batch_dim % x.ndim
    n = x.shape[seq]
    if lengths.shape != (x.shape[batch],):
        raise ValueError("Length of seq_lengths != input.dims(batch_dim)")
    if lengths.size and (int(lengths.max()) > n or int(lengths.min()) < 0):
        raise InvalidArgumentError(
            f"seq_lengths must be in [0, {n}], got {lengths.tolist()} [Op:ReverseSequence]", op="ReverseSequence"
        )
    steps = np.arange(n)
    at = np.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    spread = [1] * x.ndim
    spread[batch], spread[seq] = at.shape
    index = (at if batch < seq else at.T).reshape(spread)
    if isinstance(x, StringArray):
        return x.map_offsets(lambda a: np.take_along_axis(a, np.broadcast_to(index, a.shape), seq))
    return np.take_along_axis(x, np.broadcast_to(index, x.shape), seq)


def _reverse_sequence_shape(x: Any, lengths: Any, *, seq_dim: int, batch_dim: int) -> TensorSpec:
    rank = x.shape.rank
    if rank is not None:
        seq, batch = axis_of(seq_dim, rank, "ReverseSequence", "seq_dim"), axis_of(batch_dim, rank, "ReverseSequence", "batch_dim")
        if seq == batch:
            raise InvalidArgumentError(f"batch_dim == seq_dim == {seq} [Op:ReverseSequence]", op="ReverseSequence")
        n = x.shape[batch]
        have = lengths.shape[0] if lengths.shape.rank == 1 else None
        if n is not None and have is not None and n != have:
            raise InvalidArgumentError(
                f"Length of seq_lengths != input.dims({batch}), ({have} vs. {n}) [Op:ReverseSequence]",
                op="ReverseSequence",
            )
    return TensorSpec(x.shape, x.dtype)


ReverseSequence = Primitive(
    "ReverseSequence", "input: T, seq_lengths: Tlen", impl=_reverse_sequence_impl, shape=_reverse_sequence_shape,
    vjp=lambda op, g: (ReverseSequence(g, op.inputs[1], **op.attrs), None),
)  # fmt: skip


def repeat(input: Any, repeats: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """`input` with each element along `axis` repeated; flattened first where `axis` is None.

    Args:
        input: tensor.
        repeats: how often: one number, or one per element along the axis.
        axis: the axis.
        name: ignored.

    Raises:
        InvalidArgumentError: `repeats` does not fit, or is negative.
    """
    x = to_tensor(input, None)
    if axis is None:
        x, axis = reshape(x, [-1]), 0
    axis = static_int(axis, "repeat", "axis")
    if x.shape.rank is not None:
        axis = axis_of(axis, x.shape.rank, "repeat")
    times = known_ints(repeats, "repeat", "repeats")
    return _Repeat(x, shape_input(repeats), axis=axis, count=times[0] if times is not None and len(times) == 1 else None)


def _repeat_impl(x: Any, repeats: Any, *, axis: int, count: int | None) -> Any:
    n = x.shape[axis]
    times = np.broadcast_to(repeats.reshape(-1), (n,)) if repeats.size == 1 else repeats.reshape(-1)
    if len(times) != n or (n and int(times.min()) < 0):
        raise InvalidArgumentError(
            f"repeat: repeats must hold one number >= 0 per element of axis {axis} (size {n}), got "
            f"{repeats.tolist()}", op="repeat")  # fmt: skip
    if isinstance(x, StringArray):
        return x.map_offsets(lambda a: np.repeat(a, times, axis))
    return array_module(x).repeat(x, times if count is None else count, axis)


def _repeat_shape(x: Any, repeats: Any, *, axis: int, count: int | None) -> TensorSpec:
    from .graph.graph import constant_value

    dims = x.shape.dims
    if dims is None:
        return TensorSpec(None, x.dtype)
    at = axis_of(axis, len(dims), "repeat")
    known = constant_value(repeats)
    total = None
    if count is not None:
        total = None if dims[at] is None else dims[at] * count
    elif known is not None:
        total = int(known.sum())
    return TensorSpec((*dims[:at], total, *dims[at + 1 :]), x.dtype)


def _repeat_grad_impl(g: Any, x: Any, repeats: Any, *, axis: int, count: int | None) -> Any:
    n = x.shape[axis]
    if count is not None:
        dims = x.shape
        return g.reshape((*dims[: axis + 1], count, *dims[axis + 1 :])).sum(axis=axis + 1, dtype=g.dtype)
    out = np.zeros((n, *(d for i, d in enumerate(x.shape) if i != axis)), g.dtype)
    np.add.at(out, np.repeat(np.arange(n), repeats.reshape(-1)), np.moveaxis(g, axis, 0))
    return np.moveaxis(out, 0, axis)


def _repeat_batch(ctx: Any, x: Any, repeats: Any, *, axis: int, count: int | None) -> Any:
    if ctx.batched[1]:
        from .array_basics import UnbatchableShape

        raise UnbatchableShape("repeat")
    return _Repeat(x, repeats, axis=axis + 1, count=count)


_Repeat = Primitive(
    "_Repeat", "input: T, repeats: I", impl=_repeat_impl, shape=_repeat_shape,
    vjp=lambda op, g: (_RepeatGrad(g, *op.inputs, **op.attrs), None), batch=_repeat_batch,
)  # fmt: skip
_RepeatGrad = Primitive(
    "_RepeatGrad", "g: T, input: T, repeats: I", impl=_repeat_grad_impl,
    shape=lambda g, x, repeats, *, axis, count: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (_Repeat(gg, op.inputs[2], **op.attrs), None, None),
)  # fmt: skip

