"""cache(filename): elements kept in a file once they have all been read.

The file (see `storage.element_file`) appears when an iteration has come to its end, so what
has its name is complete; what an iteration that stops early, or a process that is killed,
leaves is read by nobody (see `storage.storage`).  Its head holds the state that the input had
at the beginning: a saved iterator that was counted from another state (a shuffle of other
seeds) is not continued from this file.
"""

from __future__ import annotations

import dataclasses
import warnings

from ...io.filesystems import with_suffix
from ...ops.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from ..block import Block
from ..node import UnaryNode
from ..stage import Context, Stage, State
from ..storage.element_file import ElementFile, ElementWriter
from ..storage.locate import storage_of
from ..storage.spec_json import dump_state, load_state

__all__ = ["FileCacheNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class FileCacheNode(UnaryNode):
    """The input's elements, computed once and kept in a file.

    Attributes:
        filename: prefix of the files' names.
    """

    filename: str

    @property
    def path(self) -> str:
        """The file of the elements."""
        return with_suffix(self.filename, ".elements")

    @property
    def label(self) -> str:  # type: ignore[override]
        """``cache``, as users call it."""
        return f"cache:{self.name}" if self.name else "cache"

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _FileCacheStage(self, inputs, context)


class _FileCacheStage(Stage):
    """Either records (`_writer` is set) or plays (`_file` is set); neither before the start;
    behind a failure elements pass through (`_passing`)."""

    node: FileCacheNode

    def __init__(self, node: FileCacheNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._origin: State | None = None
        self._file: ElementFile | None = None
        self._writer: ElementWriter | None = None
        self._storage = storage_of(node.path)
        self._lock = self._storage.lock(with_suffix(node.filename, ".lockfile"))
        self._position = 0
        self._passing = False
        self._ended = False
        self._block: tuple[int, Block] | None = None  # the last block read, and its first row

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        self._open()
        if self._file is not None:
            return self._play(max_rows)
        if self._ended:
            return None
        self._record()
        try:
            block = self.input.next_block(max_rows, need_rows)
        except Exception:
            self._abort()
            self._passing = True
            raise
        if block is None:
            self._complete()
            return None
        self._position += block.num_rows
        if self._writer is not None:
            try:
                self._writer.write(block)
            except BaseException:
                self._abort()
                self._passing = True
                raise
        return block

    # -- recording ------------------------------------------------------------------------

    def _open(self) -> None:
        """Decide whether to play or to record."""
        if self._origin is not None or self._passing:
            return
        self._file = self._existing()
        if self._file is not None:
            self._lock.remove_stale()
        self._origin = (
            load_state(self._file.extra["origin"])
            if self._file is not None
            else self.input.state()
        )

    def _existing(self) -> ElementFile | None:
        try:
            file = ElementFile(self.node.path)
        except NotFoundError:
            return None
        if file.spec != self.node.element_spec:
            raise InvalidArgumentError(
                f"{self.node.path}; the cache file holds elements of spec {file.spec!r}, but "
                f"the dataset's are {self.node.element_spec!r}; delete it, or give this "
                "dataset a filename of its own"
            )
        return file

    def _record(self) -> None:
        """Begin to write, at the first element."""
        if self._writer is not None or self._passing:
            return
        if not self._lock.acquire():
            raise AlreadyExistsError(
                f"{self._lock.path}; another iterator is writing this cache; give each "
                "dataset a filename of its own, or wait until the other one has ended"
            )
        extra = {"origin": dump_state(self._origin)}
        try:
            self._writer = ElementWriter(self.node.path, self.structure, "", extra)
        except BaseException:
            self._lock.release()
            raise

    def _complete(self) -> None:
        self._ended = True
        if self._writer is None:
            return
        try:
            self._writer.commit()
        except BaseException:
            self._abort()
            raise
        self._writer = None
        self._lock.release()
        self._file = self._existing()

    def _abort(self) -> None:
        """Throw away what was recorded."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None
        self._lock.release()

    # -- playing --------------------------------------------------------------------------

    def _play(self, max_rows: int) -> Block | None:
        file = self._file
        assert file is not None
        if self._position >= file.num_rows:
            return None
        if self._block is not None:
            first, block = self._block
            if not first <= self._position < first + block.num_rows:
                self._block = None
        if self._block is None:
            number, first = file.find(self._position)
            self._block = first, file.block(number).with_structure(self.structure)
        first, block = self._block
        row = self._position - first
        part = block[row : row + max_rows]
        self._position += part.num_rows
        return part

    def _skip(self, count: int) -> int:
        self._open()
        if self._file is None:
            return super()._skip(count)
        count = min(count, self._file.num_rows - self._position)
        self._position += count
        return count

    # -- state ----------------------------------------------------------------------------

    def _state(self) -> State:
        self._open()
        if self._passing:
            return {"passing": self.input.state(), "ended": self._ended}
        return {"origin": self._origin, "position": self._position, "ended": self._ended}

    def _restore(self, state: State) -> None:
        self._close()
        self._position, self._block, self._ended = 0, None, False
        self._passing = "passing" in state
        if self._passing:
            self._ended = state["ended"]
            self.input.restore(state["passing"])
            return
        self._origin = state["origin"]
        file = self._existing()
        if file is not None and file.extra["origin"] == dump_state(self._origin):
            self._file, self._position = file, state["position"]
            return
        if file is not None:
            file.close()
        assert self._origin is not None
        self.input.restore(self._origin)
        if file is not None:  # of another run, which stays: pass through
            self._passing = True
            self.input.skip_rows(state["position"])
            return
        while self._position < state["position"]:
            left = min(state["position"] - self._position, 1 << 16)
            if self._next(left, left) is None:
                return
        if state["ended"]:
            self._next(1, 1)  # takes the end, too, and completes the file

    def restart(self) -> None:
        """Play what was recorded; the input is run again only if that is not complete."""
        self._held = self._pending = None
        self._position, self._ended, self._block = 0, False, None
        self._passing = False
        if self._file is not None:
            return
        if self._writer is not None:
            warnings.warn(
                "The calling iterator did not fully read the dataset being cached; what it "
                "read is discarded. This happens with dataset.cache(f).take(k).repeat(): use "
                "dataset.take(k).cache(f).repeat() instead.",
                stacklevel=2,
            )
        self._abort()
        self._origin = None
        self.input.restart()

    def _close(self) -> None:
        self._abort()
        if self._file is not None:
            self._file.close()
            self._file = None
