"""Writing at computed places: scatter_nd, tensor_scatter_nd_* and the sum of rows that sparse
gradients need.

The gradients read with gather_nd, which stands in `array_gather.py` above this module and is
therefore looked up in the registry when a gradient is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import cast, zeros_like
from .array_module import array_module, is_on_device
from .atomic_updates import update_at
from .convert import register_conversion, to_tensor
from .cuda.recording import unseen
from .elementwise import negative
from .errors import InvalidArgumentError, UnimplementedError
from .graph.graph import constant_value
from .indexed_slices import IndexedSlices
from .primitive import Primitive, get_primitive
from .static_args import shape_input
from .string_array import StringArray
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = [
    "scatter_nd", "tensor_scatter_nd_add", "tensor_scatter_nd_max", "tensor_scatter_nd_min",
    "tensor_scatter_nd_sub", "tensor_scatter_nd_update",
]  # fmt: skip

_INDICES = {"Tindices": (dtypes.int16, dtypes.int32, dtypes.int64)}


# -- coordinates ------------------------------------------------------------------------------


def coordinates(
    indices: Any, dims: tuple[int, ...], batch_dims: int, op: str, what: str
) -> tuple[Any, ...]:
    """The index tuple that `indices`, [batch..., places..., depth], stand for in an array of
    shape `dims`; empty where there are neither batch axes nor a depth, so that each place is
    the whole array.

    Raises:
        InvalidArgumentError: one is out of range.
    """
    depth = indices.shape[-1]
    own = dims[batch_dims:]
    columns = [indices[..., i] for i in range(depth)]
    bad = None
    for column, size in zip(columns, own, strict=False):
        if not column.size or unseen(column):
            continue
        if int(column.min()) < 0 or int(column.max()) >= size:
            wrong = (column < 0) | (column >= size)
            bad = wrong if bad is None else bad | wrong
    if bad is not None:
        place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        where = ",".join(str(int(i)) for i in place)
        raise InvalidArgumentError(
            f"indices[{where}] = {indices[place].tolist()} does not index into {what} shape "
            f"{_bracket(own)} [Op:{op}]", op=op)  # fmt: skip
    places = indices.shape[:-1]
    lead = []
    xp = array_module(indices)
    for b in range(batch_dims):
        spread = (1,) * b + (places[b],) + (1,) * (len(places) - 1 - b)
        own_place = xp.arange(places[b]).reshape(spread)
        lead.append(own_place if columns else xp.broadcast_to(own_place, places))
    return (*lead, *columns)


def _bracket(dims: Any) -> str:
    return "[" + ",".join(str(d) for d in dims) + "]"


def add_rows(out: Any, rows: Any, values: Any) -> None:
    """``out[rows[i]] += values[i]`` for rows that may repeat; `out` is [n, width]."""
    if not len(rows):
        return
    if is_on_device(out):
        update_at("add", out, rows, values)
        return
    if out.shape[1] == 1 or len(rows) < 16:
        np.add.at(out, rows, values)
        return
    # Equal rows side by side, then one sum per run: much faster than element-wise addition.
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    first = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
    out[rows[first]] += np.add.reduceat(values[order], first, axis=0, dtype=out.dtype)


# -- rows of sparse gradients -----------------------------------------------------------------


def scatter_rows(indices: Any, values: Any, dense_shape: Any) -> Tensor:
    """A tensor of `dense_shape` with the sum of those ``values[i]`` whose ``indices[i]`` is its
    row, zero elsewhere."""
    return _ScatterRows(indices, values, dense_shape)


def _scatter_rows_impl(indices: Any, values: Any, dense_shape: Any) -> Any:
    dims = tuple(dense_shape.tolist())
    out = array_module(values).zeros(
        (dims[0], int(np.prod(dims[1:], dtype=np.int64))), values.dtype
    )
    add_rows(out, indices.reshape(-1), values.reshape(indices.size, out.shape[1]))
    return out.reshape(dims)


def _scatter_rows_shape(indices: Any, values: Any, dense_shape: Any) -> TensorSpec:
    known = constant_value(dense_shape)
    if known is not None:
        return TensorSpec(known.tolist(), values.dtype)
    return TensorSpec(TensorShape([None]).concatenate(values.shape[1:]), values.dtype)


def _scatter_rows_vjp(op: Any, g: Any) -> Any:
    indices = op.inputs[0]
    return (
        None,
        get_primitive("GatherV2")(to_tensor(g, None), indices, axis=0, batch_dims=0),
        None,
    )


_ScatterRows = Primitive(
    "_ScatterRows", "indices: Tindices, values: T, dense_shape: S", impl=_scatter_rows_impl,
    shape=_scatter_rows_shape, vjp=_scatter_rows_vjp,
)  # fmt: skip


# -- scatter_nd -------------------------------------------------------------------------------


def scatter_nd(indices: Any, updates: Any, shape: Any, name: str | None = None) -> Tensor:
    """A tensor of `shape` that holds the sum of the `updates` at each of the coordinates
    `indices`, zero elsewhere.

    Raises:
        InvalidArgumentError: a coordinate is out of range, or the shapes do not fit.
    """
    return ScatterNd(indices, updates, shape_input(shape), batch_dims=0)


def _apply(
    out: Any, indices: Any, updates: Any, batch_dims: int, op: str, how: Callable[..., None]
) -> Any:
    key = coordinates(indices, out.shape, batch_dims, op, "")
    if not key:
        for piece in updates.reshape((-1, *out.shape)):
            how(out, (), piece)
        return out
    how(out, key, updates)
    return out


def _assign(out: Any, key: Any, updates: Any) -> None:
    out[key] = updates


def _add(out: Any, key: Any, updates: Any) -> None:
    if key == ():
        out += updates
        return
    if is_on_device(out):
        update_at("add", out, key, updates)
        return
    key = np.broadcast_arrays(*key)
    depth = len(key)
    rows = np.ravel_multi_index(key, out.shape[:depth]).reshape(-1)
    width = int(np.prod(out.shape[depth:], dtype=np.int64))
    flat = out.reshape(int(np.prod(out.shape[:depth], dtype=np.int64)), width)
    add_rows(flat, rows, updates.reshape(len(rows), width))


def _sub(out: Any, key: Any, updates: Any) -> None:
    if key == ():
        out -= updates
        return
    update_at("subtract", out, key, updates)


def _max(out: Any, key: Any, updates: Any) -> None:
    update_at("maximum", out, key, updates)


def _min(out: Any, key: Any, updates: Any) -> None:
    update_at("minimum", out, key, updates)


def _scatter_nd_impl(indices: Any, updates: Any, shape: Any, *, batch_dims: int = 0) -> Any:
    dims = (*updates.shape[:batch_dims], *shape.tolist())
    if isinstance(updates, StringArray):
        return _update_strings(
            StringArray.empty(dims), indices, updates, batch_dims, "ScatterNd"
        )
    out = array_module(updates).zeros(dims, updates.dtype)
    how = _assign if out.dtype == bool else _add
    return _apply(out, indices, updates, batch_dims, "ScatterNd", how)


def _scatter_nd_shape(
    indices: Any, updates: Any, shape: Any, *, batch_dims: int = 0
) -> TensorSpec:
    known = constant_value(shape)
    if known is None:
        n = shape.shape[0] if shape.shape.rank == 1 else None
        own = TensorShape([None] * n if n is not None else None)
    else:
        if any(d < 0 for d in known.tolist()):
            raise InvalidArgumentError(
                f"Invalid shape {known.tolist()}: sizes must be >= 0 [Op:ScatterNd]",
                op="ScatterNd",
            )
        own = TensorShape(known.tolist())
    _check_updates(indices.shape, updates.shape, own, batch_dims, "ScatterNd")
    return TensorSpec(
        (updates.shape[:batch_dims] if batch_dims else TensorShape([])).concatenate(own),
        updates.dtype,
    )


def _check_updates(
    indices: TensorShape, updates: TensorShape, own: TensorShape, batch_dims: int, op: str
) -> None:
    """Raise unless ``updates.shape == indices.shape[:-1] + shape[depth:]``."""
    if indices.rank is None or own.rank is None or indices.rank == 0 or indices[-1] is None:
        if indices.rank == 0:
            raise InvalidArgumentError(f"Indices must be at least a vector [Op:{op}]", op=op)
        return
    depth = indices[-1]
    if depth > own.rank:
        raise InvalidArgumentError(
            f"The inner {depth} dimensions of indices must be <= the rank of shape {own} "
            f"[Op:{op}]",
            op=op,
        )
    want = indices[:-1].concatenate(own[depth:])
    if not want.is_compatible_with(updates):
        raise InvalidArgumentError(
            f"The outer {indices.rank - 1} dimensions of indices.shape={indices} must match "
            "the outer "
            f"{indices.rank - 1} dimensions of updates.shape={updates}, and the inner "
            "dimensions those of the "
            f"output: expected updates of shape {want} [Op:{op}]",
            op=op,
        )


def _scatter_nd_vjp(op: Any, g: Any) -> Any:
    return None, _gather_nd(g, op.inputs[0], op.attrs.get("batch_dims", 0)), None


def _gather_nd(g: Any, indices: Any, batch_dims: int) -> Any:
    return get_primitive("GatherNd")(to_tensor(g, None), indices, batch_dims=batch_dims)


def _scatter_nd_batch(
    ctx: Any, indices: Any, updates: Any, dims: Any, *, batch_dims: int = 0
) -> Any:
    if ctx.batched[2]:
        raise UnimplementedError(
            "primitive ScatterNd: its shape is computed from the element", op="ScatterNd"
        )
    ctx.batched = ctx.batched[:2]
    indices, updates = batch_rules.all_batched(ctx, (indices, updates))
    return ScatterNd(indices, updates, dims, batch_dims=batch_dims + 1)


ScatterNd = Primitive(
    "ScatterNd",
    "indices: Tindices, updates: T, shape: S",
    impl=_scatter_nd_impl,
    shape=_scatter_nd_shape,
    vjp=_scatter_nd_vjp,
    batch=_scatter_nd_batch,
    types=_INDICES,
    check_first=True,
)


# -- tensor_scatter_nd_* ----------------------------------------------------------------------


def tensor_scatter_nd_update(
    tensor: Any, indices: Any, updates: Any, name: str | None = None
) -> Tensor:
    """`tensor` with `updates` at the coordinates `indices`.

    Raises:
        InvalidArgumentError: a coordinate is out of range, or the shapes do not fit.
    """
    return TensorScatterUpdate(tensor, indices, updates)


def tensor_scatter_nd_add(
    tensor: Any, indices: Any, updates: Any, name: str | None = None
) -> Tensor:
    """`tensor` with `updates` added at the coordinates `indices`; equal ones add up."""
    return TensorScatterAdd(tensor, indices, updates)


def tensor_scatter_nd_sub(
    tensor: Any, indices: Any, updates: Any, name: str | None = None
) -> Tensor:
    """`tensor` with `updates` subtracted at the coordinates `indices`."""
    return TensorScatterSub(tensor, indices, updates)


def tensor_scatter_nd_max(
    tensor: Any, indices: Any, updates: Any, name: str | None = None
) -> Tensor:
    """`tensor` with the larger of its element and the update at the coordinates `indices`."""
    return TensorScatterMax(tensor, indices, updates)


def tensor_scatter_nd_min(
    tensor: Any, indices: Any, updates: Any, name: str | None = None
) -> Tensor:
    """`tensor` with the smaller of its element and the update at the coordinates `indices`."""
    return TensorScatterMin(tensor, indices, updates)


def _update_strings(
    x: StringArray, indices: Any, updates: StringArray, batch_dims: int, op: str
) -> StringArray:
    data = x.data if x.data is updates.data else np.concatenate([x.data, updates.data])
    shift = 0 if x.data is updates.data else x.data.size
    starts = _apply(x.starts.copy(), indices, updates.starts + shift, batch_dims, op, _assign)
    ends = _apply(x.ends.copy(), indices, updates.ends + shift, batch_dims, op, _assign)
    return StringArray(data, starts, ends)


def _tensor_scatter(name: str, how: Callable[..., None], vjp: Callable[..., Any]) -> Primitive:
    def impl(x: Any, indices: Any, updates: Any, *, batch_dims: int = 0) -> Any:
        if isinstance(x, StringArray):
            return _update_strings(x, indices, updates, batch_dims, name)
        return _apply(x.copy(), indices, updates, batch_dims, name, how)

    def rule(x: Any, indices: Any, updates: Any, *, batch_dims: int = 0) -> TensorSpec:
        own = x.shape[batch_dims:] if batch_dims else x.shape
        _check_updates(indices.shape, updates.shape, own, batch_dims, name)
        return TensorSpec(x.shape, x.dtype)

    def batch(ctx: Any, *args: Any, batch_dims: int = 0) -> Any:
        return ctx.primitive(*batch_rules.all_batched(ctx, args), batch_dims=batch_dims + 1)

    return Primitive(
        name,
        "tensor: T, indices: Tindices, updates: T",
        impl=impl,
        shape=rule,
        vjp=vjp,
        batch=batch,
        types=_INDICES,
        check_first=True,
    )


def _update_vjp(op: Any, g: Any) -> Any:
    _, indices, updates = op.inputs
    n = op.attrs.get("batch_dims", 0)
    return (
        TensorScatterUpdate(g, indices, zeros_like(updates), **op.attrs),
        None,
        _gather_nd(g, indices, n),
    )


def _add_vjp(op: Any, g: Any) -> Any:
    return g, None, _gather_nd(g, op.inputs[1], op.attrs.get("batch_dims", 0))


def _sub_vjp(op: Any, g: Any) -> Any:
    return g, None, negative(_gather_nd(g, op.inputs[1], op.attrs.get("batch_dims", 0)))


def _extreme_vjp(op: Any, g: Any) -> Any:
    """The gradient goes, in equal parts, to all that attained the extreme."""
    x, indices, updates = op.inputs
    n = op.attrs.get("batch_dims", 0)
    out = op.outputs[0]
    mine = cast(get_primitive("Equal")(x, out), g.dtype)
    theirs = cast(get_primitive("Equal")(updates, _gather_nd(out, indices, n)), g.dtype)
    count = TensorScatterAdd(mine, indices, theirs, **op.attrs)
    share = get_primitive("RealDiv")(g, count)
    return mine * share, None, theirs * _gather_nd(share, indices, n)


TensorScatterUpdate = _tensor_scatter("TensorScatterUpdate", _assign, _update_vjp)
TensorScatterAdd = _tensor_scatter("TensorScatterAdd", _add, _add_vjp)
TensorScatterSub = _tensor_scatter("TensorScatterSub", _sub, _sub_vjp)
TensorScatterMax = _tensor_scatter("TensorScatterMax", _max, _extreme_vjp)
TensorScatterMin = _tensor_scatter("TensorScatterMin", _min, _extreme_vjp)


def _densify(slices: IndexedSlices, dtype: Any) -> Tensor:
    if slices.dense_shape is None:
        raise ValueError("Tensor conversion requested for IndexedSlices without dense_shape")
    return scatter_rows(slices.indices, slices.values, slices.dense_shape)


register_conversion(IndexedSlices, _densify)
