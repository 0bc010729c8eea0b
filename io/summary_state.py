"""Where summaries go now: this thread's default writer, step and condition.

`SummaryWriter.as_default`, `record_if` and `set_step` change it; the functions of `summary.py`
read it.  As in TensorFlow, nothing is recorded without a default writer.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from .event_files import EventFileWriter

__all__ = [
    "SummaryWriter",
    "create_file_writer",
    "create_noop_writer",
    "current",
    "get_step",
    "record_if",
    "set_step",
    "should_record_summaries",
]


class _State(threading.local):
    writer: Any = None
    step: Any = None
    condition: Any = True


current = _State()


class SummaryWriter:
    """Takes summaries for one folder; see `create_file_writer`.

    Args:
        file: the event file, or None for a writer that writes nothing.
    """

    def __init__(self, file: EventFileWriter | None = None):
        self._file = file
        self._closed = False

    @contextlib.contextmanager
    def as_default(self, step: Any = None) -> Iterator[SummaryWriter]:
        """Make it the default writer of the block, and `step` the default step.

        The writer is flushed when the block ends.

        Raises:
            RuntimeError: the writer is closed.
        """
        self._check_open()
        before = current.writer, current.step
        current.writer = self
        if step is not None:
            current.step = step
        try:
            yield self
        finally:
            current.writer, current.step = before
            self.flush()

    def set_as_default(self, step: Any = None) -> None:
        """Make it this thread's default writer from now on, and `step` the default step.

        Raises:
            RuntimeError: the writer is closed.
        """
        self._check_open()
        current.writer = self
        if step is not None:
            current.step = step

    def init(self) -> None:
        """Nothing: a writer is ready when it is made."""

    def add(self, event: Any) -> None:
        """Append an `Event` message."""
        if self._file is not None:
            self._file.add(event)

    def flush(self) -> None:
        """Hand everything written so far to the file system."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Finish the file; harmless when repeated."""
        self._closed = True
        if self._file is not None:
            self._file.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("SummaryWriter is already closed")


def create_file_writer(
    logdir: str | os.PathLike[str],
    max_queue: int | None = None,
    flush_millis: int | None = None,
    filename_suffix: str | None = None,
    name: str | None = None,
) -> SummaryWriter:
    """A writer of summaries to a new event file in `logdir`.

    Args:
        logdir: folder or URL, made if it is not there.
        max_queue: events that may wait before they are written; 10 by default.
        flush_millis: milliseconds that an event may wait; 120 000 by default.
        filename_suffix: end of the file's name; ".v2" by default.
        name: ignored.

    Raises:
        PermissionDeniedError: the folder or file may not be written.

    >>> import tempfile, headrace as hr
    >>> with hr.summary.create_file_writer(tempfile.mkdtemp()).as_default():
    ...     bool(hr.summary.scalar("loss", 0.5, step=1))
    True
    """
    if logdir is None:
        raise ValueError("Argument `logdir` cannot be None")
    return SummaryWriter(EventFileWriter(logdir, max_queue, flush_millis, filename_suffix))


def create_noop_writer() -> SummaryWriter:
    """A writer that writes nothing."""
    return SummaryWriter()


@contextlib.contextmanager
def record_if(condition: Any) -> Iterator[None]:
    """Record the block's summaries only if `condition` holds.

    Args:
        condition: a bool, a bool tensor, or a function that gives one whenever it is asked.
    """
    before, current.condition = current.condition, condition
    try:
        yield
    finally:
        current.condition = before


def should_record_summaries() -> Any:
    """Whether a summary would be recorded now: a bool, or a tensor in a traced function."""
    if current.writer is None:
        return False
    condition = current.condition
    return condition() if callable(condition) else condition


def get_step() -> Any:
    """This thread's default step, or None."""
    return current.step


def set_step(step: Any) -> None:
    """Make `step` this thread's default step.

    Args:
        step: an integer, an integer tensor or a `Variable`, which is read whenever a summary is
            written; None for no default.
    """
    current.step = step
