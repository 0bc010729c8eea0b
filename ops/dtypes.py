"""DType: the element types, with TensorFlow's names, enum numbers and NumPy counterparts.

Strings have the NumPy dtype ``object`` at the surface (elements are ``bytes``); inside they
are `StringArray`.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

__all__ = [
    "DType",
    "as_dtype",
    "bfloat16",
    "bool",
    "complex64",
    "complex128",
    "double",
    "float16",
    "float32",
    "float64",
    "half",
    "int8",
    "int16",
    "int32",
    "int64",
    "resource",
    "string",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "variant",
]

_builtin_bool = bool


class DType:
    """The type of a tensor's elements; compare with ``is`` or ``==``.

    Attributes:
        name: TensorFlow's name, e.g. ``"float32"``.
        as_numpy_dtype: the NumPy scalar type (``object`` for strings).
        as_datatype_enum: TensorFlow's ``DataType`` number.
        size: bytes per element; 0 where elements vary.
    """

    __slots__ = (
        "as_datatype_enum",
        "as_numpy_dtype",
        "is_bool",
        "is_complex",
        "is_floating",
        "is_integer",
        "is_unsigned",
        "name",
        "np_dtype",
        "size",
    )

    def __init__(self, name: str, enum: int, numpy_type: Any, kind: str):
        self.name = name
        self.as_datatype_enum = enum
        self.as_numpy_dtype = numpy_type
        self.np_dtype = np.dtype(numpy_type)
        self.is_floating = kind == "f"
        self.is_integer = kind in "iu"
        self.is_unsigned = kind == "u"
        self.is_complex = kind == "c"
        self.is_bool = kind == "b"
        self.size = 0 if kind in "sx" else self.np_dtype.itemsize

    @property
    def is_numeric(self) -> _builtin_bool:
        """Whether arithmetic is defined on the type."""
        return self.is_floating or self.is_integer or self.is_complex

    @property
    def is_numpy_compatible(self) -> _builtin_bool:
        """Whether a NumPy array can hold the type."""
        return self.name not in ("resource", "variant")

    @property
    def base_dtype(self) -> DType:
        """The type itself (TensorFlow 1's reference types do not exist here)."""
        return self

    @property
    def real_dtype(self) -> DType:
        """The type of the real part: ``float32`` for ``complex64``, else the type itself."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    @property
    def min(self) -> Any:
        """Smallest finite value, as a NumPy scalar."""
        return self._limit("min", False)

    @property
    def max(self) -> Any:
        """Largest finite value, as a NumPy scalar."""
        return self._limit("max", True)

    @property
    def limits(self) -> tuple[Any, Any]:
        """``(min, max)`` of an integer type; ``(0, 1)`` for floats, as TensorFlow has it."""
        return (0, 1) if self.is_floating else (self.min, self.max)

    def _limit(self, which: str, of_bool: _builtin_bool) -> Any:
        if self.is_bool:
            return of_bool
        if self.is_integer:
            return getattr(np.iinfo(self.np_dtype), which)
        if self.is_floating:
            return getattr(ml_dtypes.finfo(self.np_dtype), which)
        raise TypeError(f"Cannot find {which} value of {self.name}.")

    def is_compatible_with(self, other: Any) -> _builtin_bool:
        """Whether a tensor of type `other` can stand where this type is asked for."""
        return self is as_dtype(other)

    def __eq__(self, other: object) -> _builtin_bool:
        if self is other:
            return True
        if other is None or isinstance(other, DType):
            return False
        try:
            return self is as_dtype(other)
        except TypeError:
            return False

    def __hash__(self) -> int:
        return self.as_datatype_enum

    def __repr__(self) -> str:
        return f"hr.{self.name}"

    def __str__(self) -> str:
        return f"<dtype: '{self.name}'>"

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)

    def __array_namespace_dtype__(self) -> np.dtype:
        return self.np_dtype


float32 = DType("float32", 1, np.float32, "f")
float64 = DType("float64", 2, np.float64, "f")
int32 = DType("int32", 3, np.int32, "i")
uint8 = DType("uint8", 4, np.uint8, "u")
int16 = DType("int16", 5, np.int16, "i")
int8 = DType("int8", 6, np.int8, "i")
string = DType("string", 7, np.object_, "s")
complex64 = DType("complex64", 8, np.complex64, "c")
int64 = DType("int64", 9, np.int64, "i")
bool = DType("bool", 10, np.bool_, "b")
bfloat16 = DType("bfloat16", 14, ml_dtypes.bfloat16, "f")
uint16 = DType("uint16", 17, np.uint16, "u")
complex128 = DType("complex128", 18, np.complex128, "c")
float16 = DType("float16", 19, np.float16, "f")
resource = DType("resource", 20, np.object_, "x")
variant = DType("variant", 21, np.object_, "x")
uint32 = DType("uint32", 22, np.uint32, "u")
uint64 = DType("uint64", 23, np.uint64, "u")
half = float16
double = float64

ALL = (
    float32, float64, int32, uint8, int16, int8, string, complex64, int64, bool, bfloat16,
    uint16, complex128, float16, resource, variant, uint32, uint64,
)  # fmt: skip

_BY_KEY: dict[Any, DType] = {}
for _t in ALL:
    _BY_KEY[_t.name] = _t
    _BY_KEY[_t.as_datatype_enum] = _t
    if _t.name not in ("resource", "variant"):
        _BY_KEY[_t.np_dtype] = _t
        _BY_KEY[_t.as_numpy_dtype] = _t
_BY_KEY.update({float: float32, int: int32, _builtin_bool: bool, str: string, bytes: string})
_BY_KEY.update({"float": float32, "half": float16, "double": float64, "str": string})
_BY_KEY.update({np.str_: string, np.bytes_: string, complex: complex128})


def as_dtype(value: Any) -> DType:
    """The `DType` for a `DType`, a name, a NumPy dtype, a Python type or an enum number.

    Raises:
        TypeError: `value` names no type.
    """
    if type(value) is DType:
        return value
    try:
        return _BY_KEY[value]
    except (KeyError, TypeError):
        pass
    try:
        np_dtype = np.dtype(value)
    except TypeError:
        raise TypeError(f"Cannot convert value {value!r} to a Headrace DType.") from None
    if np_dtype.kind in "SU":
        return string
    found = _BY_KEY.get(np_dtype) or _BY_KEY.get(np_dtype.newbyteorder("="))
    if found is None:
        raise TypeError(f"Cannot convert value {value!r} to a Headrace DType.")
    return found
