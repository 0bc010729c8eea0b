"""Block: n elements of a dataset in columns, the unit that stages hand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .columns import (
    column_from_rows,
    column_nbytes,
    column_rows,
    concat_columns,
)
from .stacked_columns import StackedColumns
from .structure import Structure

__all__ = ["Block"]


class Block:
    """n elements, column by column.  Immutable by convention; slices share memory.

    Attributes:
        columns: one column (see `columns`) per component of `structure`, each of n rows.
        num_rows: n.
        structure: how the components make up an element.

    >>> import numpy as np
    >>> from headrace.ops.tensor_spec import TensorSpec
    >>> block = Block([np.arange(5)], 5, Structure(TensorSpec([], "int64")))
    >>> block[1:3].columns[0]
    array([1, 2])
    """

    __slots__ = ("columns", "num_rows", "structure")

    def __init__(self, columns: Sequence[Any], num_rows: int, structure: Structure):
        self.columns = columns
        self.num_rows = num_rows
        self.structure = structure

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]], structure: Structure) -> Block:
        """From elements given as flat sequences of raw values."""
        width = len(structure.leaves)
        columns = [column_from_rows([row[c] for row in rows]) for c in range(width)]
        return cls(columns, len(rows), structure)

    @classmethod
    def concat(cls, blocks: Sequence[Block]) -> Block:
        """The rows of all blocks in order; they must share a structure."""
        if len(blocks) == 1:
            return blocks[0]
        first, rows = blocks[0], sum(b.num_rows for b in blocks)
        columns: Any = first.columns
        if type(columns) is StackedColumns and all(columns.fits(b.columns) for b in blocks):
            columns = StackedColumns.concat([b.columns for b in blocks], concat_columns)  # type: ignore[misc]
        else:
            columns = [
                concat_columns([b.columns[c] for b in blocks]) for c in range(len(columns))
            ]
        return cls(columns, rows, first.structure)

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, key: slice) -> Block:
        """Rows ``a:b`` as a block (no copies)."""
        start, stop, step = key.indices(self.num_rows)
        if start == 0 and stop >= self.num_rows and step == 1:
            return self
        return Block(self._select(key), len(range(start, stop, step)), self.structure)

    def take(self, indices: np.ndarray) -> Block:
        """The rows at int `indices`, in that order."""
        return Block(self._select(indices), len(indices), self.structure)

    def _select(self, key: Any) -> Sequence[Any]:
        if type(self.columns) is StackedColumns:
            return self.columns.select(key)
        return [c[key] for c in self.columns]

    def mask(self, keep: np.ndarray) -> Block:
        """The rows where the bool vector `keep` is true."""
        if keep.all():
            return self
        return self.take(np.flatnonzero(keep))

    def with_structure(self, structure: Structure) -> Block:
        """The same columns under another structure of as many components."""
        return Block(self.columns, self.num_rows, structure)

    def row(self, index: int) -> list[Any]:
        """Element `index` as a flat list of raw values (scalars as 0-d arrays)."""
        return [c[index, ...] if isinstance(c, np.ndarray) else c[index] for c in self.columns]

    def rows(self) -> list[tuple[Any, ...]]:
        """All elements as flat tuples of raw values."""
        if not self.columns:
            return [()] * self.num_rows
        return list(zip(*map(column_rows, self.columns), strict=True))

    @property
    def nbytes(self) -> int:
        """Memory in bytes that the rows hold."""
        columns: Any = self.columns
        if type(columns) is StackedColumns:
            return columns.nbytes + sum(map(column_nbytes, columns.rest))
        return sum(map(column_nbytes, columns))

    def to_arrow(self) -> Any:
        """A pyarrow RecordBatch with columns "0", "1", ... (dense rows as fixed-size lists).

        Raises:
            TypeError: a column holds objects Arrow has no type for.
        """
        import pyarrow as pa

        from .arrow_export import to_arrow, varying_type

        arrays = [
            to_arrow(c, varying_type(c, spec))
            for c, spec in zip(self.columns, self.structure.leaves, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, names=[str(i) for i in range(len(arrays))])

    @classmethod
    def from_arrow(cls, batch: Any, structure: Structure) -> Block:
        """From a RecordBatch whose columns are the components in flat order.

        Raises:
            InvalidArgumentError: a value is null.
        """
        from .arrow_columns import Nulls, from_arrow

        nulls = Nulls()
        columns = [
            from_arrow(a, nulls, n)
            for n, a in zip(batch.schema.names, batch.columns, strict=True)
        ]
        return cls(columns, batch.num_rows, structure)

    def __repr__(self) -> str:
        kinds = ", ".join(
            f"{type(c).__name__}{list(c.shape) if hasattr(c, 'shape') else [len(c)]}"
            for c in self.columns
        )
        return f"Block({self.num_rows} rows: {kinds})"
