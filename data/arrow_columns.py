"""Arrow arrays to columns, by the table of `arrow_specs`.

Functions here see one record batch at a time and keep nothing; memory is shared where layouts
allow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from ..ops import nest
from ..ops.errors import InvalidArgumentError
from ..ops.ragged_tensor import RaggedTensor
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from .arrow_specs import PLAIN, is_list, is_string
from .columns import ListColumn, RaggedColumn

__all__ = ["NullError", "Nulls", "columns_from_batch", "from_arrow"]

_EMPTY = np.empty(0, np.uint8)


class NullError(InvalidArgumentError):
    """A value is null where nulls are errors.

    Attributes:
        column: its column.
        row: its row in the batch.
    """

    def __init__(self, column: str, row: int, where: str = ""):
        super().__init__(
            f"column {column!r} is null in row {row}{where}; pass nulls='zero', or "
            f"nulls={{{column!r}: value}} to put a value there"
        )
        self.column = column
        self.row = row


class Nulls:
    """What becomes of nulls.

    Args:
        rule: "error", "zero", or a dict from column names to these or to fill values.

    Raises:
        ValueError: `rule` is something else.
    """

    def __init__(self, rule: Any = "error"):
        if not isinstance(rule, Mapping) and rule not in ("error", "zero"):
            raise ValueError(
                "nulls must be 'error', 'zero' or a dict from column names to these or to fill "
                f"values, got {rule!r}"
            )
        self.rule = rule

    def of(self, column: str) -> Any:
        """The rule for one column: "error", "zero" or a fill value."""
        if isinstance(self.rule, Mapping):
            return self.rule.get(column, "error")
        return self.rule

    def check(self, columns: Sequence[str]) -> None:
        """Raise ValueError if the rule names a column there is not."""
        if isinstance(self.rule, Mapping):
            top = {str(c).split(".")[0] for c in self.rule}
            if unknown := sorted(top - set(columns)):
                raise ValueError(
                    f"nulls names columns {unknown}, but the columns are {list(columns)}"
                )


def columns_from_batch(batch: Any, nulls: Nulls) -> list[Any]:
    """The columns of a RecordBatch in the flat order of `element_spec`.

    Raises:
        NullError: a value is null where that is an error.
    """
    names, arrays = batch.schema.names, batch.columns
    found = [from_arrow(a, nulls, n) for n, a in zip(names, arrays, strict=True)]
    if any(type(column) is dict for column in found):
        return nest.flatten(dict(zip(names, found, strict=True)))
    return [found[k] for k in sorted(range(len(names)), key=names.__getitem__)]


def from_arrow(array: Any, nulls: Nulls, name: str) -> Any:
    """A pyarrow Array as a column, or nested dict of columns for structs.

    Args:
        array: the values.
        nulls: what becomes of nulls.
        name: of the column, for messages and `nulls`.

    Raises:
        NullError: a value is null where that is an error.
    """
    column = _convert(array, nulls, name)
    if type(column) is not dict:
        return column.rows() if type(column) is _Nested else column
    return nest.map_structure(lambda c: c.rows() if type(c) is _Nested else c, column)


def _convert(array: Any, nulls: Nulls, name: str, row_of: Any = None) -> Any:
    """`from_arrow` before nested lists are put together.

    `row_of` tells the batch's row of a position in `array`; None where they are the same.
    """
    return _converter(array.type)(array, nulls, name, row_of)


@functools.lru_cache(maxsize=256)
def _converter(kind: Any) -> Callable[..., Any]:
    """What converts arrays of an Arrow type."""
    import pyarrow as pa

    t = pa.types
    if t.is_primitive(kind):
        return _numbers
    if is_string(kind):
        return _strings
    if isinstance(kind, pa.FixedShapeTensorType):
        return _fixed_tensors
    if isinstance(kind, pa.BaseExtensionType):
        return lambda array, *rest: _convert(array.storage, *rest)
    if t.is_dictionary(kind):
        return _dictionary
    if t.is_run_end_encoded(kind):
        return _run_ends
    if t.is_struct(kind):
        return _struct
    if t.is_map(kind) or is_list(kind):
        return _lists
    return _fixed_lists if t.is_fixed_size_list(kind) else _numbers


def _run_ends(array: Any, nulls: Nulls, name: str, row_of: Any) -> Any:
    from pyarrow import compute

    return _convert(compute.run_end_decode(array), nulls, name, row_of)


def _mask(array: Any) -> np.ndarray:
    """Where `array` is null."""
    return array.is_null().to_numpy(zero_copy_only=False)


def _refuse(array: Any, name: str, row_of: Any) -> NoReturn:
    position = int(np.argmax(_mask(array)))
    row = position if row_of is None else int(row_of(position))
    raise NullError(name, row)


def _numbers(array: Any, nulls: Nulls, name: str, row_of: Any) -> np.ndarray:
    kind = array.type
    mask = None
    rule: Any = None
    if array.null_count:
        rule = nulls.of(name)
        if isinstance(rule, str) and rule == "error":
            _refuse(array, name, row_of)
        mask = _mask(array)
    if str(kind) not in PLAIN:
        array = _as_plain(array)
    if mask is None:
        return array.to_numpy(zero_copy_only=False)
    dtype = array.type.to_pandas_dtype()
    fill = 0 if isinstance(rule, str) and rule == "zero" else rule
    try:
        cast = np.asarray(fill).astype(dtype)
        if not (cast == fill or (fill != fill and cast != cast)):
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            f"nulls[{name!r}] must be 'error', 'zero' or a value of {np.dtype(dtype).name}, "
            f"got {rule!r}"
        ) from None
    # Not Arrow's fill_null: it would need the fill as a scalar of the exact type.
    values = _raw_numbers(array, np.dtype(dtype))
    out = np.array(values)
    out[mask] = cast
    return out


def _as_plain(array: Any) -> Any:
    """Times as int64, decimals as float64."""
    import pyarrow as pa

    t, kind = pa.types, array.type
    if t.is_decimal(kind):
        return array.cast(pa.float64())
    if t.is_date32(kind) or t.is_time32(kind):
        return array.view(pa.int32()).cast(pa.int64())
    return array.view(pa.int64())


def _raw_numbers(array: Any, dtype: np.dtype) -> np.ndarray:
    """The values, whatever stands in the places of nulls."""
    if dtype.kind == "b":
        bits = np.frombuffer(array.buffers()[1], np.uint8)
        flat = np.unpackbits(bits, bitorder="little")
        return flat[array.offset : array.offset + len(array)].astype(bool)
    data = array.buffers()[1]
    return np.frombuffer(data, dtype)[array.offset : array.offset + len(array)]


def _strings(array: Any, nulls: Nulls, name: str, row_of: Any) -> StringArray:
    import pyarrow as pa

    t, kind = pa.types, array.type
    if t.is_string_view(kind) or t.is_binary_view(kind):
        array = array.cast(pa.large_binary())
    if t.is_fixed_size_binary(kind):
        width = kind.byte_width
        data = array.buffers()[1]
        ends = np.arange(array.offset + 1, array.offset + len(array) + 1, dtype=np.int64)
        raw = np.frombuffer(data, np.uint8) if data is not None else _EMPTY
        out = StringArray(raw, (ends - 1) * width, ends * width)
    else:
        out = StringArray.from_arrow(array)
    if not array.null_count:
        return out
    rule = nulls.of(name)
    if isinstance(rule, str) and rule == "error":
        _refuse(array, name, row_of)
    fill = b"" if isinstance(rule, str) and rule == "zero" else rule
    if isinstance(fill, str):
        fill = fill.encode()
    if not isinstance(fill, bytes):
        raise ValueError(
            f"nulls[{name!r}] must be 'error', 'zero', or str or bytes, got {rule!r}"
        )
    mask, starts, ends = _mask(array), out.starts.copy(), out.ends.copy()
    data = out.data
    if fill:
        data = np.concatenate([data, np.frombuffer(fill, np.uint8)])
    starts[mask], ends[mask] = len(data) - len(fill), len(data)
    return StringArray(data, starts, ends)


def _dictionary(array: Any, nulls: Nulls, name: str, row_of: Any) -> Any:
    if array.null_count or array.dictionary.null_count or not len(array.dictionary):
        import pyarrow as pa

        if pa.types.is_dictionary(array.type.value_type):
            raise TypeError(f"column {name!r} has a dictionary of dictionaries")
        decoded = array.cast(array.type.value_type)
        return _convert(decoded, nulls, name, row_of)
    values = _convert(array.dictionary, nulls, name)
    codes = array.indices.to_numpy(zero_copy_only=False)
    return nest.map_structure(lambda column: column[codes], values)


def _struct(array: Any, nulls: Nulls, name: str, row_of: Any) -> Any:
    import pyarrow as pa

    kind = array.type
    if array.null_count:
        rule = nulls.of(name)
        if not isinstance(rule, str) or rule != "zero":
            _refuse(array, name, row_of)
        fields = array.flatten()  # nulls of the struct become nulls of its fields
        inner = Nulls("zero")
        mask = _mask(array)
        for field, part in zip(kind, fields, strict=True):
            own = f"{name}.{field.name}"
            bad = _mask(part) & ~mask
            if nulls.of(own) == "error" and isinstance(nulls.rule, Mapping) and bad.any():
                _refuse(pa.array([None if one else 1 for one in bad.tolist()]), own, row_of)
    else:
        fields, inner = array.flatten(), nulls
    return {
        field.name: _convert(part, inner, f"{name}.{field.name}", row_of)
        for field, part in zip(kind, fields, strict=True)
    }


def _lists(array: Any, nulls: Nulls, name: str, row_of: Any) -> Any:
    import pyarrow as pa
    from pyarrow import compute

    if array.null_count:
        rule = nulls.of(name)
        if not isinstance(rule, str) or rule == "error":
            _refuse(array, name, row_of)
    splits = np.zeros(len(array) + 1, np.int64)
    if pa.types.is_map(array.type):  # no value lengths; flatten() is none of a map's
        offsets = np.asarray(array.offsets).astype(np.int64)
        lengths = np.diff(offsets)
        keys, items = (v[int(offsets[0]) : int(offsets[-1])] for v in (array.keys, array.items))
        if array.null_count:
            lengths[_mask(array)] = 0
        values = pa.StructArray.from_arrays([keys, items], ["key", "value"])
    else:
        sizes = compute.list_value_length(array)
        lengths = (sizes.fill_null(0) if array.null_count else sizes).to_numpy()
        values = array.flatten()
    np.cumsum(lengths, out=splits[1:])

    def list_of(position: int) -> int:
        row = int(np.searchsorted(splits, position, "right")) - 1
        return row if row_of is None else row_of(row)

    inner = _convert(values, nulls, name, list_of)
    return nest.map_structure(lambda column: _behind_axis(column, splits), inner)


class _Nested:
    """Lists of lists before they are tensors: `splits` of all levels, the outermost first."""

    def __init__(self, values: Any, splits: list[np.ndarray]):
        self.values = values
        self.splits = splits

    def rows(self) -> ListColumn:
        """A ragged tensor per row."""
        items = []
        for row in range(len(self.splits[0]) - 1):
            low, high, nested = row, row + 1, []
            for splits in self.splits:
                part = splits[low : high + 1]
                nested.append(Tensor.of(part - part[0]))
                low, high = int(part[0]), int(part[-1])
            flat = Tensor.of(self.values[low:high])
            # The first level is the row itself.
            items.append(RaggedTensor.from_nested_row_splits(flat, nested[1:], validate=False))
        return ListColumn(items)


def _behind_axis(column: Any, splits: np.ndarray) -> Any:
    """Rows ``column[splits[i]:splits[i + 1]]``."""
    if isinstance(column, RaggedColumn):
        return _Nested(column.values, [splits, column.splits])
    if isinstance(column, _Nested):
        return _Nested(column.values, [splits, *column.splits])
    return RaggedColumn(column, splits)


def _fixed_lists(array: Any, nulls: Nulls, name: str, row_of: Any) -> Any:
    size, n = array.type.list_size, len(array)
    start = array.offset * size
    # Not flatten(): it leaves out what stands behind nulls.
    values = array.values[start : start + n * size]

    def list_of(position: int) -> int:
        row = position // max(size, 1)
        return row if row_of is None else row_of(row)

    mask = None
    if array.null_count:
        rule = nulls.of(name)
        if not isinstance(rule, str) or rule == "error":
            _refuse(array, name, row_of)
        mask, nulls = _mask(array), Nulls("zero")
    inner = _convert(values, nulls, name, list_of)
    return nest.map_structure(lambda column: _in_axes(column, (n, size), mask), inner)


def _in_axes(column: Any, axes: tuple[int, ...], mask: np.ndarray | None) -> Any:
    out = column.reshape((*axes, *column.shape[1:]))
    if mask is None:
        return out
    if isinstance(out, StringArray):
        starts, ends = out.starts.copy(), out.ends.copy()
        starts[mask] = ends[mask] = 0
        return StringArray(out.data, starts, ends)
    out = np.array(out)
    out[mask] = 0
    return out


def _fixed_tensors(array: Any, nulls: Nulls, name: str, row_of: Any) -> np.ndarray:
    kind = array.type
    flat: Any = _fixed_lists(array.storage, nulls, name, row_of)
    out: np.ndarray = flat.reshape((len(array), *kind.shape))
    if kind.permutation is not None:
        out = out.transpose(0, *(k + 1 for k in kind.permutation))
    return out
