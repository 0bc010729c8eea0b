"""parallel_files: several files read at a time, their records delivered one file after the
other.

Worth its threads where reading is work: compressed files.  Each of the next `readers` files
has a `Prefetcher` around the plain stage of that one file; the first of them is handed out,
and when it ends, another file is opened at the end of the line.  Plain files need no such
stage: a parallel map behind them reads on while it works.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from functools import cached_property
from typing import Any

from .block import Block
from .node import Node
from .prefetcher import Prefetcher
from .stage import Context, Stage, State, build_stage
from .transforms.files import FilesNode

__all__ = ["ParallelFilesNode"]

_AHEAD_BYTES = 4 << 20
_CHUNK_ROWS = 1 << 16


@dataclasses.dataclass(frozen=True, eq=False)
class ParallelFilesNode(Node):
    """The elements of `reading`, `readers` of its files read at a time."""

    reading: FilesNode
    readers: int
    reads_files = True

    @cached_property
    def label(self) -> str:
        """That of the source it stands for."""
        return f"parallel_{self.reading.label}"

    def describe(self) -> str:
        """The source and how many files are read at a time."""
        return f"parallel_{self.reading.describe()[:-1]}, readers={self.readers})"

    def _element_spec(self) -> Any:
        return self.reading.element_spec

    def make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        """The stage that opens the files."""
        return _ParallelFilesStage(self, inputs, context)


class _File:
    """One file being read ahead, as an executor's source."""

    def __init__(self, stage: Stage):
        self.stage = stage
        self.save = stage.state
        self.close = stage.close

    def pull(self) -> Block | None:
        return self.stage.next_block(_CHUNK_ROWS, _CHUNK_ROWS)


class _ParallelFilesStage(Stage):
    node: ParallelFilesNode

    def __init__(self, node: ParallelFilesNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.threads = node.readers
        self._open: deque[tuple[Stage, Prefetcher]] = deque()
        self._restart()

    @property
    def work_s(self) -> float:
        """Seconds the readers have worked."""
        return self._done_s + sum(stage.seconds for stage, _ in self._open)

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        head = self._head
        while head is None:
            self._fill()
            if not self._open:
                return None
            item = self._open[0][1].next()
            if item is None:
                self._leave_file()
                continue
            head = item.result()
            if head.num_rows > max_rows:
                self._hold({"file": self._file, "inner": item.state})
        self._head = head[max_rows:] if head.num_rows > max_rows else None
        if self._head is None:
            self._release()
        return head[:max_rows].with_structure(self.structure)

    def _fill(self, inner: State | None = None) -> None:
        """Have the current file and those after it open."""
        files = self.node.reading.files
        while len(self._open) < self.node.readers and self._next_file < len(files):
            one = dataclasses.replace(self.node.reading, files=(files[self._next_file],))
            stage = build_stage(one, self.context.nested())
            if inner is not None:
                stage.restore(inner)
                inner = None
            reader = Prefetcher(
                _File(stage), max_items=64, max_bytes=_AHEAD_BYTES,
                size_bytes=lambda block: block.nbytes, name="headrace-reader",
            )  # fmt: skip
            reader.start()
            self._open.append((stage, reader))
            self._next_file += 1

    def _leave_file(self) -> None:
        stage, reader = self._open.popleft()
        reader.close()
        self._done_s += stage.seconds
        self._file += 1

    def _state(self) -> State:
        inner = self._open[0][1].state() if self._open else self._inner
        return {"file": self._file, "inner": inner}

    def _restore(self, state: State) -> None:
        self._restart()
        self._file = self._next_file = state["file"]
        self._inner = state["inner"]
        if self._inner is not None:
            self._fill(self._inner)

    def _restart(self) -> None:
        self._close()
        self._file = self._next_file = 0
        self._done_s = 0.0
        self._inner: State | None = None
        self._head: Block | None = None

    def _close(self) -> None:
        while self._open:
            self._open.popleft()[1].close()

    def buffered(self) -> tuple[int, int]:
        """Records and bytes read ahead."""
        items = [item for _, reader in self._open for item in reader.items()]
        blocks = [item.value for item in items if item.value is not None]
        return sum(b.num_rows for b in blocks), sum(b.nbytes for b in blocks)
