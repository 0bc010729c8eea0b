"""decode_raw: bytes read as numbers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from . import dtypes
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .primitive import Primitive
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["decode_raw"]


def decode_raw(
    input_bytes: Any,
    out_type: Any,
    little_endian: bool = True,
    fixed_length: int | None = None,
    name: str | None = None,
) -> Tensor:
    """The bytes of each string as a vector of numbers.

    Args:
        input_bytes: strings [...].
        out_type: dtype of the numbers.
        little_endian: byte order of the data.
        fixed_length: cut or pad (with zeros) every string to this many bytes first.

    Returns:
        `out_type` [..., count], count being the strings' length over the dtype's size.

    Raises:
        InvalidArgumentError: the strings differ in length, or it is not a multiple of the
            dtype's size.
    """
    return DecodeRaw(
        input_bytes,
        out_type=as_dtype(out_type),
        little_endian=bool(little_endian),
        fixed_length=fixed_length,
    )


def _impl(
    x: StringArray, *, out_type: DType, little_endian: bool, fixed_length: int | None
) -> np.ndarray:
    size = out_type.size
    lengths = x.lengths
    if fixed_length is None:
        length = int(lengths.flat[0]) if lengths.size else 0
        if (lengths != length).any():
            k = int(np.flatnonzero(lengths.ravel() != length)[0])
            raise InvalidArgumentError(
                "DecodeRaw requires input strings to all be the same size, but element "
                f"{k} has size "
                f"{int(lengths.flat[k])} != {length} [Op:DecodeRaw]",
                op="DecodeRaw",
            )
    else:
        length = fixed_length
    if length % size:
        raise InvalidArgumentError(
            f"Input to DecodeRaw has length {length} that is not a multiple of {size}, "
            "the size of "
            f"{out_type.name} [Op:DecodeRaw]",
            op="DecodeRaw",
        )
    rows = byte_rows(x, length) if fixed_length is None else _padded_rows(x, length)
    if size == 1:
        out = rows.view(out_type.np_dtype)
    else:
        out = np.ascontiguousarray(rows).view(out_type.np_dtype)
        if little_endian != (sys.byteorder == "little"):
            out = out.byteswap()
    return out.reshape((*x.shape, length // size))


def byte_rows(x: StringArray, length: int) -> np.ndarray:
    """uint8 [count, length] of strings that all have `length` bytes; a view of the buffer where
    the strings lie at equal distances, as records of equal size in a file do."""
    starts = x.starts.ravel()
    n = len(starts)
    if n == 0 or length == 0:
        return np.zeros((n, length), np.uint8)
    if n == 1:
        return x.data[starts[0] : starts[0] + length].reshape(1, length)
    step = int(starts[1] - starts[0])
    if (
        step >= length
        and int(starts[-1] - starts[0]) == step * (n - 1)
        and (np.diff(starts) == step).all()
    ):
        return np.lib.stride_tricks.as_strided(
            x.data[starts[0] :],
            (n, length),
            (step * x.data.strides[0], x.data.strides[0]),
            writeable=False,
        )
    # Row i of this overlapping view starts at byte i: one gather copies whole rows.
    windows = np.lib.stride_tricks.as_strided(
        x.data, (x.data.size - length + 1, length), (x.data.strides[0],) * 2, writeable=False
    )
    return windows[starts]


def _padded_rows(x: StringArray, length: int) -> np.ndarray:
    out = np.zeros((x.size, length), np.uint8)
    for row, s, e in zip(out, x.starts.ravel().tolist(), x.ends.ravel().tolist(), strict=True):
        n = min(e - s, length)
        row[:n] = x.data[s : s + n]
    return out


def _shape(
    x: Any, *, out_type: DType, little_endian: bool, fixed_length: int | None
) -> TensorSpec:
    if x.dtype is not dtypes.string:
        raise InvalidArgumentError(
            f"decode_raw takes strings, got {x.dtype.name} [Op:DecodeRaw]", op="DecodeRaw"
        )
    if out_type.size == 0:
        raise TypeError(f"decode_raw cannot make {out_type.name}")
    last = None if fixed_length is None else fixed_length // out_type.size
    return TensorSpec(x.shape.concatenate([last]), out_type)


DecodeRaw = Primitive(
    "DecodeRaw",
    "bytes: string",
    impl=_impl,
    shape=_shape,
    vjp=lambda op, g: (None,),
    batch=lambda ctx, x, **attrs: DecodeRaw(x, **attrs),
)
