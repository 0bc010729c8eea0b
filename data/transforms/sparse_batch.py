"""sparse_batch: batches of dense elements of varying shape as sparse tensors."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...ops.errors import DataLossError
from ...ops.sparse_tensor import SparseTensorSpec
from ...ops.string_array import StringArray
from ...ops.tensor_shape import TensorShape
from ..block import Block
from ..caught import Caught
from ..columns import SparseColumn, column_rows
from ..structure import Structure
from .batch import BatchNode, BatchStage

__all__ = ["SparseBatchNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class SparseBatchNode(BatchNode):
    """Sparse tensors of shape ``[batch_size, *row_shape]``.

    Attributes:
        row_shape: sizes of a row's axes; None for the largest of a batch.
    """

    row_shape: tuple[int | None, ...] = dataclasses.field(default=(), repr=False)

    def _element_spec(self) -> Any:
        shape = TensorShape([None, *self.row_shape])
        return SparseTensorSpec(shape, self.input.element_spec.dtype)

    def _make_stage(self, inputs: Any, context: Any) -> Any:
        return _SparseBatchStage(self, inputs, context)


class _SparseBatchStage(BatchStage):
    node: SparseBatchNode

    def _batches(
        self, block: Block, size: int, structure: Structure
    ) -> tuple[Block | None, Caught | None]:
        done, error = [], None
        rows = column_rows(block.columns[0])
        for g in range(block.num_rows // size):
            try:
                column = sparse_rows(rows[g * size : (g + 1) * size], self.node.row_shape)
            except DataLossError as raised:
                error = Caught(raised)
                break
            done.append(Block([column.batched(size)], 1, structure))
        return (Block.concat(done) if done else None), error


def sparse_rows(rows: list[Any], shape: tuple[int | None, ...]) -> SparseColumn:
    """Dense arrays as sparse ones that hold all their values.

    Raises:
        DataLossError: an array is larger than `shape` allows.
    """
    for row in rows:
        fits = len(row.shape) == len(shape) and all(
            d is None or n <= d for n, d in zip(row.shape, shape, strict=True)
        )
        if not fits:
            raise DataLossError(
                f"Input element had shape {list(row.shape)} that is incompatible with the row "
                f"shape {[-1 if d is None else d for d in shape]} of sparse_batch"
            )
    largest = np.array([row.shape for row in rows], np.int64).max(axis=0)
    dense = np.array(
        [n if d is None else d for d, n in zip(shape, largest.tolist(), strict=True)], np.int64
    )
    places = [np.indices(row.shape).reshape(len(shape), -1).T for row in rows]
    join = StringArray.concatenate if isinstance(rows[0], StringArray) else np.concatenate
    splits = np.cumsum([0, *map(len, places)], dtype=np.int64)
    return SparseColumn(
        np.concatenate(places).astype(np.int64), join([row.ravel() for row in rows]), splits,
        np.tile(dense, (len(rows), 1)),
    )  # fmt: skip
