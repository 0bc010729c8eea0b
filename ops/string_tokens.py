"""Tokens of texts: words or characters, their n-grams, as ragged or as padded rows.

The strings are never copied one by one: a token is a stretch of the text's bytes, and an n-gram
a stretch of the bytes of all tokens joined by the separator.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .convert import to_tensor
from .primitive import Primitive
from .ragged_tensor import RaggedTensor
from .string_array import StringArray
from .string_ops import StringSplit
from .tensor_spec import TensorSpec

__all__ = ["ngrams", "padded_tokens", "unicode_split"]


# -- characters -------------------------------------------------------------------------------


def unicode_split(input: Any) -> Any:
    """The characters of UTF-8 strings: a vector for a scalar, else ragged, one axis more."""
    if isinstance(input, RaggedTensor):
        return input.with_values(unicode_split(input.values))
    x = to_tensor(input, None)
    values, splits = UnicodeSplit(x)
    if x.shape.rank == 0:
        return values
    return RaggedTensor.from_row_splits(values, splits, validate=False)


def _characters(x: StringArray) -> tuple[StringArray, np.ndarray]:
    x = x.reshape(-1).compact()
    # A byte 10xxxxxx continues a character; every other one starts one.
    starts = np.flatnonzero((x.data & 0xC0) != 0x80).astype(np.int64)
    ends = np.append(starts[1:], x.data.size)
    splits = np.searchsorted(starts, np.append(x.starts, x.data.size)).astype(np.int64)
    return StringArray(x.data, starts, ends[: starts.size]), splits


def _rows_shape(x: Any) -> tuple[TensorSpec, TensorSpec]:
    n = 1 if x.shape.rank == 0 else x.shape.num_elements()
    splits = TensorSpec([None if n is None else n + 1], dtypes.int64)
    return TensorSpec([None], dtypes.string), splits


UnicodeSplit = Primitive(
    "_UnicodeSplitRows", "input: string", impl=_characters, shape=_rows_shape
)


# -- n-grams ----------------------------------------------------------------------------------


def ngrams(data: Any, ngram_width: Any, separator: str = " ") -> Any:
    """Neighbouring strings of each row joined: for each width, from left to right.

    Args:
        data: strings, ``[n]``, ``[rows, n]`` or ragged ``[rows, (n)]``.
        ngram_width: an integer or several.
        separator: between joined strings.

    >>> ngrams(["a", "b", "c"], (1, 2)).numpy().tolist()
    [b'a', b'b', b'c', b'a b', b'b c']
    """
    widths = (ngram_width,) if isinstance(ngram_width, int) else tuple(ngram_width)
    if isinstance(data, RaggedTensor):
        values, splits = NGramRows(
            data.flat_values, data.row_splits, widths=widths, separator=separator
        )
        return RaggedTensor.from_row_splits(values, splits, validate=False)
    x = to_tensor(data, None)
    if x.shape.rank == 1:
        row = RaggedTensor.from_tensor(x[None])
        return ngrams(row, widths, separator).flat_values
    return ngrams(RaggedTensor.from_tensor(x), widths, separator).to_tensor()


def _ngram_rows(
    tokens: StringArray, splits: Any, *, widths: tuple[int, ...], separator: str
) -> tuple[StringArray, np.ndarray]:
    count = len(splits) - 1
    lengths = np.diff(splits)
    joined = _separated(tokens, separator.encode("utf-8"))
    parts = []
    for width in widths:
        each = np.maximum(lengths - width + 1, 0)
        rows = np.repeat(np.arange(count), each)
        first = (
            np.arange(rows.size) - np.repeat(np.cumsum(each) - each, each) + splits[:-1][rows]
        )
        parts.append((rows, first, first + width - 1))
    rows, first, last = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(rows, kind="stable")
    values = StringArray(joined.data, joined.starts[first[order]], joined.ends[last[order]])
    sizes = np.bincount(rows, minlength=count) if count else np.zeros(0, np.int64)
    return values, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _separated(tokens: StringArray, separator: bytes) -> StringArray:
    """The tokens in a buffer in which a separator stands behind each."""
    gap = StringArray.from_values(np.array([separator], object))
    both = StringArray.concatenate([tokens, gap])
    n = tokens.size
    order = np.full(2 * n, n, np.int64)
    order[::2] = np.arange(n)
    spread = both[order].compact()
    return spread[::2]


NGramRows = Primitive(
    "_NGramRows",
    "tokens: string, splits: int64",
    impl=_ngram_rows,
    shape=lambda tokens, splits, *, widths, separator: (
        TensorSpec([None], dtypes.string),
        TensorSpec(splits.shape, dtypes.int64),
    ),
)


# -- padded rows ------------------------------------------------------------------------------


def padded_tokens(
    input: Any, split: str, length: int, ngram_width: tuple[int, ...] | None = None
) -> Any:
    """The first `length` tokens of each string, empty strings behind: ``[..., length]``.

    The size of a row does not depend on the text, so it runs by the block in a pipeline.

    Args:
        input: strings of any shape.
        split: ``"whitespace"`` or ``"character"``.
        length: tokens per row.
        ngram_width: widths of n-grams to take instead of the tokens.
    """
    return PaddedTokens(input, split=split, length=int(length), widths=ngram_width)


def _padded(
    x: StringArray, *, split: str, length: int, widths: tuple[int, ...] | None
) -> StringArray:
    flat = x.reshape(-1)
    if split == "character":
        tokens, splits = _characters(flat)
    else:
        tokens, splits = StringSplit.impl(flat, sep="", maxsplit=-1)
    if widths is not None:
        tokens, splits = _ngram_rows(tokens, splits, widths=widths, separator=" ")
    column = np.arange(length)
    there = column < np.diff(splits)[:, None]
    at = (splits[:-1, None] + column)[there]
    starts = np.zeros((flat.size, length), np.int64)
    ends = np.zeros((flat.size, length), np.int64)
    starts[there], ends[there] = tokens.starts[at], tokens.ends[at]
    return StringArray(tokens.data, starts, ends).reshape((*x.shape, length))


PaddedTokens = Primitive(
    "_PaddedTokens",
    "input: string",
    impl=_padded,
    shape=lambda x, *, split, length, widths: TensorSpec(
        x.shape.concatenate([length]), dtypes.string
    ),
    batch=lambda ctx, x, **attrs: PaddedTokens(x, **attrs),
)
