"""one_hot: indices as rows with one marked place."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_module import array_module
from .convert import to_tensor
from .dtypes import as_dtype
from .errors import InvalidArgumentError, UnimplementedError
from .primitive import Primitive
from .static_args import static_int
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["one_hot"]


def one_hot(
    indices: Any,
    depth: Any,
    on_value: Any = None,
    off_value: Any = None,
    axis: int | None = None,
    dtype: Any = None,
    name: str | None = None,
) -> Tensor:
    """`on_value` at the place each index names along a new axis of size `depth`, `off_value`
    elsewhere; indices outside [0, depth) give a row of `off_value`.

    Args:
        indices: integers.
        depth: size of the new axis.
        on_value: scalar, 1 by default.
        off_value: scalar, 0 by default.
        axis: where the new axis goes; -1, the last, by default.
        dtype: of the result; that of the values, or float32.
        name: ignored.

    Raises:
        TypeError: the dtypes of `on_value`, `off_value` and `dtype` differ.
    """
    want = None if dtype is None else as_dtype(dtype)
    on = (
        None
        if on_value is None
        else to_tensor(on_value, want if not isinstance(on_value, Tensor) else None)
    )
    off = (
        None
        if off_value is None
        else to_tensor(off_value, want if not isinstance(off_value, Tensor) else None)
    )
    if want is None:
        want = on.dtype if on is not None else off.dtype if off is not None else dtypes.float32
    for given, what in ((on, "on_value"), (off, "off_value")):
        if given is not None and given.dtype is not want:
            raise TypeError(
                f"dtype {want.name} of one_hot does not match dtype {given.dtype.name} of "
                f"{what}"
            )
    if want is dtypes.string and (on is None or off is None):
        raise TypeError("one_hot: on_value and off_value must be given for dtype string")
    return OneHot(
        indices,
        _scalar(1, want) if on is None else on,
        _scalar(0, want) if off is None else off,
        depth=static_int(depth, "OneHot", "depth"),
        axis=-1 if axis is None else axis,
    )


def _scalar(number: int, dtype: Any) -> Tensor:
    return Tensor.of(np.array(number, dtype.np_dtype))


def _one_hot_impl(indices: Any, on: Any, off: Any, *, depth: int, axis: int) -> Any:
    at = axis if axis >= 0 else axis + indices.ndim + 1
    if depth < 0 or not 0 <= at <= indices.ndim or on.size != 1 or off.size != 1:
        raise ValueError("OneHot: wrong arguments")
    xp = array_module(indices)
    flat = indices.reshape(-1)
    if isinstance(on, StringArray):
        hot = (flat[:, None] == np.arange(depth)).reshape((*indices.shape, depth))
        data = np.concatenate([on.data, off.data])
        shift = on.data.size
        out: Any = StringArray(
            data,
            np.where(hot, on.starts.reshape(()), off.starts.reshape(()) + shift),
            np.where(hot, on.ends.reshape(()), off.ends.reshape(()) + shift),
        )
        return out.map_offsets(lambda a: np.moveaxis(a, -1, at))
    if xp is not np:  # without a look at the indices
        out = xp.where(flat[:, None] == xp.arange(depth), on.reshape(()), off.reshape(()))
    else:
        out = np.full((flat.size, depth), off.reshape(()))
        rows = np.arange(flat.size)
        inside = (flat >= 0) & (flat < depth)
        if bool(inside.all()):
            out[rows, flat] = on.reshape(())
        else:
            out[rows[inside], flat[inside]] = on.reshape(())
    out = out.reshape((*indices.shape, depth))
    return out if at == indices.ndim else xp.moveaxis(out, -1, at)


def _one_hot_shape(indices: Any, on: Any, off: Any, *, depth: int, axis: int) -> TensorSpec:
    if depth < 0:
        raise InvalidArgumentError(
            f"depth must be non-negative, got: {depth} [Op:OneHot]", op="OneHot"
        )
    for given, what in ((on, "on_value"), (off, "off_value")):
        if given.shape.rank not in (0, None):
            raise InvalidArgumentError(
                f"{what} must be a scalar, but got shape {given.shape} [Op:OneHot]", op="OneHot"
            )
    dims = indices.shape.dims
    if dims is None:
        return TensorSpec(None, on.dtype)
    at = axis if axis >= 0 else axis + len(dims) + 1
    if not 0 <= at <= len(dims) or axis < -1:
        raise InvalidArgumentError(
            f"Expected axis to be -1 or between [0, {len(dims) + 1}).  But received: {axis} "
            "[Op:OneHot]",
            op="OneHot",
        )
    return TensorSpec((*dims[:at], depth, *dims[at:]), on.dtype)


def _one_hot_batch(ctx: Any, indices: Any, on: Any, off: Any, *, depth: int, axis: int) -> Any:
    if ctx.batched[1] or ctx.batched[2]:
        raise UnimplementedError(
            "primitive OneHot: its values differ from element to element", op="OneHot"
        )
    return OneHot(indices, on, off, depth=depth, axis=axis + 1 if axis >= 0 else axis)


OneHot = Primitive(
    "OneHot",
    "indices: TI, on_value: T, off_value: T",
    impl=_one_hot_impl,
    shape=_one_hot_shape,
    vjp=lambda op, g: (None, None, None),
    batch=_one_hot_batch,
    types={"TI": (dtypes.uint8, dtypes.int8, dtypes.int32, dtypes.int64)},
    defaults={"axis": -1},
)
