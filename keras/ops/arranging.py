"""Operations that move elements: shapes, joins, splits, borders, turns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ops import api as hr, nest
from .. import backend
from .op import operations
from .values import as_tensor, axes_of, dtype_name, promoted, static, weak_dtype

op = operations("numpy")


@op()
def reshape(x: Any, newshape: Any) -> Any:
    """`x` in another shape; one size may be -1 (or None)."""
    sizes = newshape if isinstance(newshape, Sequence) else [newshape]
    return hr.reshape(as_tensor(x), [-1 if n is None else n for n in sizes])


@op()
def ravel(x: Any) -> Any:
    """All elements along one axis."""
    return hr.reshape(as_tensor(x), [-1])


@op()
def transpose(x: Any, axes: Any = None) -> Any:
    """The axes in another order, reversed if `axes` is None."""
    return hr.transpose(as_tensor(x), perm=axes)


@op()
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """The axes `source` moved to the places `destination`."""
    x = as_tensor(x)
    rank = len(x.shape)
    source, destination = axes_of(source, rank), axes_of(destination, rank)
    order = [a for a in range(rank) if a not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        order.insert(to, axis)
    return hr.transpose(x, order)


@op()
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    x = as_tensor(x)
    order = list(range(len(x.shape)))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return hr.transpose(x, order)


@op()
def expand_dims(x: Any, axis: Any) -> Any:
    """New axes of size 1 at `axis`."""
    x = as_tensor(x)
    given = axis if isinstance(axis, (list, tuple)) else (axis,)
    for a in sorted(axes_of(tuple(given), len(x.shape) + len(given))):
        x = hr.expand_dims(x, a)
    return x


@op()
def squeeze(x: Any, axis: Any = None) -> Any:
    """Without the axes of size 1 (or those of `axis`).

    Raises:
        ValueError: one of `axis` has another size.
    """
    x = as_tensor(x)
    axes = None if axis is None else axes_of(axis, len(x.shape))
    for a in axes or ():
        if x.shape[a] not in (1, None):
            raise ValueError(
                f"Cannot squeeze axis={a}, because the dimension is not 1. Received: "
                f"x.shape={x.shape}"
            )
    return hr.squeeze(x, axis=axes)


@op()
def broadcast_to(x: Any, shape: Any) -> Any:
    """`x` repeated to `shape`."""
    return hr.broadcast_to(as_tensor(x), shape)


@op()
def tile(x: Any, repeats: Any) -> Any:
    """`x` repeated along every axis."""
    x = as_tensor(x)
    counts = [repeats] if isinstance(repeats, int) else list(repeats)
    rank = len(x.shape)
    counts = [1] * (rank - len(counts)) + counts
    if len(counts) > rank:
        x = hr.reshape(x, [1] * (len(counts) - rank) + [static(x, a) for a in range(rank)])
    return hr.tile(x, counts)


@op()
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element repeated along `axis` (of the flattened `x` if None)."""
    return hr.repeat(as_tensor(x), repeats, axis=axis)


@op()
def flip(x: Any, axis: Any = None) -> Any:
    """The order along `axis` reversed (along all if None)."""
    x = as_tensor(x)
    return hr.reverse(x, axes_of(axis, len(x.shape)))


@op()
def fliplr(x: Any) -> Any:
    """The order along the second axis reversed."""
    return hr.reverse(as_tensor(x), [1])


@op()
def flipud(x: Any) -> Any:
    """The order along the first axis reversed."""
    return hr.reverse(as_tensor(x), [0])


@op()
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Elements moved along `axis`, round the end."""
    x = as_tensor(x)
    if axis is None:
        return hr.reshape(hr.roll(hr.reshape(x, [-1]), shift, 0), hr.shape(x))
    return hr.roll(x, shift, axis)


@op()
def rot90(array: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Turned `k` quarters from the first of `axes` to the second.

    Raises:
        ValueError: `axes` are not two different ones, or `array` has fewer than two.
    """
    array = as_tensor(array)
    rank = len(array.shape)
    if rank < 2:
        raise ValueError(f"Input array must have at least 2 dimensions, got {rank}")
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ValueError(f"Invalid axes: {axes}. Axes must be a tuple of two different ones.")
    first, second = axes_of(tuple(axes), rank)
    k %= 4
    if k in (2, 3):
        array = hr.reverse(array, [first])
    if k == 2:
        return hr.reverse(array, [second])
    if k:
        order = list(range(rank))
        order[first], order[second] = second, first
        # One quarter is a flip of the second axis, then an exchange; three the other way.
        array = hr.transpose(hr.reverse(array, [second]) if k == 1 else array, order)
    return array


@op()
def concatenate(xs: Any, axis: int = 0) -> Any:
    """`xs` one after the other along `axis`."""
    return hr.concat(promoted(*xs), axis=axis)


@op(tensors=2)
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """`x2` after `x1` along `axis`; both flattened if None."""
    x1, x2 = promoted(x1, x2)
    if axis is None:
        x1, x2, axis = hr.reshape(x1, [-1]), hr.reshape(x2, [-1]), 0
    return hr.concat([x1, x2], axis=axis)


@op()
def stack(x: Any, axis: int = 0) -> Any:
    """The elements of `x` along a new axis."""
    return hr.stack(promoted(*x), axis=axis)


def _at_least(x: Any, rank: int) -> Any:
    return hr.reshape(x, [-1]) if len(x.shape) < rank == 1 else x


@op()
def hstack(xs: Any) -> Any:
    """`xs` one after the other along the second axis (the only one of vectors)."""
    found = [_at_least(x, 1) for x in promoted(*xs)]
    return hr.concat(found, axis=0 if len(found[0].shape) == 1 else 1)


@op()
def vstack(xs: Any) -> Any:
    """`xs` one after the other along the first axis; vectors are rows."""
    found = [_at_least(x, 1) for x in promoted(*xs)]
    return hr.concat([hr.expand_dims(x, 0) if len(x.shape) == 1 else x for x in found], axis=0)


@op()
def dstack(xs: Any) -> Any:
    """`xs` one after the other along the third axis."""

    def deep(x: Any) -> Any:
        x = _at_least(x, 1)
        if len(x.shape) == 1:
            x = hr.expand_dims(x, 0)
        return hr.expand_dims(x, -1) if len(x.shape) == 2 else x

    return hr.concat([deep(x) for x in promoted(*xs)], axis=2)


def _ends(given: Any, length: Any, axis: int) -> list[int]:
    """Where the parts end that `split` makes of `length`."""
    if not isinstance(given, int):
        return [int(i) for i in np.asarray(given).reshape(-1)]
    if length is None or length % given:
        raise ValueError(
            f"x must be divisible by indices_or_sections along axis {axis}. Received: size "
            f"{length}, indices_or_sections={given}"
        )
    return [length // given * i for i in range(1, given)]


@op()
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """A list of parts: as many equal ones, or cut at these places of `axis`.

    Raises:
        ValueError: the axis is not divisible.
    """
    x = as_tensor(x)
    if isinstance(indices_or_sections, int) and x.shape[axis] is None:
        return list(hr.split(x, indices_or_sections, axis=axis))
    return _cut(x, _ends(indices_or_sections, x.shape[axis], axis), axis)


def _cut(x: Any, ends: list[int], axis: int) -> list[Any]:
    length = x.shape[axis]
    bounds = [0, *ends, length]
    parts = []
    for start, stop in itertools.pairwise(bounds):
        index: list[Any] = [slice(None)] * len(x.shape)
        index[axis] = slice(start, stop)
        parts.append(x[tuple(index)])
    return parts


@op()
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """A list of parts of nearly equal size: the first ones are longer by one."""
    x = as_tensor(x)
    if not isinstance(indices_or_sections, int):
        return _cut(x, _ends(indices_or_sections, None, axis), axis)
    small, longer = divmod(x.shape[axis], indices_or_sections)
    sizes = [small + (i < longer) for i in range(indices_or_sections)]
    return _cut(x, [int(e) for e in np.cumsum(sizes)[:-1]], axis)


@op()
def hsplit(x: Any, indices_or_sections: Any) -> Any:
    """Parts along the second axis (the only one of vectors)."""
    x = as_tensor(x)
    return split(x, indices_or_sections, axis=0 if len(x.shape) == 1 else 1)


@op()
def vsplit(x: Any, indices_or_sections: Any) -> Any:
    """Parts along the first axis."""
    return split(x, indices_or_sections, axis=0)


@op()
def dsplit(x: Any, indices_or_sections: Any) -> Any:
    """Parts along the third axis."""
    return split(x, indices_or_sections, axis=2)


_MODES = {"constant": "CONSTANT", "reflect": "REFLECT", "symmetric": "SYMMETRIC"}


@op("Pad", tensors=1, named=("constant_values",))
def _pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    x = as_tensor(x)
    widths = _widths(pad_width, len(x.shape))
    if mode not in _MODES:
        raise ValueError(
            f"Received: mode={mode!r}. Use one of {sorted(_MODES)} for the borders."
        )
    if mode != "constant":
        if constant_values is not None:
            raise ValueError(
                "Argument `constant_values` can only be provided when `mode == 'constant'`. "
                f"Received: mode={mode}"
            )
        return hr.pad(x, widths, mode=_MODES[mode])
    return hr.pad(x, widths, constant_values=0 if constant_values is None else constant_values)


def _widths(pad_width: Any, rank: int) -> list[tuple[int, int]]:
    """Before and after for each axis: given as one number, one pair, or a pair per axis."""
    if isinstance(pad_width, int):
        return [(pad_width, pad_width)] * rank
    widths = list(pad_width)
    if len(widths) == 2 and all(isinstance(w, int) for w in widths):
        return [(widths[0], widths[1])] * rank
    if len(widths) == 1:
        return [tuple(widths[0])] * rank
    return [tuple(w) if isinstance(w, (list, tuple)) else (w, w) for w in widths]


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """`x` with borders of `pad_width` elements: constant, reflected, or symmetric.

    Raises:
        ValueError: an unknown `mode`, or `constant_values` with another than "constant".
    """
    return _pad(x, pad_width, mode=mode, constant_values=constant_values)


@op()
def array(x: Any, dtype: Any = None) -> Any:
    """`x` as a tensor."""
    return as_tensor(x, dtype)


@op()
def view(x: Any, dtype: Any = None) -> Any:
    """The same bytes as numbers of another dtype; the last axis changes with their size."""
    x = as_tensor(x)
    new = dtype or dtype_name(x)
    old_size, new_size = (
        np.dtype(np.asarray(hr.zeros([], d)).dtype).itemsize for d in (dtype_name(x), new)
    )
    if old_size < new_size:
        times = new_size // old_size
        sizes = [static(x, a) for a in range(len(x.shape))]
        if x.shape[-1] is not None and x.shape[-1] % times:
            raise ValueError(
                f"Cannot view a tensor of shape {x.shape} and dtype {dtype_name(x)} as {new}: "
                f"its last axis is not divisible by {times}."
            )
        return hr.bitcast(hr.reshape(x, [*sizes[:-1], -1, times]), new)
    out = hr.bitcast(x, new)
    if old_size > new_size:
        sizes = [static(x, a) for a in range(len(x.shape))]
        out = hr.reshape(out, [*sizes[:-1], -1])
    return out


@op()
def tril(x: Any, k: int = 0) -> Any:
    """Zeros above the diagonal `k` of the last two axes."""
    return _triangle(as_tensor(x), k, lower=True)


@op()
def triu(x: Any, k: int = 0) -> Any:
    """Zeros below the diagonal `k` of the last two axes."""
    return _triangle(as_tensor(x), k, lower=False)


def _triangle(x: Any, k: int, *, lower: bool) -> Any:
    shape = hr.shape(x)
    rows, columns = hr.range(shape[-2]), hr.range(shape[-1])
    distance = hr.expand_dims(columns, 0) - hr.expand_dims(rows, 1)
    return hr.where(distance <= k if lower else distance >= k, x, hr.zeros_like(x))


@op()
def diag(x: Any, k: int = 0) -> Any:
    """A vector as the diagonal `k` of a matrix, or the diagonal of a matrix."""
    x = as_tensor(x)
    if len(x.shape) == 2:
        return diagonal(x, offset=k)
    if len(x.shape) != 1:
        raise ValueError(f"`x` must be 1d or 2d. Received: x.shape={x.shape}")
    length = static(x, 0)
    start, size = max(0, -k), length + abs(k)
    at = hr.range(size)
    on = hr.equal(hr.expand_dims(at, 0) - hr.expand_dims(at, 1), k)
    column = hr.expand_dims(hr.pad(x, [[start, size - length - start]]), 1)
    return hr.where(on, column, hr.zeros_like(column))


@op()
def diagflat(x: Any, k: int = 0) -> Any:
    """All elements as the diagonal `k` of a matrix."""
    return diag(hr.reshape(as_tensor(x), [-1]), k=k)


@op()
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the axes `axis1` and `axis2`, along a new last axis."""
    x = moveaxis(as_tensor(x), (axis1, axis2), (-2, -1))
    rows, columns = static(x, -2), static(x, -1)
    first_row, first_column = max(0, -offset), max(0, offset)
    lengths = rows - first_row, columns - first_column
    if all(isinstance(n, int) for n in lengths):
        count: Any = max(0, min(lengths))
    else:
        count = hr.maximum(hr.minimum(*lengths), 0)
    at = hr.range(count)
    flat = hr.reshape(x, [*[static(x, a) for a in range(len(x.shape) - 2)], rows * columns])
    return hr.gather(flat, (at + first_row) * columns + at + first_column, axis=-1)


@op()
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of the diagonal of the axes `axis1` and `axis2`."""
    x = as_tensor(x)
    dtype = dtype_name(x)
    if dtype in ("bool", "int8", "int16", "uint8", "uint16"):
        x = hr.cast(x, "uint32" if dtype.startswith("u") else "int32")
    return hr.reduce_sum(diagonal(x, offset, axis1, axis2), axis=-1)


def meshgrid(*x: Any, indexing: str = "xy") -> Any:
    """A list of grids of coordinates of the vectors `x`."""
    if nest.flatten(x) and any(hasattr(v, "_keras_history") for v in x):
        return _meshgrid(list(x), indexing)
    return list(hr.meshgrid(*[hr.reshape(as_tensor(v), [-1]) for v in x], indexing=indexing))


@op("Meshgrid")
def _meshgrid(x: Any, indexing: str = "xy") -> Any:
    return meshgrid(*x, indexing=indexing)


@op("EmptyLike")
def empty_like(x: Any, dtype: Any = None) -> Any:
    """Zeros in the shape of `x`."""
    return hr.zeros_like(as_tensor(x), dtype=dtype)


@op()
def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros in the shape of `x`."""
    return hr.zeros_like(as_tensor(x), dtype=dtype)


@op()
def ones_like(x: Any, dtype: Any = None) -> Any:
    """Ones in the shape of `x`."""
    return hr.ones_like(as_tensor(x), dtype=dtype)


@op(tensors=2)
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """`fill_value` in the shape of `x`."""
    x = as_tensor(x)
    return hr.broadcast_to(as_tensor(fill_value, dtype or dtype_name(x)), hr.shape(x))


@op()
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """`fill_value` in `shape`."""
    found = weak_dtype(fill_value)
    dtype = dtype or (backend.floatx() if found is float else None)
    return hr.broadcast_to(as_tensor(fill_value, dtype), shape)


@op()
def size(x: Any) -> Any:
    """The number of elements, an int32 scalar."""
    return hr.size(as_tensor(x))


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(x.shape) if hasattr(x, "shape") else len(as_tensor(x).shape)


__all__ = [
    "append", "array", "array_split", "broadcast_to", "concatenate", "diag", "diagflat",
    "diagonal", "dsplit", "dstack", "empty_like", "expand_dims", "flip", "fliplr", "flipud",
    "full", "full_like", "hsplit", "hstack", "meshgrid", "moveaxis", "ndim", "ones_like", "pad",
    "ravel", "repeat", "reshape", "roll", "rot90", "size", "split", "squeeze", "stack",
    "swapaxes", "tile", "trace", "transpose", "tril", "triu", "view", "vsplit", "vstack",
    "zeros_like",
]  # fmt: skip
