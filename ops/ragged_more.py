"""Crosses of features, sparse, ragged and dense, and stack_dynamic_partitions.

A cross takes one value of each input for every combination within a row.  All rows are crossed
at once: the number of a combination within its row gives, by division, the value of each input.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import reshape
from .array_gather import gather
from .array_index import getitem
from .array_sort import argsort
from .convert import to_tensor
from .lookup_fingerprint import fingerprint64
from .primitive import Primitive
from .ragged_tensor import RaggedTensor
from .sparse_tensor import SparseTensor
from .string_array import StringArray
from .string_pieces import joined_runs, runs
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["cross", "cross_hashed", "sparse_cross", "sparse_cross_hashed",
           "stack_dynamic_partitions"]  # fmt: skip

_HASH_KEY = 0xDECAFCAFFE
_MIX = np.uint64(0xC6A4A7935BD1E995)
_SHIFT = np.uint64(47)


def _shift_mix(v: Any) -> Any:
    return v ^ (v >> _SHIFT)


def _chained(first: Any, second: Any) -> Any:
    """The fingerprint of two fingerprints, in this order (FarmHash's mixing)."""
    mixed = (first ^ _MIX) ^ (_shift_mix(second * _MIX) * _MIX)
    return _shift_mix(_shift_mix(mixed * _MIX) * _MIX)


def _combinations(splits: list[Any]) -> tuple[Any, list[Any]]:
    """Row lengths of the cross, and for each input the places of its values in it."""
    lengths = [np.diff(s).astype(np.int64) for s in splits]
    total = np.prod(lengths, axis=0)
    row = np.repeat(np.arange(len(total)), total)
    number, places = runs(total), []
    for length, split in zip(reversed(lengths), reversed(splits), strict=True):
        size = np.maximum(length[row], 1)
        places.append(split[row].astype(np.int64) + number % size)
        number = number // size
    return total, places[::-1]


def _text(values: Any) -> StringArray:
    if isinstance(values, StringArray):
        return values
    return StringArray.from_values(np.array([*map(str, values.tolist()), None], object)[:-1])


def _cross_impl(
    *parts: Any, count: int, hashed: bool, num_buckets: int, hash_key: int, separator: str
) -> Any:
    values, splits = list(parts[:count]), list(parts[count:])
    total, places = _combinations(splits)
    if hashed:
        out = np.full(int(total.sum()), np.uint64(hash_key))
        for v, at in zip(values, places, strict=True):
            # Integers are their own fingerprints.
            marks = fingerprint64(v) if isinstance(v, StringArray) else v.astype(np.int64)
            out = _chained(out, marks.view(np.uint64)[at])
        top = np.uint64(num_buckets if num_buckets > 0 else 2**63 - 1)
        found: Any = (out % top).astype(np.int64)
    else:
        texts = [_text(v) for v in values]
        starts = np.cumsum([0, *(t.size for t in texts)])
        pool = StringArray.concatenate(texts)
        order = np.stack([at + s for at, s in zip(places, starts, strict=False)], 1)
        each = np.full(len(order), count)
        found = joined_runs(pool, order.reshape(-1), each, separator.encode("utf-8"))
    return found, np.concatenate([[0], np.cumsum(total)]).astype(np.int64)


_Cross = Primitive(
    "_FeatureCross",
    "parts: N * T",
    impl=_cross_impl,
    shape=lambda *parts, hashed, **_: (
        TensorSpec([None], dtypes.int64 if hashed else dtypes.string),
        TensorSpec([None], dtypes.int64),
    ),
    vjp=lambda op, *gs: (None,) * len(op.inputs),
)


def _rows_of(value: Any) -> tuple[Tensor, Tensor]:
    """The values of an input's rows, one after the other, and the rows' splits."""
    if isinstance(value, SparseTensor):
        rows = RaggedTensor.from_value_rowids(
            value.values, getitem(value.indices, (slice(None), 0)),
            nrows=getitem(value.dense_shape, 0), validate=False,
        )  # fmt: skip
        return rows.values, rows.row_splits
    if isinstance(value, RaggedTensor):
        if isinstance(value.values, RaggedTensor):
            raise ValueError("ragged.cross takes inputs of two axes, got more ragged ones.")
        return value.values, value.row_splits
    x = to_tensor(value, None)
    if x.shape.rank not in (2, None):
        raise ValueError(f"cross takes inputs of two axes, got shape {x.shape}")
    rows = RaggedTensor.from_tensor(x)
    return rows.values, rows.row_splits


def _crossed(
    inputs: Any, hashed: bool, num_buckets: int = 0, hash_key: int | None = None,
    separator: str = "_X_",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if not isinstance(inputs, (list, tuple)):
        raise TypeError(f"Inputs must be a list, got {type(inputs).__name__}")
    pairs = [_rows_of(v) for v in inputs]
    for values, _ in pairs:
        if values.dtype is not dtypes.string and not values.dtype.is_integer:
            raise ValueError(f"cross takes integers and strings, got {values.dtype.name}")
    return _Cross.call_flat(
        (*(v for v, _ in pairs), *(s for _, s in pairs)),
        {
            "count": len(pairs), "hashed": hashed, "num_buckets": int(num_buckets),
            "hash_key": _HASH_KEY if hash_key is None else int(hash_key),
            "separator": separator,
        },
    )  # fmt: skip


def cross(inputs: Any, name: str | None = None) -> RaggedTensor:
    """The combinations of the inputs' values in each row, as strings joined by ``_X_``.

    Args:
        inputs: tensors of integers or strings, [rows, any]: ragged, sparse or plain.
        name: ignored.
    """
    return RaggedTensor.from_row_splits(*_crossed(inputs, False), validate=False)


def cross_hashed(
    inputs: Any, num_buckets: int = 0, hash_key: int | None = None, name: str | None = None
) -> RaggedTensor:
    """`cross` as int64 fingerprints, modulo `num_buckets` where that is not 0."""
    found = _crossed(inputs, True, num_buckets, hash_key)
    return RaggedTensor.from_row_splits(*found, validate=False)


def _sparse_first(inputs: Any) -> Any:
    """As in TensorFlow plain inputs come behind sparse ones."""
    if not isinstance(inputs, (list, tuple)):
        return inputs
    return sorted(inputs, key=lambda v: not isinstance(v, SparseTensor))


def sparse_cross(
    inputs: Any, name: str | None = None, separator: str | None = None
) -> SparseTensor:
    """The combinations of the inputs' values in each row, as strings joined by `separator`
    (``_X_`` by default).

    Args:
        inputs: tensors of integers or strings, [rows, any], sparse or plain.
        name: ignored.
        separator: put between the values.
    """
    text = "_X_" if separator is None else separator
    out = _crossed(_sparse_first(inputs), False, separator=text)
    return RaggedTensor.from_row_splits(*out, validate=False).to_sparse()


def sparse_cross_hashed(
    inputs: Any, num_buckets: int = 0, hash_key: int | None = None, name: str | None = None
) -> SparseTensor:
    """`cross` as int64 fingerprints, modulo `num_buckets` where that is not 0."""
    return cross_hashed(_sparse_first(inputs), num_buckets, hash_key).to_sparse()


def stack_dynamic_partitions(
    data: Any, partitions: Any, num_partitions: Any, name: str | None = None
) -> RaggedTensor:
    """Row i holds the parts of `data` whose partition is i, in order.

    Args:
        data: plain or ragged, [*partitions.shape, ...].
        partitions: integers in [0, num_partitions).
        num_partitions: the number of rows.
        name: ignored.
    """
    if isinstance(partitions, RaggedTensor):
        return stack_dynamic_partitions(
            data.flat_values, partitions.flat_values, num_partitions
        )
    ids = to_tensor(partitions, None)
    values = data if isinstance(data, RaggedTensor) else to_tensor(data, None)
    if ids.shape.rank != 1:
        rest = values.shape.as_list()[ids.shape.rank :]
        values, ids = reshape(values, [-1, *rest]), reshape(ids, [-1])
    order = argsort(ids, stable=True)
    return RaggedTensor.from_value_rowids(
        gather(values, order), gather(ids, order), nrows=num_partitions, validate=True
    )
