"""serialize_tensor, parse_tensor and the forms of sparse tensors as strings."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.dtypes import DType, as_dtype
from ..ops.errors import InvalidArgumentError
from ..ops.primitive import Primitive
from ..ops.sparse_tensor import SparseTensor
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TensorSpec

__all__ = [
    "deserialize_many_sparse", "parse_tensor", "serialize_many_sparse", "serialize_sparse",
    "serialize_tensor",
]  # fmt: skip


def _text(value: Any, content: bool = False) -> bytes:
    from .tensor_proto import proto_of  # protobuf is loaded when it is needed

    return bytes(proto_of(value, content).SerializeToString())


def _array(data: bytes, op: str) -> Any:
    from google.protobuf.message import DecodeError

    from .tensor_proto import TensorProto, array_of

    try:
        return array_of(TensorProto.FromString(data))
    except DecodeError:
        raise InvalidArgumentError(
            f"Could not parse the string as a TensorProto ({len(data)} bytes) [Op:{op}]", op=op
        ) from None


# -- dense ------------------------------------------------------------------------------------

SerializeTensor = Primitive(
    "SerializeTensor",
    "tensor: T",
    impl=lambda x: StringArray.from_values(np.array(_text(x), object)),
    shape=lambda x: TensorSpec([], dtypes.string),
)


def _parse_impl(x: StringArray, *, out_type: DType) -> Any:
    if x.ndim:
        raise InvalidArgumentError(
            f"Expected `serialized` to be a scalar, got shape {list(x.shape)} [Op:ParseTensor]",
            op="ParseTensor",
        )
    found = _array(x.item(), "ParseTensor")
    kind = dtypes.string if isinstance(found, StringArray) else as_dtype(found.dtype)
    if kind is not out_type:
        raise InvalidArgumentError(
            f"Type mismatch between parsed tensor ({kind.name}) and dtype ({out_type.name}) "
            "[Op:ParseTensor]",
            op="ParseTensor",
        )
    return found


ParseTensor = Primitive(
    "ParseTensor",
    "serialized: string",
    impl=_parse_impl,
    shape=lambda x, *, out_type: TensorSpec(None, out_type),
    defaults={"out_type": dtypes.float32},
)


def serialize_tensor(tensor: Any, name: str | None = None) -> Tensor:
    """A scalar string that holds `tensor` with its dtype and shape, as a `TensorProto`.

    >>> parse_tensor(serialize_tensor([1, 2]), dtypes.int32).numpy()
    array([1, 2], dtype=int32)
    """
    return SerializeTensor(tensor)


def parse_tensor(serialized: Any, out_type: Any, name: str | None = None) -> Tensor:
    """The tensor that `serialize_tensor` made a string of.

    Raises:
        InvalidArgumentError: the string is no `TensorProto`, or one of another dtype.
    """
    return ParseTensor(serialized, out_type=as_dtype(out_type))


# -- sparse -----------------------------------------------------------------------------------


def _three(indices: Any, values: Any, shape: Any) -> list[bytes]:
    return [_text(part, True) for part in (indices, values, shape)]


def _sparse_impl(indices: Any, values: Any, shape: Any, **_: Any) -> StringArray:
    return StringArray.from_values(np.array(_three(indices, values, shape), object))


def _many_impl(indices: Any, values: Any, shape: Any, **_: Any) -> StringArray:
    if len(shape) < 2:
        raise InvalidArgumentError(
            f"Rank of input SparseTensor should be > 1, but saw rank: {len(shape)} "
            "[Op:SerializeManySparse]",
            op="SerializeManySparse",
        )
    rows = int(shape[0])
    order = np.argsort(indices[:, 0], kind="stable")
    cuts = np.searchsorted(indices[order, 0], np.arange(rows + 1))
    parts = []
    for k in range(rows):
        mine = order[cuts[k] : cuts[k + 1]]
        parts += _three(np.ascontiguousarray(indices[mine, 1:]), values[mine], shape[1:])
    return StringArray.from_values(np.array([*parts, None], object)[:-1]).reshape((rows, 3))


_SPARSE = "sparse_indices: int64, sparse_values: T, sparse_shape: int64"
SerializeSparse = Primitive(
    "SerializeSparse",
    _SPARSE,
    impl=_sparse_impl,
    shape=lambda i, v, s, **_: TensorSpec([3], dtypes.string),
    defaults={"out_type": dtypes.string},
)
SerializeManySparse = Primitive(
    "SerializeManySparse",
    _SPARSE,
    impl=_many_impl,
    shape=lambda i, v, s, **_: TensorSpec([None, 3], dtypes.string),
    defaults={"out_type": dtypes.string},
)


def _restored_impl(x: StringArray, *, dtype: DType) -> Any:
    op = "DeserializeSparse"
    if not x.ndim or x.shape[-1] != 3:
        raise InvalidArgumentError(
            f"Serialized sparse should have 3 as the last dimension, got shape "
            f"{list(x.shape)} [Op:{op}]",
            op=op,
        )
    lead = x.shape[:-1]
    rows = x.reshape((-1, 3)).numpy().tolist()
    indices, values, sizes = [], [], []
    for k, row in enumerate(rows):
        i, v, s = (_array(part, op) for part in row)
        kind = dtypes.string if isinstance(v, StringArray) else as_dtype(v.dtype)
        if kind is not dtype:
            raise InvalidArgumentError(
                f"Requested SparseTensor of type {dtype.name} but element {k} is of type "
                f"{kind.name} [Op:{op}]",
                op=op,
            )
        if sizes and len(s) != len(sizes[0]):
            raise InvalidArgumentError(
                f"Inconsistent shape across SparseTensors: rank {len(sizes[0])} and "
                f"{len(s)} at element {k} [Op:{op}]",
                op=op,
            )
        at = np.broadcast_to(np.array(np.unravel_index(k, lead), np.int64), (len(i), len(lead)))
        indices.append(np.concatenate([at, i], 1))
        values.append(v)
        sizes.append(s)
    if not rows:
        raise InvalidArgumentError(f"there is no serialized sparse tensor [Op:{op}]", op=op)
    joined = (
        StringArray.concatenate(values) if dtype is dtypes.string else np.concatenate(values)
    )
    shape = np.concatenate([np.array(lead, np.int64), np.max(sizes, axis=0).astype(np.int64)])
    return np.concatenate(indices).astype(np.int64), joined, shape


def _restored_shape(x: Any, *, dtype: DType) -> Any:
    return (
        TensorSpec([None, None], dtypes.int64),
        TensorSpec([None], dtype),
        TensorSpec([None], dtypes.int64),
    )


DeserializeSparse, DeserializeManySparse = (
    Primitive(
        name,
        "serialized_sparse: string",
        impl=_restored_impl,
        shape=_restored_shape,
        defaults={"dtype": dtypes.float32},
    )
    for name in ("DeserializeSparse", "DeserializeManySparse")
)


def _of_strings(out_type: Any) -> None:
    if as_dtype(out_type) is not dtypes.string:
        raise ValueError(f"out_type must be string, got {as_dtype(out_type).name}")


def serialize_sparse(
    sp_input: Any, out_type: Any = dtypes.string, name: str | None = None
) -> Tensor:
    """A sparse tensor as three strings: its indices, values and shape, serialized."""
    _of_strings(out_type)
    sp = _sparse(sp_input)
    return SerializeSparse(sp.indices, sp.values, sp.dense_shape, out_type=dtypes.string)


def serialize_many_sparse(
    sp_input: Any, out_type: Any = dtypes.string, name: str | None = None
) -> Tensor:
    """The rows of a sparse tensor [n, ...], each as three strings: [n, 3].

    Raises:
        InvalidArgumentError: it has fewer than two axes.
    """
    _of_strings(out_type)
    sp = _sparse(sp_input)
    return SerializeManySparse(sp.indices, sp.values, sp.dense_shape, out_type=dtypes.string)


def _sparse(value: Any) -> SparseTensor:
    if not isinstance(value, SparseTensor):
        raise TypeError(f"Input must be a SparseTensor, got {type(value).__name__}")
    return value


def deserialize_many_sparse(
    serialized_sparse: Any, dtype: Any, rank: int | None = None, name: str | None = None
) -> SparseTensor:
    """The sparse tensor [n, ...] of n serialized ones, each row as large as the largest.

    Args:
        serialized_sparse: strings [n, 3].
        dtype: of the values.
        rank: of the serialized tensors, where it is known.
        name: ignored.
    """
    found = DeserializeManySparse(serialized_sparse, dtype=as_dtype(dtype))
    return SparseTensor(*found)
