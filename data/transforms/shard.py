"""shard: every num_shards-th element."""

from __future__ import annotations

import dataclasses

from ...ops.errors import FailedPreconditionError
from ..block import Block
from ..failures import Failures
from ..node import UnaryNode
from ..stage import Context, Stage, State

__all__ = ["SHARD_HINT", "ShardHintNode", "ShardNode"]

SHARD_HINT = -1
"""In `Dataset.shard`, tf.data's placeholder for "as many as there are workers"."""


@dataclasses.dataclass(frozen=True, eq=False)
class ShardNode(UnaryNode):
    """The elements whose number is `index` modulo `num_shards`."""

    num_shards: int
    index: int
    own_failures = Failures.NEVER
    columnwise = True

    def _cardinality(self) -> int:
        n = self.input.cardinality
        return len(range(self.index, n, self.num_shards)) if n >= 0 else n

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _ShardStage(self, inputs, context)


@dataclasses.dataclass(frozen=True, eq=False)
class ShardHintNode(UnaryNode):
    """Stands where whoever distributes the dataset is to put a `ShardNode`."""

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        raise FailedPreconditionError(
            "`Dataset.shard(SHARD_HINT, ...)` only says where to shard: it can be used with "
            "AutoShardPolicy.HINT or the data service's ShardingPolicy.HINT, not iterated over "
            f"by itself [{self.source}]"
        )


class _ShardStage(Stage):
    node: ShardNode

    def __init__(self, node: ShardNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._position = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        shards, index = self.node.num_shards, self.node.index
        while True:
            gap = (index - self._position) % shards
            # A side effect may happen for the elements up to the last one needed.
            block = self.input.next_block(
                min(max_rows * shards, max(shards, 1 << 16)), gap + (need_rows - 1) * shards + 1
            )
            if block is None:
                return None
            self._position += block.num_rows
            if gap < block.num_rows:
                return block[gap::shards]

    def _state(self) -> State:
        return {"input": self.input.state(), "position": self._position}

    def _restore(self, state: State) -> None:
        self.input.restore(state["input"])
        self._position = state["position"]

    def _restart(self) -> None:
        self._position = 0
