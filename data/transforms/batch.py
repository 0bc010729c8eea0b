"""batch: every `batch_size` elements stacked to one.

Input rows are pulled for several batches at once; a block of n*b dense rows becomes one of n
batches without copying.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ...ops import nest
from ...ops.errors import InvalidArgumentError
from ...ops.ragged_tensor import RaggedTensorSpec
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..caught import Caught
from ..columns import column_rows, group_rows, row_shape
from ..failures import Failures
from ..node import UnaryNode
from ..ragged import group_ragged, ragged_spec
from ..stacked_columns import StackedColumns
from ..stage import Context, Stage, State
from ..structure import Structure
from ..values import batched_spec

__all__ = ["BatchNode", "BatchStage", "RaggedBatchNode", "batch_block"]

_PULL_ROWS = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class BatchNode(UnaryNode):
    """Batches of `batch_size` elements; the last may be smaller unless `drop_remainder`.

    `num_parallel_calls` and `deterministic` are kept for `explain`; stacking is cheap enough to
    go along with whatever thread pulls.
    """

    batch_size: int
    drop_remainder: bool = False
    num_parallel_calls: int | None = None
    deterministic: bool | None = None
    columnwise = True

    @property
    def failures(self) -> Failures:
        """Elements of different shapes."""
        same = all(
            isinstance(spec, TensorSpec) and spec.shape.is_fully_defined()
            for spec in self.input.structure.leaves
        )
        return Failures.NEVER if same else Failures.ON_DATA

    def _element_spec(self) -> Any:
        size = self.batch_size if self.drop_remainder else None
        return nest.map_structure(lambda s: batched_spec(s, size), self.input.element_spec)

    def _cardinality(self) -> int:
        n, size = self.input.cardinality, self.batch_size
        if n < 0:
            return n
        return n // size if self.drop_remainder else -(-n // size)

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return BatchStage(self, inputs, context)


@dataclasses.dataclass(frozen=True, eq=False)
class RaggedBatchNode(BatchNode):
    """Batches whose components of unknown shape are ragged tensors."""

    splits_dtype: Any = dataclasses.field(default=None, repr=False)

    def _element_spec(self) -> Any:
        size = self.batch_size if self.drop_remainder else None
        return nest.map_structure(
            lambda s: batched_spec(ragged_spec(s, self.splits_dtype), size),
            self.input.element_spec,
        )


class BatchStage(Stage):
    """Rows are left over only at the end (a short last batch) and behind a failed batch."""

    node: BatchNode

    def __init__(self, node: BatchNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._rest: Block | None = None
        self._input_error: Caught | None = None

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        size = self.node.batch_size
        before = None if self._held is not None else self._state()
        want = size * max(1, min(max_rows, _PULL_ROWS // size))
        joined, error, ended = self._gather(want, size * min(need_rows, max_rows))
        full, tail = divmod(joined.num_rows if joined is not None else 0, size)
        if not full:
            self._release()
            if error is not None:
                raise error.take()
            if joined is None or self.node.drop_remainder:
                return None
            full, size, tail = 1, tail, 0
        assert joined is not None
        stacked, bad = self._batches(joined[: full * size], size, self.structure)
        if bad is not None:
            done = 0 if stacked is None else stacked.num_rows
            self._rest = joined[(done + 1) * size :]
            self._input_error = error and error.put_off()
            error = bad
        elif ended and tail and not self.node.drop_remainder:
            self._rest = joined[full * size :]
        left_over = self._rest is not None
        if (left_over or error is not None) and before is not None:
            self._hold(before)
        if error is not None:
            if stacked is None:
                raise error.take()
            self._raise_later(error, release=not left_over)
        elif not left_over:
            self._release()
        return stacked

    def _batches(
        self, block: Block, size: int, structure: Structure
    ) -> tuple[Block | None, Caught | None]:
        """Hook: the batches of a block, up to the first that cannot be made, and its error."""
        return batch_block(block, size, structure)

    def _gather(self, want: int, need: int) -> tuple[Block | None, Caught | None, bool]:
        """Left-over and new rows, `want` or at least a whole number of batches unless the
        input ends or fails; the failure; whether it ended."""
        size = self.node.batch_size
        blocks = [self._rest] if self._rest is not None and self._rest.num_rows else []
        rows = sum(b.num_rows for b in blocks)
        self._rest = None
        error, ended = self._input_error, False
        self._input_error = None
        while error is None and rows < want:
            try:
                block = self.input.next_block(want - rows, max(1, need - rows))
            except Exception as raised:
                error = Caught(raised)
                break
            if block is None:
                ended = True
                break
            blocks.append(block)
            rows += block.num_rows
            if rows >= size:
                # Complete the batch under way and no more, so that nothing is left over.
                want = -(-rows // size) * size
        return (Block.concat(blocks) if blocks else None), error, ended

    def _restore(self, state: State) -> None:
        self._restart()
        self.input.restore(state["input"])

    def _restart(self) -> None:
        self._rest = self._input_error = None


def batch_block(
    block: Block, size: int, structure: Structure
) -> tuple[Block | None, Caught | None]:
    """Batches of `size` rows, up to the first that cannot be made, and why it cannot."""
    groups = block.num_rows // size
    leaves = structure.leaves
    columns = _grouped(block, size, leaves)
    if type(columns) is StackedColumns or all(c is not None for c in columns):
        return Block(columns, groups, structure), None
    done: list[Block] = []
    for g in range(groups):
        part = block[g * size : (g + 1) * size]
        columns = _grouped(part, size, leaves)
        failed = [c is None for c in columns]
        if any(failed):
            stacked = Block.concat(done) if done else None
            return stacked, Caught(_shapes_differ(part, failed.index(True)))
        done.append(Block(columns, 1, structure))
    return Block.concat(done), None


def _grouped(block: Block, size: int, leaves: tuple[Any, ...]) -> Sequence[Any]:
    """Per component every `size` rows as one, or None where their shapes differ."""
    columns = block.columns
    if type(columns) is StackedColumns:
        together = columns.group(size, lambda column: group_rows(column, size))
        if together is not None and not any(isinstance(s, RaggedTensorSpec) for s in leaves):
            return together
    return [
        group_ragged(column, size, leaf)
        if isinstance(leaf, RaggedTensorSpec)
        else group_rows(column, size)
        for column, leaf in zip(block.columns, leaves, strict=True)
    ]


def _shapes_differ(block: Block, component: int) -> InvalidArgumentError:
    rows = column_rows(block.columns[component])
    shapes = [row_shape(r) for r in rows]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            first, other = (
                _shape_text(s, r) for s, r in ((shapes[0], rows[0]), (shape, rows[i]))
            )
            return InvalidArgumentError(
                f"Cannot batch tensors with different shapes in component {component}. First "
                f"element had shape {first} and element {i} had shape {other}. "
                "Use padded_batch or ragged_batch for elements of varying shape."
            )
    return InvalidArgumentError(
        f"Cannot batch component {component}: elements are of kind {type(rows[0]).__name__}."
    )


def _shape_text(shape: Any, row: Any) -> str:
    return type(row).__name__ if shape is None else f"[{','.join(map(str, shape))}]"
