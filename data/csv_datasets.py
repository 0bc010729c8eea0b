"""CsvDataset and make_csv_dataset: CSV files with tf.data's interface and semantics."""

from __future__ import annotations

import csv
import gzip
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..io.csv_records import CsvColumn, CsvFormat, field_value
from ..io.files import check_compression
from ..ops import dtypes
from ..ops.convert import convert_to_tensor
from ..ops.errors import InvalidArgumentError
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TensorSpec
from .dataset import Dataset
from .dataset_arrow import files_node
from .dataset_transforms import AUTOTUNE
from .node import Node, user_line
from .transforms.csv_files import CsvNode

__all__ = ["CsvDataset", "make_csv_dataset"]

_KINDS = (dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int64, dtypes.string)


class CsvDataset(Dataset):
    """The records of CSV files (RFC 4180) as tuples of scalars.

    Args:
        filenames: a path, several, or a dataset of them.
        record_defaults: per field a default for where it is empty, as a value or tensor; or a
            dtype (or an empty tensor) for a field that is required.  Of float32, float64,
            int32, int64 or string.
        compression_type: ``""``, ``"GZIP"`` or ``"ZLIB"``.
        buffer_size: accepted; reading is always by large chunks.
        header: whether each file begins with a record to leave out.
        field_delim: the byte between fields.
        use_quote_delim: whether double quotes enclose fields.
        na_value: what counts as empty, besides nothing.
        select_cols: increasing indices of the fields wanted; `record_defaults` is for those.
        exclude_cols: increasing indices of the fields to leave out.

    Raises:
        InvalidArgumentError: (while iterating) a record does not fit; the text names file and
            line, and the next element is the next record's.
    """

    def __init__(
        self,
        filenames: Any,
        record_defaults: Any,
        compression_type: Any = None,
        buffer_size: Any = None,
        header: bool = False,
        field_delim: str = ",",
        use_quote_delim: bool = True,
        na_value: str = "",
        select_cols: Sequence[int] | None = None,
        exclude_cols: Sequence[int] | None = None,
    ):
        compression = check_compression(compression_type)
        columns = tuple(_column(k, value) for k, value in enumerate(record_defaults))
        delimiter = field_delim.encode()
        if len(delimiter) != 1:
            raise InvalidArgumentError(
                f"field_delim should be only 1 char, got {field_delim!r}"
            )
        if select_cols and exclude_cols:
            raise InvalidArgumentError("Either select_cols or exclude_cols should be empty")
        for what, indices in (("select_cols", select_cols), ("exclude_cols", exclude_cols)):
            ordered = [int(k) for k in indices or ()]
            if any(k < 0 for k in ordered) or ordered != sorted(set(ordered)):
                raise InvalidArgumentError(
                    f"{what} should be strictly increasing indices, not negative, got {ordered}"
                )
        if select_cols and len(select_cols) != len(columns):
            raise InvalidArgumentError(
                f"select_cols should match output size: it has {len(select_cols)} indices for "
                f"{len(columns)} record_defaults"
            )
        form = CsvFormat(
            columns, bool(header), delimiter, bool(use_quote_delim), na_value.encode(),
            tuple(map(int, select_cols)) if select_cols else None,
            tuple(map(int, exclude_cols or ())),
        )  # fmt: skip
        source = user_line()

        def make(files: tuple[str, ...]) -> Node:
            used = tuple(range(len(columns)))
            return CsvNode(files, compression, form=form, used=used, source=source)

        spec = tuple(TensorSpec([], c.dtype) for c in columns)
        super().__init__(files_node(make, filenames, spec, source))


def _column(index: int, value: Any) -> CsvColumn:
    """What `record_defaults` says about one field."""
    kind = None
    if not isinstance(value, (Tensor, np.ndarray, list, tuple, str, bytes, int, float)):
        try:
            kind = dtypes.as_dtype(value)
        except TypeError:
            pass
    default = None
    if kind is None:
        tensor = value if isinstance(value, Tensor) else convert_to_tensor(value)
        kind = tensor.dtype
        if tensor.shape.rank not in (0, 1) or (tensor.shape.num_elements() or 0) > 1:
            raise InvalidArgumentError(
                f"record_defaults[{index}] must be a dtype, or a scalar or vector of at most "
                f"one value, got shape {tensor.shape}"
            )
        if tensor.shape.num_elements():
            raw = tensor._value
            flat = raw.reshape((-1,))
            default = flat[0].item()
            if isinstance(raw, StringArray):
                default = bytes(default)
    if kind not in _KINDS:
        raise ValueError(
            f"record_defaults[{index}] has dtype {kind.name}, which CSV fields have not; use "
            f"one of {', '.join(k.name for k in _KINDS)}"
        )
    return CsvColumn(kind, default)


def make_csv_dataset(
    file_pattern: Any,
    batch_size: Any,
    column_names: Sequence[str] | None = None,
    column_defaults: Sequence[Any] | None = None,
    label_name: str | None = None,
    select_columns: Sequence[Any] | None = None,
    field_delim: str = ",",
    use_quote_delim: bool = True,
    na_value: str = "",
    header: bool = True,
    num_epochs: int | None = None,
    shuffle: bool = True,
    shuffle_buffer_size: int = 10000,
    shuffle_seed: Any = None,
    prefetch_buffer_size: Any = None,
    num_parallel_reads: int | None = None,
    sloppy: bool = False,
    num_rows_for_inference: int | None = 100,
    compression_type: str | None = None,
    ignore_errors: bool = False,
    encoding: str = "utf-8",
) -> Dataset:
    """Batches of dicts from the columns of CSV files, or (dict, label).

    Args:
        file_pattern: a glob pattern or several.
        batch_size: records of a batch.
        column_names: names of all columns; by default the first file's header.
        column_defaults: dtypes or defaults of the (selected) columns; inferred by default.
        label_name: the column that is the label; its batch comes apart from the dict.
        select_columns: names or indices of the columns wanted.
        field_delim, use_quote_delim, na_value, header, compression_type: as for `CsvDataset`.
        num_epochs: times the records come; None for ever.
        shuffle: whether files and records come in random order.
        shuffle_buffer_size: records that are shuffled at a time.
        shuffle_seed: of the order.
        prefetch_buffer_size: batches prepared ahead; AUTOTUNE by default.
        num_parallel_reads: files read in turn; 1 by default.
        sloppy: whether records may come out of order, for speed.
        num_rows_for_inference: records read to infer types; None for all.
        ignore_errors: whether to leave out records that cannot be read.
        encoding: of the header.

    Raises:
        ValueError: columns are unknown, not unique, or cannot be inferred.
    """
    reads = 1 if num_parallel_reads is None else num_parallel_reads
    ahead = AUTOTUNE if prefetch_buffer_size is None else prefetch_buffer_size
    patterns = [file_pattern] if isinstance(file_pattern, str) else list(file_pattern)
    names = Dataset.list_files(patterns, shuffle=False)
    files = [n.decode() for n in names.as_numpy_iterator()]
    inferring = column_names is None or column_defaults is None
    if inferring and compression_type not in (None, "", "GZIP"):
        raise ValueError(
            "`compression_type` must be None, '' or 'GZIP' where columns are inferred, got "
            f"{compression_type!r}"
        )

    def rows_of(path: str) -> Iterator[list[str]]:
        opened: Any = gzip.open if compression_type == "GZIP" else open
        quoting: Any = csv.QUOTE_MINIMAL if use_quote_delim else csv.QUOTE_NONE
        with opened(path, "rt", encoding=encoding, newline="") as file:
            yield from csv.reader(file, delimiter=field_delim, quoting=quoting)

    if column_names is None:
        if not header:
            raise ValueError(
                "Expected `column_names` or `header` arguments. Neither is provided."
            )
        headers = [next(rows_of(f), []) for f in files]
        column_names = headers[0]
        if any(h != column_names for h in headers):
            raise ValueError(
                "All input CSV files must have the same column names in the header row."
            )
    column_names = list(column_names)
    if len(set(column_names)) != len(column_names):
        raise ValueError(f"Column names must be unique; received {column_names}")
    selected = None
    if select_columns is not None:
        selected = _indices(select_columns, column_names)
    if column_defaults is None:
        given: list[Any] = _inferred(
            _first_rows(files, rows_of, header, num_rows_for_inference),
            len(column_names), na_value, selected,
        )  # fmt: skip
    else:
        given = list(column_defaults)
    if selected is not None and len(given) != len(selected):
        raise ValueError(
            "If specified, `column_defaults` and `select_columns` must have same length: "
            f"`column_defaults` has length {len(given)}, `select_columns` has length "
            f"{len(selected)}"
        )
    if selected is not None and len(column_names) > len(selected):
        column_names = [column_names[k] for k in selected]
    if label_name is not None and label_name not in column_names:
        raise ValueError(f"`label_name` provided must be one of the columns: {column_names}")

    def read(filename: Any) -> Dataset:
        one: Any = CsvDataset(
            filename, given, compression_type, header=header, field_delim=field_delim,
            use_quote_delim=use_quote_delim, na_value=na_value, select_cols=selected,
        )  # fmt: skip
        return one.ignore_errors() if ignore_errors else one

    def features(*columns: Any) -> Any:
        named = dict(zip(column_names, columns, strict=True))
        if label_name is None:
            return named
        label = named.pop(label_name)
        return named, label

    if shuffle:
        names = names.shuffle(len(files), shuffle_seed)
    if reads == 1:
        dataset: Any = names.flat_map(read) if shuffle else read(files)
    else:
        calls: dict[str, Any] = {} if reads == AUTOTUNE else {"cycle_length": reads}
        dataset = names.interleave(
            read, num_parallel_calls=reads, deterministic=not sloppy, **calls
        )
    if shuffle:
        dataset = dataset.shuffle(shuffle_buffer_size, shuffle_seed)
    if num_epochs != 1:
        dataset = dataset.repeat(num_epochs)
    dataset = dataset.batch(batch_size, drop_remainder=num_epochs is None)
    return dataset.map(features).prefetch(ahead)


def _first_rows(
    files: list[str], rows_of: Callable[[str], Iterator[list[str]]], header: bool,
    most: int | None,
) -> Iterator[list[str]]:  # fmt: skip
    """The first `most` records of all files together, headers left out."""
    rows = itertools.chain.from_iterable(
        itertools.islice(rows_of(file), int(header), None) for file in files
    )
    return itertools.islice(rows, most)


def _indices(select: Sequence[Any], names: list[str]) -> list[int]:
    """The columns meant by names or indices, sorted.

    Raises:
        ValueError: one does not exist or is named twice.
    """
    found = []
    for column in select:
        known = column in names if isinstance(column, str) else 0 <= column < len(names)
        if not known:
            raise ValueError(
                f"Value '{column}' specified in `select_columns` is not a valid index or name "
                f"of the columns {names}"
            )
        found.append(names.index(column) if isinstance(column, str) else int(column))
    if len(set(found)) != len(found):
        raise ValueError("`select_columns` contains duplicate columns")
    return sorted(found)


def _inferred(
    rows: Iterable[list[str]], num_columns: int, na_value: str, selected: list[int] | None
) -> list[Any]:
    """Defaults of the narrowest dtypes that hold the rows: int32, int64, float32, float64,
    string."""
    wanted = list(range(num_columns)) if selected is None else selected
    order = (dtypes.int32, dtypes.int64, dtypes.float32, dtypes.float64, dtypes.string)
    levels: list[int | None] = [None] * len(wanted)
    for row in rows:
        if len(row) != num_columns:
            raise ValueError(
                f"Problem inferring types: CSV row {row} has {len(row)} number of fields. "
                f"Expected: {num_columns}."
            )
        for k, column in enumerate(wanted):
            field = row[column]
            if not field or field == na_value:
                continue
            level = levels[k] or 0
            while level < 4 and not _holds(field.encode(), order[level]):
                level += 1
            levels[k] = level
    kinds = [dtypes.string if level is None else order[level] for level in levels]
    return [
        convert_to_tensor("" if kind is dtypes.string else np.zeros((), kind.np_dtype))
        for kind in kinds
    ]


def _holds(field: bytes, kind: Any) -> bool:
    value, error = field_value(field, CsvColumn(kind), 0, b"")
    # As in TensorFlow, a column of infinities or NaNs is not taken for numbers.
    return error is None and (kind.is_integer or abs(value) <= np.finfo(kind.np_dtype).max)
