"""The order of elements: reverse, roll, reverse_sequence, sort, argsort, searchsorted."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_module import array_module
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError, UnimplementedError
from .primitive import Primitive
from .shape_rules import axis_of
from .static_args import shape_input, static_int, static_ints
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["argsort", "reverse", "reverse_sequence", "roll", "searchsorted", "sort"]


# -- reverse, roll ---------------------------------------------------------------------------


def reverse(tensor: Any, axis: Any, name: str | None = None) -> Tensor:
    """`tensor` with its elements in reverse order along each axis of `axis`."""
    return ReverseV2(tensor, axis=static_ints(axis, "ReverseV2", "axis"))


def _reverse_key(x: Any, axis: tuple[int, ...]) -> tuple[slice, ...]:
    key = [slice(None)] * len(x.shape)
    for a in axis:
        if key[a] != slice(None):
            raise ValueError(f"axis {a} specified more than once")
        key[a] = slice(None, None, -1)
    return tuple(key)


def _reverse_shape(x: Any, *, axis: tuple[int, ...]) -> TensorSpec:
    if x.shape.rank is not None:
        found = [axis_of(a, x.shape.rank, "ReverseV2") for a in axis]
        if len(set(found)) != len(found):
            raise InvalidArgumentError(
                f"axis {found} specified more than once. [Op:ReverseV2]", op="ReverseV2"
            )
    return TensorSpec(x.shape, x.dtype)


ReverseV2 = Primitive(
    "ReverseV2",
    "tensor: T",
    impl=lambda x, *, axis: x[(*_reverse_key(x, axis), ...)],
    shape=_reverse_shape,
    vjp=lambda op, g: (ReverseV2(g, **op.attrs),),
    batch=batch_rules.shift_axis(),
    defaults={"axis": ()},
)


def roll(input: Any, shift: Any, axis: Any, name: str | None = None) -> Tensor:
    """`input` with its elements moved cyclically by `shift` places along `axis`."""
    return Roll(input, shape_input(shift), axis=static_ints(axis, "Roll", "axis"))


def _roll_impl(x: Any, shift: Any, *, axis: tuple[int, ...]) -> Any:
    by = tuple(shift.reshape(-1).tolist())
    if len(by) != len(axis):
        raise ValueError("shift and axis must have the same size")
    if isinstance(x, StringArray):
        return x.map_offsets(lambda a: np.roll(a, by, axis))
    return array_module(x).roll(x, by, axis)


def _roll_shape(x: Any, shift: Any, *, axis: tuple[int, ...]) -> TensorSpec:
    if x.shape.rank is not None:
        if x.shape.rank == 0:
            raise InvalidArgumentError("input must be 1-D or higher [Op:Roll]", op="Roll")
        for a in axis:
            axis_of(a, x.shape.rank, "Roll")
    count = 1 if shift.shape.rank == 0 else shift.shape[0] if shift.shape.rank == 1 else None
    if count is not None and count != len(axis):
        raise InvalidArgumentError(
            f"shift and axis must have the same size, got {count} and {len(axis)} [Op:Roll]",
            op="Roll",
        )
    return TensorSpec(x.shape, x.dtype)


def _roll_batch(ctx: Any, x: Any, shift: Any, *, axis: tuple[int, ...]) -> Any:
    if ctx.batched[1]:
        raise UnimplementedError(
            "primitive Roll: shift differs from element to element", op="Roll"
        )
    return Roll(x, shift, axis=tuple(a + 1 if a >= 0 else a for a in axis))


Roll = Primitive(
    "Roll",
    "input: T, shift: Tshift",
    impl=_roll_impl,
    shape=_roll_shape,
    vjp=lambda op, g: (Roll(g, -op.inputs[1], **op.attrs), None),
    batch=_roll_batch,
    defaults={"axis": ()},
)


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
            f"seq_lengths must be in [0, {n}], got {lengths.tolist()} [Op:ReverseSequence]",
            op="ReverseSequence",
        )
    xp = array_module(x)
    steps = xp.arange(n)
    at = xp.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    spread = [1] * x.ndim
    spread[batch], spread[seq] = at.shape
    index = (at if batch < seq else at.T).reshape(spread)
    if isinstance(x, StringArray):
        return x.map_offsets(
            lambda a: np.take_along_axis(a, np.broadcast_to(index, a.shape), seq)
        )
    return np.take_along_axis(x, np.broadcast_to(index, x.shape), seq)


def _reverse_sequence_shape(
    x: Any, lengths: Any, *, seq_dim: int, batch_dim: int
) -> TensorSpec:
    rank = x.shape.rank
    if rank is not None:
        seq, batch = (
            axis_of(seq_dim, rank, "ReverseSequence", "seq_dim"),
            axis_of(batch_dim, rank, "ReverseSequence", "batch_dim"),
        )
        if seq == batch:
            raise InvalidArgumentError(
                f"batch_dim == seq_dim == {seq} [Op:ReverseSequence]", op="ReverseSequence"
            )
        n = x.shape[batch]
        have = lengths.shape[0] if lengths.shape.rank == 1 else None
        if n is not None and have is not None and n != have:
            raise InvalidArgumentError(
                f"Length of seq_lengths != input.dims({batch}), ({have} vs. {n}) "
                "[Op:ReverseSequence]",
                op="ReverseSequence",
            )
    return TensorSpec(x.shape, x.dtype)


ReverseSequence = Primitive(
    "ReverseSequence",
    "input: T, seq_lengths: Tlen",
    impl=_reverse_sequence_impl,
    shape=_reverse_sequence_shape,
    vjp=lambda op, g: (ReverseSequence(g, op.inputs[1], **op.attrs), None),
    defaults={"batch_dim": 0},
)


# -- sort -------------------------------------------------------------------------------------


def sort(
    values: Any, axis: Any = -1, direction: str = "ASCENDING", name: str | None = None
) -> Tensor:
    """`values` in order along `axis`.

    Raises:
        ValueError: `direction` is neither ``"ASCENDING"`` nor ``"DESCENDING"``.
    """
    values = to_tensor(values, None)
    axis = static_int(axis, "sort", "axis")
    return TakeAlong(
        values, _Argsort(values, axis=axis, descending=_descending(direction)), axis=axis
    )


def argsort(
    values: Any,
    axis: Any = -1,
    direction: str = "ASCENDING",
    stable: bool = False,
    name: str | None = None,
) -> Tensor:
    """int32 indices that put `values` in order along `axis`; always stable."""
    return _Argsort(
        values, axis=static_int(axis, "argsort", "axis"), descending=_descending(direction)
    )


def _descending(direction: str) -> bool:
    if direction not in ("ASCENDING", "DESCENDING"):
        raise ValueError(
            "Argument `direction` should be one of 'ASCENDING' or 'DESCENDING'. Received: "
            f"direction={direction}"
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
    sorted_sequence: Any,
    values: Any,
    side: str = "left",
    out_type: Any = dtypes.int32,
    name: str | None = None,
) -> Tensor:
    """Where each of `values` would go in the last axis of `sorted_sequence`, which is sorted.

    Raises:
        ValueError: `side` is neither ``"left"`` nor ``"right"``.
    """
    if side not in ("left", "right"):
        raise ValueError(
            f"Argument `side` must be either 'right' or 'left'. Received: `side` = '{side}'."
        )
    primitive = UpperBound if side == "right" else LowerBound
    return primitive(sorted_sequence, values, out_type=as_dtype(out_type))


def _bound(name: str, side: str) -> Primitive:
    def impl(rows: Any, values: Any, *, out_type: DType) -> Any:
        if rows.shape[:-1] != values.shape[:-1] or not rows.ndim:
            raise ValueError("Leading dim_size of both tensors must match.")
        kind = out_type.np_dtype
        xp = array_module(rows)
        if rows.ndim == 1:
            return xp.asarray(xp.searchsorted(rows, values, side)).astype(kind)
        out = xp.empty(values.shape, kind)
        flat, many = rows.reshape(-1, rows.shape[-1]), values.reshape(-1, values.shape[-1])
        for row, some, place in zip(flat, many, out.reshape(many.shape), strict=True):
            place[:] = xp.searchsorted(row, some, side)
        return out

    def rule(rows: Any, values: Any, *, out_type: DType) -> TensorSpec:
        if not rows.shape[:-1].is_compatible_with(values.shape[:-1]):
            raise InvalidArgumentError(
                f"Leading dim_size of both tensors must match: {rows.shape} and "
                f"{values.shape} [Op:{name}]",
                op=name,
            )
        return TensorSpec(values.shape, out_type)

    def batch(ctx: Any, rows: Any, values: Any, *, out_type: DType) -> Any:
        return ctx.primitive(*batch_rules.all_batched(ctx, (rows, values)), out_type=out_type)

    return Primitive(
        name,
        "sorted_inputs: T, values: T",
        impl=impl,
        shape=rule,
        vjp=lambda op, g: (None, None),
        batch=batch,
        defaults={"out_type": dtypes.int32},
    )


LowerBound = _bound("LowerBound", "left")
UpperBound = _bound("UpperBound", "right")
