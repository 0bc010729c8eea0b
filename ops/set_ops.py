"""Sets along the last axis: differences, intersections, unions, sizes.

A set is a row of a dense tensor, or the elements of a sparse tensor that share all coordinates
but the last.  Results are sparse, each set's elements ascending without repetitions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes
from .batch_loop import looped, uneven
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .sparse_tensor import SparseTensor
from .string_array import StringArray
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["difference", "intersection", "size", "union"]

_TYPES = (
    dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64, dtypes.uint8, dtypes.uint16,
    dtypes.string,
)  # fmt: skip

Place = tuple[int, ...]
_OPERATIONS: dict[str, Callable[[set[Any], set[Any]], set[Any]]] = {
    "a-b": lambda a, b: a - b,
    "b-a": lambda a, b: b - a,
    "intersection": lambda a, b: a & b,
    "union": lambda a, b: a | b,
}


# -- array forms ------------------------------------------------------------------------------


def _dense_sets(x: Any, name: str) -> tuple[dict[Place, set[Any]], Place]:
    if x.ndim < 2:
        raise InvalidArgumentError(
            f"a set operation needs tensors of at least 2 axes, got {x.ndim} [Op:{name}]",
            op=name,
        )
    lead = tuple(x.shape[:-1])
    rows = x.reshape((int(np.prod(lead)), x.shape[-1])).tolist()
    return dict(zip(np.ndindex(lead), map(set, rows), strict=True)), lead


def _sparse_sets(
    indices: Any, values: Any, shape: Any, name: str, check: bool
) -> tuple[dict[Place, set[Any]], Place]:
    if len(shape) < 2:
        raise InvalidArgumentError(
            f"a set operation needs tensors of at least 2 axes, got {len(shape)} [Op:{name}]",
            op=name,
        )
    places = [tuple(i) for i in indices.tolist()]
    if check:
        outside = [
            p for p in places if any(not 0 <= i < n for i, n in zip(p, shape, strict=True))
        ]
        if outside:
            raise InvalidArgumentError(
                f"index {list(outside[0])} is out of bounds of {shape.tolist()} [Op:{name}]",
                op=name,
            )
        for before, after in itertools.pairwise(places):
            if before >= after:
                raise InvalidArgumentError(
                    f"indices must be in row-major order without repetitions, got "
                    f"{list(after)} after {list(before)} [Op:{name}]",
                    op=name,
                )
    out: dict[Place, set[Any]] = {}
    for place, value in zip(places, values.tolist(), strict=True):
        out.setdefault(place[:-1], set()).add(value)
    return out, tuple(shape.tolist()[:-1])


def _combined(a: Any, b: Any, like: Any, name: str, operation: str) -> Any:
    (sets_a, lead), (sets_b, other) = a, b
    if len(lead) != len(other):
        raise InvalidArgumentError(
            f"set1 and set2 must have one rank, got {len(lead) + 1} and {len(other) + 1} "
            f"[Op:{name}]",
            op=name,
        )
    if lead != other:
        raise InvalidArgumentError(
            f"all axes but the last must be the same, got {list(lead)} and {list(other)} "
            f"[Op:{name}]",
            op=name,
        )
    combine = _OPERATIONS[operation]
    places: list[Place] = []
    values: list[Any] = []
    longest = 0
    for place in sorted(sets_a.keys() | sets_b.keys()):
        found = sorted(combine(sets_a.get(place, set()), sets_b.get(place, set())))
        longest = max(longest, len(found))
        places.extend((*place, i) for i in range(len(found)))
        values.extend(found)
    indices = np.array(places, np.int64).reshape(len(places), len(lead) + 1)
    return indices, _as_values(values, like), np.array([*lead, longest], np.int64)


def _as_values(values: list[Any], like: Any) -> Any:
    if isinstance(like, StringArray):
        out = np.empty(len(values), object)
        out[:] = values
        return StringArray.from_values(out)
    return np.array(values, like.dtype)


def _check_operation(operation: str) -> str:
    if operation not in _OPERATIONS:
        raise InvalidArgumentError(
            f"Invalid set_operation {operation!r}: it must be one of {', '.join(_OPERATIONS)}"
        )
    return operation


def _result(rank: int | None, dtype: Any) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    return (
        TensorSpec([None, rank], dtypes.int64),
        TensorSpec([None], dtype),
        TensorSpec([rank], dtypes.int64),
    )


def _rank(tensor: Any, sparse: bool) -> int | None:
    if not sparse:
        return tensor.shape.rank
    return tensor.shape[0] if tensor.shape.rank == 1 else None


def _declare(name: str, inputs: str, first_sparse: bool, second_sparse: bool) -> Primitive:
    cut = 3 if first_sparse else 1

    def sets(arrays: Any, sparse: bool, check: bool) -> Any:
        return _sparse_sets(*arrays, name, check) if sparse else _dense_sets(*arrays, name)

    def impl(*arrays: Any, set_operation: str, validate_indices: bool) -> Any:
        a = sets(arrays[:cut], first_sparse, validate_indices)
        b = sets(arrays[cut:], second_sparse, validate_indices)
        like = arrays[1] if first_sparse else arrays[0]
        return _combined(a, b, like, name, _check_operation(set_operation))

    def shape(*tensors: Any, set_operation: str, validate_indices: bool) -> Any:
        a, b = tensors[cut - 1], tensors[-1]
        rank = _rank(a, first_sparse)
        if rank is None:
            rank = _rank(b, second_sparse)
        return _result(rank, (tensors[1] if first_sparse else tensors[0]).dtype)

    return Primitive(
        name,
        inputs,
        impl=impl,
        shape=shape,
        vjp=lambda op, *gs: (None,) * len(op.inputs),
        batch=uneven,
        types={"T": _TYPES},
        defaults={"validate_indices": True},
    )


DenseToDenseSetOperation = _declare(
    "DenseToDenseSetOperation", "set1: T, set2: T", False, False
)
DenseToSparseSetOperation = _declare(
    "DenseToSparseSetOperation",
    "set1: T, set2_indices: int64, set2_values: T, set2_shape: int64",
    False,
    True,
)
SparseToSparseSetOperation = _declare(
    "SparseToSparseSetOperation",
    "set1_indices: int64, set1_values: T, set1_shape: int64, "
    "set2_indices: int64, set2_values: T, set2_shape: int64",
    True,
    True,
)


def _size_impl(indices: Any, values: Any, shape: Any, *, validate_indices: bool) -> Any:
    sets, lead = _sparse_sets(indices, values, shape, "SetSize", validate_indices)
    out = np.zeros(lead, np.int32)
    for place, found in sets.items():
        out[place] = len(found)
    return out


def _size_shape(indices: Any, values: Any, shape: Any, *, validate_indices: bool) -> TensorSpec:
    known = constant_value(shape)
    if known is not None:
        return TensorSpec(known.tolist()[:-1], dtypes.int32)
    rank = _rank(shape, True)
    return TensorSpec(TensorShape([None] * (rank - 1) if rank else None), dtypes.int32)


def _size_batch(ctx: Any, *tensors: Any, **attrs: Any) -> Any:
    one_size = not ctx.batched[2] and ctx.out_specs[0].shape.rank is not None
    return (looped if one_size else uneven)(ctx, *tensors, **attrs)


SetSize = Primitive(
    "SetSize",
    "set_indices: int64, set_values: T, set_shape: int64",
    impl=_size_impl,
    shape=_size_shape,
    vjp=lambda op, g: (None, None, None),
    batch=_size_batch,
    types={"T": _TYPES},
    defaults={"validate_indices": True},
)


# -- public -----------------------------------------------------------------------------------


def size(a: Any, validate_indices: bool = True) -> Tensor:
    """How many different elements each set of a sparse tensor has, int32 [...].

    Raises:
        TypeError: `a` is not sparse.
        InvalidArgumentError: indices are out of order or of range.
    """
    if not isinstance(a, SparseTensor):
        raise TypeError(f"Expected `SparseTensor`, got {a}.")
    _check_dtype(a.values.dtype)
    return SetSize(a.indices, a.values, a.dense_shape, validate_indices=bool(validate_indices))


def _check_dtype(dtype: Any) -> None:
    if dtype not in _TYPES:
        raise TypeError(
            f"Data type {dtype.name} is not supported: sets hold integers or strings"
        )


def _operate(a: Any, b: Any, operation: str, validate_indices: bool) -> SparseTensor:
    if isinstance(a, SparseTensor) and not isinstance(b, SparseTensor):
        # There is an operation for a dense and a sparse tensor, in this order.
        operation = {"a-b": "b-a", "b-a": "a-b"}.get(operation, operation)
        a, b = b, a
    a, b = (t if isinstance(t, SparseTensor) else to_tensor(t, None) for t in (a, b))
    kinds = [t.values.dtype if isinstance(t, SparseTensor) else t.dtype for t in (a, b)]
    if kinds[0] is not kinds[1]:
        raise TypeError(
            f"a and b must have one dtype, got {kinds[0].name} and {kinds[1].name}."
        )
    _check_dtype(kinds[0])
    attrs = {"set_operation": operation, "validate_indices": bool(validate_indices)}
    parts_b = (b.indices, b.values, b.dense_shape) if isinstance(b, SparseTensor) else ()
    if isinstance(a, SparseTensor):
        parts = (a.indices, a.values, a.dense_shape, *parts_b)
        found = SparseToSparseSetOperation(*parts, **attrs)
    elif parts_b:
        found = DenseToSparseSetOperation(a, *parts_b, **attrs)
    else:
        found = DenseToDenseSetOperation(a, b, **attrs)
    return SparseTensor(*found)


def intersection(a: Any, b: Any, validate_indices: bool = True) -> SparseTensor:
    """The elements that the sets of `a` and of `b` share.

    Args:
        a, b: dense or sparse, of one dtype and of one shape but for the last axis.
        validate_indices: check that sparse indices are in range and in row-major order.

    Raises:
        TypeError: dtypes differ, or are not integers or strings.
        InvalidArgumentError: shapes do not fit, or indices are not valid.
    """
    return _operate(a, b, "intersection", validate_indices)


def difference(
    a: Any, b: Any, aminusb: bool = True, validate_indices: bool = True
) -> SparseTensor:
    """The elements of the sets of `a` that those of `b` lack; the reverse unless `aminusb`.
    See `intersection`."""
    return _operate(a, b, "a-b" if aminusb else "b-a", validate_indices)


def union(a: Any, b: Any, validate_indices: bool = True) -> SparseTensor:
    """The elements of the sets of `a` and `b` together; see `intersection`."""
    return _operate(a, b, "union", validate_indices)
