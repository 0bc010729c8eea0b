"""Metadata arguments: axes, permutations and sizes that must be known while tracing.

They may be given as Python or NumPy integers, sequences of them, or tensors whose value is
known; primitives take them as attributes, which are hashable.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .convert import to_tensor
from .errors import UntraceableError
from .graph.graph import constant_value
from .tensor import Tensor
from .tensor_shape import TensorShape
from .variable import Variable

__all__ = ["known_ints", "shape_input", "static_int", "static_ints"]

_LARGE = 2**31


def static_int(value: Any, op: str, what: str) -> int:
    """`value` as a Python int.

    Raises:
        UntraceableError: it is computed by the function being traced.
        TypeError: it is not a single integer.
    """
    if type(value) is int:
        return value
    found = static_ints(value, op, what)
    if len(found) != 1:
        raise TypeError(f"{op}: {what} must be a single integer, got {value!r}")
    return found[0]


def static_ints(value: Any, op: str, what: str) -> tuple[int, ...]:
    """`value`, a number or a sequence, as a tuple of Python ints.

    Raises:
        UntraceableError: it is computed by the function being traced.
        TypeError: it is not made of integers.
    """
    found = known_ints(value, op, what)
    if found is None:
        raise UntraceableError(
            f"{op}: {what} must be known while the function is traced, got {value!r}, which is "
            f"computed by it. Pass a Python integer."
        )
    return found


def known_ints(value: Any, op: str, what: str) -> tuple[int, ...] | None:
    """Like `static_ints`, but None where the value is computed by the function being traced."""
    if type(value) is tuple and all(type(v) is int for v in value):
        return value
    if isinstance(value, TensorShape):
        return tuple(-1 if d is None else d for d in value)
    if _has_tensor(value):
        value = constant_value(to_tensor(value, None))
        if value is None:
            return None
    array = np.asarray(value)
    if array.size == 0:
        return ()
    if array.dtype.kind not in "iu":
        raise TypeError(f"{op}: {what} must be made of integers, got {value!r}")
    return tuple(array.reshape(-1).tolist())


def shape_input(value: Any) -> Any:
    """A shape-like argument as something a primitive's integer input takes: a tensor where it
    is known (int32 if it fits; None means -1), else `value`."""
    if type(value) in (list, tuple) and all(type(v) is int for v in value):
        try:
            return Tensor.of(np.array(value, np.int32))
        except OverflowError:
            return Tensor.of(np.array(value, np.int64))
    if isinstance(value, TensorShape):
        return shape_input([-1 if d is None else d for d in value])
    if isinstance(value, (list, tuple)) and not _has_tensor(value):
        array = np.array([-1 if v is None else v for v in value])
        if array.dtype.kind in "iu" or not array.size:
            small = not array.size or -_LARGE < array.min() <= array.max() < _LARGE
            return Tensor.of(array.astype(np.int32 if small else np.int64))
    return value


def _has_tensor(value: Any) -> bool:
    return isinstance(value, (Tensor, Variable)) or (
        isinstance(value, (list, tuple)) and any(_has_tensor(v) for v in value)
    )
