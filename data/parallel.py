"""parallel_map, parallel_filter: a user's function on several blocks at a time, in order.

The rules put `ParallelNode` where a traced function stands.  Traced functions are pure, so
blocks are pulled ahead and worked on by the shared pool (`parallel_blocks.ParallelBlocks`);
delivery, errors and state are those of the plain transformation.  An eager function runs here
only because the user asked for `num_parallel_calls`; then every element is an item of work.

Handing a block to another thread costs some 50 us.  A stage therefore begins on its consumer's
thread and starts others once blocks take longer than `_WORTH_S` and `_START_S` have gone by;
cheap functions and small datasets never do.

Blocks grow, from a few rows, to about `TARGET_BYTES` of input and output together or
`_TARGET_S` of work, whatever comes first: long enough to be worth handing over, short enough
for the caches and for stopping soon.  Their rows are a multiple of `multiple`, the size of the
batches made later, so that batches are views of blocks.

How many threads work at a time, and how many blocks are in flight beyond theirs, is the
pipeline's `Tuner`'s choice where the user left it open (`autotune`); with
``options.autotune.enabled = False`` it is one thread per CPU (or `cpu_budget`) and as many
blocks again.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
import weakref
from functools import cached_property
from typing import Any

from ..ops.tensor_spec import TensorSpec
from .applying import apply_function
from .block import Block
from .caught import Caught
from .executor import Item
from .functions import UserFunction
from .knob import Knob
from .node import UNKNOWN, UnaryNode
from .parallel_blocks import ParallelBlocks
from .pool import WorkerPool, usable_cpus
from .results import ELEMENT_BITS
from .stage import Context, Stage, State
from .stats import short_line
from .transforms.map import locate

__all__ = ["TARGET_BYTES", "ParallelNode"]

TARGET_BYTES = 8 << 20
_FIRST_ROWS = 32
_WORTH_S = 150e-6
_START_S = 3e-3
_MAX_ROWS = 1 << 16
_IMPURE_ROWS = 8
_TARGET_S = 4e-3
_AHEAD_LEAST = 1  # blocks in flight beyond those being worked on
_EAGER_AHEAD_MOST = 8  # the same for single elements, per thread


@dataclasses.dataclass(frozen=True, eq=False)
class ParallelNode(UnaryNode):
    """`function` mapped over the elements, or filtering them, by `parallelism` threads.

    `kind` is "map", "filter" or "map_filter" (see `apply_function`);
    `parallelism` 0 means one thread per usable CPU.
    """

    function: UserFunction
    kind: str
    parallelism: int = 0
    deterministic: bool = True
    multiple: int = 1

    def _element_spec(self) -> Any:
        if self.kind == "filter":
            return self.input.element_spec
        given = self.function.output_spec
        return given[0] if self.kind == "map_filter" else given

    def _cardinality(self) -> int:
        n = self.input.cardinality
        return n if self.kind == "map" or n == 0 else UNKNOWN

    @cached_property
    def label(self) -> str:
        """``parallel_`` and the kind, with the user's name for it."""
        return f"parallel_{self.kind}:{self.name}" if self.name else f"parallel_{self.kind}"

    def describe(self) -> str:
        """The function, the threads and the order."""
        threads = self.parallelism or "one per CPU"
        order = "" if self.deterministic else ", in any order"
        return f"{self.label}({self.function.name}, threads={threads}{order})"

    def make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        """The stage, on the shared pool."""
        return _ParallelStage(self, inputs, context)


def _least_bytes(node: ParallelNode) -> int:
    """What an element takes before and behind the function, as far as its spec says so."""
    total = 1
    for leaf in (*node.input.structure.leaves, *node.structure.leaves):
        if isinstance(leaf, TensorSpec) and leaf.shape.rank is not None:
            total += math.prod(n or 1 for n in leaf.shape) * leaf.dtype.size
    return total


class _ParallelStage(Stage):
    """Holds the block it is handing out; all others are the executor's."""

    node: ParallelNode
    _choice = "the consumer's thread (its blocks are not worth handing over)"

    def __init__(self, node: ParallelNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        tuner = context.tuner
        self._eager = node.function.traced is None
        self._threads = node.parallelism or tuner.cpu_budget
        self._pool = tuner.pool
        if self._eager and self._threads > self._pool.size:
            self._pool = WorkerPool(self._threads)  # a Python function may wait, not compute
        self._target_bytes = min(TARGET_BYTES, tuner.ram_budget // (2 * self._threads))
        self._item_bytes = 0
        self.work_s = self._cpu_s = 0.0
        self._work_rows = 0
        self.knob = self._make_knob()
        # Blocks of pure functions lose nothing by keeping order; a user's slow calls may.
        self._ordered = node.deterministic or not self._eager
        # What runs Python before this stage was not asked to run thousands of elements ahead.
        self._most_rows = 1 if self._eager else _MAX_ROWS if self.pure else _IMPURE_ROWS
        self.pure = self.pure and not node.function.is_stateful
        self._lock = threading.Lock()
        self._executor: ParallelBlocks | None = None
        self._restart()

    def _make_knob(self) -> Knob:
        asked, most = self.node.parallelism, self._threads
        stage = weakref.proxy(self)  # or the two would keep each other alive
        fixed = not self.context.tuner.enabled or (self._eager and asked > 0)
        least = most if fixed else _AHEAD_LEAST
        return Knob(
            workers=asked or None, most_workers=most,
            ahead=most if self._eager else least, least_ahead=least,
            most_ahead=most if fixed or not self._eager else _EAGER_AHEAD_MOST * most,
            apply=lambda *given: stage._apply(*given),
            work=lambda: (stage.work_s, stage._work_rows),
            item_bytes=lambda: stage._item_bytes,
        )  # fmt: skip

    def _apply(self, workers: int, ahead: int, share_bytes: int) -> None:
        """Work and read ahead with so many threads and blocks, from the next ones on."""
        self._target_bytes = min(TARGET_BYTES, share_bytes // (workers + ahead))
        executor = self._executor
        if executor is not None:
            executor.set_bounds(workers, workers + ahead)

    @property
    def threads(self) -> int:
        """Threads that may work at a time; 0 while all is done on the consumer's thread."""
        return self.knob.workers if self._executor is not None else 0

    @property
    def choice(self) -> str:
        """What was chosen for it and why, for `stats()`."""
        if self._executor is None:
            return self._choice
        knob, things = self.knob, "elements" if self._eager else "blocks"
        most = f" of {knob.most_workers}" if knob.tuned else ""
        why = f" ({knob.why_workers})" if knob.why_workers else ""
        why_ahead = f" ({knob.why_ahead})" if knob.why_ahead else ""
        return (
            f"{knob.workers}{most} thread{'s' if knob.most_workers > 1 else ''}{why}, "
            f"{knob.workers + knob.ahead} {things} in flight{why_ahead}"
        )

    @property
    def _rows_per_item(self) -> int:
        multiple = self.node.multiple
        if self._eager or multiple > self._most_rows:
            return self._rows
        return max(self._rows // multiple, 1) * multiple

    def _learn_size(self, rows: int, size_bytes: int, spent_s: float) -> None:
        """Let the next blocks be as large as bytes and time of this one suggest."""
        if self._eager or rows < self._rows // 2:
            return
        by_bytes = rows * self._target_bytes // max(size_bytes, 1)
        by_time = int(rows * _TARGET_S / max(spent_s, 1e-6))
        # In steps: a block may be slow for reasons that do not last, such as a compiler.
        best = min(by_bytes, by_time, 8 * max(self._rows, rows), self._most_rows)
        self._rows = max(best, self._rows // 2, 1)

    # -- the executor's side ----------------------------------------------------------------

    def pull(self) -> tuple[Block, int] | None:
        """The next input block and the position of its first row; one thread at a time."""
        rows = self._rows_per_item
        if rows > self.node.multiple:
            rows -= self._pulled % (1 << ELEMENT_BITS) % self.node.multiple
        while True:
            if self._late is not None:
                late, self._late = self._late[0], None
                raise late.take()
            block = self.input.next_block(rows, rows)
            if block is None:
                return None
            first = self._pulled
            self._pulled += block.num_rows
            if block.num_rows < rows and self.node.function.runs_rows:
                block = self._joined(block, rows)
            if first not in self._dropped:
                return block, first

    def _joined(self, block: Block, rows: int) -> Block:
        """`block` with those that follow, up to `rows`: what goes into functions of images is
        small, and batches of what comes out should not have to be copied together.  An error
        waits for the next pull."""
        parts, have = [block], block.num_rows
        while have < rows:
            before = self.save()
            try:
                more = self.input.next_block(rows - have, rows - have)
            except Exception as error:
                self._late = Caught(error).put_off(), before
                break
            if more is None:
                break
            parts.append(more)
            have += more.num_rows
            self._pulled += more.num_rows
        return Block.concat(parts)

    def save(self) -> State:
        """Where `pull` stands."""
        if self._late is not None:
            return self._late[1]
        return {"input": self.input.state(), "position": self._pulled}

    def _work(self, pulled: tuple[Block, int]) -> tuple[Block, Caught | None, Any]:
        block, first = pulled
        began, cpu = time.perf_counter(), time.thread_time()
        node = self.node
        out, done, error = apply_function(
            node.kind, node.function, block, first, self.structure
        )
        rest = None
        if error is not None:
            locate(error, block, done)
            if done or self._executor is not None:
                error.put_off()  # raised by a later call, or on another thread
            if done + 1 < block.num_rows:
                rest = block[done + 1 :], first + done + 1
        spent_s = time.thread_time() - cpu  # of a core: what others do must not matter
        size_bytes = block.nbytes + out.nbytes
        with self._lock:
            self.work_s += time.perf_counter() - began
            self._cpu_s += spent_s
            self._work_rows += block.num_rows
            self._item_bytes = max(size_bytes, self._item_bytes // 2)
            self._learn_size(block.num_rows, size_bytes, spent_s)
        return out, error, rest

    # -- the consumer's side ----------------------------------------------------------------

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        while self._ready is None:
            if self._rest is not None:
                self._take(self._work(self._rest))
                continue
            if self._worth_threads():
                item = self._open().next()
                self.context.tuner.tick()
            else:
                item = self._inline()
            if item is None:
                return None
            if item.error is not None:
                raise item.result()
            if not self._ordered:
                self._done.add(item.state["position"])
            self._hold(item.state)
            self._take(item.value)
        block, self._ready = self._ready, None
        rows = min(max_rows, self._whole(block.num_rows))
        self._given += rows
        if block.num_rows > rows:
            block, self._ready = block[:rows], block[rows:]
        elif self._failed is not None:
            failed, self._failed = self._failed, None
            if block.num_rows == 0:
                if self._rest is None:
                    self._release()
                raise failed.take()
            self._raise_later(failed, release=self._rest is None)
        elif self._rest is None:
            self._release()
        return block

    def _whole(self, rows: int) -> int:
        """How many of `rows` rows to hand out, so that batches seldom span two blocks."""
        multiple = self.node.multiple
        begun = -self._given % multiple  # rows until the batch under way is complete
        if begun:
            return min(rows, begun)
        return rows - rows % multiple or rows

    def _worth_threads(self) -> bool:
        """Whether threads would pay: blocks are large enough, and there are many of them."""
        started = self._executor is not None
        return started or self._eager or (self._slow >= 2 and self._inline_s > _START_S)

    def _inline(self) -> Item | None:
        """One item of work on this thread; notes how long it took."""
        item = Item(self.save())
        began = time.perf_counter()
        pulled = self.pull()
        if pulled is None:
            return None
        item.value = self._work(pulled)
        spent = time.perf_counter() - began
        self._slow = self._slow + 1 if spent > _WORTH_S else 0
        self._inline_s += spent
        return item

    def _take(self, result: tuple[Block, Caught | None, Any]) -> None:
        out, self._failed, self._rest = result
        if out.num_rows or self._failed is not None:
            self._ready = out
        elif self._rest is None:
            self._release()

    @property
    def advice(self) -> str:
        """What would make it faster, for `stats()`."""
        node, knob = self.node, self.knob
        step = f"{node.function.name} ({short_line(node.source)}) is the slowest step: "
        limit = "num_parallel_calls" if node.parallelism else "options.autotune.cpu_budget"
        if knob.ceiling:
            return f"{step}its calls wait for each other; let it be traced, or do less in it"
        if self._eager and self._cpu_s < 0.5 * self.work_s:
            return f"{step}it waits more than it computes, so {limit} > {self._threads} helps"
        if self._threads < usable_cpus():
            return f"{step}give it less to do, or set {limit} > {self._threads}"
        return f"{step}give it less to do, or run it on more than {self._threads} core(s)"

    def _open(self) -> ParallelBlocks:
        if self._executor is None:
            self._executor = ParallelBlocks(
                _Input(self), self._work, parallelism=1, ordered=self._ordered, pool=self._pool
            )
            self.context.tuner.add(self.knob, self._executor)
        return self._executor

    # -- state ------------------------------------------------------------------------------

    def _state(self) -> State:
        if self._executor is None:
            return self.save()
        state = dict(self._executor.state())
        if not self._ordered:
            done = {p for p in self._done if p >= state["position"]}
            self._done = done
            state["done"] = sorted(done)
        return state

    def _restore(self, state: State) -> None:
        self._stop()
        self.input.restore(state["input"])
        self._restart()
        self._pulled = state["position"]
        self._done = set(state.get("done", ()))
        self._dropped = frozenset(self._done)

    def restart(self) -> None:
        """Back to the beginning; no thread may be reading the input by then."""
        self._stop()
        super().restart()

    def _restart(self) -> None:
        self._late: tuple[Caught, State] | None = None  # an error to raise, and before it
        self._pulled = self.node.function.first_index()  # and the rows pulled from the input
        self._given = 0  # rows handed out since the beginning or the restored position
        self._slow = 0  # items in a row that took long enough for a handover
        self._inline_s = 0.0
        known = max(1, self._target_bytes // _least_bytes(self.node))
        self._rows = min(_FIRST_ROWS, known, self._most_rows)  # of the next item
        self._ready: Block | None = None
        self._failed: Caught | None = None
        self._rest: tuple[Block, int] | None = None
        self._done: set[int] = set()  # out of order: positions handed out, the latest ones
        self._dropped: frozenset[int] = frozenset()

    def _stop(self) -> None:
        if self._executor is not None:
            self._choice = self.choice
            self.context.tuner.remove(self.knob)
            self._executor.close(keep_source=True)
            self._executor = None

    def close(self) -> None:
        """Stop the threads; the last of them to leave closes the input."""
        if self._executor is not None:
            self.context.tuner.remove(self.knob)
            self._executor.close()
        else:
            self.input.close()

    def buffered(self) -> tuple[int, int]:
        """Elements and bytes worked on and not yet delivered."""
        items = self._executor.items() if self._executor is not None else []
        blocks = [item.value[0] for item in items if item.done and item.error is None]
        return sum(b.num_rows for b in blocks), sum(b.nbytes for b in blocks)


class _Input:
    """The stage's input as an executor's source."""

    def __init__(self, stage: _ParallelStage):
        self.pull = stage.pull
        self.save = stage.save
        self.close = stage.input.close
