"""Which strategy a piece of code runs under, and on which side of it.

Each thread has its own stack of frames.  A frame is either a strategy's *cross-replica* side
(inside `strategy.scope()`) or one *replica* of it (inside a function given to
`strategy.run`).  With an empty stack the code is the single replica of the default strategy.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..ops.context import current

if TYPE_CHECKING:
    from .replica_context import ReplicaContext
    from .strategy import Strategy


class _Frames(threading.local):
    def __init__(self) -> None:
        self.stack: list[tuple[Strategy, ReplicaContext | None]] = []
        self.fixed: Any = None  # the scope that `set_strategy` opened


_frames = _Frames()
_default: tuple[Strategy, ReplicaContext]


def set_default(strategy: Strategy, replica: ReplicaContext) -> None:
    """Makes `strategy` the one in force where no scope is open; called once, at import."""
    global _default
    _default = strategy, replica


@contextlib.contextmanager
def entered(strategy: Strategy, replica: ReplicaContext | None = None) -> Iterator[None]:
    """Runs the block on `strategy`'s cross-replica side, or as `replica` where one is given.

    Raises:
        RuntimeError: another strategy's scope is open.
    """
    if has_strategy() and get_strategy() is not strategy:
        raise RuntimeError(
            f"Mixing different hr.distribute.Strategy objects: {get_strategy()!r} is not "
            f"{strategy!r}. Leave the open scope before entering another strategy's."
        )
    before = current.replica, current.variables
    _frames.stack.append((strategy, replica))
    several = strategy.num_replicas_in_sync > 1
    current.replica = replica if several else None
    current.variables = strategy if several else None
    try:
        yield
    finally:
        _frames.stack.pop()
        current.replica, current.variables = before


def set_strategy(strategy: Any) -> None:
    """Make `strategy` the one in force in this thread outside of any scope; None for the
    default one.

    Raises:
        RuntimeError: a scope is open.
    """
    if _frames.stack and not _frames.fixed:
        raise RuntimeError(
            "experimental_set_strategy must be called outside of any strategy's scope"
        )
    if _frames.fixed is not None:
        fixed, _frames.fixed = _frames.fixed, None
        fixed.__exit__(None, None, None)
    if strategy is not None:
        fixed = strategy.scope()
        fixed.__enter__()
        _frames.fixed = fixed


def get_strategy() -> Strategy:
    """The strategy whose scope is open in this thread, else the default one-replica strategy.

    >>> import headrace as hr
    >>> hr.distribute.get_strategy().num_replicas_in_sync
    1
    """
    return _frames.stack[-1][0] if _frames.stack else _default[0]


def has_strategy() -> bool:
    """True where a strategy other than the default one is in force."""
    return get_strategy() is not _default[0]


def in_cross_replica_context() -> bool:
    """True inside `strategy.scope()`, False inside `strategy.run` and outside of both."""
    return bool(_frames.stack) and _frames.stack[-1][1] is None


def get_replica_context() -> ReplicaContext | None:
    """The replica this code runs as, or None on a strategy's cross-replica side."""
    return _frames.stack[-1][1] if _frames.stack else _default[1]
