"""TextFileInitializer: a lookup table filled from the lines of a text file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.dtypes import DType, as_dtype
from ..ops.errors import InvalidArgumentError
from ..ops.lookup_initializers import TableInitializerBase
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from .text_lines import LineReader

__all__ = ["TextFileIndex", "TextFileInitializer"]


class TextFileIndex:
    """What of a line is the key or the value, besides a column's number (0 and up).

    Attributes:
        WHOLE_LINE: the line, a string or an integer.
        LINE_NUMBER: its number, counted from 0, an int64.
    """

    WHOLE_LINE = -2
    LINE_NUMBER = -1


class TextFileInitializer(TableInitializerBase):
    r"""Fills a table from a text file, one entry per line.

    Args:
        filename: path or URL of the file.
        key_dtype: dtype of the keys.
        key_index: column of the keys, or one of `TextFileIndex`.
        value_dtype: dtype of the values.
        value_index: column of the values, or one of `TextFileIndex`.
        vocab_size: lines to use; None for all.
        delimiter: between columns, one character.
        name: ignored.
        value_index_offset: added to values that are line numbers.

    Raises:
        ValueError: an argument is out of range, or a dtype does not go with its index.

    When a table is made of it:

    Raises:
        NotFoundError: there is no such file.
        InvalidArgumentError: a line is empty, has too few columns or no number where one
            should be; the message names the file and the line.
    """

    def __init__(
        self,
        filename: Any,
        key_dtype: Any,
        key_index: int,
        value_dtype: Any,
        value_index: int,
        vocab_size: int | None = None,
        delimiter: str = "\t",
        name: str | None = None,
        value_index_offset: int = 0,
    ):
        if not isinstance(filename, Tensor) and not filename:
            raise ValueError(
                "`filename` argument required for hr.lookup.TextFileInitializer, got "
                f"{filename!r}"
            )
        super().__init__(key_dtype, value_dtype)
        _check_column("key", key_index, self._key_dtype)
        _check_column("value", value_index, self._value_dtype)
        if vocab_size is not None and vocab_size <= 0:
            raise ValueError(f"`vocab_size` should be > 0, received: {vocab_size}")
        if isinstance(filename, Tensor):
            filename = filename.numpy()
        self._path = os.fsdecode(filename)
        self._key_index, self._value_index = key_index, value_index
        self._vocab_size = vocab_size
        self._delimiter = delimiter
        self._offset = value_index_offset

    def _arrays(self) -> tuple[Any, Any]:
        lines = self._lines()
        keys = self._column(lines, self._key_index, self._key_dtype)
        values = self._column(lines, self._value_index, self._value_dtype)
        if self._value_index == TextFileIndex.LINE_NUMBER:
            values = values + self._offset
        return keys, values

    def _lines(self) -> StringArray:
        chunks: list[StringArray] = []
        wanted, count = self._vocab_size, 0
        with LineReader(self._path) as reader:
            while wanted is None or count < wanted:
                chunk = reader.read_chunk(None if wanted is None else wanted - count)
                if chunk is None:
                    break
                chunks.append(chunk)
                count += len(chunk)
        if wanted is not None and count < wanted:
            raise InvalidArgumentError(
                f"Invalid vocab_size in {self._path}: expected {wanted} but got {count}"
            )
        lines = StringArray.concatenate(chunks) if chunks else StringArray.empty(0)
        empty = np.flatnonzero(lines.lengths == 0)
        if empty.size:
            raise InvalidArgumentError(
                f"Invalid content in {self._path}: empty line found at line {empty[0]} "
                "(counted from 0)"
            )
        return lines

    def _column(self, lines: StringArray, index: int, dtype: DType) -> Any:
        """The keys or values of all lines."""
        if index == TextFileIndex.LINE_NUMBER:
            return np.arange(len(lines), dtype=np.int64)
        fields = lines if index == TextFileIndex.WHOLE_LINE else self._fields(lines, index)
        return fields if dtype is dtypes.string else _numbers(fields, dtype)

    def _fields(self, lines: StringArray, index: int) -> StringArray:
        import pyarrow.compute as pc

        if len(self._delimiter.encode()) != 1:
            raise InvalidArgumentError(
                f"delimiter must be one character, got {self._delimiter!r}"
            )
        # `to_arrow` without text: a vocabulary may hold any bytes.
        parts = pc.split_pattern(lines.to_arrow(), pattern=self._delimiter)
        offsets = parts.offsets.to_numpy()
        counts = np.diff(offsets)
        short = np.flatnonzero(counts <= index)
        if short.size:
            k = int(short[0])
            raise InvalidArgumentError(
                f"Invalid number of columns in {self._path} line {k} ({_text(lines[k])}) : "
                f"expected at least {index + 1} got {counts[k]}"
            )
        return StringArray.from_arrow(parts.values)[offsets[:-1] + index]


def _check_column(what: str, index: int, dtype: DType) -> None:
    if index < -2:
        raise ValueError(f"`{what}_index` should be >= -2, received: {index}.")
    if index == TextFileIndex.LINE_NUMBER and dtype is not dtypes.int64:
        raise ValueError(
            f"`{what}_dtype` must be int64 if `{what}_index` is "
            f"{TextFileIndex.LINE_NUMBER}, received: {dtype!r}"
        )
    if index == TextFileIndex.WHOLE_LINE and not (dtype.is_integer or dtype is dtypes.string):
        raise ValueError(
            f"`{what}_dtype` should be either integer or string for `{what}_index` "
            f"{TextFileIndex.WHOLE_LINE}, received: {dtype!r}"
        )


def _numbers(fields: StringArray, dtype: DType) -> np.ndarray:
    """The numbers the fields spell."""
    import pyarrow as pa

    kind = as_dtype(dtype).np_dtype
    try:
        text = fields.to_arrow().cast(pa.large_string())
        return text.cast(pa.from_numpy_dtype(kind)).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        out = np.empty(len(fields), kind)
        for k, field in enumerate(fields.tolist()):
            try:
                out[k] = int(field) if dtype.is_integer else float(field)
            except (ValueError, OverflowError):
                raise InvalidArgumentError(
                    f"Field {_text(fields[k])} in line {k} is not a valid {dtype.name}."
                ) from None
        return out


def _text(value: StringArray) -> str:
    return value.item().decode("utf-8", "replace")
