"""TensorProto: tensors as messages, in TensorFlow's format.

The class is protobuf's own, built from a description in code in a private pool, as those of
`example` are.  (Format: tensorflow/core/framework/tensor.proto.)
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ..ops import dtypes
from ..ops.convert import convert_to_tensor
from ..ops.dtypes import DType, as_dtype
from ..ops.errors import InvalidArgumentError
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_shape import TensorShape

__all__ = ["TensorProto", "array_of", "make_ndarray", "make_tensor_proto", "proto_of"]

_PACKAGE = "headrace.framework"
_FIELD = descriptor_pb2.FieldDescriptorProto
_REPEATED = _FIELD.LABEL_REPEATED
# Field numbers, kinds and packing of the lists of values.
_LISTS = {
    "half_val": (13, _FIELD.TYPE_INT32),
    "float_val": (5, _FIELD.TYPE_FLOAT),
    "double_val": (6, _FIELD.TYPE_DOUBLE),
    "int_val": (7, _FIELD.TYPE_INT32),
    "string_val": (8, _FIELD.TYPE_BYTES),
    "scomplex_val": (9, _FIELD.TYPE_FLOAT),
    "int64_val": (10, _FIELD.TYPE_INT64),
    "bool_val": (11, _FIELD.TYPE_BOOL),
    "dcomplex_val": (12, _FIELD.TYPE_DOUBLE),
    "uint32_val": (16, _FIELD.TYPE_UINT32),
    "uint64_val": (17, _FIELD.TYPE_UINT64),
}


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="headrace/framework/tensor.proto", package=_PACKAGE, syntax="proto3"
    )
    shape = file.message_type.add(name="TensorShapeProto")
    dim = shape.nested_type.add(name="Dim")
    dim.field.add(name="size", number=1, type=_FIELD.TYPE_INT64, label=1)
    dim.field.add(name="name", number=2, type=_FIELD.TYPE_STRING, label=1)
    shape.field.add(
        name="dim", number=2, type=_FIELD.TYPE_MESSAGE, label=_REPEATED,
        type_name=f".{_PACKAGE}.TensorShapeProto.Dim",
    )  # fmt: skip
    shape.field.add(name="unknown_rank", number=3, type=_FIELD.TYPE_BOOL, label=1)
    message = file.message_type.add(name="TensorProto")
    message.field.add(name="dtype", number=1, type=_FIELD.TYPE_INT32, label=1)
    message.field.add(
        name="tensor_shape", number=2, type=_FIELD.TYPE_MESSAGE, label=1,
        type_name=f".{_PACKAGE}.TensorShapeProto",
    )  # fmt: skip
    message.field.add(name="version_number", number=3, type=_FIELD.TYPE_INT32, label=1)
    message.field.add(name="tensor_content", number=4, type=_FIELD.TYPE_BYTES, label=1)
    for name, (number, kind) in _LISTS.items():
        message.field.add(name=name, number=number, type=kind, label=_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.TensorProto"))
    cls.__module__ = __name__
    return cls


TensorProto: Any = _message_class()

_FIELD_OF = {
    "float16": "half_val", "bfloat16": "half_val", "float32": "float_val",
    "float64": "double_val", "string": "string_val", "complex64": "scomplex_val",
    "complex128": "dcomplex_val", "int64": "int64_val", "bool": "bool_val",
    "uint32": "uint32_val", "uint64": "uint64_val",
}  # fmt: skip


def _field_of(dtype: DType) -> str:
    return _FIELD_OF.get(dtype.name, "int_val")


# -- arrays to messages -----------------------------------------------------------------------


def _little(array: np.ndarray) -> bytes:
    if sys.byteorder == "big":
        array = array.byteswap()
    return np.ascontiguousarray(array).tobytes()


def _varint(n: int) -> bytes:
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def proto_of(value: Any, string_content: bool = False) -> Any:
    """The message of a raw array, its values as bytes.

    Args:
        value: array or `StringArray`.
        string_content: strings too go into ``tensor_content``: all lengths, then all bytes.
    """
    strings = isinstance(value, StringArray)
    proto = TensorProto()
    proto.dtype = (dtypes.string if strings else as_dtype(value.dtype)).as_datatype_enum
    proto.tensor_shape.SetInParent()
    for n in value.shape:
        proto.tensor_shape.dim.add(size=n)
    if not strings:
        proto.tensor_content = _little(value)
    elif string_content:
        lengths = b"".join(_varint(n) for n in value.lengths.reshape(-1).tolist())
        flat = value.ravel().compact()
        proto.tensor_content = lengths + flat.data.tobytes()
    else:
        proto.string_val.extend(value.numpy().reshape(-1).tolist())
    return proto


# -- messages to arrays -----------------------------------------------------------------------


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _strings_of_content(data: bytes, count: int) -> list[bytes]:
    lengths, at = [], 0
    for _ in range(count):
        n, at = _read_varint(data, at)
        lengths.append(n)
    found = []
    for n in lengths:
        found.append(data[at : at + n])
        at += n
    return found


def array_of(proto: Any) -> Any:
    """The array (or `StringArray`) of a message.

    Raises:
        InvalidArgumentError: content and shape do not fit, or the dtype is none of tensors'.
    """
    try:
        dtype = as_dtype(proto.dtype)
    except TypeError:
        raise InvalidArgumentError(
            f"TensorProto of an unknown dtype: DataType number {proto.dtype}"
        ) from None
    shape = tuple(d.size for d in proto.tensor_shape.dim)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype is dtypes.string:
        try:
            values = (
                _strings_of_content(proto.tensor_content, count)
                if proto.tensor_content
                else list(proto.string_val)
            )
        except IndexError:
            raise InvalidArgumentError("TensorProto's tensor_content is cut off") from None
        values = _filled(values, count, b"")
        return StringArray.from_values(np.array([*values, None], object)[:-1]).reshape(shape)
    kind = np.dtype(dtype.np_dtype)
    if proto.tensor_content:
        if len(proto.tensor_content) != count * kind.itemsize:
            raise InvalidArgumentError(
                f"TensorProto has {len(proto.tensor_content)} bytes of content for shape "
                f"{list(shape)} of {dtype.name}"
            )
        array = np.frombuffer(proto.tensor_content, kind)
        return (array.byteswap() if sys.byteorder == "big" else array).reshape(shape).copy()
    values = list(getattr(proto, _field_of(dtype)))
    if _field_of(dtype) == "half_val":
        array = np.array(_filled(values, count, 0), np.uint16).view(kind)
    elif dtype.is_complex:
        pairs = [complex(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
        array = np.array(_filled(pairs, count, 0), kind)
    else:
        array = np.array(_filled(values, count, 0), kind)
    return array.reshape(shape)


def _filled(values: list[Any], count: int, zero: Any) -> list[Any]:
    """`values` with the last one repeated up to `count`."""
    if len(values) > count:
        raise InvalidArgumentError(
            f"TensorProto has {len(values)} values, more than its shape's {count}"
        )
    return values + [values[-1] if values else zero] * (count - len(values))


# -- public -----------------------------------------------------------------------------------


def make_ndarray(tensor: Any) -> np.ndarray:
    """The NumPy array of a `TensorProto`; strings as an object array of bytes."""
    found = array_of(tensor)
    return found.numpy() if isinstance(found, StringArray) else found


def make_tensor_proto(
    values: Any,
    dtype: Any = None,
    shape: Any = None,
    verify_shape: bool = False,
    allow_broadcast: bool = False,
) -> Any:
    """A `TensorProto` of `values`: several numbers as bytes, single ones and strings as lists.

    Args:
        values: array, or Python values.
        dtype, shape: what to make of them.
        verify_shape: `values` must have the shape.
        allow_broadcast: one value may stand for all of the shape; otherwise the number of
            values must fit.

    Raises:
        TypeError: `verify_shape` and another shape.
        ValueError: the number of values does not fit, or both flags are set.
    """
    if verify_shape and allow_broadcast:
        raise ValueError("allow_broadcast and verify_shape are not both allowed.")
    if hasattr(values, "tensor_content") and hasattr(values, "tensor_shape"):
        return values
    found = values if isinstance(values, Tensor) else convert_to_tensor(values, dtype)
    array = found._value
    if shape is not None:
        dims = tuple(int(d) for d in TensorShape(shape).as_list())
        count = int(np.prod(dims, dtype=np.int64))
        if verify_shape and array.shape != dims:
            raise TypeError(f"Expected Tensor's shape: {dims}, but got {array.shape}.")
        if array.size != count and not (allow_broadcast and array.size == 1):
            raise ValueError(f"Shape {list(dims)} does not fit {array.size} values")
    else:
        dims = array.shape
    if isinstance(array, StringArray) or (
        array.size > 1
        and array.size == np.prod(dims)
        and found.dtype not in (dtypes.bool, dtypes.complex64, dtypes.complex128)
    ):
        proto = proto_of(array.reshape(dims) if array.size == np.prod(dims) else array)
    else:
        proto = TensorProto()
        proto.dtype = found.dtype.as_datatype_enum
        flat = array.reshape(-1)
        name = _field_of(found.dtype)
        if name == "half_val":
            flat = flat.view(np.uint16)
        elif found.dtype.is_complex:
            flat = np.stack([flat.real, flat.imag], 1).reshape(-1)
        getattr(proto, name).extend(flat.tolist())
    del proto.tensor_shape.dim[:]
    proto.tensor_shape.SetInParent()
    for n in dims:
        proto.tensor_shape.dim.add(size=n)
    return proto
