"""convert_image_dtype: images from one value range to another's, and saturated casts."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array_basics import cast, identity
from .convert import to_tensor
from .division import floordiv
from .dtypes import DType, as_dtype, float32
from .math_ops import maximum, minimum, multiply
from .tensor import Tensor

__all__ = ["convert_image_dtype"]


def convert_image_dtype(
    image: Any, dtype: Any, saturate: bool = False, name: str | None = None
) -> Tensor:
    """`image` with its values scaled from its dtype's range to that of `dtype`.

    The range of floats is [0, 1], that of integers [0, MAX].

    Args:
        image: tensor of floats or integers.
        dtype: of the result.
        saturate: clip what does not fit the result's range.

    Raises:
        AttributeError: a dtype is neither floating nor integer.
    """
    x, dtype = to_tensor(image, None), as_dtype(dtype)
    for what, kind in (("dtype", dtype), ("image dtype", x.dtype)):
        if not kind.is_floating and not kind.is_integer:
            raise AttributeError(
                f"{what} must be either floating point or integer, got {kind.name}"
            )
    own = x.dtype
    if own is dtype:
        return identity(x)
    narrow = saturate_cast if saturate else cast
    if own.is_integer and dtype.is_integer:
        if own.max > dtype.max:
            return narrow(floordiv(x, (own.max + 1) // (dtype.max + 1)), dtype)
        return multiply(narrow(x, dtype), (dtype.max + 1) // (own.max + 1))
    if own.is_floating and dtype.is_floating:
        return cast(x, dtype)
    if own.is_integer:
        return multiply(cast(x, dtype), 1.0 / own.max)
    # Half a step more than the maximum, so that 1.0 is cut to it and shares are equal.
    return narrow(multiply(x, dtype.max + 0.5), dtype)


def saturate_cast(x: Tensor, dtype: DType) -> Tensor:
    """`x` clipped to the range of `dtype`, then cast."""
    low, high = max(x.dtype.min, dtype.min), min(x.dtype.max, dtype.max)
    if x.dtype.is_floating:
        # The nearest floats inside the range: the integer maximum may round up out of it.
        low, high = _inside(low, x.dtype), _inside(high, x.dtype)
    if low > x.dtype.min:
        x = maximum(x, low)
    if high < x.dtype.max:
        x = minimum(x, high)
    return cast(x, dtype)


def _inside(bound: float, dtype: DType) -> float:
    near = dtype.np_dtype.type(bound)
    if abs(float(near)) > abs(bound):
        near = np.nextafter(near, dtype.np_dtype.type(0))
    return float(near)


def as_float(image: Any) -> tuple[Tensor, DType]:
    """`image` in a float dtype its operations work in, and its own dtype."""
    x = to_tensor(image, None)
    own = x.dtype
    return (x if own.name in ("float16", "float32") else convert_image_dtype(x, float32)), own
