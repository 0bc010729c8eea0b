"""Stage: a transformation at work.

Stages form a tree; each pulls blocks from its inputs.  The rules every stage keeps:

- ``next_block(max_rows, need_rows)`` returns a block of 1 to `max_rows` rows, or None at the
  end.  `need_rows` is how many rows the consumer will certainly use: what has side effects
  (an untraceable user function, a generator) must not run beyond it; everything else may
  ignore it.  Fewer rows than asked for are always allowed.
- ``state()`` describes the position *after all rows returned so far*: plain dicts, lists, ints,
  strings, bytes; never aliased with anything that changes later; cheap, because consumers that
  read ahead take it before every block they pull.  ``restore(state)`` on a fresh stage of an
  equal node goes there: what follows is exactly the same.
- A stage that holds rows (or an error) back calls ``_hold(state)`` with its own state from
  before it read them: until ``_release()``, ``state()`` is that state plus the number of rows
  and errors handed out since, and restoring replays and drops those.
- ``restart()`` goes back to the beginning for a further iteration (``repeat``); a reshuffling
  ``shuffle`` then takes its next epoch.
- If row k of a block cannot be made, the rows before it are returned and the error is raised
  by the next call (`_raise_later`); the call after that goes on behind the bad element.  The
  base class adds stage and user line to the error's text, once.
- `pure` says that reading beyond what is needed has no side effects.
- ``close()`` stops threads and frees files; idempotent; `next_block` is not called after it.

A stage is used by one thread at a time.  Subclasses write `_next`, `_state`, `_restore`,
`_restart` and, where there is anything to free, `_close`.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..ops.context import placing
from ..ops.devices import HOST, at
from ..ops.errors import CancelledError, OpError
from ..ops.profiling import profiling
from .autotune import Tuner
from .block import Block
from .caught import Caught

if TYPE_CHECKING:
    from .node import Node
    from .structure import Structure

__all__ = ["Context", "Stage", "State", "build_stage"]

State = dict[str, Any]


class Context:
    """What all stages of one iterator share.

    Attributes:
        options: the merged `Options` in force, or None.
        tuner: sets how many threads stages use and how far they read ahead.
        stopping: set when the iterator closes; long waits watch it.
    """

    def __init__(self, options: Any = None, tuner: Tuner | None = None):
        self.options = options
        self.tuner = tuner or Tuner(options)
        self.stopping = threading.Event()

    def nested(self) -> Context:
        """A context for stages made while others run; closing is theirs who made them."""
        inner = Context(self.options, self.tuner)
        inner.stopping = self.stopping
        return inner


class _Held:
    __slots__ = ("errors", "rows", "state")

    def __init__(self, state: State):
        self.state = state
        self.rows = 0
        self.errors = 0


class Stage(ABC):
    """The running form of a node.

    Attributes:
        node: the node it runs.
        inputs: the stages it pulls from.
        context: shared by the stages of the iterator.
        pure: whether it may be read beyond what is needed without side effects.
        calls, rows, seconds: how often it was asked, rows returned, time spent in it and its
            inputs together.
    """

    pure: bool

    @property
    def structure(self) -> Structure:
        """The structure of the elements."""
        return self.node.structure

    def __init__(self, node: Node, inputs: Sequence[Stage], context: Context):
        self.node = node
        self.inputs = tuple(inputs)
        self.context = context
        self.pure = all(stage.pure for stage in self.inputs)
        self.calls = 0
        self.rows = 0
        self.seconds = 0.0
        self._held: _Held | None = None
        self._pending: Caught | None = None
        self._release_after = False

    # -- for consumers --------------------------------------------------------------------

    def next_block(self, max_rows: int, need_rows: int = 1) -> Block | None:
        """The next 1 to `max_rows` rows, or None at the end."""
        if self.context.stopping.is_set():  # ends long loops over inputs on other threads
            raise CancelledError("the iterator was closed")
        began = time.perf_counter()
        try:
            if self._pending is not None:
                raise self._take_pending().take()
            if placing.on:  # datasets run on the host
                with at(HOST):
                    block = self._next(max_rows, need_rows)
            else:
                block = self._next(max_rows, need_rows)
        except Exception as error:
            if self._held is not None:
                self._held.errors += 1
            raise add_origin(error, self.node) from error.__cause__
        finally:
            self.seconds += time.perf_counter() - began
            self.calls += 1
            if profiling.on:
                profiling.add(f"Iterator::{self.node.label}", int(began * 1e9))
        if block is not None:
            self.rows += block.num_rows
            if self._held is not None:
                self._held.rows += block.num_rows
        return block

    def skip_rows(self, count: int) -> int:
        """Drop the next `count` rows; returns how many there were before the end."""
        if self._held is not None or self._pending is not None:
            return Stage._skip(self, count)
        return self._skip(count)

    def state(self) -> State:
        """The position after all rows returned so far."""
        held = self._held
        if held is not None:
            return {"replay": held.state, "rows": held.rows, "errors": held.errors}
        return self._state()

    def restore(self, state: State) -> None:
        """Go to a saved position."""
        self._held = self._pending = None
        if "replay" not in state:
            self._restore(state)
            return
        self._restore(state["replay"])
        rows, errors = state["rows"], state["errors"]
        while rows or errors:
            try:
                block = self.next_block(rows or 1, rows or 1)
            except Exception:
                if not errors:
                    raise
                errors -= 1
            else:
                if block is None:
                    break
                rows -= block.num_rows

    def restart(self) -> None:
        """Go back to the beginning, as a further iteration over the same node."""
        for stage in self.inputs:
            stage.restart()
        self._held = self._pending = None
        self._restart()

    def close(self) -> None:
        """Stop threads and free files, of the inputs too."""
        self._close()
        for stage in self.inputs:
            stage.close()

    # -- for subclasses -------------------------------------------------------------------

    def _hold(self, state: State) -> None:
        """Rows returned from now on (this call's included) are counted from `state`."""
        self._held = _Held(state)

    def _release(self) -> None:
        """Nothing is held back any more: `_state` tells the position again."""
        self._held = None

    def _raise_later(self, error: Caught, release: bool = False) -> None:
        """Have the next call raise `error`; `release` then ends the hold."""
        self._pending = error.put_off()
        self._release_after = release

    def _take_pending(self) -> Caught:
        error, self._pending = self._pending, None
        assert error is not None
        if self._release_after:
            self._release()
        return error

    @property
    def input(self) -> Stage:
        """The first (for most: the only) input."""
        return self.inputs[0]

    @abstractmethod
    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        """See `next_block`."""

    def _skip(self, count: int) -> int:
        skipped = 0
        while skipped < count:
            left = count - skipped
            block = self.next_block(min(left, 4096), left)
            if block is None:
                break
            skipped += block.num_rows
        return skipped

    def _state(self) -> State:
        return {"input": self.input.state()} if self.inputs else {}

    def _restore(self, state: State) -> None:
        if self.inputs:
            self.input.restore(state["input"])

    def _restart(self) -> None:  # noqa: B027 - most stages keep nothing of their own
        """Reset what this stage itself keeps; its inputs have been restarted."""

    def _close(self) -> None:  # noqa: B027 - most stages hold nothing to free
        """Free what this stage itself holds; its inputs are closed after it."""


def add_origin(error: Exception, node: Node) -> Exception:
    """`error` with stage and user line in its text; the first stage it passes through wins."""
    if getattr(error, "_headrace_origin", None) is not None or isinstance(error, StopIteration):
        return error
    where = f"[stage {node.label}{f', {node.source}' if node.source else ''}]"
    try:
        error._headrace_origin = where  # type: ignore[attr-defined]
    except AttributeError:
        return error
    if isinstance(error, OpError):
        error.message = f"{error.message} {where}"
        error.args = (error.message, *error.args[1:])
    elif hasattr(error, "add_note"):
        error.add_note(where)
    return error


def build_stage(node: Node, context: Context) -> Stage:
    """The stage tree of a plan."""
    inputs = [build_stage(child, context) for child in node.inputs]
    stage = node.make_stage(inputs, context)
    if hasattr(stage, "buffered"):
        context.tuner.watch(stage)
    return stage
