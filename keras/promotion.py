"""Which dtype a computation on several has: `result_type`, by Keras's lattice.

The lattice is the one of JAX (https://docs.jax.dev/en/latest/type_promotion.html): Python's own
numbers are weak and take part without widening, 64-bit integers and `float` meet in the weak
float.
"""

from __future__ import annotations

import functools
from typing import Any

from ..ops import dtypes
from . import settings

__all__ = ["is_float_dtype", "is_int_dtype", "result_type", "standardize_dtype"]

# Each dtype and the next wider ones; "int" and "float" are Python's.
_WIDER = {
    "bool": ("int",),
    "int": ("uint8", "int8", "complex64"),
    "uint8": ("int16", "uint16"),
    "uint16": ("int32", "uint32"),
    "uint32": ("int64", "uint64"),
    "uint64": ("float",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("float",),
    "float": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "complex64": ("complex128",),
    "complex128": (),
}
_PYTHON = {bool: "bool", int: "int64", float: "float32", str: "string", complex: "complex128"}
_NARROWED = {"uint64": "uint32", "complex128": "complex64"}


@functools.cache
def _bounds(dtype: str) -> frozenset[str]:
    """`dtype` and everything it can be widened to."""
    return frozenset({dtype}).union(*(_bounds(wider) for wider in _WIDER[dtype]))


@functools.cache
def _join(found: frozenset[str], floatx: str) -> str:
    unknown = [name for name in found if name not in _WIDER]
    if unknown:
        raise ValueError(f"dtype={unknown[0]!r} is not a valid dtype for Keras type promotion.")
    common = frozenset.intersection(*map(_bounds, found))
    least = [d for d in common if common <= _bounds(d)]
    if len(least) != 1:
        raise ValueError(
            f"Input dtypes {tuple(sorted(found))} have no available implicit dtype promotion "
            "path. Try explicitly casting inputs to the desired output type."
        )
    bits = floatx.removeprefix("bfloat").removeprefix("float")
    joined = {"int": f"int{bits}", "float": f"float{bits}"}.get(least[0], least[0])
    return _NARROWED.get(joined, joined)


def result_type(*dtypes: Any) -> str:
    """The dtype's name that values of these dtypes are computed in together.

    Args:
        *dtypes: names, dtypes, or Python's ``int`` and ``float`` (weak); None is `floatx`.

    Raises:
        ValueError: they cannot be joined.

    >>> result_type("int32", "float16"), result_type("bfloat16", float)
    ('float16', 'bfloat16')
    """
    floatx = settings.floatx()
    if not dtypes:
        return floatx
    found = set()
    for dtype in dtypes:
        if dtype is int or dtype is float:
            found.add(dtype.__name__)
        else:
            found.add(standardize_dtype(dtype))
    if len(found) == 1 and not found <= {"int", "float"}:
        only = found.pop()
        return _NARROWED.get(only, only)
    return _join(frozenset(found), floatx)


def standardize_dtype(dtype: Any) -> str:
    """The name of `dtype`: a name, a dtype of ours or NumPy's, or a Python type.

    Raises:
        ValueError: there is no such dtype.
    """
    if dtype is None:
        return settings.floatx()
    if dtype in _PYTHON:
        return _PYTHON[dtype]
    if dtype == "int":
        return "int64"
    try:
        return dtypes.as_dtype(dtype).name
    except (TypeError, ValueError) as e:
        raise ValueError(
            f"Invalid dtype: {dtype!r}. Use a name like 'float32' or a dtype."
        ) from e


def is_float_dtype(dtype: Any) -> bool:
    """Whether `dtype` is one of the floating types."""
    return standardize_dtype(dtype).startswith(("float", "bfloat"))


def is_int_dtype(dtype: Any) -> bool:
    """Whether `dtype` is one of the integer types."""
    return standardize_dtype(dtype).startswith(("int", "uint"))
