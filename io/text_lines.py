r"""Reading text files by lines, many at a time, without copying them.

    reader = LineReader(path, compression="")           # "", "GZIP", "ZSTD", ...
    while (lines := reader.read_chunk(max_lines=1000)) is not None:
        lines                   # StringArray [n]
    reader.position             # (lines read, byte offset): where the next chunk begins
    LineReader(path, offset=byte_offset, line=lines_read)   # resumes there

As in TensorFlow, a line ends at ``\n`` or at the end of the file, every ``\r`` is dropped
wherever it stands, and a file's last line counts only if something is left of it.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import numpy as np

from ..ops.errors import DataLossError, InvalidArgumentError
from ..ops.string_array import StringArray
from . import jit
from .files import check_compression, open_stream
from .window import CHUNK_BYTES, Window

__all__ = ["LineReader"]

_NEWLINE, _RETURN = 10, 13
_MOST_LINES = 1 << 15  # found at a time


class LineReader:
    """Reads the lines of one file in order.

    Args:
        path: the file or URL; opened by the constructor.
        compression: ``""``, ``"GZIP"``, ``"ZLIB"``, ``"ZSTD"``, ``"SNAPPY"``, ``"LZ4"`` or
            ``"BZ2"``.
        offset: byte offset of a line in the decompressed file to begin at.
        line: number of the line at `offset`; only counted from.
        chunk_bytes: how much is read from the file at a time.

    Raises:
        NotFoundError: there is no such file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        compression: str | None = "",
        offset: int = 0,
        line: int = 0,
        chunk_bytes: int = CHUNK_BYTES,
    ):
        if offset < 0 or line < 0:
            raise InvalidArgumentError(
                f"offset and line must not be negative, got {offset} and {line}"
            )
        self.path = os.fsdecode(os.fspath(path))
        self.compression = check_compression(compression)
        stream = open_stream(self.path, self.compression, offset)
        self._window = Window(stream, offset, chunk_bytes)
        self._line = int(line)
        # The lines of the buffer that are known, from `low` on.  `_starts` has one item more:
        # where the next line begins.
        self._starts, self._ends = np.zeros(1, np.int64), np.empty(0, np.int64)
        self._returns = False  # whether carriage returns may stand inside of them
        self._scratch: Any = None

    @property
    def position(self) -> tuple[int, int]:
        """(number, byte offset) of the line that the next chunk begins with."""
        return self._line, self._window.offset

    def read_chunk(self, max_lines: int | None = None) -> StringArray | None:
        """The next lines, at least one and at most `max_lines`; None at the end of the file.

        Raises:
            DataLossError: the compressed data is damaged; the lines before came first.
            UnavailableError: a remote store stopped to answer.
        """
        if max_lines is not None and max_lines <= 0:
            raise InvalidArgumentError(f"max_lines must be positive, got {max_lines}")
        window = self._window
        while not len(self._ends):
            if window.kept:
                self._find_lines()
            if not len(self._ends):
                if window.ended:
                    return self._last_line()
                window.refill()
        n = len(self._ends) if max_lines is None else min(max_lines, len(self._ends))
        starts, ends, nexts = self._starts[:n], self._ends[:n], self._starts[1 : n + 1]
        self._starts, self._ends = self._starts[n:], self._ends[n:]
        window.low = int(nexts[-1])
        self._line += n
        if self._returns:
            return _without_returns(window.buffer, starts, nexts - 1)
        return StringArray(window.buffer, starts, ends)

    def _find_lines(self) -> None:
        """Note lines that end within the window."""
        window = self._window
        line_bounds = jit.kernel("line_bounds")
        if line_bounds is None:
            text = window.buffer[window.low : window.high]
            stops = np.flatnonzero(text == _NEWLINE) + (window.low + 1)
            self._starts = np.concatenate([[window.low], stops])
            self._ends = stops - 1
            self._returns = bool((text == _RETURN).any())
            return
        if self._scratch is None:
            self._scratch = np.empty((2, _MOST_LINES), np.int64), np.zeros(1, np.int64)
        (starts, ends), inside = self._scratch
        n = line_bounds(
            jit.address(window.buffer), window.low, window.high, jit.address(starts),
            jit.address(ends), _MOST_LINES - 1, jit.address(inside),
        )  # fmt: skip
        self._starts, self._ends = starts[: n + 1].copy(), ends[:n].copy()
        self._returns = bool(inside[0])

    def _last_line(self) -> StringArray | None:
        window = self._window
        if window.failure is not None and not isinstance(window.failure, DataLossError):
            raise window.failure
        if window.failure is not None:
            raise DataLossError(
                f"{window.failure}: line {self._line} at byte offset {window.offset} of "
                f"decompressed file {self.path!r}. Copy or write the file again, or leave it "
                "out."
            )
        bounds = np.array([window.low, window.high], np.int64)
        window.low = window.high
        line = _without_returns(window.buffer, bounds[:1], bounds[1:])
        if not line.size_bytes:
            return None
        self._line += 1
        return line

    def close(self) -> None:
        """Close the file; lines already returned stay valid."""
        self._window.close()
        self._ends = self._ends[:0]

    def __enter__(self) -> LineReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _without_returns(data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> StringArray:
    """The lines without their carriage returns; a view unless one stands inside a line."""
    low, high = int(starts[0]), int(ends[-1])
    returns = np.flatnonzero(data[low:high] == _RETURN) + low
    # The byte before each end, where the line has one.
    last = np.maximum(ends - 1, 0)
    if len(returns) == 0:
        return StringArray(data, starts, ends)
    trailing = (ends > starts) & (data[last] == _RETURN)
    if int(trailing.sum()) == len(returns):
        return StringArray(data, starts, ends - trailing)
    before = np.zeros(high - low + 1, np.int64)  # returns before each byte
    np.cumsum(data[low:high] == _RETURN, out=before[1:])
    kept = data[low:high][data[low:high] != _RETURN]
    return StringArray(
        kept, starts - low - before[starts - low], ends - low - before[ends - low]
    )
