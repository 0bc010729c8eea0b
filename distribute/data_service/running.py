"""RunningTask: a worker's part of a dataset at work, in numbered chunks.

Chunk k holds the same elements whoever makes it and whenever: its number of rows follows from k
and what has been settled about the task, and the pipeline obeys the checkpoint law (a state,
restored, gives exactly what would have come).  Each chunk comes with the state behind it, and
who asks for a chunk after its worker died hands in the last state it has: the pipeline goes on
from there.

Chunks begin with one row, so that the first element comes at once, and grow fourfold until
they are large or slow to make.  Where a row fails, its chunk ends before it and carries the
error; the next goes on behind.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any, NamedTuple, Protocol

from ...data.block import Block
from ...data.columns import RaggedColumn, SparseColumn
from ...data.iterator import RawIterator
from ...data.node import Node
from ...data.options import Options
from ...data.rules import optimize
from .ledger import JobTerms
from .sharding import ShardingPolicy, SplitGiver, shard_plan, split_plan
from .shipping import pack_error

__all__ = ["Books", "Chunk", "Hint", "RunningTask", "plan_of_task"]

_GOAL_BYTES, _GOAL_S, _MOST_ROWS = 16 << 20, 0.1, 1 << 16
_SMALL_BYTES = 1 << 20  # blocks smaller than that are put together
_KEPT_CHUNKS, _CACHE_BYTES = 32, 256 << 20
ROUNDS_AHEAD, ROUND_WAIT_S = 8, 2.0


class Hint(NamedTuple):
    """A position: `state` is where chunk `number` begins."""

    number: int
    state: Any


class Chunk(NamedTuple):
    """A reply of a worker.

    Attributes:
        number: which chunk; where there are no more, how many there are.
        parts: (columns, one per component; number of rows) of each block.
        rows: how many in all.
        error: packed error of the row behind them, or None.
        after: the position behind the chunk.
        ended: whether there are no more; it is empty then.
        missing: consumers that must read on before this chunk is given; it is empty then.
    """

    number: int
    parts: tuple[tuple[tuple[Any, ...], int], ...] = ()
    rows: int = 0
    error: bytes | None = None
    after: Hint | None = None
    ended: bool = False
    missing: tuple[int, ...] = ()


class Books(SplitGiver, Protocol):
    """The ledger as one task sees it."""

    def settle(self, what: str, value: Any) -> Any:
        """See `Ledger.settle`."""


def plan_of_task(
    plan: Node, terms: JobTerms, index: int, num_shards: int, giver: SplitGiver
) -> Node:
    """The part of `plan` that is the task's, before any rule."""
    if terms.policy is ShardingPolicy.OFF:
        return plan
    if terms.policy is ShardingPolicy.DYNAMIC:
        return split_plan(plan, giver)
    return shard_plan(plan, terms.policy, num_shards, index)


class _Made(NamedTuple):
    """A chunk with its rows in blocks."""

    blocks: list[Block]
    error: bytes | None
    after: Hint

    @property
    def nbytes(self) -> int:
        """What the rows take."""
        return sum(b.nbytes for b in self.blocks)


class RunningTask:
    """A pipeline that gives chunks by number.  Any number of threads may ask.

    Args:
        plan: what to run, as written; the rules are applied here.
        options: the dataset's.
        books: where things about the task are settled.
        settled: what has been.
        num_consumers: who share every round of a coordinated read; else 0.
        most_rows: of a chunk.
    """

    def __init__(self, plan: Node, options: Options, books: Books, settled: dict[str, Any],
                 num_consumers: int = 0, most_rows: int = _MOST_ROWS):  # fmt: skip
        self._plan = optimize(plan, options)[0]
        self._options = options
        self._books = books
        self._consumers = num_consumers
        self._most_rows = max(1, min(most_rows, _MOST_ROWS))
        self._turn = threading.Condition()
        self._size: tuple[int, int] | None = settled.get("size")
        self._kept: OrderedDict[int, _Made] = OrderedDict()
        self._asked = dict.fromkeys(range(num_consumers), 0)
        self._trainers: dict[str, int] = {}
        self._iterator = RawIterator(self._plan, options)
        self._origin = books.settle("origin", self._iterator.state())
        self._number = 0
        self._ended = False
        self._go_to(Hint(0, self._origin))

    # -- who asks -----------------------------------------------------------------------------

    def chunk(self, number: int, hint: Hint | None) -> Chunk:
        """Chunk `number`, which is given to one asker only.

        Args:
            number: which.
            hint: a position at or before it; used if this task was started anew.
        """
        with self._turn:
            made = self._reached(number, hint)
            if made is None:
                return Chunk(self._number, ended=True)
            del self._kept[number]
            while len(self._kept) > _KEPT_CHUNKS:  # leases whose holders died
                self._kept.popitem(last=False)
            return _reply(number, made)

    def share(self, number: int, consumer: int, hint: Hint | None) -> Chunk:
        """The rows of chunk `number` that belong to `consumer`: one of each round.

        Consumers wait for each other; who is far ahead of others is told which (`missing`).
        """
        with self._turn:
            self._asked[consumer] = max(self._asked[consumer], number)
            self._turn.notify_all()
            end = time.monotonic() + ROUND_WAIT_S
            while missing := self._behind(number):
                if not self._turn.wait(end - time.monotonic()):
                    return Chunk(number, missing=missing)
            for old in [k for k in self._kept if k < min(self._asked.values())]:
                del self._kept[old]
            made = self._reached(number, hint)
            if made is None:
                return Chunk(self._number, ended=True)
            blocks = []
            if made.blocks:
                whole = Block.concat(made.blocks)
                rounds = whole.num_rows // self._consumers
                blocks = [whole[: rounds * self._consumers][consumer :: self._consumers]]
            return _reply(number, made._replace(blocks=blocks))

    def _behind(self, number: int) -> tuple[int, ...]:
        return tuple(c for c, n in self._asked.items() if number - n > ROUNDS_AHEAD)

    def cached(self, trainer: str) -> Chunk:
        """The chunk that `trainer` has not had yet: one of those kept for all trainers, or a
        new one.  Who is slow misses what is kept no longer."""
        with self._turn:
            number = self._trainers.get(trainer, 0)
            if number < self._number:
                number = max(number, next(iter(self._kept), self._number))
            made = self._reached(number, None)
            if made is None:
                return Chunk(self._number, ended=True)
            self._trainers[trainer] = number + 1
            held = sum(m.nbytes for m in self._kept.values())
            while held > _CACHE_BYTES and len(self._kept) > 1:
                held -= self._kept.popitem(last=False)[1].nbytes
            return _reply(number, made)

    def close(self) -> None:
        """Stop the pipeline."""
        with self._turn:
            self._iterator.close()
            self._kept.clear()

    # -- making chunks ------------------------------------------------------------------------

    def _reached(self, number: int, hint: Hint | None) -> _Made | None:
        """Chunk `number`, made now if need be; None behind the end."""
        if number in self._kept:
            return self._kept[number]
        useful = hint is not None and hint.number <= number
        if number < self._number or (
            useful and hint is not None and hint.number > self._number
        ):
            self._go_to(hint if useful and hint is not None else Hint(0, self._origin))
        while self._number <= number:
            made = self._make()
            if made is None:
                return None
            self._kept[self._number - 1] = made
        return self._kept[number]

    def _go_to(self, hint: Hint) -> None:
        self._iterator.close()
        self._iterator = RawIterator(self._plan, self._options)
        self._iterator.restore(hint.state)
        self._number = hint.number
        self._ended = False

    def _rows(self) -> int:
        size = self._size
        grown = 4 ** min(self._number, 9)
        rows = size[1] if size is not None and self._number > size[0] else grown
        return min(rows, self._most_rows) * max(1, self._consumers)

    def _make(self) -> _Made | None:
        want = self._rows()
        began = time.perf_counter()
        blocks: list[Block] = []
        rows, error = 0, None
        while rows < want and not self._ended:
            try:
                block = self._iterator.next_block(want - rows)
            except Exception as failure:
                error = pack_error(failure)
                break
            if block is None:
                self._ended = True
                break
            blocks.append(block)
            rows += block.num_rows
        if not blocks and error is None:
            return None
        # An error comes behind all rows: they are one block then.
        blocks = [Block.concat(blocks)] if error is not None and blocks else _joined(blocks)
        if self._size is None and blocks:
            self._decide(sum(b.nbytes for b in blocks), rows, time.perf_counter() - began)
        self._number += 1
        return _Made(blocks, error, Hint(self._number, self._iterator.state()))

    def _decide(self, size_bytes: int, num_rows: int, took_s: float) -> None:
        """Settle how large chunks become, once one shows it."""
        if self._number == 0:
            took_s = 0.0  # it opened files and compiled functions
        size_bytes = max(1, size_bytes)
        own = max(1, self._consumers)
        grown = 4 ** min(self._number, 9)
        if 4 * size_bytes < _GOAL_BYTES and 2 * took_s < _GOAL_S and 4 * grown < _MOST_ROWS:
            return
        rows = num_rows // own
        fit = min(_GOAL_BYTES / size_bytes, _GOAL_S / max(took_s, 1e-9)) * rows
        decided = (self._number, max(1, min(int(fit), _MOST_ROWS)))
        self._size = tuple(self._books.settle("size", decided))


def _joined(blocks: list[Block]) -> list[Block]:
    """The rows in few blocks; large ones are not copied for that."""
    groups: list[list[Block]] = []
    size_bytes = _SMALL_BYTES
    for block in blocks:
        if size_bytes >= _SMALL_BYTES:
            groups.append([])
            size_bytes = 0
        groups[-1].append(block)
        size_bytes += block.nbytes
    return [Block.concat(group) for group in groups]


def _reply(number: int, made: _Made) -> Chunk:
    parts = tuple((tuple(map(_compact, b.columns)), b.num_rows) for b in made.blocks)
    return Chunk(number, parts, sum(n for _, n in parts), made.error, made.after)


def _compact(column: Any) -> Any:
    """A column that refers to no more values than its rows have."""
    if isinstance(column, RaggedColumn):
        return RaggedColumn(column.flat_values, column.splits - column.splits[0])
    if isinstance(column, SparseColumn):
        part = slice(column.splits[0], column.splits[-1])
        return SparseColumn(column.indices[part], column.values[part],
                            column.splits - column.splits[0], column.dense_shapes)  # fmt: skip
    return column
