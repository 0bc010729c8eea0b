"""Products of vectors and matrices, correlations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from ...ops.decompositions_diagonals import diag_part
from .. import backend
from ..engine.operation import Operation
from ..engine.registry import OPERATIONS
from ..promotion import result_type
from .op import is_symbolic, operations
from .values import as_tensor, axes_of, dtype_name, floating, weak_dtype

op = operations("numpy")


def _product_inputs(*values: Any) -> tuple[list[Any], str]:
    """Tensors of a dtype that products exist for, and the dtype of the result."""
    dtype = result_type(*map(weak_dtype, values))
    if dtype in ("bool", "int8", "int16", "uint8", "uint16", "uint32"):
        return [as_tensor(v, "int64" if dtype == "uint32" else "int32") for v in values], dtype
    return [as_tensor(v, dtype) for v in values], dtype


def _result(x: Any, dtype: str) -> Any:
    return hr.cast(x, dtype)


@op(tensors=2)
def matmul(x1: Any, x2: Any) -> Any:
    """The matrix product over the last two axes; vectors are rows and columns."""
    if all(dtype_name(as_tensor(x)) == "int8" for x in (x1, x2)):  # Keras sums these in int32
        x1, x2, dtype = as_tensor(x1, "int32"), as_tensor(x2, "int32"), "int32"
    else:
        (x1, x2), dtype = _product_inputs(x1, x2)
    row, column = len(x1.shape) == 1, len(x2.shape) == 1
    if row and column:
        return _result(hr.tensordot(x1, x2, 1), dtype)
    if row:
        return _result(hr.squeeze(hr.matmul(hr.expand_dims(x1, 0), x2), -2), dtype)
    if column:
        return _result(hr.squeeze(hr.matmul(x1, hr.expand_dims(x2, -1)), -1), dtype)
    return _result(hr.matmul(x1, x2), dtype)


@op(tensors=2)
def dot(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axis of `x1` and the last but one of `x2`."""
    (x1, x2), dtype = _product_inputs(x1, x2)
    if not len(x1.shape) or not len(x2.shape):
        return _result(x1 * x2, dtype)
    axes = [[len(x1.shape) - 1], [max(0, len(x2.shape) - 2)]]
    return _result(hr.tensordot(x1, x2, axes), dtype)


@op(tensors=2)
def inner(x1: Any, x2: Any) -> Any:
    """The sum of products over the last axes of both."""
    (x1, x2), dtype = _product_inputs(x1, x2)
    if not len(x1.shape) or not len(x2.shape):
        return _result(x1 * x2, dtype)
    return _result(hr.tensordot(x1, x2, [[len(x1.shape) - 1], [len(x2.shape) - 1]]), dtype)


@op(tensors=2)
def vdot(x1: Any, x2: Any) -> Any:
    """The sum of products of all elements, those of `x1` conjugated."""
    (x1, x2), dtype = _product_inputs(x1, x2)
    if dtype.startswith("complex"):
        x1 = hr.conj(x1)
    return _result(hr.reduce_sum(hr.reshape(x1, [-1]) * hr.reshape(x2, [-1])), dtype)


@op(tensors=2)
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """The sum of products over `axes`: how many, or a list for each."""
    (x1, x2), dtype = _product_inputs(x1, x2)
    if not isinstance(axes, int):
        axes = [
            axes_of(list(a) if isinstance(a, (list, tuple)) else a, len(x.shape))
            for a, x in zip(axes, (x1, x2), strict=True)
        ]
    return _result(hr.tensordot(x1, x2, axes), dtype)


@op(tensors=2)
def outer(x1: Any, x2: Any) -> Any:
    """Products of every element of `x1` with every one of `x2`."""
    (x1, x2), dtype = _product_inputs(x1, x2)
    return _result(hr.reshape(x1, [-1, 1]) * hr.reshape(x2, [1, -1]), dtype)


@op(tensors=2)
def kron(x1: Any, x2: Any) -> Any:
    """`x2` times every element of `x1`, side by side."""
    (x1, x2), dtype = _product_inputs(x1, x2)
    rank = max(len(x1.shape), len(x2.shape))
    sizes = []
    for x in (x1, x2):
        sizes.append([1] * (rank - len(x.shape)) + [int(n) for n in x.shape])
    left = hr.reshape(x1, [n for size in sizes[0] for n in (size, 1)])
    right = hr.reshape(x2, [n for size in sizes[1] for n in (1, size)])
    return _result(
        hr.reshape(left * right, [a * b for a, b in zip(*sizes, strict=True)]), dtype
    )


@op(tensors=2)
def cross(
    x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """The vector product of vectors of 2 or 3 components along the axes.

    Raises:
        ValueError: the vectors have another length.
    """
    (x1, x2), dtype = _product_inputs(x1, x2)
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2 = (_last(x, a) for x, a in ((x1, axisa), (x2, axisb)))
    lengths = [x.shape[-1] for x in (x1, x2)]
    if any(n not in (2, 3, None) for n in lengths):
        raise ValueError(
            "`x1`'s dim on `axisa` and `x2`'s on `axisb` must be 2 or 3. Received: "
            f"x1.shape={x1.shape}, x2.shape={x2.shape}"
        )
    a, b = ([x[..., i] for i in range(n or 3)] for x, n in zip((x1, x2), lengths, strict=True))
    if len(a) == len(b) == 2:
        return _result(a[0] * b[1] - a[1] * b[0], dtype)
    a, b = ([*v, hr.zeros_like(v[0])][:3] for v in (a, b))
    parts = [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
    return _result(hr.stack(parts, axis=axisc), dtype)


def _last(x: Any, axis: int) -> Any:
    rank = len(x.shape)
    axis %= rank
    return hr.transpose(x, [*[a for a in range(rank) if a != axis], axis])


def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """Einstein's sum of `operands` by `subscripts` such as ``"ij,jk->ik"``."""
    if is_symbolic(operands):
        return Einsum(subscripts)(*operands)
    values, dtype = _product_inputs(*operands)
    return _result(hr.einsum(subscripts, *values), dtype)


class Einsum(Operation):
    """`einsum` in a functional model: its operands are the arguments of the call."""

    keras_module = "keras.src.ops.numpy"

    def __init__(self, subscripts: str, name: str | None = None):
        super().__init__(name)
        self.subscripts = subscripts

    def call(self, *operands: Any) -> Any:
        """The sum."""
        return einsum(self.subscripts, *operands)

    def get_config(self) -> dict[str, Any]:
        """The subscripts."""
        return {**super().get_config(), "subscripts": self.subscripts}


OPERATIONS["ops.numpy", "Einsum"] = Einsum


@op()
def corrcoef(x: Any) -> Any:
    """The correlation coefficients of the rows of ``[variables, observations]``."""
    (x,) = floating(x)
    if len(x.shape) < 2:
        x = hr.reshape(x, [1, -1])
    centred = x - hr.reduce_mean(x, axis=-1, keepdims=True)
    covariance = hr.matmul(centred, centred, transpose_b=True)
    scale = hr.sqrt(diag_part(covariance))
    found = covariance / (hr.expand_dims(scale, 0) * hr.expand_dims(scale, 1))
    found = hr.minimum(hr.maximum(found, -1), 1)
    return hr.squeeze(found) if x.shape[0] == 1 else found


@op(tensors=2)
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """The sums of products of the vectors `x1` and `x2` shifted along each other.

    Raises:
        ValueError: they have several axes, or `mode` is not valid, same or full.
    """
    if mode not in ("valid", "same", "full"):
        raise ValueError(
            f"Invalid mode: '{mode}'. Mode must be one of: 'full', 'same', 'valid'"
        )
    dtype = result_type(weak_dtype(x1), weak_dtype(x2))
    if dtype == "int64":
        dtype = "float64"
    elif not dtype.startswith(("float", "bfloat")):
        dtype = backend.floatx()
    x1, x2 = as_tensor(x1, dtype), as_tensor(x2, dtype)
    if len(x1.shape) != 1 or len(x2.shape) != 1:
        raise ValueError(
            f"correlate() only supports 1-D inputs. Received: {x1.shape}, {x2.shape}"
        )
    longer, shorter = int(x1.shape[0]), int(x2.shape[0])
    swapped = longer < shorter
    if swapped:  # the correlation the other way round, backwards
        x1, x2, longer, shorter = x2, x1, shorter, longer
    before = {"valid": 0, "same": shorter // 2, "full": shorter - 1}[mode]
    after = {"valid": 0, "same": (shorter - 1) // 2, "full": shorter - 1}[mode]
    if swapped:
        before, after = after, before
    padded = hr.pad(x1, [[before, after]])
    count = longer + before + after - shorter + 1
    at = np.arange(count)[:, None] + np.arange(shorter)
    found = hr.reduce_sum(hr.gather(padded, at) * x2, axis=-1)
    return hr.reverse(found, [0]) if swapped else found


@op()
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Powers of the vector `x` in `N` columns, falling unless `increasing`."""
    x = as_tensor(x)
    dtype = result_type(dtype_name(x), "int32" if dtype_name(x) == "bool" else dtype_name(x))
    x = hr.cast(x, dtype)
    count = int(x.shape[0]) if N is None else N
    powers = np.arange(count) if increasing else np.arange(count)[::-1]
    wide = x if x.dtype.is_floating else hr.cast(x, "float64")
    return hr.cast(hr.pow(hr.expand_dims(wide, -1), hr.constant(powers, wide.dtype)), dtype)


__all__ = [
    "corrcoef", "correlate", "cross", "dot", "einsum", "inner", "kron", "matmul", "outer",
    "tensordot", "vander", "vdot",
]  # fmt: skip
