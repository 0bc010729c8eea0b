"""prefetch: a thread reads ahead of the consumer.

`buffer_size` counts elements.  Where reading ahead has no side effects the thread reads whole
blocks, at least as many elements as asked for; otherwise it keeps to `buffer_size` exactly.
With `AUTOTUNE` it begins with two blocks (eight single elements) and the pipeline's `Tuner`
lets it have more where that would have spared its consumer waiting (`autotune`); with
``options.autotune.enabled = False`` it stays at that.
"""

from __future__ import annotations

import dataclasses
import threading
import weakref

from ..block import Block
from ..failures import Failures
from ..knob import Knob
from ..node import UnaryNode
from ..prefetcher import Prefetcher
from ..stage import Context, Stage, State

__all__ = ["PrefetchNode", "PrefetchStage"]

_AUTO_ITEMS, _AUTO_BLOCKS, _MOST_ITEMS, _MOST_BLOCKS = 8, 2, 512, 32
_MOST_ROWS, _BLOCK_BYTES, _MOST_BYTES = 1 << 16, 1 << 19, 16 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class PrefetchNode(UnaryNode):
    """The same elements, made ahead; `buffer_size` -1 means the engine's choice."""

    buffer_size: int
    own_failures = Failures.NEVER
    columnwise = True

    @property
    def one_to_one(self) -> bool:
        """It is."""
        return True

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return PrefetchStage(self, inputs, context)


class _Reader:
    """The executor's source: blocks of the input; grows them until they are worth a handover.

    Closing it tells whoever waits that the thread has left.
    """

    def __init__(self, stage: Stage, close_input: threading.Event):
        self._stage = stage
        self._exact = not stage.pure
        self._rows = 16
        self._close_input = close_input
        self.left = threading.Event()

    def pull(self) -> Block | None:
        if self._exact:
            return self._stage.next_block(1, 1)
        block = self._stage.next_block(self._rows, 1)
        if block is not None and block.num_rows >= self._rows:
            if block.nbytes < _BLOCK_BYTES // 2 and self._rows < _MOST_ROWS:
                self._rows *= 4
        return block

    def save(self) -> State:
        return self._stage.state()

    def close(self) -> None:
        self.left.set()
        if self._close_input.is_set():
            self._stage.close()


class PrefetchStage(Stage):
    """Hands out the head block in parts; its state is the input's before that block."""

    node: PrefetchNode
    threads = 1
    _last_bytes = 0

    def __init__(self, node: PrefetchNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.knob = self._make_knob()
        self._closing = threading.Event()
        self._reader: _Reader | None = None
        self._executor: Prefetcher | None = None
        self._head: Block | None = None
        self._ended = False

    @property
    def work_s(self) -> float:
        """The thread itself only hands over."""
        return 0.0

    def _make_knob(self) -> Knob:
        size, pure = self.node.buffer_size, self.input.pure
        if size > 0:
            start = least = most = max(2, min(size, 8)) if pure else size
        else:
            start, least = (_AUTO_BLOCKS, 2) if pure else (_AUTO_ITEMS, 2)
            most = _MOST_BLOCKS if pure else _MOST_ITEMS
            if not self.context.tuner.enabled:
                least = most = start
        self._begins_with = start
        stage = weakref.proxy(self)  # or the two would keep each other alive
        return Knob(
            workers=1, most_workers=1, ahead=start, least_ahead=least, most_ahead=most,
            apply=lambda *given: stage._apply(*given), item_bytes=lambda: stage._item_bytes(),
        )  # fmt: skip

    def _item_bytes(self) -> int:
        executor = self._executor
        if executor is None or not executor.buffered:
            return self._last_bytes
        return executor.buffered_bytes // max(executor.buffered, 1)

    def _apply(self, workers: int, ahead: int, share_bytes: int) -> None:
        """Read so many items ahead."""
        executor = self._executor
        if executor is not None:
            grown = max(ahead // self._begins_with, 1)
            executor.set_bounds(ahead, min(share_bytes, grown * _MOST_BYTES))

    @property
    def choice(self) -> str:
        """What was chosen for it and why, for `stats()`."""
        if self._executor is None:
            return ""
        things = "blocks" if self.input.pure else "elements"
        why = f" ({self.knob.why_ahead})" if self.knob.why_ahead else ""
        return f"{self.knob.ahead} {things} ahead{why}"

    def _start(self) -> Prefetcher:
        if self._executor is None:
            self._reader = _Reader(self.input, self._closing)
            self._executor = Prefetcher(
                self._reader, max_items=2, size_bytes=lambda block: block.nbytes
            )
            self.context.tuner.add(self.knob, self._executor)
        return self._executor

    def begin(self) -> None:
        """Read ahead from now on; else that begins with the first block asked for."""
        self._start().start()

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        head = self._head
        if head is None:
            if self._ended:
                return None
            item = self._start().next()
            self.context.tuner.tick()
            if item is None:
                self._ended = True
                return None
            self._last_bytes = item.size_bytes
            head = item.result()
            if head.num_rows <= max_rows:
                return head
            self._hold(item.state)
        self._head = head[max_rows:] if head.num_rows > max_rows else None
        if self._head is None:
            self._release()
        return head[:max_rows]

    def _state(self) -> State:
        return self._executor.state() if self._executor is not None else self.input.state()

    def _stop(self) -> None:
        """Stop the thread and wait until it has left the input."""
        if self._executor is not None:
            self.context.tuner.remove(self.knob)
            self._executor.close()
            assert self._reader is not None
            self._reader.left.wait()
        self._executor = self._reader = self._head = None
        self._ended = False

    def _restore(self, state: State) -> None:
        self._stop()
        self.input.restore(state)

    def restart(self) -> None:
        """Stop reading ahead before the input goes back."""
        self._stop()
        super().restart()

    def close(self) -> None:
        """Stop the thread; if it is inside a user's function, it closes the input itself."""
        self._closing.set()
        if self._executor is not None:
            self.context.tuner.remove(self.knob)
            self._executor.close()
        else:
            self.input.close()

    def buffered(self) -> tuple[int, int]:
        """Elements and bytes read ahead."""
        if self._executor is None:
            return 0, 0
        return self._executor.buffered, self._executor.buffered_bytes
