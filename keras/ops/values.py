"""Arguments of operations as tensors of the dtype that Keras computes in."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.tensor import Tensor
from .. import backend
from ..promotion import result_type

__all__ = ["as_tensor", "axes_of", "dtype_name", "floating", "promoted", "static", "weak_dtype"]


def as_tensor(x: Any, dtype: Any = None) -> Tensor:
    """`x` as a tensor, cast to `dtype` where one is given."""
    if not isinstance(x, Tensor):
        x = hr.convert_to_tensor(x)
    return x if dtype is None or x.dtype.name == dtype else hr.cast(x, dtype)


def dtype_name(x: Any) -> str:
    """The name of a tensor's dtype."""
    return x.dtype.name


def weak_dtype(x: Any) -> Any:
    """What `x` is for `result_type`: its dtype's name, or the type of a Python number."""
    if isinstance(x, (bool, int, float)) and type(x) in (bool, int, float):
        return "bool" if isinstance(x, bool) else type(x)
    found = getattr(x, "dtype", None)
    if found is None:
        found = as_tensor(x).dtype
    return getattr(found, "name", found)


def promoted(*values: Any, least: Any = ()) -> list[Tensor]:
    """`values` as tensors of their common dtype, which is at least as wide as `least`."""
    more = least if isinstance(least, tuple) else (least,)
    dtype = result_type(*map(weak_dtype, values), *more)
    return [as_tensor(v, dtype) for v in values]


def floating(*values: Any) -> list[Tensor]:
    """`values` as tensors of their common floating (or complex) dtype.

    64-bit integers become `floatx`, as all others do.
    """
    found = [weak_dtype(v) for v in values]
    dtype = result_type(*found, float)
    if dtype == "float64" and not any(d in ("float64", "complex128") for d in found):
        dtype = backend.floatx()
    return [as_tensor(v, dtype) for v in values]


def axes_of(axis: Any, rank: int) -> list[int]:
    """`axis` (one, several, or None for all) as axes from 0 on."""
    if axis is None:
        return list(range(rank))
    given = axis if isinstance(axis, (list, tuple)) else (axis,)
    for a in given:
        if not -rank <= a < rank:
            raise ValueError(
                f"axis {a} is out of bounds for a tensor of {rank} axes: it must be in "
                f"[{-rank}, {rank})"
            )
    return [a % rank for a in given]


def static(x: Tensor, axis: int) -> Any:
    """The size of an axis: a Python int where it is known, else a scalar tensor."""
    size = x.shape[axis]
    return hr.shape(x)[axis] if size is None else size
