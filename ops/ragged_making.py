"""The ways to make a ragged tensor: from splits, lengths, row ids, starts, limits, and from
plain and sparse tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast, reshape, shape
from .array_gather import gather
from .array_index import getitem
from .array_join import concat, stack
from .composite import Composite
from .convert import to_tensor
from .dtypes import as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .math_ops import maximum, minimum
from .ragged_kernels import LengthsToSplits, PaddedLengths, RowIndices, SplitsOfIds
from .static_args import static_int
from .tensor import Tensor

__all__ = ["RaggedMaking"]


class RaggedMaking(Composite):
    """The ``from_...`` methods of `RaggedTensor`."""

    __slots__ = ()

    @classmethod
    def from_row_splits(
        cls, values: Any, row_splits: Any, name: str | None = None, validate: bool = True
    ) -> Any:
        """Rows ``values[row_splits[i]:row_splits[i + 1]]``.

        Raises:
            InvalidArgumentError: the splits do not start at 0, fall, or do not end at the
                number of values.
        """
        values, splits = ragged_or_tensor(values), splits_vector(row_splits, "row_splits")
        if splits.shape.rank not in (1, None):
            raise ValueError(
                f"Shape {splits.shape} must have rank 1: row_splits must be a vector"
            )
        if splits.shape.rank and splits.shape[0] == 0:
            raise ValueError("row_splits tensor may not be empty.")
        known = constant_value(splits)
        if validate and known is not None:
            _check(
                known[0] == 0,
                "from_row_splits",
                f"row_splits must start with 0, got {known[0]}",
            )
            _check(bool((known[1:] >= known[:-1]).all()), "from_row_splits",
                   f"row_splits must not decrease, got {known.tolist()}")  # fmt: skip
            n = _nvals(values)
            _check(
                n is None or known[-1] == n,
                "from_row_splits",
                f"row_splits must end with the number of values, {n}, got {known[-1]}",
            )
        return cls(values, splits)

    @classmethod
    def from_row_lengths(
        cls, values: Any, row_lengths: Any, name: str | None = None, validate: bool = True
    ) -> Any:
        """Rows of the lengths `row_lengths`."""
        lengths = splits_vector(row_lengths, "row_lengths")
        known = constant_value(lengths)
        if validate and known is not None:
            _check(
                bool((known >= 0).all()),
                "from_row_lengths",
                f"row_lengths must be >= 0, got {known.tolist()}",
            )
        return cls.from_row_splits(values, LengthsToSplits(lengths), validate=validate)

    @classmethod
    def from_value_rowids(
        cls,
        values: Any,
        value_rowids: Any,
        nrows: Any = None,
        name: str | None = None,
        validate: bool = True,
    ) -> Any:
        """Value k belongs to row ``value_rowids[k]``; the row ids must not decrease."""
        values, ids = ragged_or_tensor(values), splits_vector(value_rowids, "value_rowids")
        count = None if nrows is None else static_int(nrows, "from_value_rowids", "nrows")
        known = constant_value(ids)
        if validate and known is not None:
            _check(bool((known[1:] >= known[:-1]).all()), "from_value_rowids",
                   f"value_rowids must not decrease, got {known.tolist()}")  # fmt: skip
            _check(
                not len(known) or known[0] >= 0,
                "from_value_rowids",
                "value_rowids must be >= 0",
            )
            _check(
                not len(known) or count is None or known[-1] < count,
                "from_value_rowids",
                f"value_rowids must be < nrows ({count}), got {known[-1:].tolist()}",
            )
        return cls.from_row_splits(values, SplitsOfIds(ids, nrows=count), validate=validate)

    @classmethod
    def from_row_starts(
        cls, values: Any, row_starts: Any, name: str | None = None, validate: bool = True
    ) -> Any:
        """Row i starts at ``row_starts[i]`` and ends where the next one starts."""
        values, starts = ragged_or_tensor(values), splits_vector(row_starts, "row_starts")
        end = cast(row_count(values), starts.dtype)
        return cls.from_row_splits(values, concat([starts, stack([end])], 0), validate=validate)

    @classmethod
    def from_row_limits(
        cls, values: Any, row_limits: Any, name: str | None = None, validate: bool = True
    ) -> Any:
        """Row i ends before ``row_limits[i]`` and starts where the last one ended."""
        limits = splits_vector(row_limits, "row_limits")
        return cls.from_row_splits(
            values, concat([np.zeros(1, limits.dtype.np_dtype), limits], 0), validate=validate
        )

    @classmethod
    def from_uniform_row_length(
        cls,
        values: Any,
        uniform_row_length: Any,
        nrows: Any = None,
        validate: bool = True,
        name: str | None = None,
    ) -> Any:
        """Rows of one length, kept as a ragged level."""
        values = ragged_or_tensor(values)
        length = static_int(uniform_row_length, "from_uniform_row_length", "uniform_row_length")
        if length < 0:
            raise ValueError(
                f"uniform_row_length must be greater than or equal to 0, got {length}"
            )
        if nrows is not None:
            splits = _scaled(
                np.arange(static_int(nrows, "from_uniform_row_length", "nrows") + 1), length
            )
        else:
            n = _nvals(values)
            if n is None:
                raise ValueError(
                    "from_uniform_row_length needs nrows where the number of values is unknown"
                )
            if length == 0:
                raise ValueError("nrows must be specified when uniform_row_length is 0")
            splits = _scaled(np.arange(n // length + 1), length)
        out = cls.from_row_splits(values, splits, validate=validate)
        out._uniform = length
        return out

    @classmethod
    def from_nested_row_splits(
        cls,
        flat_values: Any,
        nested_row_splits: Any,
        name: str | None = None,
        validate: bool = True,
    ) -> Any:
        """Several ragged levels, the outermost splits first."""
        out = flat_values
        for splits in reversed(list(nested_row_splits)):
            out = cls.from_row_splits(out, splits, validate=validate)
        return out

    @classmethod
    def from_nested_row_lengths(
        cls,
        flat_values: Any,
        nested_row_lengths: Any,
        name: str | None = None,
        validate: bool = True,
    ) -> Any:
        """Several ragged levels, the outermost lengths first."""
        out = flat_values
        for lengths in reversed(list(nested_row_lengths)):
            out = cls.from_row_lengths(out, lengths, validate=validate)
        return out

    @classmethod
    def from_nested_value_rowids(
        cls,
        flat_values: Any,
        nested_value_rowids: Any,
        nested_nrows: Any = None,
        name: str | None = None,
        validate: bool = True,
    ) -> Any:
        """Several ragged levels, the outermost row ids first."""
        ids = list(nested_value_rowids)
        counts = [None] * len(ids) if nested_nrows is None else list(nested_nrows)
        out = flat_values
        for some, count in zip(reversed(ids), reversed(counts), strict=True):
            out = cls.from_value_rowids(out, some, count, validate=validate)
        return out

    @classmethod
    def from_tensor(
        cls,
        tensor: Any,
        lengths: Any = None,
        padding: Any = None,
        ragged_rank: int = 1,
        name: str | None = None,
        row_splits_dtype: Any = dtypes.int64,
    ) -> Any:
        """A plain tensor as a ragged one.

        Args:
            tensor: at least ``ragged_rank + 1`` axes.
            lengths: length of each row; all of it by default.
            padding: instead of `lengths`, a value whose runs at the ends of rows are cut off.
            ragged_rank: number of ragged levels.
            name: ignored.
            row_splits_dtype: int64 or int32.
        """
        tensor = to_tensor(tensor, None)
        kind = as_dtype(row_splits_dtype)
        if lengths is not None and padding is not None:
            raise ValueError("Specify argument `lengths` or `padding`, but not both.")
        dims = tensor.shape
        if (
            dims.rank is None
            or dims.rank <= ragged_rank
            or ragged_rank < 1
            or None in dims[: ragged_rank + 1].dims
        ):
            raise ValueError(
                "from_tensor: needs known sizes and ragged_rank in [1, rank), got shape "
                f"{dims}, ragged_rank={ragged_rank}"
            )
        if isinstance(lengths, (list, tuple)) and lengths and not np.isscalar(lengths[0]):
            if ragged_rank not in (1, len(lengths)):
                raise ValueError(
                    f"from_tensor: ragged_rank must be the number of length vectors, "
                    f"{len(lengths)}, got {ragged_rank}"
                )
            if len(lengths) > 1:
                outer = splits_vector(lengths[0], "lengths")
                inner = reshape(tensor, [dims[0] * dims[1], *dims.dims[2:]])
                kept = gather(inner, row_places(dims[0], dims[1], outer)[0])
                deeper = lengths[1:] if len(lengths) > 2 else lengths[1]
                return cls.from_row_lengths(
                    cls.from_tensor(kept, deeper, row_splits_dtype=kind), cast(outer, kind)
                )
            lengths = lengths[0]
        if ragged_rank > 1:
            inner = reshape(tensor, [dims[0] * dims[1], *dims.dims[2:]])
            rest = cls.from_tensor(
                inner, lengths, padding, ragged_rank - 1, row_splits_dtype=kind
            )
            return cls(
                rest,
                to_tensor(_scaled(np.arange(dims[0] + 1), dims[1]).astype(kind.np_dtype), None),
                dims[1],
            )
        rows, width = dims[0], dims[1]
        flat = reshape(tensor, [rows * width, *dims.dims[2:]])
        if padding is not None:
            lengths = PaddedLengths(tensor, to_tensor(padding, tensor.dtype))
        if lengths is None:
            splits = to_tensor(_scaled(np.arange(rows + 1), width).astype(kind.np_dtype), None)
            return cls(flat, splits, width)
        places, splits = row_places(rows, width, splits_vector(lengths, "lengths"))
        return cls(gather(flat, places), cast(splits, kind))

    @classmethod
    def from_sparse(
        cls, st_input: Any, name: str | None = None, row_splits_dtype: Any = dtypes.int64
    ) -> Any:
        """A matrix-shaped sparse tensor whose rows have no gaps, as a ragged one."""
        rows, columns = (
            getitem(st_input.indices, (slice(None), 0)),
            getitem(st_input.indices, (slice(None), 1)),
        )
        count = constant_value(st_input.dense_shape)
        n = None if count is None else int(count[0])
        splits = SplitsOfIds(rows, nrows=n)
        known = constant_value(columns)
        if known is not None:
            own = constant_value(splits)
            want = np.arange(len(known)) - np.repeat(own[:-1], np.diff(own))
            _check(
                bool((known == want).all()), "from_sparse", "SparseTensor is not right-ragged"
            )
        return cls(st_input.values, cast(splits, as_dtype(row_splits_dtype)))


def ragged_or_tensor(value: Any) -> Any:
    return value if isinstance(value, RaggedMaking) else to_tensor(value, None)


def splits_vector(value: Any, what: str) -> Tensor:
    """A vector of splits, lengths...: int64 unless given as int32."""
    if not isinstance(value, Tensor):
        given = to_tensor(value, None) if _holds_tensor(value) else None
        if given is None:
            array = np.asarray(value)
            if array.dtype != np.int32:
                array = (
                    array.astype(np.int64)
                    if array.size == 0 or array.dtype.kind in "iu"
                    else array
                )
            given = to_tensor(array, None)
        value = given
    if value.dtype not in (dtypes.int32, dtypes.int64):
        raise ValueError(f"{what} must have dtype int32 or int64, got {value.dtype.name}")
    return value


def _holds_tensor(value: Any) -> bool:
    return getattr(value, "_is_headrace_value", False) or (
        isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value)
    )


def _check(ok: Any, method: str, text: str) -> None:
    if not ok:
        raise InvalidArgumentError(
            f"Arguments to {method} do not form a valid RaggedTensor: {text}", op=method
        )


def _nvals(values: Any) -> int | None:
    shape = values.shape
    if shape.rank == 0:
        raise ValueError("RaggedTensor: values must have at least one axis, got a scalar")
    return shape[0] if shape.rank else None


def row_count(values: Any) -> Tensor:
    return (
        values.nrows() if isinstance(values, RaggedMaking) else shape(values, dtypes.int64)[0]
    )


def _scaled(steps: np.ndarray, by: int) -> np.ndarray:
    return (steps * by).astype(np.int64)


def row_places(rows: int, width: int, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Places of the first ``lengths[i]`` of `width` values of each row, and their splits."""
    starts = to_tensor((np.arange(rows) * width).astype(lengths.dtype.np_dtype), None)
    return RowIndices(starts, starts + maximum(minimum(lengths, width), 0))
