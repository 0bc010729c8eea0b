"""Parquet, IPC and Feather files as record batches, from any position on.

A reader deals out `pyarrow.RecordBatch`es of the columns asked for, in the types of the schema
asked for.  `position` is a list of ints that says where the next batch begins; a reader opened
there goes on with exactly the rows that followed.  Memory is bounded: a Parquet row group is
decoded by batches, an IPC file is mapped into memory.

Errors name file, row group or batch, and column.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from ..ops.errors import DataLossError, InvalidArgumentError, OpError
from .files import file_error
from .filesystems import is_remote, local_path

__all__ = ["ArrowReader", "FeatherReader", "ParquetPart", "ParquetReader", "conform",
           "feather_schema", "open_random", "parquet_footer", "reading"]  # fmt: skip

BATCH_ROWS = 1 << 14
"""Rows decoded at a time: enough to hide a call's cost, few enough for the caches."""

_REMOTE_BYTES = 1 << 20


class ArrowReader(Protocol):
    """What deals out the batches of one file."""

    @property
    def position(self) -> list[int]:
        """Where the next batch begins."""

    def read(self) -> Any:
        """The next RecordBatch, of at least one row, or None at the end."""

    def close(self) -> None:
        """Close the file."""


def open_random(path: str) -> Any:
    """The file at `path` as a pyarrow file for random access; local ones are memory maps.

    Raises:
        NotFoundError, PermissionDeniedError, FailedPreconditionError: as for all files.
    """
    import pyarrow as pa

    try:
        if is_remote(path):
            from .arrow_remote import RemoteFile

            return pa.PythonFile(RemoteFile(path), mode="r")
        path = local_path(path)
        if os.path.isdir(path):
            raise IsADirectoryError(path)
        return pa.memory_map(path)
    except OSError as error:
        raise file_error(error, path) from None


@contextlib.contextmanager
def reading(path: str, what: str = "") -> Iterator[None]:
    """Turn pyarrow's errors into ours, naming the file and `what` was read of it."""
    import pyarrow as pa

    try:
        yield
    except OpError:
        raise
    except (pa.ArrowException, OSError) as error:
        text = (
            str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        )
        where = f", {what}" if what else ""
        raise DataLossError(f"{path}{where}: damaged or of another format: {text}") from None


def conform(batch: Any, schema: Any, where: str) -> Any:
    """`batch` with the columns of `schema`, in its order and types.

    Raises:
        InvalidArgumentError: a column is missing or its values do not fit the type.
    """
    import pyarrow as pa

    if batch.schema.equals(schema):
        return batch
    arrays = []
    for field in schema:
        k = batch.schema.get_field_index(field.name)
        if k < 0:
            raise InvalidArgumentError(
                f"{where}: there is no column {field.name!r} (columns: {batch.schema.names}); "
                "all files must have the columns of the first"
            )
        array = batch.column(k)
        if array.type != field.type:
            try:
                array = array.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InvalidArgumentError(
                    f"{where}: column {field.name!r} is {array.type}, but {field.type} in the "
                    f"first file, and does not fit: {str(error).splitlines()[0]}"
                ) from None
        arrays.append(array)
    # A batch without columns still has rows.
    if not arrays:
        return batch.select([])
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


# -- Parquet ----------------------------------------------------------------------------------


def parquet_footer(path: str) -> Any:
    """A `pyarrow.parquet.ParquetFile` of which the footer has been read."""
    import pyarrow as pa
    from pyarrow import parquet

    file = open_random(path)
    try:
        with reading(path):
            # Remote columns by the megabyte; pre_buffer would hold all row groups at once.
            remote = isinstance(file, pa.PythonFile)
            return parquet.ParquetFile(file, buffer_size=_REMOTE_BYTES if remote else 0)
    except BaseException:
        file.close()
        raise


class ParquetPart(str):
    """The path of a Parquet file, meaning some of its row groups: [start, stop).

    Attributes:
        start, stop: the row groups.
    """

    start: int
    stop: int

    def __new__(cls, path: str, start: int, stop: int) -> ParquetPart:
        """The row groups from `start` up to `stop` of the file at `path`."""
        part = super().__new__(cls, path)
        part.start, part.stop = start, stop
        return part


class ParquetReader:
    """Deals out the rows of a Parquet file.

    Args:
        path: of the file, or a `ParquetPart`.
        schema: the columns to read and their types.
        position: row group and row in it to begin at; None for the beginning.
        keep: whether a row group may hold rows that are wanted, by its metadata; None keeps
            all.
    """

    def __init__(
        self,
        path: str,
        schema: Any,
        position: Sequence[int] | None = None,
        keep: Callable[[Any], bool] | None = None,
    ):
        self._path = str(path)
        self._schema = schema
        self._file = parquet_footer(self._path)
        first = path.start if isinstance(path, ParquetPart) else 0
        last = path.stop if isinstance(path, ParquetPart) else self._file.num_row_groups
        group, self._drop = (first, 0) if position is None else position
        missing = [n for n in schema.names if n not in self._file.schema_arrow.names]
        if missing:
            names = self._file.schema_arrow.names
            self.close()
            raise InvalidArgumentError(
                f"{path}: there is no column {missing[0]!r} (columns: {names}); all files must "
                "have the columns of the first"
            )
        found = []  # row groups that are read, with their numbers of rows
        for k in range(group, min(last, self._file.num_row_groups)):
            metadata = self._file.metadata.row_group(k)
            if metadata.num_rows and (keep is None or keep(metadata)):
                found.append((k, metadata.num_rows))
        if found and found[0][0] != group:
            self._drop = 0  # the group that was under way is not read any more
        self._groups = found
        self._end = max(last, group)
        self._row = self._drop  # of the first of `_groups`
        self._batches: Any = None

    @property
    def position(self) -> list[int]:
        """Row group and row in it of the next batch."""
        return [self._groups[0][0], self._row] if self._groups else [self._end, 0]

    def read(self) -> Any:
        """The next RecordBatch, or None at the end."""
        while self._groups:
            where = f"row group {self._groups[0][0]}"
            with reading(self._path, where):
                if self._batches is None:
                    self._batches = self._file.iter_batches(
                        BATCH_ROWS, row_groups=[k for k, _ in self._groups],
                        columns=self._schema.names, use_threads=False,
                    )  # fmt: skip
                batch = next(self._batches, None)
            if batch is None:
                self._groups = []
                break
            if self._drop:
                dropped = min(self._drop, batch.num_rows)
                self._drop -= dropped
                batch = batch[dropped:]
            if batch.num_rows:
                self._row += batch.num_rows
                while self._groups and self._row >= self._groups[0][1]:
                    self._row -= self._groups.pop(0)[1]
                return conform(batch, self._schema, f"{self._path}, {where}")
        return None

    def close(self) -> None:
        """Close the file."""
        self._batches = None
        self._file.close(force=True)


# -- IPC and Feather --------------------------------------------------------------------------


def _open_ipc(path: str, columns: Sequence[str] | None) -> tuple[Any, Any, Any]:
    """The open file, its schema, and a reader of the file or the stream format."""
    import pyarrow as pa
    from pyarrow import ipc

    file = open_random(path)
    try:
        magic = file.read(6)
        file.seek(0)
        with reading(path):
            if magic[:4] == b"FEA1":
                from pyarrow import feather

                table = feather.read_table(file, columns=columns)
                return file, table.schema, table.to_reader()
            opened = ipc.open_file if magic == b"ARROW1" else ipc.open_stream
            source = opened(file)
            if columns is None or set(columns) >= set(source.schema.names):
                return file, source.schema, source
            indices = [source.schema.get_field_index(c) for c in columns]
            file.seek(0)
            options = ipc.IpcReadOptions(included_fields=[k for k in indices if k >= 0])
            source = opened(file, options=options)
            # Readers tell the schema of the file, not of what they read.
            fields = [f for f in source.schema if f.name in set(columns)]
            return file, pa.schema(fields), source
    except BaseException:
        file.close()
        raise


def feather_schema(path: str) -> Any:
    """The schema of an IPC or Feather file."""
    file, schema, _ = _open_ipc(path, None)
    file.close()
    return schema


class FeatherReader:
    """Deals out the rows of an IPC file, IPC stream or Feather file.

    Args:
        path: of the file.
        schema: the columns to read and their types.
        position: record batch and row in it to begin at.
    """

    def __init__(self, path: str, schema: Any, position: Sequence[int] = (0, 0)):
        self._path = path
        self._schema = schema
        self._batch, self._row = position
        self._file, _, self._source = _open_ipc(path, schema.names)
        self._random = hasattr(self._source, "get_batch")
        if not self._random:
            for k in range(self._batch):
                self._take(k)

    @property
    def position(self) -> list[int]:
        """Record batch and row in it of the next batch."""
        return [self._batch, self._row]

    def read(self) -> Any:
        """The next RecordBatch, or None at the end."""
        while (batch := self._take(self._batch)) is not None:
            batch = batch[self._row :]
            where = f"{self._path}, record batch {self._batch}"
            self._batch, self._row = self._batch + 1, 0
            if batch.num_rows:
                return conform(batch, self._schema, where)
        return None

    def _take(self, index: int) -> Any:
        with reading(self._path, f"record batch {index}"):
            if self._random:
                if index >= self._source.num_record_batches:
                    return None
                return self._source.get_batch(index)
            try:
                return self._source.read_next_batch()
            except StopIteration:
                return None

    def close(self) -> None:
        """Close the file; batches dealt out keep the memory they lie in."""
        self._file.close()
