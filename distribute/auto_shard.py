"""Auto-sharding: the part of a dataset of global batches that one worker works through.

With DATA, every worker takes its rows of every global batch: what all workers see in a step is
exactly the batch that one process would see, whatever their number.  The rows are chosen before
the last functions mapped one element to one, so that a worker computes only its own; what
stands above (reading, shuffling) runs on all workers, with the same seeds.  With FILE, every
worker reads files of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..data.block import Block
from ..data.failures import Failures
from ..data.node import INFINITE, Node, UnaryNode
from ..data.options import AutoShardPolicy
from ..data.stage import Context, Stage, State
from ..data.transforms.batch import BatchNode, RaggedBatchNode
from ..data.transforms.files import FilesNode
from ..data.transforms.map import MapNode
from ..data.transforms.prefetch import PrefetchNode
from ..data.transforms.repeat import RepeatNode
from ..data.transforms.shard import ShardHintNode, ShardNode
from ..data.transforms.shuffle import ShuffleNode
from ..data.transforms.skip import SkipNode
from ..data.transforms.take import TakeNode
from ..ops.errors import InvalidArgumentError
from .input import split_sizes

__all__ = ["RowsNode", "agree_on_seeds", "begin_later_pass", "files_of", "shard_plan"]

# What gives the same batches whether it stands above a batch or above a part of it.
_ABOVE_BATCH = (MapNode, PrefetchNode, RepeatNode, SkipNode, TakeNode)


@dataclasses.dataclass(frozen=True, eq=False)
class RowsNode(UnaryNode):
    """Of every `period` elements those from `start` to `stop`."""

    period: int
    start: int
    stop: int
    own_failures = Failures.NEVER
    columnwise = True

    def _cardinality(self) -> int:
        n = self.input.cardinality
        if n < 0:
            return n
        whole, rest = divmod(n, self.period)
        last = min(max(rest - self.start, 0), self.stop - self.start)
        return whole * (self.stop - self.start) + last

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _RowsStage(self, inputs, context)


class _RowsStage(Stage):
    node: RowsNode

    def __init__(self, node: RowsNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._position = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        node = self.node
        while True:
            at = self._position % node.period
            inside = node.start <= at < node.stop
            if inside:
                wanted = min(max_rows, node.stop - at)
            else:
                wanted = (node.start - at) % node.period
            block = self.input.next_block(wanted, 1 if inside else wanted)
            if block is None:
                return None
            self._position += block.num_rows
            if inside:
                return block

    def _state(self) -> State:
        return {"input": self.input.state(), "position": self._position}

    def _restore(self, state: State) -> None:
        self.input.restore(state["input"])
        self._position = state["position"]

    def _restart(self) -> None:
        self._position = 0


def shard_plan(node: Node, policy: AutoShardPolicy, workers: int, index: int) -> Node | None:
    """The plan of the batches of worker `index`, or None where its rows have to be cut out of
    the finished global batches.

    Args:
        node: the plan of the global batches.
        policy: how to share them.
        workers: number of workers.
        index: which of them.

    Raises:
        InvalidArgumentError: FILE, and the dataset reads fewer files than there are workers;
            HINT, and it has no `shard(SHARD_HINT, ...)`.
    """

    def smaller(batch: BatchNode, repeated: bool) -> Node:
        _check_batch(batch, workers)
        size = split_sizes(batch.batch_size, workers)[index]
        return dataclasses.replace(batch, batch_size=size)

    if policy is AutoShardPolicy.OFF:
        return _with_batch(node, smaller)
    files = files_of(node)
    if policy is AutoShardPolicy.HINT:
        hinted = _replaced(
            node, ShardHintNode, lambda n: ShardNode(n.input, workers, index, source=n.source)
        )
        if hinted is node:
            raise InvalidArgumentError(
                "AutoShardPolicy.HINT needs .shard(hr.data.experimental.SHARD_HINT, "
                "hr.data.experimental.SHARD_HINT) in the dataset, which has none"
            )
        return _with_batch(hinted, smaller)
    if policy is AutoShardPolicy.FILE or (
        policy is AutoShardPolicy.AUTO and files is not None and files >= workers
    ):
        if files is None or files < workers:
            raise InvalidArgumentError(
                f"AutoShardPolicy.FILE needs a dataset that reads at least {workers} files, "
                f"one for each worker, got {files or 'none'}; use AutoShardPolicy.DATA, or "
                "write the data to more files"
            )
        shared = _replaced(
            node, FilesNode, lambda n: dataclasses.replace(n, files=n.files[index::workers])
        )
        return _with_batch(shared, smaller)
    return _with_batch(
        node, lambda batch, repeated: _rows_of_batches(batch, repeated, workers, index)
    )


def files_of(node: Node) -> int | None:
    """The number of files that a plan reads; None if it reads none."""
    counts = [len(node.files)] if isinstance(node, FilesNode) else []
    counts += [n for n in map(files_of, node.inputs) if n is not None]
    return min(counts) if counts else None


def agree_on_seeds(node: Node, agree: Callable[[Any], Any]) -> Node:
    """The plan with the seeds of its shuffles as ``agree(seeds)`` gives them."""
    return _replaced(
        node, ShuffleNode, lambda n: dataclasses.replace(n, seeds=tuple(agree(n.seeds)))
    )


def begin_later_pass(node: Node, passes: int) -> None:
    """Count `passes` passes over the plan as made: its shuffles go on with the next order."""
    if isinstance(node, ShuffleNode) and passes:
        node.epochs.passed(passes - 1)
    for each in node.inputs:
        begin_later_pass(each, passes)


def _replaced(node: Node, kind: type, change: Callable[[Any], Node]) -> Node:
    inputs = tuple(_replaced(each, kind, change) for each in node.inputs)
    if any(a is not b for a, b in zip(inputs, node.inputs, strict=True)):
        node = node.with_inputs(*inputs)
    return change(node) if isinstance(node, kind) else node


def _with_batch(
    node: Node, change: Callable[[BatchNode, bool], Node | None], repeated: bool = False
) -> Node | None:
    """The plan with its last batching changed; None where that is not plain to see.

    Args:
        node: the plan.
        change: takes the batching, and whether it is repeated; may give None.
        repeated: whether something above `node` repeats it.
    """
    if isinstance(node, BatchNode):
        return change(node, repeated)
    if not isinstance(node, _ABOVE_BATCH) or len(node.inputs) != 1:
        return None
    inner = _with_batch(node.inputs[0], change, repeated or isinstance(node, RepeatNode))
    return None if inner is None else node.with_inputs(inner)


def _check_batch(batch: BatchNode, workers: int) -> None:
    if batch.batch_size < workers:
        raise InvalidArgumentError(
            f"the global batch size must be at least the {workers} workers, so that each gets "
            f"a row, got .batch({batch.batch_size})"
        )


def _rows_of_batches(batch: BatchNode, repeated: bool, workers: int, index: int) -> Node | None:
    _check_batch(batch, workers)
    if type(batch) not in (BatchNode, RaggedBatchNode):
        return None  # padding depends on all rows of the batch
    period, of = batch.batch_size, batch.input
    rest = of.cardinality % period if of.cardinality >= 0 else None
    if batch.drop_remainder and of.cardinality != INFINITE:
        if rest is None:
            return None  # who knows his rows does not know whether the batch will be whole
        of = TakeNode(of, of.cardinality - rest, source=batch.source) if rest else of
    elif repeated and of.cardinality != INFINITE:
        # A worker without rows in the last batch would be a step ahead from there on.
        if rest is None or (rest and not split_sizes(rest, workers, period)[-1]):
            return None
    sizes = split_sizes(period, workers)
    start = sum(sizes[:index])
    rows = _chosen_early(of, period, start, start + sizes[index])
    return dataclasses.replace(batch, input=rows, batch_size=sizes[index])


def _chosen_early(node: Node, period: int, start: int, stop: int) -> Node:
    """The rows of `node`, chosen before functions that make one element of one."""
    if isinstance(node, MapNode) and node.one_to_one and not node.function.is_random:
        inner = _chosen_early(node.inputs[0], period, start, stop)
        return node.with_inputs(inner)
    return RowsNode(node, period, start, stop, source=node.source)
