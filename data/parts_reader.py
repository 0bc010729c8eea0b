"""PartsReader: one CSV file read in parts, several of them converted at a time, in order.

Cutting a file where quotes say that records end is fast; converting its fields is the work,
which the shared pool does.  What the quotes say is wrong where a quote stands in the middle of
a field: converting a part then stops before its end, the parts behind it are forgotten, and the
rest of the file is read without threads.  So records, errors and positions are always the plain
reader's.

Parts are read once the file has proved large: a small one is done before threads have started.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..io.csv_reader import CsvReader, RecordError
from .parallel_blocks import ParallelBlocks

__all__ = ["PartsReader"]

_PLAIN_BYTES = 1 << 20
_MOST_THREADS = 16  # reading and cutting, which one thread does, feeds no more
Position = list[int]


class _Parts:
    """The executor's source; closing it leaves the reader open for the rest of the file."""

    def __init__(self, reader: CsvReader):
        self._reader = reader
        self.pull = reader.next_part

    def save(self) -> Position:
        return self._reader.position

    def close(self) -> None:
        self._reader.close()


def _convert(part: CsvReader) -> tuple[deque[tuple[Position, Any]], float]:
    """All records and errors of a part, with where they begin (if the part ends within a
    record, None stands for what is left), and the seconds it took."""
    began = time.perf_counter()
    found: deque[tuple[Position, Any]] = deque()
    while True:
        at = part.position
        try:
            rows = part.read()
        except RecordError as error:
            found.append((at, error))
            continue
        if rows is None:
            if part.left_bytes:
                found.append((at, None))
            return found, time.perf_counter() - began
        found.append((at, rows))


class PartsReader:
    """An `ArrowReader` over one file.

    Args:
        open_at: opens the plain reader at a position (None: the beginning).
        position: where to begin.
        threads: parts converted at a time.

    Attributes:
        work_s: seconds that threads have converted parts.
    """

    def __init__(
        self,
        open_at: Callable[[Position | None], CsvReader],
        position: Position | None,
        threads: int,
    ):
        self.work_s = 0.0
        self._open_at = open_at
        self._reader = open_at(position)
        self._threads = min(threads, _MOST_THREADS)
        self._start_bytes = self._reader.position[0] + _PLAIN_BYTES
        self._executor: ParallelBlocks | None = None
        self._found: deque[tuple[Position, Any]] = deque()

    @property
    def position(self) -> Position:
        """Byte offset and line number of the next batch."""
        if self._found:
            return self._found[0][0]
        if self._executor is not None:
            position: Position = self._executor.state()
            return position
        return self._reader.position

    @property
    def threads(self) -> int:
        """Threads that may work at a time; 0 while there are none."""
        return self._threads if self._executor is not None else 0

    def read(self) -> Any:
        """The next records, or None at the end.

        Raises:
            RecordError: the next record cannot be read.
        """
        while True:
            if self._found:
                at, rows = self._found.popleft()
                if rows is None:
                    self._go_on_alone(at)
                    continue
                if isinstance(rows, RecordError):
                    raise rows
                return rows
            if self._executor is None:
                small = self._reader.position[0] < self._start_bytes
                if self._threads < 2 or small or not self._reader.cuts:
                    return self._reader.read()
                self._executor = ParallelBlocks(
                    _Parts(self._reader), _convert, parallelism=self._threads
                )
            item = self._executor.next()
            if item is None:
                # The end, or what cannot be cut into parts: the reader knows.
                self._executor.close(keep_source=True)
                self._executor, self._threads = None, 1
            else:
                self._found, seconds = item.result()
                self.work_s += seconds

    def _go_on_alone(self, position: Position) -> None:
        """Read from `position` on without threads: it was cut in the wrong place."""
        self.close()
        self._threads = 1
        self._reader = self._open_at(position)

    def close(self) -> None:
        """Stop the threads and close the file."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None
        else:
            self._reader.close()
        self._found.clear()
