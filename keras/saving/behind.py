"""Files written behind the training's back: by a thread, while the steps go on.

`write_behind` takes a task that needs nothing of the model any more: what it writes was copied
before.  Whoever reads a file in this process calls `finish` first, so that it finds what was
written last.  A write that is under way when the program ends is completed: its thread is no
daemon.  Files appear complete or not at all, which is the task's affair (`atomic.py`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from ...distribute.context import get_strategy

__all__ = ["Write", "finish", "write_behind"]


class Write:
    """One file being written.

    Args:
        path: the file.
        task: writes it.
    """

    def __init__(self, path: str, task: Callable[[], None]):
        self.path = path
        self._task: Callable[[], None] | None = task
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"write {os.path.basename(path)}"
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        try:
            assert self._task is not None
            self._task()
        except BaseException as error:
            self._error = error
        finally:
            self._task = None  # and the copy of the weights with it
            with _lock:
                if _pending.get(self.path) is self:
                    del _pending[self.path]

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._task is None

    def wait(self) -> None:
        """Wait for the end; an error is left for `result`."""
        self._thread.join()

    def result(self) -> None:
        """Wait for the end.

        Raises:
            Exception: what the task raised, noted where it happened; once.
        """
        self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            error.add_note(f"while {self.path} was written in the background")
            raise error


def _nothing() -> None:
    pass


_lock = threading.Lock()
_pending: dict[str, Write] = {}


def write_behind(path: str, task: Callable[[], None]) -> Write:
    """`task`, which writes `path`, run by a thread; an earlier write of the file ends first.

    Of several workers only the chief writes.
    """
    if not get_strategy().extended.is_chief:
        task = _nothing
    path = os.path.abspath(path)
    finish(path)
    found = Write(path, task)
    with _lock:
        _pending[path] = found
    found.start()
    return found


def finish(path: Any = None) -> None:
    """Wait until `path`, or everything, is written; errors are left to those who wrote."""
    with _lock:
        if path is None:
            waiting = list(_pending.values())
        else:
            found = _pending.get(os.path.abspath(os.fspath(path)))
            waiting = [] if found is None else [found]
    for write in waiting:
        write.wait()
