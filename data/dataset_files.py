"""Keeping: methods of `Dataset` that keep elements in files: `save`, `load`, `snapshot`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ops import dtypes, nest
from ..ops.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from ..ops.tensor_spec import TensorSpec
from .columns import ListColumn
from .dataset_base import DatasetBase, DatasetSpec
from .dataset_grouping import Grouping
from .fingerprint import fingerprint
from .functions import UserFunction
from .iterator import RawIterator
from .node import Node, user_line
from .storage.element_file import check_codec
from .storage.library import Library, Run
from .storage.locate import check_path
from .storage.progress import Progress
from .storage.spec_json import spec_to_json
from .transforms.assert_cardinality import AssertCardinalityNode
from .transforms.elements import ElementsNode
from .transforms.snapshot import SnapshotNode, shard_numbers
from .transforms.tensors import TensorSlicesNode
from .upper import upper
from .values import as_int

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["Keeping"]

_SAVE_ROWS = 4096


class Keeping(Grouping):
    """Datasets continued: elements in files."""

    def save(
        self,
        path: Any,
        compression: Any = None,
        shard_func: Callable[..., Any] | None = None,
        checkpoint_args: dict[str, Any] | None = None,
        *,
        shards: int | None = None,
        runner: str | None = None,
        file_format: str | None = None,
    ) -> None:
        """Write all elements to files in the folder `path`, for `Dataset.load`.

        The files appear when all is written; until then, and after a crash, `load` finds what
        was there before.

        Args:
            path: a folder, or a URL such as ``s3://bucket/folder``.
            compression: None, "GZIP", "ZLIB", "SNAPPY", "ZSTD" or "LZ4".
            shard_func: gives for an element the number of the file it goes to; one file by
                default.
            checkpoint_args: ``directory`` (of the state; required), ``checkpoint_interval``
                (elements between states; 10000 by default) and ``step_counter`` (a variable
                that counts elements): a save that was interrupted then goes on where its
                last state says.
            shards: how many files to write, each by a task of its own that makes every
                shards-th element; the pipeline must give the same elements in the same order
                whenever it runs.
            runner: where tasks run: None for one after the other here, "ray" for a Ray
                cluster (extra ``ray``), where a task that is killed is run again.
            file_format: with `shards`: None for the format that `load` reads, "tfrecord" (of
                scalar strings) or "parquet" for files ``part-00000-of-00004.tfrecord``.

        Raises:
            TypeError: the elements hold datasets.
            InvalidArgumentError: `shards`, `runner` or `file_format` is none of these.
            AlreadyExistsError: another process is saving to `path`.  (Object stores cannot
                tell: there the last one to finish wins.)
            UnavailableError: the store does not answer.
            ResourceExhaustedError: the disk is full.

        >>> import tempfile
        >>> import headrace as hr
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     hr.data.Dataset.range(3).save(folder)
        ...     list(hr.data.Dataset.load(folder).as_numpy_iterator())
        [np.int64(0), np.int64(1), np.int64(2)]
        """
        if shards is not None or runner is not None or file_format is not None:
            codec = compression if file_format else check_codec(compression)
            self._save_shards(check_path("path", path), codec, shards, runner, file_format,
                              shard_func, checkpoint_args)  # fmt: skip
            return
        spec_to_json(self.element_spec)
        folder = check_path("path", path)
        codec = check_codec(compression)
        shard = self._shard_function(shard_func, "save")
        progress = None
        if checkpoint_args:
            progress = Progress(checkpoint_args, f"{fingerprint(self._node):016x}")
        saved = progress.load() if progress is not None else None
        resume = saved["writer"] if saved else None
        writer = Library(folder).writer(self._node.structure, codec, resume)
        if writer is None:
            raise AlreadyExistsError(
                f"{folder}; another process is saving a dataset there; choose another path"
            )
        keep = False
        try:
            with self.raw_iterator() as iterator:
                index = 0
                if saved:
                    iterator.restore(saved["iterator"])
                    index = saved["elements"]
                _copy(iterator, writer, shard, progress, index)
            writer.commit()
        except BaseException:
            keep = progress is not None
            raise
        finally:
            writer.abort(keep)
        if progress is not None:
            progress.done()

    def _save_shards(
        self, folder: str, codec: Any, shards: Any, runner: Any, file_format: Any,
        shard_func: Any, checkpoint_args: Any,
    ) -> None:  # fmt: skip
        """`save` by tasks."""
        if shard_func is not None or checkpoint_args:
            raise InvalidArgumentError(
                "shards, runner and file_format cannot be combined with shard_func or "
                "checkpoint_args: the tasks decide what goes where"
            )
        count = (os.cpu_count() or 1) if shards is None else as_int("shards", shards)
        if count < 1:
            raise InvalidArgumentError(f"shards must be positive, got {count}")
        if runner not in (None, "ray"):
            raise InvalidArgumentError(f"runner must be None or 'ray', got {runner!r}")
        kind = file_format or "elements"
        if kind not in ("elements", "tfrecord", "parquet"):
            raise InvalidArgumentError(
                f"file_format must be None, 'tfrecord' or 'parquet', got {file_format!r}"
            )
        if kind == "elements":
            spec_to_json(self.element_spec)
        upper("data.save.shards").save_shards(self, folder, codec or "", count, runner, kind)

    @staticmethod
    def load(
        path: Any,
        element_spec: Any = None,
        compression: Any = None,
        reader_func: Callable[[Any], Any] | None = None,
        wait: bool = False,
    ) -> Dataset:
        """The elements that `save` wrote to the folder `path`.

        Args:
            path: the folder or its URL.
            element_spec: what is expected; the files know it.
            compression: what is expected; the files know it.
            reader_func: gets a dataset with one dataset per file and gives the dataset to
                read; by default the files' elements in turn.
            wait: whether to wait until somebody has saved there.

        Raises:
            NotFoundError: nothing was saved there.
            UnavailableError: `distributed_save` has failed to save there.
            DataLossError: (also while iterating) a file is damaged.
            ValueError: the elements are of another spec.
        """
        folder = check_path("path", path)
        run = Library(folder).latest()
        if run is None and wait:
            run = _waited(folder)
        if run is None:
            raise NotFoundError(f"{folder}; no saved dataset there: check the path")
        if element_spec is not None and not _fits(element_spec, run.spec):
            raise InvalidArgumentError(
                f"element_spec is {element_spec!r}, but the elements saved in {folder} are "
                f"{run.spec!r}"
            )
        if compression is not None and check_codec(compression) != run.compression:
            raise InvalidArgumentError(
                f"compression is {compression!r}, but the elements in {folder} were saved with "
                f"{run.compression or None!r}"
            )
        return DatasetBase._plain(_reading(run, reader_func, user_line()))

    def snapshot(
        self,
        path: Any,
        compression: Any = "AUTO",
        reader_func: Callable[[Any], Any] | None = None,
        shard_func: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> Dataset:
        """The same elements, written to files in the first complete iteration and read from
        there in later ones, also by other processes.

        Another plan (other functions, arguments, values in memory) has files of its own.
        Contents of input files are not looked at: remove the folder when they change.

        Args:
            path: a folder or URL.
            compression: "AUTO" (Snappy), None, "GZIP", "ZLIB", "SNAPPY", "ZSTD" or "LZ4".
            reader_func: as in `load`.
            shard_func: as in `save`.
            name: of the transformation.

        Raises:
            TypeError: the elements hold datasets; `shard_func` gives no integer.
        """
        spec_to_json(self.element_spec)
        line = user_line()
        return self._derive(
            SnapshotNode, self._node, check_path("path", path), check_codec(compression),
            self._shard_function(shard_func, "snapshot"),
            lambda run: _reading(run, reader_func, line), self._node, name=name,
        )  # fmt: skip

    def _shard_function(self, fn: Any, what: str) -> UserFunction | None:
        if fn is None:
            return None
        function = self._function(fn, f"{what}.shard_func")
        spec = function.output_spec
        if spec is not None and not (
            isinstance(spec, TensorSpec)
            and spec.shape.rank == 0
            and spec.dtype in (dtypes.int32, dtypes.int64)
        ):
            raise TypeError(
                "Invalid `shard_func`. `shard_func` must return `hr.int64` scalar tensor but "
                f"its return type is {spec!r}."
            )
        return function


def _copy(
    iterator: RawIterator, writer: Any, shard: Any, progress: Progress | None, index: int
) -> None:
    """All elements to the writer, and now and then the state to `progress`."""
    most = _SAVE_ROWS if progress is None else min(_SAVE_ROWS, progress.interval)
    while (block := iterator.next_block(most)) is not None:
        writer.write(block, shard_numbers(shard, block, index))
        index += block.num_rows
        if progress is not None and progress.due(block.num_rows):
            progress.save({
                "iterator": iterator.state(), "elements": index,
                "writer": writer.checkpoint(),
            })  # fmt: skip


def _reading(run: Run, reader_func: Callable[[Any], Any] | None, line: str) -> Node:
    """The plan that reads a run."""
    files = [ElementsNode(path, run.spec, rows, source=line) for path, rows in run.shards]
    if reader_func is None and len(files) == 1:
        return files[0]
    make = DatasetBase._plain
    datasets = make(
        TensorSlicesNode(
            (ListColumn([make(node) for node in files]),), DatasetSpec(run.spec), len(files),
            source=line,
        )
    )  # fmt: skip
    if reader_func is None:
        mixed = datasets.interleave(
            lambda one: one, cycle_length=max(1, os.cpu_count() or 1), num_parallel_calls=-1
        )
        return AssertCardinalityNode(mixed._node, run.num_rows, source=line)
    read = reader_func(datasets)
    if not isinstance(read, DatasetBase):
        raise TypeError(f"`reader_func` must return a `Dataset` object, got {type(read)}")
    return read._node


def _fits(expected: Any, found: Any) -> bool:
    if nest.structure_of(expected) != nest.structure_of(found):
        return False
    pairs = zip(nest.flatten(expected), nest.flatten(found), strict=True)
    return all(a == b or a.is_compatible_with(b) for a, b in pairs)


def _waited(folder: str) -> Run:
    import time

    library = Library(folder)
    while True:
        run = library.latest()
        if run is not None:
            return run
        if (failure := library.failure()) is not None:
            raise UnavailableError(f"{folder}; the dataset could not be saved: {failure}")
        time.sleep(0.2)
