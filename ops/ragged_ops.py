"""The operations of `hr.ragged`."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast, reshape
from .array_gather import boolean_mask as dense_mask, where
from .array_index import getitem
from .array_join import concat as dense_concat, stack as dense_stack
from .convert import to_tensor
from .dtypes import as_dtype
from .ragged_kernels import MaskedLengths, RaggedRange, RowIds, SplitsOfIds
from .ragged_making import ragged_or_tensor, row_count, splits_vector
from .ragged_more import cross, cross_hashed, stack_dynamic_partitions
from .ragged_tensor import RaggedTensor, RaggedTensorSpec, map_flat_values
from .static_args import static_int
from .string_array import StringArray
from .tensor import Tensor

__all__ = [
    "RaggedTensor", "RaggedTensorSpec", "boolean_mask", "constant", "cross", "cross_hashed",
    "map_flat_values", "range", "row_splits_to_segment_ids", "segment_ids_to_row_splits",
    "stack", "stack_dynamic_partitions",
]  # fmt: skip

_range = range


def constant(
    pylist: Any, dtype: Any = None, ragged_rank: int | None = None, inner_shape: Any = None,
    name: str | None = None, row_splits_dtype: Any = dtypes.int64,
) -> Any:  # fmt: skip
    """Nested lists of different lengths as a ragged tensor.

    Args:
        pylist: nested lists.
        dtype: of the elements.
        ragged_rank: number of ragged levels; all but the innermost by default.
        inner_shape: shape of each element of the flat values.
        name: ignored.
        row_splits_dtype: int64 or int32.

    >>> constant([[1, 2], [3]]).row_splits.numpy().tolist()
    [0, 2, 3]

    Raises:
        ValueError: lists and elements stand at the same depth, or the arguments do not fit.
    """
    pylist = _plain(pylist)
    scalar_depth, depth = _depths(pylist)
    if scalar_depth is not None and depth > scalar_depth:
        raise ValueError(
            f"Invalid pylist={pylist}: empty list nesting is greater than scalar value nesting."
        )
    inner = () if inner_shape is None else tuple(int(d) for d in np.atleast_1d(inner_shape))
    if inner_shape is not None and ragged_rank is None:
        ragged_rank = max(0, depth - 1 - len(inner))
    elif ragged_rank is None:
        ragged_rank = max(0, depth - 1)
    if depth == 0:
        if ragged_rank:
            raise ValueError(
                f"Invalid pylist={pylist}: incompatible with ragged_rank={ragged_rank}"
            )
        return to_tensor(pylist, None if dtype is None else as_dtype(dtype))
    if ragged_rank and ragged_rank >= depth:
        raise ValueError(
            f"Invalid pylist={pylist}: incompatible with ragged_rank={ragged_rank}"
        )
    all_splits = []
    flat = pylist
    for _ in _range(ragged_rank):
        lengths = []
        nested: list[Any] = []
        for row in flat:
            if not isinstance(row, (list, tuple)):
                raise ValueError("All scalar values must have the same nesting depth")
            lengths.append(len(row))
            nested.extend(row)
        all_splits.append(
            np.concatenate([[0], np.cumsum(lengths)]).astype(
                as_dtype(row_splits_dtype).np_dtype
            )
        )
        flat = nested
    want = None if dtype is None else as_dtype(dtype)
    if not flat:
        rest = inner or (0,) * 0
        empty: Any = StringArray.empty((0, *rest)) if want is dtypes.string else np.zeros(
            (0, *rest), (want or dtypes.float32).np_dtype)  # fmt: skip
        values = Tensor.of(empty)
    else:
        values = to_tensor(list(flat), want)
        if inner_shape is not None:
            values = reshape(values, (-1, *inner))
    out: Any = values
    for splits in reversed(all_splits):
        out = RaggedTensor(out, Tensor.of(splits))
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _depths(value: Any) -> tuple[int | None, int]:
    """Depth of the scalars (None where there are none) and of the deepest list."""
    if not isinstance(value, list):
        return 0, 0
    scalar: int | None = None
    deepest = 1
    for item in value:
        s, d = _depths(item)
        if s is not None:
            if scalar is not None and scalar != s + 1:
                raise ValueError("All scalar values must have the same nesting depth")
            scalar = s + 1
        deepest = max(deepest, d + 1)
    return scalar, deepest


def range(
    starts: Any,
    limits: Any = None,
    deltas: Any = 1,
    dtype: Any = None,
    name: str | None = None,
    row_splits_dtype: Any = dtypes.int64,
) -> RaggedTensor:
    """Row i counts from ``starts[i]`` to ``limits[i]`` in steps of ``deltas[i]``."""
    if limits is None:
        starts, limits = 0, starts
    limits = to_tensor(limits, None if dtype is None else as_dtype(dtype))
    starts = (
        cast(starts, limits.dtype) if not isinstance(starts, float) else to_tensor(starts, None)
    )
    values, splits = RaggedRange(starts, cast(limits, starts.dtype), cast(deltas, starts.dtype))
    return RaggedTensor(values, cast(splits, row_splits_dtype))


def row_splits_to_segment_ids(
    splits: Any, name: str | None = None, out_type: Any = None
) -> Tensor:
    """The row of each value, from row splits."""
    out = RowIds(splits_vector(splits, "splits"))
    return out if out_type is None else cast(out, out_type)


def segment_ids_to_row_splits(segment_ids: Any, num_segments: Any = None, out_type: Any = None,
                              name: str | None = None) -> Tensor:  # fmt: skip
    """Row splits from the row of each value."""
    count = (
        None
        if num_segments is None
        else static_int(num_segments, "segment_ids_to_row_splits", "num_segments")
    )
    out = SplitsOfIds(splits_vector(segment_ids, "segment_ids"), nrows=count)
    return out if out_type is None else cast(out, out_type)


def boolean_mask(data: Any, mask: Any, name: str | None = None) -> RaggedTensor:
    """`data` (ragged, or plain with a mask of at least two axes) where `mask` is True, with the
    rows kept.

    Raises:
        InvalidArgumentError: rows of `data` and `mask` have different lengths.
    """
    if not isinstance(mask, RaggedTensor):
        mask = ragged_or_tensor(
            mask if not isinstance(mask, (list, tuple)) else constant(mask, dtypes.bool)
        )
    if not isinstance(mask, RaggedTensor):
        if mask.shape.rank == 1:
            return data._gather(getitem(where(mask), (slice(None), 0)), 0, 0) if isinstance(
                data, RaggedTensor) else dense_mask(data, mask)  # fmt: skip
        mask = RaggedTensor.from_tensor(mask, ragged_rank=mask.shape.rank - 1)
    if not isinstance(data, RaggedTensor):
        data = ragged_or_tensor(data if not isinstance(data, (list, tuple)) else constant(data))
        if not isinstance(data, RaggedTensor):
            data = RaggedTensor.from_tensor(data, ragged_rank=mask.ragged_rank)
    inner = (
        boolean_mask(data.values, mask.values)
        if isinstance(mask.values, RaggedTensor)
        else None
    )
    if inner is not None:
        return data.with_values(inner)
    lengths = MaskedLengths(mask.values, mask.row_splits)
    kept = (
        data.values._gather(getitem(where(mask.values), (slice(None), 0)), 0, 0)
        if isinstance(data.values, RaggedTensor)
        else dense_mask(data.values, mask.values)
    )
    return RaggedTensor.from_row_lengths(
        kept, cast(lengths, data.row_splits.dtype), validate=False
    )


def stack(values: Any, axis: int = 0, name: str | None = None) -> RaggedTensor:
    """Tensors, plain or ragged, of any sizes as the rows of one more ragged level.

    Raises:
        ValueError: `axis` is not 0.
    """
    parts = [v if isinstance(v, RaggedTensor) else to_tensor(v, None) for v in values]
    if axis != 0:
        raise ValueError(f"hr.ragged.stack: only axis=0 is supported, got {axis}")
    if not any(isinstance(p, RaggedTensor) for p in parts):
        if parts[0].shape.rank == 0:
            return dense_stack(parts)
        if parts[0].shape.rank == 1:
            return RaggedTensor.from_row_lengths(
                dense_concat(parts, 0), [row_count(p) for p in parts]
            )
        parts[0] = RaggedTensor.from_tensor(parts[0])
    first = next(p for p in parts if isinstance(p, RaggedTensor))
    return first._stack(parts, 0)
