"""Tensors made from a few numbers: range, linspace, eye, meshgrid, sequence_mask."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import UnbatchableShape, cast, reshape, size, sum_to
from .array_broadcast import broadcast_to
from .array_join import concat, stack, unstack
from .array_module import array_module
from .array_shape import expand_dims
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .math_ops import multiply
from .primitive import Primitive
from .shape_rules import axis_of, broadcast
from .static_args import known_ints, static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec
from .variable import Variable

__all__ = ["eye", "linspace", "meshgrid", "range", "sequence_mask"]

_builtin_range = builtins.range
_ORDER = (
    dtypes.int32,
    dtypes.int64,
    dtypes.float16,
    dtypes.bfloat16,
    dtypes.float32,
    dtypes.float64,
)


# -- range ------------------------------------------------------------------------------------


def range(
    start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None, name: str = "range"
) -> Tensor:
    """Numbers from `start` (0 if only one is given) up to, not including, `limit` in steps of
    `delta`.

    Args:
        start: first number; the limit if `limit` is None.
        limit: end, not included.
        delta: step.
        dtype: of the result; by default the widest of the arguments' dtypes.
        name: ignored.

    >>> import headrace as hr
    >>> hr.range(3, 10, 3).numpy().tolist()
    [3, 6, 9]

    Raises:
        InvalidArgumentError: `delta` is 0, or leads away from `limit`.
    """
    if limit is None:
        start, limit = 0, start
    want = None if dtype is None else as_dtype(dtype)
    parts = [_number(v, want) for v in (start, limit, delta)]
    if want is None:
        kinds = [p.dtype for p in parts]
        want = max(kinds, key=lambda t: _ORDER.index(t) if t in _ORDER else -1)
    return Range(*(cast(p, want) for p in parts))


def _number(value: Any, dtype: DType | None) -> Tensor:
    if isinstance(value, (Tensor, Variable, np.ndarray, np.generic)) or dtype is None:
        return to_tensor(value, None)
    if isinstance(value, float) and not dtype.is_floating:
        return cast(to_tensor(value, None), dtype)
    return to_tensor(value, dtype)


def _checked_range(start: Any, limit: Any, delta: Any) -> int:
    first, end, step = start.item(), limit.item(), delta.item()
    if step == 0:
        raise InvalidArgumentError("Requires delta != 0: 0 [Op:Range]", op="Range")
    if (step > 0 and first > end) or (step < 0 and first < end):
        sign, than = (">", "<=") if step > 0 else ("<", ">=")
        raise InvalidArgumentError(
            f"Requires start {than} limit when delta {sign} 0: {first}/{end} [Op:Range]",
            op="Range",
        )
    if isinstance(first, int):
        return len(_builtin_range(first, end, step))
    return int(np.ceil(abs((float(end) - float(first)) / float(step))))


def _range_impl(start: Any, limit: Any, delta: Any) -> Any:
    size = _checked_range(start, limit, delta)
    dtype = start.dtype
    if dtype.kind in "iu":
        step = delta.item()
        return np.arange(start.item(), start.item() + size * step, step, dtype=dtype)
    # TensorFlow adds the step over and over in the dtype itself; so does cumsum.
    out = np.full(size, delta, dtype)
    if size:
        out[0] = start
        np.add.accumulate(out, out=out)
    return out


def _range_shape(start: Any, limit: Any, delta: Any) -> TensorSpec:
    known = [constant_value(t) for t in (start, limit, delta)]
    for t, what in zip((start, limit, delta), ("start", "limit", "delta"), strict=True):
        if t.shape.rank not in (0, None):
            raise InvalidArgumentError(
                f"{what} must be a scalar, not shape {t.shape} [Op:Range]", op="Range"
            )
    if any(k is None for k in known):
        return TensorSpec([None], start.dtype)
    return TensorSpec([_checked_range(*known)], start.dtype)


Range = Primitive(
    "Range", "start: T, limit: T, delta: T", impl=_range_impl, shape=_range_shape,
    vjp=lambda op, g: (None, None, None),
)  # fmt: skip


# -- linspace ---------------------------------------------------------------------------------


def linspace(start: Any, stop: Any, num: Any, name: str | None = None, axis: Any = 0) -> Tensor:
    """`num` numbers at equal distances from `start` to `stop`, both included, along a new
    `axis`.

    Raises:
        InvalidArgumentError: `num` is not positive.
    """
    start = to_tensor(start, None)
    stop = (
        to_tensor(stop, None)
        if isinstance(stop, (Tensor, Variable))
        else to_tensor(stop, start.dtype)
    )
    if start.dtype.is_integer:
        start, stop = cast(start, dtypes.float64), cast(stop, dtypes.float64)
    return LinSpace(
        start,
        stop,
        num=static_int(num, "linspace", "num"),
        axis=static_int(axis, "linspace", "axis"),
    )


def _linspace_impl(start: Any, stop: Any, *, num: int, axis: int) -> Any:
    xp = array_module(start, stop)
    start, stop = xp.broadcast_arrays(start, stop)
    if num == 1:
        return xp.expand_dims(start, axis)
    steps = num - 1
    delta = (stop - start) / np.asarray(steps, start.dtype)
    at = axis + start.ndim + 1 if axis < 0 else axis
    places = np.arange(num).astype(start.dtype).reshape((-1,) + (1,) * (start.ndim - at))
    out = xp.expand_dims(start, at) + xp.expand_dims(delta, at) * places
    out[(*(slice(None),) * at, -1)] = stop
    return out


def _linspace_shape(start: Any, stop: Any, *, num: int, axis: int) -> TensorSpec:
    if num <= 0:
        raise InvalidArgumentError(f"Requires num > 0: {num} [Op:LinSpace]", op="LinSpace")
    shape = broadcast(start.shape, stop.shape, "LinSpace")
    if shape.rank is None:
        return TensorSpec(None, start.dtype)
    at = axis_of(axis, shape.rank + 1, "LinSpace")
    return TensorSpec((*shape.dims[:at], num, *shape.dims[at:]), start.dtype)


def _linspace_vjp(op: Any, g: Any) -> Any:
    start, stop = op.inputs
    num, axis = op.attrs["num"], op.attrs["axis"]
    gs = unstack(g, num, axis)
    weights = [0.0] if num == 1 else [i / (num - 1) for i in _builtin_range(num)]
    to_start = to_stop = None
    for w, part in zip(weights, gs, strict=True):
        a, b = multiply(part, _scalar(1 - w, g.dtype)), multiply(part, _scalar(w, g.dtype))
        to_start, to_stop = (a, b) if to_start is None else (to_start + a, to_stop + b)
    return sum_to(to_start, start), sum_to(to_stop, stop)


def _scalar(value: float, dtype: DType) -> Tensor:
    return Tensor.of(np.array(value, dtype.np_dtype))


def _linspace_batch(ctx: Any, start: Any, stop: Any, *, num: int, axis: int) -> Any:
    start, stop = batch_rules.all_batched(ctx, batch_rules.aligned(ctx, (start, stop)))
    return LinSpace(start, stop, num=num, axis=axis + 1 if axis >= 0 else axis)


LinSpace = Primitive(
    "LinSpace",
    "start: T, stop: T",
    impl=_linspace_impl,
    shape=_linspace_shape,
    vjp=_linspace_vjp,
    batch=_linspace_batch,
    defaults={"axis": 0},
)


# -- eye, meshgrid, sequence_mask -------------------------------------------------------------


def eye(
    num_rows: Any,
    num_columns: Any = None,
    batch_shape: Any = None,
    dtype: Any = dtypes.float32,
    name: str | None = None,
) -> Tensor:
    """The identity matrix, repeated along `batch_shape`."""
    dtype = as_dtype(dtype)
    rows = static_int(num_rows, "eye", "num_rows")
    columns = rows if num_columns is None else static_int(num_columns, "eye", "num_columns")
    if rows < 0 or columns < 0:
        raise InvalidArgumentError(
            f"eye: sizes must be >= 0, got num_rows={rows}, num_columns={columns}"
        )
    out = Tensor.of(np.eye(rows, columns, dtype=dtype.np_dtype))
    if batch_shape is None:
        return out
    lead = known_ints(batch_shape, "eye", "batch_shape")
    target = (
        (*lead, rows, columns)
        if lead is not None
        else concat([batch_shape, [rows, columns]], 0)
    )
    return broadcast_to(out, target)


def meshgrid(*args: Any, indexing: str = "xy", name: str = "meshgrid") -> list[Tensor]:
    """Coordinate tensors of the grid that the vectors `args` span.

    Args:
        args: vectors.
        indexing: ``"xy"`` swaps the first two axes, ``"ij"`` does not.
        name: ignored.

    Raises:
        ValueError: `indexing` is neither.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(
            f"Argument `indexing` parameter must be either 'xy' or 'ij', got '{indexing}'"
        )
    n = len(args)
    if n == 0:
        return []
    parts = [
        reshape(to_tensor(a, None), (1,) * i + (-1,) + (1,) * (n - i - 1))
        for i, a in enumerate(args)
    ]
    if indexing == "xy" and n > 1:
        parts[0] = reshape(parts[0], (1, -1) + (1,) * (n - 2))
        parts[1] = reshape(parts[1], (-1, 1) + (1,) * (n - 2))
    sizes = [size(to_tensor(a, None)) for a in args]
    if indexing == "xy" and n > 1:
        sizes[0], sizes[1] = sizes[1], sizes[0]
    known = known_ints(sizes, "meshgrid", "sizes")
    target = known if known is not None else stack(sizes)
    return [broadcast_to(p, target) for p in parts]


def sequence_mask(
    lengths: Any, maxlen: Any = None, dtype: Any = dtypes.bool, name: str | None = None
) -> Tensor:
    """True in the first ``lengths[...]`` of `maxlen` places of a new last axis.

    Args:
        lengths: integers.
        maxlen: size of the last axis; the largest length by default.
        dtype: of the result.
        name: ignored.
    """
    lengths = to_tensor(lengths, None)
    if maxlen is None:
        mask = _SequenceMask(lengths, maxlen=None)
    else:
        known = known_ints(maxlen, "sequence_mask", "maxlen")
        if known is not None:
            mask = _SequenceMask(lengths, maxlen=known[0])
        else:
            places = range(cast(maxlen, lengths.dtype))
            mask = places < expand_dims(lengths, -1)
    dtype = as_dtype(dtype)
    return mask if dtype is dtypes.bool else cast(mask, dtype)


def _sequence_mask_impl(lengths: Any, *, maxlen: int | None) -> Any:
    n = (max(int(lengths.max()), 0) if lengths.size else 0) if maxlen is None else maxlen
    return array_module(lengths).arange(n) < lengths[..., None]


def _sequence_mask_batch(ctx: Any, lengths: Any, *, maxlen: int | None) -> Any:
    if maxlen is None:
        raise UnbatchableShape("sequence_mask")
    return _SequenceMask(lengths, maxlen=maxlen)


_SequenceMask = Primitive(
    "_SequenceMask",
    "lengths: I",
    impl=_sequence_mask_impl,
    shape=lambda lengths, *, maxlen: TensorSpec(
        lengths.shape.concatenate([maxlen]), dtypes.bool
    ),
    vjp=lambda op, g: (None,),
    batch=_sequence_mask_batch,
)
