"""Joining tensors and taking them apart: concat, stack, split, unstack."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_module import array_module
from .convert import register_stack, to_tensor
from .cuda import recording
from .errors import InvalidArgumentError
from .primitive import Primitive
from .shape_rules import axis_of
from .static_args import static_int, static_ints
from .string_array import StringArray
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["concat", "split", "stack", "unstack"]


# -- concat -----------------------------------------------------------------------------------


def concat(values: Any, axis: Any, name: str = "concat") -> Tensor:
    """Tensors joined along an existing axis.

    >>> import headrace as hr
    >>> hr.concat([[1, 2], [3]], 0).numpy().tolist()
    [1, 2, 3]

    Raises:
        InvalidArgumentError: the shapes differ elsewhere than along `axis`.
    """
    if not isinstance(values, (list, tuple)):
        values = [values]
    axis = static_int(axis, "ConcatV2", "axis")
    for v in values:
        if hasattr(v, "_concat"):
            return v._concat(values, axis)
    if not values:
        raise ValueError("concat: values must hold at least one tensor, got an empty list")
    return ConcatV2(values, axis=axis)


def _concat_impl(*values: Any, axis: int) -> Any:
    if isinstance(values[0], StringArray):
        return StringArray.concatenate(values, axis)
    return _joined(values, axis)


def _joined(values: Any, axis: int) -> Any:
    """Arrays one behind the other.  Of more than eight CuPy copies the addresses from the host,
    which a recording cannot hold: there they are joined by eights."""
    xp = array_module(*values)
    if recording.current() is not None and xp is not np:
        while len(values) > 8:
            values = [xp.concatenate(values[i : i + 8], axis) for i in range(0, len(values), 8)]
    return xp.concatenate(values, axis)


def _concat_shape(*values: Any, axis: int) -> TensorSpec:
    first = next((v.shape for v in values if v.shape.rank is not None), None)
    if first is None:
        return TensorSpec(None, values[0].dtype)
    if first.rank == 0:
        raise InvalidArgumentError(
            "ConcatOp : Expected concatenating dimensions in the range [0, 0), but got 0 "
            "(scalars cannot "
            "be concatenated; use hr.stack) [Op:ConcatV2]",
            op="ConcatV2",
        )
    at = axis_of(axis, first.rank, "ConcatV2")
    out = list(first.dims)
    total: int | None = 0
    for i, v in enumerate(values):
        dims = v.shape.dims
        if dims is None:
            total = None
            continue
        if len(dims) != len(out):
            raise InvalidArgumentError(
                f"ConcatOp : Ranks of all input tensors should match: shape[0] = {first} vs. "
                f"shape[{i}] = {v.shape} [Op:ConcatV2]", op="ConcatV2")  # fmt: skip
        for j, d in enumerate(dims):
            if j == at:
                total = None if total is None or d is None else total + d
            elif out[j] is None:
                out[j] = d
            elif d is not None and d != out[j]:
                raise InvalidArgumentError(
                    f"ConcatOp : Dimension {j} in both shapes must be equal: shape[0] = "
                    f"{first} vs. "
                    f"shape[{i}] = {v.shape} [Op:ConcatV2]",
                    op="ConcatV2",
                )
    out[at] = total
    return TensorSpec(out, values[0].dtype)


def _concat_vjp(op: Any, g: Any) -> Any:
    return SplitLike(g, op.inputs, axis=op.attrs["axis"])


def _joined_batch(ctx: Any, *values: Any, axis: int) -> Any:
    return ctx.primitive(
        batch_rules.all_batched(ctx, values), axis=axis + 1 if axis >= 0 else axis
    )


ConcatV2 = Primitive(
    "ConcatV2",
    "values: N * T",
    impl=_concat_impl,
    shape=_concat_shape,
    vjp=_concat_vjp,
    batch=_joined_batch,
)


def _split_like_impl(g: Any, *likes: Any, axis: int) -> Any:
    ends = np.cumsum([x.shape[axis] for x in likes]).tolist()
    return _cut(g, ends, axis)


def _cut(x: Any, ends: list[int], axis: int) -> tuple[Any, ...]:
    axis %= len(x.shape)
    lead = (slice(None),) * axis
    start = 0
    parts = []
    for end in ends:
        parts.append(x[(*lead, slice(start, end))])
        start = end
    return tuple(parts)


def _split_like_batch(ctx: Any, g: Any, *likes: Any, axis: int) -> Any:
    g, *likes = batch_rules.all_batched(ctx, (g, *likes))
    return SplitLike(g, likes, axis=axis + 1 if axis >= 0 else axis)


SplitLike = Primitive(
    "_SplitLike",
    "g: T, likes: N * T",
    impl=_split_like_impl,
    shape=lambda g, *likes, axis: tuple(TensorSpec(x.shape, g.dtype) for x in likes),
    vjp=lambda op, *gs: (ConcatV2(gs, axis=op.attrs["axis"]), *(None for _ in gs)),
    batch=_split_like_batch,
)


# -- stack ------------------------------------------------------------------------------------


def stack(values: Any, axis: Any = 0, name: str = "stack") -> Tensor:
    """Tensors of one shape joined along a new axis.

    Raises:
        InvalidArgumentError: the shapes differ, or `axis` is not in [-rank - 1, rank].
    """
    if isinstance(values, Tensor):
        values = unstack(values)
    values = list(values)
    for v in values:
        if hasattr(v, "_stack"):
            return v._stack(values, axis)
    if not values:
        raise ValueError("stack: values must hold at least one tensor, got an empty list")
    return Pack(values, axis=static_int(axis, "Pack", "axis"))


def _pack_impl(*values: Any, axis: int) -> Any:
    if isinstance(values[0], StringArray):
        return StringArray.stack(values, axis)
    xp = array_module(*values)
    if recording.current() is not None and xp is not np:
        return _joined([xp.expand_dims(v, axis) for v in values], axis)
    return xp.stack(values, axis)


def _pack_shape(*values: Any, axis: int) -> TensorSpec:
    shape = values[0].shape
    for i, v in enumerate(values):
        if not shape.is_compatible_with(v.shape):
            raise InvalidArgumentError(
                f"Shapes of all inputs must match: values[0].shape = {shape} != "
                f"values[{i}].shape = {v.shape} "
                f"[Op:Pack]",
                op="Pack",
            )
        shape = shape.merge_with(v.shape)
    if shape.rank is None:
        return TensorSpec(None, values[0].dtype)
    at = axis_of(axis, shape.rank + 1, "Pack")
    return TensorSpec((*shape.dims[:at], len(values), *shape.dims[at:]), values[0].dtype)


def _pack_vjp(op: Any, g: Any) -> Any:
    return Unpack(g, num=len(op.inputs), axis=op.attrs["axis"])


Pack = Primitive(
    "Pack",
    "values: N * T",
    impl=_pack_impl,
    shape=_pack_shape,
    vjp=_pack_vjp,
    batch=_joined_batch,
    defaults={"axis": 0},
)


def unstack(
    value: Any, num: int | None = None, axis: Any = 0, name: str = "unstack"
) -> list[Tensor]:
    """The slices of `value` along `axis`, without that axis.

    Raises:
        ValueError: the size of the axis is unknown and `num` is not given.
        InvalidArgumentError: `num` differs from the size.
    """
    value = to_tensor(value, None)
    axis = static_int(axis, "Unpack", "axis")
    if num is None:
        rank = value.shape.rank
        if rank is not None:
            num = value.shape[axis_of(axis, rank, "Unpack")]
        if num is None:
            raise ValueError(f"Cannot infer argument `num` from shape {value.shape}")
    return list(Unpack(value, num=num, axis=axis))


def _unpack_impl(x: Any, *, num: int, axis: int) -> Any:
    rank = len(x.shape)
    axis = axis + rank if axis < 0 else axis
    if not 0 <= axis < rank or x.shape[axis] != num:
        raise ValueError("Unpack: wrong axis or number")
    lead = (slice(None),) * axis
    return tuple(x[(*lead, i, ...)] for i in range(num))


def _unpack_shape(x: Any, *, num: int, axis: int) -> tuple[TensorSpec, ...]:
    dims = x.shape.dims
    if dims is None:
        return tuple(TensorSpec(None, x.dtype) for _ in range(num))
    at = axis_of(axis, len(dims), "Unpack")
    if dims[at] not in (None, num):
        raise InvalidArgumentError(
            f"Unpack: num must be the size of axis {axis}, {dims[at]}, got {num} [Op:Unpack]",
            op="Unpack",
        )
    return tuple(TensorSpec(dims[:at] + dims[at + 1 :], x.dtype) for _ in range(num))


Unpack = Primitive(
    "Unpack",
    "value: T",
    impl=_unpack_impl,
    shape=_unpack_shape,
    vjp=lambda op, *gs: (Pack(gs, axis=op.attrs["axis"]),),
    batch=batch_rules.shift_axis(),
    defaults={"axis": 0},
)


# -- split ------------------------------------------------------------------------------------


def split(
    value: Any,
    num_or_size_splits: Any,
    axis: Any = 0,
    num: int | None = None,
    name: str = "split",
) -> list[Tensor]:
    """Parts of `value` along `axis`.

    Args:
        value: tensor.
        num_or_size_splits: number of equal parts, or the sizes of the parts, of which one may
            be -1.
        axis: the axis.
        num: ignored; the number of parts is known from the sizes.
        name: ignored.

    Raises:
        InvalidArgumentError: the parts do not make up the axis.
    """
    value = to_tensor(value, None)
    axis = static_int(axis, "Split", "axis")
    if isinstance(num_or_size_splits, (int, np.integer)):
        return list(Split(value, num_split=int(num_or_size_splits), axis=axis))
    if isinstance(num_or_size_splits, Tensor) and num_or_size_splits.shape.rank == 0:
        return list(
            Split(
                value,
                num_split=static_int(num_or_size_splits, "Split", "num_or_size_splits"),
                axis=axis,
            )
        )
    sizes = static_ints(num_or_size_splits, "SplitV", "num_or_size_splits")
    return list(SplitV(value, size_splits=sizes, axis=axis))


def _split_impl(x: Any, *, num_split: int, axis: int) -> Any:
    size = x.shape[axis]
    if num_split <= 0 or size % num_split:
        raise ValueError("Split: uneven")
    part = size // num_split
    return _cut(x, [part * (i + 1) for i in range(num_split)], axis)


def _split_shape(x: Any, *, num_split: int, axis: int) -> tuple[TensorSpec, ...]:
    if num_split <= 0:
        raise InvalidArgumentError(
            f"Split: num_split must be positive, got {num_split} [Op:Split]", op="Split"
        )
    dims = x.shape.dims
    if dims is None:
        return tuple(TensorSpec(None, x.dtype) for _ in range(num_split))
    at = axis_of(axis, len(dims), "Split", "split_dim")
    if dims[at] is not None and dims[at] % num_split:
        raise InvalidArgumentError(
            "Number of ways to split should evenly divide the split dimension, but got "
            f"split_dim {axis} "
            f"(size = {dims[at]}) and num_split {num_split} [Op:Split]",
            op="Split",
        )
    part = None if dims[at] is None else dims[at] // num_split
    shape = TensorShape.of((*dims[:at], part, *dims[at + 1 :]))
    return tuple(TensorSpec(shape, x.dtype) for _ in range(num_split))


Split = Primitive(
    "Split", "value: T", impl=_split_impl, shape=_split_shape,
    vjp=lambda op, *gs: (ConcatV2(gs, axis=op.attrs["axis"]),), batch=batch_rules.shift_axis(),
)  # fmt: skip


def _part_sizes(size: int | None, sizes: tuple[int, ...], axis: int) -> list[int | None]:
    """`sizes` with a -1 resolved, checked against the size of the axis."""
    known = sum(s for s in sizes if s != -1)
    if sizes.count(-1) > 1 or any(s < -1 for s in sizes):
        raise InvalidArgumentError(
            f"There can only be one -1 in the input, got sizes {list(sizes)} [Op:SplitV]",
            op="SplitV",
        )
    out: list[int | None] = list(sizes)
    if -1 in sizes:
        out[sizes.index(-1)] = None if size is None else size - known
    if size is not None and (known > size or (-1 not in sizes and known != size)):
        raise InvalidArgumentError(
            "Determined shape must either match input shape along split_dim exactly if "
            "fully specified, or "
            "be less than the size of the input along split_dim if not fully specified.  "
            f"Got: {known} "
            f"(size of axis {axis} is {size}) [Op:SplitV]",
            op="SplitV",
        )
    return out


def _splitv_impl(
    x: Any, *, size_splits: tuple[int, ...], axis: int, num_split: int | None = None
) -> Any:
    sizes = _part_sizes(x.shape[axis], size_splits, axis)
    return _cut(x, np.cumsum(sizes).tolist(), axis)


def _splitv_shape(
    x: Any, *, size_splits: tuple[int, ...], axis: int, num_split: int | None = None
) -> tuple[TensorSpec, ...]:
    dims = x.shape.dims
    if dims is None:
        return tuple(TensorSpec(None, x.dtype) for _ in size_splits)
    at = axis_of(axis, len(dims), "SplitV")
    sizes = _part_sizes(dims[at], size_splits, axis)
    return tuple(TensorSpec((*dims[:at], s, *dims[at + 1 :]), x.dtype) for s in sizes)


SplitV = Primitive(
    "SplitV",
    "value: T",
    impl=_splitv_impl,
    shape=_splitv_shape,
    vjp=lambda op, *gs: (ConcatV2(gs, axis=op.attrs["axis"]),),
    batch=batch_rules.shift_axis(),
    defaults={"size_splits": ()},
)

register_stack(stack)
