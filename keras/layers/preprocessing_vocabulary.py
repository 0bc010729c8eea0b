"""Counting tokens for `adapt`: block by block, with Arrow's kernels.

A block's distinct tokens and their counts are found at once; what several blocks gave is added
up when there is enough of it.  Nothing is done token by token in Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from ...ops.ragged_tensor import RaggedTensor
from ...ops.sparse_tensor import SparseTensor
from ...ops.string_array import StringArray

__all__ = ["TokenCounts", "arrow_tokens"]

_MERGE_AT = 1 << 20  # rows kept before they are added up


def arrow_tokens(values: Any) -> Any:
    """A raw array of tokens (strings or integers) as an Arrow array."""
    import pyarrow as pa

    if isinstance(values, StringArray):
        return values.to_arrow()
    return pa.array(np.ascontiguousarray(values).reshape(-1))


class TokenCounts:
    """How often tokens came, and in how many documents (rows).

    Args:
        documents: whether to count documents, too.

    Attributes:
        num_documents: rows so far.
    """

    def __init__(self, documents: bool = False):
        self._documents = documents
        self._tables: list[Any] = []
        self._rows = 0
        self.num_documents = 0

    def update(self, batch: Any) -> None:
        """Count the tokens of a batch; each row is a document.

        Args:
            batch: tensor ``[rows, n]`` (dense, ragged or sparse) of strings or integers.
        """
        import pyarrow as pa

        tokens, rows, count = _rows_of(batch)
        table = pa.table({"token": tokens})
        names = [("token", "count")]
        if self._documents:
            pairs = pa.table({"token": tokens, "row": rows}).group_by(["token", "row"])
            each = pairs.aggregate([("token", "count")])
            found = each.group_by("token").aggregate(
                [("token_count", "sum"), ("token_count", "count")]
            )
            columns = ["token", "token_count_sum", "token_count_count"]
        else:
            found = table.group_by("token").aggregate(names)
            columns = ["token", "token_count"]
        found = found.select(columns).rename_columns(
            ["token", "count", "documents"][: len(columns)]
        )
        self._tables.append(found)
        self._rows += found.num_rows
        self.num_documents += count
        if self._rows > _MERGE_AT:
            self._merge()

    def _merge(self) -> Any:
        import pyarrow as pa

        if len(self._tables) > 1:
            names = self._tables[0].column_names[1:]
            merged = pa.concat_tables(self._tables).group_by("token")
            summed = merged.aggregate([(name, "sum") for name in names])
            summed = summed.select(["token", *(f"{name}_sum" for name in names)])
            self._tables = [summed.rename_columns(["token", *names])]
            self._rows = -summed.num_rows  # wait for as much again as there is now
        return self._tables[0] if self._tables else None

    def most_common(
        self, limit: int | None, without: list[Any]
    ) -> tuple[Any, np.ndarray | None]:
        """Tokens from the most to the least frequent, equally frequent ones from the last.

        Args:
            limit: how many at most.
            without: tokens to leave out.

        Returns:
            The tokens as a raw array, and in how many documents each came, or None.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        table = self._merge()
        if table is None:
            return None, None
        kind = table.column("token").type
        for token in without:
            table = table.filter(pc.not_equal(table.column("token"), pa.scalar(token, kind)))
        order = pc.sort_indices(
            table, sort_keys=[("count", "descending"), ("token", "descending")]
        )
        table = table.take(order[:limit] if limit is not None else order)
        tokens = table.column("token").combine_chunks()
        documents = table.column("documents").to_numpy() if self._documents else None
        if pa.types.is_integer(kind):
            return tokens.to_numpy(), documents
        return StringArray.from_arrow(tokens), documents


def _rows_of(batch: Any) -> tuple[Any, np.ndarray, int]:
    """Tokens as an Arrow array, the row of each, and how many rows there are."""
    if isinstance(batch, RaggedTensor):
        splits = batch.row_splits.numpy()
        inner = batch.values
        lengths = np.diff(splits)
        if isinstance(inner, RaggedTensor):
            nested = inner.row_splits.numpy()
            lengths = np.diff(nested[splits])
        rows = np.repeat(np.arange(len(lengths)), lengths)
        return arrow_tokens(batch.flat_values._value), rows, len(lengths)
    if isinstance(batch, SparseTensor):
        rows = batch.indices.numpy()[:, 0]
        return arrow_tokens(batch.values._value), rows, int(batch.dense_shape.numpy()[0])
    if batch.shape.rank < 2:
        batch = hr.reshape(batch, [1, -1])
    value = batch._value
    count = value.shape[0]
    rows = np.repeat(np.arange(count), int(np.prod(value.shape[1:], dtype=np.int64)))
    return arrow_tokens(value), rows, count
