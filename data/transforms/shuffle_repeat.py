"""shuffle_repeat: a shuffle several times over, its buffer refilled while the last rows leave.

No method makes this node: `rules.shuffle_and_repeat_fusion` puts it where a repeat follows a
shuffle.  The elements are those of the two stages.  Those would leave the input idle while the
last buffer of an iteration is handed out, and the consumer waiting while the next is filled;
here every row that leaves makes room for one of the next iteration.
"""

from __future__ import annotations

import dataclasses

from ..block import Block
from ..caught import Caught
from ..failures import Failures
from ..node import Node, UnaryNode
from ..stage import Context, Stage, State
from .repeat import RepeatNode
from .shuffle import ShuffleNode, ShuffleStage

__all__ = ["ShuffleRepeatNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class ShuffleRepeatNode(UnaryNode):
    """`count` iterations over a shuffle; without end if `count` is negative."""

    shuffle: ShuffleNode
    count: int
    own_failures = Failures.NEVER

    def with_inputs(self, *inputs: Node) -> Node:
        """A copy that pulls from another node."""
        (only,) = inputs
        shuffle = dataclasses.replace(self.shuffle, input=only)
        return dataclasses.replace(self, input=only, shuffle=shuffle)

    def describe(self) -> str:
        """The size of the buffer and the number of iterations."""
        return f"{self.label}({self.shuffle.buffer_size}, {self.count})"

    def _cardinality(self) -> int:
        return RepeatNode(self.input, self.count).cardinality

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _ShuffleRepeatStage(self, inputs, context)


class _ShuffleRepeatStage(Stage):
    """A shuffle's stage for the iteration under way, and one for the next on the same input.

    While the next one fills, the state is still that of the first, its input at the end.  What
    is raised then is kept until the next iteration begins.
    """

    node: ShuffleRepeatNode
    _epoch: int
    _nonempty: bool
    _more: bool

    def __init__(self, node: ShuffleRepeatNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._now = self._shuffle()
        self._begin()

    def _shuffle(self) -> ShuffleStage:
        return ShuffleStage(self.node.shuffle, self.inputs, self.context)

    def _begin(self) -> None:
        self._epoch = 0
        self._nonempty = False
        self._more = self.node.count != 0
        self._forget_next()

    def _forget_next(self) -> None:
        self._following: ShuffleStage | None = None
        self._input_end: State | None = None  # the input's state from before it began again
        self._room = 0  # rows that left and were not yet replaced
        self._early: Caught | None = None
        self._before_early: State | None = None  # the input's state from before that error

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while self._more:
            if self._early is not None and self._following is None:
                error, self._early, self._before_early = self._early, None, None
                raise error.take()
            block = self._now.next_block(max_rows, need_rows)
            if block is not None:
                self._nonempty = True
                if self._now.drains and self._epoch + 1 != self.node.count:
                    self._fill_following(block.num_rows)
                return block
            self._epoch += 1
            self._more = self._nonempty and self._epoch != self.node.count
            if self._more:
                following = self._following or self._begin_again()
                following.take_turn(self._now)
                # In this order: another thread may be counting what is buffered.
                self._following, self._input_end = None, None
                self._now = following
                self._nonempty = False
        return None

    def _begin_again(self) -> ShuffleStage:
        """Have the input begin again, and a stage for that iteration."""
        self._input_end = self.input.state()
        self.input.restart()
        self._room = 0
        self._following = self._shuffle()
        return self._following

    def _fill_following(self, rows: int) -> None:
        """Read what takes the place of `rows` rows that left."""
        following = self._following or self._begin_again()
        following.take_room(self._now)
        self._room += rows
        while self._early is None and self._room >= following.next_fill > 0:
            before = self.input.state()
            try:
                self._room -= following.fill()
            except Exception as error:
                self._early, self._before_early = Caught(error).put_off(), before

    # -- state ----------------------------------------------------------------------------

    def _state(self) -> State:
        shuffled = self._now.state()
        elsewhere = self._input_end if self._following is not None else self._before_early
        if elsewhere is not None:
            shuffled = {**shuffled, "input": elsewhere}
        return {
            "shuffle": shuffled,
            "epoch": self._epoch,
            "nonempty": self._nonempty,
            "more": self._more,
        }

    def _restore(self, state: State) -> None:
        self._forget_next()
        self._now.restore(state["shuffle"])
        self._epoch = state["epoch"]
        self._nonempty = state["nonempty"]
        self._more = state["more"]

    def restart(self) -> None:
        """Back to the beginning, as though no iteration had been begun ahead."""
        if self._input_end is not None:
            self.input.restore(self._input_end)
        super().restart()

    def _restart(self) -> None:
        self._now.begin_next()
        self._begin()

    def buffered(self) -> tuple[int, int]:
        """Elements and bytes held."""
        rows, size_bytes = self._now.buffered()
        more = self._following.buffered()[0] if self._following is not None else 0
        return rows + more, size_bytes
