"""Arrow in and out: Dataset.from_arrow, from_sql, to_arrow, and what makes the files' nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..ops import dtypes
from ..ops.errors import UntraceableError
from ..ops.tensor import SymbolicTensor
from ..ops.tensor_spec import TensorSpec
from .arrow_columns import Nulls
from .arrow_specs import arrow_schema, element_spec
from .dataset_base import DatasetBase
from .dataset_function import DatasetFunction
from .iterator import RawIterator
from .node import Node, user_line
from .transforms.arrow_table import ArrowStream, ArrowTableNode
from .transforms.interleave import FlatMapNode
from .transforms.symbolic import SymbolicNode

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["DatasetArrow", "files_node", "narrow"]

_OUT_ROWS = 1 << 14


class DatasetArrow(DatasetBase):
    """The part of `Dataset` that speaks Arrow."""

    @staticmethod
    def from_arrow(
        data: Any,
        columns: Sequence[str] | None = None,
        nulls: Any = "error",
        name: str | None = None,
    ) -> Dataset:
        """The rows of Arrow data as dicts of tensors, one per column.

        Args:
            data: any object with the Arrow C stream interface: tables and readers of pyarrow,
                polars, pandas 3, DuckDB.  Values are shared, not copied, where layouts allow
                (`docs/arrow.md`).
            columns: the columns wanted; all by default.
            nulls: what becomes of nulls: "error", "zero", or a dict from column names to these
                or to values.
            name: of the source.

        Raises:
            TypeError: `data` has not that interface, or a column no tensor form.
            FailedPreconditionError: (while iterating) `data` is a reader and has been read.

        >>> import headrace as hr, pyarrow as pa
        >>> table = pa.table({"x": [1, 2], "name": ["a", "b"]})
        >>> list(hr.data.Dataset.from_arrow(table).as_numpy_iterator())
        [{'x': np.int64(1), 'name': b'a'}, {'x': np.int64(2), 'name': b'b'}]
        """
        stream = ArrowStream(data)
        schema = narrow(stream.schema, columns, f"the {stream.kind}")
        node = ArrowTableNode(
            schema, checked(nulls, schema), stream=stream, name=name, source=user_line()
        )
        node.element_spec  # noqa: B018  raises TypeError here, not while iterating
        return DatasetBase._plain(node)

    @staticmethod
    def from_sql(
        query: str,
        uri: str,
        columns: Sequence[str] | None = None,
        nulls: Any = "error",
        name: str | None = None,
    ) -> Dataset:
        """The rows of a database query as dicts of tensors, one per column.

        Args:
            query: SQL.  It is run once per iteration, and once before to learn the columns
                where the database cannot tell them (PostgreSQL can); resuming is exact if it
                fixes an order (ORDER BY).
            uri: path of a SQLite file, ``sqlite:///path``, ``postgresql://...`` or another
                that an installed ADBC driver knows.  The extra `sql` has those two; without
                it Python's own module reads SQLite.
            columns: the columns wanted; all by default.
            nulls: what becomes of nulls; see `from_arrow`.
            name: of the source.

        Raises:
            UnavailableError: the database's driver is not installed, or the server does not
                answer.
            InvalidArgumentError: the query failed.
        """
        from ..io.sql_query import ArrowQuery
        from .transforms.sql import SqlQueryNode

        sql = ArrowQuery(query, uri)
        schema = narrow(sql.schema(), columns, "the result")
        node = SqlQueryNode(
            schema, checked(nulls, schema), sql=sql, name=name, source=user_line()
        )
        node.element_spec  # noqa: B018  raises TypeError here, not while iterating
        return DatasetBase._plain(node)

    def to_arrow(self, batch_size: int = _OUT_ROWS) -> Any:
        """The elements as a `pyarrow.RecordBatchReader`; ``.read_all()`` makes a table of it.

        A dict becomes columns of its keys, a tuple columns "0", "1", ..., a lone component a
        column "value"; strings become large_binary.

        Args:
            batch_size: rows of a record batch, at most.

        Raises:
            TypeError: a component has no Arrow form.

        >>> import headrace as hr
        >>> hr.data.Dataset.range(3).to_arrow().read_all()["value"].to_pylist()
        [0, 1, 2]
        """
        import pyarrow as pa

        schema = arrow_schema(self.element_spec)
        return pa.RecordBatchReader.from_batches(schema, self._arrow_batches(batch_size))

    def _arrow_batches(self, batch_size: int) -> Iterator[Any]:
        from .arrow_export import columns_to_arrow

        with self._started(RawIterator(self._report.after, self._own_options)) as iterator:
            while (block := iterator.next_block(batch_size)) is not None:
                yield columns_to_arrow(block.columns, self.element_spec, block.num_rows)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The elements for other Arrow libraries: ``polars.DataFrame(dataset)``."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)


def narrow(schema: Any, columns: Sequence[str] | None, what: str) -> Any:
    """The fields of `schema` called `columns`, in that order.

    Raises:
        ValueError: there is no such column, or none is asked for.
    """
    import pyarrow as pa

    if columns is None:
        return schema.remove_metadata()
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names, got {columns!r}")
    columns = list(columns)
    unknown = [c for c in columns if c not in schema.names]
    if unknown or not columns or len(set(columns)) < len(columns):
        raise ValueError(
            f"columns must name columns of {what}, each once, which has {schema.names}, got "
            f"{columns}"
        )
    return pa.schema([schema.field(c) for c in columns])


def checked(nulls: Any, schema: Any) -> Nulls:
    """`nulls` as `Nulls`, naming only columns of `schema`."""
    rule = Nulls(nulls)
    rule.check(schema.names)
    return rule


def files_node(
    make: Callable[[tuple[str, ...]], Node], filenames: Any, spec: Any, source: str
) -> Node:
    """The node that reads `filenames`: a path, several, or a dataset of them.

    Args:
        make: the node for some files.
        filenames: what the user gave.
        spec: the elements' spec, or None if only a file tells.
        source: the user's line.
    """
    from .dataset import _paths

    if isinstance(filenames, SymbolicTensor):
        if spec is None:
            raise UntraceableError("the columns of a file are known when its name is")
        node = SymbolicNode(spec, (files_node, make, filenames, spec, source), source=source)
        object.__setattr__(node, "reads_files", True)
        return node
    if not isinstance(filenames, DatasetBase):
        return make(tuple(_paths("filenames", filenames)))
    names = filenames._node
    found = names.element_spec
    if not isinstance(found, TensorSpec) or found.dtype is not dtypes.string:
        raise TypeError(
            "The `filenames` argument must contain `hr.string` elements. Got a dataset of "
            f"{found!r} elements."
        )

    def read(files: Any) -> Any:
        return DatasetBase._plain(files_node(make, files, spec, source))

    function = DatasetFunction(read, found, what="interleave", line=source)
    return FlatMapNode(names, function, source=source)


def first_schema(
    files: tuple[str, ...], columns: Sequence[str] | None, read: Callable[[str], Any]
) -> Any:
    """The schema of the first of `files`, narrowed to `columns`.

    Raises:
        ValueError: there is no file.
    """
    if not files:
        raise ValueError("filenames must name at least one file: its columns are the elements")
    schema = narrow(read(files[0]), columns, files[0])
    element_spec(schema)  # raises TypeError here, not while iterating
    return schema
