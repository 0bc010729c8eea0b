"""Sharding: which part of a dataset each worker makes.

OFF gives every worker all of it.  FILE, DATA and HINT cut it before it runs (`shard_plan`).
DYNAMIC puts a `SplitsNode` in place of each source: it asks, split by split, what to read
next.  Who answers (`SplitGiver`) remembers which splits a worker was given, so a worker that
starts anew is given the same ones and makes the same elements.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, Protocol

from ...data.block import Block
from ...data.node import INFINITE, Node
from ...data.rules.common import describe, walk
from ...data.stage import Context, Stage, State, build_stage
from ...data.transforms.choose import ChooseNode
from ...data.transforms.repeat import RepeatNode
from ...data.transforms.shard import ShardHintNode, ShardNode
from ...data.transforms.zip import ZipNode
from ...ops.errors import InvalidArgumentError

__all__ = ["ShardingPolicy", "SplitGiver", "count_splits", "shard_plan", "split_plan"]

_MOST_SPLITS = 128


class ShardingPolicy(enum.IntEnum):
    """How a dataset is divided among the workers of a data service.

    * OFF: not at all; each worker makes all elements, so the consumer gets each as often as
      there are workers.
    * DYNAMIC: a worker gets the next part of the source (a file, some rows) when it is done
      with the last; every element comes once.
    * FILE: each worker reads some of the files; at least as many files as workers.
    * DATA: each worker goes through the dataset and keeps every n-th element.
    * FILE_OR_DATA: FILE where there are files enough, else DATA.
    * HINT: the dataset says where, by ``shard(hr.data.experimental.SHARD_HINT, ...)``.
    """

    OFF = 0
    DYNAMIC = 1
    FILE = 2
    DATA = 3
    FILE_OR_DATA = 4
    HINT = 5

    @property
    def is_static(self) -> bool:
        """Whether shards are settled before anything is read."""
        return self >= ShardingPolicy.FILE


# -- static shards ----------------------------------------------------------------------------


def shard_plan(plan: Node, policy: ShardingPolicy, num_shards: int, index: int) -> Node:
    """Shard `index` of the elements of `plan`.

    Raises:
        InvalidArgumentError: the dataset cannot be sharded that way.
    """
    if policy is ShardingPolicy.FILE_OR_DATA:
        try:
            return _by_file(plan, num_shards, index)
        except InvalidArgumentError:
            policy = ShardingPolicy.DATA
    if policy is ShardingPolicy.FILE:
        return _by_file(plan, num_shards, index)
    if policy is ShardingPolicy.HINT:
        return _by_hint(plan, num_shards, index)
    assert policy is ShardingPolicy.DATA
    return ShardNode(plan, num_shards, index, source=plan.source)


def _rewritten(node: Node, change: Callable[[Node], Node | None]) -> Node:
    """The plan with each node that `change` says replaced; what is before such a node stays."""
    done: dict[int, Node] = {}

    def visit(one: Node) -> Node:
        if id(one) not in done:
            new = change(one)
            if new is None:
                inputs = [visit(i) for i in one.inputs]
                same = all(a is b for a, b in zip(inputs, one.inputs, strict=True))
                new = one if same else one.with_inputs(*inputs)
            done[id(one)] = new
        return done[id(one)]

    return visit(node)


def _by_file(plan: Node, num_shards: int, index: int) -> Node:
    sharded = []

    def change(node: Node) -> Node | None:
        files = getattr(node, "files", None)
        if isinstance(files, tuple) and not node.inputs:
            if len(files) < num_shards:
                raise InvalidArgumentError(
                    f"FILE sharding among {num_shards} workers needs at least as many files, "
                    f"but {describe(node)} reads {len(files)}; use ShardingPolicy.DATA or "
                    "DYNAMIC"
                )
            sharded.append(node)
            part: Any = dataclasses.replace(node, files=files[index::num_shards])  # type: ignore[call-arg]
            return part
        if getattr(node, "reads_files", False) and len(node.inputs) == 1:
            (names,) = node.inputs
            if 0 <= names.cardinality < num_shards:
                raise InvalidArgumentError(
                    f"FILE sharding among {num_shards} workers needs at least as many files, "
                    f"but {describe(node)} gets {names.cardinality}; use ShardingPolicy.DATA "
                    "or DYNAMIC"
                )
            sharded.append(node)
            return node.with_inputs(ShardNode(names, num_shards, index, source=node.source))
        return None

    result = _rewritten(plan, change)
    if not sharded:
        raise InvalidArgumentError(
            "FILE sharding needs a dataset that reads files, and this one reads none; use "
            "ShardingPolicy.DATA, DYNAMIC or FILE_OR_DATA"
        )
    return result


def _by_hint(plan: Node, num_shards: int, index: int) -> Node:
    found = []

    def change(node: Node) -> Node | None:
        if isinstance(node, ShardHintNode):
            found.append(node)
            return ShardNode(node.input, num_shards, index, source=node.source)
        return None

    result = _rewritten(plan, change)
    if not found:
        raise InvalidArgumentError(
            "HINT sharding needs a dataset with shard(hr.data.experimental.SHARD_HINT, "
            "hr.data.experimental.SHARD_HINT) in it, and this one has none"
        )
    return result


# -- dynamic splits ---------------------------------------------------------------------------


class SplitGiver(Protocol):
    """Who knows which split comes next."""

    def split(self, source: int, repetition: int, number: int) -> int | None:
        """The `number`-th split of a source that the asking worker gets in this repetition, or
        None if it gets no more; the same answer however often it is asked."""


def _sources(plan: Node) -> list[Node]:
    """The nodes without inputs, in the order in which their elements come.

    Raises:
        InvalidArgumentError: elements of several sources are paired.
    """
    for node in walk(plan):
        if isinstance(node, (ZipNode, ChooseNode)):
            raise InvalidArgumentError(
                f"DYNAMIC sharding cannot split {describe(node)} ({node.source}): its inputs "
                "belong together, but each would be split by itself; use ShardingPolicy.OFF or "
                "DATA, or zip behind distribute()"
            )
    return [node for node in reversed(list(walk(plan))) if not node.inputs]


def _cut(node: Node) -> list[Node]:
    """A source in parts; one of all of it where it knows no parts."""
    files = getattr(node, "files", None)
    if isinstance(files, tuple) and len(files) > 1:
        return [dataclasses.replace(node, files=(f,)) for f in files]  # type: ignore[call-arg]
    n = node.cardinality
    if n <= 1 and n != INFINITE:
        return [node]
    if n == INFINITE:
        return [node]
    size = -(-n // _MOST_SPLITS)
    parts = []
    for start in range(0, n, size):
        found = node.sliced(slice(start, min(start + size, n)))
        if found is None or found[1] is not None:
            return [node]
        parts.append(found[0])
    return parts


def count_splits(plan: Node) -> list[int]:
    """Of each source, how many splits it has.

    Raises:
        InvalidArgumentError: the dataset cannot be split.
    """
    return [len(_cut(node)) for node in _sources(plan)]


def split_plan(plan: Node, giver: SplitGiver) -> Node:
    """`plan`, reading the splits that `giver` gives."""
    endless = any(isinstance(n, RepeatNode) and n.count < 0 for n in walk(plan))
    made = {
        id(node): SplitsNode(tuple(_cut(node)), number, endless, giver, source=node.source)
        for number, node in enumerate(_sources(plan))
    }
    return _rewritten(plan, lambda node: made.get(id(node)))


@dataclasses.dataclass(frozen=True, eq=False)
class SplitsNode(Node):
    """The elements of those splits of a source that a giver gives.

    Attributes:
        splits: the source's parts.
        number: the source's, among those of the plan.
        endless: whether it is repeated without end: an iteration in which the others were
            faster is then no reason to stop.
        giver: who is asked.
    """

    splits: tuple[Node, ...] = dataclasses.field(repr=False)
    number: int
    endless: bool
    giver: SplitGiver = dataclasses.field(repr=False)

    def _element_spec(self) -> Any:
        return self.splits[0].element_spec

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _SplitsStage(self, inputs, context)


class _SplitsStage(Stage):
    """One split's stage after the other; the state is which, and where in it."""

    node: SplitsNode

    def __init__(self, node: SplitsNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.pure = True
        self._repetition = 0
        self._number = 0  # of the split at work, or else of the next
        self._inner: Stage | None = None

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while self._inner is not None or self._open():
            assert self._inner is not None
            block = self._inner.next_block(max_rows, need_rows)
            if block is not None:
                return block
            self._close()
            self._number += 1
        return None

    def _open(self) -> bool:
        node = self.node
        split = node.giver.split(node.number, self._repetition, self._number)
        while split is None and node.endless and self._number == 0:
            self._repetition += 1
            split = node.giver.split(node.number, self._repetition, 0)
        if split is None:
            return False
        self._inner = build_stage(node.splits[split], self.context.nested())
        return True

    def _state(self) -> State:
        inner = None if self._inner is None else self._inner.state()
        return {"repetition": self._repetition, "number": self._number, "inner": inner}

    def _restore(self, state: State) -> None:
        self._close()
        self._repetition, self._number = state["repetition"], state["number"]
        if state["inner"] is not None and self._open():
            assert self._inner is not None
            self._inner.restore(state["inner"])

    def _restart(self) -> None:
        self._close()
        self._repetition += 1
        self._number = 0

    def _close(self) -> None:
        if self._inner is not None:
            self._inner.close()
            self._inner = None
