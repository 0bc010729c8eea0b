"""Python and NumPy values to tensors, by TensorFlow's rules.

Python ints become int32 (int64 where they do not fit), floats float32; NumPy values keep
their dtype.  There is no silent change between kinds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes
from .array_module import array_module, beside
from .context import current, placing
from .dtypes import DType, as_dtype
from .quiet import quietly
from .string_array import StringArray
from .tensor import Tensor, as_raw, is_symbolic
from .tensor_shape import TensorShape

__all__ = [
    "constant",
    "convert_to_tensor",
    "register_conversion",
    "register_tensor_conversion_function",
]

_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1
_CONVERSIONS: list[tuple[type, Callable[..., Any]]] = []
# The one operation conversion needs, for lists of tensors; `array_join` puts it here.
_stack: list[Callable[[list[Any]], Tensor]] = []


def register_conversion(kind: type, convert: Callable[..., Any]) -> None:
    """Let `convert(value, dtype) -> Tensor` turn values of class `kind` into tensors."""
    _CONVERSIONS.append((kind, convert))


def register_stack(stack: Callable[[list[Any]], Tensor]) -> None:
    """Let `stack` turn lists of tensors into one tensor."""
    _stack[:] = [stack]


def register_tensor_conversion_function(
    base_type: type, conversion_func: Callable[..., Any], priority: int = 100
) -> None:
    """TensorFlow's form: `conversion_func(value, dtype, name, as_ref)`."""
    register_conversion(
        base_type,
        lambda value, dtype: conversion_func(value, dtype=dtype, name=None, as_ref=False),
    )


def convert_to_tensor(
    value: Any, dtype: Any = None, dtype_hint: Any = None, name: str | None = None
) -> Tensor:
    """`value` as a tensor.

    Args:
        value: tensor, variable, NumPy array, Python number, string or nested list of them.
        dtype: dtype to make; by default that of the value.
        dtype_hint: dtype to make if the value allows it.
        name: ignored, as in eager TensorFlow.

    Raises:
        ValueError: a tensor of another dtype, or lists of unequal lengths.
        TypeError: the value does not convert to `dtype`.
    """
    if dtype is not None:
        made = _explicit(value, as_dtype(dtype))
    elif dtype_hint is not None and not isinstance(value, Tensor):
        try:
            made = to_tensor(value, as_dtype(dtype_hint))
        except (TypeError, ValueError):
            made = to_tensor(value, None)
    else:
        made = to_tensor(value, None)
    return _placed(made, value) if placing.on else made


def _placed(made: Tensor, value: Any) -> Tensor:
    """A new value where the scopes want it; tensors and variables stay where they are."""
    if is_symbolic(made) or isinstance(value, Tensor) or current.trace is not None:
        return made
    if getattr(value, "_is_headrace_value", False):
        return made
    raw = placing.value(made._value)
    return made if raw is made._value else Tensor.of(raw)


def _explicit(value: Any, dtype: DType) -> Tensor:
    """`to_tensor` where the caller names the dtype: NumPy arrays are cast as astype does."""
    if (
        isinstance(value, (np.ndarray, np.generic))
        and value.dtype.kind in "biuf"
        and dtype.is_numpy_compatible
    ):
        if dtype is not dtypes.string:
            with np.errstate(all="ignore"):
                return Tensor.of(np.array(value, dtype.np_dtype))
    return to_tensor(value, dtype)


def to_tensor(value: Any, dtype: DType | None) -> Tensor:
    """`convert_to_tensor` without its optional arguments; the form dispatch uses."""
    if isinstance(value, Tensor):
        if dtype is not None and value.dtype is not dtype:
            raise ValueError(
                f"Tensor conversion requested dtype {dtype.name} for Tensor with dtype "
                f"{value.dtype.name}: {value!r}"
            )
        return value
    kind = type(value)
    if kind is float or kind is int or kind is bool:
        return Tensor.of(_number(value, kind, dtype))
    if kind is np.ndarray or isinstance(value, np.generic):
        return Tensor.of(_from_numpy(value, dtype))
    if kind is StringArray:
        return Tensor.of(value)
    for base, convert in _CONVERSIONS:
        if isinstance(value, base):
            return convert(value, dtype)
    if isinstance(value, TensorShape):
        return Tensor.of(np.array(value.as_list(), (dtype or dtypes.int32).np_dtype))
    if isinstance(value, (list, tuple)):
        return _from_sequence(value, dtype)
    if isinstance(value, (str, bytes, bytearray)):
        if dtype is not None and dtype is not dtypes.string:
            raise TypeError(f"Cannot convert {value!r} to a tensor of dtype {dtype.name}")
        return Tensor.of(StringArray.from_values(bytes(value) if kind is bytearray else value))
    if isinstance(value, complex):
        return Tensor.of(np.array(value, (dtype or dtypes.complex128).np_dtype))
    if value is None:
        raise ValueError(
            "Attempt to convert a value (None) with an unsupported type to a Tensor."
        )
    if isinstance(value, DType):
        return Tensor.of(np.array(value.as_datatype_enum, np.int32))
    if hasattr(value, "__cuda_array_interface__"):
        # Copied: a tensor must not change when the user's array does.
        own = as_raw(value)
        with beside(own):
            return _cast_or_refuse(Tensor.of(own.copy()), dtype)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return Tensor.of(_from_numpy(np.asarray(value), dtype))
    if isinstance(value, (int, float)):
        return Tensor.of(_number(value, int if isinstance(value, int) else float, dtype))
    raise ValueError(
        f"Attempt to convert a value ({value!r}) with an unsupported type ({kind}) to a Tensor."
    )


def _cast_or_refuse(tensor: Tensor, dtype: DType | None) -> Tensor:
    """A device array's tensor by the rule for NumPy arrays: of another dtype if it is told."""
    if dtype is None or tensor.dtype is dtype:
        return tensor
    if tensor.dtype.is_floating and not (dtype.is_floating or dtype.is_complex):
        raise TypeError(
            f"Cannot convert an array of dtype {tensor.dtype.name} to a tensor of dtype "
            f"{dtype.name}"
        )
    return Tensor.of(tensor._value.astype(dtype.np_dtype))


def _number(value: Any, kind: type, dtype: DType | None) -> np.ndarray:
    if dtype is None:
        if kind is float:
            return np.array(value, np.float32)
        if kind is bool:
            return np.array(value, np.bool_)
        return np.array(value, np.int32 if _INT32_MIN <= value <= _INT32_MAX else np.int64)
    ok = (
        dtype.is_floating
        or dtype.is_complex
        or (dtype.is_integer and kind in (int, bool))
        or (dtype.is_bool and kind is bool)
    )
    if not ok:
        raise TypeError(f"Cannot convert {value!r} to EagerTensor of dtype {dtype.name}")
    try:
        return quietly(np.array, value, dtype.np_dtype)
    except OverflowError:
        raise ValueError(
            f"Can't convert Python integer {value} to dtype {dtype.name}: out of range"
        ) from None


def _from_numpy(value: Any, dtype: DType | None) -> Any:
    array = as_raw(value)
    if array is value or (isinstance(array, np.ndarray) and np.may_share_memory(array, value)):
        array = array.copy()  # a tensor must not change when the user's array does
    if dtype is None:
        return array
    have = dtypes.as_dtype(array.dtype)
    if have is dtype:
        return array
    if dtype is dtypes.string or have is dtypes.string:
        raise TypeError(
            f"Cannot convert a NumPy array of dtype {have.name} to a tensor of dtype "
            f"{dtype.name}"
        )
    if have.is_floating and not (dtype.is_floating or dtype.is_complex):
        raise TypeError(
            f"Cannot convert a NumPy array of dtype {have.name} to a tensor of dtype "
            f"{dtype.name}"
        )
    if (dtype.is_bool and not have.is_bool) or (have.is_complex and not dtype.is_complex):
        raise TypeError(
            f"Cannot convert a NumPy array of dtype {have.name} to a tensor of dtype "
            f"{dtype.name}"
        )
    return quietly(array.astype, dtype.np_dtype)  # too large a float is an infinity


def _from_sequence(value: Any, dtype: DType | None) -> Tensor:
    leaves: list[Any] = []
    _leaves(value, leaves)
    if any(isinstance(v, Tensor) or getattr(v, "_is_headrace_value", False) for v in leaves):
        return _pack(value, dtype, leaves)
    kinds = set(map(type, leaves))
    if kinds and kinds <= {str, bytes, np.str_, np.bytes_}:
        if dtype is not None and dtype is not dtypes.string:
            raise TypeError(f"Cannot convert {value!r} to a tensor of dtype {dtype.name}")
        return Tensor.of(StringArray.from_values(value))
    if kinds & {str, bytes}:
        raise ValueError(f"Can't convert Python sequence with mixed types to Tensor: {value!r}")
    if any(v is None for v in leaves):
        raise ValueError(
            "Attempt to convert a value (None) with an unsupported type to a Tensor."
        )
    try:
        array = np.array(value)
    except ValueError:
        raise ValueError("Can't convert non-rectangular Python sequence to Tensor.") from None
    except OverflowError:
        raise ValueError(
            f"Can't convert Python sequence with out-of-range integer: {value!r}"
        ) from None
    if array.dtype == object:
        return Tensor.of(StringArray.from_values(array))
    if kinds <= {int, float, bool}:
        if bool in kinds and len(kinds) > 1:
            raise ValueError("Can't convert Python sequence with mixed types to Tensor.")
        if dtype is None:
            if not kinds or float in kinds:
                array = array.astype(np.float32)
            elif int in kinds and _fits_int32(array):
                array = array.astype(np.int32)
        else:
            if kinds and (
                (float in kinds and not (dtype.is_floating or dtype.is_complex))
                or (dtype.is_bool and kinds != {bool})
                or dtype is dtypes.string
            ):
                raise TypeError(
                    f"Cannot convert {value!r} to EagerTensor of dtype {dtype.name}"
                )
            if dtype.is_integer and kinds and not _fits(array, dtype):
                raise ValueError(
                    f"Can't convert Python sequence to {dtype.name}: a value is out of range"
                )
            array = (
                quietly(array.astype, dtype.np_dtype)
                if dtype is not dtypes.string
                else StringArray.empty(array.shape)
            )
        return Tensor.of(array)
    return Tensor.of(_from_numpy(array, dtype))


def _leaves(value: Any, out: list[Any]) -> None:
    for v in value:
        if isinstance(v, (list, tuple)):
            _leaves(v, out)
        else:
            out.append(v)


def _fits_int32(array: np.ndarray) -> bool:
    return _fits(array, dtypes.int32)


def _fits(array: np.ndarray, dtype: DType) -> bool:
    return array.size == 0 or (
        int(array.min()) >= int(dtype.min) and int(array.max()) <= int(dtype.max)
    )


def _pack(value: Any, dtype: DType | None, leaves: list[Any]) -> Tensor:
    if dtype is None:
        dtype = next((as_dtype(v.dtype) for v in leaves if hasattr(v, "dtype")), None)

    def pack(item: Any) -> Tensor:
        if isinstance(item, (list, tuple)):
            return _stack[0]([pack(sub) for sub in item])
        return to_tensor(item, dtype)

    return pack(value)


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str = "Const") -> Tensor:
    """A tensor of `value`, optionally cast while it is converted and filled to `shape`.

    >>> constant([1, 2, 3]).dtype
    hr.int32

    Raises:
        TypeError: the number of elements does not fit `shape`, or the value not `dtype`.
    """
    made = _constant(value, dtype, shape)
    return _placed(made, value) if placing.on else made


def _constant(value: Any, dtype: Any, shape: Any) -> Tensor:
    want = None if dtype is None else as_dtype(dtype)
    if isinstance(value, Tensor) and not is_symbolic(value) and want not in (None, value.dtype):
        with beside(value._value):
            tensor = Tensor.of(value._value.astype(want.np_dtype))  # type: ignore[union-attr]
    else:
        tensor = to_tensor(value, None) if want is None else _explicit(value, want)
    if shape is None or is_symbolic(tensor):
        return tensor
    dims = tuple(TensorShape(shape).as_list())
    raw = tensor._value
    if raw.shape == dims:
        return tensor
    size = int(np.prod(dims, dtype=np.int64))
    if raw.size == size:
        return Tensor.of(raw.reshape(dims))
    if raw.size == 1:
        one = raw.reshape(())
        if isinstance(one, StringArray):
            return Tensor.of(one.map_offsets(lambda a: np.broadcast_to(a, dims)))
        with beside(one):
            return Tensor.of(array_module(one).full(dims, one))
    raise TypeError(
        f"Eager execution of hr.constant with unsupported shape. Tensor {value!r} has "
        f"{raw.size} elements, but got `shape` {TensorShape(dims)} with {size} elements)."
    )
