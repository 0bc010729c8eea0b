"""ParquetDataset, ArrowFileDataset, JsonLinesDataset: rows of columnar files as dicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..io.arrow_files import feather_schema, parquet_footer
from ..io.arrow_json import json_schema
from ..io.files import check_compression
from .dataset import Dataset
from .dataset_arrow import checked, files_node, first_schema, narrow
from .node import Node, user_line
from .transforms.arrow_files import FeatherNode, JsonLinesNode, ParquetNode
from .transforms.arrow_source import ArrowSourceNode

__all__ = ["ArrowFileDataset", "JsonLinesDataset", "ParquetDataset"]


class _ColumnarFiles(Dataset):
    """Base: the schema is the first file's."""

    def _read(self, kind: Callable[..., ArrowSourceNode], filenames: Any, nulls: Any,
              schema: Callable[[tuple[str, ...]], Any], name: str | None,
              compression: str = "") -> None:  # fmt: skip
        source = user_line()

        def make(files: tuple[str, ...]) -> Node:
            fields = schema(files)
            return kind(files, compression, fields, checked(nulls, fields), name=name,
                        source=source)  # fmt: skip

        Dataset.__init__(self, files_node(make, filenames, None, source))


class ParquetDataset(_ColumnarFiles):
    """The rows of Parquet files as dicts of tensors, one per column.

    Columns that the functions behind it do not use are not read, nor are row groups that a
    filter behind it rules out by their statistics.

    Args:
        files: a path, several, or a dataset of them; all with the columns of the first.
        columns: the columns wanted; all by default.
        nulls: what becomes of nulls: "error", "zero", or a dict from column names to these or
            to values (`docs/arrow.md`).
        name: of the source.

    Raises:
        NotFoundError: the first file does not exist.
        TypeError: a column's type has no tensor form.
        DataLossError: (while iterating) a file is damaged; the text names file and row group.
    """

    def __init__(self, files: Any, columns: Sequence[str] | None = None, nulls: Any = "error",
                 name: str | None = None):  # fmt: skip
        def read(path: str) -> Any:
            footer = parquet_footer(path)
            schema = footer.schema_arrow
            footer.close(force=True)
            return schema

        self._read(ParquetNode, files, nulls, lambda f: first_schema(f, columns, read), name)


class ArrowFileDataset(_ColumnarFiles):
    """The rows of Arrow IPC files (Feather) and IPC streams as dicts of tensors.

    Files are mapped into memory; values of uncompressed ones are shared, not copied.

    Args:
        files: a path, several, or a dataset of them; all with the columns of the first.
        columns: the columns wanted; all by default.
        nulls: what becomes of nulls; see `ParquetDataset`.
        name: of the source.
    """

    def __init__(self, files: Any, columns: Sequence[str] | None = None, nulls: Any = "error",
                 name: str | None = None):  # fmt: skip
        self._read(
            FeatherNode, files, nulls, lambda f: first_schema(f, columns, feather_schema), name
        )


class JsonLinesDataset(_ColumnarFiles):
    """The lines of files, a JSON object each, as dicts of tensors.

    Args:
        files: a path, several, or a dataset of them.
        columns: the keys wanted; all by default.
        schema: a `pyarrow.Schema`; by default what the first megabyte of the first file
            suggests.  Other keys are ignored, missing ones null.
        nulls: what becomes of nulls; see `ParquetDataset`.
        compression_type: ``""``, ``"GZIP"`` or ``"ZLIB"``.
        name: of the source.
    """

    def __init__(self, files: Any, columns: Sequence[str] | None = None, schema: Any = None,
                 nulls: Any = "error", compression_type: str | None = None,
                 name: str | None = None):  # fmt: skip
        compression = check_compression(compression_type)

        def fields(files: tuple[str, ...]) -> Any:
            if schema is not None:
                return narrow(schema, columns, "schema")
            return first_schema(files, columns, lambda path: json_schema(path, compression))

        self._read(JsonLinesNode, files, nulls, fields, name, compression)
