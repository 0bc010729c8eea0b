"""Casts that keep bits or bounds: bitcast, saturate_cast; and sums under other names."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import cast
from .array_join import stack
from .array_module import array_module
from .clip_ops import clip_by_value
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .indexed_slices import IndexedSlices
from .math_ops import add_n
from .primitive import Primitive
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["accumulate_n", "bitcast", "parallel_stack", "saturate_cast", "scalar_mul"]


def bitcast(input: Any, type: Any, name: str | None = None) -> Tensor:
    """The bits of `input` as numbers of another dtype.

    Args:
        input: numbers.
        type: a dtype; a larger one takes up the last axis, which must be as long as the
            ratio of the sizes; a smaller one adds an axis.

    Raises:
        InvalidArgumentError: the sizes do not fit.
    """
    return Bitcast(input, type=as_dtype(type))


def _bitcast_impl(x: Any, *, type: DType) -> Any:
    new = type.np_dtype
    x = array_module(x).ascontiguousarray(x).reshape(x.shape)
    if new.itemsize == x.dtype.itemsize:
        return x.view(new).copy()
    if new.itemsize < x.dtype.itemsize:
        return x.reshape((*x.shape, 1)).view(new).copy()
    return x.view(new).reshape(x.shape[:-1]).copy()


def _bitcast_shape(x: Any, *, type: DType) -> TensorSpec:
    have, want = x.dtype.size, type.size
    if have == want or x.shape.rank is None:
        return TensorSpec(x.shape, type)
    if have > want:
        return TensorSpec(x.shape.concatenate([have // want]), type)
    ratio = want // have
    if x.shape.rank == 0 or x.shape[-1] not in (ratio, None):
        raise InvalidArgumentError(
            f"Cannot bitcast from {x.dtype.name} to {type.name}: the last axis must be of size "
            f"{ratio}, got shape {x.shape} [Op:Bitcast]",
            op="Bitcast",
        )
    return TensorSpec(x.shape[:-1], type)


Bitcast = Primitive(
    "Bitcast",
    "input: T",
    impl=_bitcast_impl,
    shape=_bitcast_shape,
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
    check_first=True,
)


def saturate_cast(value: Any, dtype: Any, name: str | None = None) -> Tensor:
    """`value` cast to `dtype`, what is out of its range replaced by its bounds.

    Raises:
        TypeError: complex numbers to a real dtype or the reverse.
    """
    x, want = to_tensor(value, None), as_dtype(dtype)
    have = x.dtype
    if have.is_complex != want.is_complex:
        raise TypeError(f"saturate_cast: cannot cast {have.name} to {want.name}")
    if have.is_complex:
        return cast(x, want)
    low, high = _bound(have, want, "min"), _bound(have, want, "max")
    if low is None and high is None:
        return cast(x, want)
    return cast(
        clip_by_value(
            x,
            to_tensor(low if low is not None else have.min, have),
            to_tensor(high if high is not None else have.max, have),
        ),
        want,
    )


def _bound(have: DType, want: DType, side: str) -> Any:
    """The bound of `want` as the nearest number within it of `have`, None where it is none."""
    limit, own = getattr(want, side), getattr(have, side)
    exact = float if want.is_floating or have.is_floating else int
    inside = exact(own) >= exact(limit) if side == "min" else exact(own) <= exact(limit)
    if inside:
        return None
    if not have.is_floating:
        return int(limit)
    number = np.asarray(limit).astype(have.np_dtype)
    if exact(number) > exact(limit) if side == "max" else exact(number) < exact(limit):
        number = np.nextafter(number, have.np_dtype.type(0))
    return number


def scalar_mul(scalar: Any, x: Any, name: str | None = None) -> Any:
    """`x` times a number; `IndexedSlices` keep their form.

    Raises:
        ValueError: `scalar` has axes.
    """
    s = to_tensor(scalar, x.dtype if hasattr(x, "dtype") else None)
    if s.shape.rank not in (0, None):
        raise ValueError(f"The input scalar must be a 0-D value. Received shape {s.shape}.")
    if isinstance(x, IndexedSlices):
        return IndexedSlices(x.values * s, x.indices, x.dense_shape)
    return s * x


def accumulate_n(
    inputs: Any, shape: Any = None, tensor_dtype: Any = None, name: str | None = None
) -> Tensor:
    """The sum of a list of tensors of one shape and dtype.

    Raises:
        ValueError: `inputs` is no such list, or not of `shape` and `tensor_dtype`.
    """
    text = "inputs must be a list of at least one Tensor with the same dtype and shape"
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise ValueError(text)
    tensors = [to_tensor(t, None) for t in inputs]
    want = TensorShape(shape) if shape is not None else tensors[0].shape
    if any(
        t.dtype is not tensors[0].dtype or not t.shape.is_compatible_with(want) for t in tensors
    ):
        raise ValueError(text)
    if tensor_dtype is not None and as_dtype(tensor_dtype) is not tensors[0].dtype:
        raise TypeError(
            f"tensor_dtype is {as_dtype(tensor_dtype).name}, but input is of type "
            f"{tensors[0].dtype.name}"
        )
    return add_n(tensors)


def parallel_stack(values: Any, name: str = "parallel_stack") -> Tensor:
    """`stack(values)` under the name of a variant that copies pieces as they come."""
    return stack(values)
